//! Following a deployment from the control plane to every PoP.
//!
//! Ctrl-C stops the watching alone: from the moment that a deployment is accepted, the control plane goes on by itself.

use super::client::Request;
use super::context::{Context, Target, lock};
use super::failure::{CommandError, OK, ROLLED_BACK, Result, UNREACHABLE};
use super::show::{count, human, printable, short};
use super::versions::shown;
use crate::report::Style;
use atoll_api::rest::{Deployment, Rollout, RolloutState};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How often a rollout is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// For how long the control plane may be away while a rollout is watched.
const AWAY: Duration = Duration::from_secs(60);

/// How a deployment is followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Follow {
    pub detach: bool,
    pub timeout: Duration,
}

/// What is said of where it is.
pub(crate) fn phase(rollout: &Rollout) -> String {
    let canary = rollout.canary.as_deref().map(printable);
    let pops = format!(
        "{} of {}",
        rollout.pops.applied,
        count(rollout.pops.total as usize, "PoP")
    );
    match rollout.state {
        RolloutState::Probing => match canary {
            Some(canary) => format!("starting on {canary}"),
            None => "starting on the PoPs".to_owned(),
        },
        RolloutState::Baking => {
            let on = canary.unwrap_or_else(|| "the canary".to_owned());
            let (requests, errors) = (rollout.requests, rollout.errors);
            format!(
                "on {on}, being watched: {}, {}",
                count_of(requests, "request"),
                count_of(errors, "error")
            )
        }
        RolloutState::Rolling => format!("going to all PoPs: {pops}"),
        RolloutState::Live => format!("live on {pops}"),
        RolloutState::RolledBack => "rolled back".to_owned(),
        RolloutState::Superseded => "another deployment came before it was live".to_owned(),
    }
}

fn count_of(number: u64, one: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one)
}

async fn look(target: &Target, id: &str) -> Result<Deployment> {
    target
        .client
        .call(Request::get(target.path(&["deployments", id])))
        .await
}

/// Watches until it is decided, or `timeout` is over. `None`: it is not known how far it is.
async fn watch(context: &Context, target: &Target, first: Deployment, timeout: Duration) -> Result<Deployment> {
    let started = Instant::now();
    let deadline = started + timeout;
    let mut answered = started;
    let mut current = first;
    let mut said = None;
    loop {
        if let Some(rollout) = &current.rollout {
            // Each state is told once; on a terminal, the line that counts is written over.
            let live_line = context.colour && rollout.state == RolloutState::Baking;
            if said != Some(rollout.state) || live_line {
                let erase = if live_line && said == Some(rollout.state) {
                    "\x1b[1A\x1b[2K"
                } else {
                    ""
                };
                if !rollout.state.is_final() {
                    context.say(&format!("{erase}  {}", phase(rollout)));
                }
                said = Some(rollout.state);
            }
            if rollout.state.is_final() {
                return Ok(current);
            }
        }
        if Instant::now() >= deadline {
            return Ok(current);
        }
        tokio::time::sleep_until((Instant::now() + LOOK).min(deadline)).await;
        match look(target, &current.id).await {
            Ok(deployment) => {
                answered = Instant::now();
                current = Deployment {
                    urls: current.urls,
                    ..deployment
                };
            }
            Err(error) if error.exit == UNREACHABLE && answered.elapsed() < AWAY => {}
            Err(error) => return Err(error.or_hint(|| "The deployment was accepted and goes on by itself.".to_owned())),
        }
    }
}

/// What is to be printed of a followed deployment, and the exit status.
pub(crate) struct Outcome {
    pub deployment: Deployment,
    pub exit: u8,
    pub text: String,
}

/// Follows a deployment that was accepted.
pub(crate) async fn follow(
    context: &Context,
    target: &Target,
    deployment: Deployment,
    follow: Follow,
) -> Result<Outcome> {
    let worker = &target.worker;
    *lock(&context.if_interrupted) = Some(format!(
        "the watching is over, the rollout goes on: `atoll deployments status --name {worker}` says how far it is"
    ));
    let started = Instant::now();
    let deployment = match follow.detach {
        true => deployment,
        false => watch(context, target, deployment, follow.timeout).await?,
    };
    *lock(&context.if_interrupted) = None;
    let (exit, text) = verdict(context, worker, &deployment, follow, started.elapsed());
    Ok(Outcome { deployment, exit, text })
}

