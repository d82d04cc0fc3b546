//! The catalog's tables, for both dialects from one text.

use atoll_store::sql::Migration;

macro_rules! first {
    (text $text:literal, int $int:literal, blob $blob:literal, strict $strict:literal, append_only $append_only:literal) => {
        concat!(
            "CREATE TABLE accounts (
                id ",
            $text,
            " PRIMARY KEY, name ",
            $text,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                suspended ",
            $int,
            " NOT NULL DEFAULT 0, master_key ",
            $text,
            " NOT NULL, data_key ",
            $blob,
            " NOT NULL
            )",
            $strict,
            ";
            CREATE TABLE bounds (
                account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
                key ",
            $text,
            " NOT NULL, value ",
            $int,
            " NOT NULL, PRIMARY KEY (account, key)
            )",
            $strict,
            ";
            CREATE TABLE workers (
                account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
                name ",
            $text,
            " NOT NULL, tag ",
            $text,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                next_version ",
            $int,
            " NOT NULL DEFAULT 1, next_deployment ",
            $int,
            " NOT NULL DEFAULT 1,
                next_secret ",
            $int,
            " NOT NULL DEFAULT 1,
                subdomain ",
            $int,
            " NOT NULL DEFAULT 1, previews ",
            $int,
            " NOT NULL DEFAULT 0,
                migration_tag ",
            $text,
            ", PRIMARY KEY (account, name)
            )",
            $strict,
            ";
            CREATE TABLE versions (
                account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL, id ",
            $text,
            " NOT NULL UNIQUE,
                number ",
            $int,
            " NOT NULL, artifact ",
            $blob,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                author ",
            $text,
            " NOT NULL, source ",
            $text,
            " NOT NULL, message ",
            $text,
            ", tag ",
            $text,
            ",
                code_bytes ",
            $int,
            " NOT NULL, startup_ms ",
            $int,
            ",
                PRIMARY KEY (account, worker, id), UNIQUE (account, worker, number),
                FOREIGN KEY (account, worker) REFERENCES workers (account, name) ON DELETE CASCADE
            )",
            $strict,
            ";
            CREATE TABLE secrets (
                account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL, name ",
            $text,
            " NOT NULL,
                revision ",
            $int,
            " NOT NULL, sealed ",
            $blob,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                PRIMARY KEY (account, worker, name, revision),
                FOREIGN KEY (account, worker) REFERENCES workers (account, name) ON DELETE CASCADE
            )",
            $strict,
            ";
            CREATE TABLE version_secrets (
                account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL, version ",
            $text,
            " NOT NULL,
                name ",
            $text,
            " NOT NULL, revision ",
            $int,
            " NOT NULL,
                PRIMARY KEY (account, worker, version, name),
                FOREIGN KEY (account, worker, version) REFERENCES versions (account, worker, id) ON DELETE CASCADE,
                FOREIGN KEY (account, worker, name, revision) REFERENCES secrets (account, worker, name, revision)
                    ON DELETE CASCADE
            )",
            $strict,
            ";
            CREATE INDEX version_secrets_secret ON version_secrets (account, worker, name, revision);
            CREATE TABLE deployments (
                account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL, number ",
            $int,
            " NOT NULL,
                id ",
            $text,
            " NOT NULL UNIQUE, kind ",
            $text,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                author ",
            $text,
            " NOT NULL, source ",
            $text,
            " NOT NULL, message ",
            $text,
            ",
                PRIMARY KEY (account, worker, number),
                FOREIGN KEY (account, worker) REFERENCES workers (account, name) ON DELETE CASCADE
            )",
            $strict,
            ";
            CREATE TABLE deployment_shares (
                account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL, number ",
            $int,
            " NOT NULL,
                place ",
            $int,
            " NOT NULL, version ",
            $text,
            " NOT NULL,
                weight ",
            $int,
            " NOT NULL CHECK (weight BETWEEN 1 AND 10000),
                PRIMARY KEY (account, worker, number, place),
                FOREIGN KEY (account, worker, number) REFERENCES deployments (account, worker, number)
                    ON DELETE CASCADE,
                FOREIGN KEY (account, worker, version) REFERENCES versions (account, worker, id)
            )",
            $strict,
            ";
            CREATE INDEX deployment_shares_version ON deployment_shares (account, worker, version);
            CREATE TABLE aliases (
                account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL, name ",
            $text,
            " NOT NULL,
                place ",
            $int,
            " NOT NULL, version ",
            $text,
            " NOT NULL,
                weight ",
            $int,
            " NOT NULL CHECK (weight BETWEEN 1 AND 10000),
                PRIMARY KEY (account, worker, name, place),
                FOREIGN KEY (account, worker, version) REFERENCES versions (account, worker, id)
            )",
            $strict,
            ";
            CREATE INDEX aliases_version ON aliases (account, worker, version);
            CREATE TABLE crons (
                account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL, place ",
            $int,
            " NOT NULL,
                expression ",
            $text,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                PRIMARY KEY (account, worker, place),
                FOREIGN KEY (account, worker) REFERENCES workers (account, name) ON DELETE CASCADE
            )",
            $strict,
            ";
            CREATE TABLE routes (
                pattern ",
            $text,
            " PRIMARY KEY, id ",
            $text,
            " NOT NULL UNIQUE,
                account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, worker ",
            $text,
            ",
                created_ms ",
            $int,
            " NOT NULL,
                FOREIGN KEY (account, worker) REFERENCES workers (account, name)
            )",
            $strict,
            ";
            CREATE INDEX routes_worker ON routes (account, worker);
            CREATE TABLE domains (
                name ",
            $text,
            " PRIMARY KEY, id ",
            $text,
            " NOT NULL UNIQUE, account ",
            $text,
            " NOT NULL,
                worker ",
            $text,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                FOREIGN KEY (account, worker) REFERENCES workers (account, name)
            )",
            $strict,
            ";
            CREATE INDEX domains_worker ON domains (account, worker);
            CREATE TABLE namespaces (
                account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, id ",
            $text,
            " NOT NULL,
                kind ",
            $text,
            " NOT NULL, title ",
            $text,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL,
                PRIMARY KEY (account, kind, id), UNIQUE (account, kind, title)
            )",
            $strict,
            ";
            CREATE TABLE roles (
                account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, name ",
            $text,
            " NOT NULL,
                permissions ",
            $text,
            " NOT NULL, created_ms ",
            $int,
            " NOT NULL, PRIMARY KEY (account, name)
            )",
            $strict,
            ";
            CREATE TABLE tokens (
                id ",
            $text,
            " PRIMARY KEY, account ",
            $text,
            " REFERENCES accounts (id) ON DELETE CASCADE,
                name ",
            $text,
            " NOT NULL, hash ",
            $blob,
            " NOT NULL, role ",
            $text,
            ", permissions ",
            $text,
            ",
                created_ms ",
            $int,
            " NOT NULL, expires_ms ",
            $int,
            ", used_ms ",
            $int,
            ", revoked_ms ",
            $int,
            ",
                FOREIGN KEY (account, role) REFERENCES roles (account, name),
                CHECK ((role IS NULL) <> (permissions IS NULL))
            )",
            $strict,
            ";
            CREATE INDEX tokens_account ON tokens (account);
            CREATE TABLE answers (
                account ",
            $text,
            " NOT NULL, key ",
            $text,
            " NOT NULL, request ",
            $blob,
            " NOT NULL,
                answer ",
            $text,
            " NOT NULL, expires_ms ",
            $int,
            " NOT NULL, PRIMARY KEY (account, key)
            )",
            $strict,
            ";
            CREATE INDEX answers_expires ON answers (expires_ms);
            CREATE TABLE edge_entries (
                key ",
            $blob,
            " PRIMARY KEY, bucket ",
            $int,
            " NOT NULL, digest ",
            $blob,
            " NOT NULL,
                entry ",
            $blob,
            " NOT NULL
            )",
            $strict,
            ";
            CREATE INDEX edge_entries_bucket ON edge_entries (bucket);
            CREATE TABLE revisions (
                revision ",
            $int,
            " PRIMARY KEY, created_ms ",
            $int,
            " NOT NULL, actor ",
            $text,
            " NOT NULL,
                action ",
            $text,
            " NOT NULL, delta ",
            $blob,
            " NOT NULL
            )",
            $strict,
            ";
            CREATE TABLE head (
                one ",
            $int,
            " PRIMARY KEY CHECK (one = 1), revision ",
            $int,
            " NOT NULL, root ",
            $blob,
            " NOT NULL,
                buckets ",
            $blob,
            " NOT NULL, audit_number ",
            $int,
            " NOT NULL, audit_hash ",
            $blob,
            " NOT NULL
            )",
            $strict,
            ";
            CREATE TABLE audit (
                number ",
            $int,
            " PRIMARY KEY, time_ms ",
            $int,
            " NOT NULL, actor ",
            $text,
            " NOT NULL,
                account ",
            $text,
            " NOT NULL, action ",
            $text,
            " NOT NULL, target ",
            $text,
            " NOT NULL,
                detail ",
            $text,
            " NOT NULL, hash ",
            $blob,
            " NOT NULL
            )",
            $strict,
            ";
            CREATE INDEX audit_account ON audit (account, number);
            ",
            $append_only
        )
    };
}

