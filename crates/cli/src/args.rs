//! The command line's words: subcommands, flags and their help.
//!
//! Names are those that users of wrangler know. A wrong word is answered with the nearest right one and exit status 2.

use crate::config::{Project, split_var};
use crate::remote::RemoteCommand;
use crate::roles::{ConfigCommand, RoleArgs, UpArgs};
use crate::serve::ServeArgs;
use clap::builder::styling::{AnsiColor, Effects, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

/// The port that `atoll dev` listens on unless told otherwise.
pub const PORT_DEFAULT: u16 = 8787;

/// The inspector's port when only its address is given: the one that debuggers try first.
pub const INSPECTOR_PORT_DEFAULT: u16 = 9229;

/// How many letters may be wrong for a word to be taken for another.
const TYPO_DISTANCE_MAX: usize = 2;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Atoll: an edge-native application platform that anyone can run.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "atoll",
    version,
    about = "Atoll runs Cloudflare-Workers-compatible applications on machines of your own.",
    styles = STYLES,
    max_term_width = 110,
    after_help = "Examples:\n  \
        atoll init hello        make a new project\n  \
        atoll dev               serve the project in this directory, reload it on every save\n  \
        atoll dev apps/shop     serve another one\n  \
        atoll serve             serve it in production\n  \
        atoll deploy            upload it to a control plane, and let every PoP serve it\n  \
        atoll types             write the types of the project's bindings\n\n\
        `atoll COMMAND --help` says more."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Clone, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Serve a project on this machine and reload it on every save.
    ///
    /// Reads wrangler.jsonc, wrangler.json or wrangler.toml and .dev.vars or .env, bundles TypeScript, JSX and npm packages,
    /// and keeps what the worker stores between runs.
    Dev(Box<DevArgs>),
    /// Serve projects in production: no watcher, terse errors, health and metrics, graceful stops.
    ///
    /// Reads the same configuration as `dev`, builds once, and serves until it is told to stop.
    Serve(Box<ServeArgs>),
    /// Run the tests of a project: the `test` handlers of its exports.
    ///
    /// Reads and builds the project as `dev` does, with state that lasts as long as the tests.
    Test(Box<TestArgs>),
    /// Make a new project.
    Init(InitArgs),
    /// Write the TypeScript types of a project's bindings (worker-configuration.d.ts).
    #[command(visible_alias = "typegen")]
    Types(TypesArgs),
    /// Start a control plane and PoPs on this machine.
    ///
    /// The quick start of the platform: everything on loopback, state in .atoll/up, one Ctrl-C ends it.
    Up(UpArgs),
    /// Run a control plane: the API, the catalog of what is deployed, and the way to the PoPs.
    Control(RoleArgs),
    /// Run a PoP: it joins a control plane and serves what is deployed there.
    Pop(RoleArgs),
    /// Look at configuration files of `control` and `pop`.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions of a shell.
    #[command(alias = "complete")]
    Completions {
        /// For which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// What talks to a control plane.
    #[command(flatten)]
    Remote(RemoteCommand),
}

/// `atoll dev`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll dev                                   the project in this directory\n  \
    atoll dev src/index.ts                      a script without any configuration\n  \
    atoll dev --port 3000 --env staging         another port, another environment\n  \
    atoll dev -c web/wrangler.jsonc -c api/wrangler.jsonc   two workers; the first is served\n  \
    atoll dev --var API_KEY:abc --define DEBUG:true\n  \
    atoll dev --host 0.0.0.0 --local-protocol https\n  \
    atoll dev --inspector-port 9229             breakpoints and profiles: chrome://inspect, VS Code\n  \
    atoll dev --json | jq .event                one JSON object a line\n\n\
    While it runs: b opens a browser, d tells where DevTools are, c clears the console, r builds again, x exits.")]
pub struct DevArgs {
    /// The project's directory, or its entry script. Of several, the first is the one that is served; the others run beside
    /// it, to be called by its service bindings.
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub directories: Vec<PathBuf>,
    /// The configuration file to read, no other. May be repeated: the first is the one that is served.
    #[arg(short, long = "config", value_name = "FILE")]
    pub configs: Vec<PathBuf>,
    /// How the project is read and built.
    #[command(flatten)]
    pub build: BuildArgs,
    /// The port to listen on; 0 lets the system choose [default: 8787].
    #[arg(short, long)]
    pub port: Option<u16>,
    /// The address to listen on: an IP address, `localhost`, or `*` for all [default: 127.0.0.1].
    #[arg(long, alias = "ip", value_name = "ADDRESS", value_parser = parse_host)]
    pub host: Option<IpAddr>,
    /// Let debuggers in on this port: Chrome DevTools, VS Code and others; 0 lets the system choose. Whoever reaches it can
    /// run code as the worker.
    #[arg(long, value_name = "PORT")]
    pub inspector_port: Option<u16>,
    /// The address of the inspector: an IP address, `localhost`, or `*` for all [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_host)]
    pub inspector_ip: Option<IpAddr>,
    /// What to speak [default: http].
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    pub local_protocol: Option<LocalProtocol>,
    /// The private key of HTTPS, a PEM file. Without one, a self-signed certificate is made.
    #[arg(long, value_name = "FILE", requires = "https_cert_path")]
    pub https_key_path: Option<PathBuf>,
    /// The certificate chain of HTTPS, a PEM file.
    #[arg(long, value_name = "FILE", requires = "https_key_path")]
    pub https_cert_path: Option<PathBuf>,
    /// A database of where addresses are (MMDB: MaxMind's City, Country, ASN, or IPinfo's), for request.cf. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub geo_db: Vec<PathBuf>,
    /// Where stored state is kept [default: .atoll/state in the project].
    #[arg(long, value_name = "DIR")]
    pub persist_to: Option<PathBuf>,
    /// Accepted for wrangler's sake: the local trigger URLs of scheduled handlers are always there.
    #[arg(long, hide = true)]
    pub test_scheduled: bool,
    /// Accepted for wrangler's sake: everything is local.
    #[arg(long, short = 'l', hide = true)]
    pub local: bool,
    /// The least severe messages to show [default: log].
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Print one JSON object a line, for machines.
    #[arg(long)]
    pub json: bool,
    /// Serve what is there now, reload on `r` alone.
    #[arg(long)]
    pub no_watch: bool,
    /// How far workers are kept apart: in this process, or in locked in child processes.
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        default_value = "shared",
        env = "ATOLL_ISOLATION",
        hide_env_values = true
    )]
    pub isolation: Isolation,
    /// Whether keys do something while it runs [default: if this is a terminal].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub show_interactive_dev_session: Option<bool>,
}

