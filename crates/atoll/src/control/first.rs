//! The first start of a platform: an account, and a token for whoever runs it.

use super::keys::write_new;
use atoll_control::catalog::{NewToken, TokenRights};
use atoll_control::tokens::Token;
use atoll_control::{Caller, Catalog, CatalogError};
use atoll_model::Permissions;
use atoll_model::TenantId;
use std::path::Path;

/// The first account, and the label below the platform's domains under which its workers are reached.
const ACCOUNT: &str = "main";
/// The name of the token in lists.
const TOKEN_NAME: &str = "first administrator";

/// What was made.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) account: bool,
    pub(crate) token: bool,
}

/// Makes what a new platform has none of. What is there stays; a start that died in the middle is gone on with.
pub(crate) async fn start(catalog: &Catalog, token_file: &Path) -> Result<Made, String> {
    let caller = Caller::new("system:first-start");
    let mut made = Made::default();
    let told = |error: CatalogError| format!("the first start: {error}");
    let accounts = catalog.accounts(String::new(), 1).await.map_err(told)?;
    if accounts.is_empty() {
        let account = catalog.create_account(&caller, TenantId::new(ACCOUNT), ACCOUNT.to_owned());
        account.await.map_err(told)?;
        made.account = true;
    }
    if let Ok(account) = catalog.account(TenantId::new(ACCOUNT)).await
        && account.subdomain.is_none()
    {
        let subdomain = catalog.set_subdomain(&caller, TenantId::new(ACCOUNT), ACCOUNT.to_owned());
        // Another account may have it: then this one has none, which somebody has to decide.
        if let Err(error) = subdomain.await {
            tracing::warn!(%error, "account \"{ACCOUNT}\" has no subdomain");
        }
    }
    if made.account && !token_file.exists() {
        let token = Token::generate().map_err(|error| format!("the first token: {error}"))?;
        let new = NewToken {
            account: None,
            name: TOKEN_NAME.to_owned(),
            rights: TokenRights::Own(Permissions::everything()),
            expires_ms: None,
        };
        catalog.create_token(&caller, &token, new).await.map_err(told)?;
        write_new(token_file, format!("{}\n", token.expose()).as_bytes())?;
        made.token = true;
    }
    Ok(made)
}
