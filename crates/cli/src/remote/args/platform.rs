//! What an account and the platform have: addresses, crons, PoPs, tokens, the audit log, accounts, calls.

use super::*;

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
    /// Show or replace the authority that makes the certificates between nodes.
    #[command(after_help = "Steps of a replacement, each when the one before is done:\n  \
        atoll pops authority add        a second authority is trusted\n  \
        atoll pops authority switch     it signs; PoPs renew by themselves within seconds\n  \
        atoll pops authority            which PoPs have renewed\n  \
        atoll pops authority retire     the old one ends, with every certificate that it made")]
    Authority {
        /// The step to take [default: none, show how things are].
        #[arg(value_name = "STEP")]
        step: Option<Step>,
        /// Also if PoPs that are named have to join again because of it.
        #[arg(long)]
        force: bool,
        /// Ask nothing.
        #[arg(short, long)]
        yes: bool,
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

/// A step of replacing the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// A second authority is trusted; it signs nothing yet.
    Add,
    /// The second one signs from now on, and PoPs renew.
    Switch,
    /// The first one ends, and with it every certificate that it made.
    Retire,
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
    /// Show the newest entries, the newest last.
    #[command(after_help = "Examples:\n  atoll audit list --limit 20\n  atoll audit list --after 100 --limit 50")]
    List {
        /// The entries that follow this number, instead of the newest ones; 0 begins with the first.
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
    atoll accounts update acme --bound workers_max=20")]
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
