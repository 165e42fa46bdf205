//! From the ledger's rows to statements: the close itself, and drafts.

use leasehold_ledger::{
    canonical::Digest,
    close::{Closing, close},
    document::{
        ArchiveDoc, BookDoc, DepartmentDoc, GapAcceptedDoc, GapDoc, LotDoc, PeriodCloseDoc,
        PeriodOpenDoc, PolicyDoc,
    },
    fact::Facts,
    statement::State,
    time::Second,
    verify::{Records, close_input},
};
use leasehold_store::{Batch, FactFilter, Record, Store, StoreError};

use super::trouble;
use crate::Error;

/// How often a close is reckoned anew when facts come in between, before others get their turn.
const ATTEMPTS: usize = 5;

/// What came of an attempt to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is closed.
    Closed,
    /// It cannot be closed; in words for people.
    Refused(String),
    /// Facts came in faster than it was reckoned; try again.
    Overtaken,
}

/// How often facts are read anew when others are archived meanwhile.
const READINGS: usize = 3;

/// Everything that a close depends on, up to a row.
pub async fn records(store: &Store, through: u64) -> Result<Records, Error> {
    for _ in 0..READINGS {
        let archived = store.latest::<ArchiveDoc>().await?;
        let facts = facts(store, through).await?;
        // the end of an object may have left behind its beginning
        if store.latest::<ArchiveDoc>().await? == archived {
            return records_with(store, through, facts).await;
        }
    }
    Err(StoreError::Moved.into())
}

/// All facts up to a row, page by page.
async fn facts(store: &Store, through: u64) -> Result<Facts, Error> {
    let filter = FactFilter {
        until_seq: Some(through),
        ..FactFilter::default()
    };
    let mut facts = Facts::default();
    let mut after = 0;
    loop {
        let page = store.facts_after(&filter, after).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for fact in &page {
            facts.push(fact.seq, &fact.value);
        }
    }
    Ok(facts)
}

/// The same with facts that were read already.
pub async fn records_with(store: &Store, through: u64, facts: Facts) -> Result<Records, Error> {
    let until = Some(through);
    let books = store.documents::<BookDoc>(None, until).await?;
    let lots = store.documents::<LotDoc>(None, until).await?;
    let entries = store.entries(until).await?;
    let departments = store.documents::<DepartmentDoc>(None, until).await?;
    let policies = store.documents::<PolicyDoc>(None, until).await?;
    let gaps = store.documents::<GapDoc>(None, until).await?;
    let accepted = store.documents::<GapAcceptedDoc>(None, until).await?;
    Ok(Records {
        facts,
        books: books.into_iter().map(|r| (r.seq, r.value.book)).collect(),
        lots: lots.into_iter().map(|r| (r.seq, r.value.lot)).collect(),
        entries: entries.into_iter().map(|r| (r.seq, r.value)).collect(),
        departments: departments.into_iter().map(|r| (r.seq, r.value)).collect(),
        policies: policies.into_iter().map(|r| r.value.policy).collect(),
        gaps: gaps.into_iter().map(|r| (r.seq, r.value)).collect(),
        accepted: accepted.into_iter().map(|r| (r.seq, r.value)).collect(),
    })
}

/// Reckons a period from these records: final, or as a draft up to an instant. The inner error is for people.
pub fn reckon(
    open: &PeriodOpenDoc,
    records: &Records,
    through: u64,
    draft_of: Option<Second>,
) -> Result<Closing, String> {
    let mut input =
        close_input(open, records, through).map_err(|error| trouble::of_replay(&error))?;
    input.as_of = draft_of;
    let state = if draft_of.is_some() {
        State::Draft
    } else {
        State::Final
    };
    close(&input, &records.facts, state)
        .map_err(|error| trouble::of_close(&error, &open.period.time_zone))
}

