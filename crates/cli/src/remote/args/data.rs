//! What workers hold: secrets and KV.

use super::*;

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
