//! The first start of a platform: an account, and a token for whoever runs it. A platform whose last such token is gone, revoked or
//! over, gets another one: whoever has its data directory runs it.

use super::keys::write_new;
use atoll_control::catalog::{NewToken, TokenFacts, TokenRights};
use atoll_control::tokens::Token;
use atoll_control::{Caller, Catalog, CatalogError};
use atoll_model::{Action, Permissions, Resource, TenantId};
use std::path::Path;

/// The first account, and the label below the platform's domains under which its workers are reached.
const ACCOUNT: &str = "main";
/// The name of the token in lists.
const TOKEN_NAME: &str = "first administrator";
/// The name of one that is made later.
const TOKEN_NAME_AGAIN: &str = "administrator, made at a start because there was none";

/// What was made.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) account: bool,
    pub(crate) token: bool,
}

/// Makes what a new platform has none of. What is there stays; a start that died in the middle is gone on with.
pub(crate) async fn start(catalog: &Catalog, token_file: &Path, now_ms: u64) -> Result<Made, String> {
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
    let tokens = catalog.tokens(None).await.map_err(told)?;
    if !tokens.iter().any(|token| administers(token, now_ms)) {
        let known = |token: &Token| tokens.iter().any(|known| known.id == *token.id());
        // One that is in the file and not in the catalog: the start before this one died between the two.
        let left = std::fs::read_to_string(token_file).ok();
        let left = left
            .and_then(|text| Token::parse(text.trim()).ok())
            .filter(|token| !known(token));
        let token = match left {
            Some(token) => token,
            None => {
                let token = Token::generate().map_err(|error| format!("the administrator's token: {error}"))?;
                write_new(token_file, format!("{}\n", token.expose()).as_bytes())?;
                token
            }
        };
        let name = if tokens.is_empty() {
            TOKEN_NAME
        } else {
            TOKEN_NAME_AGAIN
        };
        let new = NewToken {
            account: None,
            name: name.to_owned(),
            rights: TokenRights::Own(Permissions::everything()),
            expires_ms: None,
        };
        catalog.create_token(&caller, &token, new).await.map_err(told)?;
        made.token = true;
    }
    Ok(made)
}

/// Can whoever has it make further tokens for the platform?
fn administers(token: &TokenFacts, now_ms: u64) -> bool {
    let ended = token.revoked_ms.is_some() || token.expires_ms.is_some_and(|until_ms| until_ms <= now_ms);
    let may = match &token.rights {
        TokenRights::Own(permissions) => permissions.allow(Resource::Token, Action::Write, None),
        TokenRights::Role(_) => false,
    };
    may && !ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_control::secrets::Vault;
    use atoll_stdx::{Clock as _, SystemClock};
    use atoll_store::sql::{SqliteDatabase, SqliteOptions};
    use std::sync::Arc;

    async fn catalog(directory: &Path) -> Catalog {
        let database = SqliteDatabase::open(&directory.join("catalog"), &SqliteOptions::default()).unwrap();
        let vault = Vault::parse(&Vault::generate().unwrap()).unwrap();
        let opened = Catalog::open(Arc::new(database), Arc::new(vault), Arc::new(SystemClock));
        opened.await.unwrap()
    }

    /// The token in the file, if it is valid.
    async fn opens(catalog: &Catalog, file: &Path) -> bool {
        let token = Token::parse(std::fs::read_to_string(file).unwrap().trim()).unwrap();
        catalog.authenticate(&token).await.is_ok()
    }

    #[tokio::test]
    async fn whoever_has_the_directory_always_has_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = catalog(directory.path()).await;
        let file = directory.path().join("admin-token");
        let now_ms = SystemClock.now_ms();
        let made = start(&catalog, &file, now_ms).await.unwrap();
        assert!(made.account && made.token && opens(&catalog, &file).await);
        let first = std::fs::read_to_string(&file).unwrap();
        let again = start(&catalog, &file, now_ms).await.unwrap();
        assert!(!again.account && !again.token);
        // The last one is revoked. One that may only look does not count.
        let caller = Caller::new("somebody");
        let reader = NewToken {
            account: None,
            name: "reader".to_owned(),
            rights: TokenRights::Own(Permissions(vec!["*:read".parse().unwrap()])),
            expires_ms: None,
        };
        catalog
            .create_token(&caller, &Token::generate().unwrap(), reader)
            .await
            .unwrap();
        let id = Token::parse(first.trim()).unwrap().id().clone();
        catalog.revoke_token(&caller, None, id).await.unwrap();
        assert!(!opens(&catalog, &file).await);
        assert!(start(&catalog, &file, now_ms).await.unwrap().token);
        assert!(opens(&catalog, &file).await && std::fs::read_to_string(&file).unwrap() != first);
    }

    #[tokio::test]
    async fn a_start_that_died_after_it_had_written_the_token_is_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = catalog(directory.path()).await;
        let file = directory.path().join("admin-token");
        let token = Token::generate().unwrap();
        write_new(&file, token.expose().as_bytes()).unwrap();
        assert!(start(&catalog, &file, SystemClock.now_ms()).await.unwrap().token);
        assert!(catalog.authenticate(&token).await.is_ok());
    }
}
