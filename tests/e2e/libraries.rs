//! Popular npm packages, imported and exercised inside a worker: `tests/libraries/cases/*.js` is the table.
//!
//! Each case exports a function and the value it must give. All are bundled into one worker that imports each at its first
//! use, so that a package that fails takes no other with it.

use super::{get_text, start};
use crate::runner::server::{Server, repository};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Fewer cases than this means that the folder was not read.
const CASES_MIN: usize = 80;

/// What is known not to work: case and reason. A case that works must not stand here.
const KNOWN_FAILURES: &[(&str, &str)] = &[];

const CONFIG: &str = ", \"compatibility_flags\": [\"nodejs_compat\"]";

pub async fn all() -> Result<()> {
    let table = repository().join("tests/libraries");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(table.join("cases"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".js").map(str::to_owned));
    }
    names.sort();
    if names.len() < CASES_MIN {
        bail!("{} cases, expected at least {CASES_MIN}", names.len());
    }

    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    super::write_project(&project, &worker(&names), CONFIG)?;
    std::os::unix::fs::symlink(table.join("cases"), project.join("cases"))?;
    std::os::unix::fs::symlink(table.join("node_modules"), project.join("node_modules"))?;
    let mut server = Server::start(&start(&project, &folder.path().join("state"))?).await?;

    let known: BTreeMap<&str, &str> = KNOWN_FAILURES.iter().copied().collect();
    let mut report = String::new();
    for name in &names {
        let (status, text) = get_text(&server, &format!("/{name}")).await?;
        match (verdict(status, &text), known.get(name.as_str())) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some(_)) => writeln!(report, "{name} works now: take it out of KNOWN_FAILURES")?,
            (Err(error), None) => writeln!(report, "{name}: {error:#}")?,
        }
    }
    server.stop().await?;
    if !report.is_empty() {
        bail!("of {} libraries:\n{report}", names.len());
    }
    println!(
        "{} libraries work, {} known not to",
        names.len() - known.len(),
        known.len()
    );
    Ok(())
}

fn worker(names: &[String]) -> String {
    let mut code = String::from("const cases = {\n");
    for name in names {
        let _ = writeln!(code, "  \"/{name}\": () => import(\"./cases/{name}.js\"),");
    }
    code.push_str(
        "};\nexport default {\n  async fetch(request) {\n    try {\n\
         \x20     const { default: run, expected } = await cases[new URL(request.url).pathname]();\n\
         \x20     return Response.json({ got: (await run()) ?? null, expected });\n\
         \x20   } catch (error) {\n      return new Response(`${error?.stack ?? error}`, { status: 500 });\n    }\n  },\n};\n",
    );
    code
}

fn verdict(status: u16, text: &str) -> Result<()> {
    if status != 200 {
        bail!("{status} {text}");
    }
    let answer: Value = serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
    if answer["got"] != answer["expected"] {
        bail!("got {}, expected {}", answer["got"], answer["expected"]);
    }
    Ok(())
}
