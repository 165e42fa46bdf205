//! Where the policy asks finance, nothing is provisioned before the office and finance have both said yes, and one person
//! cannot say both (ADR 0032).
//!
//! The policy is that of the examples with finance's confirmation, so this program has a control plane of its own.

#[cfg(test)]
mod funds {
    use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
    use leasehold_api::charging::{Approval, DecisionRole};
    use leasehold_api::conditions::types;
    use leasehold_api::tenancy::{Phase, Tenancy};
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::document::{DecisionDoc, EffectiveDoc, RequestDoc};
    use leasehold_store::Store;
    use leasehold_testkit::{LONG, User};
    use serde_json::{Value, json};

    const CODE: &str = "paying";
    const PLACE: &str = "paying--prod";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];
    const MORE: [(&str, &str); 2] = [("vcpu-x86", "6"), ("memory", "8Gi")];
    const NO_MONEY: &str = "年度预算已用完";

    /// The platform of the examples, where finance confirms the money.
    async fn stage() -> &'static Stage {
        let stage = Stage::bare().await.unwrap();
        let mut policy = Stage::policy().unwrap();
        policy["spec"]["review"] = json!({"funds": "Finance"});
        stage.furnish(&policy).await.unwrap();
        stage
    }

    /// What a condition that holds says; empty when it does not.
    fn says(tenancy: &Tenancy, type_: &str) -> String {
        let conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| condition.type_ == type_ && condition.status == "True")
            .map(|condition| condition.message.as_str())
            .collect()
    }

    /// Waits until the tenancy says this.
    async fn until_it_says(office: &Office, type_: &str, words: &str) -> Tenancy {
        let what = format!("a tenancy of which {type_} says {words:?}");
        let told = office.when("oa", &what, |tenancy| says(tenancy, type_).contains(words));
        told.await.unwrap()
    }

    /// Finance's question about a request, once it is there.
    async fn question(office: &Office, request: u32) -> Approval {
        let name = format!("oa-{request}-funds");
        let auditor = office.stage.user(User::Auditor).await.unwrap();
        let place = Some(office.place.as_str());
        let there = office.stage.see(&name, LONG, async || {
            auditor.get::<Approval>(place, &name).await
        });
        there.await.unwrap()
    }

    /// Who has decided on requests of the tenancy, by which paper and on how much a month; and how many requests are in force.
    async fn recorded(stage: &Stage) -> (Vec<(String, String, Option<String>)>, usize) {
        let path = stage.operator.lock().await.ledger().to_owned();
        let store = Store::open_read_only(&path).await.unwrap();
        let all = store.documents::<DecisionDoc>(None, None).await.unwrap();
        let of_it = format!("{CODE}/oa/1/");
        let ours = all.into_iter().map(|recorded| recorded.value);
        let ours = ours.filter(|word| word.subject.starts_with(&of_it));
        let words = ours.map(|word| {
            let monthly = word.amount_monthly.map(|monthly| monthly.to_string());
            (word.decided_by, word.order_no, monthly)
        });
        let words = words.collect();
        let about = format!("{CODE}/oa");
        let effective = store.documents::<EffectiveDoc>(Some(&about), None);
        (words, effective.await.unwrap().len())
    }

    /// There is no namespace, and the ledger has nobody's word.
    async fn nothing_stands(office: &Office) {
        let admin = office.stage.user(User::Admin).await.unwrap();
        let found = admin.find::<Namespace>(None, PLACE).await.unwrap();
        assert!(found.is_none(), "{found:?}");
        assert_eq!(recorded(office.stage).await, (Vec::new(), 0));
    }

    /// Gives the office's person the rights of finance, too.
    async fn wears_two_hats(stage: &Stage) {
        let admin = stage.user(User::Admin).await.unwrap();
        let both = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "funds-two-hats"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": "leasehold-finance",
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "User",
                "name": User::Office.name(),
            }],
        });
        admin.create(&both).await.unwrap();
    }

    /// Approves or rejects with leasehold's command line.
    async fn decides(office: &Office, user: User<'_>, words: &[&str]) -> leasehold_testkit::Ran {
        let session = office.stage.user(user).await.unwrap();
        let all = [words, &["-n", office.place.as_str(), "--yes"]].concat();
        session.leasehold(&all).await.unwrap()
    }

    /// Asks, is approved by the office, and waits for finance.
    async fn the_office_says_yes(office: &Office) {
        office.system().await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.staff.apply(&manifest).await.unwrap();
        office.approve("oa", 1).await.unwrap();
        let asked = question(office, 1).await;
        let spec = &asked.spec;
        assert_eq!(spec.role, DecisionRole::Finance);
        assert_eq!(spec.not_by.as_deref(), Some("chen@office"));
        // 4 × 46.00 + 8 × 17.00
        let begins = "Confirm that budget 30227 has 320.00 CNY a month, ";
        assert!(spec.snapshot.starts_with(begins), "{}", spec.snapshot);
        let by = "Approved for the office by chen@office, 黄政办〔2026〕12号";
        assert!(spec.snapshot.contains(by), "{}", spec.snapshot);
        let command = format!("leasehold approve oa-1-funds -n {}", office.place);
        let told = until_it_says(office, types::WAITING, &command).await;
        let request = told.status.unwrap().request.unwrap();
        let waits: Value = serde_json::to_value(&request.waiting_for).unwrap();
        assert_eq!(waits, json!(["finance"]));
    }

    /// Whoever approved for the office cannot confirm the money, whatever the rights, with the operator dead as well.
    async fn nobody_says_both(office: &Office) {
        let approve = ["approve", "oa-1-funds", "--order-no", "1"];
        let ran = decides(office, User::Office, &approve).await;
        ran.with_code(1).unwrap().refused("rule A05:").unwrap();
        wears_two_hats(office.stage).await;
        office.stage.operator.lock().await.kill();
        let why = "rule T57: chen@office gave the other decision on this request";
        let refused = office.stage.see("rule T57", LONG, async || {
            // rights take a moment
            let ran = decides(office, User::Office, &approve).await;
            ran.with_code(1)
                .and_then(|ran| ran.refused(why))
                .map_err(|failure| format!("{failure:?}"))
        });
        refused.await.unwrap();
        nothing_stands(office).await;
        office.stage.operator.lock().await.restart().await.unwrap();
        // in a round of the operator that was started
        office.look_again("oa", 1).await.unwrap();
        until_it_says(office, types::WAITING, "request 1 waits for finance").await;
        nothing_stands(office).await;
    }

    /// Cores that the namespace may use.
    async fn cores(office: &Office) -> String {
        let quota = office.staff.get::<ResourceQuota>(Some(PLACE), "leasehold");
        let spec = quota.await.unwrap().spec.unwrap();
        spec.hard.unwrap()["requests.cpu"].0.clone()
    }

    #[tokio::test]
    async fn nothing_stands_before_finance_has_confirmed_the_money_and_nobody_says_both_t57() {
        let stage = stage().await;
        let office = stage.office(CODE, "体育局").await.unwrap();
        the_office_says_yes(&office).await;
        nobody_says_both(&office).await;

        let asked = question(&office, 1).await;
        stage.approve(User::SUN, &asked).await.unwrap();
        office.phase("oa", Phase::Active).await.unwrap();
        assert_eq!(cores(&office).await, "4");
        let word = |by: &str, paper: &str, monthly: Option<&str>| {
            let monthly = monthly.map(str::to_owned);
            (by.to_owned(), paper.to_owned(), monthly)
        };
        // the office decides on what is needed, finance on an amount
        let (words, effective) = recorded(stage).await;
        let expected = [
            word("chen@office", "黄政办〔2026〕12号", None),
            word("sun@finance", "黄财资〔2026〕44号", Some("320.00")),
        ];
        assert_eq!(words, expected);
        assert_eq!(effective, 1);

        // more is asked of both again, and finance's no leaves what stands
        let manifest = office.manifest("oa", &MORE, &[("prod", &LEASE)]).unwrap();
        office.staff.apply(&manifest).await.unwrap();
        office.approve("oa", 2).await.unwrap();
        question(&office, 2).await;
        let reject = ["reject", "oa-2-funds", "--reason", NO_MONEY];
        let ran = decides(&office, User::QIAN, &reject).await;
        ran.ok().unwrap();
        let why = format!("request 2 was rejected by qian@finance: {NO_MONEY}");
        until_it_says(&office, types::REFUSED, &why).await;
        office.phase("oa", Phase::Active).await.unwrap();
        assert_eq!(cores(&office).await, "4");

        let ledger = stage.operator.lock().await.ledger().to_owned();
        let (path, place) = (ledger.display().to_string(), format!("{CODE}/oa"));
        let store = Store::open_read_only(&ledger).await.unwrap();
        let requests = store.documents::<RequestDoc>(Some(&place), None);
        let budgets = requests.await.unwrap().into_iter().map(|request| {
            let funds = request.value.funds.unwrap();
            (funds.budget, funds.monthly.to_string())
        });
        // 6 × 46.00 + 8 × 17.00
        let expected = ["320.00", "412.00"].map(|monthly| ("30227".to_owned(), monthly.to_owned()));
        assert_eq!(budgets.collect::<Vec<_>>(), expected);
        let auditor = stage.user(User::Auditor).await.unwrap();
        let ran = auditor.leasehold(&["verify", "--db", &path]).await.unwrap();
        ran.ok().unwrap();
    }
}
