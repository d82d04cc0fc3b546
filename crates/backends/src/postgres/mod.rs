//! PostgreSQL as a database of records: transactions over a pool of connections.
//!
//! Work is synchronous code; it runs on one of tokio's threads for blocking work, which waits there for the server. Write
//! transactions are `SERIALIZABLE` and begin by locking a table of ours, so they take turns instead of failing at their
//! ends; what still conflicts (40001, 40P01: somebody else's transaction) is run again, [`ATTEMPTS_MAX`] times in all. Read
//! transactions are `REPEATABLE READ READ ONLY`: one moment, waiting for nobody.
//!
//! Everything that waits has a deadline: for a connection, for the turn, for a statement. A connection that broke while a
//! commit was on its way is the one case whose outcome is unknown, and it is told as such. A connection whose work panicked
//! is closed.

pub mod leader;
mod value;

use atoll_store::sql::{
    ATTEMPTS_MAX, Access, Database, Dialect, Finish, Pending, ROWS_MAX, Row, SqlError, Transaction, Value, WAIT_MAX,
    Work,
};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;
use value::{Parameter, row};

/// The lock that the first statements of a new database are run under: "atoll".
const ADVISORY_LOCK: i64 = 0x61_74_6F_6C_6C;
/// How long a statement may take.
const STATEMENT_MAX: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The first wait before a transaction is run again; each further one is twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(4);

/// How the database is reached.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=require`, or the `key=value` form.
    pub url: String,
    /// The most connections.
    pub connections: usize,
    /// Certificates (PEM) that the server's must descend from; `None` for the public ones.
    pub authorities: Option<Vec<u8>>,
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL has a password in it.
        write!(f, "PostgresOptions({} connections)", self.connections)
    }
}

/// See the module.
pub struct PostgresDatabase {
    pool: Pool,
}

impl std::fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresDatabase({:?})", self.pool.status())
    }
}

impl PostgresDatabase {
    /// Connects, and prepares an empty database.
    pub async fn open(options: &PostgresOptions) -> Result<Self, SqlError> {
        let (config, tls) = parse(options)?;
        let manager = Manager::from_config(
            config,
            tls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(options.connections.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_MAX))
            .create_timeout(Some(CONNECT_MAX))
            .recycle_timeout(Some(CONNECT_MAX))
            .build()
            .map_err(|error| invalid(&error.to_string()))?;
        let database = Self { pool };
        let client = database.connection().await?;
        // Two first starts at once must not both create it: `IF NOT EXISTS` alone is no lock.
        let prepare = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({ADVISORY_LOCK});
             CREATE TABLE IF NOT EXISTS write_turn (one BIGINT PRIMARY KEY); COMMIT"
        );
        client.batch_execute(&prepare).await.map_err(|error| told(&error))?;
        Ok(database)
    }

    async fn connection(&self) -> Result<Object, SqlError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(_) => SqlError::Busy(format!("no connection became free in {WAIT_MAX:?}").into()),
            PoolError::Backend(error) => SqlError::Unavailable(told(&error).to_string().into()),
            other => SqlError::Unavailable(other.to_string().into()),
        })
    }
}

fn invalid(what: &str) -> SqlError {
    SqlError::Schema(format!("the database's URL cannot be used: {what}").into())
}

/// How a connection is made: deadlines, durability and TLS are ours to say.
fn parse(options: &PostgresOptions) -> Result<(Config, MakeRustlsConnect), SqlError> {
    let parsed: Result<Config, tokio_postgres::Error> = options.url.parse();
    let mut config = parsed.map_err(|error| invalid(&error.to_string()))?;
    let own = config.get_options().unwrap_or("").to_owned();
    config.options(format!(
        "{own} -c statement_timeout={statement} -c lock_timeout={lock} -c idle_in_transaction_session_timeout={statement} \
         -c synchronous_commit=on",
        statement = STATEMENT_MAX.as_millis(),
        lock = WAIT_MAX.as_millis(),
    ));
    config.connect_timeout(CONNECT_MAX);
    if config.get_application_name().is_none() {
        config.application_name("atoll");
    }
    let tls = tls(options.authorities.as_deref()).map_err(|what| invalid(&what))?;
    Ok((config, tls))
}

fn tls(authorities: Option<&[u8]>) -> Result<MakeRustlsConnect, String> {
    let mut roots = rustls::RootCertStore::empty();
    match authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("an authority's certificate: {error}"))?;
                roots
                    .add(certificate)
                    .map_err(|error| format!("an authority's certificate: {error}"))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

impl Database for PostgresDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn transact(&self, access: Access, mut work: Work) -> Pending<'_> {
        Box::pin(async move {
            for attempt in 1..=ATTEMPTS_MAX {
                let client = self.connection().await?;
                let handle = Handle::current();
                // The work comes back with the answer, for the next attempt.
                let run = move || {
                    let result = attempt_once(client, &handle, access, &mut work);
                    (work, result)
                };
                let (returned, result) = tokio::task::spawn_blocking(run)
                    .await
                    .map_err(|error| SqlError::Failed(format!("the transaction did not run: {error}").into()))?;
                work = returned;
                match result {
                    Err(SqlError::Contended { .. }) if attempt < ATTEMPTS_MAX => {
                        tokio::time::sleep(RETRY_FIRST * 2u32.pow(attempt - 1)).await;
                    }
                    Err(SqlError::Contended { .. }) => break,
                    other => return other,
                }
            }
            Err(SqlError::Contended { attempts: ATTEMPTS_MAX })
        })
    }
}