/// All steps. A released one never changes.
pub(super) const STEPS: &[Migration] = &[
    FIRST,
    LEADER,
    SUBDOMAIN,
    IMMEDIATE,
    HOSTS,
    ORPHANS,
    STAGING,
    super::pops::schema::POPS,
    super::cloudflare::TABLES,
    PASTS,
    STANDING,
];

const FIRST: Migration = Migration {
    number: 1,
    name: "catalog",
    sqlite: first!(
        text "TEXT",
        int "INTEGER",
        blob "BLOB",
        strict " STRICT",
        append_only "
            CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
                BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
            CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
                BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;"
    ),
    postgres: first!(
        // Text in the order of its bytes, whatever language the server was set up for.
        text "TEXT COLLATE \"C\"",
        int "BIGINT",
        blob "BYTEA",
        strict "",
        append_only "
            CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
            CREATE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE ON audit
                FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
            CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
                FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();"
    ),
};

/// Where an account's workers are reached.
const SUBDOMAIN: Migration = Migration {
    number: 3,
    name: "subdomain",
    sqlite: "ALTER TABLE accounts ADD COLUMN subdomain TEXT;
        CREATE UNIQUE INDEX accounts_subdomain ON accounts (subdomain)",
    postgres: "ALTER TABLE accounts ADD COLUMN subdomain TEXT COLLATE \"C\";
        CREATE UNIQUE INDEX accounts_subdomain ON accounts (subdomain)",
};

