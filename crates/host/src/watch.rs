//! Events as they are given to versions and as they end, for whoever counts them.
//!
//! The watch sees what nobody else does: events that have begun and do not end, those that other workers send, and which version
//! had them. It is called on the task of each event and must not block.

use atoll_model::WorkerVersion;
use atoll_worker::{Event, EventContext, Fault, Outcome};

/// Where an event comes from, and of which kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A request of a client: the front tells what becomes of it, too.
    Client,
    /// A `fetch` by another worker, or by the worker itself.
    Service,
    /// A cron's tick, calls of methods, trace items: what may go on for long.
    Other,
}

/// Is told of every event that a version is given, but for those by which a deployment looks at it.
pub trait EventWatch: Send + Sync + 'static {
    /// The version is given an event. What is returned is told its end; dropped without that, nobody waits for the event any
    /// more. `None`: its end is of no interest.
    fn begins(&self, version: &WorkerVersion, origin: Origin) -> Option<Box<dyn EventEnd>>;
}

/// An event under way.
pub trait EventEnd: Send {
    /// How it ended: with a response's head, for a request. `None`: the version was on its way out and did not take it.
    fn ends(self: Box<Self>, answer: Option<&Result<Outcome, Fault>>);
}

/// Of an event on its way into a version; `None` if nobody is told of it.
pub(crate) fn origin(ctx: &EventContext, event: &Event) -> Option<Origin> {
    let own = ctx.request_id.0 & crate::host::OWN_EVENTS != 0;
    match event {
        Event::Describe | Event::Test => None,
        Event::Fetch(_) if !own => Some(Origin::Client),
        Event::Fetch(_) => Some(Origin::Service),
        Event::Scheduled(_) | Event::Rpc(_) | Event::Tail(_) => Some(Origin::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogEvent;
    use crate::testing::{Gate, context, event, host, version};
    use atoll_model::WorkerName;
    use atoll_worker::Dispatch as _;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    struct End(Seen, bool);

    impl Seen {
        fn say(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl EventWatch for Seen {
        fn begins(&self, version: &WorkerVersion, origin: Origin) -> Option<Box<dyn EventEnd>> {
            self.say(format!("{} {origin:?}", version.id));
            Some(Box::new(End(self.clone(), false)))
        }
    }

    impl EventEnd for End {
        fn ends(mut self: Box<Self>, answer: Option<&Result<Outcome, Fault>>) {
            self.1 = true;
            let how = match answer {
                None => "given back",
                Some(Ok(_)) => "well",
                Some(Err(_)) => "badly",
            };
            self.0.say(how.to_owned());
        }
    }

    impl Drop for End {
        fn drop(&mut self) {
            if !self.1 {
                self.0.say("left".to_owned());
            }
        }
    }

    #[tokio::test]
    async fn what_ends_in_a_fault_is_told_to_whoever_listens() {
        let gate = Gate::default();
        let (host, worker) = (host(&gate), WorkerName::new("w"));
        host.deploy(Arc::new(version("w", "1")), None).await.unwrap();
        // Nobody listens.
        let _ = host.dispatch(&worker, context(), event("who")).await;
        let mut tail = host.logs().tail(8);
        // Workers here throw their version's id; what is not there has nobody to blame.
        let _ = host.dispatch(&worker, context(), event("who")).await;
        let _ = host.dispatch(&WorkerName::new("nobody"), context(), event("who")).await;
        let told = tail.try_next().unwrap();
        let LogEvent::Failed(origin, failed) = &*told else {
            panic!("{told:?}")
        };
        assert_eq!((origin.worker.as_str(), &*origin.version), ("w", "1"));
        assert_eq!(failed.request_id, context().request_id);
        assert_eq!(failed.fault.message, "1");
        assert!(tail.try_next().is_none());
    }

    #[tokio::test]
    async fn every_event_is_told_with_its_end() {
        let gate = Gate::default();
        let (host, seen, worker) = (host(&gate), Seen::default(), WorkerName::new("w"));
        host.watch(Arc::new(seen.clone()));
        host.deploy(Arc::new(version("w", "1")), None).await.unwrap();
        // A deployment looks at it: that is nobody's event.
        assert_eq!(seen.take(), Vec::<String>::new());
        // Workers here throw their version's id.
        let _ = host.dispatch(&worker, context(), event("who")).await;
        let told = seen.take();
        assert!(told[0].starts_with("1 ") && told[1] == "badly", "{told:?}");
        let held = tokio::spawn({
            let (host, worker) = (host.clone(), worker.clone());
            async move { host.dispatch(&worker, context(), event("hold")).await.map(|_| ()) }
        });
        gate.entered().await;
        held.abort();
        assert!(held.await.unwrap_err().is_cancelled());
        assert_eq!(seen.take()[1..], ["left"]);
        gate.open();
    }
}
