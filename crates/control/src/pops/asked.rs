//! What the APIs ask of PoPs: tails, KV, tokens, the list of them.

use super::{Sessions, session};
use crate::catalog::{self, Caller, CatalogError, KV_INLINE_BYTES_MAX, KvValue, NewJoinToken, PopRecord};
use crate::fleet::{
    ANSWER_MAX, FleetState, KvEdit, KvKeys, KvKeysAsk, KvPair, Pops, PopsError, TAIL_WAITING_MAX, Tail, TailAsk,
    TailItem,
};
use async_trait::async_trait;
use atoll_api::peer::JoinToken;
use atoll_api::pop::{KvAnswer, KvItem, KvQuestion, TailEvents, TailStart, to_pop};
use atoll_api::rest;
use atoll_model::{BlobHash, DeploymentId, NamespaceId, Revision, TenantId, WorkerName};
use atoll_store::blob::put_blob;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The most tails at a time.
pub(super) const TAILS_MAX: usize = 256;
/// The longest that a tail goes on.
const TAIL_LIFE_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// A tail that somebody reads.
#[derive(Debug)]
pub(super) struct Watched {
    start: TailStart,
    items: mpsc::Sender<TailItem>,
    dropped: u64,
}

impl Sessions {
    /// The tails that a PoP that has just connected is told of.
    pub(super) fn tails_now(&self) -> Vec<TailStart> {
        let tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        tails.values().map(|watched| watched.start.clone()).collect()
    }

    /// Hands events to whoever reads the tail; a slow reader loses some and is told how many.
    pub(super) fn tail_events(&self, events: TailEvents) {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watched) = tails.get_mut(&events.session) else {
            return;
        };
        watched.dropped += events.dropped;
        for event in events.events {
            if watched.dropped > 0 && watched.items.try_send(TailItem::Dropped(watched.dropped)).is_ok() {
                watched.dropped = 0;
            }
            if watched.dropped > 0 || watched.items.try_send(TailItem::Event(event)).is_err() {
                watched.dropped += 1;
            }
        }
        if watched.dropped > 0 && watched.items.try_send(TailItem::Dropped(watched.dropped)).is_ok() {
            watched.dropped = 0;
        }
    }

    /// A PoP answered a question.
    pub(super) fn answered(&self, answer: KvAnswer) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asker) = questions.remove(&answer.question) {
            // The asker went away.
            let _ = asker.send(answer);
        }
    }

    /// Asks the PoP that knows most of the edits; if that does not answer, the next.
    async fn ask(&self, question: KvQuestion) -> Result<KvAnswer, PopsError> {
        let mut pops: Vec<Arc<session::Session>> = self.all();
        pops.sort_by_key(|session| (session.is_draining(), std::cmp::Reverse(session.kv_done())));
        let mut last = PopsError::NoPops;
        for session in pops.into_iter().take(2) {
            let number = self.number();
            let (asker, answer) = oneshot::channel();
            {
                let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
                questions.insert(number, asker);
            }
            let asked = KvQuestion {
                question: number,
                ..question.clone()
            };
            session.send(to_pop::Message::KvQuestion(asked));
            let answered = tokio::select! {
                answered = tokio::time::timeout(ANSWER_MAX, answer) => answered.ok().and_then(Result::ok),
                () = session.over() => None,
            };
            self.questions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&number);
            let pop = session.name.clone();
            match answered {
                Some(answer) if answer.error.is_empty() => return Ok(answer),
                Some(answer) if answer.invalid => return Err(PopsError::Invalid(answer.error)),
                Some(answer) => {
                    let reason = answer.error;
                    return Err(PopsError::Refused { pop, reason });
                }
                None => last = PopsError::Late { pop },
            }
        }
        Err(last)
    }

    pub(super) fn pop(&self, record: PopRecord) -> rest::Pop {
        let session = self.session(&record.name);
        let revoked = !record.accepts(record.generation);
        let seen = || {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get(&record.name).map_or(record.joined_ms, |(seen_ms, _)| *seen_ms)
        };
        let Some(session) = session else {
            return rest::Pop {
                state: if revoked {
                    rest::PopState::Revoked
                } else {
                    rest::PopState::Gone
                },
                seen_ms: seen(),
                name: record.name,
                region: record.region,
                release: record.release,
                public_address: String::new(),
                neighbour_address: String::new(),
                publication: 0,
                canary: false,
                joined_ms: record.joined_ms,
                certificate_until_ms: 0,
                clock_off_ms: 0,
                memory_bytes: 0,
                in_flight: 0,
                isolates: 0,
                telemetry_dropped: 0,
            };
        };
        let node = session.node();
        rest::Pop {
            name: record.name,
            region: record.region,
            release: session.hello.release.clone(),
            state: match session.is_draining() {
                true => rest::PopState::Draining,
                false => rest::PopState::Alive,
            },
            public_address: session.hello.public_address.clone(),
            neighbour_address: session.hello.neighbour_address.clone(),
            publication: session.held().map_or(0, |held| held.publication.0),
            canary: session.is_canary(),
            joined_ms: session.joined_ms,
            seen_ms: session.seen_ms(),
            certificate_until_ms: session.certificate.not_after_ms,
            clock_off_ms: session.clock_off_ms,
            memory_bytes: node.memory_bytes,
            in_flight: node.in_flight,
            isolates: node.isolates,
            telemetry_dropped: node.telemetry_dropped,
        }
    }

    /// Makes a join token that may also take a name over; see [`NewJoinToken`].
    pub async fn new_join_token(&self, caller: &Caller, new: NewJoinToken) -> Result<rest::JoinToken, PopsError> {
        let mut token = JoinToken {
            id: [0; 8],
            secret: [0; 32],
            authority: self.options.authority.fingerprint(),
        };
        let random = |bytes: &mut [u8]| {
            let filled = aws_lc_rs::rand::fill(bytes);
            filled.map_err(|_| PopsError::Invalid("the system gives no randomness".to_owned()))
        };
        random(&mut token.id)?;
        random(&mut token.secret)?;
        let stored = self
            .options
            .catalog
            .create_join_token(caller, token.id_text(), token.hash(), new)
            .await?;
        if stored.repeated {
            // What is stored is another token's hash; that one was shown when it was made.
            return Err(PopsError::Invalid(
                "a join token was made for this idempotency key before; it is shown once: make a new one".to_owned(),
            ));
        }
        Ok(rest::JoinToken {
            token: token.expose(),
            expires_ms: stored.value.expires_ms,
        })
    }
}

