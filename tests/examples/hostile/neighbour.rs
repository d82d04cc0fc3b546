//! The neighbour's client: asks all the time, and checks every answer.

use super::attack::{Request, get};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// An answer that takes longer is none.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answers: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// Asks until it is dropped.
pub struct Neighbour {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Neighbour {
    pub fn start(address: SocketAddr) -> Self {
        let shared = Arc::<Shared>::default();
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            for number in 0_u64.. {
                if own.stop.load(Ordering::Relaxed) {
                    return;
                }
                let path = format!("/{number}");
                let request = Request {
                    host: "neighbour.localhost",
                    path: &path,
                };
                let right = format!("{}", number * number);
                match get(address, &request, DEADLINE) {
                    Ok((200, body)) if body == right.as_bytes() => drop(own.answers.fetch_add(1, Ordering::Relaxed)),
                    Ok((status, body)) => {
                        let body = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
                        own.failures.lock().unwrap().push(format!("{status} {body:?}"));
                    }
                    Err(error) => own.failures.lock().unwrap().push(format!("{error:#}")),
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// How many answers there are.
    pub fn begin(&self) -> u64 {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// How many there are since `begin`, at least one of them begun after this call, and all failures so far.
    pub fn end(&self, begin: u64) -> (u64, Vec<String>) {
        // The one that is under way, and one more.
        let now = self.begin();
        let deadline = std::time::Instant::now() + 3 * DEADLINE;
        while self.begin() < now + 2
            && self.shared.failures.lock().unwrap().is_empty()
            && std::time::Instant::now() < deadline
        {
            std::thread::sleep(PAUSE);
        }
        let failures = std::mem::take(&mut *self.shared.failures.lock().unwrap());
        (self.begin() - begin, failures)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
