//! `atoll pops` and `atoll status`: the machines, and the whole.

use super::args::{PopsCommand, Step};
use super::client::{Client, Request, path};
use super::context::{Context, all};
use super::failure::{CommandError, OK, Result, near_miss};
use super::show::{Table, ago, bytes, count, printable, time};
use crate::report::Style;
use atoll_api::rest::{Authority, AuthorityStep, ChangeAuthority, JoinToken, NewJoinToken, Pop, PopState, Status};
use reqwest::Method;
use serde_json::{Value, json};

fn state(state: PopState) -> &'static str {
    match state {
        PopState::Alive => "alive",
        PopState::Draining => "draining",
        PopState::Gone => "gone",
        PopState::Revoked => "revoked",
    }
}

pub(crate) async fn pops(context: &Context, command: &PopsCommand) -> Result<u8> {
    let client = context.client()?;
    let pops_path = path(&["pops"]);
    match command {
        PopsCommand::List(_) => {
            let pops: Vec<Pop> = all(&client, &pops_path, None).await?;
            let now = context.world.clock.now_ms();
            context.print(json!({"pops": pops}), || {
                if pops.is_empty() {
                    return "no PoP has joined: `atoll pops join-token` makes a token for one\n".to_owned();
                }
                let mut table = Table::new(&[
                    "PoP",
                    "Region",
                    "State",
                    "Serves",
                    "Address",
                    "Seen",
                    "Memory",
                    "In flight",
                    "Release",
                ]);
                for pop in &pops {
                    let canary = if pop.canary { " (canary)" } else { "" };
                    table.row([
                        pop.name.clone(),
                        pop.region.clone(),
                        format!("{}{canary}", state(pop.state)),
                        format!("#{}", pop.publication),
                        pop.public_address.clone(),
                        ago(pop.seen_ms, now),
                        bytes(pop.memory_bytes),
                        pop.in_flight.to_string(),
                        pop.release.clone(),
                    ]);
                }
                table.text()
            });
        }
        PopsCommand::JoinToken { region, ttl, .. } => {
            let new = NewJoinToken {
                region: region.clone(),
                ttl_s: Some(*ttl),
            };
            let request = Request::change(Method::POST, path(&["pops", "join-tokens"]))?.json(&new)?;
            let made: JoinToken = client.call(request).await?;
            let until = time(made.expires_ms);
            if !context.json() {
                context.note(&format!(
                    "a token for one PoP, usable once and until {until} UTC; it is not shown again:"
                ));
            }
            context.print(json!({"token": made.token, "expires_ms": made.expires_ms}), || {
                format!("{}\n", made.token)
            });
        }
        PopsCommand::Authority { step, force, yes, .. } => authority(context, &client, *step, *force, *yes).await?,
        PopsCommand::Remove { pop, yes, .. } => {
            let pops: Vec<Pop> = all(&client, &pops_path, None).await?;
            if !pops.iter().any(|one| one.name == *pop) {
                let near = near_miss(pop, pops.iter().map(|one| one.name.as_str()));
                return Err(CommandError::missing(format!("there is no PoP {pop:?}"))
                    .hint(near.unwrap_or_else(|| "`atoll pops list` lists them.".to_owned())));
            }
            context
                .confirm(
                    &format!("revoke the PoP {pop}? It has to join again with a new token"),
                    *yes,
                )
                .await?;
            let _: Value = client
                .call(Request::change(Method::DELETE, path(&["pops", pop]))?)
                .await?;
            context.print(json!({"removed": pop}), || {
                format!(
                    "{} is revoked: it can no longer connect. What it serves, it serves until it is stopped\n",
                    printable(pop)
                )
            });
        }
    }
    Ok(OK)
}

async fn authority(context: &Context, client: &Client, step: Option<Step>, force: bool, yes: bool) -> Result<()> {
    let place = path(&["authority"]);
    let authority: Authority = match step {
        None => client.call(Request::get(place)).await?,
        Some(step) => {
            let (step, question) = match step {
                Step::Add => (AuthorityStep::Add, None),
                Step::Switch => (AuthorityStep::Switch, None),
                Step::Retire => (
                    AuthorityStep::Retire,
                    Some("end the authority that no longer signs, with every certificate that it made?"),
                ),
            };
            if let Some(question) = question {
                context.confirm(question, yes).await?;
            }
            let request = Request::change(Method::POST, place)?.json(&ChangeAuthority { step, force })?;
            client.call(request).await?
        }
    };
    context.print(json!({"authority": authority}), || {
        let mut text = String::new();
        for certificate in &authority.certificates {
            let role = if certificate.signs { "signs" } else { "is trusted" };
            text += &format!("{} {role}\n", certificate.fingerprint);
        }
        let mut table = Table::new(&["PoP", "State", "Certificate"]);
        for pop in &authority.pops {
            let certificate = match (pop.current, pop.state) {
                (true, _) => "of the one that signs",
                (false, PopState::Gone) => "not known: it is away",
                (false, _) => "of another",
            };
            table.row([pop.name.clone(), state(pop.state).to_owned(), certificate.to_owned()]);
        }
        if !authority.pops.is_empty() {
            text += &table.text();
        }
        text
    });
    Ok(())
}

pub(crate) async fn status(context: &Context) -> Result<u8> {
    let client = context.client()?;
    let status: Status = client.call(Request::get(path(&["status"]))).await?;
    let json = serde_json::to_value(&status).unwrap_or_default();
    let control = client.place().control.to_string();
    context.print(json!({"control": control, "status": json}), || {
        let pops = status.pops;
        let counted = pops.map_or_else(
            || "told to the platform's own tokens alone, as are alarms".to_owned(),
            |pops| format!("{} alive, {} draining, {} gone", pops.alive, pops.draining, pops.gone),
        );
        let mut text = format!(
            "control plane   {control} release {}, led by {} (epoch {})\n\
             configuration   revision {}, publication {}, {} on the way\n\
             PoPs            {counted}\n",
            printable(&status.release),
            printable(&status.leader),
            status.epoch,
            status.revision,
            status.publication,
            count(usize::try_from(status.staged).unwrap_or(usize::MAX), "change"),
        );
        if !status.domains.is_empty() {
            text.push_str(&format!("workers below   {}\n", printable(&status.domains.join(", "))));
        }
        if status.alarms.is_empty() && pops.is_some() {
            text.push_str("alarms          none\n");
        }
        for alarm in &status.alarms {
            let head = context.paint(Style::Red, "alarm");
            let since = ago(alarm.since_ms, status.now_ms);
            text.push_str(&format!(
                "{head}           {} ({}, {since})\n",
                printable(&alarm.message),
                printable(&alarm.code)
            ));
        }
        if pops.is_some_and(|pops| pops.alive == 0) {
            text.push_str(
                "\nno PoP is connected: nothing new reaches them. `atoll pops list` shows when they were heard last\n",
            );
        }
        text
    });
    Ok(OK)
}
