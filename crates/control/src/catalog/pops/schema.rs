//! The tables of PoPs: who joined, with which tokens, keys of the platform, and the log of KV edits.

use atoll_store::sql::Migration;

macro_rules! tables {
    ($text:literal, $int:literal, $blob:literal, $strict:literal) => {
        concat!(
            "CREATE TABLE join_tokens (
                id ",
            $text,
            " PRIMARY KEY, hash ",
            $blob,
            " NOT NULL, region ",
            $text,
            ", name ",
            $text,
            ",
                created_ms ",
            $int,
            " NOT NULL, expires_ms ",
            $int,
            " NOT NULL, used_ms ",
            $int,
            ", used_by ",
            $text,
            "
            )",
            $strict,
            ";
            CREATE TABLE pops (
                name ",
            $text,
            " PRIMARY KEY, region ",
            $text,
            " NOT NULL, generation ",
            $int,
            " NOT NULL,
                revoked_generation ",
            $int,
            " NOT NULL DEFAULT 0, joined_ms ",
            $int,
            " NOT NULL,
                release ",
            $text,
            " NOT NULL
            )",
            $strict,
            ";
            CREATE TABLE platform_keys (
                name ",
            $text,
            " PRIMARY KEY, master ",
            $text,
            " NOT NULL, sealed ",
            $blob,
            " NOT NULL
            )",
            $strict,
            ";
            CREATE TABLE kv_head (
                one ",
            $int,
            " PRIMARY KEY CHECK (one = 1), position ",
            $int,
            " NOT NULL
            )",
            $strict,
            ";
            INSERT INTO kv_head (one, position) VALUES (1, 0);
            CREATE TABLE kv_log (
                position ",
            $int,
            " PRIMARY KEY, account ",
            $text,
            " NOT NULL, namespace ",
            $text,
            " NOT NULL,
                key ",
            $text,
            " NOT NULL, kind ",
            $int,
            " NOT NULL CHECK (kind BETWEEN 0 AND 2), value ",
            $blob,
            ",
                value_blob ",
            $blob,
            ", metadata ",
            $text,
            ", expiration ",
            $int,
            ",
                UNIQUE (account, namespace, key)
            )",
            $strict
        )
    };
}

/// See the module.
#[rustfmt::skip]
pub(in crate::catalog) const POPS: Migration = Migration {
    number: 8,
    name: "pops",
    sqlite: tables!("TEXT", "INTEGER", "BLOB", " STRICT"),
    postgres: tables!("TEXT COLLATE \"C\"", "BIGINT", "BYTEA", ""),
};
