//! The table as rows.

use super::canary::percent_encoded;
use atoll_model::OutboundRules;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What the resolver says of names, question after question.
pub type Answers = BTreeMap<String, Vec<Vec<IpAddr>>>;

/// The statuses that redirect.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];
/// Where redirects of a group begin.
const PUBLIC: &str = "93.184.216.34:80";

/// One thing to try.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub name: String,
    /// In order, by one client.
    pub steps: Vec<Step>,
    /// Beside the names that all rows have.
    pub names: Answers,
    pub rules: OutboundRules,
    pub listeners: Vec<SocketAddr>,
    /// This machine's addresses; none: its interfaces'.
    pub own: Vec<IpAddr>,
    /// The connections that have to arrive, and no others.
    pub hits: BTreeMap<SocketAddr, usize>,
    /// Without the guard it gets inside.
    pub live: bool,
    /// It has to get where it wants.
    pub control: bool,
}

/// One attempt.
#[derive(Debug, Clone)]
pub struct Step {
    pub way: Way,
    /// A URL, or `host:port`.
    pub target: String,
    /// Whether it has to succeed; `None`: what arrives is all that counts.
    pub ok: Option<bool>,
}

/// How to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    Fetch,
    Post,
    Manual,
    Error,
    WebSocket,
    Method(String),
    Header(String, String),
    Connect,
    Tls,
    StartTls,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    names: Answers,
    group: Vec<Group>,
    play: Vec<Play>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    #[serde(rename = "about")]
    _about: Option<String>,
    #[serde(default = "yes")]
    live: bool,
    ways: Option<Vec<String>>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    urls: Vec<String>,
    #[serde(default)]
    locations: Vec<String>,
    #[serde(default)]
    chains: Vec<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    name: String,
    #[serde(rename = "about")]
    _about: Option<String>,
    #[serde(default)]
    names: Answers,
    #[serde(default)]
    allow: Option<Vec<String>>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    listeners: Vec<SocketAddr>,
    #[serde(default)]
    own: Vec<IpAddr>,
    steps: Vec<String>,
    hits: BTreeMap<SocketAddr, usize>,
    #[serde(default = "yes")]
    live: bool,
    #[serde(default)]
    control: bool,
}

fn yes() -> bool {
    true
}

/// The names that all rows have, and the rows.
pub fn load() -> (Answers, Vec<Row>) {
    let file: File = toml::from_str(include_str!("corpus.toml")).expect("corpus.toml");
    let mut rows = Vec::new();
    for group in &file.group {
        group_rows(group, &mut rows);
    }
    rows.extend(file.play.into_iter().map(play_row));
    (file.names, rows)
}

/// A row of refused steps: what may arrive is `hits`.
pub fn refused(name: String, steps: Vec<Step>, hits: BTreeMap<SocketAddr, usize>) -> Row {
    Row {
        name,
        steps,
        hits,
        live: true,
        ..Row::default()
    }
}

/// A step that has to fail.
pub fn no(way: Way, target: impl Into<String>) -> Step {
    Step {
        way,
        target: target.into(),
        ok: Some(false),
    }
}

fn group_rows(group: &Group, rows: &mut Vec<Row>) {
    let all = ["fetch", "tls", "websocket", "connect", "connect-tls"].map(str::to_owned);
    let ways = group.ways.as_deref().unwrap_or(&all);
    let mut push = |what: &str, steps, hits| {
        let row = refused(format!("{}: {what:?}", group.name), steps, hits);
        rows.push(Row {
            live: group.live,
            ..row
        });
    };
    for host in &group.hosts {
        let bracketed = if host.contains("::") && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let step = |way: &String| match way.as_str() {
            "fetch" => no(Way::Fetch, format!("http://{host}/")),
            "tls" => no(Way::Fetch, format!("https://{host}/")),
            "websocket" => no(Way::WebSocket, format!("http://{host}/")),
            "connect" => no(Way::Connect, format!("{bracketed}:5432")),
            "connect-tls" => no(Way::Tls, format!("{bracketed}:443")),
            other => panic!("{}: no such way: {other}", group.name),
        };
        push(host, ways.iter().map(step).collect(), BTreeMap::new());
    }
    for url in &group.urls {
        push(
            url,
            vec![no(Way::Fetch, url), no(Way::WebSocket, url), no(Way::Post, url)],
            BTreeMap::new(),
        );
    }
    for location in &group.locations {
        let step = |status| no(Way::Fetch, redirect("http://public.test", status, location));
        let steps: Vec<Step> = REDIRECTS.into_iter().map(step).collect();
        push(
            location,
            steps,
            BTreeMap::from([(PUBLIC.parse().unwrap(), REDIRECTS.len())]),
        );
    }
    for chain in &group.chains {
        let (url, hits) = chained(chain, 302);
        push(&chain.join(" -> "), vec![no(Way::Fetch, url)], hits);
    }
}

