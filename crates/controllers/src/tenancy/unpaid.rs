//! What nobody pays for does not run.
//!
//! A lease that has to be accepted is not billed before. If its department gives it back, or asks for its end before it
//! was billed at all, no pod starts any more: provisioning and the release see to that. What runs already is ended, as
//! under a suspension.

use leasehold_ledger::time::Second;
use leasehold_planner::acceptance;

use super::{observe::Life, provision::is_billed};
use crate::{Context, Error};

/// Why nothing may run although nobody ordered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpaid {
    /// Since when.
    pub since: Second,
    /// What people read.
    pub why: String,
}

/// Finds out whether what runs is paid for by nobody.
pub async fn find(state: &Life, context: &Context) -> Result<Option<Unpaid>, Error> {
    if let Some(rejected) = given_back(state) {
        return Ok(Some(rejected));
    }
    match released(state) {
        Some(released) if !is_billed(state, context).await? => Ok(Some(released)),
        Some(_) | None => Ok(None),
    }
}

fn given_back(state: &Life) -> Option<Unpaid> {
    let word = acceptance::rejection(&state.view)?;
    Some(Unpaid {
        since: word.at,
        why: format!("request {} was not accepted", word.request),
    })
}

/// The release of what never took effect, if one was asked for.
fn released(state: &Life) -> Option<Unpaid> {
    if !state.releasing() || !state.view.effective.is_empty() {
        return None;
    }
    let asked = state.view.release_asked()?;
    Some(Unpaid {
        since: asked.at,
        why: "the release was asked for before anything was billed".to_owned(),
    })
}
