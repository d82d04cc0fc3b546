//! Where to listen: the flags, over the configuration, over the defaults.

use crate::args::{DevArgs, INSPECTOR_PORT_DEFAULT, LocalProtocol, PORT_DEFAULT};
use crate::config::{DevSettings, normal_path};
use crate::target::Listen;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// The settings of `args` over those of the configuration.
pub(super) fn settings(args: &DevArgs, settings: &DevSettings, cwd: &Path) -> Listen {
    let certificate = args.https_cert_path.as_ref().zip(args.https_key_path.as_ref());
    let absolute = |path: &Path| normal_path(&cwd.join(path));
    Listen {
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

/// Where debuggers are let in: nowhere unless a flag or the configuration says so.
pub(super) fn inspector(args: &DevArgs, settings: &DevSettings) -> Option<SocketAddr> {
    let asked = args.inspector_ip.map(|_| INSPECTOR_PORT_DEFAULT);
    let port = args.inspector_port.or(settings.inspector_port).or(asked)?;
    let host = args.inspector_ip.or(settings.inspector_ip);
    Some(SocketAddr::new(host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port))
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
    fn debuggers_are_let_in_on_request() {
        let check = |line: &str, configured: &DevSettings, expected: Option<&str>| {
            let cli = Cli::read(std::iter::once("atoll").chain(line.split_whitespace())).expect(line);
            let Command::Dev(args) = cli.command else {
                panic!("{line}")
            };
            let address = inspector(&args, configured).map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{line}");
        };
        let nothing = DevSettings::default();
        let configured = DevSettings {
            inspector_port: Some(9300),
            inspector_ip: Some([0, 0, 0, 0].into()),
            ..DevSettings::default()
        };
        check("dev", &nothing, None);
        check("dev --inspector-port 0", &nothing, Some("127.0.0.1:0"));
        check("dev --inspector-ip ::1", &nothing, Some("[::1]:9229"));
        check("dev", &configured, Some("0.0.0.0:9300"));
        check(
            "dev --inspector-port 1 --inspector-ip localhost",
            &configured,
            Some("127.0.0.1:1"),
        );
    }
}
