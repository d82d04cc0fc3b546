//! The way to the control plane: join, connect, and again when it breaks.
//!
//! Control planes are tried in turn. Between rounds there is a pause that doubles up to [`PAUSE_MAX`], of which a random part
//! is waited (full jitter), so that a fleet that lost its control plane does not come back at one moment.

use crate::channel::connect;
use crate::identity::Request;
use crate::{Agent, AgentError, session};
use atoll_api::peer::{JoinToken, JoinTrust, OwnCertificate, PeerName};
use atoll_api::pop::control_client::ControlClient;
use atoll_api::pop::{JoinRequest, RenewRequest};
use atoll_stdx::SplitMix64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

/// The first pause.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause: a control plane that is back is found within this.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest pause of a PoP that is refused for good: an operator may change that.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A session that stood for so long begins the pauses anew.
const STOOD: Duration = Duration::from_secs(10);
/// How long a call for a certificate may take.
const CALL_MAX: Duration = Duration::from_secs(10);
/// The pause after a renewal that failed, and its longest.
const RENEW_PAUSE: Duration = Duration::from_secs(5);

fn random() -> SplitMix64 {
    let mut seed = [0; 8];
    // Without randomness all wait the same time, which is no fault.
    let _ = aws_lc_rs::rand::fill(&mut seed);
    SplitMix64::new(u64::from_le_bytes(seed))
}

/// Runs until it is stopped.
pub(crate) async fn run(agent: Arc<Agent>, stop: CancellationToken) {
    let mut rng = random();
    let mut pause = PAUSE_MIN;
    let mut said = String::new();
    let control = agent.options.control.clone();
    for address in control.iter().cycle() {
        let begun = Instant::now();
        let outcome = attempt(&agent, address, &stop).await;
        agent.set_uplink(None);
        agent.links.set_control(None);
        if stop.is_cancelled() {
            return;
        }
        if begun.elapsed() > STOOD {
            pause = PAUSE_MIN;
        }
        let refused = matches!(&outcome, Err(AgentError::Refused(_)));
        agent.set_revoked(refused);
        if let Err(error) = outcome {
            // Once, not every ten seconds.
            let text = error.to_string();
            if text != said {
                tracing::warn!(
                    address,
                    error = text,
                    "the control plane is not reached; what is here serves on"
                );
                said = text;
            }
        } else {
            said.clear();
        }
        let wait = Duration::from_millis(rng.below(pause.as_millis() as u64 + 1));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        pause = (pause * 2).min(if refused { REFUSED_PAUSE_MAX } else { PAUSE_MAX });
    }
    // Without a control plane in the options there is nothing to do.
}

/// Joins if need be, then holds a session until it ends.
async fn attempt(agent: &Arc<Agent>, address: &str, stop: &CancellationToken) -> Result<(), AgentError> {
    let channel = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        channel = reach(agent, address) => channel?,
    };
    tokio::select! {
        // Ends by itself when it is stopped, with everything that it began.
        ended = session::hold(agent, channel.clone(), stop) => ended,
        () = renew(agent, channel) => Ok(()),
    }
}

/// A channel to a control plane, as somebody who has joined.
async fn reach(agent: &Arc<Agent>, address: &str) -> Result<Channel, AgentError> {
    if agent.links.holder.identity().is_none() {
        join(agent, address).await?;
    }
    let trust = agent.links.holder.trust().ok_or(AgentError::NotJoined)?;
    let verifier = trust.server_verifier(PeerName::Control);
    connect(address, PeerName::Control, &agent.links.holder.own, verifier).await
}

pub(crate) fn refusal(status: &tonic::Status, address: &str) -> AgentError {
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => AgentError::Refused(status.message().to_owned()),
        _ => AgentError::Connect {
            address: address.to_owned(),
            cause: status.message().to_owned(),
        },
    }
}

/// Joins with the token that was given.
async fn join(agent: &Arc<Agent>, address: &str) -> Result<(), AgentError> {
    let options = &agent.options;
    let text = options.join_token.as_deref().ok_or(AgentError::NotJoined)?;
    let token = JoinToken::parse(text).map_err(|error| AgentError::Token(error.to_string()))?;
    let verifier = JoinTrust::new(token.authority, options.clock.clone());
    // It has no certificate yet.
    let channel = connect(address, PeerName::Control, &OwnCertificate::new(), verifier).await?;
    let request = Request::new()?;
    let asked = JoinRequest {
        token: text.trim().to_owned(),
        name: options.name.clone(),
        region: options.region.clone(),
        certificate_request: request.der.clone().into(),
        release: options.release.clone(),
        now_ms: options.clock.now_ms(),
    };
    let answer = tokio::time::timeout(CALL_MAX, ControlClient::new(channel).join(asked)).await;
    let answer = match answer {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Err(refusal(&status, address)),
        Err(_) => {
            return Err(AgentError::Connect {
                address: address.to_owned(),
                cause: "the join took too long".to_owned(),
            });
        }
    };
    agent.links.holder.accept(request, answer)?;
    tracing::info!(name = agent.name(), "the PoP has joined");
    agent.joined.notify_one();
    Ok(())
}

/// Renews the certificate at half its life, for as long as the channel is good. By time that passes, whatever the clock says.
async fn renew(agent: &Arc<Agent>, channel: Channel) {
    let mut rng = random();
    let mut next = agent.links.holder.renewal().unwrap_or_else(Instant::now);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = agent.renew_now.notified() => {}
        }
        match renew_once(agent, channel.clone()).await {
            Ok(wait) => {
                agent.counters.renewed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    hours = wait.as_secs() / 3600,
                    "the certificate is renewed; the next time is then"
                );
                next = Instant::now() + wait;
            }
            Err(error) => {
                agent.counters.renew_failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "the certificate could not be renewed and is tried again");
                next = Instant::now() + RENEW_PAUSE + Duration::from_millis(rng.below(5_000));
            }
        }
    }
}

async fn renew_once(agent: &Arc<Agent>, channel: Channel) -> Result<Duration, AgentError> {
    let request = Request::new()?;
    let asked = RenewRequest {
        certificate_request: request.der.clone().into(),
        now_ms: agent.options.clock.now_ms(),
    };
    let mut client = ControlClient::new(channel);
    match tokio::time::timeout(CALL_MAX, client.renew(asked)).await {
        Ok(Ok(response)) => agent.links.holder.accept(request, response.into_inner()),
        Ok(Err(status)) => Err(refusal(&status, "")),
        Err(_) => Err(AgentError::Refused("it took too long".to_owned())),
    }
}
