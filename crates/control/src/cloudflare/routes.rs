//! Routes and custom domains of workers.
//!
//! There are no zones here: every host that an account's routes name is its own. Clients ask for the zone of a host before
//! they look whose its routes are, so each name is a zone whose id says the account and the name.

use super::Body;
use super::envelope::{Answer, ApiError, Paging, Result, code, good};
use super::scripts::{ENVIRONMENT, found};
use super::state::{Api, Who};
use crate::catalog::{Domain, Route};
use atoll_model::{Action, DomainName, Resource, RoutePattern, TenantId, WorkerName};
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest host name, bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

impl Who {
    fn routes(&self, account: &str, worker: Option<&WorkerName>, action: Action) -> Result<TenantId> {
        self.need(account, Resource::Route, action, worker)
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) || bytes.len() > 2 * 1024 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    String::from_utf8(bytes.chunks_exact(2).map(pair).collect::<Option<Vec<u8>>>()?).ok()
}

fn zone_id(account: &TenantId, name: &str) -> String {
    hex(&format!("{account}/{name}"))
}

/// `?name=&account.id=`
#[derive(Deserialize)]
pub(super) struct ZonesQuery {
    name: Option<String>,
    #[serde(rename = "account.id")]
    account: Option<String>,
}

/// `GET /zones`
pub(super) async fn zones(who: Who, Query(asked): Query<ZonesQuery>, Query(paging): Query<Paging>) -> Answer {
    let account = asked.account.as_deref();
    let account = account.or_else(|| who.identity.account.as_ref().map(TenantId::as_str));
    let (Some(account), Some(name)) = (account, asked.name.filter(|name| !name.is_empty())) else {
        return paging.of(Vec::<Value>::new());
    };
    let account = who.routes(account, None, Action::Read)?;
    paging.of(vec![json!({
        "id": zone_id(&account, &name),
        "name": name,
        "status": "active",
        "account": {"id": account},
    })])
}

/// `GET /zones/{zone}/workers/routes`: of a zone of ours, the account's routes below its name; of one that a configuration
/// brought along, all of the token's account.
pub(super) async fn zone_routes(api: Api, who: Who, Path(zone): Path<String>) -> Answer {
    let own = unhex(&zone).and_then(|text| text.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())));
    let (account, name) = match (own, &who.identity.account) {
        (Some((account, name)), _) => (account, Some(name)),
        (None, Some(account)) => (account.to_string(), None),
        (None, None) => {
            return Err(ApiError::missing(
                code::NO_ROUTE,
                "there are no zones in Atoll; use an API token of one account, or leave out `zone_id`",
            ));
        }
    };
    let account = who.routes(&account, None, Action::Read)?;
    let below = |route: &Route| {
        let host = route.pattern.split('/').next().unwrap_or_default();
        name.as_deref()
            .is_none_or(|name| host == name || host.ends_with(&format!(".{name}")) || host == format!("*{name}"))
    };
    let routes = api.catalog.routes(account).await?;
    let routes: Vec<Value> = routes.iter().filter(|route| below(route)).map(shown).collect();
    good(routes)
}

fn shown(route: &Route) -> Value {
    json!({"id": route.id, "pattern": route.pattern, "script": route.worker})
}

async fn of_worker(api: &Api, account: &TenantId, worker: &WorkerName) -> Result<Vec<Route>> {
    let mut routes = api.catalog.routes(account.clone()).await?;
    routes.retain(|route| route.worker.as_ref() == Some(worker));
    Ok(routes)
}

/// `GET .../workers/scripts/{name}/routes`
pub(super) async fn get(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let name = WorkerName::new(name);
    let account = who.routes(&account, Some(&name), Action::Read)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let routes = of_worker(&api, &account, &name).await?;
    good(routes.iter().map(shown).collect::<Vec<_>>())
}

/// `GET .../workers/services/{name}/environments/{environment}/routes`
pub(super) async fn of_environment(
    api: Api,
    who: Who,
    Path((account, name, _environment)): Path<(String, String, String)>,
) -> Answer {
    get(api, who, Path((account, name))).await
}

