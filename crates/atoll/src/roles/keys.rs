//! Every key of the roles' configuration files, in one table: the reader, `atoll config check` and the reference are made of it.

use atoll_cli::roles::Role;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A path; relative ones are relative to the file that names it, or to the working directory.
    Path,
    /// `ADDRESS:PORT`.
    Address,
    /// A whole number within bounds, both inclusive.
    Number(u64, u64),
    Flag,
    /// `500ms`, `10s`, `2m`, `1h`.
    Duration,
    /// `512MiB`, `1GiB`, or a number of bytes.
    Bytes,
    /// Several texts; in an environment variable separated by commas.
    List,
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// For people.
    pub(crate) fn shown(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Address => "address:port".to_owned(),
            Self::Number(min, max) => format!("number, {min} to {max}"),
            Self::Flag => "true or false".to_owned(),
            Self::Duration => "duration (`500ms`, `10s`, `2m`, `1h`)".to_owned(),
            Self::Bytes => "bytes (`64MiB`, `1GiB`, `1000`)".to_owned(),
            Self::List => "list of texts".to_owned(),
            Self::OneOf(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

/// A key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As it would be written; empty: there is none.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
}

const ISOLATIONS: &[&str] = &["cordon", "dedicated", "shared"];
const FORMATS: &[&str] = &["auto", "text", "json"];
const LEVELS: &[&str] = &["none", "error", "warn", "info", "log", "debug"];

const fn key(section: &'static str, name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key {
        section,
        name,
        kind,
        default,
        help,
    }
}

/// Keys of `atoll control`.
pub(crate) const CONTROL: &[Key] = &[
    key(
        "data",
        "directory",
        Kind::Path,
        ".atoll/control",
        "Where the catalog, blobs and keys are kept, as far as they are not elsewhere. One process at a time.",
    ),
    key(
        "http",
        "listen",
        Kind::Address,
        "127.0.0.1:7070",
        "Where the API, /metrics and /healthz are served.",
    ),
    key(
        "http",
        "public_url",
        Kind::Text,
        "",
        "How clients and other control planes reach the API, if not at http.listen: one that does not lead names it.",
    ),
    key(
        "http",
        "tls_certificates",
        Kind::Path,
        "",
        "HTTPS: the certificate chain, a PEM file.",
    ),
    key("http", "tls_key", Kind::Path, "", "HTTPS: the private key, a PEM file."),
    key(
        "pops",
        "listen",
        Kind::Address,
        "127.0.0.1:7071",
        "Where PoPs connect (gRPC over mutual TLS).",
    ),
    key(
        "pops",
        "names",
        Kind::List,
        "localhost, 127.0.0.1",
        "Names and addresses by which PoPs reach this control plane: its certificate has them.",
    ),
    key(
        "catalog",
        "url",
        Kind::Text,
        "",
        "postgres://..., or `host=... user=... dbname=...`: the catalog is in PostgreSQL, several control planes may run, one leads. Empty: SQLite in the data directory.",
    ),
    key(
        "catalog",
        "connections",
        Kind::Number(1, 100),
        "8",
        "Connections to PostgreSQL.",
    ),
    key(
        "artifacts",
        "url",
        Kind::Text,
        "",
        "s3://BUCKET: blobs are in an S3 service. Empty: in the data directory.",
    ),
    key(
        "artifacts",
        "endpoint",
        Kind::Text,
        "",
        "The S3 service's URL, if it is not Amazon's.",
    ),
    key(
        "artifacts",
        "region",
        Kind::Text,
        "us-east-1",
        "The S3 service's region.",
    ),
    key(
        "artifacts",
        "access_key",
        Kind::Text,
        "",
        "The S3 service's access key; with secret_key.",
    ),
    key(
        "artifacts",
        "secret_key",
        Kind::Text,
        "",
        "The S3 service's secret key. Better given as ATOLL_ARTIFACTS_SECRET_KEY.",
    ),
    key(
        "artifacts",
        "allow_http",
        Kind::Flag,
        "false",
        "The S3 service may be reached without TLS.",
    ),
    key(
        "artifacts",
        "conditional_writes",
        Kind::Flag,
        "true",
        "The S3 service obeys If-None-Match. false for one that does not, as Garage: nothing is lost, blobs are known by their hash.",
    ),
    key(
        "platform",
        "domains",
        Kind::List,
        "localhost",
        "Workers are reached at WORKER.SUBDOMAIN.DOMAIN.",
    ),
    key(
        "platform",
        "scheme",
        Kind::OneOf(&["http", "https"]),
        "http",
        "How clients reach PoPs, for the addresses that are shown.",
    ),
    key(
        "platform",
        "port",
        Kind::Number(0, 65_535),
        "0",
        "The port at which clients reach PoPs, for the addresses that are shown; 0: the scheme's own.",
    ),
    key(
        "preflight",
        "isolation",
        Kind::OneOf(ISOLATIONS),
        "cordon",
        "Where uploads are started once before they are taken.",
    ),
    key(
        "preflight",
        "allow_downgrade",
        Kind::Flag,
        "false",
        "Go on with the layers of isolation that this machine has.",
    ),
    key(
        "log",
        "format",
        Kind::OneOf(FORMATS),
        "auto",
        "How records are written; auto: text on a terminal, else JSON.",
    ),
    key(
        "log",
        "level",
        Kind::OneOf(LEVELS),
        "info",
        "The least severe records to write.",
    ),
    key(
        "drain",
        "grace",
        Kind::Duration,
        "10s",
        "How long requests in flight may take after the signal to stop.",
    ),
];

