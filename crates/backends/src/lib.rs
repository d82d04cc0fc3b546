//! Implementations of Atoll's seams on existing engines: Postgres, S3-compatible storage.