/// Who may write: see [`super::leader`].
const LEADER: Migration = Migration {
    number: 2,
    name: "leader",
    sqlite: "ALTER TABLE head ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0; ALTER TABLE head ADD COLUMN leader TEXT",
    postgres: "ALTER TABLE head ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0; ALTER TABLE head ADD COLUMN leader TEXT",
};

/// Deployments without a canary.
const IMMEDIATE: Migration = Migration {
    number: 4,
    name: "immediate",
    sqlite: "ALTER TABLE deployments ADD COLUMN immediate INTEGER NOT NULL DEFAULT 0",
    postgres: "ALTER TABLE deployments ADD COLUMN immediate BIGINT NOT NULL DEFAULT 0",
};

/// Whose a host is, with all names below it: see `hosts.rs`.
const HOSTS: Migration = Migration {
    number: 5,
    name: "hosts",
    sqlite: "CREATE TABLE hosts (
            name TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, guests TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX hosts_account ON hosts (account)",
    postgres: "CREATE TABLE hosts (
            name TEXT COLLATE \"C\" PRIMARY KEY, account TEXT COLLATE \"C\" NOT NULL REFERENCES accounts (id)
            ON DELETE CASCADE, guests TEXT NOT NULL, created_ms BIGINT NOT NULL
        );
        CREATE INDEX hosts_account ON hosts (account)",
};

