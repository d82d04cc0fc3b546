//! Whose a host is: nobody has routes or domains on somebody else's.
//!
//! A claim is of a name and all names below it. An account's first route or domain on a host claims what one registers of it
//! ([`claim_of`]: `www.example.com` claims `example.com`), and the claim stays until the account or the operator gives it back. Its owner may
//! say that other accounts are guests there. A pattern that reaches over more than one such name (`*/*`, `*.com/*`,
//! `*example.com/*`) needs the claim of `*`, which the operator alone gives.
//!
//! Below the platform's own domains only `NAME.DOMAIN` can be claimed: `WORKER.SUBDOMAIN.DOMAIN` is the platform's.
//!
//! Which names one registers is told by their form, without the list of public suffixes: two labels, or three where the second last is
//! one of [`SECOND_LEVEL`] below a country's. The operator can settle what that gets wrong.

use super::change::{Action, Changing};
use super::{Caller, Catalog, CatalogError, Done, Result};
use atoll_model::{EdgeKey, TenantId};
use atoll_store::sql::Row;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The most guests of a host.
pub const GUESTS_MAX: usize = 100;
/// The claim of all hosts that nobody else has claimed.
pub const EVERYTHING: &str = "*";

/// Second labels below which names are registered, where the last one is a country's.
const SECOND_LEVEL: [&str; 16] = [
    "ac", "co", "com", "edu", "go", "gob", "gov", "gv", "ltd", "mil", "ne", "net", "nom", "or", "org", "plc",
];

/// A claimed host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The name.
    pub name: String,
    /// Whose it is.
    pub account: TenantId,
    /// Accounts that may have routes and domains there, too.
    pub guests: Vec<TenantId>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// Which hosts a pattern or a domain reaches: a name, or all names that end with something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach<'a> {
    /// The host, or what hosts end with; in lower case.
    pub host: &'a str,
    /// Any characters may come before it.
    pub any_prefix: bool,
}

impl<'a> Reach<'a> {
    /// Of a pattern in its one spelling.
    pub fn of_pattern(pattern: &'a str) -> Self {
        let host = pattern.split('/').next().unwrap_or("");
        match host.strip_prefix('*') {
            Some(host) => Self { host, any_prefix: true },
            None => Self {
                host,
                any_prefix: false,
            },
        }
    }

    /// Of a domain.
    pub fn of_domain(host: &'a str) -> Self {
        Self {
            host,
            any_prefix: false,
        }
    }
}

