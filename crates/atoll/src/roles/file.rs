//! Reading a role's configuration: file, environment, command line; in that order the later wins.
//!
//! A mistake is told with its line and, for a word that nearly is one, with the right one. All mistakes of a file are told at
//! once. Nothing is half-read: who gets a [`Settings`] has checked values for every key, also against each other
//! ([`super::sense`]).

use super::keys::{self, Key, Kind};
use atoll_cli::roles::Role;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Letters that may be wrong for a word to be taken for another.
const TYPO_DISTANCE_MAX: usize = 2;
/// The largest file, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where it was read: a file, a variable, a flag.
    pub(crate) place: String,
    /// In a file.
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.place, self.what)?,
            None => write!(f, "{}: {}", self.place, self.what)?,
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A file, a variable or a flag, and the line.
pub(crate) type Place = (String, Option<usize>);

/// A value that has been checked.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Duration(Duration),
    List(Vec<String>),
}

/// A role's configuration: a value for every key.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    role: Role,
    values: BTreeMap<(&'static str, &'static str), Value>,
    /// Where each was read, if it is not the default.
    places: BTreeMap<(&'static str, &'static str), Place>,
    /// What relative paths of the file are relative to.
    base: PathBuf,
}

/// Where settings are read from.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    pub(crate) file: Option<&'a Path>,
    /// Environment variables.
    pub(crate) environment: &'a [(String, String)],
    /// `section.key=value`.
    pub(crate) set: &'a [String],
}

impl Settings {
    /// Reads what a role is to be.
    pub(crate) fn read(role: Role, sources: &Sources<'_>) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(role);
        if let Some(path) = sources.file {
            match text_of(path) {
                Ok(text) => reader.file(&path.display().to_string(), &text),
                Err(what) => reader.mistake(path.display().to_string(), None, what, None),
            }
        }
        for (name, value) in sources.environment {
            if let Some(key) = keys::of(role).iter().find(|key| keys::variable(key) == *name) {
                reader.text(key, value, name, None);
            }
        }
        for pair in sources.set {
            reader.pair(pair);
        }
        let base = sources
            .file
            .and_then(Path::parent)
            .map(Path::to_owned)
            .unwrap_or_default();
        let settings = reader.finish(base)?;
        match super::sense::mistakes(&settings) {
            none if none.is_empty() => Ok(settings),
            mistakes => Err(mistakes),
        }
    }

    /// For which role.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Where a key's value was read; `None`: it is the default.
    pub(crate) fn place(&self, name: &str) -> Option<&Place> {
        let (section, key) = name.split_once('.')?;
        let mut places = self.places.iter();
        let found = places.find(|((s, k), _)| *s == section && *k == key);
        found.map(|(_, place)| place)
    }

    fn get(&self, name: &str) -> &Value {
        const NONE: &Value = &Value::Number(0);
        let found = name.split_once('.').and_then(|(section, key)| {
            let mut values = self.values.iter();
            values.find(|((s, k), _)| *s == section && *k == key)
        });
        debug_assert!(found.is_some(), "{name} is no key of {:?}", self.role);
        found.map_or(NONE, |(_, value)| value)
    }

    /// A text, a word, or an empty text if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// A text, if there is one.
    pub(crate) fn some_text(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A path, if there is one.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.some_text(name).map(|text| self.base.join(text))
    }

    /// An address.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        // It was checked when it was read.
        address(self.text(name)).unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        match self.get(name) {
            Value::Number(number) => *number,
            _ => 0,
        }
    }

    /// Is it so?
    pub(crate) fn flag(&self, name: &str) -> bool {
        *self.get(name) == Value::Flag(true)
    }

    /// A duration.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        match self.get(name) {
            Value::Duration(duration) => *duration,
            _ => Duration::ZERO,
        }
    }

    /// Texts.
    pub(crate) fn list(&self, name: &str) -> &[String] {
        match self.get(name) {
            Value::List(list) => list,
            _ => &[],
        }
    }
}

