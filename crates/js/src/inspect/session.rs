//! One client of an isolate's debugger.
//!
//! Commands are taken from the client's channel, one at a time. What V8 says goes out at once; when the client's queue is
//! full the isolate's thread waits for it, at most [`SLOW_CLIENT_MAX`], and then gives the client up.

use super::handle::Arrival;
use atoll_stdx::Clock;
use atoll_worker::InspectorPeer;
use deno_core::v8;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use v8::inspector::{
    Channel, ChannelImpl, StringBuffer, StringView, V8Inspector, V8InspectorClientTrustLevel, V8InspectorSession,
};

/// How long the isolate waits for a client whose queue is full.
const SLOW_CLIENT_MAX: Duration = Duration::from_secs(10);
/// The id of commands that are given here; their answers are nobody's.
const OWN_ID: i32 = i32::MIN;
/// Scripts that nobody steps into, as regular expressions: the engine's, and the Node.js modules'.
const NOT_STEPPED_INTO: [&str; 2] = ["^ext:", "^node:"];
/// How the URLs of scripts begin that are not shown.
const HIDDEN: &str = "ext:";

/// What a session has to say.
pub(super) enum Next {
    Command(String),
    Nothing,
    /// The client is gone.
    Gone,
}

/// See the module.
pub(super) struct Session {
    v8: V8InspectorSession,
    outlet: Rc<Outlet>,
    first: RefCell<VecDeque<String>>,
    commands: RefCell<mpsc::Receiver<String>>,
    left: Cell<bool>,
}

impl Session {
    pub fn new(inspector: &V8Inspector, group: i32, arrival: Arrival, clock: Arc<dyn Clock>) -> Self {
        let Arrival { peer, first } = arrival;
        let InspectorPeer { commands, messages } = peer;
        let outlet = Rc::new(Outlet {
            messages: RefCell::new(Some(messages)),
            paused_unseen: Cell::new(false),
        });
        let channel = Channel::new(Box::new(Sink {
            outlet: outlet.clone(),
            hidden: RefCell::default(),
            clock,
        }));
        Self {
            v8: inspector.connect(
                group,
                channel,
                StringView::empty(),
                V8InspectorClientTrustLevel::FullyTrusted,
            ),
            outlet,
            first: RefCell::new(first.into()),
            commands: RefCell::new(commands),
            left: Cell::new(false),
        }
    }

    /// The next command; the waker of `cx` is woken when there is one later.
    pub fn next(&self, cx: &mut Context<'_>) -> Next {
        if self.left.get() {
            return Next::Nothing;
        }
        if self.outlet.is_lost() {
            return Next::Gone;
        }
        if let Some(command) = self.first.borrow_mut().pop_front() {
            return Next::Command(command);
        }
        match self.commands.borrow_mut().poll_recv(cx) {
            Poll::Ready(Some(command)) => Next::Command(command),
            Poll::Ready(None) => Next::Gone,
            Poll::Pending => Next::Nothing,
        }
    }

    /// Has V8 obey a command. No borrow is held meanwhile.
    pub fn obey(&self, command: &str) {
        if command.contains("\"Debugger.setBlackboxPatterns\"") {
            return self.dispatch(&with_own_patterns(command));
        }
        self.dispatch(command);
        if command.contains("\"Debugger.enable\"") {
            self.own("Debugger.setBlackboxPatterns", json!({ "patterns": NOT_STEPPED_INTO }));
        }
    }

    /// Whether V8 has paused where a client has nothing to see; told once.
    pub fn paused_unseen(&self) -> bool {
        self.outlet.paused_unseen.take()
    }

    /// Has V8 go on to the next function that can be seen.
    pub fn go_on(&self) {
        self.own("Debugger.stepInto", json!({}));
    }

    /// The client is gone: V8 goes on if only it had paused.
    pub fn leave(&self) {
        self.left.set(true);
        self.outlet.messages.borrow_mut().take();
        // Dropping the session would do it too, but V8 may be inside it.
        self.own("Debugger.disable", json!({}));
    }

    fn own(&self, method: &str, params: Value) {
        self.dispatch(&json!({ "id": OWN_ID, "method": method, "params": params }).to_string());
    }

