//! The embedded database: SQLite in WAL mode, one thread that writes and a few that read.
//!
//! `synchronous=FULL`: a commit is on the disk when it is answered. Handles only queue work, so no call blocks its caller.
//! A directory is one process's (`LOCK`). A write that fails with an error of the file system closes the database for
//! writes: what is on the disk is only known after it was opened again.

use super::{Access, Database, Dialect, Finish, Pending, ROWS_MAX, Row, SqlError, Transaction, Value, Work};
use crate::StoreError;
use crate::format::lock_directory;
use crate::queue::{Refused, WorkQueue};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The most transactions that wait for the writer, and for the readers.
pub const QUEUED_MAX: usize = 1_024;
/// "Atol": what tells our files from others (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x4174_6F6C;
/// How long SQLite itself waits for a lock: only its own checkpoints and a backup hold any.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file's name in the directory.
    pub file: &'static str,
    /// Threads that read.
    pub readers: usize,
    /// Memory for pages, of each thread, KiB.
    pub cache_kib: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            file: "catalog.sqlite",
            readers: 2,
            cache_kib: 8 * 1024,
        }
    }
}

struct Job {
    work: Work,
    reply: oneshot::Sender<Result<(), SqlError>>,
}

#[derive(Default)]
struct Shared {
    failed: OnceLock<Arc<str>>,
}

/// See the module. The database is closed when the last handle is dropped; [`SqliteDatabase::close`] waits for that.
pub struct SqliteDatabase {
    path: PathBuf,
    writes: Arc<WorkQueue<Job>>,
    reads: Arc<WorkQueue<Job>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: File,
}

impl std::fmt::Debug for SqliteDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqliteDatabase({})", self.path.display())
    }
}

impl SqliteDatabase {
    /// Opens or creates the database in a directory. Blocks: for the start of a process.
    pub fn open(directory: &Path, options: &SqliteOptions) -> Result<Self, SqlError> {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::io("create", directory, error))?;
        let lock = lock_directory(directory)?;
        let path = directory.join(options.file);
        let writer = connect(&path, options, Access::Write)?;
        crate::format::sync_directory(directory)?;
        let shared = Arc::new(Shared::default());
        let (writes, reads) = (Arc::new(WorkQueue::new()), Arc::new(WorkQueue::new()));
        let mut threads = Vec::new();
        let mut start = |name: &str, connection: Connection, access: Access, queue: &Arc<WorkQueue<Job>>| {
            let (queue, shared) = (queue.clone(), shared.clone());
            let body = move || serve(connection, access, &queue, &shared);
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            thread
                .map(|thread| threads.push(thread))
                .map_err(|error| StoreError::io("start a thread for", &path, error))
        };
        let mut started = start("sqlite-write", writer, Access::Write, &writes);
        for _ in 0..options.readers.max(1) {
            let reader = connect(&path, options, Access::Read)?;
            started = started.and_then(|()| start("sqlite-read", reader, Access::Read, &reads));
        }
        let database = Self {
            path,
            writes,
            reads,
            threads: Mutex::new(threads),
            _lock: lock,
        };
        // A failed start is told after the handle exists, so that dropping it ends the threads that did start.
        started?;
        Ok(database)
    }

    /// Closes the database and waits until its files are closed. Work that waits is done first.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for SqliteDatabase {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread catches what its work panics with; it ends when its queue is closed.
            let _ = thread.join();
        }
    }
}

impl Database for SqliteDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn transact(&self, access: Access, work: Work) -> Pending<'_> {
        let queue = match access {
            Access::Read => &self.reads,
            Access::Write => &self.writes,
        };
        let (reply, answer) = oneshot::channel();
        let pushed = queue.push(Job { work, reply }, QUEUED_MAX);
        Box::pin(async move {
            match pushed {
                Ok(()) => {}
                Err(Refused::Full(_)) => return Err(SqlError::Busy(format!("{QUEUED_MAX} transactions wait").into())),
                Err(Refused::Closed(_)) => return Err(SqlError::Closed("it was shut down".into())),
            }
            // Only a panic of the work leaves no answer.
            answer.await.unwrap_or_else(|_| {
                Err(SqlError::Failed(
                    "the transaction's code panicked; nothing is stored".into(),
                ))
            })
        })
    }
}

