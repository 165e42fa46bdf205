//! Gaps in the observation of use: what stands behind their acceptance, and that statements name them.
//!
//! A close that was computed again has statements that name its gaps, so that one which is left out or altered gives another
//! digest. Closes from before statements named gaps do not say how many there are; once one has said it, every later one must,
//! or a mark could be left out by pretending to be old.

use std::collections::{BTreeMap, BTreeSet};

use super::replay::gaps_through;
use super::{Checker, Finding, Row, chain_of, close_input, not_recomputed, same};
use crate::canonical::canonical_json;
use crate::close::{Closing, close};
use crate::document::{Decision, DecisionDoc, Document, GapAcceptedDoc, GapDoc, PeriodCloseDoc};
use crate::statement::{State, Statement, StatementGap, named};

/// What the rows so far say of gaps.
#[derive(Default)]
pub(super) struct Gaps {
    /// Keys of all gaps.
    keys: BTreeSet<String>,
    /// Who approved gaps, and the paper behind it, by the uid of the Approval.
    approved: BTreeMap<String, (String, String)>,
    /// Whether a close has said how many gaps its statements name.
    counted: bool,
}

impl Checker {
    pub(super) fn decision(&mut self, decision: DecisionDoc) {
        if decision.subject_kind == "Gap" && decision.decision == Decision::Approved {
            let uid = decision.approval_uid.clone().unwrap_or_default();
            let word = (decision.decided_by.clone(), decision.order_no.clone());
            self.gaps.approved.insert(uid, word);
        }
        self.backing.decision(decision);
    }

    pub(super) fn gap(&mut self, seq: u64, gap: GapDoc) {
        self.gaps.keys.insert(gap.key());
        self.records.gaps.push((seq, gap));
    }

    /// A gap is accepted by finance's decision before it, and by whom that says.
    pub(super) fn gap_accepted(&mut self, seq: u64, said: GapAcceptedDoc) -> Result<(), Finding> {
        let what = format!("acceptance of gap {}", said.gap);
        if !self.gaps.keys.contains(&said.gap) {
            let expected = "the gap before it";
            return Err(Finding::new(seq, what, expected, "none"));
        }
        let Some((by, order_no)) = self.gaps.approved.get(&said.approval_uid) else {
            let expected = format!("the approval {} of finance before it", said.approval_uid);
            return Err(Finding::new(seq, what, expected, "none"));
        };
        let found = format!("{} ({})", said.decided_by, said.order_no);
        same(seq, what, format!("{by} ({order_no})"), found)?;
        self.records.accepted.push((seq, said));
        Ok(())
    }

    /// The close as it follows from the rows before it.
    pub(super) fn recomputed(
        &mut self,
        row: &Row,
        closed: &PeriodCloseDoc,
    ) -> Result<Closing, Finding> {
        let seq = row.chain.seq;
        let name = &closed.name;
        let open = self.placed(row, closed)?;
        let mut input = close_input(open, &self.records, closed.fact_seq)
            .map_err(|e| not_recomputed(seq, name, &e))?;
        input.gaps = self.told(seq, closed, input.gaps)?;
        close(&input, &self.records.facts, State::Final).map_err(|e| not_recomputed(seq, name, &e))
    }

    /// The gaps that each statement of a close names which cannot be computed again, and how many more there are.
    pub(super) fn gaps_of_sealed(
        &mut self,
        row: &Row,
        closed: &PeriodCloseDoc,
    ) -> Result<(Vec<StatementGap>, u32), Finding> {
        let open = self.placed(row, closed)?;
        let found = gaps_through(open, &self.records, closed.fact_seq);
        let told = self.told(row.chain.seq, closed, found)?;
        Ok(named(&told))
    }

    /// The gaps of a period that its statements tell of: all that there are, or none where the close is from before they did.
    fn told(
        &mut self,
        seq: u64,
        closed: &PeriodCloseDoc,
        found: Vec<StatementGap>,
    ) -> Result<Vec<StatementGap>, Finding> {
        let what = format!("number of gaps of the close of {}", closed.name);
        match closed.gaps {
            Some(told) => {
                self.gaps.counted = true;
                same(seq, what, found.len(), told)?;
                Ok(found)
            }
            None if self.gaps.counted => {
                let told = "none, although a close before it tells it";
                Err(Finding::new(seq, what, found.len(), told))
            }
            None => Ok(Vec::new()),
        }
    }
}

/// A statement names these gaps, and counts so many more.
pub(super) fn same_gaps(
    seq: u64,
    statement: &Statement,
    (expected, more): &(Vec<StatementGap>, u32),
) -> Result<(), Finding> {
    let what = format!("gaps in statement {}", statement.number);
    let text = |gaps: &[StatementGap], more: u32| {
        let text = canonical_json(&(gaps, more));
        text.map_err(|e| Finding::new(seq, &what, "can be expressed", chain_of(&e)))
    };
    let expected = text(expected, *more)?;
    let found = text(&statement.gaps, statement.more_gaps)?;
    same(seq, &what, expected, found)
}
