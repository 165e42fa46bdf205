-- The ledger's tables. Quantities, instants and amounts are 64-bit integers in base units, unix
-- seconds and minor currency units; SQL never computes with them. Sums and products are made by
-- the ledger crate, where nothing turns into a float.

-- One row for each thing that the ledger remembers, in the order in which it learned it.
-- kind, key, digest, prev and hash are what the hash chain covers; inserted_at is not part of it.
CREATE TABLE chain (
    seq         INTEGER NOT NULL PRIMARY KEY CHECK (seq > 0),
    kind        TEXT    NOT NULL CHECK (kind IN ('fact', 'document', 'entry')),
    key         TEXT    NOT NULL CHECK (key <> ''),
    digest      TEXT    NOT NULL,
    prev        TEXT    NOT NULL,
    hash        TEXT    NOT NULL,
    inserted_at INTEGER NOT NULL,
    UNIQUE (kind, key)
) STRICT;

-- Observations of the meters.
CREATE TABLE fact (
    seq         INTEGER NOT NULL PRIMARY KEY REFERENCES chain (seq),
    cluster     TEXT    NOT NULL,
    etcd        INTEGER NOT NULL,
    uid         TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    meter       TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    quantity    INTEGER NOT NULL,
    department  TEXT    NOT NULL,
    tenancy     TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    system      TEXT    NOT NULL,
    provider    TEXT    NOT NULL,
    contract    TEXT    NOT NULL,
    budget      TEXT    NOT NULL,
    request     INTEGER NOT NULL,
    object      TEXT    NOT NULL,
    estimated   INTEGER NOT NULL CHECK (estimated IN (0, 1)),
    lower_at    INTEGER,
    upper_at    INTEGER,
    evidence    TEXT    NOT NULL,
    CHECK ((lower_at IS NULL) = (upper_at IS NULL))
) STRICT;

CREATE INDEX fact_department_at ON fact (department, at);
CREATE INDEX fact_object ON fact (cluster, etcd, uid, meter);
CREATE INDEX fact_uid ON fact (uid);

-- Everything else that counts as evidence, as canonical JSON.
CREATE TABLE document (
    seq     INTEGER NOT NULL PRIMARY KEY REFERENCES chain (seq),
    kind    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    UNIQUE (kind, key)
) STRICT;

CREATE INDEX document_subject ON document (kind, subject);

-- The journal: entries and their postings, debit positive, credit negative.
CREATE TABLE entry (
    seq        INTEGER NOT NULL PRIMARY KEY REFERENCES chain (seq),
    id         TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    department TEXT    NOT NULL,
    period     TEXT
) STRICT;

CREATE TABLE posting (
    entry   INTEGER NOT NULL REFERENCES entry (seq),
    n       INTEGER NOT NULL CHECK (n > 0),
    account TEXT    NOT NULL,
    amount  INTEGER NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (entry, n)
) STRICT;

CREATE INDEX posting_account ON posting (account);

-- Where each watch continues after a restart. The only table whose rows change.
CREATE TABLE cursor (
    source           TEXT    NOT NULL PRIMARY KEY,
    resource_version TEXT    NOT NULL,
    complete_to      INTEGER,
    observed_at      INTEGER NOT NULL
) STRICT;

-- Facts about the database as a whole, each written once: 'rehearsal' is 'true' or 'false' from
-- the first billing period on.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