fn pair(item: KvItem) -> KvPair {
    KvPair {
        key: item.key,
        value: item.value,
        metadata: (!item.metadata.is_empty()).then_some(item.metadata),
        expiration: (item.expiration > 0).then_some(item.expiration),
    }
}

#[async_trait]
impl Pops for Arc<Sessions> {
    fn changed(&self, _: Revision) {
        // The deployer watches the catalog itself; positions of KV edits are told where they are made.
    }

    async fn pops(&self) -> Result<Vec<rest::Pop>, PopsError> {
        let records = self.options.catalog.pops().await?;
        Ok(records.into_iter().map(|record| self.pop(record)).collect())
    }

    async fn state(&self) -> Result<FleetState, PopsError> {
        let staged = self.options.catalog.staged().await?.len() as u64;
        let alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        let alarms = alarms.iter().cloned().collect();
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(FleetState {
            publication: lanes.newest().0,
            staged,
            alarms,
        })
    }

    fn counted(&self) -> Vec<(&'static str, u64)> {
        let counters = self.counters();
        [
            ("sessions", &counters.sessions),
            ("joins", &counters.joins),
            ("refused", &counters.refused),
            ("certificates_renewed", &counters.renewals),
            ("configurations_whole", &counters.wholes),
            ("configurations_delta", &counters.deltas),
            ("configuration_bytes", &counters.config_bytes),
            ("configurations_rejected", &counters.rejected),
            ("objects", &counters.objects),
            ("object_bytes", &counters.object_bytes),
        ]
        .map(|(what, count)| (what, count.load(Ordering::Relaxed)))
        .into()
    }

