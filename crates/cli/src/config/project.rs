//! What a validated configuration says: the typed result that the rest of the command line works from.
//!
//! Every path is absolute and free of `.` and `..`; every default has been applied unless a field says otherwise.

use super::ConfigWarning;
use crate::args::Isolation;
use atoll_model::{AssetsConfig, BindingSpec, CompatDate, Limits, ModuleKind, OutboundRules, RoutePattern};
use std::net::IpAddr;
use std::path::PathBuf;

/// A project as its configuration describes it, for one environment.
#[derive(Debug, Clone)]
pub struct Project {
    /// The directory against which relative paths of the configuration stand: where the configuration file is.
    pub root: PathBuf,
    /// The file that was read; with a redirect, the generated one. `None` when a script was given without any.
    pub config_path: Option<PathBuf>,
    /// The file the user wrote, which differs from `config_path` when a framework's build redirects to its own. Secrets
    /// (`.dev.vars`, `.env`) and stored state stand beside this one.
    pub user_config_path: Option<PathBuf>,
    /// `.wrangler/deploy/config.json`, if it redirected to `config_path`.
    pub redirected_by: Option<PathBuf>,
    /// Every file whose change should make the configuration be read again, existing or not.
    pub watch: Vec<PathBuf>,
    /// The selected environment.
    pub environment: Option<String>,
    /// The environments that the configuration defines.
    pub environments: Vec<String>,
    /// The worker's name, with the environment's suffix where it is inherited.
    pub name: String,
    /// The entry module. `None` for a project of static assets alone.
    pub main: Option<PathBuf>,
    /// How imported files that are not JavaScript are taken: the configured rules, then wrangler's defaults, without those
    /// which an earlier rule of the same kind without `fallthrough` hides. The first match counts.
    pub rules: Vec<ModuleRule>,
    /// Whether files beside the entry that match the rules belong to the worker although nothing imports them by a literal
    /// name. Defaults to `no_bundle`.
    pub find_additional_modules: bool,
    /// The directory that module names are relative to. Defaults to the entry's.
    pub base_dir: PathBuf,
    /// The project is built already: its modules are taken as they are.
    pub no_bundle: bool,
    /// Keep the names of additional modules instead of prefixing a content hash.
    pub preserve_file_names: bool,
    /// Identifier (or dotted path) to the expression text that replaces it.
    pub define: Vec<(String, String)>,
    /// Import specifier to the one it stands for.
    pub alias: Vec<(String, String)>,
    /// Minify the bundle.
    pub minify: bool,
    /// Keep `Function.name` through minification.
    pub keep_names: bool,
    /// The `tsconfig.json` to use instead of the nearest one.
    pub tsconfig: Option<PathBuf>,
    /// The JSX factory if one is configured; the default is `React.createElement`.
    pub jsx_factory: Option<String>,
    /// The JSX fragment if one is configured; the default is `React.Fragment`.
    pub jsx_fragment: Option<String>,
    /// The command that runs before the bundler.
    pub build: Build,
    /// The directory of static assets and how they are served.
    pub assets: Option<(PathBuf, AssetsConfig)>,
    /// `env`, in the order of the configuration, secrets last. Names are unique.
    pub bindings: Vec<(String, BindingSpec)>,
    /// Cron expressions of `triggers.crons`.
    pub crons: Vec<String>,
    /// The workers of `tail_consumers`.
    pub tail_consumers: Vec<String>,
    /// The day whose behaviour the worker asks for.
    pub compat_date: CompatDate,
    /// Compatibility flags, as configured.
    pub compat_flags: Vec<String>,
    /// The `dev` section.
    pub dev: DevSettings,
    /// `limits`, over the defaults.
    pub limits: Limits,
    /// `route` and `routes`: the requests that are the worker's where several workers share an address.
    pub routes: Vec<RoutePattern>,
    /// `atoll.outbound`: which part of the network the worker may reach.
    pub outbound: OutboundRules,
    /// `atoll.isolation`: how far `atoll serve` keeps the worker apart, unless its flag says otherwise.
    pub isolation: Option<Isolation>,
    /// Names that `secrets.required` lists.
    pub required_secrets: Vec<String>,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
    /// What is odd but not wrong.
    pub warnings: Vec<ConfigWarning>,
    /// The TypeScript types of bindings whose part is not built.
    pub(crate) unbuilt_types: Vec<(String, super::bindings::EnvType)>,
    /// What only a deployment looks at.
    pub deploy: super::DeployKeys,
    /// Where `main` and `assets.directory` stand, for complaints about files that are not there.
    pub(crate) places: Places,
}

/// How files whose path matches one of the globs are imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRule {
    /// What the import gives.
    pub kind: ModuleKind,
    /// Globs over the path relative to [`Project::base_dir`]: `**/*.txt`.
    pub globs: Vec<String>,
}

/// `build`: a command of the project's own that makes the entry module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// Run by the shell before each build.
    pub command: Option<String>,
    /// Where it runs. Defaults to the project's root.
    pub cwd: Option<PathBuf>,
    /// What makes it run again. `./src` unless configured; empty without a command.
    pub watch_dir: Vec<PathBuf>,
}

/// The `dev` section. `None` where nothing is configured: the command line's flag and then its default decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevSettings {
    /// The address to listen on; `localhost` is 127.0.0.1, `*` is 0.0.0.0.
    pub ip: Option<IpAddr>,
    /// The port to listen on; 0 lets the system choose.
    pub port: Option<u16>,
    /// `true` for `local_protocol = "https"`.
    pub https: Option<bool>,
    /// The host that requests appear to be for.
    pub host: Option<String>,
    /// `true` for `upstream_protocol = "https"`: the scheme of `request.url` when `host` is set.
    pub upstream_https: Option<bool>,
    /// The port of the inspector.
    pub inspector_port: Option<u16>,
    /// Its address; `localhost` is 127.0.0.1, `*` is 0.0.0.0.
    pub inspector_ip: Option<IpAddr>,
    /// Write `worker-configuration.d.ts` at start.
    pub generate_types: bool,
}

/// Where the keys that name files stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// The configuration file as messages name it.
    pub file: String,
    pub main: Option<super::Position>,
    pub assets: Option<super::Position>,
}
