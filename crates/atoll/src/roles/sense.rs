//! What of a role's configuration makes no sense although every value by itself does: the form of URLs, keys that go together,
//! files that are not there. `atoll config check` and the start of the role tell the same.

use super::file::{Mistake, Settings, address};
use atoll_api::peer::{JoinToken, check_pop_name};
use atoll_cli::roles::Role;
use atoll_model::outbound::OutboundEntry;
use std::fs::File;
use std::path::Path;

/// All mistakes.
pub(crate) fn mistakes(settings: &Settings) -> Vec<Mistake> {
    let mut found = Found {
        settings,
        mistakes: Vec::new(),
    };
    found.pair("http.tls_certificates", "http.tls_key");
    for key in ["http.tls_certificates", "http.tls_key"] {
        if let Some(path) = settings.path(key) {
            found.readable(key, &path);
        }
    }
    if let Some(url) = settings.some_text("http.public_url")
        && !is_url(url, &["http://", "https://"])
    {
        found.wrong(
            "http.public_url",
            "it must be http://HOST or https://HOST, with :PORT if need be",
        );
    }
    match settings.role() {
        Role::Control => control(&mut found),
        Role::Pop => pop(&mut found),
    }
    found.mistakes
}

struct Found<'a> {
    settings: &'a Settings,
    mistakes: Vec<Mistake>,
}

impl Found<'_> {
    /// Of the key's value, where it was read.
    fn wrong(&mut self, key: &str, what: &str) {
        let (place, line) = match self.settings.place(key) {
            Some((place, line)) => (place.clone(), *line),
            None => ("default".to_owned(), None),
        };
        self.mistakes.push(Mistake {
            place,
            line,
            what: format!("{key}: {what}"),
            hint: None,
        });
    }

    /// Both or none.
    fn pair(&mut self, one: &str, other: &str) {
        match (self.settings.some_text(one), self.settings.some_text(other)) {
            (Some(_), None) => self.wrong(one, &format!("it goes together with {other}, which is missing")),
            (None, Some(_)) => self.wrong(other, &format!("it goes together with {one}, which is missing")),
            _ => {}
        }
    }

    fn readable(&mut self, key: &str, path: &Path) {
        if let Err(error) = File::open(path) {
            self.wrong(key, &format!("{} cannot be read: {error}", path.display()));
        }
    }
}

/// It begins with one of these, and names a host after it.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?']) && !rest.contains([' ', '\t']))
}

/// A connection string of PostgreSQL: a URL, which names its host or has it as a parameter, or words of the form KEY=VALUE.
fn is_postgres(text: &str) -> bool {
    let schemes = ["postgres://", "postgresql://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) => is_url(text, &schemes) || (rest.contains("host=") && !rest.contains([' ', '\t'])),
        // A value in quotes may have spaces; what is in it the driver reads.
        None => text.starts_with(|c: char| c.is_ascii_lowercase()) && text.contains("host=") && !text.contains("://"),
    }
}

/// Letters, digits, dots and hyphens: what a host's name or an address consists of.
fn is_host(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    !text.is_empty() && !text.starts_with('.') && !text.ends_with('.') && text.chars().all(legal)
}

fn control(found: &mut Found<'_>) {
    let settings = found.settings;
    let url = settings.text("catalog.url");
    if !url.is_empty() && !is_postgres(url) {
        found.wrong(
            "catalog.url",
            "it has the form postgres://USER@HOST/DATABASE, or `host=HOST user=USER dbname=DATABASE`; empty: SQLite in the data directory",
        );
    }
    if let Some(url) = settings.some_text("artifacts.url") {
        let bucket = url.strip_prefix("s3://").map(|bucket| bucket.trim_end_matches('/'));
        if bucket.is_none_or(|bucket| bucket.is_empty() || bucket.contains('/')) {
            found.wrong(
                "artifacts.url",
                "it has the form s3://BUCKET; empty: in the data directory",
            );
        }
    }
    found.pair("artifacts.access_key", "artifacts.secret_key");
    if let Some(endpoint) = settings.some_text("artifacts.endpoint") {
        if !is_url(endpoint, &["http://", "https://"]) {
            found.wrong(
                "artifacts.endpoint",
                "it must be https://HOST or http://HOST, with :PORT if need be",
            );
        } else if endpoint.starts_with("http://") && !settings.flag("artifacts.allow_http") {
            found.wrong(
                "artifacts.endpoint",
                "without TLS the service is reached with artifacts.allow_http = true alone",
            );
        }
    }
    for (key, what) in [
        ("platform.domains", "workers are reached below at least one domain"),
        ("pops.names", "the certificate for PoPs needs at least one name"),
    ] {
        let names = settings.list(key);
        if names.is_empty() {
            found.wrong(key, what);
        }
        if let Some(name) = names.iter().find(|name| !is_host(name)) {
            found.wrong(key, &format!("{name:?} is no host's name"));
        }
    }
    let (api, pops) = (settings.address("http.listen"), settings.address("pops.listen"));
    if api == pops && api.port() != 0 {
        found.wrong("pops.listen", "the API has that address already (http.listen)");
    }
}

fn pop(found: &mut Found<'_>) {
    let settings = found.settings;
    let urls: Vec<&str> = settings
        .text("control.url")
        .split(',')
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .collect();
    if urls.is_empty() {
        found.wrong("control.url", "it names at least one control plane: https://HOST:PORT");
    }
    for url in urls {
        let host = url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/');
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if host.contains('/') || port.is_none() {
            found.wrong("control.url", &format!("{url:?} has not the form https://HOST:PORT"));
        }
    }
    if let Some(name) = settings.some_text("pop.name")
        && let Err(error) = check_pop_name(name)
    {
        found.wrong("pop.name", &error.to_string());
    }
    if let Some(token) = settings.some_text("control.join_token")
        && let Err(error) = JoinToken::parse(token)
    {
        found.wrong("control.join_token", &error.to_string());
    }
    if let Some(listen) = settings.some_text("admin.listen")
        && let Err(error) = address(listen)
    {
        found.wrong("admin.listen", &error);
    }
    for file in settings.list("http.geo_databases") {
        found.readable("http.geo_databases", Path::new(file));
    }
    for entry in settings.list("workers.allow_net") {
        if let Err(error) = entry.parse::<OutboundEntry>() {
            found.wrong("workers.allow_net", &format!("{entry:?}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_a_url_or_words() {
        for right in [
            "postgres://atoll@db.example.com/atoll",
            "postgresql://10.0.0.7",
            "postgres:///atoll?host=/run/postgresql",
            "host=/run/postgresql user=postgres dbname=atoll sslmode=disable",
            "user=postgres host=localhost password='a b'",
        ] {
            assert!(is_postgres(right), "{right}");
        }
        for wrong in [
            "postgres://",
            "postgres:///atoll",
            "mysql://host=x",
            "/run/postgresql",
            "localhost",
            "postgres://a b",
        ] {
            assert!(!is_postgres(wrong), "{wrong}");
        }
    }
}
