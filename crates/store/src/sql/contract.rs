//! What every [`Database`] must do. Each implementation's tests run [`run`].

use super::{ATTEMPTS_MAX, Access, Database, Migration, ROWS_MAX, SqlError, Transaction, Value, migrate};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A future of a [`Subject`].
pub type Opening<'a> = Pin<Box<dyn Future<Output = Arc<dyn Database>> + Send + 'a>>;

/// What is under test: gives out databases.
pub trait Subject {
    /// A new, empty database; earlier ones are no longer used.
    fn fresh(&mut self) -> Opening<'_>;
    /// Closes the last one and opens it again. No other handle to it exists.
    fn reopen(&mut self, database: Arc<dyn Database>) -> Opening<'_>;
}

const STEPS: &[Migration] = &[
    Migration {
        number: 1,
        name: "accounts",
        sqlite: "CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0), note BLOB) STRICT",
        postgres: "CREATE TABLE account (id TEXT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0), note BYTEA)",
    },
    Migration {
        number: 2,
        name: "moves",
        sqlite: "CREATE TABLE move (number INTEGER PRIMARY KEY, account TEXT NOT NULL REFERENCES account (id)) STRICT;
                 CREATE INDEX move_account ON move (account)",
        postgres: "CREATE TABLE move (number BIGINT PRIMARY KEY, account TEXT NOT NULL REFERENCES account (id));
                   CREATE INDEX move_account ON move (account)",
    },
];

const CHANGED: &[Migration] = &[
    Migration {
        number: 1,
        name: "accounts",
        sqlite: "CREATE TABLE account (id TEXT)",
        postgres: "CREATE TABLE account (id TEXT)",
    },
    STEPS[1],
];

const BROKEN: &[Migration] = &[
    STEPS[0],
    STEPS[1],
    Migration {
        number: 3,
        name: "broken",
        sqlite: "CREATE TABLE half (a TEXT); CREATE TABLE account (id TEXT)",
        postgres: "CREATE TABLE half (a TEXT); CREATE TABLE account (id TEXT)",
    },
];

/// Runs every case. Needs a tokio runtime with threads.
///
/// # Panics
/// If a case fails.
pub async fn run(subject: &mut impl Subject) {
    schemas_grow_by_steps(subject).await;
    values_are_read_back(&*prepared(subject).await).await;
    nothing_of_a_refused_transaction_stays(&*prepared(subject).await).await;
    rules_are_held(&*prepared(subject).await).await;
    writers_do_not_lose_each_other_s_changes(prepared(subject).await).await;
    readers_see_one_moment(prepared(subject).await).await;
    readers_write_nothing(&*prepared(subject).await).await;
    a_dropped_answer_undoes_nothing(prepared(subject).await).await;
    large_results_are_refused(&*prepared(subject).await).await;
    a_panic_is_an_error_of_its_transaction(&*prepared(subject).await).await;
    what_was_committed_is_there_after_reopening(subject).await;
}

async fn prepared(subject: &mut impl Subject) -> Arc<dyn Database> {
    let database = subject.fresh().await;
    migrate(&*database, STEPS, 1).await.unwrap();
    database
}

fn put(transaction: &mut dyn Transaction, id: &str, balance: i64) -> Result<u64, SqlError> {
    transaction.execute(
        "INSERT INTO account (id, balance) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET balance = excluded.balance",
        &[id.into(), balance.into()],
    )
}

fn balance(transaction: &mut dyn Transaction, id: &str) -> Result<Option<i64>, SqlError> {
    let rows = transaction.query("SELECT balance FROM account WHERE id = $1", &[id.into()])?;
    rows.first().map(|row| row.int(0)).transpose()
}

async fn read_balance(database: &dyn Database, id: &'static str) -> Option<i64> {
    database
        .read(move |transaction| balance(transaction, id))
        .await
        .unwrap()
}

