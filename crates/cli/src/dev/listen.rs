//! Where to listen: the flags, over the configuration, over the defaults; and which port is free when the chosen one is not.

use crate::args::{DevArgs, LocalProtocol, PORT_DEFAULT};
use crate::config::{DevSettings, normal_path};
use crate::target::{DevListen, ListenError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

/// How many ports after the chosen one are tried before the system is asked for any.
const PORTS_TRIED: u16 = 64;

/// The settings of `args` over those of the configuration.
pub(super) fn settings(args: &DevArgs, settings: &DevSettings, cwd: &Path) -> DevListen {
    let certificate = args.https_cert_path.as_ref().zip(args.https_key_path.as_ref());
    let absolute = |path: &Path| normal_path(&cwd.join(path));
    DevListen {
        host: args.host.or(settings.ip).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: args.port.or(settings.port).unwrap_or(PORT_DEFAULT),
        https: args
            .local_protocol
            .map(|protocol| protocol == LocalProtocol::Https)
            .or(settings.https)
            .unwrap_or(false),
        certificate: certificate.map(|(chain, key)| (absolute(chain), absolute(key))),
        geo: args.geo_db.iter().map(|path| absolute(path)).collect(),
    }
}

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

/// What to tell about a listener that could not be had: a line, and what to do.
pub(super) fn explain(error: &ListenError) -> (String, String) {
    let advice = match error {
        ListenError::InUse { host, port } => match free_port(*host, *port) {
            Some(free) => format!("Port {free} is free: run `atoll dev --port {free}`, or stop what has port {port}."),
            None => format!("Stop what has port {port}, or choose another with --port."),
        },
        ListenError::Other { address, .. } if address.port() > 0 && address.port() < 1024 => {
            "Ports below 1024 are often kept for administrators: choose another with --port.".to_owned()
        }
        ListenError::Other { .. } => "Check --host, --port, the certificate and --geo-db.".to_owned(),
    };
    (error.to_string(), advice)
}

/// The addresses under which the server can be opened, the one to show first.
pub(super) fn urls(address: SocketAddr, https: bool) -> Vec<String> {
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
    use crate::args::{Cli, Command};

    #[test]
    fn flags_win() {
        let check = |line: &str, configured: &DevSettings, expected: &str| {
            let cli = Cli::read(std::iter::once("atoll").chain(line.split_whitespace())).expect(line);
            let Command::Dev(args) = cli.command else {
                panic!("{line}")
            };
            let listen = settings(&args, configured, Path::new("/p"));
            let scheme = if listen.https { "https" } else { "http" };
            assert_eq!(format!("{scheme} {} {}", listen.host, listen.port), expected, "{line}");
        };
        let nothing = DevSettings::default();
        let configured = DevSettings {
            ip: Some([0, 0, 0, 0].into()),
            port: Some(3000),
            https: Some(true),
            ..DevSettings::default()
        };
        check("dev", &nothing, "http 127.0.0.1 8787");
        check("dev", &configured, "https 0.0.0.0 3000");
        check(
            "dev --host ::1 --port 1 --local-protocol http",
            &configured,
            "http ::1 1",
        );
    }

    #[test]
    fn a_busy_port_has_a_free_neighbour() {
        let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = busy.local_addr().expect("an address").port();
        let host = IpAddr::from([127, 0, 0, 1]);
        let (title, advice) = explain(&ListenError::InUse { host, port });
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