fn verdict(context: &Context, worker: &str, deployment: &Deployment, follow: Follow, took: Duration) -> (u8, String) {
    let id = short(&deployment.id);
    let versions = shown(&deployment.versions);
    let Some(rollout) = &deployment.rollout else {
        let text = format!("{worker}: deployment {id} ({versions}) is accepted; how far it is is not known yet\n");
        return (OK, text);
    };
    match rollout.state {
        RolloutState::Live => {
            let done = context.paint(Style::Green, "live");
            let where_to = phase(rollout);
            let where_to = where_to.strip_prefix("live ").unwrap_or(&where_to);
            let mut text = format!(
                "{worker}: deployment {id} ({versions}) is {done} {where_to}, after {}\n",
                human(took)
            );
            if deployment.immediate {
                text.push_str(
                    "  no canary was watched (it was to be immediate): it started on every PoP, no more is known\n",
                );
            } else if rollout.unproven {
                text.push_str(
                    "  unproven: too few requests came to judge it; it starts and has not crashed, no more is known\n",
                );
            }
            (OK, text)
        }
        RolloutState::RolledBack => {
            let done = context.paint(Style::Red, "rolled back");
            let reason = rollout
                .reason
                .as_deref()
                .map_or_else(|| "no reason is given".to_owned(), printable);
            let canary = rollout
                .canary
                .as_deref()
                .map(|canary| format!(" on {}", printable(canary)))
                .unwrap_or_default();
            let seen = format!(
                "{}, {}",
                count_of(rollout.requests, "request"),
                count_of(rollout.errors, "error")
            );
            let text = format!(
                "{worker}: deployment {id} ({versions}) was {done}{canary}: {reason}\n  \
                 {seen}; what served before serves again. `atoll logs --name {worker} --level error` says more.\n"
            );
            (ROLLED_BACK, text)
        }
        RolloutState::Superseded => (
            OK,
            format!("{worker}: deployment {id} ({versions}) gave way to another one before it was live\n"),
        ),
        _ if follow.detach => (
            OK,
            format!(
                "{worker}: deployment {id} ({versions}) is accepted; `atoll deployments status --name {worker}` says how far it is\n"
            ),
        ),
        _ => (
            OK,
            format!(
                "{worker}: deployment {id} ({versions}) is not decided after {}: {}. It goes on by itself; \
                 `atoll deployments status --name {worker} --watch` watches on\n",
                human(took),
                phase(rollout)
            ),
        ),
    }
}

/// Follows, and prints how it ended.
pub(crate) async fn follow_and_print(
    context: &Context,
    target: &Target,
    deployment: Deployment,
    how: Follow,
) -> Result<u8> {
    let Outcome { deployment, exit, text } = follow(context, target, deployment, how).await?;
    context.print(
        json!({"worker": target.worker, "deployment": deployment, "exit": exit}),
        || text,
    );
    Ok(exit)
}

/// Watches a deployment that was made before.
pub(crate) async fn status(context: &Context, target: &Target, id: &str, how: Follow) -> Result<u8> {
    let deployment = look(target, id).await?;
    if how.detach {
        let text = match &deployment.rollout {
            Some(rollout) => {
                let reason = rollout
                    .reason
                    .as_deref()
                    .map(|reason| format!(": {}", printable(reason)))
                    .unwrap_or_default();
                let unproven = if rollout.unproven && !deployment.immediate {
                    " (unproven: too few requests to judge it)"
                } else {
                    ""
                };
                format!("{}{reason}{unproven}", phase(rollout))
            }
            None => "how far it is is not known".to_owned(),
        };
        let exit = match deployment.rollout.as_ref().map(|rollout| rollout.state) {
            Some(RolloutState::RolledBack) => ROLLED_BACK,
            _ => OK,
        };
        let versions = shown(&deployment.versions);
        context.print(
            json!({"worker": target.worker, "deployment": deployment, "exit": exit}),
            || format!("{}: deployment {} ({versions}): {text}\n", target.worker, deployment.id),
        );
        return Ok(exit);
    }
    follow_and_print(context, target, deployment, how).await
}

/// What is said of a change that is no deployment: it is staged like one, and nobody watches.
pub(crate) const ON_ITS_WAY: &str = "  it is tried on one PoP first, and is everywhere some ten seconds later\n";

/// A rollback that is refused because nothing served before is worth another hint.
pub(crate) fn nothing_before(error: CommandError) -> CommandError {
    error.or_hint(|| {
        "`atoll deployments list` shows what served when; `atoll versions deploy VERSION` lets any version serve."
            .to_owned()
    })
}
