//! Evidence files: the rows of the ledger, to be verified by anybody without a database.
//!
//! Format `leasehold-evidence/1` is UTF-8, one JSON object per line, each line ended by LF:
//!
//! 1. a header with format, period, `closeSeq`, `head` and `createdBy`;
//! 2. the rows from the first on, in order: `seq`, `kind`, `key`, `digest`, `prev`, `hash`, and in
//!    `body` the canonical JSON of the fact, document or entry **as a string**, so that the bytes
//!    that were digested are in the file;
//! 3. a trailer that begins with `{"rows":`, with the number of rows and the SHA-256 of all bytes
//!    before it.
//!
//! The trailer guards against files cut short or damaged on the way. Whether the rows are true is
//! not decided here but by [`leasehold_ledger::verify`], which computes the whole chain again.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read, Write};

use leasehold_ledger::canonical::{CanonicalError, Digest};
use leasehold_ledger::journal::ChainRow;
use leasehold_ledger::verify::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Name of the format that is written and read.
pub const FORMAT: &str = "leasehold-evidence/1";
/// Longest line in bytes, with its end: 64 MiB. A statement of a department with tens of thousands of
/// metered stretches is below it; a file without line ends is not read into memory as a whole.
pub const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// How the last line begins, and no other.
const TRAILER: &[u8] = b"{\"rows\":";

/// The first line.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceHeader {
    /// [`FORMAT`].
    pub format: String,
    /// Name of the period that the file was made for.
    pub period: String,
    /// Sequence of the row that closed the period.
    pub close_seq: u64,
    /// Hash of the last row that the writer had, as hex with its prefix.
    pub head: Digest,
    /// Version of the program that wrote the file.
    pub created_by: String,
}

impl EvidenceHeader {
    /// A header of the current format.
    pub fn new(period: &str, close_seq: u64, head: Digest, created_by: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            period: period.to_owned(),
            close_seq,
            head,
            created_by: created_by.to_owned(),
        }
    }
}

/// The last line.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct EvidenceTrailer {
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 of all bytes before this line.
    pub sha256: Digest,
}

/// A row as a line holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRow {
    seq: u64,
    kind: String,
    key: String,
    digest: Digest,
    prev: Digest,
    hash: Digest,
    body: String,
}

impl From<Row> for WireRow {
    fn from(row: Row) -> Self {
        let ChainRow {
            seq,
            kind,
            key,
            digest,
            prev,
            hash,
        } = row.chain;
        Self {
            seq,
            kind,
            key,
            digest,
            prev,
            hash,
            body: row.body,
        }
    }
}

impl From<WireRow> for Row {
    fn from(row: WireRow) -> Self {
        let WireRow {
            seq,
            kind,
            key,
            digest,
            prev,
            hash,
            body,
        } = row;
        Self {
            chain: ChainRow {
                seq,
                kind,
                key,
                digest,
                prev,
                hash,
            },
            body,
        }
    }
}

/// Why an evidence file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The file is of another format.
    #[error(
        "failed to read evidence of format {found:?}; this program reads {}",
        FORMAT
    )]
    Format {
        /// The format that its header names.
        found: String,
    },
    /// The first line is not a header.
    #[error("failed to read the header; is this an evidence file?")]
    Header(#[source] serde_json::Error),
    /// A line that is neither row nor trailer.
    #[error("failed to read line {line} of the evidence file")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A line beyond [`LONGEST_LINE`].
    #[error(
        "failed to accept line {line} of the evidence file: it is longer than {} bytes",
        LONGEST_LINE
    )]
    TooLong {
        /// Number of the line, from 1.
        line: u64,
    },
    /// The file ends before its trailer.
    #[error(
        "failed to read the evidence file to its end: it was cut short after {rows} rows; copy it again"
    )]
    Truncated {
        /// Whole rows that were read.
        rows: u64,
    },
    /// The trailer counts other rows than there are.
    #[error("failed to accept the evidence file: it has {found} rows, its trailer says {expected}")]
    Count {
        /// What the trailer says.
        expected: u64,
        /// Rows that were read.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error(
        "failed to accept the evidence file: its bytes have {found}, its trailer says {expected}; copy it again"
    )]
    Damaged {
        /// What the trailer says.
        expected: Digest,
        /// The digest of the bytes that were read.
        found: Digest,
    },
    /// Something follows the trailer.
    #[error("failed to accept the evidence file: something follows its trailer")]
    AfterTrailer,
    /// The ledger could not give a row.
    #[error("failed to get row {row} from the ledger")]
    Source {
        /// Place of the row in the file, from 1.
        row: u64,
        /// What the ledger says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A line has no JSON.
    #[error("failed to express line {line} as JSON")]
    Express {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A digest of this program's own that is not one.
    #[error("failed to form the digest of the evidence file")]
    Canonical(#[from] CanonicalError),
    /// The file could not be written or read.
    #[error("failed to write or read the evidence file")]
    Io(#[from] io::Error),
}

/// Writes an evidence file and returns its trailer.
///
/// `rows` are the rows of the ledger from the first on, as many as the file is to prove.
pub fn write_evidence<E>(
    rows: impl IntoIterator<Item = Result<Row, E>>,
    header: &EvidenceHeader,
    out: &mut dyn Write,
) -> Result<EvidenceTrailer, EvidenceError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut file = Hashed {
        out,
        hasher: Sha256::new(),
        lines: 0,
    };
    file.line(header)?;
    let mut count: u64 = 0;
    for row in rows {
        count = count.saturating_add(1);
        let row = row.map_err(|source| EvidenceError::Source {
            row: count,
            source: Box::new(source),
        })?;
        file.line(&WireRow::from(row))?;
    }
    let sha256 = finished(file.hasher.clone())?;
    let trailer = EvidenceTrailer {
        rows: count,
        sha256,
    };
    file.line(&trailer)?;
    file.out.flush()?;
    Ok(trailer)
}

/// A writer of lines that keeps the digest of what went by.
struct Hashed<'a> {
    out: &'a mut dyn Write,
    hasher: Sha256,
    lines: u64,
}

impl Hashed<'_> {
    fn line<T: Serialize>(&mut self, value: &T) -> Result<(), EvidenceError> {
        self.lines = self.lines.saturating_add(1);
        let line = self.lines;
        let mut bytes =
            serde_json::to_vec(value).map_err(|source| EvidenceError::Express { line, source })?;
        bytes.push(b'\n');
        if u64::try_from(bytes.len()).map_or(true, |length| length > LONGEST_LINE) {
            return Err(EvidenceError::TooLong { line });
        }
        self.hasher.update(&bytes);
        self.out.write_all(&bytes)?;
        Ok(())
    }
}

