//! The REST API at its boundary: a listener, an HTTP client, a catalog in SQLite.

mod bench;
mod collecting;
mod deploying;
mod door;
mod fleet;
mod keeping;
mod poisoned;
mod table;
