//! What a person types, or what is piped in: confirmations, tokens, secrets, values.
//!
//! A secret is asked for with the terminal's echo switched off; the former state comes back whatever happens.

use std::io::{self, IsTerminal as _, Read as _};

/// Standard input.
pub trait Input: Send + Sync {
    /// Is there a person who can be asked?
    fn is_terminal(&self) -> bool;
    /// Nothing that is typed is shown for as long as the guard lives. It is held by whoever waits for the line, not by the
    /// thread that reads it: a wait that is given up gives the terminal back.
    fn quiet(&self) -> Option<Box<dyn Send>>;
    /// A line without its end. Blocks. An end before any byte is `UnexpectedEof`.
    fn line(&self) -> io::Result<String>;
    /// All of it. Blocks. One byte more than `limit` is `InvalidData`.
    fn all(&self, limit: u64) -> io::Result<Vec<u8>>;
}

/// That of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemInput;

impl Input for SystemInput {
    fn is_terminal(&self) -> bool {
        io::stdin().is_terminal()
    }

    fn quiet(&self) -> Option<Box<dyn Send>> {
        echo::Off::begin().map(|off| Box::new(off) as _)
    }

    fn line(&self) -> io::Result<String> {
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn all(&self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)?;
        check(&bytes, limit)?;
        Ok(bytes)
    }
}

/// Not more than `limit`.
pub(crate) fn check(bytes: &[u8], limit: u64) -> io::Result<()> {
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("more than {limit} bytes, the most that is read"),
        ));
    }
    Ok(())
}

#[cfg(unix)]
mod echo {
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
    use std::io;

    /// The terminal shows nothing for as long as this lives.
    pub(super) struct Off(Termios);

    impl Off {
        /// `None` if standard input is no terminal.
        pub(super) fn begin() -> Option<Self> {
            let former = tcgetattr(io::stdin()).ok()?;
            let mut modes = former.clone();
            modes.local_modes.remove(LocalModes::ECHO);
            // The line end is shown: the next line begins at its beginning.
            modes.local_modes.insert(LocalModes::ECHONL);
            tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok()?;
            Some(Self(former))
        }
    }

    impl Drop for Off {
        fn drop(&mut self) {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        }
    }
}

#[cfg(not(unix))]
mod echo {
    pub(super) struct Off;

    impl Off {
        pub(super) fn begin() -> Option<Self> {
            None
        }
    }
}
