//! Facts that came after the close of their period. They are kept, not billed, and counted.

use std::collections::BTreeMap;

use leasehold_ledger::{fact::Fact, time::Span, verify::Row};
use leasehold_store::Store;

use super::calendar::Calendar;
use crate::Error;

/// Rows read at once.
const PAGE: u32 = 1000;

/// A closed period: its name, its instants, and the last row that its close took into account.
type Closed = (String, Span, u64);

/// Counts late facts by period, reading each row of the ledger once.
#[derive(Clone, Debug, Default)]
pub struct Late {
    after: Option<u64>,
    counts: BTreeMap<String, u64>,
}

impl Late {
    /// How many facts came late for a period.
    pub fn count(&self, period: &str) -> u64 {
        self.counts.get(period).copied().unwrap_or(0)
    }

    /// Reads what was appended since the last time. Facts of periods whose objects are not kept are not counted.
    pub async fn read(&mut self, store: &Store, calendar: &Calendar) -> Result<(), Error> {
        let closed: Vec<Closed> = calendar
            .kept()
            .filter_map(|open| {
                let close = calendar.closed.get(&open.period.name)?;
                Some((
                    open.period.name.clone(),
                    open.period.span,
                    close.value.fact_seq,
                ))
            })
            .collect();
        let (head, _) = store.head().await?;
        let Some(first) = closed.iter().map(|(_, _, through)| *through).min() else {
            self.after = Some(head);
            return Ok(());
        };
        let mut after = self.after.unwrap_or(first);
        while after < head {
            let rows = store.rows(after, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.chain.seq) else {
                break;
            };
            self.take(&rows, &closed)?;
            after = last;
        }
        self.after = Some(after);
        Ok(())
    }

    /// Counts rows and remembers each at once, so that none counts twice when a later one cannot be read.
    fn take(&mut self, rows: &[Row], closed: &[Closed]) -> Result<(), Error> {
        for row in rows {
            self.note(row, closed)?;
            self.after = Some(row.chain.seq);
        }
        Ok(())
    }

    fn note(&mut self, row: &Row, closed: &[Closed]) -> Result<(), Error> {
        if row.chain.kind != "fact" {
            return Ok(());
        }
        let fact: Fact = serde_json::from_str(&row.body).map_err(|error| {
            Error::understand(format!("row {} of the ledger", row.chain.seq), error)
        })?;
        for (name, span, through) in closed {
            if span.contains(fact.at) && row.chain.seq > *through {
                let count = self.counts.entry(name.clone()).or_insert(0);
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_ledger::{
        canonical::{canonical_json, digest_bytes},
        fact::{FactKind, Source, Subject},
        journal::ChainRow,
        time::Second,
    };

    fn row(seq: u64, at: i64) -> Row {
        let fact = Fact {
            source: Source {
                cluster: "c".to_owned(),
                etcd: 1,
                uid: "u".to_owned(),
                version: seq.to_string(),
            },
            meter: "pod/cpu".parse().unwrap(),
            kind: FactKind::Opened,
            at: Second::new(at),
            quantity: 1,
            subject: Subject {
                department: "d".to_owned(),
                tenancy: "t".to_owned(),
                incarnation: 1,
                system: "s".to_owned(),
                provider: "p".to_owned(),
                contract: "c".to_owned(),
                budget: "b".to_owned(),
                request: 1,
                object: "o".to_owned(),
            },
            estimated: false,
            bounds: None,
            evidence: "e".to_owned(),
        };
        let body = canonical_json(&fact).unwrap();
        let digest = digest_bytes(body.as_bytes());
        let mut chain = ChainRow::after(None, "fact", &fact.key(), digest);
        chain.seq = seq;
        Row { chain, body }
    }

    #[test]
    fn facts_of_a_closed_period_count_when_they_came_after_its_close() {
        let closed = [
            (
                "first".to_owned(),
                Span::new(Second::new(0), Second::new(100)),
                10,
            ),
            (
                "second".to_owned(),
                Span::new(Second::new(100), Second::new(200)),
                20,
            ),
        ];
        let mut late = Late::default();
        for (seq, at) in [
            (9, 50),
            (10, 50),
            (11, 50),
            (12, 99),
            (15, 150),
            (21, 150),
            (30, 250),
        ] {
            late.note(&row(seq, at), &closed).unwrap();
        }
        assert_eq!(
            (late.count("first"), late.count("second"), late.count("x")),
            (2, 1, 0)
        );
    }

    #[test]
    fn rows_before_one_that_cannot_be_read_are_remembered() {
        let span = Span::new(Second::new(0), Second::new(100));
        let closed = [("first".to_owned(), span, 10)];
        let mut broken = row(13, 50);
        broken.body = "{".to_owned();
        let mut late = Late::default();
        assert!(
            late.take(&[row(11, 50), row(12, 50), broken], &closed)
                .is_err()
        );
        assert_eq!(late.after, Some(12), "the next attempt begins with row 13");
        late.take(&[row(13, 50)], &closed).unwrap();
        assert_eq!((late.count("first"), late.after), (3, Some(13)));
    }
}