/// Closes a period: what the ledger holds now is what counts, and nothing may come in between.
pub async fn close_period(
    store: &Store,
    open: &PeriodOpenDoc,
    by: &str,
    now: Second,
) -> Result<Outcome, Error> {
    for _ in 0..ATTEMPTS {
        let (through, head) = store.head().await?;
        let records = records(store, through).await?;
        let of = open.clone();
        let reckoned =
            tokio::task::spawn_blocking(move || reckon(&of, &records, through, None)).await;
        let closing = match reckoned.map_err(|error| Error::understand("a close", error))? {
            Ok(closing) => closing,
            Err(words) => return Ok(Outcome::Refused(words)),
        };
        let batch = batch(open, &closing, (through, head), by, now)?;
        match store.commit(&batch, now).await {
            Ok(_) => {
                for contradiction in &closing.contradictions {
                    let error: &dyn std::error::Error = contradiction;
                    tracing::warn!(
                        period = open.period.name,
                        error,
                        "a fact was left out of a close"
                    );
                }
                return Ok(Outcome::Closed);
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome::Overtaken)
}

/// The close, its statements and its entries, in the order in which a verifier expects them.
pub fn batch(
    open: &PeriodOpenDoc,
    closing: &Closing,
    (through, head): (u64, Digest),
    by: &str,
    now: Second,
) -> Result<Batch, Error> {
    let mut document = PeriodCloseDoc {
        name: open.period.name.clone(),
        fact_seq: through,
        closed_by: by.to_owned(),
        totals: closing.totals,
        statements: std::collections::BTreeMap::new(),
        gaps: Some(closing.gaps),
        chain: head,
        at: now,
    };
    for statement in &closing.statements {
        document
            .statements
            .insert(statement.department.name.clone(), statement.digest()?);
    }
    let mut records = vec![Record::document(&document)?];
    for statement in &closing.statements {
        records.push(Record::document(statement)?);
    }
    records.extend(closing.entries.iter().cloned().map(Record::from));
    Ok(Batch::of(records).expecting(through))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{calendar::fixture::*, known::Known},
        *,
    };
    use leasehold_ledger::{
        book::{Basis, Book, Category, Item, Per},
        canonical::digest_of,
        document::{Decision, DecisionDoc, RequestDoc},
        fact::{Fact, FactKind, Source, Subject},
        money::{Price, Unit},
        statement::Statement,
        time::{LocalDate, Period, PeriodKind},
        verify::{Row, verify},
    };

    fn open() -> PeriodOpenDoc {
        let policy = policy("HS", PeriodKind::Month);
        let at = Second::new(SEPTEMBER);
        PeriodOpenDoc {
            period: Period::containing(policy.period, &policy.time_zone, at).unwrap(),
            policy: policy.digest().unwrap(),
            at,
        }
    }

    fn book() -> BookDoc {
        BookDoc {
            book: Book {
                name: "hs-2026".to_owned(),
                provider: "hs-bigdata".to_owned(),
                contract: "HS-ZFCG-2026-031".to_owned(),
                from: LocalDate::parse("2026-01-01").unwrap(),
                through: LocalDate::parse("2026-12-31").unwrap(),
                currency: "CNY".to_owned(),
                tax: None,
                items: vec![Item {
                    name: "vcpu-x86".to_owned(),
                    display_name: "x86 虚拟核".to_owned(),
                    category: Category::Compute,
                    resource: Some("cpu".to_owned()),
                    storage_class: None,
                    meter: None,
                    unit: Unit::Core,
                    per: Per::Month,
                    basis: Basis::Reserved,
                    price: Price::parse("46.00").unwrap(),
                }],
            },
            published_by: "li".to_owned(),
            approval: "a".to_owned(),
            at: Second::new(0),
        }
    }

    fn lease(item: &str, at: i64) -> Fact {
        Fact {
            source: Source {
                cluster: "c".to_owned(),
                etcd: 1,
                uid: "gov-office/oa/1".to_owned(),
                version: "request-1".to_owned(),
            },
            meter: format!("lease/{item}").parse().unwrap(),
            kind: FactKind::Opened,
            at: Second::new(at),
            quantity: 32_000,
            subject: Subject {
                department: "gov-office".to_owned(),
                tenancy: "oa".to_owned(),
                incarnation: 1,
                system: "oa".to_owned(),
                provider: "hs-bigdata".to_owned(),
                contract: "HS-ZFCG-2026-031".to_owned(),
                budget: "30227".to_owned(),
                request: 1,
                object: "Tenancy gov-office/oa".to_owned(),
            },
            estimated: false,
            bounds: None,
            evidence: "status.hard".to_owned(),
        }
    }

    /// The request that the lease follows from, and its approval.
    fn approved() -> (RequestDoc, DecisionDoc) {
        let snapshot = serde_json::json!({
            "lease": [{ "item": "vcpu-x86", "quantity": "32" }],
        });
        let request = RequestDoc {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            request: 1,
            digest: digest_of(&snapshot).unwrap(),
            snapshot,
            requested_by: "zhang".to_owned(),
            at: Second::new(0),
            quotation: None,
            funds: None,
        };
        let decision = DecisionDoc {
            subject_kind: "Tenancy".to_owned(),
            subject: "gov-office/oa/1/1".to_owned(),
            role: "office".to_owned(),
            approval_uid: Some("a".to_owned()),
            decision: Decision::Approved,
            decided_by: "wang".to_owned(),
            order_no: String::new(),
            reason: String::new(),
            auto: false,
            amount_monthly: None,
            department: Some("gov-office".to_owned()),
            at: Second::new(0),
        };
        (request, decision)
    }

    async fn ledger(facts: Vec<Fact>) -> Store {
        let store = Store::in_memory().await.unwrap();
        let policy = PolicyDoc {
            policy: policy("HS", PeriodKind::Month),
            seen_at: Second::new(0),
        };
        let department = |code: &str, name: &str| DepartmentDoc {
            code: code.to_owned(),
            display_name: name.to_owned(),
            budget_unit: None,
            parent: None,
            at: Second::new(0),
        };
        let (request, decision) = approved();
        let mut records = vec![
            Record::document(&request).unwrap(),
            Record::document(&decision).unwrap(),
            Record::document(&policy).unwrap(),
            Record::document(&open()).unwrap(),
            Record::document(&book()).unwrap(),
            Record::document(&department("gov-office", "市政府办")).unwrap(),
            Record::document(&department("health", "市卫生健康委")).unwrap(),
        ];
        records.extend(facts.into_iter().map(Record::from));
        store
            .commit(&Batch::of(records), Second::new(0))
            .await
            .unwrap();
        store
    }

    async fn rows(store: &Store) -> Vec<Row> {
        store.rows(0, 1000).await.unwrap()
    }

    #[tokio::test]
    async fn a_closed_period_stands_up_to_verification() {
        let store = ledger(vec![lease("vcpu-x86", SEPTEMBER)]).await;
        let now = Second::new(OCTOBER);
        let outcome = close_period(&store, &open(), "finance", now).await.unwrap();
        assert_eq!(outcome, Outcome::Closed);
        let all = rows(&store).await.into_iter().map(Ok::<_, StoreError>);
        let report = verify(all, None);
        assert_eq!(report.finding, None);
        assert!(report.periods[0].ok);
        // 32 cores at 46.00 for the whole month
        assert_eq!(report.periods[0].gross.to_string(), "1472.00");
        let zero = store
            .document::<Statement>("2026-09/health")
            .await
            .unwrap()
            .unwrap();
        assert!(
            zero.value.lines.is_empty(),
            "whoever used nothing gets a statement too"
        );
    }

    #[tokio::test]
    async fn a_gap_stands_on_every_statement_of_its_period_and_on_its_drafts() {
        let store = ledger(vec![lease("vcpu-x86", SEPTEMBER)]).await;
        let gap = super::super::gaps::gap("pods", SEPTEMBER + 60, SEPTEMBER + 120);
        let batch = Batch::of(vec![Record::document(&gap).unwrap()]);
        store.commit(&batch, gap.at).await.unwrap();
        let (through, _) = store.head().await.unwrap();
        let known = records(&store, through).await.unwrap();
        let draft = reckon(&open(), &known, through, Some(gap.at)).unwrap();
        let now = Second::new(OCTOBER);
        let outcome = close_period(&store, &open(), "finance", now).await.unwrap();
        assert_eq!(outcome, Outcome::Closed);
        for department in ["gov-office", "health"] {
            let key = format!("2026-09/{department}");
            let closed = store.document::<Statement>(&key).await.unwrap().unwrap();
            let of = |statement: &Statement| statement.department.name == department;
            let drafted = draft.statements.iter().find(|found| of(found)).unwrap();
            for statement in [&closed.value, drafted] {
                let told: Vec<_> = statement
                    .gaps
                    .iter()
                    .map(|gap| (gap.source.as_str(), gap.from.as_str(), &gap.accepted))
                    .collect();
                assert_eq!(told, [("pods", "2026-09-01T00:01:00+08:00", &None)]);
            }
        }
        let close = store.document::<PeriodCloseDoc>("2026-09").await.unwrap();
        assert_eq!(close.unwrap().value.gaps, Some(1));
        let all = rows(&store).await.into_iter().map(Ok::<_, StoreError>);
        assert_eq!(verify(all, None).finding, None);
    }

    #[tokio::test]
    async fn a_department_that_is_renamed_has_its_new_name_on_new_statements_and_its_old_one_on_closed_ones()
     {
        let store = ledger(vec![lease("vcpu-x86", SEPTEMBER)]).await;
        let now = Second::new(OCTOBER);
        let outcome = close_period(&store, &open(), "finance", now).await.unwrap();
        assert_eq!(outcome, Outcome::Closed);
        let renamed = DepartmentDoc {
            code: "gov-office".to_owned(),
            display_name: "市政府办公室".to_owned(),
            budget_unit: None,
            parent: Some("city".to_owned()),
            at: now,
        };
        let policy = policy("HS", PeriodKind::Month);
        let october = PeriodOpenDoc {
            period: Period::containing(policy.period, &policy.time_zone, now).unwrap(),
            at: now,
            ..open()
        };
        let news = vec![
            Record::document(&renamed).unwrap(),
            Record::document(&october).unwrap(),
        ];
        store.commit(&Batch::of(news), now).await.unwrap();

        let (through, _) = store.head().await.unwrap();
        let records = records(&store, through).await.unwrap();
        let draft = reckon(&october, &records, through, Some(now.plus(86_400))).unwrap();
        let name = |statements: &[Statement]| {
            let mut all = statements.iter();
            let own = all.find(|statement| statement.department.name == "gov-office");
            own.unwrap().department.display_name.clone()
        };
        assert_eq!(name(&draft.statements), "市政府办公室");
        let closed = store.document::<Statement>("2026-09/gov-office").await;
        let closed = closed.unwrap().unwrap().value;
        assert_eq!(name(&[closed]), "市政府办");
        let all = rows(&store).await.into_iter().map(Ok::<_, StoreError>);
        assert_eq!(verify(all, None).finding, None);
    }

    #[tokio::test]
    async fn a_lease_without_a_price_refuses_the_close_and_writes_nothing() {
        let store = ledger(vec![lease("vcpu-arm", SEPTEMBER)]).await;
        let before = store.head().await.unwrap();
        let now = Second::new(OCTOBER);
        let outcome = close_period(&store, &open(), "finance", now).await.unwrap();
        let Outcome::Refused(words) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            words.starts_with("rule E01: gov-office/oa leases vcpu-arm"),
            "{words}"
        );
        assert_eq!(store.head().await.unwrap(), before);
    }

    fn used(uid: &str, kind: FactKind, at: i64) -> Fact {
        let mut fact = lease("vcpu-x86", at);
        fact.meter = "pod/cpu".parse().unwrap();
        fact.source.uid = uid.to_owned();
        fact.source.version = at.to_string();
        fact.kind = kind;
        fact
    }

    #[tokio::test]
    async fn drafts_from_what_was_kept_are_those_from_the_whole_ledger() {
        let before = SEPTEMBER - 1000;
        let facts = vec![
            lease("vcpu-x86", SEPTEMBER),
            used("over", FactKind::Opened, before),
            used("over", FactKind::Closed, before + 500),
            used("runs", FactKind::Opened, before),
        ];
        let store = ledger(facts).await;
        let since = Second::new(SEPTEMBER);
        let (first, _) = store.head().await.unwrap();
        let kept = Known::default().grown(&store, first, since).await.unwrap();
        // the lease and the pod that runs; what was over by then is not held
        assert_eq!(kept.facts.len(), 2);
        let more = [
            used("runs", FactKind::Closed, SEPTEMBER + 60),
            used("late", FactKind::Opened, SEPTEMBER + 90),
        ];
        let more = more.into_iter().map(Record::from).collect();
        store.commit(&Batch::of(more), since).await.unwrap();
        let (through, _) = store.head().await.unwrap();
        let half = Some(Second::new(SEPTEMBER + 15 * 86_400));
        let known = Known::of(kept, first);
        let kept = known.grown(&store, through, since).await.unwrap();
        assert_eq!(kept.facts.len(), 4, "nothing was read twice");
        let whole = records(&store, through).await.unwrap();
        let draft = |records: &Records| reckon(&open(), records, through, half).unwrap();
        assert_eq!(draft(&kept).statements, draft(&whole).statements);
        assert_eq!(draft(&kept).totals.gross.to_string(), "736.00");
    }

    #[tokio::test]
    async fn of_what_was_archived_since_nothing_is_kept() {
        let before = SEPTEMBER - 1000;
        let since = Second::new(SEPTEMBER);
        let read = vec![
            used("gone", FactKind::Opened, before),
            used("gone as well", FactKind::Opened, before),
            lease("vcpu-x86", SEPTEMBER),
        ];
        let store = ledger(read).await;
        let (first, _) = store.head().await.unwrap();
        let kept = Known::default().grown(&store, first, since).await.unwrap();
        assert_eq!(kept.facts.len(), 3);
        // as the ledger is after their ends were told and all was archived: none of its rows is of them
        let left = vec![
            lease("vcpu-x86", SEPTEMBER),
            used("runs", FactKind::Opened, before),
        ];
        let store = ledger(left).await;
        let archive = ArchiveDoc {
            period: "2026-08".to_owned(),
            ended_before: since,
            rows: 2,
            digest: digest_of(&"rows").unwrap(),
            file: "facts-2026-08.db".to_owned(),
            holes: digest_of(&"holes").unwrap(),
            at: since,
        };
        let one_before = ArchiveDoc {
            period: "2026-07".to_owned(),
            ..archive.clone()
        };
        let archives = [one_before, archive].map(|archive| Record::document(&archive).unwrap());
        let batch = Batch::of(archives.to_vec());
        store.commit(&batch, since).await.unwrap();
        let (through, _) = store.head().await.unwrap();
        assert!(through > first, "archived after what was kept");
        let known = Known::of(kept, first);
        let kept = known.grown(&store, through, since).await.unwrap();
        let whole = records(&store, through).await.unwrap();
        let half = Some(Second::new(SEPTEMBER + 15 * 86_400));
        let draft = |records: &Records| reckon(&open(), records, through, half).unwrap();
        assert_eq!(draft(&kept).statements, draft(&whole).statements);
        assert_eq!(kept.facts.len(), 2);
    }

    #[tokio::test]
    async fn a_draft_counts_up_to_its_instant() {
        let store = ledger(vec![lease("vcpu-x86", SEPTEMBER)]).await;
        let (through, _) = store.head().await.unwrap();
        let records = records(&store, through).await.unwrap();
        // half of the month's 30 days
        let half = Second::new(SEPTEMBER + 15 * 86_400);
        let draft = reckon(&open(), &records, through, Some(half)).unwrap();
        assert_eq!(draft.totals.gross.to_string(), "736.00");
        assert!(draft.entries.is_empty());
    }
}
