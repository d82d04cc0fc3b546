//! The words of the commands that talk to a control plane.

use crate::args::BuildArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The commands that talk to a control plane.
#[derive(Debug, Clone, Subcommand)]
#[non_exhaustive]
pub enum RemoteCommand {
    /// Keep a token for a control plane, so that later commands need none.
    Login(LoginArgs),
    /// Forget a kept token.
    Logout(LogoutArgs),
    /// Say where commands go, and who they are there.
    Whoami(WhoamiArgs),
    /// Build the project, upload it as a new version, and let it serve on every PoP.
    Deploy(Box<DeployArgs>),
    /// Look at versions, upload one without serving it, share traffic between some.
    Versions(VersionsArgs),
    /// Look at deployments and at how far the newest one is.
    Deployments(DeploymentsArgs),
    /// Go back to what served before, or to a version.
    Rollback(RollbackArgs),
    /// Follow what a worker does, event by event.
    Tail(Box<TailArgs>),
    /// Show what workers logged.
    Logs(LogsArgs),
    /// Set, list and delete secrets. Nobody can read one back.
    #[command(visible_alias = "secrets")]
    Secret(SecretArgs),
    /// Make KV namespaces; read and write what is in them.
    Kv(KvArgs),
    /// Say which hosts and paths are a worker's.
    Routes(RoutesArgs),
    /// Give whole host names to workers.
    Domains(DomainsArgs),
    /// Name a version, or two with weights, by an address that stays.
    Aliases(AliasesArgs),
    /// Say when a worker's `scheduled` handler runs.
    Crons(CronsArgs),
    /// Look at PoPs, let new ones join, remove lost ones.
    Pops(PopsArgs),
    /// Say how the platform is: the control plane, PoPs, rollouts, alarms.
    Status(StatusArgs),
    /// List, make and revoke API tokens.
    Tokens(TokensArgs),
    /// Read the audit log, and prove that nobody changed it.
    Audit(AuditArgs),
    /// List, make and change accounts.
    Accounts(AccountsArgs),
    /// Call a worker or one of its aliases with a request, and print the answer.
    Invoke(Box<InvokeArgs>),
}