/// Keys of `atoll pop`.
pub(crate) const POP: &[Key] = &[
    key(
        "data",
        "directory",
        Kind::Path,
        ".atoll/pop",
        "Where the PoP's identity, configuration, artifacts and stored state are kept. One process at a time.",
    ),
    key(
        "pop",
        "name",
        Kind::Text,
        "",
        "Its name, when it joins: 1 to 63 of a-z 0-9 -. Empty: the host's.",
    ),
    key(
        "pop",
        "region",
        Kind::Text,
        "local",
        "Where it is: PoPs of one region are neighbours.",
    ),
    key(
        "control",
        "url",
        Kind::Text,
        "https://127.0.0.1:7071",
        "Where the control plane takes PoPs; several separated by commas.",
    ),
    key(
        "control",
        "join_token",
        Kind::Text,
        "",
        "What it joins with, once (`atoll pops join-token`). Better given as ATOLL_CONTROL_JOIN_TOKEN.",
    ),
    key(
        "control",
        "join_token_file",
        Kind::Path,
        "",
        "A file that holds the join token.",
    ),
    key(
        "http",
        "listen",
        Kind::Address,
        "127.0.0.1:8787",
        "Where clients are served.",
    ),
    key(
        "http",
        "public_url",
        Kind::Text,
        "",
        "How the control plane reaches clients' address, if not at http.listen.",
    ),
    key(
        "http",
        "tls_certificates",
        Kind::Path,
        "",
        "HTTPS: the certificate chain, a PEM file.",
    ),
    key("http", "tls_key", Kind::Path, "", "HTTPS: the private key, a PEM file."),
    key(
        "http",
        "geo_databases",
        Kind::List,
        "",
        "Databases of where addresses are (MMDB), for request.cf.",
    ),
    key(
        "http",
        "reuse_port",
        Kind::Flag,
        "false",
        "Share the port with a predecessor or successor.",
    ),
    key(
        "admin",
        "listen",
        Kind::Text,
        "",
        "ADDRESS:PORT for /healthz, /readyz and /metrics; empty: nowhere.",
    ),
    key(
        "neighbour",
        "listen",
        Kind::Address,
        "127.0.0.1:0",
        "Where PoPs of the region ask for artifacts (gRPC over mutual TLS).",
    ),
    key(
        "neighbour",
        "address",
        Kind::Text,
        "",
        "What neighbours are told of neighbour.listen, HOST:PORT; empty: as it is bound.",
    ),
    key(
        "workers",
        "isolation",
        Kind::OneOf(ISOLATIONS),
        "cordon",
        "How far tenants' code is kept apart.",
    ),
    key(
        "workers",
        "allow_downgrade",
        Kind::Flag,
        "false",
        "Run workers although this machine cannot lock their processes in completely; what is missing is logged.",
    ),
    key(
        "workers",
        "per_core",
        Kind::Number(1, 64),
        "1",
        "How many workers may run at once for each core.",
    ),
    key(
        "workers",
        "idle",
        Kind::Duration,
        "10m",
        "A version that no request needed for so long leaves memory, its code too.",
    ),
    key(
        "workers",
        "code_bytes",
        Kind::Bytes,
        "512MiB",
        "Bytes of modules in memory; the longest unused versions leave beyond that.",
    ),
    key(
        "workers",
        "allow_net",
        Kind::List,
        "",
        "Addresses that workers may reach although they are not public.",
    ),
    key(
        "log",
        "format",
        Kind::OneOf(FORMATS),
        "auto",
        "How records are written; auto: text on a terminal, else JSON.",
    ),
    key(
        "log",
        "level",
        Kind::OneOf(LEVELS),
        "info",
        "The least severe records to write; requests are info.",
    ),
    key(
        "drain",
        "delay",
        Kind::Duration,
        "0s",
        "After the signal to stop: how long to go on as before, while /readyz says no.",
    ),
    key(
        "drain",
        "grace",
        Kind::Duration,
        "30s",
        "How long what is in flight may take to finish.",
    ),
];

/// The keys of a role.
pub(crate) fn of(role: Role) -> &'static [Key] {
    match role {
        Role::Control => CONTROL,
        Role::Pop => POP,
    }
}

/// The environment variable of a key.
pub(crate) fn variable(key: &Key) -> String {
    format!("ATOLL_{}_{}", key.section, key.name).to_ascii_uppercase()
}
