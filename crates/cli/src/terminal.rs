//! The terminal: where lines go, and the keys and signals that come from it.
//!
//! Keys are read one by one without waiting for a line, but everything else of the terminal stays as it was: signals are still
//! made by the terminal itself, line ends are still translated. The former state comes back when [`Keys`] is dropped, a
//! panic's unwinding included.

use std::io::{self, IsTerminal as _, Write as _};
use tokio::sync::mpsc;

/// Inputs that wait while the session is busy; more are dropped: nobody types this far ahead.
const INPUTS_MAX: usize = 64;

/// What a person or the system tells a running session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(char),
    /// Ctrl-C: stop, the second time at once.
    Interrupt,
    /// SIGTERM, and for a session a terminal that went away: stop.
    Terminate,
    /// SIGHUP, to a server: read everything again.
    Reload,
    /// SIGUSR2, to a server: replace the child processes one after the other.
    Restart,
}

/// Who listens to signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// A person's session: SIGHUP is a terminal that went away.
    Session,
    /// A server: SIGHUP and SIGUSR2 tell it to do something.
    Server,
}

/// Where a session's lines go. A line that cannot be written is lost: there is nobody to tell.
pub trait Terminal: Send + Sync {
    /// To standard output. `text` is whole lines, the last line end included.
    fn out(&self, text: &str);
    /// Bytes to standard output: as they are, where that is possible.
    fn bytes(&self, bytes: &[u8]) {
        self.out(&String::from_utf8_lossy(bytes));
    }
    /// To standard error.
    fn err(&self, text: &str);
    /// Whether colours and key hints make sense.
    fn is_terminal(&self) -> bool;
    /// Empties the screen.
    fn clear(&self);
    /// Shows a page in the user's browser. An error says why it could not be started.
    fn open_browser(&self, url: &str) -> Result<(), String>;
}

/// The terminal of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTerminal;

impl Terminal for SystemTerminal {
    fn out(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn bytes(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    fn err(&self, text: &str) {
        let mut out = io::stderr().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    fn clear(&self) {
        // Home, erase the screen, erase what scrolled away (ECMA-48, and xterm's 3J).
        self.out("\x1b[H\x1b[2J\x1b[3J");
    }

    fn open_browser(&self, url: &str) -> Result<(), String> {
        let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
            ("open", &[])
        } else if cfg!(windows) {
            ("rundll32", &["url.dll,FileProtocolHandler"])
        } else {
            ("xdg-open", &[])
        };
        let null = std::process::Stdio::null;
        let mut command = tokio::process::Command::new(program);
        let child = command
            .args(arguments)
            .arg(url)
            .stdin(null())
            .stdout(null())
            .stderr(null())
            .spawn();
        // Not waited for: the runtime collects it when it ends.
        child.map(drop).map_err(|error| format!("{program}: {error}"))
    }
}

/// Inputs as they come. Ends with the process.
pub type Inputs = mpsc::Receiver<Input>;

/// Starts to listen to signals and, if `keys`, to the keyboard (if that is a terminal). Within a tokio runtime.
pub fn inputs(keys: bool, listener: Listener) -> io::Result<(Inputs, Option<Keys>)> {
    let (send, receive) = mpsc::channel(INPUTS_MAX);
    signals(&send, listener)?;
    let keys = keys.then(|| Keys::start(send)).flatten();
    Ok((receive, keys))
}

#[cfg(unix)]
fn signals(send: &mpsc::Sender<Input>, listener: Listener) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut kinds = vec![
        (SignalKind::interrupt(), Input::Interrupt),
        (SignalKind::terminate(), Input::Terminate),
    ];
    match listener {
        Listener::Session => kinds.push((SignalKind::hangup(), Input::Terminate)),
        Listener::Server => kinds.extend([
            (SignalKind::hangup(), Input::Reload),
            (SignalKind::user_defined2(), Input::Restart),
        ]),
    }
    for (kind, input) in kinds {
        let mut signal = signal(kind)?;
        let send = send.clone();
        // Ends when the session, which holds the receiver, does.
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    got = signal.recv() => if got.is_none() { break },
                    () = send.closed() => break,
                }
                // A full queue has an older one of its kind in it.
                let _ = send.try_send(input);
            }
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn signals(send: &mpsc::Sender<Input>, _listener: Listener) -> io::Result<()> {
    let send = send.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() && !send.is_closed() {
            let _ = send.try_send(Input::Interrupt);
        }
    });
    Ok(())
}

#[cfg(unix)]
pub use unix::Keys;

#[cfg(unix)]
mod unix {
    use super::Input;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr};
    use std::io::{self, IsTerminal as _};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;
    use tokio::sync::mpsc;

    /// How often the reading thread looks whether it should end, nanoseconds.
    const LOOK_NANOSECONDS: i64 = 100_000_000;

    /// Single keys instead of lines, for as long as this lives.
    #[derive(Debug)]
    pub struct Keys {
        former: Termios,
        stop: Arc<AtomicBool>,
        reader: Option<JoinHandle<()>>,
    }

    impl Keys {
        /// `None` if standard input is no terminal, or not ours (a job in the background).
        pub(super) fn start(send: mpsc::Sender<Input>) -> Option<Self> {
            let input = io::stdin();
            if !input.is_terminal() || tcgetpgrp(&input).ok()? != rustix::process::getpgrp() {
                return None;
            }
            let former = tcgetattr(&input).ok()?;
            let mut modes = former.clone();
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            let stop = Arc::new(AtomicBool::new(false));
            let stopping = Arc::clone(&stop);
            // A thread of its own: a read of a terminal cannot be cancelled, and it must not keep a shared pool from ending.
            let reader = std::thread::Builder::new()
                .name("keys".to_owned())
                .spawn(move || read(&stopping, &send))
                .ok()?;
            let keys = Self {
                former,
                stop,
                reader: Some(reader),
            };
            // On failure the drop of `keys` stops the thread.
            tcsetattr(&input, OptionalActions::Now, &modes).ok()?;
            Some(keys)
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            self.stop.store(true, Ordering::Relaxed);
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.former);
            if let Some(reader) = self.reader.take() {
                let _ = reader.join();
            }
        }
    }

    fn read(stop: &AtomicBool, send: &mpsc::Sender<Input>) {
        let input = io::stdin();
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: LOOK_NANOSECONDS,
        };
        let mut bytes = [0; 64];
        while !stop.load(Ordering::Relaxed) {
            let mut waiting = [PollFd::new(&input, PollFlags::IN)];
            match poll(&mut waiting, Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => return,
            }
            let Ok(count @ 1..) = rustix::io::read(&input, &mut bytes) else {
                return;
            };
            // A key that sends several bytes (arrows, letters beyond ASCII) means nothing here.
            if let [byte] = bytes[..count]
                && byte.is_ascii_graphic()
            {
                let _ = send.try_send(Input::Key(char::from(byte)));
            }
        }
    }
}

/// No keys on this system.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Keys;

#[cfg(not(unix))]
impl Keys {
    fn start(_: mpsc::Sender<Input>) -> Option<Self> {
        None
    }
}