    fn dispatch(&self, command: &str) {
        self.v8.dispatch_protocol_message(StringView::from(command.as_bytes()));
    }
}

/// The client's patterns and ours; what is no such command is left to V8 to refuse.
fn with_own_patterns(command: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(command) else {
        return command.to_owned();
    };
    if let Some(patterns) = value.pointer_mut("/params/patterns").and_then(Value::as_array_mut) {
        patterns.extend(NOT_STEPPED_INTO.map(Value::from));
    }
    value.to_string()
}

/// Where V8's messages go.
struct Outlet {
    /// `None` once nobody takes them.
    messages: RefCell<Option<mpsc::Sender<String>>>,
    /// A pause was not shown.
    paused_unseen: Cell<bool>,
}

impl Outlet {
    fn is_lost(&self) -> bool {
        self.messages.borrow().as_ref().is_none_or(mpsc::Sender::is_closed)
    }

    fn send(&self, message: String) {
        let Some(messages) = self.messages.borrow().clone() else {
            return;
        };
        let sent = match messages.try_send(message) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(message)) => wait_and_send(&messages, message),
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        };
        if !sent {
            self.messages.borrow_mut().take();
        }
    }
}

/// Blocks the thread until there is room. False if there was none in time, or nobody any more.
fn wait_and_send(messages: &mpsc::Sender<String>, message: String) -> bool {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let deadline = Instant::now() + SLOW_CLIENT_MAX;
    let mut room = pin!(messages.reserve());
    loop {
        match room.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(room)) => {
                room.send(message);
                return true;
            }
            Poll::Ready(Err(_)) => return false,
            Poll::Pending => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                std::thread::park_timeout(left);
            }
        }
    }
}

struct Sink {
    outlet: Rc<Outlet>,
    hidden: RefCell<Hidden>,
    clock: Arc<dyn Clock>,
}

impl ChannelImpl for Sink {
    fn send_response(&self, call_id: i32, message: v8::UniquePtr<StringBuffer>) {
        if call_id != OWN_ID
            && let Some(message) = message.as_ref()
        {
            self.outlet.send(message.string().to_string());
        }
    }

    fn send_notification(&self, message: v8::UniquePtr<StringBuffer>) {
        let Some(message) = message.as_ref() else { return };
        match self.hidden.borrow_mut().without(message.string().to_string()) {
            Shown::As(message) => self.outlet.send(described(timed(message, || self.clock.now_ms()))),
            Shown::Not => {}
            Shown::NotPaused => self.outlet.paused_unseen.set(true),
        }
    }

    fn flush_protocol_notifications(&self) {}
}

/// What is printed and thrown, with the time: V8 asks for it in a way that the bindings do not pass on, and says 0.
fn timed(message: String, now_ms: impl FnOnce() -> u64) -> String {
    let is = |method: &str| message.starts_with(&format!("{{\"method\":\"{method}\""));
    if !is("Runtime.consoleAPICalled") && !is("Runtime.exceptionThrown") {
        return message;
    }
    let Ok(mut event) = serde_json::from_str::<Value>(&message) else {
        return message;
    };
    match event.pointer_mut("/params/timestamp") {
        Some(time) if time.as_f64() == Some(0.0) => *time = now_ms().into(),
        _ => return message,
    }
    event.to_string()
}

/// An exception that nothing caught: its stack without the engine's frames, and in a script of the worker's. Where V8 left
/// the exception itself out, what it is called, says and where it comes from is made of the rest; that cannot be unfolded.
fn described(message: String) -> String {
    if !message.starts_with("{\"method\":\"Runtime.exceptionThrown\"") {
        return message;
    }
    let Ok(mut event) = serde_json::from_str::<Value>(&message) else {
        return message;
    };
    let Some(details) = event.pointer_mut("/params/exceptionDetails") else {
        return message;
    };
    let (stack, script) = visible(&details["stackTrace"]["callFrames"]);
    if details["exception"].is_object() {
        // The one that V8 was told (see `Debugger::exception_thrown`) is nobody's.
        match script {
            Some(script) => details["scriptId"] = script.into(),
            None => {
                if let Some(details) = details.as_object_mut() {
                    details.remove("scriptId");
                }
            }
        }
        let exception = &mut details["exception"];
        let said = exception["description"]
            .as_str()
            .filter(|_| exception["subtype"] == "error");
        if let Some(said) = said {
            let said = said.split("\n    at ").next().unwrap_or_default();
            exception["description"] = format!("{said}{stack}").into();
        }
        return event.to_string();
    }
    let text = details["text"].as_str().and_then(|text| text.strip_prefix("Uncaught "));
    let Some(text) = text else { return message };
    let name = text.split(':').next().unwrap_or_default();
    // Something else that was thrown is shown by the text.
    if !name.ends_with("Error") || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return message;
    }
    let description = format!("{text}{stack}");
    let exception = json!({ "type": "object", "subtype": "error", "className": name, "description": description });
    details["exception"] = exception;
    details["text"] = "Uncaught".into();
    event.to_string()
}

