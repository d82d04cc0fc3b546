//! Replacing the authority under PoPs that run: who is ready for the next step, and the step.
//!
//! A step that would lock a PoP out is refused with the names of those that it would lock out, unless it is forced: a PoP that is
//! away does not know an authority that was added meanwhile, and one whose certificate is of the old authority is a stranger when
//! that ends. Either joins again.

use super::Sessions;
use crate::authority::AuthorityError;
use crate::catalog::Caller;
use crate::fleet::PopsError;
use atoll_api::rest::{Authority, AuthorityCertificate, AuthorityPop, AuthorityStep, ChangeAuthority, PopState};
use atoll_model::BlobHash;
use std::sync::Arc;

impl From<AuthorityError> for PopsError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Rotation(text) => Self::Conflict(text.to_owned()),
            AuthorityError::Catalog(error) => Self::Catalog(error),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl Sessions {
    /// The authorities, and which PoPs have a certificate of the one that signs.
    pub(super) async fn authority(&self) -> Result<Authority, PopsError> {
        let certificates = self.options.authority.certificates();
        let shown = certificates
            .iter()
            .enumerate()
            .map(|(at, certificate)| AuthorityCertificate {
                fingerprint: BlobHash::of(certificate).to_string(),
                signs: at == 0,
            });
        let mut pops = Vec::new();
        for record in self.options.catalog.pops().await? {
            let pop = self.pop(record);
            if pop.state == PopState::Revoked {
                continue;
            }
            let session = self.session(&pop.name);
            let current = session.and_then(|session| session.authority());
            pops.push(AuthorityPop {
                current: current.is_some_and(|authority| self.options.authority.signs(&authority)),
                name: pop.name,
                state: pop.state,
            });
        }
        Ok(Authority {
            certificates: shown.collect(),
            pops,
        })
    }

    /// Takes the next step of a replacement.
    pub(super) async fn change_authority(
        self: &Arc<Self>,
        caller: &Caller,
        change: &ChangeAuthority,
    ) -> Result<Authority, PopsError> {
        // Whoever else leads, or led, may have taken a step.
        self.look_at_authority().await?;
        let now = self.authority().await?;
        let lost: Vec<&str> = match change.step {
            AuthorityStep::Add => Vec::new(),
            AuthorityStep::Switch => names(&now, |pop| pop.state == PopState::Gone),
            AuthorityStep::Retire => names(&now, |pop| !pop.current),
        };
        if !lost.is_empty() && !change.force && now.certificates.len() > 1 {
            let why = match change.step {
                AuthorityStep::Retire => "have no certificate of the authority that signs now",
                _ => "are not connected, so they do not know the new authority",
            };
            return Err(PopsError::Conflict(format!(
                "these PoPs {why}, and would have to join again: {}; wait for them, or revoke them, or force it",
                lost.join(", ")
            )));
        }
        let authority = &self.options.authority;
        match change.step {
            AuthorityStep::Add => authority.add().await?,
            AuthorityStep::Switch => authority.switch().await?,
            AuthorityStep::Retire => authority.retire().await?,
        }
        let signs = authority
            .certificates()
            .first()
            .map(|first| BlobHash::of(first).to_string());
        let done = self
            .options
            .catalog
            .note_authority(caller, change.step.name(), signs.unwrap_or_default());
        done.await?;
        self.look_at_authority().await?;
        self.authority().await
    }
}

fn names(authority: &Authority, which: impl Fn(&AuthorityPop) -> bool) -> Vec<&str> {
    let pops = authority.pops.iter().filter(|pop| which(pop));
    pops.map(|pop| pop.name.as_str()).collect()
}
