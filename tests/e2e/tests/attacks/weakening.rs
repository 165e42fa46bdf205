//! The matrix against itself: a piece of the policies is taken away, and the matrix must notice.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_e2e::person::said;
use leasehold_testkit::{LONG, eventually};

use crate::cells::Cell;
use crate::crowd::Crowd;
use crate::judge::{Tried, flaws, try_all};
use crate::policies::{Binding, Piece, Validation, bindings, validations};

/// Validations that bite only while a stamp is away: one of a pair, of which the other writes what
/// this one demands.
const PAIRED: (&str, &str, &str) = (
    "leasehold-a05-approvals",
    "rule N06:",
    "leasehold-n06-stamp-decided-by",
);

/// Bindings that write a mark for another to refuse, which sees nothing without it.
const MARKS: [(&str, &str); 1] = [(
    "leasehold-n07-mark-chosen-address",
    "leasehold-n07-services",
)];

/// What was weakened and what was not noticed.
#[derive(Default)]
pub struct Weakened {
    /// Bindings that were taken away, each alone.
    pub bindings: usize,
    /// Validations that were taken away.
    pub validations: usize,
    /// What went wrong.
    pub flaws: Vec<String>,
}

/// One piece that is away, with the cells that must notice.
struct Weakening<'a> {
    name: String,
    pieces: Vec<Piece>,
    cells: Vec<&'a Cell>,
    /// Whether an attack must go through; else another answer than before will do.
    denies: bool,
}

/// Takes away every binding of the chart in turn, then every validation of the policies that have
/// several. `tried` says which cell is refused by which binding.
pub async fn weaken(crowd: &Crowd, tried: &[Tried<'_>]) -> Result<Weakened, String> {
    let all = bindings(crowd).await?;
    let policies = validations(crowd).await?;
    let cells = attributed(tried);
    let mut weakened = Weakened::default();
    for binding in &all {
        let marks = MARKS.iter().find(|(mark, _)| *mark == binding.name);
        let notices = marks.map_or(binding.name.as_str(), |(_, refuses)| *refuses);
        let weakening = Weakening {
            name: binding.name.clone(),
            pieces: vec![Piece::Binding(binding.clone())],
            cells: cells.get(notices).cloned().unwrap_or_default(),
            denies: binding.denies,
        };
        weakened.flaws.extend(round(crowd, &[weakening]).await?);
        weakened.bindings += 1;
    }
    let several: Vec<&Vec<Validation>> = policies.iter().filter(|one| one.len() > 1).collect();
    let most = several.iter().map(|one| one.len()).max().unwrap_or(0);
    for number in 0..most {
        // a cell breaks one policy only, so that none stands in for another
        let weakenings: Vec<Weakening<'_>> = several
            .iter()
            .filter_map(|policy| policy.get(number))
            .map(|validation| without(validation, &all, &cells))
            .collect();
        weakened.validations += weakenings.len();
        weakened.flaws.extend(round(crowd, &weakenings).await?);
    }
    Ok(weakened)
}

/// One cell of each row, door and field for each binding that stood in the way of some.
fn attributed<'a>(tried: &[Tried<'a>]) -> BTreeMap<String, Vec<&'a Cell>> {
    let mut cells: BTreeMap<String, Vec<&'a Cell>> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for Tried { cell, verdict } in tried {
        let Some(binding) = &verdict.binding else {
            continue;
        };
        let alike = (binding, cell.row, &cell.door, &cell.field);
        if known.insert(alike) {
            cells.entry(binding.clone()).or_default().push(*cell);
        }
    }
    cells
}

fn without<'a>(
    validation: &Validation,
    all: &[Binding],
    cells: &BTreeMap<String, Vec<&'a Cell>>,
) -> Weakening<'a> {
    let (policy, words, stamp) = PAIRED;
    let mut pieces = vec![Piece::Validation(validation.clone())];
    let mut named: Vec<&str> = Vec::new();
    if validation.policy == policy && validation.message.starts_with(words) {
        let stamps = all.iter().filter(|binding| binding.name == stamp);
        pieces.extend(stamps.cloned().map(Piece::Binding));
        named.push(stamp);
    } else {
        let own = all.iter().filter(|one| one.policy == validation.policy);
        named.extend(own.map(|binding| binding.name.as_str()));
    }
    let noticing = named.iter().filter_map(|name| cells.get(*name));
    Weakening {
        name: format!("{} ({})", validation.policy, validation.message),
        pieces,
        cells: noticing.flatten().copied().collect(),
        denies: true,
    }
}

/// Takes pieces away, waits until each is missed, and gives them back. Says what nobody missed.
async fn round(crowd: &Crowd, weakenings: &[Weakening<'_>]) -> Result<Vec<String>, String> {
    let mut unnoticed = Vec::new();
    let pieces = || weakenings.iter().flat_map(|one| &one.pieces);
    for piece in pieces() {
        piece.take(crowd).await?;
    }
    for weakening in weakenings {
        if let Err(failure) = missed(crowd, weakening).await {
            unnoticed.push(failure);
        }
    }
    for piece in pieces() {
        piece.give_back(crowd).await?;
    }
    for weakening in weakenings {
        whole(crowd, weakening).await?;
    }
    Ok(unnoticed)
}

/// Waits until the matrix fails without the piece, which takes the API server about a second.
async fn missed(crowd: &Crowd, weakening: &Weakening<'_>) -> Result<(), String> {
    let name = &weakening.name;
    if weakening.cells.is_empty() {
        return Err(format!("no cell is refused by {name}"));
    }
    let what = format!("an attack that succeeds without {name}");
    let missed = eventually(&what, LONG, async || {
        let tried = try_all(crowd, weakening.cells.iter().copied()).await;
        let mut verdicts = tried.iter().map(|one| &one.verdict);
        let missed = verdicts
            .any(|verdict| verdict.through || (!weakening.denies && verdict.flaw.is_some()));
        if missed {
            Ok(())
        } else {
            Err(format!("{} cells came out as before", tried.len()))
        }
    });
    missed.await.map_err(|failure| said(&failure))
}

/// Waits until everything is refused again.
async fn whole(crowd: &Crowd, weakening: &Weakening<'_>) -> Result<(), String> {
    let what = format!("{} in force again", weakening.name);
    let whole = eventually(&what, LONG, async || {
        let flaws = flaws(&try_all(crowd, weakening.cells.iter().copied()).await);
        if flaws.is_empty() {
            Ok(())
        } else {
            Err(flaws.join("\n"))
        }
    });
    whole.await.map_err(|failure| said(&failure))
}
