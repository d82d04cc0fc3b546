//! Which control plane commands go to, with which token, for which account.
//!
//! Each is looked for on its own: the flag, the environment, then what is known of a place: the `.atoll/up/cli.json` that a
//! running `atoll up` keeps, found upward from the project, then the profile of `atoll login`. A token that is known for one
//! address is never sent to another.

use super::args::RemoteArgs;
use super::credentials::{self, Credentials, PROFILE_DEFAULT, Profile};
use super::failure::{CommandError, Result};
use reqwest::Url;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where `atoll control` listens unless it is told otherwise.
pub(crate) const CONTROL_DEFAULT: &str = "http://127.0.0.1:7070";

/// What a running `atoll up` keeps for commands on its machine, relative to the directory that it was started in.
const UP: &str = ".atoll/up/cli.json";

/// The most bytes of it.
const UP_BYTES_MAX: u64 = 64 << 10;

/// Who said something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SaidBy {
    Flag(&'static str),
    Variable(&'static str),
    /// The file of `atoll up`.
    Up(PathBuf),
    Profile(String),
    Default,
}

impl std::fmt::Display for SaidBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Up(path) => write!(f, "{}", path.display()),
            Self::Profile(name) => write!(f, "the profile \"{name}\""),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// A token; it never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// A token is one line of printable ASCII: nothing else can be a header.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CommandError::usage("that is no token: a token is one line, atoll_...")
                .hint("`atoll tokens create` prints one; whoever runs the control plane has the first."));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub control: Url,
    pub control_by: SaidBy,
    pub token: Option<(Token, SaidBy)>,
    pub account: Option<(String, SaidBy)>,
    pub ca: Option<PathBuf>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// What is looked at.
pub(crate) struct Around<'a> {
    pub cwd: &'a Path,
    /// Where the search for a running `atoll up` begins.
    pub project: &'a Path,
    /// A variable of the environment, if it is set and not empty.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// The file of `atoll up`.
#[derive(Deserialize)]
struct Up {
    control: String,
    token: Option<String>,
    /// Relative to the file.
    token_file: Option<PathBuf>,
    account: Option<String>,
    ca: Option<PathBuf>,
}

/// What is known of one address.
struct Known {
    by: SaidBy,
    control: Url,
    token: Option<String>,
    account: Option<String>,
    ca: Option<PathBuf>,
}

/// Which profile is asked for.
pub(crate) fn profile_name(args: &RemoteArgs, around: &Around<'_>) -> (String, bool) {
    let asked = args.profile.clone().or_else(|| (around.variable)("ATOLL_PROFILE"));
    let named = asked.is_some();
    (asked.unwrap_or_else(|| PROFILE_DEFAULT.to_owned()), named)
}

/// The kept logins.
pub(crate) fn kept(around: &Around<'_>) -> Result<Credentials> {
    match credentials::place(around.variable) {
        Some(path) => Credentials::read(&path),
        None => Err(CommandError::new(
            "files",
            "there is no directory for logins: neither XDG_CONFIG_HOME nor HOME is set",
        )),
    }
}