fn connect(path: &Path, options: &SqliteOptions, access: Access) -> Result<Connection, SqlError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => SqlError::Store(StoreError::Foreign {
            path: path.to_owned(),
            detail: "the file is no SQLite database".to_owned(),
        }),
        Some(ErrorCode::DatabaseCorrupt) => SqlError::Store(StoreError::Corrupt {
            path: path.to_owned(),
            detail: error.to_string(),
        }),
        _ => SqlError::Failed(format!("cannot open {}: {error}", path.display()).into()),
    };
    let open = || {
        // Always writable for SQLite: a reader, too, recovers and maps the WAL; `query_only` keeps it from more.
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(LOCK_WAIT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cache_size", -i64::from(options.cache_kib))?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(connection)
    };
    let connection = open().map_err(failed)?;
    let id: i64 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(failed)?;
    let empty: i64 = connection
        .query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    match (id, empty, access) {
        (APPLICATION_ID, ..) => {}
        (0, 1, Access::Write) => connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(failed)?,
        _ => {
            return Err(SqlError::Store(StoreError::Foreign {
                path: path.to_owned(),
                detail: "the SQLite database was made by another program".to_owned(),
            }));
        }
    }
    if access == Access::Read {
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
    }
    Ok(connection)
}

fn serve(connection: Connection, access: Access, queue: &WorkQueue<Job>, shared: &Shared) {
    while let Some(Job { mut work, reply }) = queue.pop() {
        if access == Access::Write
            && let Some(reason) = shared.failed.get()
        {
            let _ = reply.send(Err(SqlError::Closed(reason.clone())));
            continue;
        }
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| transact(&connection, access, &mut work)));
        match result {
            Ok(result) => {
                if let Err(SqlError::Closed(reason)) = &result {
                    let _ = shared.failed.set(reason.clone());
                }
                // Whoever asked may be gone.
                let _ = reply.send(result);
            }
            Err(_) => {
                // The reply is dropped with the panic's remains; the connection goes back to where it was.
                if !connection.is_autocommit() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
            }
        }
    }
}

fn transact(connection: &Connection, access: Access, work: &mut Work) -> Result<(), SqlError> {
    let begin = match access {
        Access::Read => "BEGIN DEFERRED",
        Access::Write => "BEGIN IMMEDIATE",
    };
    connection.execute_batch(begin).map_err(told)?;
    let mut transaction = Open {
        connection,
        broken: None,
    };
    let done = work(&mut transaction);
    let broken = transaction.broken.take();
    let result = match (done, broken) {
        (_, Some(error)) => Err(error),
        (Ok(Finish::Commit), None) => connection.execute_batch("COMMIT").map_err(told),
        (other, None) => other.map(drop),
    };
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").map_err(told)?;
    }
    result
}

/// An open transaction. The first statement that failed is kept: the work may make something else of it, and yet nothing is
/// committed, as on other databases.
struct Open<'a> {
    connection: &'a Connection,
    broken: Option<SqlError>,
}

impl Open<'_> {
    fn note(&mut self, error: rusqlite::Error) -> SqlError {
        let error = told(error);
        self.broken.get_or_insert_with(|| error.clone());
        error
    }
}

fn told(error: rusqlite::Error) -> SqlError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => SqlError::Constraint(error.to_string().into()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SqlError::Busy(error.to_string().into()),
        Some(ErrorCode::DiskFull) => SqlError::Busy(format!("no room on the disk: {error}").into()),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            SqlError::Closed(format!("a write or read of its file failed ({error}); restart to reopen it").into())
        }
        _ => SqlError::Failed(error.to_string().into()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// `$1` means a parameter by its number everywhere but in SQLite, which writes `?1` and takes `$1` for a name.
fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let digit = after[1..].starts_with(|c: char| c.is_ascii_digit());
        out.push(if digit { '?' } else { '$' });
        rest = &after[1..];
    }
    out.push_str(rest);
    out
}

