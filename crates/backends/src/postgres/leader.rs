//! Which of several control planes leads: the one that holds an advisory lock of the database.
//!
//! The lock is a session's: it is free again when its holder's connection ends, however that happens. Holding it means that
//! one may *try*: what a leader writes is fenced by the catalog's epoch (`Catalog::lead`), because a leader that was cut off
//! may not know it yet. Take-over: a candidate asks every [`ASK_EVERY`]; a holder whose machine is gone is noticed by the
//! server within [`SILENCE_MAX`], and notices itself by its own heartbeat within as long.

use super::{CONNECT_MAX, PostgresOptions, parse, told};
use atoll_store::sql::SqlError;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

/// The leader's lock: "atol" and a number, to be no other program's.
const LEADER_LOCK: i64 = 0x61_74_6F_6C_00_01;
/// How often a candidate asks for the lock, and a leader shows that it is alive.
pub const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long a connection may be silent before it counts as dead.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A control plane that would lead.
#[derive(Debug, Clone)]
pub struct Candidate {
    options: PostgresOptions,
}

/// The time in which this control plane leads. It ends when it is dropped, or when its connection does.
#[derive(Debug)]
pub struct Term {
    client: Client,
    connection: JoinHandle<()>,
}

impl Candidate {
    /// Of this database.
    pub fn new(options: PostgresOptions) -> Self {
        Self { options }
    }

    /// Waits until nobody else leads. The error is that the database cannot be reached: try again later.
    pub async fn wait(&self) -> Result<Term, SqlError> {
        let term = self.connect().await?;
        loop {
            let asked = term
                .client
                .query_one("SELECT pg_try_advisory_lock($1)", &[&LEADER_LOCK]);
            let row = timeout(SILENCE_MAX, asked).await;
            let row = row.map_err(|_| SqlError::Unavailable("it does not answer".into()))?;
            if row.map_err(|error| told(&error))?.get(0) {
                return Ok(term);
            }
            sleep(ASK_EVERY).await;
        }
    }

    async fn connect(&self) -> Result<Term, SqlError> {
        let (mut config, tls) = parse(&self.options)?;
        // The server's side: a machine that is gone gives the lock back.
        let own = config.get_options().unwrap_or("").to_owned();
        config.options(format!(
            "{own} -c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3 -c tcp_user_timeout={}",
            SILENCE_MAX.as_millis()
        ));
        let connected = timeout(CONNECT_MAX, config.connect(tls)).await;
        let connected = connected.map_err(|_| SqlError::Unavailable("it does not answer".into()))?;
        let (client, connection) = connected.map_err(|error| told(&error))?;
        // Ends with the client, or by the abort when the term is dropped.
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "the connection of the leader's lock broke");
            }
        });
        Ok(Term { client, connection })
    }
}

impl Term {
    /// Waits until the term is over: then nothing may be begun as a leader any more.
    pub async fn lost(&mut self) {
        loop {
            let alive = timeout(SILENCE_MAX, self.client.simple_query("SELECT 1")).await;
            if !matches!(alive, Ok(Ok(_))) {
                return;
            }
            sleep(ASK_EVERY).await;
        }
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