/// Finds it.
pub(crate) fn find(args: &RemoteArgs, around: &Around<'_>) -> Result<Place> {
    let mut warnings = Vec::new();
    let (profile, named) = profile_name(args, around);
    let kept = match credentials::place(around.variable) {
        Some(path) => Some(Credentials::read(&path)?),
        None => None,
    };
    warnings.extend(kept.as_ref().and_then(|kept| kept.warning.clone()));
    let profiles = kept.map(|kept| kept.profiles).unwrap_or_default();
    if named && !profiles.contains_key(&profile) {
        let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
        let near = super::failure::near_miss(&profile, known.iter().copied()).map(|near| format!("{near} "));
        let error = CommandError::usage(format!("there is no profile \"{profile}\""));
        let near = near.unwrap_or_default();
        return Err(error.hint(format!(
            "{near}`atoll login --profile {profile} --control URL` makes it."
        )));
    }
    let mut places: Vec<Known> = Vec::new();
    let add_profile = |name: &str, profile: &Profile, places: &mut Vec<Known>| -> Result<()> {
        let by = SaidBy::Profile(name.to_owned());
        places.push(Known {
            control: address(&profile.control, &by)?,
            by,
            token: Some(profile.token.clone()),
            account: profile.account.clone(),
            ca: profile.ca.clone(),
        });
        Ok(())
    };
    // Who names a profile means it; else what runs here is nearer.
    if named && let Some(found) = profiles.get(&profile) {
        add_profile(&profile, found, &mut places)?;
    }
    if !named && let Some(up) = running(around.project)? {
        places.push(up);
    }
    if !named && let Some(found) = profiles.get(&profile) {
        add_profile(&profile, found, &mut places)?;
    }
    let asked = match (&args.control, (around.variable)("ATOLL_CONTROL")) {
        (Some(url), _) => Some((url.clone(), SaidBy::Flag("--control"))),
        (None, Some(url)) if !named => Some((url, SaidBy::Variable("ATOLL_CONTROL"))),
        _ => None,
    };
    let (control, control_by) = match (asked, places.first()) {
        (Some((url, by)), _) => (address(&url, &by)?, by),
        (None, Some(known)) => (known.control.clone(), known.by.clone()),
        (None, None) => (address(CONTROL_DEFAULT, &SaidBy::Default)?, SaidBy::Default),
    };
    // Other profiles may know an address that was named.
    for (name, found) in profiles.iter().filter(|(name, _)| **name != profile) {
        add_profile(name, found, &mut places)?;
    }
    let known = places.into_iter().find(|known| same(&known.control, &control));
    let token = match ((around.variable)("ATOLL_TOKEN"), &known) {
        (Some(text), _) => Some((Token::new(&text)?, SaidBy::Variable("ATOLL_TOKEN"))),
        (
            None,
            Some(Known {
                token: Some(text), by, ..
            }),
        ) => Some((Token::new(text)?, by.clone())),
        _ => None,
    };
    let account = match (&args.account, (around.variable)("ATOLL_ACCOUNT"), &known) {
        (Some(account), ..) => Some((account.clone(), SaidBy::Flag("--account"))),
        (None, Some(account), _) => Some((account, SaidBy::Variable("ATOLL_ACCOUNT"))),
        (
            None,
            None,
            Some(Known {
                account: Some(account),
                by,
                ..
            }),
        ) => Some((account.clone(), by.clone())),
        _ => None,
    };
    let own = args
        .ca
        .clone()
        .or_else(|| (around.variable)("ATOLL_CA").map(PathBuf::from));
    let ca = own
        .map(|path| around.cwd.join(path))
        .or_else(|| known.and_then(|known| known.ca));
    if token.is_some() && control.scheme() == "http" && !is_loopback(&control) {
        warnings.push(format!(
            "{control} is not https: whoever is on the way can read the token"
        ));
    }
    Ok(Place {
        control,
        control_by,
        token,
        account,
        ca,
        warnings,
    })
}

/// The place of a running `atoll up`, looked for in `directory` and above it.
fn running(directory: &Path) -> Result<Option<Known>> {
    let found = directory
        .ancestors()
        .map(|above| above.join(UP))
        .find(|path| path.is_file());
    let Some(path) = found else { return Ok(None) };
    let text = read_small(&path).map_err(|error| CommandError::file(&path, &error))?;
    let up: Up = serde_json::from_str(&text).map_err(|error| {
        // Its values stay unsaid: one is a token.
        CommandError::new(
            "files",
            format!("{}: line {} cannot be read", path.display(), error.line()),
        )
        .hint("`atoll up` writes this file at its start: stop it and start it again, or delete the file.")
    })?;
    // It was found in a directory.
    let directory = path.parent().unwrap_or(Path::new("."));
    let token = match (up.token, up.token_file) {
        (Some(token), _) => Some(token),
        (None, Some(file)) => {
            let file = directory.join(file);
            Some(read_small(&file).map_err(|error| CommandError::file(&file, &error))?)
        }
        (None, None) => None,
    };
    let by = SaidBy::Up(path.clone());
    Ok(Some(Known {
        control: address(&up.control, &by)?,
        by,
        token,
        account: up.account,
        ca: up.ca.map(|ca| directory.join(ca)),
    }))
}