impl Transaction for Open<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(&numbered(sql))?;
            let columns = statement.column_count();
            let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                if found.len() == ROWS_MAX {
                    return Ok(None);
                }
                let value = |at: usize| {
                    Ok(match row.get_ref(at)? {
                        ValueRef::Null => Value::Null,
                        ValueRef::Integer(number) => Value::Int(number),
                        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                        // No column of ours is a float; a number of that type shows up as the text that it is not.
                        ValueRef::Real(real) => Value::Text(real.to_string()),
                    })
                };
                found.push(Row((0..columns).map(value).collect::<rusqlite::Result<_>>()?));
            }
            Ok(Some(found))
        };
        match run() {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                self.broken.get_or_insert(SqlError::TooManyRows);
                Err(SqlError::TooManyRows)
            }
            Err(error) => Err(self.note(error)),
        }
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, SqlError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(&numbered(sql))?;
            statement.execute(rusqlite::params_from_iter(parameters))
        };
        run().map(|rows| rows as u64).map_err(|error| self.note(error))
    }

    fn batch(&mut self, sql: &str) -> Result<(), SqlError> {
        self.connection.execute_batch(sql).map_err(|error| self.note(error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    struct Subject(tempfile::TempDir);

    impl contract::Subject for Subject {
        fn fresh(&mut self) -> contract::Opening<'_> {
            self.0 = tempfile::tempdir().unwrap();
            Box::pin(self.open())
        }

        fn reopen(&mut self, database: Arc<dyn Database>) -> contract::Opening<'_> {
            drop(database);
            Box::pin(self.open())
        }
    }

    impl Subject {
        async fn open(&mut self) -> Arc<dyn Database> {
            Arc::new(SqliteDatabase::open(self.0.path(), &SqliteOptions::default()).unwrap())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_keeps_the_contract() {
        contract::run(&mut Subject(tempfile::tempdir().unwrap())).await;
    }

    #[test]
    fn parameters_have_numbers() {
        let check = |sql: &str, expected: &str| assert_eq!(numbered(sql), expected);
        check("SELECT $1, $12 FROM a", "SELECT ?1, ?12 FROM a");
        check("SELECT '$a' || $2", "SELECT '$a' || ?2");
        check("", "");
        check("$", "$");
    }

    #[tokio::test]
    async fn a_commit_is_synced_before_it_is_answered_and_rules_are_on() {
        let temp = tempfile::tempdir().unwrap();
        let database: Arc<dyn Database> =
            Arc::new(SqliteDatabase::open(temp.path(), &SqliteOptions::default()).unwrap());
        for access in [Access::Read, Access::Write] {
            let pragmas = move |transaction: &mut dyn Transaction| {
                let mut value = |sql: &str| Ok::<_, SqlError>(transaction.query(sql, &[])?[0].0[0].clone());
                Ok::<_, SqlError>([
                    value("PRAGMA synchronous")?,
                    value("PRAGMA foreign_keys")?,
                    value("PRAGMA journal_mode")?,
                ])
            };
            let found = database.run(access, pragmas).await.unwrap();
            assert_eq!(found, [Value::Int(2), Value::Int(1), Value::Text("wal".into())]);
        }
    }

    #[test]
    fn a_directory_is_one_process_s_and_other_files_are_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default();
        let first = SqliteDatabase::open(temp.path(), &options).unwrap();
        let error = SqliteDatabase::open(temp.path(), &options).unwrap_err();
        assert!(matches!(error, SqlError::Store(StoreError::Locked { .. })), "{error}");
        first.close();
        SqliteDatabase::open(temp.path(), &options).unwrap().close();

        let other = tempfile::tempdir().unwrap();
        let path = other.path().join(options.file);
        std::fs::write(&path, "this is no database, it is a text that somebody wrote").unwrap();
        let error = SqliteDatabase::open(other.path(), &options).unwrap_err();
        assert!(matches!(error, SqlError::Store(StoreError::Foreign { .. })), "{error}");
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE a (b)")
            .unwrap();
        let error = SqliteDatabase::open(other.path(), &options).unwrap_err();
        assert!(error.to_string().contains("another program"), "{error}");
    }
}