/// A route as it is sent. That it is below a zone says nothing here.
#[derive(Deserialize)]
pub(super) struct Asked {
    pattern: String,
}

/// `PUT .../workers/scripts/{name}/routes`: these, and no others. One that is another worker's stays its.
pub(super) async fn put(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(asked): Body<Vec<Asked>>,
) -> Answer {
    let name = WorkerName::new(name);
    let account = who.routes(&account, Some(&name), Action::Write)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let patterns: Vec<String> = asked.into_iter().map(|route| route.pattern).collect();
    let all = api.catalog.routes(account.clone()).await?;
    for pattern in &patterns {
        let read = RoutePattern::parse(pattern).map_err(|error| ApiError::validation(error.to_string()))?;
        let canonical = read.to_string();
        let other = all
            .iter()
            .find(|route| route.pattern == canonical && route.worker.as_ref() != Some(&name));
        if let Some(worker) = other.and_then(|route| route.worker.as_ref()) {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                code::ROUTE_TAKEN,
                format!("the route {pattern:?} is worker {worker}'s; remove it there first"),
            ));
        }
    }
    let done = api.catalog.set_routes(who.caller(), account, name, &patterns).await?;
    let routes = api.told(done);
    good(routes.iter().map(shown).collect::<Vec<_>>())
}

/// A custom domain as it is sent.
#[derive(Deserialize)]
pub(super) struct Origin {
    hostname: String,
    enabled: Option<bool>,
    previews_enabled: Option<bool>,
}

impl Origin {
    fn name(&self) -> Result<DomainName> {
        if self.enabled == Some(false) || self.previews_enabled == Some(true) {
            return Err(ApiError::validation(format!(
                "custom domain {}: `enabled: false` and `previews_enabled: true` are not built in this release of Atoll",
                self.hostname
            )));
        }
        host_name(&self.hostname)
    }
}

fn host_name(text: &str) -> Result<DomainName> {
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.len() <= 63 && label.bytes().all(legal)
    };
    if host.len() <= HOST_BYTES_MAX && host.split('.').all(label) {
        return Ok(DomainName::new(host));
    }
    Err(ApiError::validation(format!("{text:?} is no host name")))
}

fn shown_domain(account: &TenantId, domain: &Domain) -> Value {
    json!({
        "id": domain.id,
        "hostname": domain.name,
        "service": domain.worker,
        "environment": ENVIRONMENT,
        "zone_id": zone_id(account, domain.name.as_str()),
        "zone_name": domain.name,
        "enabled": true,
        "previews_enabled": false,
    })
}

/// `?service=&hostname=`
#[derive(Deserialize)]
pub(super) struct DomainsQuery {
    service: Option<String>,
    hostname: Option<String>,
}

/// `GET .../workers/domains` and `.../workers/domains/records`
pub(super) async fn domains(
    api: Api,
    who: Who,
    Path(account): Path<String>,
    Query(asked): Query<DomainsQuery>,
) -> Answer {
    let account = who.routes(&account, None, Action::Read)?;
    let domains = api.catalog.domains(account.clone()).await?;
    let fits = |domain: &&Domain| {
        asked
            .service
            .as_deref()
            .is_none_or(|service| domain.worker.as_str() == service)
            && asked
                .hostname
                .as_deref()
                .is_none_or(|host| domain.name.as_str() == host)
    };
    let domains: Vec<Value> = domains
        .iter()
        .filter(fits)
        .map(|domain| shown_domain(&account, domain))
        .collect();
    good(domains)
}

/// `GET .../workers/domains/records/{id}`
pub(super) async fn domain(api: Api, who: Who, Path((account, id)): Path<(String, String)>) -> Answer {
    let account = who.routes(&account, None, Action::Read)?;
    let domains = api.catalog.domains(account.clone()).await?;
    let domain = domains.iter().find(|domain| domain.id == id);
    let domain =
        domain.ok_or_else(|| ApiError::missing(code::NO_ROUTE, format!("there is no custom domain {id:?}")))?;
    good(shown_domain(&account, domain))
}