/// Where commands go, as whom, and how they speak.
#[derive(Debug, Clone, Default, Args)]
pub struct RemoteArgs {
    /// The control plane's address [env: ATOLL_CONTROL; default: that of the `atoll up` whose directory this is in, else the
    /// profile's, else http://127.0.0.1:7070].
    #[arg(long, value_name = "URL", global = true, help_heading = "Control plane")]
    pub control: Option<String>,
    /// The account [env: ATOLL_ACCOUNT; default: the one that was chosen at login, else the only one there is].
    #[arg(long, value_name = "ID", global = true, help_heading = "Control plane")]
    pub account: Option<String>,
    /// Which of the kept logins to use [env: ATOLL_PROFILE; default: default].
    #[arg(long, value_name = "NAME", global = true, help_heading = "Control plane")]
    pub profile: Option<String>,
    /// A PEM file of authorities to trust besides the system's [env: ATOLL_CA].
    #[arg(long, value_name = "FILE", global = true, help_heading = "Control plane")]
    pub ca: Option<PathBuf>,
    /// Print one JSON object, for machines; of what streams, one a line.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Which worker.
#[derive(Debug, Clone, Default, Args)]
pub struct WorkerArgs {
    /// The worker [default: the project's in this directory].
    #[arg(long, value_name = "WORKER", global = true)]
    pub name: Option<String>,
    /// The configuration file to take the worker's name from, no other.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The environment of the configuration.
    #[arg(short, long, value_name = "NAME", global = true)]
    pub env: Option<String>,
}

/// `atoll login`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll login --control https://control.example.com      asks for the token\n  \
    atoll login --control https://control.example.com < token.txt\n  \
    atoll login --profile staging --ca ca.pem --control https://10.0.0.5:7070\n\n\
    The token is kept in $XDG_CONFIG_HOME/atoll/credentials.toml, which its owner alone can read. It is never taken from\n\
    the command line, where every user of the machine would see it; ATOLL_TOKEN gives one to a single command.")]
pub struct LoginArgs {
    /// A file to read the token from; without it, it is asked for, or read from standard input.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll logout`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  atoll logout\n  atoll logout --profile staging --revoke")]
pub struct LogoutArgs {
    /// Have the control plane revoke the token too.
    #[arg(long)]
    pub revoke: bool,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll whoami`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  atoll whoami\n  atoll whoami --profile staging --json")]
pub struct WhoamiArgs {
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// What `deploy` and `versions upload` have in common.
#[derive(Debug, Clone, Args)]
pub struct UploadArgs {
    /// The project's directory, or its entry script.
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub directory: PathBuf,
    /// The configuration file to read, no other.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The worker's name, over the configuration's.
    #[arg(long, value_name = "WORKER")]
    pub name: Option<String>,
    /// How the project is read and built. Secrets of `--env-file` go with the version.
    #[command(flatten)]
    pub build: BuildArgs,
    /// A message for people, kept with the version and the deployment.
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// A name for the version, for people and `version_metadata`.
    #[arg(long, value_name = "TEXT")]
    pub tag: Option<String>,
    /// Build and say what would be uploaded; nothing is sent and no login is needed.
    #[arg(long)]
    pub dry_run: bool,
    /// Write the modules into this directory.
    #[arg(long, value_name = "DIR")]
    pub outdir: Option<PathBuf>,
    /// A file of secrets that the version gets: JSON ({\"NAME\": \"value\"}) or lines NAME=value.
    #[arg(long, value_name = "FILE")]
    pub secrets_file: Option<PathBuf>,
    /// Let the version have these secrets of the one before and no others; may be repeated. Without it, it has all of them.
    #[arg(long = "keep-secret", value_name = "NAME")]
    pub keep_secrets: Vec<String>,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll deploy`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll deploy                            the project in this directory\n  \
    atoll deploy --env staging -m 'new cart'\n  \
    atoll deploy --percent 10               a tenth of the requests; the rest stays where it is\n  \
    atoll deploy --immediate                everywhere at once, without the canary's bake\n  \
    atoll deploy --dry-run --outdir dist    build, show, send nothing\n\n\
    The new version serves on one PoP first (the canary). If it behaves, all PoPs follow; if not, what served before is put\n\
    back and the exit status is 7. Ctrl-C stops the watching, not the rollout.\n\n\
    Exit statuses: 0 done, 1 failed, 2 wrong words, 3 not logged in or not allowed, 4 not there, 5 conflict, 6 the control\n\
    plane cannot be reached, 7 rolled back, 130 interrupted.")]
pub struct DeployArgs {
    /// What is uploaded.
    #[command(flatten)]
    pub upload: UploadArgs,
    /// The new version's share of the requests; the versions that serve now keep the rest.
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub percent: Option<Percent>,
    /// Let every PoP take it at once: the start is still tried on each, but nothing is baked on a canary.
    #[arg(long)]
    pub immediate: bool,
    /// Return when the deployment is accepted; do not wait for the PoPs.
    #[arg(long)]
    pub detach: bool,
    /// How long to watch the rollout, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Deploy what the configuration's `routes`, `triggers` and addresses say not at all.
    #[arg(long)]
    pub no_triggers: bool,
}

/// A share of the requests, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u16);

impl Percent {
    /// All of them.
    pub const WHOLE: Self = Self(10_000);

