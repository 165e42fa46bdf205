//! `cargo xtask tidy`: invariants of the workspace that the compiler does not hold.
//!
//! They are listed with their reasons in `docs/architecture.md`. Each check returns findings; the
//! task fails when there are any.

mod dependencies;
mod layout;
mod names;
mod rights;
mod source;

use std::fmt;

use anyhow::{Result, ensure};

use crate::out::Out;
use crate::workspace::{members, root};

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a file with a line, a package, a folder.
    pub place: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Runs every check and prints what it finds.
pub fn run(out: &mut Out) -> Result<()> {
    let root = root()?;
    let members = members()?;
    let mut findings = dependencies::direction(&members);
    findings.extend(dependencies::purity()?);
    findings.extend(source::check(&root)?);
    findings.extend(layout::lints(&members)?);
    findings.extend(layout::versions(&root, &members)?);
    findings.extend(layout::decisions(&root)?);
    findings.extend(rights::reasons(&root)?);
    findings.extend(names::known(&root)?);
    for finding in &findings {
        out.line(finding)?;
    }
    ensure!(
        findings.is_empty(),
        "the workspace breaks its invariants in {} places",
        findings.len()
    );
    out.line(format_args!(
        "{} packages keep every invariant",
        members.len()
    ))?;
    Ok(())
}
