//! PoPs, and the state of the whole.

use super::super::context::{Context, Reply, json, ok};
use super::super::endpoint::{Endpoint, Need};
use super::super::error::ApiError;
use atoll_api::rest::{
    Authority, ChangeAuthority, Empty, JoinToken, NewJoinToken, Page, Pop, PopCounts, PopState, Status,
};
use atoll_model::{Action, Resource};
use http::{Method, StatusCode};
use std::time::Duration;

/// How long a join token may be used, seconds, unless the request says otherwise; the least; the most.
const JOIN_TTL_S: (u64, u64, u64) = (3_600, 60, 604_800);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::list::<Pop, _>(
            "/v1/pops",
            "listPops",
            "Every PoP that ever joined, by name.",
            Need::Platform(Resource::Pop, Action::Read),
            pops,
        )
        .led(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/pops/{name}",
            "revokePop",
            "Ends a PoP's certificate and its session for good. What it has it goes on serving, until it is stopped.",
            Need::Platform(Resource::Pop, Action::Write),
            revoke,
        ),
        Endpoint::new::<JoinToken, _>(
            Method::POST,
            "/v1/pops/join-tokens",
            "createJoinToken",
            "Makes a token with which one PoP joins, once.",
            Need::Platform(Resource::Pop, Action::Write),
            join_token,
        )
        .takes::<NewJoinToken>()
        .creates(),
        Endpoint::new::<Authority, _>(
            Method::GET,
            "/v1/authority",
            "getAuthority",
            "Whose certificates count between nodes, and which PoPs have one of the authority that signs.",
            Need::Platform(Resource::Pop, Action::Read),
            authority,
        )
        .led(),
        Endpoint::new::<Authority, _>(
            Method::POST,
            "/v1/authority",
            "changeAuthority",
            "The next step of replacing the authority: `add`, `switch`, `retire`. 409 if a PoP would have to join again, unless it is forced.",
            Need::Platform(Resource::Pop, Action::Write),
            change_authority,
        )
        .takes::<ChangeAuthority>(),
        Endpoint::new::<Status, _>(
            Method::GET,
            "/v1/status",
            "getStatus",
            "The state of the whole. PoPs and alarms are told to the platform's own tokens alone.",
            Need::Token,
            status,
        )
        .led(),
    ]
}

async fn pops(context: Context) -> Reply {
    ok(&Page {
        items: context.state().pops.pops().await?,
        next: None,
    })
}

async fn revoke(context: Context) -> Reply {
    context
        .state()
        .pops
        .revoke(&context.caller()?, context.part("name"))
        .await?;
    ok(&Empty {})
}

async fn join_token(context: Context) -> Reply {
    let asked: NewJoinToken = context.json()?;
    let (usual, least, most) = JOIN_TTL_S;
    let seconds = asked.ttl_s.unwrap_or(usual);
    if !(least..=most).contains(&seconds) {
        return Err(ApiError::invalid(format!(
            "a join token may be used for {least} to {most} s"
        )));
    }
    let ttl = Duration::from_secs(seconds);
    let token = context
        .state()
        .pops
        .join_token(&context.caller()?, asked.region, ttl)
        .await?;
    json(StatusCode::CREATED, &token)
}

async fn authority(context: Context) -> Reply {
    ok(&context.state().pops.authority().await?)
}

async fn change_authority(context: Context) -> Reply {
    let change: ChangeAuthority = context.json()?;
    ok(&context
        .state()
        .pops
        .change_authority(&context.caller()?, change)
        .await?)
}

async fn status(context: Context) -> Reply {
    let (catalog, state) = (&context.catalog, context.state());
    let (leader, epoch) = catalog.leader().await?;
    let (head, fleet) = (catalog.config_head().await?, state.pops.state().await?);
    let platform = context.who.account.is_none();
    let mut pops = None;
    if platform {
        let pops = pops.insert(PopCounts::default());
        for pop in state.pops.pops().await? {
            match pop.state {
                PopState::Alive => pops.alive += 1,
                PopState::Draining => pops.draining += 1,
                PopState::Gone => pops.gone += 1,
                PopState::Revoked => {}
            }
        }
    }
    ok(&Status {
        release: state.release.clone(),
        now_ms: state.clock.now_ms(),
        leader,
        epoch,
        revision: head.revision.0,
        publication: fleet.publication,
        staged: fleet.staged,
        domains: state.addresses.domains.clone(),
        pops,
        alarms: if platform { fleet.alarms } else { Vec::new() },
    })
}