    async fn rollout(
        &self,
        _: &TenantId,
        _: &WorkerName,
        deployment: &DeploymentId,
    ) -> Result<Option<rest::Rollout>, PopsError> {
        match self.options.catalog.rollout(deployment.clone()).await {
            Ok(rollout) => Ok(Some(rollout)),
            Err(CatalogError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn target(&self) -> Option<String> {
        let all = self.all();
        let able: Vec<_> = all
            .iter()
            .filter(|session| {
                !session.is_draining() && session.held().is_some() && !session.hello.public_address.is_empty()
            })
            .collect();
        let at = usize::try_from(self.number()).unwrap_or(0);
        let chosen = able.get(at.checked_rem(able.len())?)?;
        Some(chosen.hello.public_address.clone())
    }

    async fn tail(&self, ask: TailAsk) -> Result<Tail, PopsError> {
        let session = catalog::new_uuid()?;
        let (items, receiver) = mpsc::channel(TAIL_WAITING_MAX);
        let now_ms = self.options.clock.now_ms();
        let life = Duration::from_millis(ask.expires_ms.saturating_sub(now_ms)).min(TAIL_LIFE_MAX);
        let start = TailStart {
            session: session.clone(),
            account: ask.account.to_string(),
            worker: ask.worker.to_string(),
            filters: ask.filters,
            expires_ms: ask.expires_ms,
            rate_max: ask.rate_max,
        };
        {
            let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
            if tails.len() >= TAILS_MAX {
                return Err(PopsError::Full {
                    what: "tails",
                    limit: TAILS_MAX,
                });
            }
            let watched = Watched {
                start: start.clone(),
                items: items.clone(),
                dropped: 0,
            };
            tails.insert(session.clone(), watched);
        }
        let all = self.all();
        for pop in &all {
            pop.tail_start(start.clone());
        }
        let (sessions, stop) = (self.clone(), self.tasks.stopping());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = items.closed() => {}
                () = tokio::time::sleep(life) => {}
            }
            sessions
                .tails
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&session);
            for pop in sessions.all() {
                pop.tail_stop(session.clone());
            }
        });
        Ok(Tail {
            pops: u32::try_from(all.len()).unwrap_or(u32::MAX),
            items: receiver,
        })
    }

    async fn kv_edit(&self, caller: &Caller, edit: KvEdit) -> Result<u64, PopsError> {
        let mut edits = Vec::with_capacity(edit.put.len() + edit.delete.len() + 1);
        if edit.clear {
            edits.push(catalog::KvEdit::Clear);
        }
        edits.extend(edit.delete.into_iter().map(|key| catalog::KvEdit::Delete { key }));
        for put in edit.put {
            let value = if put.value.len() > KV_INLINE_BYTES_MAX {
                // Before the edit: whoever reads the log finds it. Held before that: it may be there, and about to be collected.
                self.options.catalog.hold_blobs(vec![BlobHash::of(&put.value)]).await?;
                let hash = put_blob(&*self.options.blobs, put.value).await;
                KvValue::Blob(hash.map_err(|error| PopsError::Invalid(error.to_string()))?)
            } else {
                KvValue::Inline(put.value.to_vec())
            };
            edits.push(catalog::KvEdit::Put {
                key: put.key,
                value,
                metadata: put.metadata,
                expiration: put.expiration,
            });
        }
        let done = self
            .options
            .catalog
            .edit_kv(caller, edit.account, edit.namespace, edits)
            .await?;
        self.kv_head.send_if_modified(|head| {
            let later = done.value > *head;
            *head = (*head).max(done.value);
            later
        });
        Ok(done.value)
    }

    async fn kv_values(
        &self,
        account: &TenantId,
        namespace: &NamespaceId,
        keys: Vec<String>,
    ) -> Result<Vec<Option<KvPair>>, PopsError> {
        let question = KvQuestion {
            account: account.to_string(),
            namespace: namespace.to_string(),
            keys: keys.clone(),
            ..KvQuestion::default()
        };
        let mut items = self.ask(question).await?.items;
        let mut value = |key: &String| {
            let at = items.iter().position(|item| item.key == *key && item.found)?;
            Some(pair(std::mem::take(&mut items[at])))
        };
        Ok(keys.iter().map(&mut value).collect())
    }

    async fn kv_keys(&self, ask: KvKeysAsk) -> Result<KvKeys, PopsError> {
        let question = KvQuestion {
            account: ask.account.to_string(),
            namespace: ask.namespace.to_string(),
            prefix: ask.prefix,
            cursor: ask.cursor.unwrap_or_default(),
            limit: ask.limit,
            ..KvQuestion::default()
        };
        let answer = self.ask(question).await?;
        Ok(KvKeys {
            keys: answer.items.into_iter().map(pair).collect(),
            cursor: (!answer.cursor.is_empty()).then_some(answer.cursor),
        })
    }

    async fn join_token(
        &self,
        caller: &Caller,
        region: Option<String>,
        ttl: Duration,
    ) -> Result<rest::JoinToken, PopsError> {
        let new = NewJoinToken {
            region,
            name: None,
            life_ms: Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        };
        self.new_join_token(caller, new).await
    }

    async fn authority(&self) -> Result<rest::Authority, PopsError> {
        Sessions::authority(self).await
    }

    async fn change_authority(
        &self,
        caller: &Caller,
        change: rest::ChangeAuthority,
    ) -> Result<rest::Authority, PopsError> {
        Sessions::change_authority(self, caller, &change).await
    }

    async fn revoke(&self, caller: &Caller, name: &str) -> Result<(), PopsError> {
        match self.options.catalog.revoke_pop(caller, name.to_owned()).await {
            Ok(_) => {}
            Err(CatalogError::NotFound { .. }) => return Err(PopsError::Unknown(name.to_owned())),
            Err(error) => return Err(error.into()),
        }
        if let Some(session) = self.session(name) {
            session.end();
        }
        Ok(())
    }
}