/// `?replace_state=true`
#[derive(Deserialize)]
pub(super) struct Changeset {
    #[serde(default)]
    replace_state: bool,
}

/// `POST .../workers/scripts/{name}/domains/changeset`: what a `PUT` of these would change.
pub(super) async fn changeset(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Query(query): Query<Changeset>,
    Body(origins): Body<Vec<Origin>>,
) -> Answer {
    let name = WorkerName::new(name);
    let account = who.routes(&account, Some(&name), Action::Read)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let domains = api.catalog.domains(account.clone()).await?;
    let (mut added, mut updated, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for origin in origins {
        let host = origin.name()?;
        match domains.iter().find(|domain| domain.name == host) {
            Some(domain) => {
                let mut shown = shown_domain(&account, domain);
                shown["modified"] = json!(domain.worker != name);
                updated.push(shown);
            }
            None => added.push(json!({
                "hostname": host,
                "service": name,
                "environment": ENVIRONMENT,
                "zone_id": zone_id(&account, host.as_str()),
                "zone_name": host,
            })),
        }
        wanted.push(host);
    }
    let removed: Vec<Value> = domains
        .iter()
        .filter(|domain| query.replace_state && domain.worker == name && !wanted.contains(&domain.name))
        .map(|domain| shown_domain(&account, domain))
        .collect();
    good(json!({"added": added, "removed": removed, "updated": updated, "conflicting": []}))
}

/// `{override_scope, override_existing_origin, override_existing_dns_record, origins}`
#[derive(Deserialize)]
pub(super) struct Records {
    #[serde(default)]
    override_scope: bool,
    #[serde(default)]
    override_existing_origin: bool,
    origins: Vec<Origin>,
}

/// `PUT .../workers/scripts/{name}/domains/records`
pub(super) async fn put_domains(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(records): Body<Records>,
) -> Answer {
    let name = WorkerName::new(name);
    let account = who.routes(&account, Some(&name), Action::Write)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let domains = api.catalog.domains(account.clone()).await?;
    let wanted = records.origins.iter().map(Origin::name).collect::<Result<Vec<_>>>()?;
    for host in &wanted {
        let other = domains
            .iter()
            .find(|domain| domain.name == *host && domain.worker != name);
        if let Some(other) = other.filter(|_| !records.override_existing_origin) {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                code::ROUTE_TAKEN,
                format!("the custom domain {host} is worker {}'s", other.worker),
            ));
        }
    }
    let mut shown = Vec::with_capacity(wanted.len());
    for host in &wanted {
        let own = domains
            .iter()
            .find(|domain| domain.name == *host && domain.worker == name);
        let domain = match own {
            Some(domain) => domain.clone(),
            None => {
                let done = api
                    .catalog
                    .add_domain(who.caller(), account.clone(), name.clone(), host.clone())
                    .await?;
                api.told(done)
            }
        };
        shown.push(shown_domain(&account, &domain));
    }
    let others = domains
        .iter()
        .filter(|domain| domain.worker == name && !wanted.contains(&domain.name));
    for domain in others.filter(|_| records.override_scope) {
        let done = api
            .catalog
            .delete_domain(who.caller(), account.clone(), domain.name.clone())
            .await?;
        api.told(done);
    }
    good(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zones_id_says_account_and_name() {
        let account = TenantId::new("acme");
        let id = zone_id(&account, "example.com");
        assert_eq!(unhex(&id).as_deref(), Some("acme/example.com"));
        for bad in ["0", "zz", "ff", "é"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }

    #[test]
    fn host_names() {
        let check = |text: &str, expected: Option<&str>| {
            let found = host_name(text).ok();
            assert_eq!(found.as_ref().map(DomainName::as_str), expected, "{text}");
        };
        check("Shop.Example.com.", Some("shop.example.com"));
        check("localhost", Some("localhost"));
        check("", None);
        check("a..b", None);
        check("a/b", None);
        check("*.example.com", None);
        check(&"a".repeat(64), None);
        check(&"a.".repeat(200), None);
    }
}
