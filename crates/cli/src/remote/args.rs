//! The words of the commands that talk to a control plane.

mod data;
mod platform;
mod serving;

pub use data::*;
pub use platform::*;
pub use serving::*;

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
    /// List the account's workers.
    Workers(WorkersArgs),
    /// Remove a worker with all that belongs to it.
    Delete(DeleteArgs),
    /// Follow what a worker does, event by event.
    Tail(Box<TailArgs>),
    /// Show what workers logged.
    Logs(LogsArgs),
    /// Show what workers did and used: requests, errors, latency, CPU, memory, cache.
    Metrics(MetricsArgs),
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
    /// A file of secrets that the version gets: JSON ({"NAME": "value"}) or lines NAME=value.
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
