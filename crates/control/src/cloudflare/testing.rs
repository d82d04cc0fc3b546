//! A catalog for the tests of this module. The API itself is tested over a socket, in `tests/`.

use crate::catalog::Catalog;
use crate::secrets::Vault;
use atoll_stdx::ManualClock;
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use std::sync::Arc;

/// An empty catalog in a directory that goes with it.
pub(super) async fn catalog() -> (tempfile::TempDir, Catalog) {
    let temp = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(temp.path(), &SqliteOptions::default()).unwrap();
    let vault = Arc::new(Vault::parse(&Vault::generate().unwrap()).unwrap());
    let catalog = Catalog::open(Arc::new(database), vault, Arc::new(ManualClock::new(1_000)))
        .await
        .unwrap();
    (temp, catalog)
}