/// Runs a transaction once. The connection goes back to the pool if it is known to be outside of any transaction.
fn attempt_once(client: Object, handle: &Handle, access: Access, work: &mut Work) -> Result<(), SqlError> {
    let mut open = Open {
        client: &client,
        handle,
        failed: None,
    };
    let worked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        open.begin(access)?;
        work(&mut open)
    }));
    let failed = open.failed.take();
    let (result, clean) = match worked {
        Err(_) => {
            let panicked = SqlError::Failed("the transaction's code panicked; nothing is stored".into());
            (Err(panicked), false)
        }
        Ok(worked) => {
            let commit = matches!(worked, Ok(Finish::Commit)) && failed.is_none();
            let sql = if commit { "COMMIT" } else { "ROLLBACK" };
            match (handle.block_on(client.batch_execute(sql)), failed) {
                // What the statement said first, whatever the work has made of it.
                (ended, Some(error)) => (Err(error), ended.is_ok()),
                (Ok(()), None) => (worked.map(drop), true),
                // A refused commit is a rollback; a connection that broke meanwhile leaves it open which it was.
                (Err(error), None) => match told(&error) {
                    SqlError::Unavailable(why) if commit => (Err(SqlError::Unknown(why)), false),
                    told => (Err(told), error.as_db_error().is_some()),
                },
            }
        }
    };
    if !clean {
        // Closed rather than given to somebody else.
        drop(Object::take(client));
    }
    result
}

struct Open<'a> {
    client: &'a Object,
    handle: &'a Handle,
    /// The first statement that failed: the server accepts no other one after it.
    failed: Option<SqlError>,
}

impl Open<'_> {
    fn begin(&mut self, access: Access) -> Result<(), SqlError> {
        self.batch(match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // The lock comes before the snapshot: the transaction sees all that its predecessors have committed.
            Access::Write => "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE write_turn IN EXCLUSIVE MODE",
        })
    }

    fn note(&mut self, error: &tokio_postgres::Error) -> SqlError {
        let error = told(error);
        self.failed.get_or_insert_with(|| error.clone());
        error
    }
}

fn told(error: &tokio_postgres::Error) -> SqlError {
    let Some(server) = error.as_db_error() else {
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            text = format!("{text}: {cause}");
        }
        // What is not the server's answer and did not break the connection is a value that does not fit a column.
        let ours = text.contains("serializ") && !error.is_closed();
        return if ours {
            SqlError::Failed(text.into())
        } else {
            SqlError::Unavailable(text.into())
        };
    };
    let text: Arc<str> = format!("{} ({})", server.message(), server.code().code()).into();
    let code = server.code();
    if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
        SqlError::Contended { attempts: 1 }
    } else if code.code().starts_with("23") {
        SqlError::Constraint(text)
    } else if *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::QUERY_CANCELED
        || code.code().starts_with("53")
    {
        SqlError::Busy(text)
    } else if code.code().starts_with("08") || code.code().starts_with("57P") {
        SqlError::Unavailable(text)
    } else {
        SqlError::Failed(text)
    }
}

impl Transaction for Open<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError> {
        let (client, handle) = (self.client, self.handle);
        let run = async {
            let statement = client.prepare_cached(sql).await?;
            let parameters: Vec<Parameter<'_>> = parameters.iter().map(Parameter).collect();
            let rows = client.query_raw(&statement, parameters).await?;
            let mut rows = std::pin::pin!(rows);
            let mut found = Vec::new();
            while let Some(row) = futures_util::TryStreamExt::try_next(&mut rows).await? {
                if found.len() == ROWS_MAX {
                    return Ok(Err(SqlError::TooManyRows));
                }
                found.push(row);
            }
            Ok(Ok(found))
        };
        let found = handle.block_on(run).map_err(|error| self.note(&error))?;
        let rows = found.and_then(|rows| rows.iter().map(row).collect::<Result<Vec<Row>, SqlError>>());
        rows.inspect_err(|error| {
            self.failed.get_or_insert_with(|| error.clone());
        })
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, SqlError> {
        let (client, handle) = (self.client, self.handle);
        let run = async {
            let statement = client.prepare_cached(sql).await?;
            let parameters: Vec<Parameter<'_>> = parameters.iter().map(Parameter).collect();
            client.execute_raw(&statement, parameters).await
        };
        handle.block_on(run).map_err(|error| self.note(&error))
    }

    fn batch(&mut self, sql: &str) -> Result<(), SqlError> {
        let done = self.handle.block_on(self.client.batch_execute(sql));
        done.map_err(|error| self.note(&error))
    }
}
