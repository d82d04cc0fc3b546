//! What comes over an RPC link, when the other end says anything: one message, its head in the first line, V8's serialized
//! data behind it.
//!
//! A call that is sound goes after it. The event must answer that one, or end; whatever it said, the isolate lives and
//! serves the next event.

use atoll_js::{JsEngine, JsEngineOptions, StartupSnapshot};
use atoll_model::{CompatDate, Limits, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::SystemClock;
use atoll_stdx::fuzz::{Check, Inputs, Target, Verdict, Wrong};
use atoll_worker::rpc::{self, RpcMessage};
use atoll_worker::{
    Cancel, Engine, Entry, Environment, Event, EventContext, Instance, InstanceState, Job, JsException, LogRecord,
    LogSink, Reply,
};
use bytes::Bytes;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

const WORKER: &str = r#"
import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
class Counter extends RpcTarget { #n = 0; add(n) { return this.#n += n; } }
export default class extends WorkerEntrypoint {
  echo(...all) { return all; }
  counter() { return new Counter(); }
  get name() { return "x"; }
  call(f, ...all) { return f(...all); }
}
"#;
/// Inputs of one isolate.
const BATCH: usize = 200;
/// How long one message may take to be answered.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(10);
/// The stack of an isolate's thread, bytes: unoptimized Rust between V8's frames needs much.
const STACK_BYTES: usize = 8 << 20;
/// The question that is sound.
const SOUND: u32 = 900_001;

/// `[[1], []]`: the arguments of a call, and no extras.
const DATA: Inputs = Inputs::new(
    &[
        b"[\"c\",1,0,[\"echo\"],false,[]]\n\xff\x0fA\x02A\x01I\x02$\x00\x01A\x00$\x00\x00$\x00\x02",
        b"[\"c\",1,0,[\"counter\"],false,[]]\n\xff\x0fA\x02A\x00$\x00\x00A\x00$\x00\x00$\x00\x02",
        b"[\"c\",1,0,[\"name\"],true,[]]\n",
        b"[\"c\",1,0,[\"call\"],false,[[\"s\",3]]]\n\xff\x0fA\x02A\x01\\\x00$\x00\x01A\x00$\x00\x00$\x00\x02",
        b"[\"c\",1,0,[\"echo\"],false,[[\"e\",\"TypeError\"],[\"h\",[\"a\",\"b\"]],[\"d\",\"AbortError\",\"m\"]]]\n\xff\x0fA\x02A\x02o\"\x01aI\x02\"\x01b;I\x02I\x04:\x02{\x02'I\x02,\x01$\x00\x02A\x00$\x00\x00$\x00\x02",
        b"[\"r\",1,true,[]]\n\xff\x0fA\x02T\x00A\x00$\x00\x00$\x00\x02",
        b"[\"c\",2,[1],[\"add\"],false,[]]\n\xff\x0fA\x02A\x01N\x00\x00\x00\x00\x00\x00\xf0?$\x00\x01A\x00$\x00\x00$\x00\x02",
        b"[\"f\",1]\n",
        b"[\"x\",0]\n",
        b"[\"c\",1,0,[\"echo\"],false,[]]\n\xff\x0fA\x02A\x02B\x04abcdVB\x00\x04\x00D\x00\x00\x00\x00\x00\x00\xf0?$\x00\x02A\x00$\x00\x00$\x00\x02",
    ],
    &[
        "[", "]", ",", "\"c\"", "\"r\"", "\"f\"", "\"x\"", "\"echo\"", "\"constructor\"", "\"__proto__\"", "\"then\"", "[\"s\",1]",
        "[\"y\",0]", "[\"v\",0]", "[\"i\",0]", "[\"o\",0]", "[\"q\",\"GET\",\"http://a/\",[],\"follow\",0,null]",
        "[\"p\",200,\"\",[],0,0,false,\"\",false]", "true", "null", "{}", "\n", "A", "o", "{", "}", "$", "@", ";", ":", "'", ",", "B",
        "V", "~", "^", "I", "N", "Z", "U", "S", "\"", "c", "R", "D", "r", "u", "t", "w", "W", "\\", "T", "F", "_", "0", "-", "\u{0}",
        "\u{1}", "\u{2}", "\u{7f}",
    ],
);

pub fn target() -> Target {
    Target {
        name: "rpc",
        inputs: DATA,
        check: Check::Batch {
            size: BATCH,
            judge: Box::new(|inputs| {
                let inputs = inputs.to_vec();
                let thread = std::thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn(move || judge(&inputs));
                // A thread that panicked has told it by its panic.
                thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_default()
            }),
        },
        refuses: true,
        time_max: MESSAGE_TIME_MAX * 20,
    }
}

struct Silent;

impl LogSink for Silent {
    fn log(&self, _: LogRecord) {}

    fn exception(&self, _: Option<RequestId>, _: JsException) {}
}

fn judge(inputs: &[Vec<u8>]) -> Vec<Result<Verdict, Wrong>> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let version = WorkerVersion {
        tenant: TenantId::new("suite"),
        name: WorkerName::new("suite"),
        id: "suite".into(),
        main_module: "worker.js".into(),
        modules: vec![crate::engine::esm("worker.js", WORKER)],
        compat_date: CompatDate::new(2026, 8, 1),
        compat_flags: Vec::new(),
        bindings: Vec::new(),
        crons: Vec::new(),
        tail_consumers: Vec::new(),
        limits: Limits::default(),
        outbound: Default::default(),
        created_ms: 0,
        tag: String::new(),
    };
    let env = Environment {
        bindings: Vec::new(),
        own: atoll_worker::ServiceStub::nowhere(),
        outbound_route: atoll_worker::OutboundRoute::Network,
        outbound: Arc::new(crate::Nothing),
        cache: Arc::new(atoll_worker::cache::NoCache),
        logs: Arc::new(Silent),
        clock: Arc::new(SystemClock),
    };
    let engine = JsEngine::new(JsEngineOptions {
        startup_snapshot: Some(StartupSnapshot {
            heap: atoll_js_snapshot::STARTUP_SNAPSHOT,
            later: atoll_js_snapshot::LATER_SCRIPTS,
        }),
        conformance: false,
    });
    let inside = runtime.enter();
    let Ok(mut instance) = engine.instantiate(Arc::new(version), env) else {
        return Vec::new();
    };
    let mut verdicts = Vec::new();
    for input in inputs {
        let verdict = runtime.block_on(async {
            tokio::time::timeout(MESSAGE_TIME_MAX, one(instance.as_mut(), input))
                .await
                .unwrap_or_else(|_| Err(format!("no answer and no end after {MESSAGE_TIME_MAX:?}")))
        });
        let over = verdict.is_err();
        verdicts.push(verdict);
        if over {
            break;
        }
    }
    drop(instance);
    drop(inside);
    verdicts
}

async fn one(instance: &mut dyn Instance, input: &[u8]) -> Result<Verdict, Wrong> {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let message = RpcMessage {
        head: String::from_utf8_lossy(&input[..end]).into_owned(),
        data: Bytes::copy_from_slice(input.get(end + 1..).unwrap_or_default()),
        channels: Vec::new(),
    };
    let sound = RpcMessage {
        head: format!("[\"c\",{SOUND},0,[\"echo\"],false,[]]"),
        ..RpcMessage::default()
    };
    let (mut mine, theirs) = rpc::link();
    let (reply, mut reply_to) = Reply::channel();
    let ctx = EventContext {
        tenant: TenantId::new("suite"),
        worker: WorkerName::new("suite"),
        request_id: RequestId(1),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: Entry::default(),
        route: None,
    };
    instance.deliver(Box::new(Job {
        ctx,
        event: Event::Rpc(theirs),
        reply,
    }));
    for message in [message, sound] {
        mine.send(message).map_err(|error| error.to_string())?;
    }
    let answered = format!("[\"r\",{SOUND},");
    let mut verdict = Verdict::Refused;
    let mut replied = false;
    poll_fn(|cx| {
        if instance.poll(cx) == InstanceState::Broken {
            return Poll::Ready(Err(format!("the isolate broke: {:?}", instance.fault())));
        }
        while let Poll::Ready(message) = mine.poll_recv(cx) {
            match message {
                Some(message) if message.head.starts_with(&answered) => return Poll::Ready(Ok(())),
                Some(message) if message.head.starts_with("[\"r\"") && message.head.contains(",true,") => {
                    verdict = Verdict::Taken;
                }
                Some(_) => {}
                None => return Poll::Ready(Ok(())),
            }
        }
        if Pin::new(&mut reply_to).poll(cx).is_ready() {
            replied = true;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await?;
    // The link goes, and the event with it.
    drop(mine);
    if !replied {
        poll_fn(|cx| {
            if instance.poll(cx) == InstanceState::Broken {
                return Poll::Ready(Err(format!("the isolate broke: {:?}", instance.fault())));
            }
            Pin::new(&mut reply_to).poll(cx).map(|_| Ok(()))
        })
        .await?;
    }
    Ok(verdict)
}