/// The role that a file says it is for.
pub(crate) fn role_of(path: &Path) -> Result<Role, Mistake> {
    const HOW: &str = "write role = \"control\" or role = \"pop\" on its first line, or give --role";
    let mistake = |line, what: String, hint: Option<String>| Mistake {
        place: path.display().to_string(),
        line,
        what,
        hint,
    };
    let text = text_of(path).map_err(|what| mistake(None, what, None))?;
    let table = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map(|span| line_of(&text, span.start));
        mistake(line, error.message().to_owned(), None)
    })?;
    let Some(role) = table.get_ref().get("role") else {
        return Err(mistake(
            None,
            format!("it does not say for which role it is: {HOW}"),
            None,
        ));
    };
    let line = Some(line_of(&text, role.span().start));
    match role.get_ref() {
        DeValue::String(word) if word == "control" => Ok(Role::Control),
        DeValue::String(word) if word == "pop" => Ok(Role::Pop),
        DeValue::String(word) => {
            let hint = near(word, ["control", "pop"].into_iter());
            Err(mistake(line, format!("there is no role {word:?}: {HOW}"), hint))
        }
        _ => Err(mistake(line, format!("the role is a text: {HOW}"), None)),
    }
}

/// Variables that look as if they were to be keys of the role, and are none.
pub(crate) fn stray(role: Role, environment: &[(String, String)]) -> Vec<Mistake> {
    let names: Vec<String> = keys::of(role).iter().map(keys::variable).collect();
    let strays = environment.iter().filter(|(name, _)| {
        let of_section = keys::of(role).iter().any(|key| {
            let start = format!("ATOLL_{}_", key.section.to_uppercase());
            name.starts_with(&start)
        });
        of_section && !names.contains(name)
    });
    let told = strays.map(|(name, _)| Mistake {
        place: name.clone(),
        line: None,
        what: "it looks like a key of the configuration, and there is none of that name".to_owned(),
        hint: near(name, names.iter().map(String::as_str)),
    });
    told.collect()
}

fn text_of(path: &Path) -> Result<String, String> {
    let facts = std::fs::metadata(path).map_err(|error| format!("it cannot be read: {error}"))?;
    if facts.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes; {FILE_BYTES_MAX} is the most", facts.len()));
    }
    std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))
}

struct Reader {
    role: Role,
    values: BTreeMap<(&'static str, &'static str), Value>,
    places: BTreeMap<(&'static str, &'static str), Place>,
    mistakes: Vec<Mistake>,
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

impl Reader {
    fn new(role: Role) -> Self {
        let mut reader = Self {
            role,
            values: BTreeMap::new(),
            places: BTreeMap::new(),
            mistakes: Vec::new(),
        };
        for key in keys::of(role) {
            reader.text(key, key.default, "default", None);
        }
        reader.places.clear();
        reader
    }

    fn mistake(&mut self, place: String, line: Option<usize>, what: String, hint: Option<String>) {
        self.mistakes.push(Mistake {
            place,
            line,
            what,
            hint,
        });
    }

    fn finish(self, base: PathBuf) -> Result<Settings, Vec<Mistake>> {
        if !self.mistakes.is_empty() {
            return Err(self.mistakes);
        }
        Ok(Settings {
            role: self.role,
            values: self.values,
            places: self.places,
            base,
        })
    }

