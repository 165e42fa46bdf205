-- The ledger's tables, as in SQLite: the same columns with the same meaning, so that the same rows
-- have the same hashes. Texts are compared byte by byte, because documents are listed by ranges of
-- their subjects. Quantities, instants and amounts are 64-bit integers in base units, unix seconds
-- and minor currency units; SQL never computes with them.
--
-- No table references another: the triggers of the next step look at more than a reference would,
-- once for a statement and not once for a row.

-- One row for each thing that the ledger remembers, in the order in which it learned it.
-- kind, key, digest, prev and hash are what the hash chain covers; inserted_at is not part of it.
CREATE TABLE chain (
    seq         BIGINT NOT NULL PRIMARY KEY CHECK (seq > 0),
    kind        TEXT COLLATE "C" NOT NULL CHECK (kind IN ('fact', 'document', 'entry')),
    key         TEXT COLLATE "C" NOT NULL CHECK (key <> ''),
    digest      TEXT COLLATE "C" NOT NULL,
    prev        TEXT COLLATE "C" NOT NULL,
    hash        TEXT COLLATE "C" NOT NULL,
    inserted_at BIGINT NOT NULL,
    UNIQUE (kind, key)
);

-- Observations of the meters.
CREATE TABLE fact (
    seq         BIGINT NOT NULL PRIMARY KEY,
    cluster     TEXT COLLATE "C" NOT NULL,
    etcd        BIGINT NOT NULL,
    uid         TEXT COLLATE "C" NOT NULL,
    version     TEXT COLLATE "C" NOT NULL,
    meter       TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    at          BIGINT NOT NULL,
    quantity    BIGINT NOT NULL,
    department  TEXT COLLATE "C" NOT NULL,
    tenancy     TEXT COLLATE "C" NOT NULL,
    incarnation BIGINT NOT NULL,
    system      TEXT COLLATE "C" NOT NULL,
    provider    TEXT COLLATE "C" NOT NULL,
    contract    TEXT COLLATE "C" NOT NULL,
    budget      TEXT COLLATE "C" NOT NULL,
    request     BIGINT NOT NULL,
    object      TEXT COLLATE "C" NOT NULL,
    estimated   BIGINT NOT NULL CHECK (estimated IN (0, 1)),
    lower_at    BIGINT,
    upper_at    BIGINT,
    evidence    TEXT COLLATE "C" NOT NULL,
    CHECK ((lower_at IS NULL) = (upper_at IS NULL))
);

CREATE INDEX fact_department_at ON fact (department, at);
CREATE INDEX fact_object ON fact (cluster, etcd, uid, meter);
CREATE INDEX fact_uid ON fact (uid);

-- Everything else that counts as evidence, as canonical JSON. It is text and not a JSON type, which
-- would not keep its bytes.
CREATE TABLE document (
    seq     BIGINT NOT NULL PRIMARY KEY,
    kind    TEXT COLLATE "C" NOT NULL,
    key     TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    body    TEXT COLLATE "C" NOT NULL,
    UNIQUE (kind, key)
);

CREATE INDEX document_subject ON document (kind, subject, seq);

-- The journal: entries and their postings, debit positive, credit negative.
CREATE TABLE entry (
    seq        BIGINT NOT NULL PRIMARY KEY,
    id         TEXT COLLATE "C" NOT NULL UNIQUE,
    kind       TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    department TEXT COLLATE "C" NOT NULL,
    period     TEXT COLLATE "C"
);

CREATE TABLE posting (
    entry   BIGINT NOT NULL,
    n       BIGINT NOT NULL CHECK (n > 0),
    account TEXT COLLATE "C" NOT NULL,
    amount  BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (entry, n)
);

CREATE INDEX posting_account ON posting (account);

-- Where each watch continues after a restart. Its rows change.
CREATE TABLE cursor (
    source           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    resource_version TEXT COLLATE "C" NOT NULL,
    complete_to      BIGINT,
    observed_at      BIGINT NOT NULL
);

-- Facts about the database as a whole, each written once: 'rehearsal' is 'true' or 'false' from
-- the first billing period on.
CREATE TABLE meta (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);
