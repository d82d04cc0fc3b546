//! What a client has asked for that a new isolate must be told, and what the client waits for.
//!
//! Commands that change how the debugger behaves are remembered: the domains that are enabled, breakpoints by URL, and
//! settings of which the last counts. A breakpoint's id depends on its URL, line and column alone, so the id that the
//! client knows is the one that the new isolate gives. What names objects of one isolate (scripts, frames, objects) cannot
//! be carried over and is not.

use serde_json::{Value, json};
use std::collections::HashMap;

/// Commands that are remembered. A client that asks for more is served, but a new isolate is not told of the rest.
pub const REMEMBERED_MAX: usize = 4096;
/// Unanswered commands that are remembered.
pub const UNANSWERED_MAX: usize = 4096;
/// Commands that are repeated have ids of our own, from here on; clients count up from 0 or 1.
const OWN_ID: i64 = -1_000_000_000;

/// Settings: of each, the last counts.
const SETTINGS: [&str; 10] = [
    "Debugger.setAsyncCallStackDepth",
    "Debugger.setBlackboxExecutionContexts",
    "Debugger.setBlackboxPatterns",
    "Debugger.setBreakpointsActive",
    "Debugger.setPauseOnExceptions",
    "Debugger.setSkipAllPauses",
    "Profiler.setSamplingInterval",
    "Runtime.setAsyncCallStackDepth",
    "Runtime.setCustomObjectFormatterEnabled",
    "Runtime.setMaxCallStackSizeToCapture",
];
/// Commands that each add something, and answer with its id.
const BREAKPOINTS: [&str; 2] = ["Debugger.setBreakpointByUrl", "Debugger.setInstrumentationBreakpoint"];

#[derive(Debug)]
struct Remembered {
    method: String,
    params: Value,
    /// Of a breakpoint, once it is answered.
    breakpoint: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    remembered: Vec<Remembered>,
    /// Commands without an answer, and what to remember when it comes.
    unanswered: HashMap<i64, Option<Remembered>>,
    paused: bool,
    revision: u64,
}

impl Memory {
    /// Changes with what [`Self::replay`] gives.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Notes a command on its way.
    pub fn command(&mut self, command: &str) {
        // What is no command is refused by whoever gets it.
        let Ok(Value::Object(mut command)) = serde_json::from_str::<Value>(command) else {
            return;
        };
        let (Some(id), Some(Value::String(method))) =
            (command.get("id").and_then(Value::as_i64), command.remove("method"))
        else {
            return;
        };
        let params = command.remove("params").unwrap_or_else(|| json!({}));
        let mut later = None;
        if BREAKPOINTS.contains(&method.as_str()) {
            later = Some(Remembered {
                method,
                params,
                breakpoint: None,
            });
        } else if method == "Debugger.removeBreakpoint" {
            let breakpoint = params["breakpointId"].as_str();
            self.forget(|known| known.breakpoint.is_some() && known.breakpoint.as_deref() == breakpoint);
        } else if let Some(domain) = method.strip_suffix(".disable") {
            self.forget(|known| {
                let rest = known.method.strip_prefix(domain);
                rest.is_some_and(|rest| rest.starts_with('.'))
            });
        } else if method.ends_with(".enable") || SETTINGS.contains(&method.as_str()) {
            self.forget(|known| known.method == method);
            self.remember(Remembered {
                method,
                params,
                breakpoint: None,
            });
        } else if method == "Runtime.addBinding" && params.get("executionContextId").is_none() {
            self.forget(|known| known.method == method && known.params == params);
            self.remember(Remembered {
                method,
                params,
                breakpoint: None,
            });
        }
        if self.unanswered.len() < UNANSWERED_MAX {
            self.unanswered.insert(id, later);
        }
    }

    /// Notes an isolate's message. `None` if it is not for the client.
    pub fn message(&mut self, message: String) -> Option<String> {
        if let Some(id) = answered(&message) {
            if id < 0 {
                return None;
            }
            if let Some(Some(mut breakpoint)) = self.unanswered.remove(&id) {
                let answer: Value = serde_json::from_str(&message).unwrap_or_default();
                if let Some(id) = answer["result"]["breakpointId"].as_str() {
                    breakpoint.breakpoint = Some(id.to_owned());
                    self.remember(breakpoint);
                }
            }
        } else if is_event(&message, "Debugger.paused") {
            self.paused = true;
        } else if is_event(&message, "Debugger.resumed") {
            self.paused = false;
        }
        Some(message)
    }

    /// The commands that make a new isolate's debugger what the client thinks it is.
    pub fn replay(&self) -> Vec<String> {
        // Whatever is set up must be enabled first.
        let (enable, rest): (Vec<&Remembered>, Vec<&Remembered>) = self
            .remembered
            .iter()
            .partition(|known| known.method.ends_with(".enable"));
        // A script is announced by `Debugger.enable`: after it, breakpoints apply to those that come.
        let command = |(id, known): (i64, &Remembered)| {
            json!({ "id": id, "method": known.method, "params": known.params }).to_string()
        };
        (OWN_ID..).zip(enable.into_iter().chain(rest)).map(command).collect()
    }

