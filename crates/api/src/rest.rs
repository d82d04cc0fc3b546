//! The types of the REST API under `/v1`.
