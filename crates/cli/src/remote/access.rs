//! `atoll tokens`, `audit`, `accounts`: who may do what, who did, and for whom.

use super::args::{AccountUpdateArgs, AccountsCommand, AuditCommand, TokenCreateArgs, TokensCommand};
use super::client::{Request, path};
use super::context::{Context, all};
use super::failure::{CommandError, FAILED, NOT_THERE, OK, Result, near_miss};
use super::show::{Table, ago, printable, time};
use atoll_api::rest::{
    Account, AuditEntry, AuditQuery, AuditVerdict, ChangeAccount, Direction, NewAccount, NewToken, NewTokenMade, Page,
    Token, TokensQuery, VerifyAudit,
};
use atoll_model::Permissions;
use reqwest::Method;
use serde_json::{Value, json};

fn rights(token: &Token) -> String {
    match (&token.role, &token.permissions) {
        (Some(role), _) => format!("role {role}"),
        (None, Some(permissions)) => {
            let words: Vec<String> = permissions.0.iter().map(ToString::to_string).collect();
            words.join(", ")
        }
        (None, None) => String::new(),
    }
}

/// Whose entries are meant: those of the account that was named, else whose the request's own token is.
fn whose(context: &Context) -> Option<String> {
    context
        .remote
        .account
        .clone()
        .or_else(|| context.variable("ATOLL_ACCOUNT"))
}

/// The account's tokens; for an operator's token, the platform's own before them.
async fn list_tokens(client: &super::client::Client) -> Result<Vec<Token>> {
    let account = client.place().account.as_ref().map(|(account, _)| account.clone());
    let mut tokens: Vec<Token> = Vec::new();
    for account in [None, account] {
        let named = account.is_some();
        let request = Request::get(path(&["tokens"])).query(&TokensQuery { account })?;
        let page: Page<Token> = match client.call(request).await {
            Ok(page) => page,
            // The account was not asked for: what there is beside it is shown.
            Err(error) if named && error.exit == NOT_THERE => continue,
            Err(error) => return Err(error),
        };
        for token in page.items {
            if !tokens.iter().any(|known| known.id == token.id) {
                tokens.push(token);
            }
        }
    }
    Ok(tokens)
}

pub(crate) async fn tokens(context: &Context, command: &TokensCommand) -> Result<u8> {
    let client = context.client()?;
    match command {
        TokensCommand::List(_) => {
            let tokens = list_tokens(&client).await?;
            let now = context.world.clock.now_ms();
            context.print(json!({"tokens": tokens}), || {
                if tokens.is_empty() {
                    return "there are no tokens here: `atoll tokens create` makes one\n".to_owned();
                }
                let mut table = Table::new(&["Id", "Name", "Account", "May", "Made", "Used", "State"]);
                for token in &tokens {
                    let state = match (token.revoked_ms, token.expires_ms) {
                        (Some(at), _) => format!("revoked {}", ago(at, now)),
                        (None, Some(at)) if at <= now => format!("ended {}", ago(at, now)),
                        (None, Some(at)) => format!("until {} UTC", time(at)),
                        (None, None) => "for ever".to_owned(),
                    };
                    table.row([
                        token.id.clone(),
                        token.name.clone(),
                        token.account.clone().unwrap_or_else(|| "(all)".to_owned()),
                        rights(token),
                        ago(token.created_ms, now),
                        token.used_ms.map_or_else(|| "never".to_owned(), |at| ago(at, now)),
                        state,
                    ]);
                }
                table.text()
            });
            Ok(OK)
        }
        TokensCommand::Create(args) => create_token(context, &client, args).await,
        TokensCommand::Revoke { id, yes, .. } => {
            let tokens = list_tokens(&client).await?;
            let live: Vec<&Token> = tokens.iter().filter(|token| token.revoked_ms.is_none()).collect();
            let exact = live.iter().find(|token| token.id == *id).copied();
            let fits = |token: &&&Token| (id.len() >= 4 && token.id.starts_with(id.as_str())) || token.name == *id;
            let fitting: Vec<&Token> = live.iter().filter(fits).copied().collect();
            let token = match (exact, &*fitting) {
                (Some(token), _) => token,
                (None, [token]) => *token,
                (None, []) => {
                    let near = near_miss(
                        id,
                        live.iter().flat_map(|token| [token.id.as_str(), token.name.as_str()]),
                    );
                    return Err(
                        CommandError::missing(format!("there is no token {id:?} that is not revoked already"))
                            .hint(near.unwrap_or_else(|| "`atoll tokens list` lists them.".to_owned())),
                    );
                }
                (None, many) => {
                    let many = many.len();
                    return Err(
                        CommandError::usage(format!("{id:?} may be any of {many} tokens")).hint("Write its whole id.")
                    );
                }
            };
            context
                .confirm(
                    &format!("revoke the token {} ({})?", token.id, printable(&token.name)),
                    *yes,
                )
                .await?;
            let _: Value = client
                .call(Request::change(Method::DELETE, path(&["tokens", &token.id]))?)
                .await?;
            context.print(json!({"revoked": token.id}), || {
                format!(
                    "the token {} ({}) is refused from now on\n",
                    token.id,
                    printable(&token.name)
                )
            });
            Ok(OK)
        }
    }
}

