//! What the ledger holds is looked through before anybody is billed, and what does not fit together is
//! told with who mends it.
//!
//! Nobody can bring this about within a day: schemas, rules and the ledger's writer refuse it first, or
//! it takes a midnight. So it is written into the ledger while the operator is away. Periods are days
//! here, because a rehearsal lets prices begin in the past.

#[cfg(test)]
mod contradictions {
    use std::collections::BTreeMap;

    use leasehold_api::charging::{BillingPeriod, PriceBook, SubjectOfDecision};
    use leasehold_api::conditions::types;
    use leasehold_e2e::Stage;
    use leasehold_ledger::book::Category;
    use leasehold_ledger::canonical::{Digest, digest_bytes};
    use leasehold_ledger::document::{BookDoc, LotDoc, PeriodCloseDoc, PeriodOpenDoc};
    use leasehold_ledger::fact::{Fact, FactKind, Meter, Source, Subject};
    use leasehold_ledger::journal::Entry;
    use leasehold_ledger::lot::Lot;
    use leasehold_ledger::money::Money;
    use leasehold_ledger::statement::Totals;
    use leasehold_ledger::time::{Period, PeriodKind};
    use leasehold_store::{Batch, Record, Store};
    use leasehold_testkit::{LONG, NAMESPACE, Session, User};
    use serde_json::{Value, json};

    const BOOK: SubjectOfDecision = SubjectOfDecision::PriceBook;