/// `atoll test`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll test                       the project in this directory\n  \
    atoll test apps/shop -n cart     those of its exports whose name contains \"cart\"\n  \
    atoll test --json | jq -c 'select(.event == \"test\")'\n\n\
    A test is a handler: export default { async test(controller, env, ctx) { ... } }. It fails if it throws.")]
pub struct TestArgs {
    /// The project's directory, or its entry script.
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub directory: PathBuf,
    /// The configuration file to read, no other.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Run those exports whose name contains this.
    #[arg(short, long, value_name = "TEXT")]
    pub name: Option<String>,
    /// How the project is read and built.
    #[command(flatten)]
    pub build: BuildArgs,
    /// Print one JSON object a line, for machines.
    #[arg(long)]
    pub json: bool,
}

/// How a project is read and built: the flags that `dev`, `serve` and `test` share.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildArgs {
    /// The environment of the configuration to use.
    #[arg(short, long, value_name = "NAME")]
    pub env: Option<String>,
    /// Set a variable of the worker: NAME:VALUE. May be repeated.
    #[arg(long = "var", value_name = "NAME:VALUE", value_parser = parse_pair)]
    pub vars: Vec<(String, String)>,
    /// A file of secrets to read instead of .dev.vars and .env. May be repeated.
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Replace an identifier by an expression: NAME:EXPRESSION. May be repeated.
    #[arg(long = "define", short = 'd', value_name = "NAME:EXPRESSION", value_parser = parse_pair)]
    pub defines: Vec<(String, String)>,
    /// Import one module in place of another: NAME:MODULE. May be repeated.
    #[arg(long = "alias", value_name = "NAME:MODULE", value_parser = parse_pair)]
    pub aliases: Vec<(String, String)>,
    /// The tsconfig.json to use.
    #[arg(long, value_name = "FILE")]
    pub tsconfig: Option<PathBuf>,
    /// Minify the bundle.
    #[arg(long)]
    pub minify: bool,
    /// The modules are built already: take them as they are. `--bundle` says the opposite of the configuration.
    #[arg(long)]
    pub no_bundle: bool,
    /// Bundle, even if the configuration says `no_bundle`.
    #[arg(long, hide = true, conflicts_with = "no_bundle")]
    pub bundle: bool,
    /// The day whose behaviour the worker asks for, over the configuration's.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub compatibility_date: Option<atoll_model::CompatDate>,
    /// A compatibility flag, added to the configuration's. May be repeated.
    #[arg(long = "compatibility-flag", alias = "compatibility-flags", value_name = "FLAG")]
    pub compatibility_flags: Vec<String>,
}

/// `--isolation`, from the least to the most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Isolation {
    /// One worker, in this process, on the thread of its connections: the least CPU per request. While it computes, those wait.
    Alone,
    /// All in this process, each in isolates of its own.
    #[default]
    Shared,
    /// A few locked-in child processes.
    Cordon,
    /// A locked-in child process per tenant.
    Dedicated,
}