async fn create_token(context: &Context, client: &super::client::Client, args: &TokenCreateArgs) -> Result<u8> {
    let account = match args.platform {
        true => None,
        false => Some(context.account(client).await?),
    };
    let new = NewToken {
        account,
        name: args.name.clone(),
        role: args.role.clone(),
        permissions: args.role.is_none().then(|| Permissions(args.permissions.clone())),
        ttl_s: args.ttl,
    };
    let made: NewTokenMade = client
        .call(Request::change(Method::POST, path(&["tokens"]))?.json(&new)?)
        .await?;
    let Some(secret) = &made.secret else {
        return Err(CommandError::new(
            "shown_before",
            format!("the token {} was made, but its answer was lost", made.token.id),
        )
        .hint(format!(
            "A token is shown once. Revoke it (`atoll tokens revoke {}`) and make another.",
            made.token.id
        )));
    };
    // Standard output has the token and nothing else: it can be piped.
    if !context.json() {
        let until = made.token.expires_ms.map_or_else(
            || "until it is revoked".to_owned(),
            |at| format!("until {} UTC", time(at)),
        );
        let whose = made
            .token
            .account
            .as_deref()
            .map_or_else(|| "all accounts".to_owned(), |account| format!("the account {account}"));
        context.note(&format!(
            "the token {} for {whose} may {}, {until}; it is not shown again:",
            made.token.id,
            rights(&made.token)
        ));
    }
    context.print(json!({"token": made.token, "secret": secret}), || format!("{secret}\n"));
    Ok(OK)
}

pub(crate) async fn audit(context: &Context, command: &AuditCommand) -> Result<u8> {
    let client = context.client()?;
    match command {
        AuditCommand::List { after, limit, .. } => {
            let mut entries: Vec<AuditEntry> = Vec::new();
            let mut from = after.map(|after| after.to_string());
            let limit = *limit as usize;
            // Who does not say where to begin wants to know what happened last.
            let newest = after.is_none();
            let more = loop {
                let query = AuditQuery {
                    account: whose(context),
                    after: from.take(),
                    direction: newest.then_some(Direction::Desc),
                    // Less than a page, so it fits.
                    limit: Some((limit - entries.len()).clamp(1, 1_000) as u32),
                };
                let page: Page<AuditEntry> = client.call(Request::get(path(&["audit"])).query(&query)?).await?;
                let empty = page.items.is_empty();
                entries.extend(page.items);
                match page.next {
                    None => break None,
                    Some(next) if entries.len() >= limit || empty => break Some(next),
                    next => from = next,
                }
            };
            if newest {
                entries.reverse();
            }
            let (next, older) = if newest { (None, more.is_some()) } else { (more, false) };
            context.print(json!({"entries": entries, "next": next, "older": older}), || {
                let mut table = Table::new(&["Number", "Time (UTC)", "Who", "Account", "What", "To what", "Detail"]);
                for entry in &entries {
                    table.row([
                        entry.number.to_string(),
                        time(entry.time_ms),
                        entry.actor.clone(),
                        entry.account.clone().unwrap_or_default(),
                        entry.action.clone(),
                        entry.target.clone(),
                        match &entry.detail {
                            Value::Null => String::new(),
                            detail => detail.to_string(),
                        },
                    ]);
                }
                let mut text = table.text();
                if let Some(next) = &next {
                    text.push_str(&format!("(there are more: --after {} goes on)\n", printable(next)));
                }
                if older {
                    text.push_str("(there are older ones: --limit shows more, --after 0 begins with the first)\n");
                }
                text
            });
            Ok(OK)
        }
        AuditCommand::Verify { kept, .. } => {
            let request = Request::change(Method::POST, path(&["audit", "verify"]))?
                .json(&VerifyAudit { kept: kept.clone() })?
                .time(Some(super::client::LONG_TIME));
            let verdict: AuditVerdict = client.call(request).await?;
            let exit = if verdict.intact { OK } else { FAILED };
            context.print(json!({"verdict": verdict, "exit": exit}), || match verdict.intact {
                true => {
                    let head = verdict.head.as_deref().map_or_else(|| "it has no entry yet".to_owned(), |head| {
                        format!("it ends at {}\nkeep that place elsewhere: `atoll audit verify --kept PLACE` proves later that all before it is unchanged", printable(head))
                    });
                    let places = match kept.len() {
                        0 => String::new(),
                        1 => ", and goes through the place that was kept".to_owned(),
                        number => format!(", and goes through the {number} places that were kept"),
                    };
                    format!("the audit log is intact{places}; {head}\n")
                }
                false => {
                    let broken = verdict.broken.as_deref().map_or_else(|| "it is not said where".to_owned(), printable);
                    format!("THE AUDIT LOG WAS CHANGED: {broken}\n")
                }
            });
            Ok(exit)
        }
    }
}