    /// The platform of the examples with periods of a day.
    async fn stage() -> &'static Stage {
        let stage = Stage::bare().await.unwrap();
        let mut policy = Stage::policy().unwrap();
        policy["spec"]["period"] = json!({"kind": "Day"});
        stage.furnish(&policy).await.unwrap();
        stage
    }

    /// The last document of a kind in the ledger, once there is one.
    async fn last<D>(stage: &Stage, subject: Option<&str>) -> D
    where
        D: leasehold_ledger::document::Document,
    {
        let path = stage.operator.lock().await.ledger().to_owned();
        let what = format!("a document {} in the ledger", D::KIND);
        let seen = stage.see(&what, LONG, async || {
            let store = Store::open_read_only(&path).await;
            let store = store.map_err(|error| error.to_string())?;
            let all = store.documents::<D>(subject, None).await;
            let all = all.map_err(|error| error.to_string())?;
            let last = all.into_iter().next_back();
            last.map(|recorded| recorded.value)
                .ok_or_else(|| "there is none".to_owned())
        });
        seen.await.unwrap()
    }

    /// Writes into the ledger while the operator is away. `records` is given the ledger's head.
    async fn slip_in(stage: &Stage, records: impl FnOnce(u64, Digest) -> Vec<Record>) {
        let mut operator = stage.operator.lock().await;
        operator.terminate();
        let store = Store::open(operator.ledger()).await.unwrap();
        let (row, hash) = store.head().await.unwrap();
        let open = store.documents::<PeriodOpenDoc>(None, None).await.unwrap();
        let now = open.last().unwrap().value.period.span.from;
        let batch = Batch::of(records(row, hash));
        store.commit(&batch, now).await.unwrap();
        store.close().await.unwrap();
        operator.restart().await.unwrap();
    }

    /// Writes one document into the ledger while the operator is away.
    async fn slip_in_book(stage: &Stage, book: &BookDoc) {
        let record = Record::document(book).unwrap();
        slip_in(stage, |_, _| vec![record]).await;
    }

    /// Why a period cannot be closed; empty when nothing is said.
    fn trouble(period: &BillingPeriod) -> String {
        let conditions = period.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| condition.type_ == types::REFUSED && condition.status == "True")
            .map(|condition| condition.message.as_str())
            .collect()
    }

    /// Waits until what is said against the period is as `holds` says.
    async fn told(
        stage: &Stage,
        auditor: &Session,
        period: &str,
        holds: impl Fn(&str) -> bool,
    ) -> String {
        let seen = stage.see("what the period says", LONG, async || {
            let found = auditor.get::<BillingPeriod>(None, period).await?;
            let said = trouble(&found);
            if holds(&said) {
                Ok(said)
            } else {
                Err(format!("{:#?}", found.status))
            }
        });
        seen.await.unwrap()
    }

    /// A book of one item until the end of time.
    fn book(provider: &str, name: &str, from: &str) -> Value {
        json!({
            "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
            "metadata": {"name": name},
            "spec": {
                "provider": provider, "contract": "HS-ZFCG-2026-009",
                "validity": {"from": from, "through": "2099-12-31"},
                "items": [{
                    "name": "vcpu-arm", "displayName": "鲲鹏云主机CPU", "category": "compute",
                    "resource": "cpu", "unit": "Core", "per": "Month", "price": "39.00",
                }],
            },
        })
    }

    /// The day before, which finance closed.
    fn closed(yesterday: &Period, today: &PeriodOpenDoc, row: u64, hash: Digest) -> [Record; 2] {
        let opened = PeriodOpenDoc {
            period: yesterday.clone(),
            policy: today.policy.clone(),
            at: yesterday.span.from,
        };
        let closed = PeriodCloseDoc {
            name: yesterday.name.clone(),
            fact_seq: row,
            closed_by: "finance".to_owned(),
            totals: Totals::default(),
            statements: BTreeMap::new(),
            gaps: None,
            chain: hash,
            at: yesterday.span.to,
        };
        [
            Record::document(&opened).unwrap(),
            Record::document(&closed).unwrap(),
        ]
    }

    /// Four cores of an item that no book prices, leased since the day began.
    fn lease(today: &PeriodOpenDoc) -> Record {
        let fact = Fact {
            source: Source {
                cluster: "ledgered".to_owned(),
                etcd: 1,
                uid: "ledgered/oa/1".to_owned(),
                version: "request-1".to_owned(),
            },
            meter: Meter::Lease {
                item: "vcpu-arm".to_owned(),
            },
            kind: FactKind::Opened,
            at: today.period.span.from,
            quantity: 4000,
            subject: Subject {
                department: "ledgered".to_owned(),
                tenancy: "oa".to_owned(),
                incarnation: 1,
                system: "oa".to_owned(),
                provider: "hs-bigdata".to_owned(),
                contract: "HS-ZFCG-2026-009".to_owned(),
                budget: "30227".to_owned(),
                request: 1,
                object: "Tenancy ledgered/oa".to_owned(),
            },
            estimated: false,
            bounds: None,
            evidence: "status.hard".to_owned(),
        };
        Record::from(fact)
    }

    /// A credit of 100.00 whose account was given 200.00.
    fn overdrawn(today: &PeriodOpenDoc) -> Vec<Record> {
        let lot = Lot {
            id: "ledgered/servers".to_owned(),
            department: "ledgered".to_owned(),
            contribution: "servers".to_owned(),
            amount: Money::from_minor(10_000),
            classes: vec![Category::Compute],
            cap_percent: 100,
            priority: 1,
            sequence: 1,
            span: today.period.span,
            through: today.period.last_day().to_string(),
        };
        let twice = Lot {
            amount: Money::from_minor(20_000),
            ..lot.clone()
        };
        let grant = Entry::grant(&twice, today.period.span.from).unwrap();
        let granted = LotDoc {
            lot,
            appraisal_digest: digest_bytes(b"appraisal"),
            receipt_digest: digest_bytes(b"receipt"),
            approval_uid: "approval".to_owned(),
            devices: Vec::new(),
            at: today.period.span.from,
        };
        vec![Record::document(&granted).unwrap(), Record::from(grant)]
    }

    #[tokio::test]
    async fn what_does_not_fit_together_is_told_with_who_mends_it_b12_e01_e02_e03_e04() {
        let stage = stage().await;
        let today = last::<PeriodOpenDoc>(stage, None).await;
        let Period {
            time_zone, span, ..
        } = &today.period;
        let yesterday = Period::containing(PeriodKind::Day, time_zone, span.from.plus(-1)).unwrap();
        slip_in(stage, |row, hash| {
            let mut records = Vec::from(closed(&yesterday, &today, row, hash));
            records.push(lease(&today));
            records
        })
        .await;
        let auditor = stage.user(User::Auditor).await.unwrap();
        prices_begin_after_what_is_closed(stage, &yesterday, &today.period).await;
        every_day_has_a_price(stage, &auditor, &today.period.name).await;
        books_fit_together(stage, &auditor, &today.period.name).await;

        slip_in(stage, |_, _| overdrawn(&today)).await;
        let said = told(stage, &auditor, &today.period.name, |said| {
            said.starts_with("rule E04: the ledger contradicts itself: ")
        })
        .await;
        assert!(
            said.contains("account holds 200.00 of 100.00"),
            "it names no amounts: {said}"
        );
    }

    /// Rule B12.
    async fn prices_begin_after_what_is_closed(stage: &Stage, yesterday: &Period, today: &Period) {
        let finance = stage.user(User::SUN).await.unwrap();
        let (over, begun) = (yesterday.name.as_str(), today.name.as_str());
        let late = book("elsewhere", "late", over);
        finance.apply(&late).await.unwrap();
        let words = format!(
            "rule B12: asked prices from {over}, allowed from {begun} on; period {over} is closed; load the book with a later validity.from"
        );
        let refused = stage.see("prices that come too late", LONG, async || {
            let found = finance.get::<PriceBook>(None, "late").await?;
            let mut conditions = found.status.iter().flat_map(|status| &status.conditions);
            if conditions.any(|condition| condition.message == words) {
                Ok(())
            } else {
                Err(format!("{:#?}", found.status))
            }
        });
        refused.await.unwrap();
        let joins = book("elsewhere", "joins", begun);
        finance.apply(&joins).await.unwrap();
        stage
            .inbox(BOOK, "joins", 1, Some(NAMESPACE))
            .await
            .unwrap();
    }

    /// Rule E01. Finance mends it; that it is mended shows once the next trouble is over, too.
    async fn every_day_has_a_price(stage: &Stage, auditor: &Session, day: &str) {
        let words = format!(
            "rule E01: ledgered/oa leases vcpu-arm, but no price of it is published from {day} through {day};"
        );
        told(stage, auditor, day, |said| said.starts_with(&words)).await;
        let finance = stage.user(User::SUN).await.unwrap();
        let arm = book("hs-bigdata", "arm", day);
        finance.apply(&arm).await.unwrap();
        stage
            .decide(User::QIAN, BOOK, "arm", NAMESPACE)
            .await
            .unwrap();
        stage.published("arm").await.unwrap();
    }

    /// Rules E02 and E03: a book in other money, and a second price for an item. Of each name the last
    /// book counts, so that a good one mends it.
    async fn books_fit_together(stage: &Stage, auditor: &Session, day: &str) {
        let arm = last::<BookDoc>(stage, Some("arm")).await;
        let mut abroad = arm.clone();
        abroad.book.name = "abroad".to_owned();
        abroad.book.provider = "abroad".to_owned();
        abroad.book.currency = "USD".to_owned();
        slip_in_book(stage, &abroad).await;
        let words = "rule E02: price book abroad is in USD, but the policy's currency is CNY;";
        told(stage, auditor, day, |said| said.starts_with(words)).await;
        abroad.book.currency = "CNY".to_owned();
        slip_in_book(stage, &abroad).await;
        told(stage, auditor, day, str::is_empty).await;

        let mut second = arm;
        second.book.name = "second".to_owned();
        slip_in_book(stage, &second).await;
        let said = told(stage, auditor, day, |said| {
            said.starts_with("rule E03: the published price books contradict each other: ")
        })
        .await;
        let both = format!("arm and second both price hs-bigdata/vcpu-arm on {day}");
        assert!(said.contains(&both), "it names not both: {said}");
        second.book.provider = "abroad-too".to_owned();
        slip_in_book(stage, &second).await;
        told(stage, auditor, day, str::is_empty).await;
    }
}
