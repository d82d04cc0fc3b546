//! Relational records: transactions over an SQL database, embedded ([`SqliteDatabase`]) or on a server elsewhere.
//!
//! Whoever keeps records writes plain, synchronous code over [`Transaction`] and hands it to [`Database::transact`]; the
//! database runs it where blocking is allowed, again if another transaction came in its way, and answers when it is
//! durable. One text of SQL serves every implementation: `$1`, `$2` for parameters, `INTEGER`/`BIGINT`, `TEXT` and
//! `BLOB`/`BYTEA` for columns, `ON CONFLICT`, `RETURNING`. What differs, the schema, stands twice in a [`Migration`].
//!
//! Invariants:
//! - write transactions run one after the other: each sees all that committed before it, and nothing of those that did not;
//! - a read transaction sees one moment;
//! - `Ok` means durable; `Err` other than [`SqlError::Unknown`] means that nothing of it is stored;
//! - the work may run more than once: it must change nothing but its transaction.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod migrate;
mod sqlite;
mod value;

pub use migrate::{Migration, migrate};
pub use sqlite::{SqliteDatabase, SqliteOptions};
pub use value::{Row, Value};

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most rows that one query gives; more is an error, so that nothing is cut silently. Whoever needs more asks by pages.
pub const ROWS_MAX: usize = 100_000;
/// How long a transaction may wait for its turn before it is refused.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a transaction is run when others come in its way.
pub const ATTEMPTS_MAX: u32 = 8;

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads one moment.
    Read,
    /// Reads and writes.
    Write,
}

/// Which dialect a schema is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// What becomes of a transaction whose work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It is made durable.
    Commit,
    /// Nothing of it stays.
    Rollback,
}

/// Why a database refused or failed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SqlError {
    /// Another transaction came in its way; it is run again, and told only when that was in vain.
    #[error("other changes came in the way {attempts} times; try again")]
    Contended {
        /// How often it was run.
        attempts: u32,
    },
    /// It waited too long for its turn.
    #[error("the database is busy; try again later ({0})")]
    Busy(Arc<str>),
    /// The row breaks a rule of the schema (unique, foreign key, check).
    #[error("the change breaks a rule of the catalog's schema: {0}")]
    Constraint(Arc<str>),
    /// The database cannot be reached, or the connection to it broke before the commit.
    #[error("the database cannot be reached: {0}")]
    Unavailable(Arc<str>),
    /// The connection broke while the commit was on its way.
    #[error(
        "the connection to the database broke during the commit ({0}); it is unknown whether the change is stored: look before trying again"
    )]
    Unknown(Arc<str>),
    /// The database is closed.
    #[error("the database is closed: {0}")]
    Closed(Arc<str>),
    /// The file or its directory is not usable.
    #[error(transparent)]
    Store(#[from] crate::StoreError),
    /// The schema is not what this release expects.
    #[error("{0}")]
    Schema(Arc<str>),
    /// A query gave more than [`ROWS_MAX`] rows.
    #[error("a query gave more than {ROWS_MAX} rows")]
    TooManyRows,
    /// A column is not what the code expects: a bug, or somebody else wrote to the database.
    #[error("column {column} of a row holds {found}, not {expected}")]
    Column {
        /// Which, from 0.
        column: usize,
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// Anything else that the database says.
    #[error("the database failed: {0}")]
    Failed(Arc<str>),
}

/// A transaction that is open.
pub trait Transaction {
    /// Which dialect it speaks, for the few who must know.
    fn dialect(&self) -> Dialect;
    /// Rows of a query.
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError>;
    /// Runs a statement and says how many rows it changed.
    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, SqlError>;
    /// Runs statements without parameters.
    fn batch(&mut self, sql: &str) -> Result<(), SqlError>;
}

/// What is done in a transaction. An error has it rolled back, or run again if the database asks for that.
pub type Work = Box<dyn FnMut(&mut dyn Transaction) -> Result<Finish, SqlError> + Send>;

/// The answer to a transaction. Dropping it does not undo anything.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<(), SqlError>> + Send + 'a>>;

/// A database.
pub trait Database: std::fmt::Debug + Send + Sync + 'static {
    /// Which dialect it speaks.
    fn dialect(&self) -> Dialect;
    /// Runs a transaction.
    fn transact(&self, access: Access, work: Work) -> Pending<'_>;
}

impl dyn Database {
    /// Runs work that gives a value; its error rolls back.
    pub async fn run<T, E>(
        &self,
        access: Access,
        mut work: impl FnMut(&mut dyn Transaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SqlError> + Send + 'static,
    {
        let slot: Arc<Mutex<Option<Result<T, E>>>> = Arc::default();
        let inner = slot.clone();
        let work: Work = Box::new(move |transaction| {
            let result = work(transaction);
            let finish = if result.is_ok() {
                Finish::Commit
            } else {
                Finish::Rollback
            };
            *inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            Ok(finish)
        });
        self.transact(access, work).await?;
        let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.unwrap_or_else(|| Err(SqlError::Closed("the work did not run".into()).into()))
    }

    /// [`Self::run`] with [`Access::Read`].
    pub async fn read<T, E>(
        &self,
        work: impl FnMut(&mut dyn Transaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SqlError> + Send + 'static,
    {
        self.run(Access::Read, work).await
    }

    /// [`Self::run`] with [`Access::Write`].
    pub async fn write<T, E>(
        &self,
        work: impl FnMut(&mut dyn Transaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SqlError> + Send + 'static,
    {
        self.run(Access::Write, work).await
    }
}