/// Blobs that no version needs: see `orphans.rs`.
const ORPHANS: Migration = Migration {
    number: 6,
    name: "orphans",
    sqlite: "CREATE TABLE orphans (
            hash BLOB PRIMARY KEY, since_ms INTEGER NOT NULL, condemned INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX orphans_since ON orphans (since_ms)",
    postgres: "CREATE TABLE orphans (
            hash BYTEA PRIMARY KEY, since_ms BIGINT NOT NULL, condemned BIGINT NOT NULL DEFAULT 0
        );
        CREATE INDEX orphans_since ON orphans (since_ms)",
};

macro_rules! staging {
    (text $text:literal, int $int:literal, blob $blob:literal, strict $strict:literal) => {
        concat!(
            "CREATE TABLE rollouts (
                deployment ",
            $text,
            " PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
                state ",
            $text,
            " NOT NULL, unproven ",
            $int,
            " NOT NULL DEFAULT 0, canary ",
            $text,
            ",
                requests ",
            $int,
            " NOT NULL DEFAULT 0, errors ",
            $int,
            " NOT NULL DEFAULT 0, reason ",
            $text,
            ",
                since_ms ",
            $int,
            " NOT NULL, applied ",
            $int,
            " NOT NULL DEFAULT 0, total ",
            $int,
            " NOT NULL DEFAULT 0
            )",
            $strict,
            ";
            CREATE TABLE staging (
                key ",
            $blob,
            " PRIMARY KEY, approved ",
            $blob,
            ", previous ",
            $blob,
            ", judged ",
            $blob,
            ",
                phase ",
            $text,
            " NOT NULL, since_ms ",
            $int,
            " NOT NULL, losses ",
            $int,
            " NOT NULL DEFAULT 0, reason ",
            $text,
            "
            )",
            $strict,
            ";
            CREATE TABLE publication (
                one ",
            $int,
            " PRIMARY KEY CHECK (one = 1), number ",
            $int,
            " NOT NULL, canary ",
            $text,
            "
            )",
            $strict,
            ";
            INSERT INTO publication (one, number) VALUES (1, 0)"
        )
    };
}

/// What PoPs are to have, as far as it is not what was last asked for: see [`super::staging`].
const STAGING: Migration = Migration {
    number: 7,
    name: "staging",
    sqlite: staging!(text "TEXT", int "INTEGER", blob "BLOB", strict " STRICT"),
    postgres: staging!(text "TEXT COLLATE \"C\"", int "BIGINT", blob "BYTEA", strict ""),
};

/// How deployments were doing, for a control plane that begins. Rows go by their age: they name no row of another table.
const PASTS: Migration = Migration {
    number: 10,
    name: "pasts",
    sqlite: "CREATE TABLE pasts (
            deployment TEXT PRIMARY KEY, account TEXT NOT NULL, worker TEXT NOT NULL, everywhere TEXT NOT NULL,
            canary TEXT NOT NULL, at_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX pasts_at ON pasts (at_ms)",
    postgres: "CREATE TABLE pasts (
            deployment TEXT COLLATE \"C\" PRIMARY KEY, account TEXT COLLATE \"C\" NOT NULL,
            worker TEXT COLLATE \"C\" NOT NULL, everywhere TEXT NOT NULL, canary TEXT NOT NULL, at_ms BIGINT NOT NULL
        );
        CREATE INDEX pasts_at ON pasts (at_ms)",
};

/// How much PoPs were told to have, for a control plane that begins: see [`super::staging::KeptStanding`].
const STANDING: Migration = Migration {
    number: 11,
    name: "standing",
    sqlite: "CREATE TABLE standing (one INTEGER PRIMARY KEY CHECK (one = 1), kept TEXT NOT NULL) STRICT",
    postgres: "CREATE TABLE standing (one BIGINT PRIMARY KEY CHECK (one = 1), kept TEXT NOT NULL)",
};