async fn schemas_grow_by_steps(subject: &mut impl Subject) {
    let database = subject.fresh().await;
    assert_eq!(migrate(&*database, &STEPS[..1], 1).await.unwrap(), 1);
    assert_eq!(migrate(&*database, STEPS, 2).await.unwrap(), 1);
    assert_eq!(migrate(&*database, STEPS, 3).await.unwrap(), 0);
    let error = migrate(&*database, &STEPS[..1], 4).await.unwrap_err().to_string();
    assert!(error.contains("newer release"), "{error}");
    let error = migrate(&*database, CHANGED, 4).await.unwrap_err().to_string();
    assert!(error.contains("is not step 1"), "{error}");
    // A step that fails takes nothing with it.
    migrate(&*database, BROKEN, 4).await.unwrap_err();
    assert_eq!(migrate(&*database, STEPS, 5).await.unwrap(), 0);
    let half = database.read(|transaction| transaction.query("SELECT * FROM half", &[]));
    half.await.unwrap_err();
    // Many at once: one takes the steps.
    let database = subject.fresh().await;
    let mut taken = 0;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { migrate(&*database, STEPS, 1).await.unwrap() })
        })
        .collect();
    for task in tasks {
        taken += task.await.unwrap();
    }
    assert_eq!(taken, 2);
}

async fn values_are_read_back(database: &dyn Database) {
    let cases = [
        Value::Null,
        Value::Int(0),
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Text(String::new()),
        Value::Text("a'b\"c$1?1é\u{1F600}".into()),
        Value::Blob(Vec::new()),
        Value::Blob((0..=255).collect()),
    ];
    for value in cases {
        let expected = value.clone();
        let found = database
            .write(move |transaction| {
                transaction.execute("DELETE FROM account", &[])?;
                let (id, balance, note) = match &value {
                    Value::Text(text) => (text.as_str(), 0, Value::Null),
                    Value::Int(number) => ("int", number.checked_abs().unwrap_or(i64::MAX), Value::Null),
                    other => ("other", 0, other.clone()),
                };
                transaction.execute(
                    "INSERT INTO account (id, balance, note) VALUES ($1, $2, $3)",
                    &[id.into(), balance.into(), note],
                )?;
                // A parameter may be used twice and out of order.
                let rows = transaction.query(
                    "SELECT id, balance, note FROM account WHERE balance = $2 AND id = $1 AND id = $1",
                    &[id.into(), balance.into()],
                )?;
                Ok::<_, SqlError>(rows)
            })
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{expected:?}");
        let row = &found[0];
        match &expected {
            Value::Text(text) => assert_eq!(row.text(0).unwrap(), text),
            Value::Int(number) => assert_eq!(row.int(1).unwrap(), number.checked_abs().unwrap_or(i64::MAX)),
            other => assert_eq!(&row.0[2], other),
        }
        assert!(row.blob(0).is_err() && row.text(1).is_err() && row.int(0).is_err());
    }
}

async fn nothing_of_a_refused_transaction_stays(database: &dyn Database) {
    #[derive(Debug)]
    enum Refused {
        Ours,
        Sql,
    }
    impl From<SqlError> for Refused {
        fn from(_: SqlError) -> Self {
            Self::Sql
        }
    }
    let result = database
        .write(|transaction| {
            put(transaction, "a", 1)?;
            assert_eq!(balance(transaction, "a")?, Some(1));
            Err::<(), _>(Refused::Ours)
        })
        .await;
    assert!(matches!(result, Err(Refused::Ours)));
    assert_eq!(read_balance(database, "a").await, None);
    let result = database
        .write(|transaction| {
            put(transaction, "a", 1)?;
            transaction.execute("SELECT nonsense FROM nowhere", &[])?;
            Ok::<_, Refused>(())
        })
        .await;
    assert!(matches!(result, Err(Refused::Sql)));
    assert_eq!(read_balance(database, "a").await, None);
}

async fn rules_are_held(database: &dyn Database) {
    let check = async |sql: &'static str| {
        let result = database
            .write(move |transaction| {
                put(transaction, "a", 1)?;
                transaction.execute(sql, &[])
            })
            .await;
        assert!(matches!(result, Err(SqlError::Constraint(_))), "{sql}: {result:?}");
    };
    check("INSERT INTO account (id, balance) VALUES ('a', 5)").await;
    check("INSERT INTO account (id, balance) VALUES ('b', -1)").await;
    check("INSERT INTO account (id) VALUES ('b')").await;
    check("INSERT INTO move (number, account) VALUES (1, 'nobody')").await;
    assert_eq!(read_balance(database, "a").await, None);
}

