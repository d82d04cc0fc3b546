//! Implementations of Atoll's seams on engines that others run: PostgreSQL for the catalog, S3-compatible services for
//! artifacts and blobs.
//!
//! Each passes the contract suite of its seam against a real server. Only the binary imports this crate and chooses.

pub mod postgres;
pub mod s3;

pub use postgres::leader::{Candidate, Term};
pub use postgres::{PostgresDatabase, PostgresOptions};
pub use s3::{S3Options, S3Store};