impl Isolation {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Shared => "shared",
            Self::Cordon => "cordon",
            Self::Dedicated => "dedicated",
        }
    }
}

/// `--local-protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LocalProtocol {
    /// HTTP/1.1 and cleartext HTTP/2.
    Http,
    /// The same over TLS.
    Https,
}

/// `--log-level`, from nothing to everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    None,
    /// Errors and exceptions.
    Error,
    /// And warnings.
    Warn,
    /// And requests, builds and `console.info`.
    Info,
    /// And `console.log`.
    #[default]
    Log,
    /// And `console.debug`.
    Debug,
}

/// `atoll init`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    atoll init                              in this directory\n  \
    atoll init shop --template hono         in ./shop, from the template hono")]
pub struct InitArgs {
    /// The project's name, and its directory unless that is this one.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// What to start from: hello, hono or guestbook.
    #[arg(short, long, value_name = "TEMPLATE", default_value = "hello")]
    pub template: String,
    /// Print one line of JSON, for machines.
    #[arg(long)]
    pub json: bool,
}

/// `atoll types`.
#[derive(Debug, Clone, Args)]
pub struct TypesArgs {
    /// The project's directory.
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub directory: PathBuf,
    /// The configuration file to read, no other.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The environment to write the types of; without it, what any of them may have.
    #[arg(short, long, value_name = "NAME")]
    pub env: Option<String>,
    /// A file of secrets to read instead of .dev.vars and .env. May be repeated.
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
}

impl Cli {
    /// Reads the arguments, the program's name first. An error carries its own text and exit status: help and version are
    /// errors of status 0.
    pub fn read<I>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let words: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        Self::try_parse_from(&words).map_err(|error| suggest(error, &words))
    }

    /// Whether the command runs workers, so that the engine must be initialised before any thread is started.
    pub fn runs_workers(&self) -> bool {
        matches!(
            self.command,
            Command::Dev(_) | Command::Serve(_) | Command::Test(_) | Command::Pop(_) | Command::Control(_)
        )
    }
}

/// Names the nearest subcommand where the parser, which compares beginnings, found none.
fn suggest(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let near = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word)))
            if error.get(ContextKind::SuggestedSubcommand).is_none() =>
        {
            let root = <Cli as clap::CommandFactory>::command();
            // The command that the word was looked for in: the words before it lead there.
            let before = words.iter().skip(1).filter_map(|word| word.to_str());
            let within = before
                .take_while(|before| before != word)
                .filter(|before| !before.starts_with('-'))
                .try_fold(&root, |command, word| command.find_subcommand(word));
            let names = within
                .unwrap_or(&root)
                .get_subcommands()
                .map(|one| one.get_name().to_owned());
            names
                .map(|name| (strsim::damerau_levenshtein(&name, word), name))
                .filter(|(distance, _)| *distance <= TYPO_DISTANCE_MAX)
                .min()
        }
        _ => None,
    };
    if let Some((_, name)) = near {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![name]));
    }
    error
}

impl BuildArgs {
    /// Lays the flags over what the configuration says.
    pub(crate) fn apply(&self, project: &mut Project, cwd: &std::path::Path) {
        lay_over(&mut project.define, &self.defines);
        lay_over(&mut project.alias, &self.aliases);
        project.minify |= self.minify;
        if self.no_bundle && !project.no_bundle {
            project.no_bundle = true;
            project.find_additional_modules = true;
        } else if self.bundle && project.no_bundle {
            project.no_bundle = false;
            project.find_additional_modules = false;
        }
        if let Some(tsconfig) = &self.tsconfig {
            project.tsconfig = Some(crate::config::normal_path(&cwd.join(tsconfig)));
        }
        if let Some(date) = self.compatibility_date {
            project.compat_date = date;
        }
        for flag in &self.compatibility_flags {
            if !project.compat_flags.contains(flag) {
                project.compat_flags.push(flag.clone());
            }
        }
    }
}

