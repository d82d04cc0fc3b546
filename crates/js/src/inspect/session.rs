//! One client of an isolate's debugger.
//!
//! Commands are taken from the client's channel, one at a time. What V8 says goes out at once; when the client's queue is
//! full the isolate's thread waits for it, at most [`SLOW_CLIENT_MAX`], and then gives the client up.

use super::handle::Arrival;
use atoll_worker::InspectorPeer;
use deno_core::v8;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
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
    pub fn new(inspector: &V8Inspector, group: i32, arrival: Arrival) -> Self {
        let Arrival { peer, first } = arrival;
        let InspectorPeer { commands, messages } = peer;
        let outlet = Rc::new(Outlet {
            messages: RefCell::new(Some(messages)),
        });
        let channel = Channel::new(Box::new(Sink(outlet.clone())));
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

struct Sink(Rc<Outlet>);

impl ChannelImpl for Sink {
    fn send_response(&self, call_id: i32, message: v8::UniquePtr<StringBuffer>) {
        if call_id != OWN_ID
            && let Some(message) = message.as_ref()
        {
            self.0.send(message.string().to_string());
        }
    }

    fn send_notification(&self, message: v8::UniquePtr<StringBuffer>) {
        if let Some(message) = message.as_ref()
            && let Some(message) = for_client(message.string().to_string())
        {
            self.0.send(message);
        }
    }

    fn flush_protocol_notifications(&self) {}
}

/// An event without what belongs to the engine: its scripts are not announced, and its frames not part of a stack in
/// which the worker's are. `None` if nothing is left.
fn for_client(message: String) -> Option<String> {
    let is = |method: &str| message.starts_with(&format!("{{\"method\":\"{method}\""));
    let (announced, paused) = (
        is("Debugger.scriptParsed") || is("Debugger.scriptFailedToParse"),
        is("Debugger.paused"),
    );
    if !announced && !paused || !message.contains("\"url\":\"ext:") {
        return Some(message);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(&message) else {
        return Some(message);
    };
    let hidden = |value: &Value| value["url"].as_str().is_some_and(|url| url.starts_with(HIDDEN));
    if announced {
        return (!hidden(&value["params"])).then_some(message);
    }
    if let Some(frames) = value.pointer_mut("/params/callFrames").and_then(Value::as_array_mut)
        && !frames.iter().all(hidden)
    {
        frames.retain(|frame| !hidden(frame));
    }
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_not_shown() {
        let check = |message: Value, expected: Option<Value>| {
            let shown = for_client(message.to_string());
            let shown = shown.map(|text| serde_json::from_str::<Value>(&text).unwrap());
            assert_eq!(shown, expected, "{message}");
        };
        // Fields in V8's order.
        let event = |method: &str, params: Value| {
            let text = format!("{{\"method\":\"{method}\",\"params\":{params}}}");
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let parsed = |url: &str| event("Debugger.scriptParsed", json!({ "scriptId": "1", "url": url }));
        check(parsed("file:///index.js"), Some(parsed("file:///index.js")));
        check(parsed("ext:atoll_js/91_dispatch.js"), None);
        let paused = |urls: &[&str]| {
            let frames: Vec<Value> = urls.iter().map(|url| json!({ "url": url })).collect();
            event("Debugger.paused", json!({ "callFrames": frames }))
        };
        check(
            paused(&["file:///a.js", "ext:core/01_core.js"]),
            Some(paused(&["file:///a.js"])),
        );
        check(
            paused(&["ext:a.js", "ext:b.js"]),
            Some(paused(&["ext:a.js", "ext:b.js"])),
        );
        let console = event("Runtime.consoleAPICalled", json!({ "args": [{ "url": "ext:x" }] }));
        check(console.clone(), Some(console));
    }

    #[test]
    fn patterns_are_added() {
        let command = json!({ "id": 1, "method": "Debugger.setBlackboxPatterns", "params": { "patterns": ["x"] } });
        let sent: Value = serde_json::from_str(&with_own_patterns(&command.to_string())).unwrap();
        assert_eq!(sent["params"]["patterns"], json!(["x", "^ext:", "^node:"]));
        assert_eq!(with_own_patterns("no JSON"), "no JSON");
    }
}