/// The digest of everything that a hasher was given.
fn finished(hasher: Sha256) -> Result<Digest, CanonicalError> {
    let mut text = "sha256:".to_owned();
    for byte in &hasher.finalize() {
        // writing to a String cannot fail
        let _infallible = write!(text, "{byte:02x}");
    }
    text.parse()
}

/// Begins to read an evidence file: its header is checked here, its rows come as they are asked for.
pub fn read_evidence<R: BufRead>(input: R) -> Result<EvidenceReader<R>, EvidenceError> {
    let mut lines = Lines {
        input,
        hasher: Sha256::new(),
        line: 0,
        buffer: Vec::new(),
    };
    if !lines.advance()? {
        return Err(EvidenceError::Truncated { rows: 0 });
    }
    // the format is looked at first: another format may have another header
    let any: AnyHeader = serde_json::from_slice(&lines.buffer).map_err(EvidenceError::Header)?;
    if any.format != FORMAT {
        return Err(EvidenceError::Format { found: any.format });
    }
    let header = serde_json::from_slice(&lines.buffer).map_err(EvidenceError::Header)?;
    lines.digest_line();
    Ok(EvidenceReader {
        header,
        lines,
        rows: 0,
        ended: false,
    })
}

/// What the header of every format has.
#[derive(Deserialize)]
struct AnyHeader {
    format: String,
}

/// The rows of an evidence file, one by one.
///
/// It ends with an error if the trailer is missing or does not match; a reader that stops earlier
/// must not take the rows for the whole file. After an error nothing more comes.
pub struct EvidenceReader<R> {
    header: EvidenceHeader,
    lines: Lines<R>,
    rows: u64,
    ended: bool,
}

impl<R: BufRead> EvidenceReader<R> {
    /// The first line of the file.
    pub const fn header(&self) -> &EvidenceHeader {
        &self.header
    }

    /// The next row, or none after a good trailer.
    fn read_row(&mut self) -> Result<Option<Row>, EvidenceError> {
        if !self.lines.advance()? {
            return Err(EvidenceError::Truncated { rows: self.rows });
        }
        let line = self.lines.line;
        let malformed = |source| EvidenceError::Line { line, source };
        if self.lines.buffer.starts_with(TRAILER) {
            let trailer = serde_json::from_slice(&self.lines.buffer).map_err(malformed)?;
            self.check_end(&trailer)?;
            return Ok(None);
        }
        let row: WireRow = serde_json::from_slice(&self.lines.buffer).map_err(malformed)?;
        self.lines.digest_line();
        self.rows = self.rows.saturating_add(1);
        Ok(Some(row.into()))
    }

    fn check_end(&mut self, trailer: &EvidenceTrailer) -> Result<(), EvidenceError> {
        let found = finished(self.lines.hasher.clone())?;
        if found != trailer.sha256 {
            return Err(EvidenceError::Damaged {
                expected: trailer.sha256.clone(),
                found,
            });
        }
        if trailer.rows != self.rows {
            return Err(EvidenceError::Count {
                expected: trailer.rows,
                found: self.rows,
            });
        }
        if self.lines.input.fill_buf()?.is_empty() {
            Ok(())
        } else {
            Err(EvidenceError::AfterTrailer)
        }
    }
}

impl<R: BufRead> Iterator for EvidenceReader<R> {
    type Item = Result<Row, EvidenceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read_row().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

/// Lines of bounded length, and the digest of those that were taken.
struct Lines<R> {
    input: R,
    hasher: Sha256,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads one whole line with its end; false where the file ends, in the middle of a line too.
    fn advance(&mut self) -> Result<bool, EvidenceError> {
        self.buffer.clear();
        self.line = self.line.saturating_add(1);
        let read = self
            .input
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut self.buffer)?;
        if self.buffer.ends_with(b"\n") {
            return Ok(true);
        }
        if u64::try_from(read).is_ok_and(|read| read < LONGEST_LINE) {
            return Ok(false);
        }
        Err(EvidenceError::TooLong { line: self.line })
    }

    fn digest_line(&mut self) {
        self.hasher.update(&self.buffer);
    }
}

#[cfg(test)]
mod tests;
