use super::*;
use crate::testing::version;
use atoll_worker::InspectorPeer;
use serde_json::{Value, json};

/// An isolate's debugger that does nothing by itself.
#[derive(Default)]
struct Fake {
    attached: Mutex<Vec<(InspectorPeer, Vec<String>)>>,
    over: AtomicBool,
}

impl Inspector for Fake {
    fn attach(self: Arc<Self>, first: Vec<String>) -> InspectorSession {
        let (session, peer) = InspectorSession::pair();
        self.attached.lock().unwrap().push((peer, first));
        session
    }

    fn is_live(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

impl Fake {
    fn start(debuggers: &Debuggers, name: &str) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        debuggers.started(&Arc::new(version(name, "1")), fake.clone());
        fake
    }

    /// The last client that attached.
    fn peer(&self) -> (InspectorPeer, Vec<String>) {
        self.attached.lock().unwrap().pop().expect("nobody attached")
    }
}

fn debuggers() -> Arc<Debuggers> {
    let debuggers = Debuggers::new();
    assert!(!debuggers.are_wanted());
    debuggers.open();
    assert!(debuggers.are_wanted());
    debuggers
}

fn id_of(command: &str) -> i64 {
    serde_json::from_str::<Value>(command).unwrap()["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_session_lives_through_reloads() {
    let debuggers = debuggers();
    let first = Fake::start(&debuggers, "w");
    assert!(debuggers.connect("other").is_none());
    let mut session = debuggers.connect("w").unwrap();
    let (mut peer, told) = first.peer();
    assert!(told.is_empty());
    let enable = json!({ "id": 1, "method": "Debugger.enable" }).to_string();
    session.commands.send(enable.clone()).await.unwrap();
    assert_eq!(peer.commands.recv().await.unwrap(), enable);
    let answer = "{\"id\":1,\"result\":{}}".to_owned();
    peer.messages.send(answer.clone()).await.unwrap();
    assert_eq!(session.messages.recv().await.unwrap(), answer);

    // A new version: the old isolate is let go, the new one is told, the client sees a new page.
    let second = Fake::start(&debuggers, "w");
    let (mut next, told) = second.peer();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("Debugger.enable"), "{told:?}");
    assert!(peer.commands.recv().await.is_none());
    let cleared = session.messages.recv().await.unwrap();
    assert!(cleared.contains("executionContextsCleared"), "{cleared}");
    let own = format!("{{\"id\":{},\"result\":{{}}}}", id_of(&told[0]));
    next.messages.send(own).await.unwrap();
    let command = json!({ "id": 2, "method": "Runtime.evaluate" }).to_string();
    session.commands.send(command.clone()).await.unwrap();
    assert_eq!(next.commands.recv().await.unwrap(), command);

    // The isolate breaks: its command is answered, the next isolate gets what comes later.
    second.over.store(true, Ordering::Relaxed);
    first.over.store(true, Ordering::Relaxed);
    drop(next);
    let command = json!({ "id": 3, "method": "Runtime.evaluate" }).to_string();
    session.commands.send(command.clone()).await.unwrap();
    let third = Fake::start(&debuggers, "w");
    let error = session.messages.recv().await.unwrap();
    assert!(error.starts_with("{\"id\":2,\"error\""), "{error}");
    assert!(
        session
            .messages
            .recv()
            .await
            .unwrap()
            .contains("executionContextsCleared")
    );
    let (mut last, _) = third.peer();
    assert_eq!(last.commands.recv().await.unwrap(), command);

    debuggers.close(Duration::from_secs(5)).await;
    assert!(session.messages.recv().await.is_none());
    assert!(last.commands.recv().await.is_none());
    assert!(debuggers.targets().is_empty());
}

#[tokio::test]
async fn a_client_that_goes_lets_the_isolate_go() {
    let debuggers = debuggers();
    let isolate = Fake::start(&debuggers, "w");
    let session = debuggers.connect("w").unwrap();
    let (mut peer, _) = isolate.peer();
    drop(session);
    assert!(peer.commands.recv().await.is_none());
    let mut held = Vec::new();
    for _ in 0..CLIENTS_MAX {
        held.push(debuggers.connect("w").unwrap());
    }
    assert!(debuggers.connect("w").is_none());
    debuggers.forget(&TenantId::new("t"), &WorkerName::new("w"));
    for mut session in held {
        assert!(session.messages.recv().await.is_none());
    }
    assert!(debuggers.connect("w").is_none());
}