    fn file(&mut self, place: &str, text: &str) {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map(|span| line_of(text, span.start));
                return self.mistake(place.to_owned(), line, error.message().to_owned(), None);
            }
        };
        for (section, value) in table.get_ref().iter() {
            let line = Some(line_of(text, section.span().start));
            let section: &str = section.get_ref();
            if section == "role" {
                continue;
            }
            let known: HashSet<&str> = keys::of(self.role).iter().map(|key| key.section).collect();
            let DeValue::Table(inner) = value.get_ref() else {
                let what = format!("\"{section}\" is no section: keys stand in sections, as in [http]");
                self.mistake(place.to_owned(), line, what, near(section, known.iter().copied()));
                continue;
            };
            if !known.contains(section) {
                let what = format!("there is no section [{section}] for this role");
                self.mistake(place.to_owned(), line, what, near(section, known.iter().copied()));
                continue;
            }
            for (name, value) in inner.iter() {
                let line = Some(line_of(text, name.span().start));
                self.entry(place, line, section, name.get_ref(), value.get_ref());
            }
        }
    }

    fn entry(&mut self, place: &str, line: Option<usize>, section: &str, name: &str, value: &DeValue<'_>) {
        let mut of_section = keys::of(self.role).iter().filter(|key| key.section == section);
        let Some(key) = of_section.clone().find(|key| key.name == name) else {
            let what = format!("there is no key {section}.{name}");
            let hint = near(name, of_section.by_ref().map(|key| key.name));
            return self.mistake(place.to_owned(), line, what, hint);
        };
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Array(items) if key.kind == Kind::List => {
                let texts = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                });
                return match texts.collect::<Option<Vec<_>>>() {
                    Some(list) => {
                        self.values.insert((key.section, key.name), Value::List(list));
                        self.places.insert((key.section, key.name), (place.to_owned(), line));
                    }
                    None => {
                        let what = format!("{section}.{name} is a list of texts");
                        self.mistake(place.to_owned(), line, what, None);
                    }
                };
            }
            _ => {
                let what = format!("{section}.{name} is of another kind: it must be {}", key.kind.shown());
                return self.mistake(place.to_owned(), line, what, None);
            }
        };
        self.text(key, &text, place, line);
    }

    fn pair(&mut self, pair: &str) {
        let place = format!("--set {pair}");
        let read = pair.split_once('=').and_then(|(name, value)| {
            let (section, name) = name.split_once('.')?;
            Some((section, name, value))
        });
        let Some((section, name, value)) = read else {
            return self.mistake(place, None, "it has the form SECTION.KEY=VALUE".to_owned(), None);
        };
        let keys = keys::of(self.role);
        match keys.iter().find(|key| key.section == section && key.name == name) {
            Some(key) => self.text(key, value, &place, None),
            None => {
                let whole = format!("{section}.{name}");
                let all: Vec<String> = keys.iter().map(|key| format!("{}.{}", key.section, key.name)).collect();
                let hint = near(&whole, all.iter().map(String::as_str));
                self.mistake(place, None, format!("there is no key {whole}"), hint);
            }
        }
    }

    /// A value as text: of the environment, a flag, or a plain value of the file.
    fn text(&mut self, key: &'static Key, text: &str, place: &str, line: Option<usize>) {
        match value(key.kind, text) {
            Ok(value) => {
                self.values.insert((key.section, key.name), value);
                self.places.insert((key.section, key.name), (place.to_owned(), line));
            }
            Err(reason) => {
                let what = format!("{}.{} = {text:?}: {reason}", key.section, key.name);
                self.mistake(place.to_owned(), line, what, None);
            }
        }
    }
}

fn value(kind: Kind, text: &str) -> Result<Value, String> {
    Ok(match kind {
        Kind::Text | Kind::Path => Value::Text(text.to_owned()),
        Kind::Address => {
            address(text)?;
            Value::Text(text.to_owned())
        }
        Kind::Number(min, max) => match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Value::Number(number),
            _ => return Err(format!("it must be a number from {min} to {max}")),
        },
        Kind::Flag => match text {
            "true" | "1" => Value::Flag(true),
            "false" | "0" => Value::Flag(false),
            _ => return Err("it must be true or false".to_owned()),
        },
        Kind::Duration => Value::Duration(duration(text)?),
        Kind::Bytes => Value::Number(bytes(text)?),
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::List(parts.map(str::to_owned).collect())
        }
        Kind::OneOf(words) if words.contains(&text) => Value::Text(text.to_owned()),
        Kind::OneOf(words) => {
            let hint = near(text, words.iter().copied()).map_or_else(String::new, |hint| format!("; {hint}"));
            return Err(format!("it must be one of {}{hint}", words.join(", ")));
        }
    })
}

/// `ADDRESS:PORT`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text
        .replacen("localhost:", "127.0.0.1:", 1)
        .replacen("*:", "0.0.0.0:", 1);
    text.parse()
        .map_err(|_| "it must be ADDRESS:PORT, as 127.0.0.1:8787, [::]:80 or *:80".to_owned())
}

fn split_unit(text: &str) -> Result<(u64, &str), String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number = number.parse().map_err(|_| "it must begin with a number".to_owned())?;
    Ok((number, unit.trim()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text)?;
    let ms = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("\"{unit}\" is no unit of time; there are ms, s, m and h")),
    };
    Ok(Duration::from_millis(number.saturating_mul(ms)))
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("\"{unit}\" is no unit of bytes; there are KiB, MiB and GiB")),
    };
    Ok(number.saturating_mul(factor))
}

