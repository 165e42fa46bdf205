//! Which periods may be archived.

use std::collections::BTreeMap;

use leasehold_ledger::document::{ArchiveDoc, PeriodCloseDoc, PeriodOpenDoc};
use leasehold_ledger::time::{Second, Span};

use crate::{Recorded, Store, StoreError};

/// A day, in seconds.
const DAY: i64 = 86_400;

/// A closed period whose facts may leave the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Name of the period.
    pub period: String,
    /// Its end.
    pub ended_before: Second,
    /// The last row that its close took into account.
    pub(crate) through: u64,
    /// The instants of each closed period, and the last row that its close took into account.
    pub(crate) closed: Vec<(Span, u64)>,
}

impl Due {
    /// The name of the archive's file. Names of rehearsals have characters that not every file system takes.
    pub fn file_name(&self) -> String {
        let plain: String = self
            .period
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        format!("facts-{plain}.db")
    }
}

impl Store {
    /// The periods whose facts may leave, oldest first: closed at least `after_days` days before `now`, with every earlier
    /// period closed as well, and later than every archive that there is.
    pub async fn due_archives(&self, after_days: u32, now: Second) -> Result<Vec<Due>, StoreError> {
        let opened = self.documents::<PeriodOpenDoc>(None, None).await?;
        let closed = self.documents::<PeriodCloseDoc>(None, None).await?;
        let archived = self.documents::<ArchiveDoc>(None, None).await?;
        let newest = archived.iter().map(|doc| doc.value.ended_before).max();
        let latest = now.plus(i64::from(after_days).saturating_mul(DAY).saturating_neg());
        Ok(due(opened, &closed, newest, latest))
    }
}

/// The periods that were closed at `latest` or before, up to the first that was not, behind the newest archive.
fn due(
    mut opened: Vec<Recorded<PeriodOpenDoc>>,
    closes: &[Recorded<PeriodCloseDoc>],
    newest: Option<Second>,
    latest: Second,
) -> Vec<Due> {
    opened.sort_by_key(|open| open.value.period.span.from);
    let closes: BTreeMap<&str, &PeriodCloseDoc> = closes
        .iter()
        .map(|close| (close.value.name.as_str(), &close.value))
        .collect();
    let close_of = |open: &Recorded<PeriodOpenDoc>| {
        let period = &open.value.period;
        closes
            .get(period.name.as_str())
            .map(|close| (period.span, *close))
    };
    let closed: Vec<(Span, u64)> = opened
        .iter()
        .filter_map(close_of)
        .map(|(span, close)| (span, close.fact_seq))
        .collect();
    opened
        .iter()
        .map_while(close_of)
        .take_while(|(_, close)| close.at <= latest)
        .filter(|(span, _)| newest.is_none_or(|newest| span.to > newest))
        .map(|(span, close)| Due {
            period: close.name.clone(),
            ended_before: span.to,
            through: close.fact_seq,
            closed: closed.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leasehold_ledger::canonical::digest_bytes;
    use leasehold_ledger::statement::Totals;
    use leasehold_ledger::time::{Period, PeriodKind, Zone};

    use super::*;

    fn month(text: &str) -> Period {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let at = Second::parse(&format!("{text}-05T00:00:00Z")).unwrap();
        Period::containing(PeriodKind::Month, &zone, at).unwrap()
    }

    fn recorded<T>(seq: u64, value: T) -> Recorded<T> {
        Recorded {
            seq,
            hash: digest_bytes(b"hash"),
            value,
        }
    }

    fn open(text: &str) -> Recorded<PeriodOpenDoc> {
        let period = month(text);
        let at = period.span.from;
        let policy = digest_bytes(b"policy");
        recorded(1, PeriodOpenDoc { period, policy, at })
    }

    /// A month that was closed ten days after its end.
    fn close(text: &str, fact_seq: u64) -> Recorded<PeriodCloseDoc> {
        recorded(
            fact_seq + 1,
            PeriodCloseDoc {
                name: text.to_owned(),
                fact_seq,
                closed_by: "sun@finance".to_owned(),
                totals: Totals::default(),
                statements: BTreeMap::new(),
                gaps: None,
                chain: digest_bytes(b"head"),
                at: month(text).span.to.plus(10 * DAY),
            },
        )
    }

    fn names(due: &[Due]) -> Vec<&str> {
        due.iter().map(|due| due.period.as_str()).collect()
    }

    fn at(text: &str) -> Second {
        Second::parse(text).unwrap()
    }

    #[test]
    fn periods_are_due_in_their_order_once_their_closes_are_old_enough() {
        let opened = || vec![open("2026-09"), open("2026-08"), open("2026-10")];
        let closes = [close("2026-08", 10), close("2026-09", 20)];
        let late = at("2026-10-20T00:00:00Z");
        let all = due(opened(), &closes, None, late);
        assert_eq!(names(&all), ["2026-08", "2026-09"]);
        assert_eq!(all[0].ended_before, month("2026-08").span.to);
        assert_eq!((all[0].through, all[1].through), (10, 20));
        assert_eq!(all[0].closed.len(), 2);
        // that of September was on 11 October in Shanghai
        let early = at("2026-10-10T15:59:59Z");
        assert_eq!(names(&due(opened(), &closes, None, early)), ["2026-08"]);
        let newest = Some(month("2026-08").span.to);
        assert_eq!(names(&due(opened(), &closes, newest, late)), ["2026-09"]);
    }

    #[test]
    fn nothing_is_due_behind_a_period_that_is_open() {
        let opened = vec![open("2026-08"), open("2026-09")];
        let closes = [close("2026-09", 20)];
        assert_eq!(due(opened, &closes, None, at("2030-01-01T00:00:00Z")), []);
    }

    #[test]
    fn a_rehearsal_has_a_file_name_that_every_file_system_takes() {
        let due = Due {
            period: "2026-09-05T12:00:00Z".to_owned(),
            ended_before: at("2026-09-05T12:10:00Z"),
            through: 1,
            closed: Vec::new(),
        };
        assert_eq!(due.file_name(), "facts-2026-09-05T12_00_00Z.db");
    }
}