/// Later pairs replace earlier ones of the same name.
fn lay_over(pairs: &mut Vec<(String, String)>, over: &[(String, String)]) {
    for (name, value) in over {
        match pairs.iter_mut().find(|(known, _)| known == name) {
            Some(pair) => pair.1.clone_from(value),
            None => pairs.push((name.clone(), value.clone())),
        }
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    split_var(text).ok_or_else(|| "it has the form NAME:VALUE".to_owned())
}

pub(crate) fn parse_host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        "*" => Ok(IpAddr::from([0, 0, 0, 0])),
        _ => text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| "it is no IP address, `localhost` or `*`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(std::iter::once("atoll").chain(line.split_whitespace()))
    }

    fn dev(line: &str) -> DevArgs {
        match read(line).expect(line).command {
            Command::Dev(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_declaration_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn dev_flags() {
        let check = |line: &str, expected: fn(&DevArgs) -> bool| assert!(expected(&dev(line)), "{line}");
        check("dev", |a| {
            a.directories == [PathBuf::from(".")] && a.port.is_none() && a.host.is_none()
        });
        check("dev shop api", |a| {
            a.directories == [PathBuf::from("shop"), "api".into()]
        });
        check("dev -c a.json -c b.json", |a| a.configs.len() == 2);
        check("dev --port 0", |a| a.port == Some(0));
        check("dev --host localhost", |a| a.host == Some([127, 0, 0, 1].into()));
        check("dev --ip *", |a| a.host == Some([0, 0, 0, 0].into()));
        check("dev --host ::1", |a| a.host == Some("::1".parse().expect("an address")));
        check("dev -e staging -c w.toml", |a| {
            a.build.env.as_deref() == Some("staging") && a.configs == [PathBuf::from("w.toml")]
        });
        check("dev --var A:1 --var B:x:y", |a| {
            a.build.vars == [("A".into(), "1".into()), ("B".into(), "x:y".into())]
        });
        check("dev --define X:true --alias a:./b", |a| {
            a.build.defines == [("X".into(), "true".into())] && a.build.aliases == [("a".into(), "./b".into())]
        });
        check("dev --inspector-port 9229 --inspector-ip localhost", |a| {
            a.inspector_port == Some(9229) && a.inspector_ip == Some([127, 0, 0, 1].into())
        });
        check("dev --local-protocol https", |a| {
            a.local_protocol == Some(LocalProtocol::Https)
        });
        check("dev --https-key-path k --https-cert-path c", |a| {
            a.https_key_path.is_some()
        });
        check("dev --log-level debug --json --no-watch --minify --no-bundle", |a| {
            a.log_level == Some(LogLevel::Debug) && a.json && a.no_watch && a.build.minify && a.build.no_bundle
        });
        check("dev --test-scheduled --local", |a| a.test_scheduled);
        check("dev --show-interactive-dev-session=false", |a| {
            a.show_interactive_dev_session == Some(false)
        });
        check("dev --show-interactive-dev-session shop", |a| {
            a.show_interactive_dev_session == Some(true) && a.directories == [PathBuf::from("shop")]
        });
        check(
            "dev --compatibility-date 2026-01-02 --compatibility-flags nodejs_compat",
            |a| a.build.compatibility_date.is_some() && a.build.compatibility_flags == ["nodejs_compat"],
        );
    }

    #[test]
    fn mistakes() {
        let check = |line: &str, code: i32, expected: &str| {
            let error = read(line).expect_err(line);
            assert_eq!(error.exit_code(), code, "{line}");
            assert!(error.to_string().contains(expected), "{line}: {error}");
        };
        check("dve", 2, "'dev'");
        check("delpoy", 2, "'deploy'");
        check("versions lsit", 2, "'list'");
        check("kv key pt a b", 2, "'put'");
        check("secret put", 2, "<SECRET>");
        check("kv key get a", 2, "--binding");
        check("tokens create ci", 2, "--permission");
        check("tokens create ci --permission everything", 2, "resource:action");
        check("deploy --percent 0", 2, "above 0");
        check("versions deploy a@b", 2, "percentage");
        check("logs --since yesterday", 2, "90s, 15m");
        check("pops join-token --ttl 5x", 2, "90s, 15m");
        check("deploy --help", 0, "Exit statuses");
        check("kv key put --help", 0, "Examples:");
        check("dev --prot 1", 2, "'--port'");
        check("dev --port 70000", 2, "70000");
        check("dev --inspector-port chrome", 2, "--inspector-port");
        check("dev --inspector-port 70000", 2, "70000");
        check("dev --inspector-ip nowhere", 2, "no IP address");
        check("dev --var nothing", 2, "NAME:VALUE");
        check("dev --host nowhere", 2, "no IP address");
        check("dev --https-key-path k", 2, "--https-cert-path");
        check("dev --log-level loud", 2, "debug");
        check("dev --compatibility-date yesterday", 2, "YYYY-MM-DD");
        check("completions tcsh", 2, "zsh");
        check("", 2, "Usage");
        check("--version", 0, env!("CARGO_PKG_VERSION"));
        check("--help", 0, "Examples:");
        check("dev --help", 0, "--persist-to");
    }

    #[test]
    fn later_pairs_win() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut pairs = vec![pair("a", "1"), pair("b", "2")];
        lay_over(&mut pairs, &[pair("b", "3"), pair("c", "4"), pair("c", "5")]);
        assert_eq!(pairs, [pair("a", "1"), pair("b", "3"), pair("c", "5")]);
    }
}