/// The frames outside of the engine's scripts as lines of a stack, and the innermost one's script.
fn visible(frames: &Value) -> (String, Option<String>) {
    let (mut lines, mut script) = (String::new(), None);
    for frame in frames.as_array().into_iter().flatten() {
        let url = frame["url"].as_str().unwrap_or_default();
        if url.starts_with(HIDDEN) {
            continue;
        }
        if script.is_none() {
            script = frame["scriptId"].as_str().map(str::to_owned);
        }
        let at = |field: &str| frame[field].as_u64().unwrap_or(0) + 1;
        let place = format!("{url}:{}:{}", at("lineNumber"), at("columnNumber"));
        // Writing to a String cannot fail.
        let _ = match frame["functionName"].as_str() {
            None | Some("") => write!(lines, "\n    at {place}"),
            Some(function) => write!(lines, "\n    at {function} ({place})"),
        };
    }
    (lines, script)
}

/// What a client sees of an event.
#[derive(Debug, PartialEq)]
enum Shown {
    As(String),
    Not,
    /// V8 stands still in the engine's own scripts alone.
    NotPaused,
}

/// The engine's own scripts, by their ids.
#[derive(Default)]
struct Hidden(HashSet<String>);

impl Hidden {
    /// An event without what belongs to the engine: its scripts are not announced, and its frames are not part of a stack
    /// in which the worker's are. Nothing is shown if nothing is left.
    fn without(&mut self, message: String) -> Shown {
        let is = |method: &str| message.starts_with(&format!("{{\"method\":\"{method}\""));
        if is("Debugger.scriptParsed") || is("Debugger.scriptFailedToParse") {
            if !message.contains(&format!("\"url\":\"{HIDDEN}")) {
                return Shown::As(message);
            }
            let event: Value = serde_json::from_str(&message).unwrap_or_default();
            let params = &event["params"];
            if !params["url"].as_str().is_some_and(|url| url.starts_with(HIDDEN)) {
                return Shown::As(message);
            }
            if let Some(id) = params["scriptId"].as_str() {
                self.0.insert(id.to_owned());
            }
            return Shown::Not;
        }
        if !is("Debugger.paused") {
            return Shown::As(message);
        }
        let Ok(mut event) = serde_json::from_str::<Value>(&message) else {
            return Shown::As(message);
        };
        let frames = event.pointer_mut("/params/callFrames").and_then(Value::as_array_mut);
        let hidden = |frame: &Value| {
            let script = frame["location"]["scriptId"].as_str();
            script.is_some_and(|script| self.0.contains(script))
        };
        match frames {
            Some(frames) if !frames.is_empty() => {
                frames.retain(|frame| !hidden(frame));
                if frames.is_empty() {
                    return Shown::NotPaused;
                }
            }
            _ => return Shown::As(message),
        }
        Shown::As(event.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_not_shown() {
        let mut hidden = Hidden::default();
        let mut check = |message: Value, expected: Option<Value>| {
            let shown = match hidden.without(message.to_string()) {
                Shown::As(text) => Some(serde_json::from_str::<Value>(&text).unwrap()),
                Shown::Not => None,
                Shown::NotPaused => Some("not paused".into()),
            };
            assert_eq!(shown, expected, "{message}");
        };
        let event = |method: &str, params: Value| json!({ "method": method, "params": params });
        let parsed = |id: &str, url: &str| event("Debugger.scriptParsed", json!({ "scriptId": id, "url": url }));
        check(parsed("1", "file:///index.js"), Some(parsed("1", "file:///index.js")));
        check(parsed("2", "ext:atoll_js/91_dispatch.js"), None);
        let paused = |ids: &[&str]| {
            let frame = |id: &&str| json!({ "location": { "scriptId": id }, "url": "" });
            let frames: Vec<Value> = ids.iter().map(frame).collect();
            event("Debugger.paused", json!({ "callFrames": frames }))
        };
        check(paused(&["1", "2", "1", "2"]), Some(paused(&["1", "1"])));
        check(paused(&["2", "2"]), Some("not paused".into()));
        check(paused(&[]), Some(paused(&[])));
        let console = event("Runtime.consoleAPICalled", json!({ "args": [{ "url": "ext:x" }] }));
        check(console.clone(), Some(console));
    }

    #[test]
    fn events_have_a_time() {
        let check = |message: &str, expected: &str| assert_eq!(timed(message.to_owned(), || 7), expected);
        check(
            r#"{"method":"Runtime.exceptionThrown","params":{"timestamp":0,"x":"timestamp"}}"#,
            r#"{"method":"Runtime.exceptionThrown","params":{"timestamp":7,"x":"timestamp"}}"#,
        );
        let others = [
            r#"{"method":"Runtime.consoleAPICalled","params":{"timestamp":1.5}}"#,
            r#"{"method":"Debugger.resumed","params":{"timestamp":0}}"#,
            r#"{"method":"Runtime.consoleAPICalled" "#,
        ];
        for message in others {
            check(message, message);
        }
    }

    #[test]
    fn exceptions_are_described() {
        let thrown =
            |details: Value| json!({ "method": "Runtime.exceptionThrown", "params": { "exceptionDetails": details } });
        let frame = |function: &str, url: &str| json!({ "functionName": function, "url": url, "lineNumber": 4, "columnNumber": 6 });
        let frames = [
            frame("fetch", "file:///index.js"),
            frame("run", "ext:a.js"),
            frame("", "file:///b.js"),
        ];
        let details = json!({ "text": "Uncaught TypeError: a: b", "stackTrace": { "callFrames": frames } });
        let shown: Value = serde_json::from_str(&described(thrown(details).to_string())).unwrap();
        let details = &shown["params"]["exceptionDetails"];
        assert_eq!(details["text"], "Uncaught");
        assert_eq!(details["exception"]["className"], "TypeError");
        assert_eq!(
            details["exception"]["description"],
            "TypeError: a: b\n    at fetch (file:///index.js:5:7)\n    at file:///b.js:5:7"
        );
        let whole = json!({
            "text": "Uncaught", "scriptId": "9", "exception": { "subtype": "error", "objectId": "1", "description": "Error: x\n    at ext:a.js:1:1" },
            "stackTrace": { "callFrames": [{ "functionName": "f", "url": "file:///index.js", "scriptId": "4", "lineNumber": 0, "columnNumber": 0 }] },
        });
        let shown: Value = serde_json::from_str(&described(thrown(whole).to_string())).unwrap();
        let details = &shown["params"]["exceptionDetails"];
        assert_eq!(
            details["exception"]["description"],
            "Error: x\n    at f (file:///index.js:1:1)"
        );
        assert_eq!(
            (&details["exception"]["objectId"], &details["scriptId"]),
            (&json!("1"), &json!("4"))
        );
        let others = [
            thrown(json!({ "text": "Uncaught 7" })),
            thrown(json!({ "text": "Uncaught", "exception": { "type": "string" } })),
            thrown(json!({})),
        ];
        for other in others {
            assert_eq!(
                serde_json::from_str::<Value>(&described(other.to_string())).unwrap(),
                other
            );
        }
    }

    #[test]
    fn patterns_are_added() {
        let command = json!({ "id": 1, "method": "Debugger.setBlackboxPatterns", "params": { "patterns": ["x"] } });
        let sent: Value = serde_json::from_str(&with_own_patterns(&command.to_string())).unwrap();
        assert_eq!(sent["params"]["patterns"], json!(["x", "^ext:", "^node:"]));
        assert_eq!(with_own_patterns("no JSON"), "no JSON");
    }
}
