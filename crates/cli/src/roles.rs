//! The words of the platform's roles: `atoll control`, `atoll pop`, `atoll up`, `atoll config check`. What they do is the binary's.

use crate::args::Isolation;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// The port of the control plane's API.
pub const CONTROL_PORT_DEFAULT: u16 = 7070;
/// The port at which PoPs reach the control plane.
pub const POPS_PORT_DEFAULT: u16 = 7071;
/// The most PoPs that `atoll up` starts.
pub const UP_POPS_MAX: u16 = 32;

/// `atoll control`, `atoll pop`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Every key of the configuration file: docs/reference/roles.md. The environment variable \
    ATOLL_SECTION_KEY wins over the file (ATOLL_HTTP_LISTEN over http.listen)."
)]
pub struct RoleArgs {
    /// The configuration file (TOML); without one, the defaults.
    #[arg(short, long, value_name = "FILE", env = "ATOLL_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// A key of the configuration, over the file and the environment: `http.listen=127.0.0.1:80`. May be repeated.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// `atoll up`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll up                          a control plane and three PoPs\n  \
    atoll up --pops 1 --port 9000     one PoP, its address is 127.0.0.1:9000\n  \
    atoll up --json | jq .event       one JSON object a line\n\n\
    Then, in a project: atoll deploy. Ctrl-C ends all of them; the next `atoll up` goes on with what is in .atoll/up.")]
pub struct UpArgs {
    /// How many PoPs.
    #[arg(long, value_name = "COUNT", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=i64::from(UP_POPS_MAX)))]
    pub pops: u16,
    /// The port of the first PoP; the others have those that follow.
    #[arg(short, long, default_value_t = crate::args::PORT_DEFAULT)]
    pub port: u16,
    /// The port of the control plane's API; PoPs reach it at the one that follows.
    #[arg(long, value_name = "PORT", default_value_t = CONTROL_PORT_DEFAULT)]
    pub control_port: u16,
    /// The address to listen on: an IP address, `localhost`, or `*` for all.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = crate::args::parse_host)]
    pub host: IpAddr,
    /// Where everything is kept [default: .atoll/up].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where workers run.
    #[arg(long, value_name = "MODE", default_value = "cordon", value_parser = of_many())]
    pub isolation: Isolation,
    /// Run workers although this machine cannot lock their processes in completely; what is missing is logged.
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Write one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// How the workers of many are kept apart: all modes but the one of a single worker.
fn of_many() -> impl TypedValueParser<Value = Isolation> {
    let modes = Isolation::value_variants()
        .iter()
        .filter(|mode| **mode != Isolation::Alone);
    PossibleValuesParser::new(modes.filter_map(ValueEnum::to_possible_value))
        .try_map(|word| <Isolation as ValueEnum>::from_str(&word, false))
}

/// `atoll config`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file of `atoll control` or `atoll pop`, with what the environment says over it.
    Check {
        /// The file.
        file: PathBuf,
        /// For which role [default: what the file's `role` says].
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// Print one JSON object, for machines.
        #[arg(long)]
        json: bool,
    },
}

/// A role with a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// `atoll control`.
    Control,
    /// `atoll pop`.
    Pop,
}

/// What the binary is asked to be.
#[derive(Debug, Clone)]
pub enum RoleCommand {
    /// `atoll control`.
    Control(RoleArgs),
    /// `atoll pop`.
    Pop(RoleArgs),
    /// `atoll up`.
    Up(UpArgs),
    /// `atoll config`.
    Config(ConfigCommand),
}
