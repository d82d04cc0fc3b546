//! How requests find workers: routes, custom domains; and when workers run by themselves: cron expressions.

use super::change::{Action, Changing};
use super::hosts::Reach;
use super::versions::of;
use super::{Caller, Catalog, CatalogError, Done, Result};
use atoll_model::{DomainName, EdgeKey, Quota, RoutePattern, TenantId, WorkerName};
use atoll_store::sql::Row;
use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Serialize};

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its id.
    pub id: String,
    /// Its pattern, in its one spelling.
    pub pattern: String,
    /// The worker; `None`: no worker, whatever a wider pattern says.
    pub worker: Option<WorkerName>,
}

/// A custom domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its id.
    pub id: String,
    /// The host name.
    pub name: DomainName,
    /// The worker.
    pub worker: WorkerName,
}

fn route(row: &Row) -> Result<Route> {
    Ok(Route {
        id: row.text(0)?.to_owned(),
        pattern: row.text(1)?.to_owned(),
        worker: row.opt_text(2)?.map(WorkerName::new),
    })
}

fn domain(row: &Row) -> Result<Domain> {
    Ok(Domain {
        id: row.text(0)?.to_owned(),
        name: DomainName::new(row.text(1)?),
        worker: WorkerName::new(row.text(2)?),
    })
}

/// A pattern in its one spelling.
fn canonical(pattern: &str) -> Result<String> {
    let read = RoutePattern::parse(pattern).map_err(|error| CatalogError::Invalid(error.to_string()))?;
    Ok(read.to_string())
}

impl Changing<'_> {
    /// Adds a route, or gives an own one to this worker.
    fn put_route(
        &mut self,
        account: &TenantId,
        worker: Option<&WorkerName>,
        pattern: &str,
        id: &str,
        reserved: &[String],
    ) -> Result<Route> {
        let there = self.first("SELECT account, id FROM routes WHERE pattern = $1", &[pattern.into()])?;
        if let Some(row) = there {
            if row.text(0)? != account.as_str() {
                return Err(CatalogError::Exists {
                    what: "route",
                    name: pattern.to_owned(),
                    by: ", in another account".to_owned(),
                });
            }
            self.execute(
                "UPDATE routes SET worker = $2 WHERE pattern = $1",
                &[pattern.into(), worker.map(WorkerName::as_str).into()],
            )?;
            self.touch(EdgeKey::Route(pattern.to_owned()));
            return Ok(Route {
                id: row.text(1)?.to_owned(),
                pattern: pattern.to_owned(),
                worker: worker.cloned(),
            });
        }
        self.claim(account, &Reach::of_pattern(pattern), reserved)?;
        let count = self.count(
            "SELECT count(*) FROM routes WHERE account = $1",
            &[account.as_str().into()],
        )?;
        self.within(account, Quota::Routes, count + 1)?;
        let now_ms = self.now_ms;
        self.execute(
            "INSERT INTO routes (pattern, id, account, worker, created_ms) VALUES ($1, $2, $3, $4, $5)",
            &[
                pattern.into(),
                id.into(),
                account.as_str().into(),
                worker.map(WorkerName::as_str).into(),
                now_ms.into(),
            ],
        )?;
        self.touch(EdgeKey::Route(pattern.to_owned()));
        Ok(Route {
            id: id.to_owned(),
            pattern: pattern.to_owned(),
            worker: worker.cloned(),
        })
    }
}

impl Catalog {
    /// Adds a route, or points one of the account's at another worker. `worker` of `None` keeps its requests from workers.
    pub async fn add_route(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: Option<WorkerName>,
        pattern: &str,
    ) -> Result<Done<Route>> {
        let pattern = canonical(pattern)?;
        let (id, reserved) = (super::new_hex_id()?, self.reserved.clone());
        self.change(caller, Action::of(&account, "route.add", &pattern), move |changing| {
            changing.need_account(&account)?;
            if let Some(worker) = &worker {
                changing.need_worker(&account, worker)?;
                changing.note("worker", worker.as_str());
            }
            changing.put_route(&account, worker.as_ref(), &pattern, &id, &reserved)
        })
        .await
    }

    /// Makes these patterns the routes of a worker, and no others.
    pub async fn set_routes(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        patterns: &[String],
    ) -> Result<Done<Vec<Route>>> {
        let mut routes = Vec::new();
        for pattern in patterns {
            let pattern = canonical(pattern)?;
            if !routes.iter().any(|(other, _)| *other == pattern) {
                routes.push((pattern, super::new_hex_id()?));
            }
        }
        let reserved = self.reserved.clone();
        self.change(caller, Action::of(&account, "route.set", &worker), move |changing| {
            changing.need_worker(&account, &worker)?;
            let before = changing.query(
                "SELECT pattern FROM routes WHERE account = $1 AND worker = $2",
                &of(&account, &worker),
            )?;
            for row in &before {
                let pattern = row.text(0)?;
                if !routes.iter().any(|(kept, _)| kept == pattern) {
                    changing.execute("DELETE FROM routes WHERE pattern = $1", &[pattern.into()])?;
                    changing.touch(EdgeKey::Route(pattern.to_owned()));
                }
            }
            let put = routes
                .iter()
                .map(|(pattern, id)| changing.put_route(&account, Some(&worker), pattern, id, &reserved));
            let put = put.collect::<Result<Vec<_>>>()?;
            let patterns: Vec<&str> = put.iter().map(|route| route.pattern.as_str()).collect();
            changing.note("patterns", patterns);
            Ok(put)
        })
        .await
    }

