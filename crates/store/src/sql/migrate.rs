//! Steps by which a schema grows, and the record of which were taken.

use super::{Access, Database, Dialect, SqlError, Transaction};
use sha2::{Digest, Sha256};

/// A step. Once released it never changes: later steps change what it made.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counts up from 1.
    pub number: u32,
    /// What it does, in a word or two.
    pub name: &'static str,
    /// Its statements for SQLite.
    pub sqlite: &'static str,
    /// Its statements for PostgreSQL.
    pub postgres: &'static str,
}

impl Migration {
    fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    fn checksum(&self, dialect: Dialect) -> [u8; 32] {
        Sha256::digest(self.sql(dialect)).into()
    }
}

/// Takes the steps that are missing, all in one transaction, and says how many. A database that a newer release has
/// changed, or one whose steps were not these, is refused and left as it is.
pub async fn migrate(database: &dyn Database, steps: &'static [Migration], now_ms: u64) -> Result<usize, SqlError> {
    database
        .run(Access::Write, move |transaction| apply(transaction, steps, now_ms))
        .await
}

fn apply(transaction: &mut dyn Transaction, steps: &[Migration], now_ms: u64) -> Result<usize, SqlError> {
    let dialect = transaction.dialect();
    transaction.batch(table(dialect))?;
    let taken = transaction.query("SELECT number, name, checksum FROM migrations ORDER BY number", &[])?;
    if let Some(row) = taken.get(steps.len()) {
        return Err(SqlError::Schema(
            format!(
                "the database has step {} ({}), which this release does not know: a newer release has used it; start that \
                 release, or restore a copy from before the upgrade",
                row.int(0)?,
                row.text(1)?
            )
            .into(),
        ));
    }
    for (row, step) in taken.iter().zip(steps) {
        if row.unsigned(0)? != u64::from(step.number) || row.blob(2)? != step.checksum(dialect) {
            return Err(SqlError::Schema(
                format!(
                    "step {} ({}) of the database is not step {} ({}) of this release: it was made by another program, or \
                     changed after it was released; restore a copy or choose another database",
                    row.int(0)?,
                    row.text(1)?,
                    step.number,
                    step.name
                )
                .into(),
            ));
        }
    }
    let missing = &steps[taken.len()..];
    for step in missing {
        transaction.batch(step.sql(dialect))?;
        transaction.execute(
            "INSERT INTO migrations (number, name, checksum, taken_ms) VALUES ($1, $2, $3, $4)",
            &[
                step.number.into(),
                step.name.into(),
                step.checksum(dialect).into(),
                now_ms.into(),
            ],
        )?;
    }
    Ok(missing.len())
}

/// The record of the steps.
fn table(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => {
            "CREATE TABLE IF NOT EXISTS migrations (
                number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, taken_ms INTEGER NOT NULL
            ) STRICT"
        }
        Dialect::Postgres => {
            "CREATE TABLE IF NOT EXISTS migrations (
                number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum BYTEA NOT NULL, taken_ms BIGINT NOT NULL
            )"
        }
    }
}