    /// The isolate is gone or left: what the client is told, so that it waits for nothing and shows nothing of it.
    pub fn forget_isolate(&mut self) -> Vec<String> {
        let mut tell = Vec::new();
        let mut ids: Vec<i64> = self.unanswered.drain().map(|(id, _)| id).collect();
        ids.sort_unstable();
        for id in ids {
            let error = json!({ "code": -32000, "message": "The worker was reloaded before it answered." });
            tell.push(json!({ "id": id, "error": error }).to_string());
        }
        if std::mem::take(&mut self.paused) {
            tell.push(json!({ "method": "Debugger.resumed", "params": {} }).to_string());
        }
        tell.push(json!({ "method": "Runtime.executionContextsCleared", "params": {} }).to_string());
        tell
    }

    fn forget(&mut self, which: impl Fn(&Remembered) -> bool) {
        let count = self.remembered.len();
        self.remembered.retain(|known| !which(known));
        if self.remembered.len() != count {
            self.revision += 1;
        }
    }

    fn remember(&mut self, what: Remembered) {
        if self.remembered.len() < REMEMBERED_MAX {
            self.remembered.push(what);
            self.revision += 1;
        }
    }
}

/// The id of the command that a message answers. V8 writes it first.
fn answered(message: &str) -> Option<i64> {
    let rest = message.strip_prefix("{\"id\":")?;
    let end = rest.find([',', '}'])?;
    rest[..end].trim().parse().ok()
}

/// Whether a message is that event. V8 writes the method first.
pub(super) fn is_event(message: &str, method: &str) -> bool {
    let rest = message.strip_prefix("{\"method\":\"");
    let rest = rest.and_then(|rest| rest.strip_prefix(method));
    rest.is_some_and(|rest| rest.starts_with('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Obeys commands as V8 would, then says what a new isolate is told, as `method params`.
    fn replayed(commands: &[(&str, Value)]) -> Vec<String> {
        let mut memory = Memory::default();
        for (id, (method, params)) in commands.iter().enumerate() {
            memory.command(&json!({ "id": id, "method": method, "params": params }).to_string());
            let result = match params["url"].as_str() {
                Some(url) => json!({ "breakpointId": format!("b:{url}") }),
                None => json!({}),
            };
            let answer = format!("{{\"id\":{id},\"result\":{result}}}");
            assert_eq!(memory.message(answer.clone()), Some(answer));
        }
        assert!(memory.unanswered.is_empty());
        let told = memory.replay();
        for command in &told {
            let id = serde_json::from_str::<Value>(command).unwrap()["id"].as_i64().unwrap();
            assert_eq!(memory.message(format!("{{\"id\":{id},\"result\":{{}}}}")), None);
        }
        let shown = |command: &String| {
            let command: Value = serde_json::from_str(command).unwrap();
            format!("{} {}", command["method"].as_str().unwrap(), command["params"])
        };
        told.iter().map(shown).collect()
    }

    #[test]
    fn a_new_isolate_is_told() {
        let check = |commands: &[(&str, Value)], expected: &[&str]| assert_eq!(replayed(commands), expected);
        let (enable, by_url) = ("Debugger.enable", "Debugger.setBreakpointByUrl");
        check(&[], &[]);
        check(&[("Runtime.evaluate", json!({ "expression": "1" }))], &[]);
        check(&[(enable, json!({})), (enable, json!({}))], &["Debugger.enable {}"]);
        check(
            &[
                (by_url, json!({ "url": "a" })),
                (enable, json!({})),
                (by_url, json!({ "url": "b" })),
                ("Debugger.removeBreakpoint", json!({ "breakpointId": "b:a" })),
            ],
            &["Debugger.enable {}", "Debugger.setBreakpointByUrl {\"url\":\"b\"}"],
        );
        check(
            &[
                ("Runtime.enable", json!({})),
                (enable, json!({})),
                (by_url, json!({ "url": "a" })),
                ("Debugger.setPauseOnExceptions", json!({ "state": "all" })),
                ("Debugger.disable", json!({})),
            ],
            &["Runtime.enable {}"],
        );
        check(
            &[
                ("Debugger.setPauseOnExceptions", json!({ "state": "all" })),
                ("Debugger.setPauseOnExceptions", json!({ "state": "none" })),
            ],
            &["Debugger.setPauseOnExceptions {\"state\":\"none\"}"],
        );
    }

    #[test]
    fn nothing_is_waited_for_when_the_isolate_is_gone() {
        let mut memory = Memory::default();
        memory.command(r#"{"id":7,"method":"Runtime.evaluate"}"#);
        let paused = r#"{"method":"Debugger.paused","params":{}}"#;
        memory.message(paused.to_owned());
        let told = memory.forget_isolate();
        assert!(told[0].starts_with(r#"{"id":7,"error""#), "{told:?}");
        assert!(is_event(&told[1], "Debugger.resumed"), "{told:?}");
        assert!(is_event(&told[2], "Runtime.executionContextsCleared"), "{told:?}");
        assert_eq!(memory.forget_isolate().len(), 1);
    }

    #[test]
    fn what_is_no_command_is_not_remembered() {
        let mut memory = Memory::default();
        for text in [
            "",
            "[]",
            "{\"id\":\"1\",\"method\":\"Debugger.enable\"}",
            "{\"method\":\"Debugger.enable\"}",
        ] {
            memory.command(text);
        }
        assert!(memory.replay().is_empty());
    }
}
