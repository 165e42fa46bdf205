//! The kind that a meter counts is taken away and comes back: what was counted ends, nobody waits for it, and what comes back is
//! counted with a gap before it.

#[cfg(test)]
mod absent {
    use leasehold_api::charging::{BillingPeriod, PeriodPhase};
    use leasehold_api::conditions::types;
    use leasehold_api::platform::Meter;
    use leasehold_e2e::{Office, PERIODS, Stage};
    use leasehold_ledger::document::GapDoc;
    use leasehold_ledger::fact::{Fact, FactKind};
    use leasehold_ledger::time::{Second, Zone};
    use leasehold_store::{FactFilter, Store};
    use leasehold_testkit::{LONG, NAMESPACE, Session, User, repository};
    use serde_json::{Value, json};

    const CODE: &str = "absent";
    const PLACE: &str = "absent--prod";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];
    const DEFINITION: &str = "crd/buckets.storage.example.com";
    const READ: &str =
        r#"meters.read=[{"apiGroups":["storage.example.com"],"resources":["buckets"]}]"#;

    fn definition() -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "buckets.storage.example.com"},
            "spec": {
                "group": "storage.example.com", "scope": "Namespaced",
                "names": {
                    "kind": "Bucket", "listKind": "BucketList", "plural": "buckets",
                    "singular": "bucket",
                },
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }],
            },
        })
    }

    fn meter() -> Value {
        json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Meter",
            "metadata": {"name": "buckets"},
            "spec": {
                "displayName": "存储桶", "group": "storage.example.com", "version": "v1",
                "kind": "Bucket", "resource": "buckets", "unit": "Count",
            },
        })
    }

    async fn make(admin: &Session, name: &str) {
        let bucket = json!({
            "apiVersion": "storage.example.com/v1", "kind": "Bucket",
            "metadata": {"name": name, "namespace": PLACE},
        });
        admin.create(&bucket).await.unwrap();
    }

    async fn install(admin: &Session) {
        admin.create(&definition()).await.unwrap();
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            DEFINITION,
        ];
        admin.kubectl(&wait, "").await.unwrap().ok().unwrap();
    }

    /// The meter, once its `Ready` says this.
    async fn says(stage: &Stage, words: &str) -> Meter {
        let auditor = stage.user(User::Auditor).await.unwrap();
        let what = format!("a meter that says {words:?}");
        let seen = stage.see(&what, LONG, async || {
            let meter = auditor.get::<Meter>(None, "buckets").await?;
            let status = meter.status.clone().unwrap_or_default();
            let mut all = status.conditions.iter();
            let ready = all.find(|condition| condition.type_ == types::READY);
            if ready.is_some_and(|ready| ready.message.contains(words)) {
                Ok(meter)
            } else {
                Err(format!("{status:#?}"))
            }
        });
        seen.await.unwrap()
    }

    /// The facts of the meter and all gaps, from a copy of the ledger that nobody writes.
    async fn recorded(stage: &Stage) -> Result<(Vec<Fact>, Vec<GapDoc>), String> {
        let ledger = stage.operator.lock().await.ledger().to_owned();
        let store = Store::open_read_only(&ledger)
            .await
            .map_err(|error| error.to_string())?;
        let facts = store.facts(&FactFilter::default()).await;
        let gaps = store.documents::<GapDoc>(None, None).await;
        store.close().await.map_err(|error| error.to_string())?;
        let facts = facts.map_err(|error| error.to_string())?;
        let gaps = gaps.map_err(|error| error.to_string())?;
        let facts = facts.into_iter().map(|recorded| recorded.value);
        Ok((
            facts
                .filter(|fact| fact.meter.to_string() == "meter/buckets")
                .collect(),
            gaps.into_iter().map(|recorded| recorded.value).collect(),
        ))
    }

    /// What happened of the meter, once it is so much.
    async fn facts(stage: &Stage, number: usize) -> Vec<Fact> {
        let what = format!("{number} facts of the meter");
        let seen = stage.see(&what, LONG, async || {
            let (facts, _) = recorded(stage).await?;
            if facts.len() == number {
                Ok(facts)
            } else {
                Err(format!("{facts:#?}"))
            }
        });
        seen.await.unwrap()
    }

    /// Waits until a period is closed that begins after an instant.
    async fn closes_after(stage: &Stage, at: Second) {
        let auditor = stage.user(User::Auditor).await.unwrap();
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let at = at.in_zone(&zone);
        let seen = stage.see("a period that closes all the same", PERIODS, async || {
            let all = auditor.list::<BillingPeriod>(None).await;
            let all = all.map_err(|failure| format!("{failure:?}"))?;
            let closed = all.iter().any(|period| {
                let status = period.status.as_ref();
                status.is_some_and(|status| status.phase == PeriodPhase::Closed && status.from > at)
            });
            if closed {
                Ok(())
            } else {
                Err(format!("{} periods, none of them", all.len()))
            }
        });
        seen.await.unwrap();
    }

    /// Lets the operator read buckets, by the chart.
    async fn allow(stage: &Stage) {
        let chart = repository().join("charts").join("leasehold");
        let chart = chart.display().to_string();
        let upgrade = [
            "upgrade",
            "leasehold",
            &chart,
            "--namespace",
            NAMESPACE,
            "--reuse-values",
            "--set-json",
            READ,
        ];
        stage.rig.helm(&upgrade).await.unwrap().ok().unwrap();
    }

    async fn leased(stage: &'static Stage) -> Office {
        let office = stage.office(CODE, "图书馆").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        office
    }

    #[tokio::test]
    async fn a_kind_that_goes_ends_what_was_counted_holds_nothing_up_and_comes_back_with_a_gap() {
        let stage = Stage::shared().await.unwrap();
        let admin = stage.user(User::Admin).await.unwrap();
        let data_centre = stage.user(User::DataCentre).await.unwrap();
        allow(stage).await;
        install(&admin).await;
        data_centre.apply(&meter()).await.unwrap();
        says(stage, "counts one each").await;
        leased(stage).await;
        make(&admin, "first").await;
        let opened = facts(stage, 1).await.remove(0);
        assert_eq!((opened.kind, opened.quantity), (FactKind::Opened, 1));

        let gone = ["delete", DEFINITION, "--timeout=60s"];
        admin.kubectl(&gone, "").await.unwrap().ok().unwrap();
        let closed = facts(stage, 2).await.remove(1);
        assert_eq!(closed.kind, FactKind::Closed);
        let meter = says(stage, "are not served").await;
        let conditions = meter.status.unwrap().conditions;
        assert!(conditions.iter().all(|found| found.type_ != types::BLIND));
        closes_after(stage, closed.at).await;

        install(&admin).await;
        says(stage, "counts one each").await;
        make(&admin, "second").await;
        let opened = facts(stage, 3).await.remove(2);
        assert_eq!(opened.subject.object, format!("Bucket {PLACE}/second"));
        assert!(!opened.estimated, "{opened:?}");
        let (_, gaps) = recorded(stage).await.unwrap();
        let [gap] = gaps.as_slice() else {
            panic!("{gaps:#?}")
        };
        assert!(gap.source.starts_with("meter/buckets/"), "{gap:?}");
        let reason = "the API server did not serve the kind for a while";
        assert_eq!(gap.reason, reason);
        // it was asked for again and again, so that hardly anything is missing
        assert!(
            gap.from > closed.at && gap.to.since(gap.from) <= 60,
            "{gap:?}"
        );
    }
}
