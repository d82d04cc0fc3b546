//! The words of `atoll serve`. Each has a variable of the environment beside it; the flag wins.

pub use crate::args::Isolation;
use crate::args::{BuildArgs, LogLevel, parse_host};
use atoll_model::RoutePattern;
use clap::{Args, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// `--grace` unless told otherwise; as long as the Workers platform gives a runtime that is replaced.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(30);
/// The longest duration that a flag takes.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// `atoll serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll serve                                  the project in this directory, on 127.0.0.1:8787\n  \
    atoll serve --host '*' --port 80 --admin 127.0.0.1:9000\n  \
    atoll serve shop --tls-cert chain.pem --tls-key key.pem --port 443\n  \
    atoll serve -c web/wrangler.jsonc -c api/wrangler.jsonc --route example.com=web --route '*.example.com/api/*=api'\n  \
    ATOLL_PORT=8080 ATOLL_LOG_FORMAT=json atoll serve\n\n\
    Signals: TERM and INT finish what is in flight and end (a second one ends at once), HUP reads the projects and\n\
    certificates again. docs/operations/serve.md is the runbook.")]
pub struct ServeArgs {
    /// The project's directory, or its entry script. Several are served together, told apart by host.
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub directories: Vec<PathBuf>,
    /// The configuration file to read, no other. May be repeated: all are served.
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        env = "ATOLL_CONFIG",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub configs: Vec<PathBuf>,
    /// How the projects are read and built.
    #[command(flatten)]
    pub build: BuildArgs,
    /// The port to listen on; 0 lets the system choose [default: 8787].
    #[arg(short, long, env = "ATOLL_PORT", hide_env_values = true)]
    pub port: Option<u16>,
    /// The address to listen on: an IP address, `localhost`, or `*` for all [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_host, env = "ATOLL_HOST", hide_env_values = true)]
    pub host: Option<IpAddr>,
    /// Serve HTTPS: the certificate chain, a PEM file.
    #[arg(
        long,
        alias = "https-cert-path",
        value_name = "FILE",
        requires = "tls_key",
        env = "ATOLL_TLS_CERT",
        hide_env_values = true
    )]
    pub tls_cert: Option<PathBuf>,
    /// The private key of HTTPS, a PEM file.
    #[arg(
        long,
        alias = "https-key-path",
        value_name = "FILE",
        requires = "tls_cert",
        env = "ATOLL_TLS_KEY",
        hide_env_values = true
    )]
    pub tls_key: Option<PathBuf>,
    /// Requests of a host (and path) are a worker's: `shop.example.com=shop`, `*.example.com/api/*=api`, `*=web`. Beside the
    /// configuration's routes and NAME.localhost. May be repeated.
    #[arg(long = "route", value_name = "PATTERN=WORKER", value_parser = parse_route, env = "ATOLL_ROUTES", value_delimiter = ',', hide_env_values = true)]
    pub routes: Vec<(RoutePattern, String)>,
    /// Where health (/healthz, /readyz) and metrics (/metrics) are served, to those who may know [default: nowhere].
    #[arg(long, value_name = "ADDRESS:PORT", env = "ATOLL_ADMIN", hide_env_values = true)]
    pub admin: Option<SocketAddr>,
    /// How far tenants' code is kept apart [default: the strictest that a project asks for with `atoll.isolation`, else
    /// cordon].
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        env = "ATOLL_ISOLATION",
        hide_env_values = true
    )]
    pub isolation: Option<Isolation>,
    /// Run workers although this machine cannot lock their processes in completely; what is missing is logged.
    #[arg(long)]
    pub allow_downgrade: bool,
    /// How many workers may run at once for each core.
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "1",
        value_parser = clap::value_parser!(u16).range(1..=64),
        env = "ATOLL_WORKERS_PER_CORE",
        hide_env_values = true
    )]
    pub workers_per_core: u16,
    /// Where stored state is kept [default: .atoll/state in the (first) project].
    #[arg(long, value_name = "DIR", env = "ATOLL_PERSIST_TO", hide_env_values = true)]
    pub persist_to: Option<PathBuf>,
    /// An address that workers may reach although it is not public: `10.0.0.0/8`, `10.1.2.3:5432`, `db.internal:5432`. May be
    /// repeated.
    #[arg(
        long = "allow-net",
        value_name = "NETWORK",
        env = "ATOLL_ALLOW_NET",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub allow_net: Vec<String>,
    /// A database of where addresses are (MMDB: MaxMind's City, Country, ASN, or IPinfo's), for request.cf. May be repeated.
    #[arg(
        long,
        value_name = "FILE",
        env = "ATOLL_GEO_DB",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub geo_db: Vec<PathBuf>,
    /// After the signal to stop: how long to go on as before, while /readyz says no.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration, env = "ATOLL_DRAIN_DELAY", hide_env_values = true)]
    pub drain_delay: Duration,
    /// How long what is in flight may take to finish.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, env = "ATOLL_GRACE", hide_env_values = true)]
    pub grace: Duration,
    /// Share the port with a predecessor or successor (SO_REUSEPORT), to replace the process without a gap.
    #[arg(long, env = "ATOLL_REUSE_PORT", hide_env_values = true)]
    pub reuse_port: bool,
    /// How records are written [default: text on a terminal, else json].
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "ATOLL_LOG_FORMAT",
        hide_env_values = true
    )]
    pub log_format: Option<LogFormat>,
    /// The least severe records to write; requests are info.
    #[arg(
        long,
        value_enum,
        value_name = "LEVEL",
        default_value = "log",
        env = "ATOLL_LOG_LEVEL",
        hide_env_values = true
    )]
    pub log_level: LogLevel,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

