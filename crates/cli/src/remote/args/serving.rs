//! What serves and what it does: versions, deployments, tails, logs.

use super::*;

/// `atoll versions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll versions list\n  \
    atoll versions upload --tag v2          an address of its own, no traffic\n  \
    atoll versions deploy 1f2e@10 90ab@90   a tenth to the one, the rest to the other")]
pub struct VersionsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: VersionsCommand,
}

/// `atoll versions ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum VersionsCommand {
    /// List a worker's versions, the newest first.
    #[command(after_help = "Example:\n  atoll versions list --limit 5")]
    List(ListArgs),
    /// Show one: what it consists of, what it may reach, its secrets' names.
    #[command(after_help = "Example:\n  atoll versions view 1f2e3d4c")]
    View(VersionArgs),
    /// Build and upload a version without giving it traffic.
    #[command(after_help = "Example:\n  atoll versions upload --tag v2 -m 'new cart'")]
    Upload(Box<UploadArgs>),
    /// Let versions that are there serve, with shares.
    #[command(after_help = "Examples:\n  \
        atoll versions deploy 1f2e3d4c\n  \
        atoll versions deploy 1f2e@10 90ab@90 -m 'try the new cart' -y")]
    Deploy(SharesArgs),
}

/// A list of what a worker has.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: u32,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// One version of a worker.
#[derive(Debug, Clone, Args)]
pub struct VersionArgs {
    /// Its id, a unique beginning of it, its tag, or `latest`.
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll versions deploy`.
#[derive(Debug, Clone, Args)]
pub struct SharesArgs {
    /// Versions and their shares: VERSION@PERCENT. One may leave its share out: it gets the rest.
    #[arg(value_name = "VERSION@PERCENT", required = true, value_parser = parse_split)]
    pub shares: Vec<Split>,
    /// A message for people.
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Ask nothing.
    #[arg(short, long)]
    pub yes: bool,
    /// Let every PoP take it at once.
    #[arg(long)]
    pub immediate: bool,
    /// Return when the deployment is accepted.
    #[arg(long)]
    pub detach: bool,
    /// How long to watch the rollout, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll deployments`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  atoll deployments list\n  atoll deployments status")]
pub struct DeploymentsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DeploymentsCommand,
}

/// `atoll deployments ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum DeploymentsCommand {
    /// List a worker's deployments, the newest first.
    #[command(after_help = "Example:\n  atoll deployments list --limit 5")]
    List(ListArgs),
    /// Say how far a deployment is on its way to all PoPs.
    #[command(after_help = "Examples:\n  atoll deployments status\n  atoll deployments status --watch")]
    Status(DeploymentArgs),
}

/// `atoll deployments status`.
#[derive(Debug, Clone, Args)]
pub struct DeploymentArgs {
    /// Its id or a unique beginning of it [default: the newest].
    #[arg(value_name = "DEPLOYMENT")]
    pub deployment: Option<String>,
    /// Watch until it is decided.
    #[arg(short, long)]
    pub watch: bool,
    /// How long to watch, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll rollback`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll rollback                          to what served before\n  \
    atoll rollback 1f2e3d4c -y -m 'the cart was empty'")]
pub struct RollbackArgs {
    /// The version to go back to [default: what served before].
    #[arg(value_name = "VERSION")]
    pub version: Option<String>,
    /// Ask nothing.
    #[arg(short, long)]
    pub yes: bool,
    /// A message for people.
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Return when it is accepted.
    #[arg(long)]
    pub detach: bool,
    /// How long to watch, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll workers`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll workers list\n  \
    atoll workers list --json")]
pub struct WorkersArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: WorkersCommand,
}

/// `atoll workers ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum WorkersCommand {
    /// List them: since when they are there, where they are reached.
    #[command(after_help = "Example:\n  atoll workers list --json")]
    List(OnlyRemoteArgs),
}

/// `atoll delete`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Its versions, deployments, secrets, routes, domains and crons go with it, and cannot be had back; KV namespaces stay.\n\n\
    Examples:\n  \
    atoll delete                 the project's in this directory\n  \
    atoll delete shop -y"
)]
pub struct DeleteArgs {
    /// The worker [default: the project's in this directory].
    #[arg(value_name = "WORKER", conflicts_with = "name")]
    pub wanted: Option<String>,
    /// Ask nothing.
    #[arg(short, long)]
    pub yes: bool,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TailFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TailStatus {
    /// As it should.
    Ok,
    /// With an exception, over a limit, or not at all.
    Error,
    /// Its client went away.
    Canceled,
}

impl TailStatus {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Canceled => "canceled",
        }
    }
}

/// `atoll tail`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll tail                              the project's worker in this directory\n  \
    atoll tail shop --status error\n  \
    atoll tail shop --method POST --header 'x-debug:1' --search cart\n  \
    atoll tail shop --format json | jq .outcome")]