    /// Removes a route by its id.
    pub async fn delete_route(&self, caller: &Caller, account: TenantId, id: String) -> Result<Done<()>> {
        self.change(caller, Action::of(&account, "route.delete", &id), move |changing| {
            let rows = changing.query(
                "DELETE FROM routes WHERE account = $1 AND id = $2 RETURNING pattern",
                &[account.as_str().into(), id.as_str().into()],
            )?;
            let row = rows.first().ok_or_else(|| CatalogError::missing("route", &id))?;
            changing.note("pattern", row.text(0)?);
            changing.touch(EdgeKey::Route(row.text(0)?.to_owned()));
            Ok(())
        })
        .await
    }

    /// The account's routes by pattern.
    pub async fn routes(&self, account: TenantId) -> Result<Vec<Route>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT id, pattern, worker FROM routes WHERE account = $1 ORDER BY pattern",
                &[account.as_str().into()],
            )?;
            rows.iter().map(route).collect()
        })
        .await
    }

    /// Makes a host a worker's, or gives an own one to another worker.
    pub async fn add_domain(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        name: DomainName,
    ) -> Result<Done<Domain>> {
        let (id, reserved) = (super::new_hex_id()?, self.reserved.clone());
        self.change(caller, Action::of(&account, "domain.add", &name), move |changing| {
            changing.need_worker(&account, &worker)?;
            changing.note("worker", worker.as_str());
            let there = changing.first(
                "SELECT account, id FROM domains WHERE name = $1",
                &[name.as_str().into()],
            )?;
            changing.touch(EdgeKey::Domain(name.clone()));
            let made = |id: &str| Domain {
                id: id.to_owned(),
                name: name.clone(),
                worker: worker.clone(),
            };
            if let Some(row) = there {
                if row.text(0)? != account.as_str() {
                    return Err(CatalogError::Exists {
                        what: "domain",
                        name: name.to_string(),
                        by: ", in another account".to_owned(),
                    });
                }
                changing.execute(
                    "UPDATE domains SET worker = $2 WHERE name = $1",
                    &[name.as_str().into(), worker.as_str().into()],
                )?;
                return Ok(made(row.text(1)?));
            }
            changing.claim(&account, &Reach::of_domain(name.as_str()), &reserved)?;
            let count = changing.count(
                "SELECT count(*) FROM domains WHERE account = $1",
                &[account.as_str().into()],
            )?;
            changing.within(&account, Quota::Domains, count + 1)?;
            let now_ms = changing.now_ms;
            changing.execute(
                "INSERT INTO domains (name, id, account, worker, created_ms) VALUES ($1, $2, $3, $4, $5)",
                &[
                    name.as_str().into(),
                    id.as_str().into(),
                    account.as_str().into(),
                    worker.as_str().into(),
                    now_ms.into(),
                ],
            )?;
            Ok(made(&id))
        })
        .await
    }

    /// Takes a host from its worker.
    pub async fn delete_domain(&self, caller: &Caller, account: TenantId, name: DomainName) -> Result<Done<()>> {
        self.change(caller, Action::of(&account, "domain.delete", &name), move |changing| {
            let removed = changing.execute(
                "DELETE FROM domains WHERE account = $1 AND name = $2",
                &[account.as_str().into(), name.as_str().into()],
            )?;
            if removed == 0 {
                return Err(CatalogError::missing("domain", &name));
            }
            changing.touch(EdgeKey::Domain(name.clone()));
            Ok(())
        })
        .await
    }

    /// The account's domains by name.
    pub async fn domains(&self, account: TenantId) -> Result<Vec<Domain>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT id, name, worker FROM domains WHERE account = $1 ORDER BY name",
                &[account.as_str().into()],
            )?;
            rows.iter().map(domain).collect()
        })
        .await
    }

    /// Makes these the cron expressions of a worker, and no others: five fields, minutes first.
    pub async fn set_crons(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        crons: Vec<String>,
    ) -> Result<Done<()>> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        for cron in &crons {
            if let Err(error) = parser.parse(cron) {
                return Err(CatalogError::Invalid(format!(
                    "{cron:?} is no cron expression: {error}"
                )));
            }
        }
        self.change(caller, Action::of(&account, "worker.crons", &worker), move |changing| {
            changing.need_worker(&account, &worker)?;
            changing.within(&account, Quota::Crons, crons.len() as u64)?;
            changing.execute(
                "DELETE FROM crons WHERE account = $1 AND worker = $2",
                &of(&account, &worker),
            )?;
            let now_ms = changing.now_ms;
            for (place, cron) in crons.iter().enumerate() {
                changing.execute(
                    "INSERT INTO crons (account, worker, place, expression, created_ms) VALUES ($1, $2, $3, $4, $5)",
                    &[
                        account.as_str().into(),
                        worker.as_str().into(),
                        place.into(),
                        cron.as_str().into(),
                        now_ms.into(),
                    ],
                )?;
            }
            changing.note("crons", crons.clone());
            changing.touch(EdgeKey::Worker(account.clone(), worker.clone()));
            Ok(())
        })
        .await
    }

    /// The cron expressions of a worker.
    pub async fn crons(&self, account: TenantId, worker: WorkerName) -> Result<Vec<String>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT expression FROM crons WHERE account = $1 AND worker = $2 ORDER BY place",
                &of(&account, &worker),
            )?;
            rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
        })
        .await
    }
}
