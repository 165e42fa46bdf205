//! Months that are played: pods come and go, and each month is closed two days after its end.

use std::collections::BTreeMap;

use leasehold_ledger::book::Category;
use leasehold_ledger::document::{PeriodCloseDoc, PeriodOpenDoc, PolicyDoc};
use leasehold_ledger::fact::{Fact, FactKind};
use leasehold_ledger::policy::{DecreaseEffective, EstimateBound, Policy};
use leasehold_ledger::statement::Totals;
use leasehold_ledger::time::{Period, PeriodKind, Second, Zone};
use leasehold_store::{Batch, Record, Store};

use crate::fixtures::{at, fact};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Which of ten pods has an estimated end.
const ESTIMATED: u32 = 7;

/// An observation of a pod. Its version is the instant, so that each has a key of its own.
pub(crate) fn pod(uid: &str, kind: FactKind, at: Second) -> Fact {
    let mut fact = fact(uid, 1);
    fact.source.version = at.get().to_string();
    fact.kind = kind;
    fact.at = at;
    fact.quantity = if kind == FactKind::Closed { 0 } else { 500 };
    fact
}

fn policy() -> Policy {
    Policy {
        name: "default".to_owned(),
        time_zone: Zone::parse("Asia/Shanghai").unwrap(),
        currency: "CNY".to_owned(),
        period: PeriodKind::Month,
        statement_prefix: "HS".to_owned(),
        offset_cap_percent: 100,
        offset_classes: vec![Category::Compute],
        credit_periods: 36,
        late_allowance_seconds: 300,
        estimate_bound: EstimateBound::Lower,
        auto_close_after_days: None,
        archive_after_days: None,
        decrease_effective: DecreaseEffective::NextPeriod,
    }
}

/// The months from September 2026 on, each with the same number of pods. One pod of each goes on into the next month, of one
/// in ten the end is estimated, and one runs for ever.
pub(crate) struct Months {
    pods: u32,
    played: u32,
}

impl Months {
    /// Of ten pods each.
    pub(crate) async fn begin(store: &Store) -> Self {
        Self::of(store, 10).await
    }

    pub(crate) async fn of(store: &Store, pods: u32) -> Self {
        let begin = first().span.from;
        let seen = PolicyDoc {
            policy: policy(),
            seen_at: begin,
        };
        let batch = Batch::of(vec![
            Record::document(&seen).unwrap(),
            Record::from(pod("forever", FactKind::Opened, begin.plus(1))),
        ]);
        store.commit(&batch, begin).await.unwrap();
        Self { pods, played: 0 }
    }

    /// The first instant of a month, from 0.
    pub(crate) fn start(month: u32) -> Second {
        first().nth_after(month).unwrap().span.from
    }

    /// Two days and an hour after the last month that was played: an hour after its close.
    pub(crate) fn now(&self) -> Second {
        Self::start(self.played).plus(2 * DAY + HOUR)
    }

    /// The facts of a month's pods, as whoever lists the cluster tells them.
    pub(crate) fn pods(&self, month: u32) -> Vec<Fact> {
        let (start, end) = (Self::start(month), Self::start(month + 1));
        let mut facts = Vec::new();
        for n in 0..self.pods {
            let uid = format!("m{month}-p{n}");
            let opened = start.plus(i64::from(n) * HOUR / 4 + i64::from(n % 4) * 60 + 60);
            let last = n + 1 == self.pods;
            let closed = if last {
                end.plus(HOUR)
            } else {
                opened.plus(HOUR)
            };
            facts.push(pod(&uid, FactKind::Opened, opened));
            let mut end = pod(&uid, FactKind::Closed, closed);
            end.estimated = n % 10 == ESTIMATED;
            facts.push(end);
        }
        facts
    }

    /// Plays so many months: what ends in the next month is learned in it.
    pub(crate) async fn play(&mut self, store: &Store, months: u32) {
        for _ in 0..months {
            self.month(store).await;
        }
    }

    async fn month(&mut self, store: &Store) {
        let month = self.played;
        let period = first().nth_after(month).unwrap();
        let span = period.span;
        let open = PeriodOpenDoc {
            period: period.clone(),
            policy: policy().digest().unwrap(),
            at: span.from,
        };
        let mut facts = self.pods(month);
        let going_on = facts.pop();
        if month > 0 {
            facts.extend(self.pods(month - 1).pop());
        }
        drop(going_on);
        let mut records = vec![Record::document(&open).unwrap()];
        records.extend(facts.into_iter().map(Record::from));
        store.commit(&Batch::of(records), span.from).await.unwrap();

        let (fact_seq, chain) = store.head().await.unwrap();
        let close = PeriodCloseDoc {
            name: period.name,
            fact_seq,
            closed_by: "sun@finance".to_owned(),
            totals: Totals::default(),
            statements: BTreeMap::new(),
            gaps: None,
            chain,
            at: span.to.plus(2 * DAY),
        };
        let batch = Batch::of(vec![Record::document(&close).unwrap()]);
        store.commit(&batch, close.at).await.unwrap();
        self.played += 1;
    }
}

fn first() -> Period {
    let zone = Zone::parse("Asia/Shanghai").unwrap();
    Period::containing(PeriodKind::Month, &zone, at(0)).unwrap()
}