fn redirect(from: &str, status: u16, to: &str) -> String {
    format!("{from}/say/{status}/location/{}", percent_encoded(to))
}

/// A URL that leads through all of `chain`, and the connections that all but its last make.
pub fn chained(chain: &[String], status: u16) -> (String, BTreeMap<SocketAddr, usize>) {
    let (last, hops) = chain.split_last().expect("a chain has an end");
    let url = hops
        .iter()
        .rev()
        .fold(last.clone(), |to, from| redirect(from, status, &to));
    let mut hits: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for hop in hops {
        let tls = hop.starts_with("https:");
        let rest = hop.split_once("://").expect("a URL").1;
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !rest.ends_with(']') => (host, port.parse().expect("a port")),
            _ => (rest, if tls { 443 } else { 80 }),
        };
        let address = match host {
            "public.test" => "93.184.216.34",
            "other.test" => "198.41.0.4",
            "six.test" => "2606:4700::1111",
            literal => literal.trim_start_matches('[').trim_end_matches(']'),
        };
        let at = SocketAddr::new(address.parse().expect("an address"), port);
        let count = hits.entry(at).or_default();
        // The canary closes HTTP/1.1 connections; those of HTTP/2 are kept and carry what follows.
        if !tls || *count == 0 {
            *count += 1;
        }
    }
    (url, hits)
}

fn play_row(play: Play) -> Row {
    let parse = |list: Vec<String>| list.iter().map(|text| text.parse().expect("an entry")).collect();
    let row = play.name.clone();
    Row {
        name: play.name,
        steps: play.steps.iter().map(|text| step(&row, text)).collect(),
        names: play.names,
        rules: OutboundRules {
            allow: play.allow.map(parse),
            deny: parse(play.deny),
        },
        listeners: play.listeners,
        own: play.own,
        hits: play.hits,
        live: play.live && !play.control,
        control: play.control,
    }
}

/// `ok|no WAY TARGET`, with an argument before the target for `method`, `header` and `host`.
fn step(row: &str, text: &str) -> Step {
    let cut = |text: &str| {
        let (first, rest) = text.split_once(' ').unwrap_or_else(|| panic!("{row}: {text:?}"));
        (first.to_owned(), rest.to_owned())
    };
    let (verdict, rest) = cut(text);
    let (way, rest) = cut(&rest);
    let (way, target) = match way.as_str() {
        "fetch" => (Way::Fetch, rest),
        "post" => (Way::Post, rest),
        "manual" => (Way::Manual, rest),
        "error" => (Way::Error, rest),
        "websocket" => (Way::WebSocket, rest),
        "connect" => (Way::Connect, rest),
        "tls" => (Way::Tls, rest),
        "starttls" => (Way::StartTls, rest),
        "method" => {
            let (method, target) = cut(&rest);
            (Way::Method(method), target)
        }
        "host" => {
            let (host, target) = cut(&rest);
            (Way::Header("host".to_owned(), host), target)
        }
        "header" => {
            let (field, target) = cut(&rest);
            let (name, value) = field.split_once('=').expect("name=value");
            (Way::Header(name.to_owned(), value.to_owned()), target)
        }
        other => panic!("{row}: no such way: {other}"),
    };
    Step {
        way,
        target,
        ok: match verdict.as_str() {
            "ok" => Some(true),
            "no" => Some(false),
            other => panic!("{row}: neither ok nor no: {other}"),
        },
    }
}
