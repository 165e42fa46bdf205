//! The papers of a release: what the department says of its backup, and its word that everything may be deleted.
//!
//! Where the policy requires the statement, a release without one has not begun: the lease goes on as it was, and the
//! manifest may still be completed or taken back. Where it requires the sign-off, nothing is deleted before it, however
//! long ago the grace period was over. See `docs/adr/0031`.

use std::fmt::Write as _;

use leasehold_api::{
    platform::{Demand, ReleasePolicy},
    tenancy::{Backup, Release, SignOff},
};
use leasehold_ledger::{
    document::{BackupWord, ReleaseDoc, ReleaseStage},
    time::Second,
};

use crate::{request::LedgerView, rules::Refusal};

/// The department is reminded of what it has not signed every seven days.
const WEEK: i64 = 7 * 86_400;
/// The life that a word is of which names none.
const FIRST: u32 = 1;

/// What a release that is asked for now lacks before it can begin. One that is recorded goes on as it was asked for,
/// whatever the policy says since; and where nothing was ever approved, there are no data.
pub fn lacks(
    view: &LedgerView,
    release: Option<&Release>,
    policy: &ReleasePolicy,
) -> Option<Refusal> {
    let is_said = release?.backup.is_some();
    match policy.backup_statement {
        Demand::Required if !is_said && !view.releasing() && view.approved().is_some() => {}
        Demand::Required | Demand::Optional => return None,
    }
    Some(Refusal::new(
        "T48",
        "to release without saying where the data were exported to",
        "a release that says so, because the cloud policy requires it",
        "set spec.release.backup to {taken: true, uri: …} or to {taken: false, because: …}, or leave spec.release out; \
         the lease goes on meanwhile",
    ))
}

/// The statement as the ledger keeps it.
pub fn word(said: &Backup) -> BackupWord {
    let Backup {
        taken,
        uri,
        sha256,
        at,
        because,
    } = said;
    BackupWord {
        taken: *taken,
        uri: uri.as_ref().map(|uri| uri.as_str().to_owned()),
        sha256: sha256.as_ref().map(|digest| digest.as_str().to_owned()),
        at: at.as_ref().map(|at| at.as_str().to_owned()),
        because: because.as_ref().map(|why| why.as_str().to_owned()),
    }
}

/// What whoever decides on the release reads of the statement.
pub fn line(said: &BackupWord) -> String {
    let BackupWord {
        taken,
        uri,
        sha256,
        at,
        because,
    } = said;
    let mut line = if *taken {
        let place = uri.as_deref().unwrap_or("a place that is not named");
        format!("Backup, as the department says: taken, at {place}")
    } else {
        "Backup, as the department says: none taken".to_owned()
    };
    for (what, said) in [("sha256", sha256), ("when", at), ("because", because)] {
        if let Some(said) = said {
            let _ = write!(line, ", {what} {said}");
        }
    }
    line
}

/// The number by which people call a release: 1, and one more for each of this life that was taken back.
pub const fn number(round: u32) -> u32 {
    round.saturating_add(1)
}

/// The sign-off of the release that is asked for, once it is recorded.
pub fn signed_off(view: &LedgerView) -> Option<&ReleaseDoc> {
    let round = view.release_asked()?.round;
    let mut stages = view.release.iter();
    stages.find(|doc| doc.stage == ReleaseStage::SignedOff && doc.round == round)
}

/// The sign-off that is to be recorded: what the manifest says, where it is of the release that is asked for. A first word
/// stays, whatever the manifest says later.
pub fn to_record(
    view: &LedgerView,
    said: Option<&SignOff>,
    by: &str,
    now: Second,
) -> Option<ReleaseDoc> {
    let asked = view.release_asked()?;
    if signed_off(view).is_some() || !is_meant(asked, said?) {
        return None;
    }
    Some(ReleaseDoc {
        stage: ReleaseStage::SignedOff,
        requested_by: by.to_owned(),
        at: now,
        kept: Vec::new(),
        backup: None,
        ..asked.clone()
    })
}

fn is_meant(asked: &ReleaseDoc, said: &SignOff) -> bool {
    said.release == number(asked.round) && life(said) == asked.incarnation
}

fn life(said: &SignOff) -> u32 {
    said.incarnation.unwrap_or(FIRST)
}

/// Why what the manifest signs is no release that is asked for. What it signed of an earlier one may stay in it, if it says
/// of which life.
pub fn misaddressed(view: &LedgerView, said: Option<&SignOff>) -> Option<Refusal> {
    let (asked, said) = (view.release_asked()?, said?);
    let release = number(asked.round);
    // one that names its life may be left over from it; one that names none was typed by somebody who knows of no other
    let is_past = said
        .incarnation
        .map_or(asked.incarnation == FIRST, |_| true)
        && (life(said), said.release) < (asked.incarnation, release);
    if signed_off(view).is_some() || is_meant(asked, said) || is_past {
        return None;
    }
    Some(Refusal::new(
        "T49",
        format!(
            "a sign-off of release {} of incarnation {}",
            said.release,
            life(said)
        ),
        format!(
            "one of release {release} of incarnation {}, which is asked for",
            asked.incarnation
        ),
        "correct spec.signOff",
    ))
}

/// How often the department has been reminded, and when it is the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// How many whole weeks nothing was signed.
    pub number: i64,
    /// When the next week is over.
    pub next: Second,
}

/// The reminder that is due now of what could be signed and deleted since then.
pub fn reminder(since: Second, now: Second) -> Reminder {
    let waited = now.since(since).max(0);
    let number = waited.checked_div(WEEK).unwrap_or(0);
    Reminder {
        number,
        next: since.plus(WEEK.saturating_mul(number.saturating_add(1))),
    }
}

/// What the department is told while its sign-off is waited for. It changes once a week.
pub fn sentence(asked: &ReleaseDoc, office: &str, since: &str, reminder: &Reminder) -> String {
    let ReleaseDoc {
        tenancy,
        incarnation,
        round,
        ..
    } = asked;
    let release = number(*round);
    let again = match reminder.number {
        0 => String::new(),
        weeks => format!(" (reminder {weeks})"),
    };
    format!(
        "the grace period is over and the release approved since {since}; nothing is deleted until the department signs it \
         off{again}: kubectl patch tcy {tenancy} -n {office} --type=merge -p \
         '{{\"spec\":{{\"signOff\":{{\"release\":{release},\"incarnation\":{incarnation}}}}}}}'"
    )
}

#[cfg(test)]
mod tests;