    /// As the REST API writes it.
    pub fn number(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", self.number())
    }
}

/// Reads a percentage above 0 with at most two places behind the point; `%` may follow.
pub fn parse_percent(text: &str) -> Result<Percent, String> {
    let error =
        || "a percentage is a number above 0 and up to 100, with at most two places behind the point".to_owned();
    let number: f64 = text.trim_end_matches('%').trim().parse().map_err(|_| error())?;
    let hundredths = (number * 100.0).round();
    if !(1.0..=10_000.0).contains(&hundredths) || (hundredths - number * 100.0).abs() > 1e-6 {
        return Err(error());
    }
    // Within the range that was just checked.
    Ok(Percent(hundredths as u16))
}

/// A version and its share: `ID@10`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// An id, a unique beginning of one, a tag or `latest`.
    pub version: String,
    /// Its share; `None`: what the others leave.
    pub percent: Option<Percent>,
}

/// Reads `ID`, `ID@10` or `ID@10%`.
pub fn parse_split(text: &str) -> Result<Split, String> {
    let (version, percent) = match text.split_once('@') {
        None => (text, None),
        Some((version, percent)) => (version, Some(parse_percent(percent)?)),
    };
    if version.is_empty() {
        return Err("a share is written VERSION@PERCENT".to_owned());
    }
    Ok(Split {
        version: version.to_owned(),
        percent,
    })
}

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
    /// How events are printed [default: pretty to a terminal, else json].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<TailFormat>,
    /// Only events that ended like this. May be repeated.
    #[arg(long, value_enum, value_name = "STATUS")]
    pub status: Vec<TailStatus>,
    /// Only requests of this method. May be repeated.
    #[arg(long, value_name = "METHOD")]
    pub method: Vec<String>,
    /// Only requests with this header: NAME, or NAME:VALUE for those whose value has VALUE in it.
    #[arg(long, value_name = "NAME[:VALUE]")]
    pub header: Option<String>,
    /// Only requests from this address. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
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
        .map_err(|_| error())
}

/// Reads a duration of at most ten years: `90s`, `15m`, `2h`, `3d`. In seconds.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    const SECONDS_MAX: u64 = 10 * 365 * 86_400;
    let error = || "a duration is a number and s, m, h or d: 90s, 15m, 2h, 3d".to_owned();
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let factor: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(error()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    seconds
        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
        .ok_or_else(error)
}

/// `atoll secret`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll secret put API_KEY                asks for the value\n  \
    atoll secret put API_KEY < key.txt\n  \
    atoll secret bulk secrets.json")]
pub struct SecretArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SecretCommand,
}

/// `atoll secret ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum SecretCommand {
    /// Give a secret a value: a new version with it serves at once.
    #[command(after_help = "Examples:\n  \
        atoll secret put API_KEY\n  \
        atoll secret put CERTIFICATE --file cert.pem\n\n\
        The value is asked for without showing it, or read from standard input: never from the command line.")]
    Put(SecretPutArgs),
    /// List the names.
    #[command(after_help = "Example:\n  atoll secret list --name shop")]
    List(WorkerOnlyArgs),
    /// Delete one.
    #[command(after_help = "Example:\n  atoll secret delete API_KEY -y")]
    Delete(SecretNameArgs),
    /// Set and delete many: a file of JSON ({"NAME": "value", "OLD": null}) or lines NAME=value.
    #[command(after_help = "Examples:\n  atoll secret bulk secrets.json\n  atoll secret bulk < secrets.env")]
    Bulk(SecretBulkArgs),
}