async fn writers_do_not_lose_each_other_s_changes(database: Arc<dyn Database>) {
    const WRITERS: i64 = 8;
    const EACH: i64 = 20;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let add = |transaction: &mut dyn Transaction| {
                        let now = balance(transaction, "a")?.unwrap_or(0);
                        put(transaction, "a", now + 1)
                    };
                    database.write(add).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(read_balance(&*database, "a").await, Some(WRITERS * EACH));
}

async fn readers_see_one_moment(database: Arc<dyn Database>) {
    let both = |transaction: &mut dyn Transaction, value| {
        put(transaction, "a", value)?;
        put(transaction, "b", 1_000 - value)
    };
    database.write(move |transaction| both(transaction, 0)).await.unwrap();
    let writer = {
        let database = database.clone();
        tokio::spawn(async move {
            for value in 0..50 {
                database
                    .write(move |transaction| both(transaction, value))
                    .await
                    .unwrap();
            }
        })
    };
    let mut last = 0;
    for _ in 0..100 {
        let sum = database
            .read(|transaction| {
                let a = balance(transaction, "a")?.unwrap_or(0);
                let b = balance(transaction, "b")?.unwrap_or(0);
                Ok::<_, SqlError>((a, a + b))
            })
            .await
            .unwrap();
        assert_eq!(sum.1, 1_000);
        assert!(sum.0 >= last);
        last = sum.0;
    }
    writer.await.unwrap();
    // What was acknowledged is seen by whoever reads next.
    for value in 100..120 {
        database
            .write(move |transaction| both(transaction, value))
            .await
            .unwrap();
        assert_eq!(read_balance(&*database, "a").await, Some(value));
    }
}

async fn readers_write_nothing(database: &dyn Database) {
    let result = database.run(Access::Read, |transaction| put(transaction, "a", 1)).await;
    assert!(result.is_err());
    assert_eq!(read_balance(database, "a").await, None);
}

async fn a_dropped_answer_undoes_nothing(database: Arc<dyn Database>) {
    let runs = Arc::new(AtomicU32::new(0));
    for number in 0..10 {
        let runs = runs.clone();
        let other = database.clone();
        let task = tokio::spawn(async move {
            let work = move |transaction: &mut dyn Transaction| {
                runs.fetch_add(1, Ordering::SeqCst);
                put(transaction, "a", number)?;
                put(transaction, "b", number)
            };
            other.write(work).await
        });
        tokio::task::yield_now().await;
        task.abort();
        let _ = task.await;
        let pair =
            database.read(|transaction| Ok::<_, SqlError>((balance(transaction, "a")?, balance(transaction, "b")?)));
        let (a, b) = pair.await.unwrap();
        assert_eq!(a, b);
    }
    assert!(runs.load(Ordering::SeqCst) <= 10 * ATTEMPTS_MAX);
    // It still works.
    database.write(|transaction| put(transaction, "c", 1)).await.unwrap();
}

async fn large_results_are_refused(database: &dyn Database) {
    let count = |rows: usize| {
        let sql = format!(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {rows}) SELECT CAST(x AS BIGINT) FROM n"
        );
        database.read(move |transaction| transaction.query(&sql, &[]).map(|rows| rows.len()))
    };
    assert_eq!(count(ROWS_MAX).await.unwrap(), ROWS_MAX);
    assert!(matches!(count(ROWS_MAX + 1).await, Err(SqlError::TooManyRows)));
}

async fn a_panic_is_an_error_of_its_transaction(database: &dyn Database) {
    for access in [Access::Write, Access::Read] {
        let result = database
            .run(access, move |transaction| {
                if access == Access::Write {
                    put(transaction, "a", 1)?;
                }
                if balance(transaction, "never")?.is_none() {
                    panic!("on purpose");
                }
                Ok::<_, SqlError>(())
            })
            .await;
        assert!(result.is_err());
        assert_eq!(read_balance(database, "a").await, None);
    }
    database.write(|transaction| put(transaction, "a", 2)).await.unwrap();
    assert_eq!(read_balance(database, "a").await, Some(2));
}

async fn what_was_committed_is_there_after_reopening(subject: &mut impl Subject) {
    let database = prepared(subject).await;
    database.write(|transaction| put(transaction, "a", 7)).await.unwrap();
    let database = subject.reopen(database).await;
    assert_eq!(migrate(&*database, STEPS, 9).await.unwrap(), 0);
    assert_eq!(read_balance(&*database, "a").await, Some(7));
}
