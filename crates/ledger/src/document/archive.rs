//! Facts of a closed period that were moved into an archive.

use serde::{Deserialize, Serialize};

use super::Document;
use crate::canonical::Digest;
use crate::time::Second;

/// What lies in the archive of a closed period, and what stays of it in the chain.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchiveDoc {
    /// Name of the period.
    pub period: String,
    /// The period's end: all use that the archive tells of ended before it.
    pub ended_before: Second,
    /// Number of rows in the archive.
    pub rows: u64,
    /// Digest of their hashes, as [`crate::archive::Content`] gives it.
    pub digest: Digest,
    /// Name of the file, without folders.
    pub file: String,
    /// Digest of all holes of the chain after this archive, as [`crate::archive::holes_digest`] gives it.
    pub holes: Digest,
    /// When it was archived.
    pub at: Second,
}

impl Document for ArchiveDoc {
    const KIND: &'static str = "archive";

    /// A period has one archive. What is left of it, because it was still needed, lies in that of a later period.
    fn key(&self) -> String {
        self.period.clone()
    }

    fn subject(&self) -> String {
        self.period.clone()
    }
}
