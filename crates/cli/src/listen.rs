//! Which port is free when the chosen one is not, and under what a listener can be opened.

use crate::target::ListenError;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// How many ports after the chosen one are tried before the system is asked for any.
const PORTS_TRIED: u16 = 64;

/// A port of `host` after `port` that nobody has at this moment.
fn free_port(host: IpAddr, port: u16) -> Option<u16> {
    let free = |port: u16| {
        let listener = TcpListener::bind(SocketAddr::new(host, port)).ok()?;
        listener.local_addr().ok().map(|address| address.port())
    };
    (1..=PORTS_TRIED)
        .filter_map(|step| port.checked_add(step))
        .find_map(free)
        .or_else(|| free(0))
}

/// What to tell about a listener that could not be had by `atoll COMMAND`: a line, and what to do.
pub(crate) fn explain(error: &ListenError, command: &str) -> (String, String) {
    let advice = match error {
        ListenError::InUse { host, port } => match free_port(*host, *port) {
            Some(free) => {
                format!("Port {free} is free: run `atoll {command} --port {free}`, or stop what has port {port}.")
            }
            None => format!("Stop what has port {port}, or choose another with --port."),
        },
        ListenError::Other { address, .. } if address.port() > 0 && address.port() < 1024 => {
            "Ports below 1024 are often kept for administrators: choose another with --port.".to_owned()
        }
        ListenError::Other { .. } => "Check --host, --port, the certificate and --geo-db.".to_owned(),
    };
    (error.to_string(), advice)
}

/// The same about the inspector's.
pub(crate) fn explain_inspector(error: &ListenError) -> (String, String) {
    let advice = match error {
        ListenError::InUse { host, port } => match free_port(*host, *port) {
            Some(free) => format!(
                "Port {free} is free: say `--inspector-port {free}`, or stop what has port {port} (another `atoll dev`, or a \
                 Node.js program that is debugged)."
            ),
            None => format!("Stop what has port {port}, or choose another with --inspector-port."),
        },
        ListenError::Other { address, .. } if address.port() > 0 && address.port() < 1024 => {
            "Ports below 1024 are often kept for administrators: choose another with --inspector-port.".to_owned()
        }
        ListenError::Other { .. } => "Check --inspector-port and --inspector-ip.".to_owned(),
    };
    (format!("debuggers cannot be let in: {error}"), advice)
}

/// The addresses under which the server can be opened, the one to show first.
pub(crate) fn urls(address: SocketAddr, https: bool) -> Vec<String> {
    let scheme = if https { "https" } else { "http" };
    let port = address.port();
    if address.ip().is_unspecified() {
        return vec![format!("{scheme}://localhost:{port}"), format!("{scheme}://{address}")];
    }
    vec![format!("{scheme}://{address}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_has_a_free_neighbour() {
        let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = busy.local_addr().expect("an address").port();
        let host = IpAddr::from([127, 0, 0, 1]);
        let (title, advice) = explain(&ListenError::InUse { host, port }, "dev");
        assert_eq!(title, format!("port {port} of 127.0.0.1 is in use"));
        let free: u16 = advice
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect("a port");
        assert_ne!(free, port);
        TcpListener::bind((host, free)).expect("it is free");
    }

    #[test]
    fn addresses() {
        let check = |address: &str, https, expected: &[&str]| {
            assert_eq!(urls(address.parse().expect("an address"), https), expected, "{address}");
        };
        check("127.0.0.1:8787", false, &["http://127.0.0.1:8787"]);
        check("[::1]:1", true, &["https://[::1]:1"]);
        check("0.0.0.0:80", false, &["http://localhost:80", "http://0.0.0.0:80"]);
    }
}
