//! Source maps of a worker's modules, when they say anything: an exception's stack is shown through them.

use crate::Nothing;
use crate::engine;
use atoll_stdx::fuzz::{Check, Inputs, Target, Verdict, Wrong};
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Inputs of one isolate, each the map of a module of its own.
const BATCH: usize = 100;
/// How long a batch may take.
const BATCH_TIME_MAX: Duration = Duration::from_secs(60);
/// A module: what it throws comes from its second line.
const MODULE: &str = "export function thrown() {\n  throw new Error(\"on purpose\");\n}\n";

const MAPS: Inputs = Inputs::new(
    &[
        br#"{"version":3,"file":"a.js","sources":["src/a.ts"],"sourcesContent":["x\ny\nz"],"names":["thrown"],"mappings":"AAAA;EACEA;AACF"}"#,
        br#"{"version":3,"sourceRoot":"/src","sources":["a.ts",null],"names":[],"mappings":";AAEA,MAAM,CAAC;;;;AACA"}"#,
        br#"{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":{"version":3,"sources":["b.ts"],"names":[],"mappings":"AAAA;AACA"}}]}"#,
        br#")]}'
{"version":3,"sources":["a.ts"],"names":[],"mappings":"A,C;D","x_facebook_sources":[[{"names":["a"],"mappings":"AAA"}]]}"#,
    ],
    &[
        "{", "}", "[", "]", ",", ":", "\"", "\"version\":3", "\"sources\":", "\"names\":", "\"mappings\":", "\"sections\":",
        "\"sourceRoot\":", "\"sourcesContent\":", "\"offset\":", "\"line\":", "\"ignoreList\":", "null", "-1", "4294967296",
        "AAAA", "gggggggggggggB", "//////", "D", ";", "EACE", "EACEA", "AADA", "+/", "=", ")]}'\n", "../../x.ts", "data:,x",
    ],
);

pub fn target() -> Target {
    Target {
        name: "source-map",
        inputs: MAPS,
        check: Check::Batch {
            size: BATCH,
            judge: Box::new(judge),
        },
        refuses: true,
        // The batch has a limit of its own, which ends the isolate.
        time_max: BATCH_TIME_MAX * 4,
    }
}

/// The worker's stack keeps its place or shows another; the worker goes on either way.
fn judge(inputs: &[Vec<u8>]) -> Vec<Result<Verdict, Wrong>> {
    let mut main = String::new();
    let mut all = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(main, "import {{ thrown as t{index} }} from \"./m{index}.js\";");
        let mut module = engine::esm(&format!("m{index}.js"), MODULE);
        module.source_map = Some(input.clone().into());
        all.push(module);
    }
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("t{index}")).collect();
    let _ = write!(
        main,
        "export default {{ fetch() {{ return Response.json([{}].map((thrown) => {{ try {{ thrown(); }} catch (error) {{ return error.stack; }} }})); }} }};",
        names.join(", ")
    );
    let mut modules = vec![engine::esm("main.js", main)];
    modules.append(&mut all);
    let output = engine::Run {
        modules,
        input: Vec::new(),
        limit: BATCH_TIME_MAX,
        outbound: Arc::new(Nothing),
        flags: &[],
    }
    .start();
    let stacks = match output.response {
        Ok(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        // Of many inputs, any; of one, this.
        Err(fault) if inputs.len() == 1 => return vec![Err(format!("no answer: {fault:?} {:?}", output.exceptions))],
        Err(_) => return Vec::new(),
    };
    let Value::Array(stacks) = stacks else {
        return Vec::new();
    };
    let judged = stacks.iter().enumerate().map(|(index, stack)| {
        let stack = stack.as_str().unwrap_or_default();
        if !stack.starts_with("Error: on purpose") {
            return Err(format!("the stack is {stack:?}"));
        }
        let place = stack.lines().nth(1).unwrap_or_default();
        Ok(match place.contains(&format!("m{index}.js:2:")) {
            true => Verdict::Refused,
            false => Verdict::Taken,
        })
    });
    judged.collect()
}
