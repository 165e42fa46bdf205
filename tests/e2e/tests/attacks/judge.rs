//! What came of an attack, and whether it is what should.

use futures::StreamExt as _;
use futures::stream;
use leasehold_e2e::person::Answer;
use serde_json::Value;

use crate::cells::{Cell, Expected};
use crate::crowd::{AT_ONCE, Crowd};
use crate::table::Stamp;

/// What came of an attack.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What is wrong with it.
    pub flaw: Option<String>,
    /// Whether it went through and should not.
    pub through: bool,
    /// The binding of the policy that stood in its way.
    pub binding: Option<String>,
}

/// An attack that was tried.
pub struct Tried<'a> {
    /// The attack.
    pub cell: &'a Cell,
    /// What came of it.
    pub verdict: Verdict,
}

/// Tries cells, several at once; they come back in no particular order.
pub async fn try_all<'a>(
    crowd: &Crowd,
    cells: impl IntoIterator<Item = &'a Cell>,
) -> Vec<Tried<'a>> {
    let trying = cells.into_iter().map(|cell| async move {
        let verdict = match crowd.attack(cell).await {
            Ok(answer) => judge(cell, &answer),
            Err(reason) => Verdict {
                flaw: Some(format!("{}\n    {reason}", cell.title())),
                through: false,
                binding: None,
            },
        };
        Tried { cell, verdict }
    });
    stream::iter(trying)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// What is wrong with the attacks that did not come out as they should.
pub fn flaws(tried: &[Tried<'_>]) -> Vec<String> {
    let flaws = tried.iter().filter_map(|one| one.verdict.flaw.clone());
    flaws.collect()
}

fn judge(cell: &Cell, answer: &Answer) -> Verdict {
    let refused = |codes: &[u16], words: &str| {
        codes.contains(&answer.code) && answer.message().contains(words)
    };
    let fits = match &cell.expected {
        Expected::NoRight { verb, resource } => {
            refused(&[403], &format!("cannot {verb} resource \"{resource}\""))
        }
        Expected::Rule(rule) => refused(&[403, 422], &format!("rule {rule}:")),
        Expected::Words(words) => refused(&[400, 401, 403, 422], words),
        Expected::Overwritten(stamp) => answer.is_ok() && is_overwritten(cell, stamp, answer),
        Expected::Warned(rule) => {
            let words = format!("rule {rule}:");
            let mut warnings = answer.warnings.iter();
            answer.is_ok() && warnings.any(|warning| warning.contains(&words))
        }
        Expected::Accepted => answer.is_ok(),
    };
    let flaw = (!fits).then(|| {
        let (title, expected) = (cell.title(), &cell.expected);
        let reason = cell.reason.as_deref().unwrap_or_default();
        let brief = answer.brief();
        format!("{title}\n    expected {expected:?} {reason}\n    came {brief}")
    });
    Verdict {
        flaw,
        through: answer.is_ok() && !fits,
        binding: binding(cell, answer),
    }
}

/// Whether a name stands where the field claimed another, or the right one where it claimed none.
fn is_overwritten(cell: &Cell, stamp: &Stamp, answer: &Answer) -> bool {
    let claimed = cell.change.pointer(&stamp.shows);
    let shown = answer.body.pointer(&stamp.shows);
    if let Some(expected) = &stamp.is {
        return shown.and_then(Value::as_str) == Some(expected.as_str());
    }
    shown.is_some_and(Value::is_string) && claimed.is_some() && shown != claimed
}

/// The binding that the API server names, or through which it stamps.
fn binding(cell: &Cell, answer: &Answer) -> Option<String> {
    if let Expected::Overwritten(stamp) = &cell.expected {
        return Some(stamp.binding.clone());
    }
    let said = answer.warnings.iter().map(String::as_str);
    let said = std::iter::once(answer.message()).chain(said);
    let mut named = said.filter_map(|text| text.split_once("with binding '"));
    let (_, after) = named.next()?;
    after.split('\'').next().map(str::to_owned)
}