fn read_small(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(UP_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// An address of a control plane: http or https, a host, nothing behind it.
pub(crate) fn address(text: &str, by: &SaidBy) -> Result<Url> {
    let refused = |why: &str| {
        CommandError::usage(format!("{text:?} ({by}) is no address of a control plane: {why}"))
            .hint("Write it like https://control.example.com or http://127.0.0.1:7070.")
    };
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url: Url = with_scheme.parse().map_err(|_| refused("it cannot be read"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("its scheme is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it names a user; tokens are kept with `atoll login`"));
    }
    if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
        return Err(refused("there is something behind the host"));
    }
    Ok(url)
}

fn same(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// Is it this machine?
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Case {
        directory: tempfile::TempDir,
        variables: HashMap<&'static str, String>,
    }

    impl Case {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let home = directory.path().join("home").to_str().unwrap().to_owned();
            Self {
                variables: HashMap::from([("XDG_CONFIG_HOME", home)]),
                directory,
            }
        }

        fn set(mut self, name: &'static str, value: &str) -> Self {
            self.variables.insert(name, value.to_owned());
            self
        }

        fn profile(self, name: &str, control: &str) -> Self {
            let variable = |name: &str| self.variables.get(name).cloned();
            let mut kept = Credentials::read(&credentials::place(&variable).unwrap()).unwrap();
            let profile = Profile {
                control: control.to_owned(),
                token: format!("atoll_{name}"),
                account: Some(format!("{name}-account")),
                ca: Some("/ca.pem".into()),
            };
            kept.profiles.insert(name.to_owned(), profile);
            kept.write().unwrap();
            self
        }

        fn up(self, json: &str) -> Self {
            let path = self.directory.path().join("work").join(UP);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, json).unwrap();
            self
        }

        fn find(&self, args: RemoteArgs) -> Result<Place> {
            let project = self.directory.path().join("work/apps/shop");
            find(
                &args,
                &Around {
                    cwd: self.directory.path(),
                    project: &project,
                    variable: &|name| self.variables.get(name).cloned(),
                },
            )
        }

        fn found(&self, args: RemoteArgs) -> String {
            let place = self.find(args).unwrap();
            let token = place.token.map(|(token, by)| format!("{} by {by}", token.reveal()));
            let account = place.account.map(|(account, _)| account);
            let by = match place.control_by {
                SaidBy::Up(_) => "up".to_owned(),
                by => by.to_string(),
            };
            format!("{} by {by}; {token:?}; {account:?}", place.control)
        }
    }

    fn control(url: &str) -> RemoteArgs {
        RemoteArgs {
            control: Some(url.to_owned()),
            ..RemoteArgs::default()
        }
    }

    #[test]
    fn the_nearest_says() {
        let none = RemoteArgs::default;
        assert_eq!(
            Case::new().found(none()),
            "http://127.0.0.1:7070/ by the default; None; None"
        );
        let case = Case::new().profile("default", "https://one.example");
        assert_eq!(
            case.found(none()),
            "https://one.example/ by the profile \"default\"; \
             Some(\"atoll_default by the profile \\\"default\\\"\"); Some(\"default-account\")"
        );
        assert_eq!(case.find(none()).unwrap().ca.as_deref(), Some(Path::new("/ca.pem")));
        let case = case.up(r#"{"control": "http://127.0.0.1:1", "token": "atoll_up", "account": "main"}"#);
        assert!(
            case.found(none())
                .starts_with("http://127.0.0.1:1/ by up; Some(\"atoll_up")
        );
        let case = case.set("ATOLL_CONTROL", "https://two.example");
        assert_eq!(case.found(none()), "https://two.example/ by ATOLL_CONTROL; None; None");
        let case = case.set("ATOLL_TOKEN", "atoll_env").set("ATOLL_ACCOUNT", "env");
        assert_eq!(
            case.found(none()),
            "https://two.example/ by ATOLL_CONTROL; Some(\"atoll_env by ATOLL_TOKEN\"); Some(\"env\")"
        );
        assert!(
            case.found(control("https://three.example"))
                .starts_with("https://three.example/ by --control")
        );
    }

    #[test]
    fn a_token_goes_only_where_it_belongs() {
        let case = Case::new()
            .profile("default", "https://one.example")
            .profile("two", "https://two.example:8443")
            .up(r#"{"control": "http://127.0.0.1:1", "token": "atoll_up"}"#);
        let token = |url: &str| case.find(control(url)).unwrap().token.map(|(token, _)| token.0);
        assert_eq!(token("https://one.example"), Some("atoll_default".into()));
        assert_eq!(token("https://two.example:8443"), Some("atoll_two".into()));
        assert_eq!(token("http://127.0.0.1:1"), Some("atoll_up".into()));
        for other in [
            "https://two.example",
            "http://one.example",
            "http://127.0.0.1:2",
            "https://one.example.evil",
        ] {
            assert_eq!(token(other), None, "{other}");
        }
        let named = |name: &str| RemoteArgs {
            profile: Some(name.to_owned()),
            ..RemoteArgs::default()
        };
        assert!(
            case.found(named("two"))
                .starts_with("https://two.example:8443/ by the profile \"two\"")
        );
        let error = case.find(named("tow")).unwrap_err().to_string();
        assert!(
            error.contains("no profile \"tow\"") && error.contains("did you mean \"two\"?"),
            "{error}"
        );
    }

    #[test]
    fn files_that_cannot_be_read_show_no_token() {
        let case = Case::new().up("{\"token\": \"atoll_secret\",\n \"control\": }");
        let error = case.find(RemoteArgs::default()).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && error.contains("atoll up") && !error.contains("secret"),
            "{error}"
        );
        let case = Case::new().up(r#"{"control": "http://127.0.0.1:1", "token_file": "token"}"#);
        let file = case.directory.path().join("work/.atoll/up/token");
        assert!(case.find(RemoteArgs::default()).unwrap_err().message.contains("token"));
        std::fs::write(file, "atoll_file\n").unwrap();
        assert!(case.found(RemoteArgs::default()).contains("atoll_file by"));
    }

    #[test]
    fn addresses() {
        let check = |text: &str, expected: &str| {
            let found = match address(text, &SaidBy::Flag("--control")) {
                Ok(url) => url.to_string(),
                Err(error) => error.message,
            };
            assert!(found.contains(expected), "{text}: {found}");
        };
        check("https://a.example", "https://a.example/");
        check("127.0.0.1:7070", "http://127.0.0.1:7070/");
        check("ftp://a.example", "neither http nor https");
        check("https://a.example/v1", "behind the host");
        check("https://me:pw@a.example", "names a user");
        check("http://", "(--control) is no address");
        let plain = Case::new().set("ATOLL_TOKEN", "atoll_x");
        assert!(plain.find(control("http://a.example")).unwrap().warnings[0].contains("not https"));
        assert!(plain.find(control("http://localhost:1")).unwrap().warnings.is_empty());
        assert!(plain.find(control("http://[::1]:1")).unwrap().warnings.is_empty());
        for bad in ["", " ", "a b", "a\u{e9}", &"x".repeat(2000)] {
            assert!(Token::new(bad).is_err(), "{bad:?}");
        }
    }
}