fn parse_route(text: &str) -> Result<(RoutePattern, String), String> {
    let (pattern, worker) = text
        .rsplit_once('=')
        .filter(|(_, worker)| !worker.is_empty())
        .ok_or("it has the form PATTERN=WORKER")?;
    let pattern = RoutePattern::parse_domain(pattern).map_err(|error| error.to_string())?;
    Ok((pattern, worker.to_owned()))
}

/// `500ms`, `10s`, `2m`, `1h`; a number alone is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: u64 = number
        .parse()
        .map_err(|_| "it is a number with a unit: 500ms, 10s, 2m".to_owned())?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("\"{unit}\" is no unit; there are ms, s, m and h")),
    };
    let duration = Duration::from_millis(number.saturating_mul(milliseconds));
    if duration > DURATION_MAX {
        return Err("it is more than a day".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    fn serve(line: &str) -> Result<ServeArgs, String> {
        match Cli::read(std::iter::once("atoll").chain(line.split_whitespace())) {
            Ok(cli) => match cli.command {
                Command::Serve(args) => Ok(*args),
                other => panic!("{other:?}"),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn flags() {
        let check = |line: &str, expected: fn(&ServeArgs) -> bool| {
            let args = serve(line).expect(line);
            assert!(expected(&args), "{line}: {args:?}");
        };
        check("serve", |a| {
            a.isolation.is_none()
                && !a.allow_downgrade
                && a.grace == GRACE_DEFAULT
                && a.drain_delay.is_zero()
                && a.admin.is_none()
        });
        check("serve shop api", |a| a.directories.len() == 2);
        check("serve -c a.json -c b.json", |a| a.configs.len() == 2);
        check("serve --grace 500ms --drain-delay 2m", |a| {
            a.grace == Duration::from_millis(500) && a.drain_delay == Duration::from_secs(120)
        });
        check("serve --grace 7", |a| a.grace == Duration::from_secs(7));
        check("serve --route shop.example.com=shop --route *.a.com/x/*=api", |a| {
            let shown: Vec<String> = a
                .routes
                .iter()
                .map(|(pattern, name)| format!("{pattern} {name}"))
                .collect();
            shown == ["shop.example.com/* shop", "*.a.com/x/* api"]
        });
        check("serve --route *=web", |a| a.routes[0].0.to_string() == "*/*");
        check("serve --admin 127.0.0.1:9000 --reuse-port", |a| {
            a.admin.is_some() && a.reuse_port
        });
        check("serve --isolation dedicated --workers-per-core 4", |a| {
            a.isolation == Some(Isolation::Dedicated) && a.workers_per_core == 4
        });
        check("serve --tls-cert c.pem --tls-key k.pem", |a| {
            a.tls_cert.is_some() && a.tls_key.is_some()
        });
    }

    #[test]
    fn wrong_words_say_what_is_right() {
        let check = |line: &str, expected: &str| {
            let error = serve(line).expect_err(line);
            assert!(error.contains(expected), "{error}");
        };
        check("serve --grace ten", "a number with a unit");
        check("serve --grace 10d", "no unit");
        check("serve --grace 100h", "more than a day");
        check("serve --route example.com", "PATTERN=WORKER");
        check("serve --route a.com/*/b=shop", "end of the path");
        check("serve --admin 9000", "ADDRESS:PORT");
        check("serve --tls-cert c.pem", "--tls-key");
        check("serve --workers-per-core 0", "1..=64");
        check("serve --isolaton shared", "--isolation");
        check("serv", "serve");
    }
}
