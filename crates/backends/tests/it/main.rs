//! The implementations against real servers: PostgreSQL, if this machine has its programs, and an S3 server over HTTP.

mod postgres;
mod s3;
mod s3_server;
mod server;