/// What one has to have claimed for this: [`EVERYTHING`] if it is more than one registered name.
pub(super) fn claim_of(reach: &Reach<'_>) -> String {
    let host = match reach.any_prefix {
        false => reach.host,
        // `*example.com` is also notexample.com.
        true => match reach.host.strip_prefix('.') {
            Some(host) => host,
            None => return EVERYTHING.to_owned(),
        },
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    if address.parse::<IpAddr>().is_ok() {
        return host.to_owned();
    }
    let labels: Vec<&str> = host.split('.').collect();
    let country = labels.last().is_some_and(|label| label.len() == 2);
    let second = labels.len() >= 2 && SECOND_LEVEL.contains(&labels[labels.len() - 2]);
    let registered = if country && second { 3 } else { 2 };
    // `com`, `co.uk`, `localhost`: others have names below it.
    if labels.len() < registered {
        return EVERYTHING.to_owned();
    }
    labels[labels.len().saturating_sub(registered)..].join(".")
}

/// The name itself and those that it is below: `a.b.c`, `b.c`, `c`, `*`.
fn above(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    let mut rest = name;
    while let Some((_, parent)) = rest.split_once('.') {
        names.push(parent.to_owned());
        rest = parent;
    }
    if name != EVERYTHING {
        names.push(EVERYTHING.to_owned());
    }
    names
}

fn host(row: &Row) -> Result<Host> {
    let guests = serde_json::from_str(row.text(2)?)
        .map_err(|error| CatalogError::Damaged(format!("the guests of a host cannot be read: {error}")))?;
    Ok(Host {
        name: row.text(0)?.to_owned(),
        account: TenantId::new(row.text(1)?),
        guests,
        created_ms: row.unsigned(3)?,
    })
}

const COLUMNS: &str = "name, account, guests, created_ms";

/// Names of workers below the platform's own domains, and those domains themselves, are nobody's.
fn check_reserved(reach: &Reach<'_>, reserved: &[String]) -> Result<()> {
    let host = reach.host.trim_start_matches('.');
    for domain in reserved {
        let below = host
            .strip_suffix(domain.as_str())
            .and_then(|rest| rest.strip_suffix('.'));
        let platform = match below {
            // `shop.acme.DOMAIN`, `*.acme.DOMAIN`
            Some(labels) => labels.contains('.') || reach.any_prefix,
            // `DOMAIN`, `*.DOMAIN`
            None => host == domain,
        };
        if platform {
            return Err(CatalogError::Invalid(format!(
                "\"{host}\" is the platform's own: workers are reached at WORKER.SUBDOMAIN.{domain}"
            )));
        }
    }
    Ok(())
}

fn taken(name: &str) -> CatalogError {
    // Whose it is, is nobody's business.
    CatalogError::Conflict(format!(
        "host \"{name}\" is another account's; its owner can make this account a guest there, or the operator can give it away"
    ))
}

impl Changing<'_> {
    fn host(&mut self, name: &str) -> Result<Option<Host>> {
        let sql = format!("SELECT {COLUMNS} FROM hosts WHERE name = $1");
        self.first(&sql, &[name.into()])?.map(|row| host(&row)).transpose()
    }

    /// May the account have a route or a domain of this reach? Claims what it has to claim.
    pub(super) fn claim(&mut self, account: &TenantId, reach: &Reach<'_>, reserved: &[String]) -> Result<()> {
        check_reserved(reach, reserved)?;
        // What passed the check above and is below a domain of the platform's is one name there.
        let below = reserved.iter().any(|domain| {
            reach
                .host
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.ends_with('.'))
        });
        let claim = if below { reach.host.to_owned() } else { claim_of(reach) };
        // The nearest claim decides: somebody may have been given a name below another's.
        let names = match reach.any_prefix && !reach.host.starts_with('.') {
            true => vec![EVERYTHING.to_owned()],
            false => above(reach.host.trim_start_matches('.')),
        };
        for name in names {
            let Some(found) = self.host(&name)? else { continue };
            if found.account == *account || found.guests.contains(account) {
                return Ok(());
            }
            if name != EVERYTHING || claim == EVERYTHING {
                return Err(taken(&name));
            }
        }
        if claim == EVERYTHING {
            let host = reach.host.trim_start_matches('.');
            return Err(CatalogError::Invalid(format!(
                "\"{}{}\" reaches more than one registered name; only the operator can give an account {}\"*\"",
                if reach.any_prefix { "*" } else { "" },
                reach.host,
                if host.is_empty() || !reach.host.starts_with('.') && reach.any_prefix {
                    String::new()
                } else {
                    format!("\"{host}\" or ")
                },
            )));
        }
        self.store_host(account, &claim, &[])?;
        self.note("claims", claim);
        Ok(())
    }

    fn store_host(&mut self, account: &TenantId, name: &str, guests: &[TenantId]) -> Result<()> {
        let guests = serde_json::to_string(guests).map_err(|error| CatalogError::Damaged(error.to_string()))?;
        let now_ms = self.now_ms;
        self.execute(
            "INSERT INTO hosts (name, account, guests, created_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET account = excluded.account, guests = excluded.guests",
            &[name.into(), account.as_str().into(), guests.into(), now_ms.into()],
        )?;
        Ok(())
    }

    /// Routes and domains of an account at or below a name.
    fn reaches(&mut self, account: &TenantId, name: &str) -> Result<Vec<EdgeKey>> {
        let mut keys = Vec::new();
        let of = [account.as_str().into()];
        let within =
            |host: &str| name == EVERYTHING || above(host.trim_start_matches('.')).iter().any(|above| above == name);
        for row in &self.query("SELECT pattern FROM routes WHERE account = $1", &of)? {
            if within(Reach::of_pattern(row.text(0)?).host) {
                keys.push(EdgeKey::Route(row.text(0)?.to_owned()));
            }
        }
        for row in &self.query("SELECT name FROM domains WHERE account = $1", &of)? {
            if within(row.text(0)?) {
                keys.push(EdgeKey::Domain(atoll_model::DomainName::new(row.text(0)?)));
            }
        }
        Ok(keys)
    }
}