pub(crate) async fn accounts(context: &Context, command: &AccountsCommand) -> Result<u8> {
    let client = context.client()?;
    match command {
        AccountsCommand::List(_) => {
            let accounts: Vec<Account> = all(&client, &path(&["accounts"]), None).await?;
            context.print(json!({"accounts": accounts}), || {
                if accounts.is_empty() {
                    return "there are no accounts yet: `atoll accounts create ID` makes one\n".to_owned();
                }
                let mut table = Table::new(&["Id", "Name", "Addresses", "State"]);
                for account in &accounts {
                    let addresses = account
                        .subdomain
                        .as_deref()
                        .map(|label| format!("WORKER.{label}.DOMAIN"));
                    table.row([
                        account.id.clone(),
                        account.name.clone(),
                        addresses.unwrap_or_else(|| "(none chosen)".to_owned()),
                        if account.suspended { "suspended" } else { "" }.to_owned(),
                    ]);
                }
                table.text()
            });
        }
        AccountsCommand::Create {
            id, title, subdomain, ..
        } => {
            let new = NewAccount {
                id: id.clone(),
                name: title.clone().unwrap_or_else(|| id.clone()),
            };
            let mut account: Account = client
                .call(Request::change(Method::POST, path(&["accounts"]))?.json(&new)?)
                .await?;
            if subdomain.is_some() {
                let change = ChangeAccount {
                    subdomain: subdomain.clone(),
                    ..ChangeAccount::default()
                };
                account = client
                    .call(Request::change(Method::PATCH, path(&["accounts", id]))?.json(&change)?)
                    .await?;
            }
            context.print(json!({"account": account}), || shown(&account));
        }
        AccountsCommand::View { id, .. } => {
            let account: Account = client.call(Request::get(path(&["accounts", id]))).await?;
            context.print(json!({"account": account}), || shown(&account));
        }
        AccountsCommand::Update(AccountUpdateArgs {
            id,
            suspend,
            resume,
            subdomain,
            bounds,
            ..
        }) => {
            let change = ChangeAccount {
                suspended: match (suspend, resume) {
                    (true, _) => Some(true),
                    (_, true) => Some(false),
                    _ => None,
                },
                subdomain: subdomain.clone(),
                bounds: bounds.iter().cloned().collect(),
            };
            if change == ChangeAccount::default() {
                return Err(CommandError::usage("nothing is to be changed")
                    .hint("--suspend, --resume, --subdomain LABEL or --bound KEY=NUMBER says what."));
            }
            let account: Account = client
                .call(Request::change(Method::PATCH, path(&["accounts", id]))?.json(&change)?)
                .await?;
            context.print(json!({"account": account}), || shown(&account));
        }
    }
    Ok(OK)
}

fn shown(account: &Account) -> String {
    let addresses = account
        .subdomain
        .as_deref()
        .map(|label| format!("WORKER.{label}.DOMAIN"));
    let mut text = format!(
        "account     {}\nname        {}\nmade        {} UTC\naddresses   {}\n",
        account.id,
        printable(&account.name),
        time(account.created_ms),
        addresses.as_deref().unwrap_or("none (--subdomain chooses them)"),
    );
    if account.suspended {
        text.push_str("state       suspended: its workers are not run\n");
    }
    for (key, value) in &account.bounds {
        text.push_str(&format!("bound       {} = {value}\n", printable(key)));
    }
    text
}
