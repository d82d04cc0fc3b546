//! PostgreSQL: the contracts of databases and of the catalog, conflicts, a server that dies, a leader that is cut off.

use crate::server::Server;
use atoll_backends::postgres::leader::ASK_EVERY;
use atoll_backends::{Candidate, PostgresDatabase, PostgresOptions};
use atoll_control::secrets::Vault;
use atoll_control::{Caller, Catalog, CatalogError};
use atoll_model::TenantId;
use atoll_stdx::SystemClock;
use atoll_store::sql::{Database, Migration, SqlError, Transaction, contract, migrate};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

async fn open(url: String) -> Arc<dyn Database> {
    let options = PostgresOptions {
        url,
        connections: 6,
        authorities: None,
    };
    Arc::new(PostgresDatabase::open(&options).await.unwrap())
}

struct Subject {
    server: Server,
    database: String,
}

impl contract::Subject for Subject {
    fn fresh(&mut self) -> contract::Opening<'_> {
        Box::pin(async {
            self.database = self.server.create_database().await;
            open(self.server.url(&self.database)).await
        })
    }

    fn reopen(&mut self, database: Arc<dyn Database>) -> contract::Opening<'_> {
        drop(database);
        Box::pin(open(self.server.url(&self.database)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_of_databases() {
    let Some(server) = Server::start().await else { return };
    let database = String::new();
    contract::run(&mut Subject { server, database }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_of_the_catalog() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    atoll_control::catalog::contract::run(async || {
        let database = server.create_database().await;
        open(server.url(&database)).await
    })
    .await;
}

const STEPS: &[Migration] = &[Migration {
    number: 1,
    name: "counter",
    sqlite: "",
    postgres: "CREATE TABLE counter (one BIGINT PRIMARY KEY, value BIGINT NOT NULL); INSERT INTO counter VALUES (1, 0)",
}];

fn increment(transaction: &mut dyn Transaction) -> Result<u64, SqlError> {
    let rows = transaction.query("SELECT value FROM counter WHERE one = 1", &[])?;
    let value = rows[0].int(0)?;
    transaction.execute("UPDATE counter SET value = $1 WHERE one = 1", &[(value + 1).into()])
}

async fn value(database: &dyn Database) -> i64 {
    let rows = database.read(|transaction| transaction.query("SELECT value FROM counter", &[]));
    rows.await.unwrap()[0].int(0).unwrap()
}

/// A transaction that does not take turns with ours gets in the way: ours is run again, and gives up in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_conflicts_is_run_again() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let name = server.create_database().await;
    let database = open(server.url(&name)).await;
    migrate(&*database, STEPS, 1).await.unwrap();
    let other = Arc::new(server.connect(&name).await);
    for (conflicts, succeeds) in [(0, true), (1, true), (3, true), (u32::MAX, false)] {
        let before = value(&*database).await;
        let runs = Arc::new(AtomicU32::new(0));
        let (other, counted) = (other.clone(), runs.clone());
        let handle = tokio::runtime::Handle::current();
        let result = database
            .write(move |transaction| {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                // Our snapshot first, then the other's change.
                transaction.query("SELECT value FROM counter", &[])?;
                if run < conflicts {
                    let change = other.batch_execute("UPDATE counter SET value = value + 100");
                    handle.block_on(change).unwrap();
                }
                increment(transaction)
            })
            .await;
        let runs = runs.load(Ordering::SeqCst);
        let gained = value(&*database).await - before;
        if succeeds {
            result.unwrap();
            assert_eq!((runs, gained), (conflicts + 1, i64::from(conflicts) * 100 + 1));
        } else {
            assert!(matches!(result, Err(SqlError::Contended { attempts: 8 })), "{result:?}");
            assert_eq!((runs, gained), (8, 800));
        }
    }
}

/// An error that the work swallows still keeps its transaction from being committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swallowed_error_commits_nothing() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let name = server.create_database().await;
    let database = open(server.url(&name)).await;
    migrate(&*database, STEPS, 1).await.unwrap();
    let result = database
        .write(|transaction| {
            increment(transaction)?;
            let _ = transaction.execute("INSERT INTO counter VALUES (1, 5)", &[]);
            Ok::<_, SqlError>(())
        })
        .await;
    assert!(matches!(result, Err(SqlError::Constraint(_))), "{result:?}");
    assert_eq!(value(&*database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_loses_nothing_acknowledged() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let name = server.create_database().await;
    let database = open(server.url(&name)).await;
    migrate(&*database, STEPS, 1).await.unwrap();
    let (mut acknowledged, mut unknown) = (0, 0);
    for round in 0..3 {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let database = database.clone();
                tokio::spawn(async move {
                    let mut done = 0;
                    loop {
                        match database.write(increment).await {
                            Ok(_) => done += 1,
                            Err(SqlError::Unknown(_)) => return (done, 1),
                            Err(SqlError::Unavailable(_)) => return (done, 0),
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        // Until some were acknowledged, whatever that takes on this machine.
        while value(&*database).await < acknowledged + 10 {
            tokio::task::yield_now().await;
        }
        server.kill();
        for writer in writers {
            let (done, maybe) = writer.await.unwrap();
            acknowledged += done;
            unknown += maybe;
        }
        let error = database.write(increment).await.unwrap_err();
        assert!(matches!(error, SqlError::Unavailable(_)), "round {round}: {error}");
        server.run().await;
        // The same handle works again.
        let found = value(&*database).await;
        assert!(
            (acknowledged..=acknowledged + unknown).contains(&found),
            "{found} found, {acknowledged} acknowledged, {unknown} unknown"
        );
        acknowledged = found;
        unknown = 0;
    }
}

/// Two control planes: the second takes over when the first one's connection ends, and the first, which goes on as if nothing
/// had happened, changes nothing more. What was acknowledged stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_control_plane_leads_at_a_time() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let name = server.create_database().await;
    let options = PostgresOptions {
        url: server.url(&name),
        connections: 2,
        authorities: None,
    };
    let vault = Arc::new(Vault::parse(&Vault::generate().unwrap()).unwrap());
    let catalog = async || {
        let database = PostgresDatabase::open(&options).await.unwrap();
        Catalog::open(Arc::new(database), vault.clone(), Arc::new(SystemClock))
            .await
            .unwrap()
    };
    let candidate = Candidate::new(options.clone());
    let mut term = candidate.wait().await.unwrap();
    let (first, _) = catalog()
        .await
        .lead(&Caller::new("system:a"), "a".into())
        .await
        .unwrap();
    let mut waiting = tokio::spawn({
        let candidate = candidate.clone();
        async move { candidate.wait().await.unwrap() }
    });
    // While the first one is there, the second waits: it asks several times in this while.
    let early = tokio::time::timeout(ASK_EVERY * 3, &mut waiting).await;
    assert!(early.is_err(), "two lead at once");
    let operator = Caller::new("operator");
    first
        .create_account(&operator, TenantId::new("one"), String::new())
        .await
        .unwrap();

    let admin = server.connect(&name).await;
    let held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    assert_eq!(admin.query(held, &[]).await.unwrap().len(), 1);
    let cut = std::time::Instant::now();
    term.lost().await;
    let _second_term = waiting.await.unwrap();
    let (second, epoch) = catalog()
        .await
        .lead(&Caller::new("system:b"), "b".into())
        .await
        .unwrap();
    println!("taken over in {:?}", cut.elapsed());
    let late = first
        .create_account(&operator, TenantId::new("late"), String::new())
        .await;
    assert!(matches!(late, Err(CatalogError::Deposed { .. })), "{late:?}");
    second
        .create_account(&operator, TenantId::new("two"), String::new())
        .await
        .unwrap();
    let ids: Vec<String> = second
        .accounts(String::new(), 10)
        .await
        .unwrap()
        .iter()
        .map(|account| account.id.to_string())
        .collect();
    assert_eq!(ids, ["one", "two"]);
    assert_eq!(second.leader().await.unwrap(), ("b".to_owned(), epoch));
    second.verify_audit(Vec::new()).await.unwrap();
}
