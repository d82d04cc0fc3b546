//! Who asks, and which accounts they see.

use super::Body;
use super::envelope::{Answer, ApiError, Paging, Result, code, good};
use super::state::{Api, Who};
use super::time::rfc3339;
use crate::catalog::{Account, CatalogError};
use atoll_model::{Action, Resource};
use axum::extract::{Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many accounts are read at a time.
const PAGE: u32 = 500;

/// `GET /user/tokens/verify`
pub(super) async fn verify(who: Who) -> Answer {
    good(json!({"id": who.identity.token, "status": "active"}))
}

/// `GET /user`: a token is nobody's, so there is no user to tell of. Clients know this answer and go on without an address.
pub(super) async fn user(_who: Who) -> Answer {
    Err(ApiError::new(
        axum::http::StatusCode::FORBIDDEN,
        code::NO_USER,
        "Valid user-level authentication not found: an API token of Atoll stands for itself, not for a user",
    ))
}

fn shown(account: &Account) -> Value {
    json!({
        "id": account.id,
        "name": account.name,
        "type": "standard",
        "created_on": rfc3339(account.created_ms),
        "settings": {"enforce_twofactor": false},
    })
}

/// The accounts that a token is for.
async fn visible(api: &Api, who: &Who) -> Result<Vec<Account>> {
    if let Some(account) = &who.identity.account {
        return Ok(vec![api.catalog.account(account.clone()).await?]);
    }
    let mut all: Vec<Account> = Vec::new();
    loop {
        let after = all.last().map_or_else(String::new, |account| account.id.to_string());
        let page = api.catalog.accounts(after, PAGE).await?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// `GET /accounts`
pub(super) async fn accounts(api: Api, who: Who, Query(paging): Query<Paging>) -> Answer {
    let all = visible(&api, &who).await?;
    paging.of(all.iter().map(shown).collect::<Vec<_>>())
}

/// `GET /accounts/{account}`
pub(super) async fn account(api: Api, who: Who, Path(account): Path<String>) -> Answer {
    let id = who.need(&account, Resource::Account, Action::Read, None)?;
    good(shown(&api.catalog.account(id).await?))
}

/// `GET /memberships`: a token is a member of the accounts that it is for.
pub(super) async fn memberships(api: Api, who: Who, Query(paging): Query<Paging>) -> Answer {
    let all = visible(&api, &who).await?;
    let membership = |account: &Account| {
        json!({
            "id": format!("{}-{}", who.identity.token, account.id),
            "status": "accepted",
            "api_access_enabled": true,
            "account": shown(account),
            "roles": [],
            "permissions": {},
        })
    };
    paging.of(all.iter().map(membership).collect::<Vec<_>>())
}

/// `{subdomain}`
#[derive(Deserialize)]
pub(super) struct Subdomain {
    subdomain: String,
}

/// `GET .../workers/subdomain`
pub(super) async fn subdomain(api: Api, who: Who, Path(account): Path<String>) -> Answer {
    let id = who.need(&account, Resource::Worker, Action::Read, None)?;
    match api.catalog.account(id).await?.subdomain {
        Some(subdomain) => good(json!({"subdomain": subdomain})),
        None => Err(ApiError::missing(
            code::NO_SCRIPT,
            format!(
                "account {account} has chosen no subdomain yet; choose one: PUT /client/v4/accounts/{account}/workers/subdomain"
            ),
        )),
    }
}

/// `PUT .../workers/subdomain`
pub(super) async fn set_subdomain(
    api: Api,
    who: Who,
    Path(account): Path<String>,
    Body(asked): Body<Subdomain>,
) -> Answer {
    let id = who.need(&account, Resource::Account, Action::Write, None)?;
    let done = api
        .catalog
        .set_subdomain(who.caller(), id, asked.subdomain.clone())
        .await;
    match done {
        Ok(done) => api.told(done),
        Err(CatalogError::Exists { .. }) => return Err(taken(&asked.subdomain)),
        Err(error) => return Err(error.into()),
    }
    good(json!({"subdomain": asked.subdomain}))
}

fn taken(label: &str) -> ApiError {
    ApiError::new(
        axum::http::StatusCode::CONFLICT,
        code::SUBDOMAIN_TAKEN,
        format!("the subdomain {label:?} is taken"),
    )
}

/// `GET .../workers/subdomains/{label}`: both answers are errors, by which clients know whether it is free.
pub(super) async fn subdomain_free(api: Api, who: Who, Path((account, label)): Path<(String, String)>) -> Answer {
    who.need(&account, Resource::Worker, Action::Read, None)?;
    if api.catalog.subdomain_taken(label.clone()).await? {
        return Err(taken(&label));
    }
    Err(ApiError::missing(
        code::SUBDOMAIN_FREE,
        format!("the subdomain {label:?} is free"),
    ))
}
