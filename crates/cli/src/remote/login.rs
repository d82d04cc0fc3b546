//! `atoll login`, `logout`, `whoami`: which token is kept for which control plane.

use super::args::{LoginArgs, LogoutArgs};
use super::client::{Client, Request, path};
use super::context::Context;
use super::credentials::Profile;
use super::failure::{OK, Result};
use super::place::{self, Around, Place, SaidBy, Token};
use atoll_api::rest::{Empty, Identity};
use reqwest::Method;
use serde_json::json;

/// The most bytes of a file or a pipe that a token is read from.
const TOKEN_BYTES_MAX: u64 = 4_096;

async fn identity(client: &Client) -> Result<Identity> {
    client.call(Request::get(path(&["identity"]))).await
}

fn permissions(identity: &Identity) -> String {
    let words: Vec<String> = identity.permissions.0.iter().map(ToString::to_string).collect();
    words.join(", ")
}

pub(crate) async fn login(context: &Context, args: &LoginArgs) -> Result<u8> {
    let variable = |name: &str| context.variable(name);
    let around = Around {
        cwd: &context.world.cwd,
        project: &context.world.cwd,
        variable: &variable,
    };
    let (profile, _) = place::profile_name(&context.remote, &around);
    let mut kept = place::kept(&around)?;
    let former = kept.profiles.get(&profile);
    // A new profile cannot be named as one that is there: only its address is looked for.
    let (text, by) = match (&context.remote.control, context.variable("ATOLL_CONTROL"), former) {
        (Some(url), ..) => (url.clone(), SaidBy::Flag("--control")),
        (None, Some(url), _) => (url, SaidBy::Variable("ATOLL_CONTROL")),
        (None, None, Some(former)) => (former.control.clone(), SaidBy::Profile(profile.clone())),
        (None, None, None) => {
            context.note(&format!("no --control is given: {} is taken", place::CONTROL_DEFAULT));
            (place::CONTROL_DEFAULT.to_owned(), SaidBy::Default)
        }
    };
    let control = place::address(&text, &by)?;
    let ca = context
        .remote
        .ca
        .clone()
        .or_else(|| context.variable("ATOLL_CA").map(Into::into));
    let ca = ca.map(|file| context.world.cwd.join(file)).or_else(|| {
        former
            .filter(|former| former.control == control.as_str())
            .and_then(|former| former.ca.clone())
    });
    let token = match (&args.token_file, context.variable("ATOLL_TOKEN")) {
        (Some(file), _) => String::from_utf8_lossy(&context.file(file, TOKEN_BYTES_MAX).await?).into_owned(),
        (None, Some(token)) => {
            context.note("the token of ATOLL_TOKEN is taken");
            token
        }
        (None, None) => {
            context
                .secret(&format!("The token for {control} (it is not shown): "), TOKEN_BYTES_MAX)
                .await?
        }
    };
    let token = Token::new(&token)?;
    let by = SaidBy::Flag("this login");
    let client = Client::new(
        Place {
            control: control.clone(),
            control_by: by.clone(),
            token: Some((token.clone(), by.clone())),
            account: context.remote.account.clone().map(|account| (account, by)),
            ca: ca.clone(),
            warnings: Vec::new(),
        },
        context.retries,
    )?;
    let identity = identity(&client).await?;
    let account = match (&context.remote.account, &identity.account) {
        (Some(account), _) | (None, Some(account)) => Some(account.clone()),
        // An operator's token: the only account, or none that is preferred.
        (None, None) => context.account(&client).await.ok(),
    };
    let profile_kept = Profile {
        control: control.to_string(),
        token: token.reveal().to_owned(),
        account: account.clone(),
        ca,
    };
    kept.profiles.insert(profile.clone(), profile_kept);
    kept.write()?;
    let file = kept.path.display().to_string();
    context.print(
        json!({"control": control.as_str(), "profile": profile, "account": account, "token": identity.token,
               "permissions": identity.permissions, "file": file}),
        || {
            let whose = match &account {
                Some(account) => format!("the account \"{account}\""),
                None => "no account yet (--account names one)".to_owned(),
            };
            format!(
                "logged in at {control} for {whose}\nthe token {} may: {}\nit is kept in {file}, profile \"{profile}\"\n",
                identity.token,
                permissions(&identity)
            )
        },
    );
    Ok(OK)
}

pub(crate) async fn logout(context: &Context, args: &LogoutArgs) -> Result<u8> {
    let variable = |name: &str| context.variable(name);
    let around = Around {
        cwd: &context.world.cwd,
        project: &context.world.cwd,
        variable: &variable,
    };
    let (profile, _) = place::profile_name(&context.remote, &around);
    let mut kept = place::kept(&around)?;
    let Some(former) = kept.profiles.remove(&profile) else {
        context.print(json!({"profile": profile, "forgotten": false}), || {
            format!("there was no login of the profile \"{profile}\"\n")
        });
        return Ok(OK);
    };
    let mut revoked = false;
    if args.revoke {
        let by = SaidBy::Profile(profile.clone());
        let client = Client::new(
            Place {
                control: place::address(&former.control, &by)?,
                control_by: by.clone(),
                token: Some((Token::new(&former.token)?, by)),
                account: None,
                ca: former.ca.clone(),
                warnings: Vec::new(),
            },
            context.retries,
        )?;
        let token = identity(&client).await?.token;
        let _: Empty = client
            .call(Request::change(Method::DELETE, path(&["tokens", &token]))?)
            .await?;
        revoked = true;
    }
    kept.write()?;
    context.print(
        json!({"profile": profile, "forgotten": true, "revoked": revoked}),
        || {
            let how = match revoked {
                true => "revoked and forgotten",
                false => "forgotten; it goes on being accepted (`atoll logout --revoke` ends it)",
            };
            format!("the token for {} is {how}\n", former.control)
        },
    );
    Ok(OK)
}

pub(crate) async fn whoami(context: &Context) -> Result<u8> {
    let client = context.client()?;
    let identity = identity(&client).await?;
    let Place {
        control,
        control_by,
        token,
        account,
        ..
    } = client.place();
    let token_by = token.as_ref().map(|(_, by)| by.to_string());
    let account = account
        .as_ref()
        .map(|(account, _)| account.clone())
        .or_else(|| identity.account.clone());
    context.print(
        json!({"control": control.as_str(), "control_from": control_by.to_string(), "token": identity.token,
               "token_from": token_by, "account": account, "token_account": identity.account,
               "permissions": identity.permissions}),
        || {
            let whose = match &identity.account {
                Some(account) => format!("the account \"{account}\""),
                None => "all accounts and the platform (an operator's)".to_owned(),
            };
            let chosen = account.as_deref().unwrap_or("none chosen (--account names one)");
            format!(
                "control plane   {control} (from {control_by})\n\
                 token           {} (from {}), for {whose}\n\
                 may             {}\n\
                 account         {chosen}\n",
                identity.token,
                token_by.as_deref().unwrap_or("nowhere"),
                permissions(&identity)
            )
        },
    );
    Ok(OK)
}
