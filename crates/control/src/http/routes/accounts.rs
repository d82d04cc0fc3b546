//! Accounts.

use super::super::context::{Context, Reply, limit, ok, page};
use super::super::endpoint::{Endpoint, Need};
use super::told;
use crate::catalog::AccountChange;
use atoll_api::rest::{Account, ChangeAccount, NewAccount, Page, PageQuery};
use atoll_model::{Action, Resource, TenantId};
use http::{Method, StatusCode};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::list::<Account, _>(
            "/v1/accounts",
            "listAccounts",
            "Accounts by id: all, or the one that the token is for.",
            Need::Own(Resource::Account, Action::Read),
            list,
        )
        .asks::<PageQuery>(),
        Endpoint::new::<Account, _>(
            Method::POST,
            "/v1/accounts",
            "createAccount",
            "Makes an account.",
            Need::Platform(Resource::Account, Action::Write),
            create,
        )
        .takes::<NewAccount>()
        .creates(),
        Endpoint::new::<Account, _>(
            Method::GET,
            "/v1/accounts/{account}",
            "getAccount",
            "An account.",
            Need::Account(Resource::Account, Action::Read),
            get,
        ),
        Endpoint::new::<Account, _>(
            Method::PATCH,
            "/v1/accounts/{account}",
            "changeAccount",
            "Suspends an account, sets its bounds, or chooses its subdomain.",
            Need::Account(Resource::Account, Action::Write),
            change,
        )
        .takes::<ChangeAccount>(),
    ]
}

async fn list(context: Context) -> Reply {
    let query: PageQuery = context.query()?;
    if let Some(own) = context.who.account.clone() {
        let account = context.catalog.account(own).await?;
        return ok(&Page {
            items: vec![told::account(account)],
            next: None,
        });
    }
    let limit = limit(query.limit)?;
    let accounts = context
        .catalog
        .accounts(query.after.unwrap_or_default(), limit + 1)
        .await?;
    let accounts = accounts.into_iter().map(told::account).collect();
    ok(&page(accounts, limit, |account: &Account| account.id.clone()))
}

async fn create(context: Context) -> Reply {
    let new: NewAccount = context.json()?;
    let (catalog, caller) = (&context.catalog, context.caller()?);
    let done = catalog.create_account(&caller, TenantId::new(new.id), new.name).await?;
    let account = told::account(done.value.clone());
    context.changed(StatusCode::CREATED, &done, &account)
}

async fn get(context: Context) -> Reply {
    ok(&told::account(context.catalog.account(context.account()).await?))
}

async fn change(context: Context) -> Reply {
    let change: ChangeAccount = context.json()?;
    if change.suspended.is_some() || !change.bounds.is_empty() {
        context.need_platform("to suspend an account and to set its bounds")?;
    }
    let change = AccountChange {
        suspended: change.suspended,
        subdomain: change.subdomain,
        bounds: change.bounds,
    };
    let done = context
        .catalog
        .change_account(&context.caller()?, context.account(), change)
        .await?;
    let account = told::account(done.value.clone());
    context.changed(StatusCode::OK, &done, &account)
}
