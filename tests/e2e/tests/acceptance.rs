//! A first lease that its department has to accept before it pays: what is said by whom, and from when
//! on it is billed.
//!
//! The policy is that of the examples with billing from the acceptance, so this program has a control
//! plane of its own.

#[cfg(test)]
mod acceptance {
    use std::path::PathBuf;

    use k8s_openapi::api::core::v1::ResourceQuota;
    use leasehold_api::tenancy::{AcceptanceState, AcceptanceStatus, Phase, Tenancy};
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::document::{AcceptanceDoc, DeliveredDoc, Document, EffectiveDoc};
    use leasehold_ledger::fact::Fact;
    use leasehold_ledger::time::Second;
    use leasehold_store::{FactFilter, Store};
    use leasehold_testkit::{LONG, User};
    use serde_json::{Value, json};

    const CODE: &str = "accepting";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];
    /// Four cores.
    const PODS: &str = "32";
    const SLOW: &str = "磁盘太慢";

    /// The platform of the examples, where a first lease is billed from its acceptance.
    async fn stage() -> &'static Stage {
        let stage = Stage::bare().await.unwrap();
        let mut policy = Stage::policy().unwrap();
        policy["spec"]["acceptance"] = json!({"billingStarts": "Accepted"});
        stage.furnish(&policy).await.unwrap();
        stage
    }

    /// The operator's ledger, which goes on being written.
    async fn ledger(stage: &Stage) -> Store {
        let path: PathBuf = stage.operator.lock().await.ledger().to_owned();
        Store::open_read_only(&path).await.unwrap()
    }

    /// The ledger's documents of a kind about the tenancy.
    async fn documents<D: Document>(stage: &Stage) -> Vec<D> {
        let store = ledger(stage).await;
        let subject = format!("{CODE}/oa");
        let all = store.documents::<D>(Some(&subject), None).await.unwrap();
        all.into_iter().map(|recorded| recorded.value).collect()
    }

    /// What is recorded of leases of the department.
    async fn leased(stage: &Stage) -> Vec<Fact> {
        let filter = FactFilter {
            department: Some(CODE.to_owned()),
            ..FactFilter::default()
        };
        let facts = ledger(stage).await.facts(&filter).await.unwrap();
        let facts = facts.into_iter().map(|recorded| recorded.value);
        facts
            .filter(|fact| fact.meter.to_string().starts_with("lease/"))
            .collect()
    }

    fn acceptance(tenancy: &Tenancy) -> AcceptanceStatus {
        let status = tenancy.status.clone().unwrap_or_default();
        status.acceptance.unwrap_or_default()
    }

    /// Leases and gets what is leased; nobody has said anything of it yet.
    async fn delivered(stage: &'static Stage) -> Office {
        let office = stage.office(CODE, "商务局").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.system().await.unwrap();
        office.staff.apply(&manifest).await.unwrap();
        office.approve("oa", 1).await.unwrap();
        let tenancy = office.phase("oa", Phase::Provisioned).await.unwrap();
        let shown = acceptance(&tenancy);
        assert_eq!((shown.request, shown.state), (1, AcceptanceState::Open));
        // 4 × 46.00 + 8 × 17.00
        assert_eq!(shown.monthly.as_deref(), Some("320.00"));
        assert_eq!(shown.items.len(), LEASE.len(), "{:?}", shown.items);
        let status = tenancy.status.unwrap();
        let told = status.conditions.iter().find(|c| c.type_ == "Waiting");
        let told = &told.unwrap().message;
        let command = format!("leasehold accept oa -n {}", office.place);
        assert!(told.contains(&command), "{told}");
        assert!(told.contains(shown.until.as_deref().unwrap()), "{told}");
        let delivered = documents::<DeliveredDoc>(stage).await;
        assert_eq!(delivered.len(), 1, "{delivered:?}");
        let (at, until) = (delivered[0].at, delivered[0].until);
        // the days begin when it is recorded, moments after it stood
        let more = until.since(at) - 7 * 24 * 3600;
        assert!((0..60).contains(&more), "{delivered:?}");
        office
    }

    /// Waits until so many pods may run.
    async fn pods(office: &Office, expected: &str) {
        let place = format!("{CODE}--prod");
        let what = format!("a quota of {expected} pods");
        let seen = office.stage.see(&what, LONG, async || {
            let quota = office.staff.get::<ResourceQuota>(Some(&place), "leasehold");
            let status = quota.await?.status.unwrap_or_default();
            match status.hard.as_ref().and_then(|hard| hard.get("pods")) {
                Some(found) if found.0 == expected => Ok(()),
                found => Err(format!("{found:?}")),
            }
        });
        seen.await.unwrap();
    }

    /// Nobody but the department accepts what the department pays.
    async fn nobody_else_accepts(office: &Office) {
        let words = ["accept", "oa", "-n", &office.place, "--yes"];
        let people = [
            (User::Office, r#"cannot patch resource "tenancies""#),
            (User::SUN, "tenancies"),
            (User::Auditor, r#"cannot patch resource "tenancies""#),
            (User::Outsider(CODE), r#"cannot get resource "tenancies""#),
        ];
        for (user, why) in people {
            let session = office.stage.user(user).await.unwrap();
            let ran = session.leasehold(&words).await.unwrap();
            ran.with_code(1).unwrap().refused(why).unwrap();
        }
        let tenancy = office.staff.get::<Tenancy>(Some(&office.place), "oa").await;
        assert_eq!(tenancy.unwrap().spec.acceptance, None);
    }

    /// What is not in place is not accepted, whatever the manifest says of it.
    async fn another_request_is_pointed_out(office: &Office) {
        let words = json!({"spec": {"acceptance": {"request": 2, "accepted": true}}});
        let place = ["-n", office.place.as_str()];
        let ran = office.staff.try_patch("tcy/oa", &place, &words).await;
        ran.unwrap().ok().unwrap();
        let sentence = office.refused("oa", "T47").await.unwrap();
        let expected = "asked an acceptance of request 2, allowed one of request 1";
        assert!(sentence.contains(expected), "{sentence}");
    }

    /// The department gives it back: nothing runs, and nothing is billed.
    async fn the_department_gives_it_back(office: &Office) {
        let place = office.place.as_str();
        let bare = ["accept", "oa", "-n", place, "--reject", "--yes"];
        let ran = office.staff.leasehold(&bare).await.unwrap();
        ran.refused("--reason <TEXT>").unwrap();
        let words = [&bare[..], &["--reason", SLOW]].concat();
        office.staff.leasehold(&words).await.unwrap().ok().unwrap();
        let what = "a lease that was given back";
        let tenancy = office.when("oa", what, |tenancy| {
            acceptance(tenancy).state == AcceptanceState::Rejected
        });
        let tenancy = tenancy.await.unwrap();
        let shown = acceptance(&tenancy);
        assert_eq!(shown.by.as_deref(), Some("zhang@accepting"));
        assert_eq!(shown.reason.as_deref(), Some(SLOW));
        assert_eq!(tenancy.status.unwrap().phase, Phase::Provisioned);
        pods(office, "0").await;
        let billed = leased(office.stage).await;
        assert!(billed.is_empty(), "{billed:?}");
    }

    /// The department accepts; gives the instant from which that counts.
    async fn the_department_accepts(office: &Office) -> Second {
        let place = office.place.as_str();
        let words = ["accept", "oa", "-n", place, "--yes", "-o", "json"];
        let ran = office.staff.leasehold(&words).await.unwrap().ok().unwrap();
        let told: Value = ran.json().unwrap();
        let expected = json!({"tenancy": "oa", "namespace": place, "request": 1, "accepted": true,
            "reason": null});
        assert_eq!(told, expected);
        let tenancy = office.phase("oa", Phase::Active).await.unwrap();
        assert_eq!(acceptance(&tenancy).state, AcceptanceState::Accepted);
        pods(office, PODS).await;
        let words = documents::<AcceptanceDoc>(office.stage).await;
        let said: Vec<(bool, &str, &str)> = words
            .iter()
            .map(|word| (word.accepted, word.by.as_str(), word.reason.as_str()))
            .collect();
        let by = "zhang@accepting";
        assert_eq!(said, [(false, by, SLOW), (true, by, "")]);
        words[1].at
    }

    #[tokio::test]
    async fn a_first_lease_is_billed_from_the_word_of_its_department_and_not_before_t47() {
        let stage = stage().await;
        let office = delivered(stage).await;
        pods(&office, PODS).await;
        let billed = leased(stage).await;
        assert!(billed.is_empty(), "nobody has accepted: {billed:?}");
        nobody_else_accepts(&office).await;
        another_request_is_pointed_out(&office).await;
        the_department_gives_it_back(&office).await;

        let accepted = the_department_accepts(&office).await;
        let effective = documents::<EffectiveDoc>(stage).await;
        let effective: Vec<(u32, Second)> = effective.iter().map(|e| (e.request, e.at)).collect();
        assert_eq!(effective, [(1, accepted)]);
        let billed = leased(stage).await;
        let mut billed: Vec<(String, i64, Second)> = billed
            .iter()
            .map(|fact| (fact.meter.to_string(), fact.quantity, fact.at))
            .collect();
        billed.sort();
        let expected = [
            ("lease/memory".to_owned(), 8 << 30, accepted),
            ("lease/vcpu-x86".to_owned(), 4_000, accepted),
        ];
        assert_eq!(billed, expected);

        let place = ["-n", office.place.as_str()];
        let back = json!({"spec": {"acceptance": {"accepted": false, "reason": SLOW}}});
        let ran = office.staff.try_patch("tcy/oa", &place, &back).await;
        ran.unwrap().refused("rule T46").unwrap();
        let words = ["accept", "oa", "-n", &office.place, "--yes"];
        let ran = office.staff.leasehold(&words).await.unwrap();
        let why = "was accepted already, by zhang@accepting";
        ran.with_code(1).unwrap().refused(why).unwrap();
    }
}