/// The right word, for one that is nearly right.
fn near<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let closest = known.map(|one| (distance(word, one), one)).min()?;
    (closest.0 <= TYPO_DISTANCE_MAX.min(word.len() / 2)).then(|| format!("is \"{}\" meant?", closest.1))
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(role: Role, text: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Settings, Vec<String>> {
        let directory = tempfile();
        let path = directory.join("role.toml");
        std::fs::write(&path, text).unwrap();
        let environment: Vec<_> = environment
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect();
        let set: Vec<String> = set.iter().map(|pair| (*pair).to_owned()).collect();
        let sources = Sources {
            file: Some(&path),
            environment: &environment,
            set: &set,
        };
        let read = Settings::read(role, &sources);
        std::fs::remove_dir_all(&directory).unwrap();
        read.map_err(|mistakes| {
            let shown = mistakes
                .iter()
                .map(|mistake| mistake.to_string().replace(&*path.to_string_lossy(), "role.toml"));
            shown.collect()
        })
    }

    fn tempfile() -> PathBuf {
        use std::hash::{BuildHasher as _, RandomState};
        let name = format!("atoll-roles-{}-{}", std::process::id(), RandomState::new().hash_one(()));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn defaults_are_sound() {
        for role in [Role::Control, Role::Pop] {
            let settings = Settings::read(role, &Sources::default()).unwrap();
            assert_eq!(settings.values.len(), keys::of(role).len(), "a key stands twice");
        }
    }

    #[test]
    fn the_later_wins() {
        let text = "role = \"pop\"\n[http]\nlisten = \"127.0.0.1:1\"\n[workers]\nper_core = 2\nidle = \"5s\"\nallow_net = [\"a\", \"b\"]\n";
        let settings = read(Role::Pop, text, &[], &[]).unwrap();
        assert_eq!(settings.address("http.listen").port(), 1);
        assert_eq!(settings.number("workers.per_core"), 2);
        assert_eq!(settings.duration("workers.idle"), Duration::from_secs(5));
        assert_eq!(settings.list("workers.allow_net"), ["a", "b"]);
        assert_eq!(settings.number("workers.code_bytes"), 512 << 20);
        let environment = [
            ("ATOLL_HTTP_LISTEN", "localhost:2"),
            ("ATOLL_WORKERS_ALLOW_NET", "c, d"),
            ("ATOLL_OTHER", "x"),
        ];
        let settings = read(Role::Pop, text, &environment, &[]).unwrap();
        assert_eq!(settings.address("http.listen").port(), 2);
        assert_eq!(settings.list("workers.allow_net"), ["c", "d"]);
        let settings = read(Role::Pop, text, &environment, &["http.listen=*:3"]).unwrap();
        assert_eq!(settings.address("http.listen").to_string(), "0.0.0.0:3");
    }

    #[test]
    fn mistakes_have_lines_and_hints() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(read(Role::Pop, text, &[], &[]).unwrap_err(), expected, "{text}");
        };
        check(
            "[htp]\n",
            &["role.toml:1: there is no section [htp] for this role (is \"http\" meant?)"],
        );
        check(
            "\n[http]\nlissen = \"127.0.0.1:1\"\n[workers]\nper_core = 0\n",
            &[
                "role.toml:3: there is no key http.lissen (is \"listen\" meant?)",
                "role.toml:5: workers.per_core = \"0\": it must be a number from 1 to 64",
            ],
        );
        check(
            "listen = 1\n",
            &["role.toml:1: \"listen\" is no section: keys stand in sections, as in [http]"],
        );
        check(
            "[http]\nlisten = 80\n",
            &["role.toml:2: http.listen = \"80\": it must be ADDRESS:PORT, as 127.0.0.1:8787, [::]:80 or *:80"],
        );
        check(
            "[workers]\nisolation = \"cordn\"\n",
            &[
                "role.toml:2: workers.isolation = \"cordn\": it must be one of cordon, dedicated, shared; is \"cordon\" meant?",
            ],
        );
        check(
            "[drain]\ngrace = \"10d\"\n",
            &["role.toml:2: drain.grace = \"10d\": \"d\" is no unit of time; there are ms, s, m and h"],
        );
        let broken = read(Role::Pop, "[http\n", &[], &[]).unwrap_err();
        assert!(broken[0].starts_with("role.toml:1: "), "{broken:?}");
        let set = read(Role::Pop, "", &[], &["http.lisen=*:1", "x"]).unwrap_err();
        assert_eq!(
            set[0],
            "--set http.lisen=*:1: there is no key http.lisen (is \"http.listen\" meant?)"
        );
        assert_eq!(set[1], "--set x: it has the form SECTION.KEY=VALUE");
    }

    #[test]
    fn the_roles_differ() {
        let text = "[catalog]\nurl = \"postgres://x\"\n";
        assert_eq!(
            read(Role::Control, text, &[], &[]).unwrap().some_text("catalog.url"),
            Some("postgres://x")
        );
        assert!(read(Role::Pop, text, &[], &[]).is_err());
    }
}