pub struct TailArgs {
    /// The worker [default: the project's in this directory].
    #[arg(value_name = "WORKER")]
    pub name: Option<String>,
    /// The same, as other commands take it.
    #[arg(long = "name", value_name = "WORKER", conflicts_with = "name")]
    pub named: Option<String>,
    /// How events are printed [default: pretty to a terminal, else json].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<TailFormat>,
    /// Only events that ended like this. May be repeated.
    #[arg(long, value_enum, value_name = "STATUS")]
    pub status: Vec<TailStatus>,
    /// Only requests of this method. May be repeated.
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    pub method: Vec<String>,
    /// Only requests with this header: NAME, or NAME:VALUE for those whose value has VALUE in it.
    #[arg(long, value_name = "NAME[:VALUE]")]
    pub header: Option<String>,
    /// Only requests from this address. May be repeated.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub ip: Vec<String>,
    /// Only events that logged this text.
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// The part of the events to show, above 0 and up to 1.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub sampling_rate: Option<f64>,
    /// Only events of this version.
    #[arg(long = "version-id", alias = "version", value_name = "VERSION")]
    pub version: Option<String>,
    /// The configuration file to take the worker's name from, no other.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The environment of the configuration.
    #[arg(short, long, value_name = "NAME")]
    pub env: Option<String>,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

fn parse_address(text: &str) -> Result<String, String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it is no IP address (as 203.0.113.7 or 2001:db8::7)".to_owned()),
    }
}

fn parse_method(text: &str) -> Result<String, String> {
    match text.parse::<reqwest::Method>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it is no method of HTTP (as GET)".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err("a rate is a number above 0 and up to 1".to_owned()),
    }
}

/// `atoll logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll logs --since 1h\n  \
    atoll logs --name shop --level error --limit 20")]
pub struct LogsArgs {
    /// From when on: a duration back from now (30s, 15m, 2h, 3d) or Unix milliseconds.
    #[arg(long, value_name = "WHEN", default_value = "1h", value_parser = parse_since)]
    pub since: Since,
    /// The least severe messages to show.
    #[arg(long, value_name = "LEVEL", value_parser = ["debug", "info", "log", "warn", "error"])]
    pub level: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u32,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll metrics`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll metrics\n  \
    atoll metrics --since 10m --by worker,route\n  \
    atoll metrics --name shop --by pop --json | jq .series\n\n\
    The control plane keeps six hours. /metrics of each PoP and of the control plane are for Prometheus.")]
pub struct MetricsArgs {
    /// From when on: a duration back from now (30s, 15m, 2h) or Unix milliseconds.
    #[arg(long, value_name = "WHEN", default_value = "1h", value_parser = parse_since)]
    pub since: Since,
    /// What rows are told apart by, separated by commas [default: worker]. Routes are counted over all versions.
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    pub by: Vec<MetricsBy>,
    /// This worker alone.
    #[arg(long, value_name = "WORKER")]
    pub name: Option<String>,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// What rows of metrics are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetricsBy {
    /// The worker.
    Worker,
    /// The version.
    Version,
    /// The route's pattern or the custom domain that led to the worker.
    Route,
    /// The PoP.
    Pop,
}

impl MetricsBy {
    /// As the API calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Version => "version",
            Self::Route => "route",
            Self::Pop => "pop",
        }
    }

    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Worker => "Worker",
            Self::Version => "Version",
            Self::Route => "Route",
            Self::Pop => "PoP",
        }
    }

    /// What it is of a series.
    pub(crate) fn of(self, series: &atoll_api::rest::MetricSeries) -> String {
        let value = match self {
            Self::Worker => &series.worker,
            Self::Version => &series.version,
            Self::Route => &series.route,
            Self::Pop => &series.pop,
        };
        let value = value.clone().unwrap_or_default();
        match self {
            Self::Version => value.get(..8).unwrap_or(&value).to_owned(),
            _ => value,
        }
    }
}

/// A time in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So many milliseconds before now.
    Ago(u64),
    /// Milliseconds since the Unix epoch.
    At(u64),
}

impl Since {
    /// In milliseconds since the Unix epoch.
    pub fn at(self, now_ms: u64) -> u64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}

/// Reads `90s`, `15m`, `2h`, `3d` or a number of Unix milliseconds.
pub fn parse_since(text: &str) -> Result<Since, String> {
    let error = || "a time is a duration (30s, 15m, 2h, 3d) or Unix milliseconds".to_owned();
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    parse_duration(text)
        .map(|seconds| Since::Ago(seconds * 1000))
        .map_err(|why| match text.ends_with(char::is_alphabetic) {
            true => why,
            false => error(),
        })
}

/// Reads a duration of at most ten years: `90s`, `15m`, `2h`, `3d`. In seconds.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    const YEARS_MAX: u64 = 10;
    const SECONDS_MAX: u64 = YEARS_MAX * 365 * 86_400;
    let error = || "a duration is a number and s, m, h or d: 90s, 15m, 2h, 3d".to_owned();
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let factor: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(error()),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    // What has too many digits for a number is too long as well.
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match seconds {
        Some(0) => Err("a duration is at least one second".to_owned()),
        Some(seconds @ 1..=SECONDS_MAX) => Ok(seconds),
        _ => Err(format!(
            "it is too long: at most {YEARS_MAX} years ({}d) are possible",
            SECONDS_MAX / 86_400
        )),
    }
}