/// `atoll secret put`.
#[derive(Debug, Clone, Args)]
pub struct SecretPutArgs {
    /// The secret's name.
    #[arg(value_name = "SECRET")]
    pub secret: String,
    /// A file with the value, which is taken as it is.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll secret delete`.
#[derive(Debug, Clone, Args)]
pub struct SecretNameArgs {
    /// The secret's name.
    #[arg(value_name = "SECRET")]
    pub secret: String,
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

/// `atoll secret bulk`.
#[derive(Debug, Clone, Args)]
pub struct SecretBulkArgs {
    /// The file [default: standard input].
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// A worker and nothing else.
#[derive(Debug, Clone, Args)]
pub struct WorkerOnlyArgs {
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Nothing but where to.
#[derive(Debug, Clone, Args)]
pub struct OnlyRemoteArgs {
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll kv`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll kv namespace create carts\n  \
    atoll kv key put user:1 '{\"name\":\"Ada\"}' --binding CARTS\n  \
    atoll kv key get user:1 --binding CARTS\n  \
    atoll kv key list --binding CARTS --prefix user:\n  \
    atoll kv bulk put values.json --namespace carts")]
pub struct KvArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KvCommand,
}

/// `atoll kv ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum KvCommand {
    /// Namespaces.
    Namespace {
        /// What to do.
        #[command(subcommand)]
        command: NamespaceCommand,
    },
    /// Single keys.
    Key {
        /// What to do.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Many keys at once.
    Bulk {
        /// What to do.
        #[command(subcommand)]
        command: BulkCommand,
    },
}

/// `atoll kv namespace ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum NamespaceCommand {
    /// Make one.
    #[command(after_help = "Example:\n  atoll kv namespace create carts")]
    Create {
        /// Its title, unique in the account.
        #[arg(value_name = "TITLE")]
        title: String,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// List them.
    #[command(after_help = "Example:\n  atoll kv namespace list --json")]
    List(OnlyRemoteArgs),
    /// Delete one with all that is in it.
    #[command(after_help = "Example:\n  atoll kv namespace delete carts -y")]
    Delete {
        /// Its id or title.
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// Ask nothing.
        #[arg(short, long)]
        yes: bool,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Give one another title.
    #[command(after_help = "Example:\n  atoll kv namespace rename carts baskets")]
    Rename {
        /// Its id or title.
        #[arg(value_name = "NAMESPACE")]
        namespace: String,
        /// The new title.
        #[arg(value_name = "TITLE")]
        title: String,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// Which namespace.
#[derive(Debug, Clone, Args)]
#[group(id = "which_namespace", required = true, multiple = false)]
pub struct NamespaceArgs {
    /// The namespace's id or title.
    #[arg(long, alias = "namespace-id", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The binding of the configuration in this directory that has it.
    #[arg(long, value_name = "BINDING")]
    pub binding: Option<String>,
}

/// `atoll kv key ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Write a value: the argument, a file, or standard input.
    #[command(after_help = "Examples:\n  \
        atoll kv key put greeting hello --binding TEXTS\n  \
        atoll kv key put logo --path logo.png --namespace images --ttl 3600")]
    Put(Box<KeyPutArgs>),
    /// Print a value, byte for byte.
    #[command(after_help = "Example:\n  atoll kv key get greeting --binding TEXTS")]
    Get(KeyArgs),
    /// List keys.
    #[command(after_help = "Example:\n  atoll kv key list --binding TEXTS --prefix user:")]
    List(KeyListArgs),
    /// Delete a key.
    #[command(after_help = "Example:\n  atoll kv key delete greeting --binding TEXTS")]
    Delete(KeyArgs),
}

/// One key of a namespace.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// The key.
    #[arg(value_name = "KEY")]
    pub key: String,
    /// Which namespace.
    #[command(flatten)]
    pub namespace: NamespaceArgs,
    /// Which worker's binding.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll kv key put`.
#[derive(Debug, Clone, Args)]
pub struct KeyPutArgs {
    /// The key.
    #[arg(value_name = "KEY")]
    pub key: String,
    /// The value [default: standard input].
    #[arg(value_name = "VALUE", conflicts_with = "path")]
    pub value: Option<String>,
    /// A file with the value.
    #[arg(long, value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// After how many seconds it is gone, 60 or more.
    #[arg(long, value_name = "SECONDS", conflicts_with = "expiration")]
    pub ttl: Option<u64>,
    /// When it is gone, Unix seconds.
    #[arg(long, value_name = "TIME")]
    pub expiration: Option<u64>,
    /// JSON that is kept with the key.
    #[arg(long, value_name = "JSON")]
    pub metadata: Option<String>,
    /// Which namespace.
    #[command(flatten)]
    pub namespace: NamespaceArgs,
    /// Which worker's binding.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll kv key list`.
#[derive(Debug, Clone, Args)]
pub struct KeyListArgs {
    /// Only keys that begin with this.
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: u32,
    /// Which namespace.
    #[command(flatten)]
    pub namespace: NamespaceArgs,
    /// Which worker's binding.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll kv bulk ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum BulkCommand {
    /// Write what a file lists: [{"key", "value", "expiration"?, "expiration_ttl"?, "metadata"?, "base64"?}, ...].
    #[command(after_help = "Example:\n  atoll kv bulk put values.json --binding TEXTS")]
    Put(BulkArgs),
    /// Print the values of the keys that a file lists (["key", ...]) as one JSON object.
    #[command(after_help = "Example:\n  atoll kv bulk get keys.json --binding TEXTS")]
    Get(BulkArgs),
    /// Delete the keys that a file lists: ["key", ...].
    #[command(after_help = "Example:\n  atoll kv bulk delete keys.json --binding TEXTS -y")]
    Delete(BulkArgs),
}

/// A file of keys or values.
#[derive(Debug, Clone, Args)]
pub struct BulkArgs {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Ask nothing.
    #[arg(short, long)]
    pub yes: bool,
    /// Which namespace.
    #[command(flatten)]
    pub namespace: NamespaceArgs,
    /// Which worker's binding.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll routes`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll routes list\n  \
    atoll routes set 'example.com/api/*' 'api.example.com/*'    these and no others\n  \
    atoll routes add 'example.com/shop/*'\n  \
    atoll routes delete 'example.com/shop/*'")]
pub struct RoutesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RoutesCommand,
}

/// `atoll routes ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum RoutesCommand {
    /// List the worker's routes; with --all, the account's.
    #[command(after_help = "Example:\n  atoll routes list --all")]
    List {
        /// Of all workers of the account.
        #[arg(long)]
        all: bool,
        /// Which worker.
        #[command(flatten)]
        worker: WorkerArgs,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Let the worker have these routes and no others.
    #[command(after_help = "Example:\n  atoll routes set 'example.com/*'")]
    Set(PatternsArgs),
    /// Add routes to those that the worker has.
    #[command(after_help = "Example:\n  atoll routes add 'example.com/shop/*'")]
    Add(PatternsArgs),
    /// Take a route away, by its pattern or id.
    #[command(after_help = "Example:\n  atoll routes delete 'example.com/shop/*'")]
    Delete {
        /// Its pattern or id.
        #[arg(value_name = "ROUTE")]
        route: String,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// Patterns for a worker.
#[derive(Debug, Clone, Args)]
pub struct PatternsArgs {
    /// Patterns: HOST/PATH, each of which may have one `*` at its outer end.
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Which worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll domains`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  atoll domains list\n  atoll domains add shop.example.com\n  atoll domains delete shop.example.com"
)]
pub struct DomainsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DomainsCommand,
}

/// `atoll domains ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum DomainsCommand {
    /// List the account's domains.
    #[command(after_help = "Example:\n  atoll domains list --json")]
    List(OnlyRemoteArgs),
    /// Give a host name to the worker.
    #[command(after_help = "Example:\n  atoll domains add shop.example.com --name shop")]
    Add {
        /// The host name.
        #[arg(value_name = "HOST")]
        domain: String,
        /// Which worker.
        #[command(flatten)]
        worker: WorkerArgs,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Take a host name away.
    #[command(after_help = "Example:\n  atoll domains delete shop.example.com")]
    Delete {
        /// The host name.
        #[arg(value_name = "HOST")]
        domain: String,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// `atoll aliases`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll aliases list\n  \
    atoll aliases set stable 1f2e3d4c\n  \
    atoll aliases set beta 1f2e@20 90ab@80\n  \
    atoll aliases delete beta")]
pub struct AliasesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AliasesCommand,
}

/// `atoll aliases ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum AliasesCommand {
    /// List the worker's aliases.
    #[command(after_help = "Example:\n  atoll aliases list")]
    List(WorkerOnlyArgs),
    /// Point an alias at one version, or at two with shares.
    #[command(after_help = "Example:\n  atoll aliases set beta 1f2e@20 90ab@80")]
    Set {
        /// The alias.
        #[arg(value_name = "ALIAS")]
        alias: String,
        /// Versions and their shares: VERSION, or two VERSION@PERCENT.
        #[arg(value_name = "VERSION@PERCENT", required = true, value_parser = parse_split)]
        shares: Vec<Split>,
        /// Which worker.
        #[command(flatten)]
        worker: WorkerArgs,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Remove an alias.
    #[command(after_help = "Example:\n  atoll aliases delete beta")]
    Delete {
        /// The alias.
        #[arg(value_name = "ALIAS")]
        alias: String,
        /// Which worker.
        #[command(flatten)]
        worker: WorkerArgs,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// `atoll crons`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  atoll crons list\n  atoll crons set '0 * * * *' '30 3 * * 1'\n  atoll crons clear"
)]
pub struct CronsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CronsCommand,
}

/// `atoll crons ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum CronsCommand {
    /// List the worker's cron expressions.
    #[command(after_help = "Example:\n  atoll crons list")]
    List(WorkerOnlyArgs),
    /// Let the worker have these and no others.
    #[command(after_help = "Example:\n  atoll crons set '0 * * * *'")]
    Set {
        /// Cron expressions of five fields, in UTC.
        #[arg(value_name = "CRON", required = true)]
        crons: Vec<String>,
        /// Which worker.
        #[command(flatten)]
        worker: WorkerArgs,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Remove all of them.
    #[command(after_help = "Example:\n  atoll crons clear")]
    Clear(WorkerOnlyArgs),
}

/// `atoll pops`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  atoll pops list\n  atoll pops join-token --region eu --ttl 1h\n  atoll pops remove fra-2 -y"
)]
pub struct PopsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PopsCommand,
}

/// `atoll pops ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum PopsCommand {
    /// List the PoPs and what each runs.
    #[command(after_help = "Example:\n  atoll pops list")]
    List(OnlyRemoteArgs),
    /// Make a token with which one new PoP joins, once.
    #[command(after_help = "Example:\n  atoll pops join-token --region eu > join.token")]
    JoinToken {
        /// The region that the PoP is to be in.
        #[arg(long, value_name = "REGION")]
        region: Option<String>,
        /// How long it can be used: 90s, 15m, 2h, 3d.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
        ttl: u64,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Revoke a PoP: it can no longer connect, and has to join again.
    #[command(after_help = "Example:\n  atoll pops remove fra-2 -y")]
    Remove {
        /// Its name.
        #[arg(value_name = "POP")]
        pop: String,
        /// Ask nothing.
        #[arg(short, long)]
        yes: bool,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// `atoll status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  atoll status\n  atoll status --json | jq .pops")]
pub struct StatusArgs {
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll tokens`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll tokens list\n  \
    atoll tokens create ci --permission worker:write --permission secret:read --ttl 30d\n  \
    atoll tokens revoke 3f9c")]
pub struct TokensArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokensCommand,
}

/// `atoll tokens ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum TokensCommand {
    /// List tokens: what each may do, never the token itself.
    #[command(after_help = "Example:\n  atoll tokens list")]
    List(OnlyRemoteArgs),
    /// Make a token. It is printed once and cannot be had again.
    #[command(after_help = "Examples:\n  \
        atoll tokens create ci --permission worker:write --ttl 30d\n  \
        atoll tokens create reader --role viewer\n\n\
        Permissions are resource:action or resource:action@worker, with action read or write, and * for all resources.")]
    Create(TokenCreateArgs),
    /// Revoke a token: it is refused from now on.
    #[command(after_help = "Example:\n  atoll tokens revoke 3f9c0a -y")]
    Revoke {
        /// Its id, or a unique beginning of it, or its name.
        #[arg(value_name = "TOKEN_ID")]
        id: String,
        /// Ask nothing.
        #[arg(short, long)]
        yes: bool,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// `atoll tokens create`.
#[derive(Debug, Clone, Args)]
pub struct TokenCreateArgs {
    /// A name for people.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it may do. May be repeated.
    #[arg(
        long = "permission",
        value_name = "PERMISSION",
        conflicts_with = "role",
        required_unless_present = "role"
    )]
    pub permissions: Vec<atoll_model::Permission>,
    /// The role whose permissions it has.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// How long it lives: 90s, 15m, 2h, 3d [default: until it is revoked].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub ttl: Option<u64>,
    /// For all accounts and the platform itself: an operator's.
    #[arg(long)]
    pub platform: bool,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// `atoll audit`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  atoll audit list --limit 50\n  atoll audit verify\n  atoll audit verify --kept 41:9f86d0..."
)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// `atoll audit ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Show entries, the newest last.
    #[command(after_help = "Example:\n  atoll audit list --after 100 --limit 50")]
    List {
        /// Only entries after this number.
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        limit: u32,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Have the whole chain of hashes checked.
    ///
    /// The place that it ends at is printed: kept elsewhere, it later proves that everything up to it is still the same.
    #[command(
        after_help = "Example:\n  atoll audit verify --kept 41:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    Verify {
        /// A place that was printed before, NUMBER:HASH: the chain must still go through it. May be repeated.
        #[arg(long, value_name = "PLACE")]
        kept: Vec<String>,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// `atoll accounts`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll accounts list\n  \
    atoll accounts create acme --title 'Acme Ltd.' --subdomain acme\n  \
    atoll accounts update acme --suspend\n  \
    atoll accounts update acme --bound workers=20")]
pub struct AccountsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AccountsCommand,
}

/// `atoll accounts ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum AccountsCommand {
    /// List the accounts that the token is for.
    #[command(after_help = "Example:\n  atoll accounts list")]
    List(OnlyRemoteArgs),
    /// Make an account.
    #[command(after_help = "Example:\n  atoll accounts create acme --title 'Acme Ltd.'")]
    Create {
        /// Its id: lower-case letters, digits and dashes.
        #[arg(value_name = "ID")]
        id: String,
        /// Its name, for people [default: the id].
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
        /// The label of its workers' addresses: WORKER.LABEL.DOMAIN.
        #[arg(long, value_name = "LABEL")]
        subdomain: Option<String>,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Show one.
    #[command(after_help = "Example:\n  atoll accounts view acme")]
    View {
        /// Its id.
        #[arg(value_name = "ID")]
        id: String,
        /// Where commands go.
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Change one: suspend it, bound it, give it an address.
    #[command(after_help = "Example:\n  atoll accounts update acme --suspend")]
    Update(AccountUpdateArgs),
}

/// `atoll accounts update`.
#[derive(Debug, Clone, Args)]
pub struct AccountUpdateArgs {
    /// Its id.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Run its workers no longer.
    #[arg(long, conflicts_with = "resume")]
    pub suspend: bool,
    /// Run its workers again.
    #[arg(long)]
    pub resume: bool,
    /// The label of its workers' addresses.
    #[arg(long, value_name = "LABEL")]
    pub subdomain: Option<String>,
    /// A quota or limit of its own: KEY=NUMBER, or KEY=default. May be repeated.
    #[arg(long = "bound", value_name = "KEY=NUMBER", value_parser = parse_bound)]
    pub bounds: Vec<(String, Option<u64>)>,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

fn parse_bound(text: &str) -> Result<(String, Option<u64>), String> {
    let error = || "a bound is written KEY=NUMBER, or KEY=default".to_owned();
    let (key, value) = text.split_once('=').ok_or_else(error)?;
    let value = match value {
        "default" => None,
        number => Some(number.parse().map_err(|_| error())?),
    };
    Ok((key.to_owned(), value))
}

/// `atoll invoke`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll invoke resize\n  \
    atoll invoke resize:stable --path '/thumb?w=80' --data @image.png -H 'content-type: image/png' > thumb.png\n  \
    atoll invoke shop --path /cart/1 --include\n\n\
    The worker gets a POST. The exit status is 0 if it answered with a status below 400.")]
pub struct InvokeArgs {
    /// The worker, and after a colon an alias of it.
    #[arg(value_name = "WORKER[:ALIAS]")]
    pub target: String,
    /// The request's body; @FILE reads a file, @- standard input.
    #[arg(short, long, value_name = "DATA")]
    pub data: Option<String>,
    /// The request's path and query.
    #[arg(long, value_name = "PATH", default_value = "/", hide_default_value = true)]
    pub path: String,
    /// A header: NAME: VALUE. May be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE")]
    pub headers: Vec<String>,
    /// Print the status and the headers too.
    #[arg(short, long)]
    pub include: bool,
    /// Where commands go.
    #[command(flatten)]
    pub remote: RemoteArgs,
}
