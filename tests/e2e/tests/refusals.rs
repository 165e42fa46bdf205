//! What is refused, by which rule, and by whom: through the real API server, as the people concerned.

#[cfg(test)]
mod refusals {
    use leasehold_api::charging::{Approval, SubjectOfDecision};
    use leasehold_api::tenancy::{ContributionPhase, HardwareContribution, Phase};
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::journal::EntryKind;
    use leasehold_store::Store;
    use leasehold_testkit::manifests::{self, Contributed};
    use leasehold_testkit::{LONG, User};
    use serde_json::{Value, json};

    const CREDIT: SubjectOfDecision = SubjectOfDecision::HardwareContribution;
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];

    async fn open(code: &str, name: &str) -> Office {
        Stage::shared().await.unwrap().office(code, name).await.unwrap()
    }

    /// Appraises and receives one server, whose node joins today.
    async fn prove(office: &Office, name: &str, uid: &str, serial: &str) {
        let stage = office.stage;
        let node = format!("node-{}", serial.to_lowercase());
        let admin = stage.user(User::Admin).await.unwrap();
        admin.create(&manifests::node(&node, serial, &format!("uuid-{serial}"))).await.unwrap();
        let of = Contributed { code: &office.code, name, uid };
        appraise(office, of, serial).await;
        let receipt = manifests::receipt(of, name, &[(serial, &node)]).unwrap();
        stage.user(User::DataCentre).await.unwrap().apply(&receipt).await.unwrap();
    }

    async fn appraise(office: &Office, of: Contributed<'_>, serial: &str) {
        let name = format!("{}-1", of.name);
        let appraisal = manifests::appraisal(of, &name, &[(serial, "20000.00")]).unwrap();
        office.stage.user(User::Appraiser).await.unwrap().create(&appraisal).await.unwrap();
    }

    async fn nobody_was_asked(office: &Office) {
        let auditor = office.stage.user(User::Auditor).await.unwrap();
        let approvals = auditor.list::<Approval>(Some(&office.place)).await.unwrap();
        assert!(approvals.is_empty(), "{approvals:?}");
    }

    fn is_credited(found: &HardwareContribution) -> bool {
        found.status.as_ref().is_some_and(|status| status.phase == ContributionPhase::Credited)
    }

    fn conditions(found: &HardwareContribution) -> String {
        let conditions = found.status.iter().flat_map(|status| &status.conditions);
        conditions.map(|condition| condition.message.clone()).collect::<Vec<_>>().join("; ")
    }

    /// A contribution whose first device has other values in some fields.
    fn offer_with(code: &str, name: &str, serial: &str, device: &Value) -> Value {
        let mut manifest = manifests::contribution(code, name, &[serial]);
        for (field, value) in device.as_object().unwrap() {
            manifest["spec"]["devices"][0][field] = value.clone();
        }
        manifest
    }

    #[tokio::test]
    async fn a_serial_that_backs_a_credit_backs_no_other_anywhere_h01() {
        let first = open("serial-a", "公安局").await;
        let second = open("serial-b", "司法局").await;
        let offer = manifests::contribution("serial-a", "servers", &["SN-H01-0001"]);
        let uid = first.offer(&offer).await.unwrap();
        prove(&first, "servers", &uid, "SN-H01-0001").await;
        first.stage.decide(User::SUN, CREDIT, "servers", 1).await.unwrap();
        first.contribution("servers", "the credit", is_credited).await.unwrap();
        // look-alike characters, case and dashes do not make another serial
        let again = manifests::contribution("serial-b", "same", &["sn h01 ooo1"]);
        second.offer(&again).await.unwrap();
        let message = second.finding("same", "H01").await.unwrap();
        assert!(message.contains("serial-a/servers"), "{message}");
    }

    #[tokio::test]
    async fn two_live_offers_of_one_serial_both_wait_and_being_first_wins_nothing_h01() {
        let (first, second) = (open("contest-a", "民政局").await, open("contest-b", "水利局").await);
        for office in [&first, &second] {
            let offer = manifests::contribution(&office.code, "servers", &["SN-H01-0002"]);
            office.offer(&offer).await.unwrap();
        }
        for office in [&first, &second] {
            let what = "an offer that waits because its serial is contested";
            let contested =
                |found: &HardwareContribution| conditions(found).contains("SerialContested");
            office.contribution("servers", what, contested).await.unwrap();
        }
        let withdrawn = json!({"spec": {"withdrawn": true}});
        let more = ["-n", second.place.as_str()];
        second.staff.try_patch("hwc/servers", &more, &withdrawn).await.unwrap().ok().unwrap();
        let free = |found: &HardwareContribution| {
            found.status.is_some() && !conditions(found).contains("SerialContested")
        };
        first.contribution("servers", "an offer that is free again", free).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_accredited_agency_files_an_appraisal_and_it_cannot_change_h30_h22() {
        let office = open("appraise", "文旅局").await;
        let offer = manifests::contribution("appraise", "servers", &["SN-H30-0001"]);
        let uid = office.offer(&offer).await.unwrap();
        let of = Contributed { code: "appraise", name: "servers", uid: &uid };
        let appraisal =
            manifests::appraisal(of, "servers-0", &[("SN-H30-0001", "9.00")]).unwrap();
        let stranger = office.stage.user(User::StrangeAppraiser).await.unwrap();
        stranger.try_create(&appraisal).await.unwrap().refused("rule H30:").unwrap();
        office.staff.try_create(&appraisal).await.unwrap().refused("forbidden").unwrap();
        prove(&office, "servers", &uid, "SN-H30-0001").await;
        office.stage.decide(User::SUN, CREDIT, "servers", 1).await.unwrap();
        office.contribution("servers", "the credit", is_credited).await.unwrap();
        let higher = json!({"spec": {"devices": [
            {"serial": "SN-H30-0001", "value": "51000.00", "newnessPercent": "98"},
        ]}});
        let admin = office.stage.user(User::Admin).await.unwrap();
        let more = ["-n", office.place.as_str()];
        let changed = admin.try_patch("aps/servers-1", &more, &higher).await.unwrap();
        changed.refused("rule H22:").unwrap();
    }

    #[tokio::test]
    async fn a_device_bought_outside_of_the_window_is_refused_by_its_dates_h02() {
        // the policy's reference date is 2026-09-01 and the greatest age 36 months
        let office = open("dates", "档案馆").await;
        let cases = [
            ("too-new", "SN-H02-0001", "2026-09-02", "2026-09-03"),
            ("too-old", "SN-H02-0002", "2023-08-31", "2023-09-05"),
        ];
        for (name, serial, invoiced, accepted) in cases {
            let dates = json!({"invoiceDate": invoiced, "acceptedOn": accepted});
            office.offer(&offer_with("dates", name, serial, &dates)).await.unwrap();
            let message = office.finding(name, "H02").await.unwrap();
            assert!(message.contains(invoiced), "{message}");
        }
        let edge = json!({"invoiceDate": "2023-09-01", "acceptedOn": "2026-09-01"});
        office.offer(&offer_with("dates", "edge", "SN-H02-0003", &edge)).await.unwrap();
        let what = "an offer on both edges that only waits for its proofs";
        let waits = |found: &HardwareContribution| {
            found.status.as_ref().is_some_and(|status| {
                status.phase == ContributionPhase::Offered && status.findings.is_empty()
            }) && !conditions(found).is_empty()
        };
        office.contribution("edge", what, waits).await.unwrap();
        let backwards = json!({"invoiceDate": "2024-03-06", "acceptedOn": "2024-03-05"});
        let backwards = offer_with("dates", "backwards", "SN-H02-0004", &backwards);
        office.staff.try_create(&backwards).await.unwrap().refused("rule H02:").unwrap();
    }

    #[tokio::test]
    async fn a_maker_that_is_not_listed_and_a_value_above_the_price_are_refused_h25_h03() {
        let office = open("makers", "农业局").await;
        let unknown = json!({"maker": "garage"});
        office.offer(&offer_with("makers", "unknown", "SN-H25-0001", &unknown)).await.unwrap();
        let message = office.finding("unknown", "H25").await.unwrap();
        assert!(message.contains("huawei"), "{message}");
        let cheap = json!({"originalPrice": "19999.99"});
        let cheap = offer_with("makers", "cheap", "SN-H03-0001", &cheap);
        let uid = office.offer(&cheap).await.unwrap();
        let of = Contributed { code: "makers", name: "cheap", uid: &uid };
        appraise(&office, of, "SN-H03-0001").await;
        let message = office.finding("cheap", "H03").await.unwrap();
        assert!(message.contains("20000.00") && message.contains("19999.99"), "{message}");
    }

    #[tokio::test]
    async fn without_a_receipt_that_names_the_right_node_nobody_is_asked_h06_h24() {
        let office = open("receipts", "交通局").await;
        let offer = manifests::contribution("receipts", "servers", &["SN-H24-0001"]);
        let uid = office.offer(&offer).await.unwrap();
        let of = Contributed { code: "receipts", name: "servers", uid: &uid };
        appraise(&office, of, "SN-H24-0001").await;
        let what = "an appraised offer that waits for its receipt";
        let waits = |found: &HardwareContribution| conditions(found).contains("receipt");
        office.contribution("servers", what, waits).await.unwrap();

        let stage = office.stage;
        let admin = stage.user(User::Admin).await.unwrap();
        let other = manifests::node("node-of-another", "SN-OF-ANOTHER", "uuid-of-another");
        admin.create(&other).await.unwrap();
        let datacentre = stage.user(User::DataCentre).await.unwrap();
        let mut early =
            manifests::receipt(of, "early", &[("SN-H24-0001", "node-of-another")]).unwrap();
        early["spec"]["arrivedOn"] = json!("2026-01-01");
        datacentre.apply(&early).await.unwrap();
        office.finding("servers", "H06").await.unwrap();
        let wrong =
            manifests::receipt(of, "wrong", &[("SN-H24-0001", "node-of-another")]).unwrap();
        datacentre.apply(&wrong).await.unwrap();
        office.finding("servers", "H24").await.unwrap();
        nobody_was_asked(&office).await;
    }

    #[tokio::test]
    async fn an_operator_killed_around_the_approval_grants_the_credit_once() {
        let office = open("retry", "教育局").await;
        let offer = manifests::contribution("retry", "servers", &["SN-RETRY-01"]);
        let uid = office.offer(&offer).await.unwrap();
        prove(&office, "servers", &uid, "SN-RETRY-01").await;
        let stage = office.stage;
        let approval = stage.inbox(CREDIT, "servers", 1, Some(&office.place)).await.unwrap();
        {
            let mut operator = stage.operator.lock().await;
            stage.approve(User::SUN, &approval).await.unwrap();
            // before, while or after it wrote: whatever it was doing, it is done again
            operator.kill();
            operator.restart().await.unwrap();
            operator.kill();
            operator.restart().await.unwrap();
        }
        let found = office.contribution("servers", "the credit", is_credited).await.unwrap();
        assert_eq!(found.status.unwrap().credit.unwrap().granted, "20000.00");
        let path = stage.operator.lock().await.ledger().to_owned();
        let store = Store::open_read_only(&path).await.unwrap();
        let entries = store.entries(None).await.unwrap();
        let grants = entries
            .iter()
            .filter(|entry| entry.value.kind == EntryKind::Grant && entry.value.department == "retry");
        assert_eq!(grants.count(), 1);
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn who_asks_does_not_decide_and_who_decides_has_the_right_a05_a06() {
        let office = open("decide", "审计局").await;
        let stage = office.stage;
        let sun = stage.user(User::SUN).await.unwrap();
        let mut book = manifests::example("03-prices.yaml", "").unwrap().remove(0);
        book["metadata"]["name"] = json!("elsewhere-2026");
        book["spec"]["provider"] = json!("elsewhere");
        sun.apply(&book).await.unwrap();
        let kind = SubjectOfDecision::PriceBook;
        let approval = stage.inbox(kind, "elsewhere-2026", 1, None).await.unwrap();
        let target = format!("apv/{}", approval.metadata.name.clone().unwrap());
        let place = approval.metadata.namespace.clone().unwrap();
        let more = ["-n", place.as_str()];
        let yes = json!({"spec": {"decision": "Approved", "orderNo": "1"}});
        sun.try_patch(&target, &more, &yes).await.unwrap().refused("rule A06:").unwrap();
        let chen = stage.user(User::Office).await.unwrap();
        chen.try_patch(&target, &more, &yes).await.unwrap().refused("rule A05:").unwrap();
        let auditor = stage.user(User::Auditor).await.unwrap();
        auditor.try_patch(&target, &more, &yes).await.unwrap().refused("forbidden").unwrap();
        let qian = stage.user(User::QIAN).await.unwrap();
        // the stamp says who it was, whatever was written
        let forged = json!({"spec": {
            "decision": "Approved", "orderNo": "1", "decidedBy": "sun@finance",
        }});
        qian.try_patch(&target, &more, &forged).await.unwrap().ok().unwrap();
        let name = approval.metadata.name.unwrap();
        let decided = qian.get::<Approval>(Some(&place), &name).await.unwrap();
        assert_eq!(decided.spec.decided_by.as_deref(), Some("qian@finance"));
        let no = json!({"spec": {"decision": "Rejected", "reason": "no"}});
        qian.try_patch(&target, &more, &no).await.unwrap().refused("rule A01:").unwrap();
    }

    #[tokio::test]
    async fn a_department_writes_nothing_that_money_or_rights_depend_on() {
        let office = open("rights", "统战部").await;
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        let offer = manifests::contribution("rights", "servers", &["SN-RIGHTS-1"]);
        office.offer(&offer).await.unwrap();
        let staff = &office.staff;
        let credit = json!({"status": {"credit": {
            "granted": "999999.00", "applied": "0.00", "remaining": "999999.00",
            "from": "2026-01-01", "through": "2029-01-01",
        }}});
        let more = ["-n", office.place.as_str(), "--subresource=status"];
        let edited = staff.try_patch("hwc/servers", &more, &credit).await.unwrap();
        edited.refused("forbidden").unwrap();
        let admin = office.stage.user(User::Admin).await.unwrap();
        let edited = admin.try_patch("hwc/servers", &more, &credit).await.unwrap();
        edited.refused("rule C03:").unwrap();
        for (manifest, rule) in forbidden("rights--prod", &office.place) {
            staff.try_create(&manifest).await.unwrap().refused("forbidden").unwrap();
            admin.dry_create(&manifest).await.unwrap().refused(rule).unwrap();
        }
    }

    /// What a department must not write, and the rule that holds even against the administrator.
    fn forbidden(namespace: &str, office: &str) -> Vec<(Value, &'static str)> {
        let zeros = format!("sha256:{}", "0".repeat(64));
        let core = json!({"name": "own", "namespace": namespace});
        let charging = json!({"name": "own", "namespace": office});
        vec![
            (
                json!({
                    "apiVersion": "v1", "kind": "ResourceQuota", "metadata": core,
                    "spec": {"hard": {"pods": "1000"}},
                }),
                "rule N01:",
            ),
            (
                json!({
                    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": core, "spec": {"podSelector": {}, "egress": [{}]},
                }),
                "rule N01:",
            ),
            (
                json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                    "metadata": core,
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                        "name": "edit",
                    },
                    "subjects": [{
                        "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "x",
                    }],
                }),
                "rule N01:",
            ),
            (
                json!({
                    "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Approval",
                    "metadata": charging,
                    "spec": {
                        "role": "office", "title": "own", "snapshot": "own",
                        "subject": {
                            "kind": "Tenancy", "name": "oa", "uid": "u", "request": 9,
                            "digest": zeros, "requestedBy": "somebody",
                        },
                    },
                }),
                "rule A07:",
            ),
            (statement(office, &zeros), "rule C03:"),
        ]
    }

    fn statement(office: &str, digest: &str) -> Value {
        json!({
            "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Statement",
            "metadata": {"name": "own", "namespace": office},
            "spec": {
                "number": "HS-own", "state": "Final",
                "period": {
                    "name": "own", "from": "a", "through": "b", "start": "a", "end": "b",
                    "timeZone": "Asia/Shanghai", "rehearsal": false,
                },
                "department": {"name": "own", "displayName": "own"}, "payee": "own",
                "currency": "CNY", "lines": [], "policy": digest,
                "totals": {"gross": "0.00", "offset": "0.00", "adjustments": "0.00", "net": "0.00"},
            },
        })
    }

    #[tokio::test]
    async fn a_live_tenancy_and_its_namespaces_are_released_and_not_deleted_t12_n03() {
        let office = open("alive", "卫健委").await;
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        let gone = ["delete", "tcy/oa", "-n", &office.place, "--wait=false"];
        let refused = office.staff.kubectl(&gone, "").await.unwrap().refused("rule T12:").unwrap();
        assert!(refused.stderr.contains("leasehold release oa"), "{}", refused.stderr);
        let namespace = ["delete", "namespace", "alive--prod", "--wait=false"];
        office.staff.kubectl(&namespace, "").await.unwrap().refused("forbidden").unwrap();
        let admin = office.stage.user(User::Admin).await.unwrap();
        admin.kubectl(&namespace, "").await.unwrap().refused("rule N03:").unwrap();
        let home = ["delete", "namespace", &office.place, "--wait=false"];
        admin.kubectl(&home, "").await.unwrap().refused("rule N03:").unwrap();
        let department = "leasehold.dev/department=other";
        let label = ["label", "namespace", "alive--prod", department, "--overwrite"];
        admin.kubectl(&label, "").await.unwrap().refused("rule N02:").unwrap();
    }

    #[tokio::test]
    async fn a_namespace_that_is_not_ours_is_never_taken_t32() {
        let office = open("squat", "体育局").await;
        // made with the only right that may make such a name, and without our labels
        let maker = office.stage.rig.service_account().await.unwrap();
        let foreign = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "squat--prod"},
        });
        maker.create(&foreign).await.unwrap();
        office.system().await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.staff.apply(&manifest).await.unwrap();
        office.approve("oa", 1).await.unwrap();
        let tenancy = office
            .when("oa", "a namespace that is not taken", |tenancy| {
                let namespaces = tenancy.status.iter().flat_map(|status| &status.namespaces);
                namespaces
                    .filter_map(|namespace| namespace.message.as_deref())
                    .any(|message| message.contains("rule T32:"))
            })
            .await
            .unwrap();
        assert_ne!(tenancy.status.unwrap().phase, Phase::Active);
    }

    #[tokio::test]
    async fn requests_that_break_a_rule_are_refused_with_the_numbers_and_reach_nobody() {
        let office = open("wishes", "科技局").await;
        office.system().await.unwrap();
        let plain = |name: &str| {
            let namespaces = [(name, &LEASE[..])];
            office.manifest(name, &LEASE, &namespaces).unwrap()
        };
        // 4 × 46.00 + 8 × 17.00 = 320.00 a month, 3840.00 in the term of a year
        let mut dear = plain("dear");
        dear["spec"]["budget"]["ceiling"] = json!("3839.99");
        office.staff.apply(&dear).await.unwrap();
        let sentence = office.refused("dear", "T28").await.unwrap();
        assert!(sentence.contains("3840.00") && sentence.contains("3839.99"), "{sentence}");
        let mut unknown = plain("unknown");
        unknown["spec"]["lease"][0]["item"] = json!("quantum");
        unknown["spec"]["namespaces"][0]["share"] = json!({"memory": "8Gi"});
        office.staff.apply(&unknown).await.unwrap();
        let sentence = office.refused("unknown", "T21").await.unwrap();
        assert!(sentence.contains("quantum"), "{sentence}");
        let mut over = plain("over");
        over["spec"]["namespaces"][0]["share"]["vcpu-x86"] = json!("5");
        office.staff.apply(&over).await.unwrap();
        office.refused("over", "T20").await.unwrap();
        nobody_was_asked(&office).await;
        // the ceiling that suffices opens the request
        dear["spec"]["budget"]["ceiling"] = json!("3840.00");
        office.staff.apply(&dear).await.unwrap();
        office.asked("dear", 1).await.unwrap();
    }

    #[tokio::test]
    async fn one_department_sees_nothing_of_another() {
        let (own, other) = (open("own", "统计局").await, open("other", "外事办").await);
        for kind in ["tenancies", "statements", "approvals", "hardwarecontributions"] {
            let look = ["get", kind, "-n", &other.place];
            own.staff.kubectl(&look, "").await.unwrap().refused("forbidden").unwrap();
        }
        let outsider = own.stage.user(User::Outsider("own")).await.unwrap();
        let look = ["get", "tenancies", "-n", &own.place];
        outsider.kubectl(&look, "").await.unwrap().refused("forbidden").unwrap();
        let reading = own.stage.see("what everybody may read", LONG, async || {
            let ran = outsider.kubectl(&["get", "pricebooks"], "").await;
            ran.and_then(leasehold_testkit::Ran::ok).map_err(|failure| format!("{failure:?}"))
        });
        reading.await.unwrap();
    }
}