impl Catalog {
    /// Claims a host for an account and says who its guests are. With `force` (the operator's) it is taken from whoever has it; routes that others have
    /// there stay until they are removed.
    pub async fn set_host(
        &self,
        caller: &Caller,
        account: TenantId,
        name: String,
        guests: Vec<TenantId>,
        force: bool,
    ) -> Result<Done<Host>> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_:[]".contains(c);
        let labels = name.split('.').all(|label| !label.is_empty() && label.len() <= 63);
        if name != EVERYTHING && (name.len() > 253 || !labels || !name.chars().all(legal)) {
            return Err(CatalogError::Invalid(format!(
                "{name:?} is no host: a name in lower case without a trailing dot"
            )));
        }
        if guests.len() > GUESTS_MAX {
            return Err(CatalogError::Invalid(format!("a host has at most {GUESTS_MAX} guests")));
        }
        let registered = claim_of(&Reach::of_domain(&name));
        if !force && (name == EVERYTHING || registered == EVERYTHING) {
            return Err(CatalogError::Invalid(format!(
                "\"{name}\" is more than one registered name; only the operator can give it"
            )));
        }
        let reserved = self.reserved.clone();
        self.change(caller, Action::of(&account, "host.set", &name), move |changing| {
            changing.need_account(&account)?;
            for guest in &guests {
                changing.need_account(guest)?;
            }
            if !force {
                check_reserved(&Reach::of_domain(&name), &reserved)?;
                for above in above(&name) {
                    match changing.host(&above)? {
                        Some(found) if found.account == account => break,
                        Some(_) if above != EVERYTHING => return Err(taken(&above)),
                        _ => {}
                    }
                }
            }
            changing.store_host(&account, &name, &guests)?;
            changing.note("guests", guests.iter().map(|guest| guest.as_str()).collect::<Vec<_>>());
            let stored = changing.host(&name)?;
            stored.ok_or_else(|| CatalogError::missing("host", &name))
        })
        .await
    }

    /// Gives a claimed host back; the account must have no routes and domains there any more.
    pub async fn delete_host(&self, caller: &Caller, account: TenantId, name: String) -> Result<Done<()>> {
        self.change(caller, Action::of(&account, "host.delete", &name), move |changing| {
            match changing.host(&name)? {
                Some(found) if found.account == account => {}
                _ => return Err(CatalogError::missing("host", &name)),
            }
            if let Some(key) = changing.reaches(&account, &name)?.first() {
                return Err(CatalogError::Conflict(format!(
                    "the account still has {key} there; remove it first"
                )));
            }
            changing.execute("DELETE FROM hosts WHERE name = $1", &[name.as_str().into()])?;
            Ok(())
        })
        .await
    }

    /// The hosts that an account has claimed, by name.
    pub async fn hosts(&self, account: TenantId) -> Result<Vec<Host>> {
        self.read(move |transaction| {
            let sql = format!("SELECT {COLUMNS} FROM hosts WHERE account = $1 ORDER BY name");
            let rows = transaction.query(&sql, &[account.as_str().into()])?;
            rows.iter().map(host).collect()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_registers() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(claim_of(&Reach::of_pattern(pattern)), expected, "{pattern}");
        };
        check("example.com/*", "example.com");
        check("www.shop.example.com/", "example.com");
        check("*.example.com/*", "example.com");
        check("*example.com/*", "*");
        check("*/*", "*");
        check("*.com/*", "*");
        check("a.example.co.uk/*", "example.co.uk");
        check("*.co.uk/*", "*");
        check("*.x.co.uk/*", "x.co.uk");
        check("example.de/*", "example.de");
        check("localhost/*", "*");
        check("co.uk/*", "*");
        check("*.localhost/*", "*");
        check("shop.localhost/*", "shop.localhost");
        check("127.0.0.1/*", "127.0.0.1");
        check("[::1]/*", "[::1]");
    }
}
