//! Times in which use was not observed, in words.

use leasehold_ledger::document::GapTreatment;
use leasehold_ledger::statement::{State, Statement, StatementGap};

/// How a gap was accepted, in a part of a sentence. A closed period was accepted as a whole where nobody accepted the gap alone.
pub(crate) fn word(gap: &StatementGap, state: State) -> String {
    match (&gap.accepted, state) {
        (Some(word), _) => {
            let billed = match word.treatment {
                GapTreatment::Accepted => "billed up to what is known",
                GapTreatment::Estimated => "billed up to the policy's bound",
            };
            format!("accepted by {} ({}), {billed}", word.by, word.order_no)
        }
        (None, State::Draft) => "nobody has accepted it yet".to_owned(),
        (None, State::Final) => "accepted with the close".to_owned(),
    }
}

/// The gaps of a statement, each in a sentence, for people.
pub(crate) fn sentences(statement: &Statement) -> Vec<String> {
    let mut sentences: Vec<String> = statement
        .gaps
        .iter()
        .map(|gap| {
            let StatementGap {
                source,
                from,
                to,
                reason,
                ..
            } = gap;
            let word = word(gap, statement.state);
            format!("use was not observed: {source} from {from} to {to} ({reason}); {word}")
        })
        .collect();
    sentences.extend(more(statement));
    sentences
}

/// The gaps of a statement in one cell.
pub(crate) fn cell(statement: &Statement) -> String {
    let mut parts: Vec<String> = statement
        .gaps
        .iter()
        .map(|gap| {
            let word = word(gap, statement.state);
            format!("{} from {} to {}: {word}", gap.source, gap.from, gap.to)
        })
        .collect();
    parts.extend(more(statement));
    parts.join("; ")
}

fn more(statement: &Statement) -> Option<String> {
    let more = statement.more_gaps;
    (more > 0).then(|| format!("{more} more times in which use was not observed are in the ledger"))
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::statement::GapWord;

    use super::*;
    use crate::fixture::{gapped, gov_office};

    #[test]
    fn a_gap_is_told_with_who_accepted_it_and_what_is_billed() {
        let mut statement = gapped();
        assert_eq!(
            sentences(&statement),
            [
                "use was not observed: pods from 2026-09-20T03:00:00+08:00 to 2026-09-20T03:20:00+08:00 (the changes were \
                 gone); accepted by sun@finance (51号), billed up to what is known",
                "use was not observed: claims from 2026-09-21T03:00:00+08:00 to 2026-09-21T03:20:00+08:00 (the changes were \
                 gone); accepted with the close",
            ]
        );
        let cell = cell(&statement);
        assert_eq!(cell.matches("the changes were gone").count(), 0);
        assert_eq!(cell.matches("; claims from ").count(), 1, "{cell}");
        statement.state = State::Draft;
        statement.more_gaps = 3;
        let estimated = statement.gaps[0].accepted.take().map(|word| GapWord {
            treatment: GapTreatment::Estimated,
            ..word
        });
        statement.gaps[1].accepted = estimated;
        let told = sentences(&statement);
        assert!(
            told[0].ends_with("; nobody has accepted it yet"),
            "{told:?}"
        );
        assert!(told[1].ends_with("the policy's bound"), "{told:?}");
        assert!(told[2].starts_with("3 more times"), "{told:?}");
    }

    #[test]
    fn a_statement_without_gaps_says_nothing() {
        assert!(sentences(&gov_office()).is_empty());
        assert_eq!(cell(&gov_office()), "");
    }
}
