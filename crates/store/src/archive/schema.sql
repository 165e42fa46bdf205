-- Facts of a closed period that were moved out of a ledger: each as the row of the hash chain that it was,
-- with the canonical JSON of which `digest` is the SHA-256. The columns beside the body are for looking
-- things up and prove nothing.

CREATE TABLE archived_row (
    seq         INTEGER NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    digest      TEXT    NOT NULL,
    prev        TEXT    NOT NULL,
    hash        TEXT    NOT NULL,
    inserted_at INTEGER NOT NULL,
    department  TEXT    NOT NULL,
    tenancy     TEXT    NOT NULL,
    uid         TEXT    NOT NULL,
    body        TEXT    NOT NULL
) STRICT;

CREATE INDEX archived_row_tenancy ON archived_row (department, tenancy);
CREATE INDEX archived_row_uid ON archived_row (uid);

-- What the file is; written last. `ledger` is the hash of the ledger's first row.
CREATE TABLE archive (
    form         INTEGER NOT NULL PRIMARY KEY,
    period       TEXT    NOT NULL,
    ended_before INTEGER NOT NULL,
    row_count    INTEGER NOT NULL,
    digest       TEXT    NOT NULL,
    ledger       TEXT    NOT NULL
) STRICT;
