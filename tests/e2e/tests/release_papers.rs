//! A release with its papers: the department says where its data went before the office is asked, and signs before
//! anything is deleted.
//!
//! The policy is that of the examples with both papers required, so this program has a control plane of its own.

#[cfg(test)]
mod release_papers {
    use k8s_openapi::api::core::v1::Namespace;
    use leasehold_api::charging::SubjectOfDecision;
    use leasehold_api::tenancy::{Phase, SignOffState, SignOffStatus, Tenancy};
    use leasehold_e2e::{Office, Stage};
    use leasehold_testkit::User;
    use serde_json::{Value, json};

    const CODE: &str = "leaving";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];

    /// The platform of the examples, where a release needs both papers and no grace.
    async fn stage() -> &'static Stage {
        let stage = Stage::bare().await.unwrap();
        let mut policy = Stage::policy().unwrap();
        policy["spec"]["release"] =
            json!({"graceSeconds": 0, "backupStatement": "Required", "signOff": "Required"});
        stage.furnish(&policy).await.unwrap();
        stage
    }

    async fn leased(stage: &'static Stage) -> Office {
        let office = stage.office(CODE, "商务局").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        office
    }

    async fn writes(office: &Office, patch: Value) {
        let place = ["-n", office.place.as_str()];
        let ran = office.staff.try_patch("tcy/oa", &place, &patch).await;
        ran.unwrap().ok().unwrap();
    }

    fn signed(tenancy: &Tenancy) -> SignOffStatus {
        let status = tenancy.status.clone().unwrap_or_default();
        status.sign_off.unwrap_or_default()
    }

    /// Without the statement nothing begins, and the manifest may be put back.
    async fn the_release_lacks_its_statement(office: &Office) {
        let reason = json!({"spec": {"release": {"reason": "系统下线"}}});
        writes(office, reason.clone()).await;
        let sentence = office.refused("oa", "T48").await.unwrap();
        assert!(sentence.contains("set spec.release.backup"), "{sentence}");
        let tenancy = office.staff.get::<Tenancy>(Some(&office.place), "oa").await;
        let status = tenancy.unwrap().status.unwrap();
        assert_eq!(status.phase, Phase::Active);
        assert_eq!(status.release_decision.as_deref(), Some("Incomplete"));
        writes(office, json!({"spec": {"release": null}})).await;
        let what = "a lease that goes on";
        let goes_on = |tenancy: &Tenancy| {
            let status = tenancy.status.as_ref();
            status.is_some_and(|status| status.release_decision.is_none())
        };
        office.when("oa", what, goes_on).await.unwrap();
        writes(office, reason).await;
        office.refused("oa", "T48").await.unwrap();
    }

    /// The office reads the statement, and says yes.
    async fn the_office_approves_what_it_reads(office: &Office) {
        let said = json!({"taken": true, "uri": "s3://archive/oa-2026"});
        writes(office, json!({"spec": {"release": {"backup": said}}})).await;
        let place = Some(office.place.as_str());
        let inbox = office
            .stage
            .inbox(SubjectOfDecision::Release, "oa", 0, place);
        let paper = inbox.await.unwrap();
        let snapshot = &paper.spec.snapshot;
        assert!(
            snapshot.contains("taken, at s3://archive/oa-2026"),
            "{snapshot}"
        );
        office.stage.approve(User::Office, &paper).await.unwrap();
    }

    async fn namespace_is_there(office: &Office) -> bool {
        let admin = office.stage.user(User::Admin).await.unwrap();
        let found = admin.find::<Namespace>(None, "leaving--prod").await;
        let found = found.unwrap();
        found.is_some_and(|found| found.metadata.deletion_timestamp.is_none())
    }

    #[tokio::test]
    async fn a_tenancy_goes_with_a_statement_and_a_sign_off_and_with_neither_missing_t48_t49() {
        let office = leased(stage().await).await;
        the_release_lacks_its_statement(&office).await;
        the_office_approves_what_it_reads(&office).await;
        let what = "a release that waits for its sign-off";
        let waits = |tenancy: &Tenancy| {
            let status = tenancy.status.iter();
            let mut conditions = status.flat_map(|status| &status.conditions);
            conditions.any(|condition| condition.type_ == "Unsigned")
        };
        let tenancy = office.when("oa", what, waits).await.unwrap();
        assert_eq!(
            (signed(&tenancy).release, signed(&tenancy).state),
            (1, SignOffState::Open)
        );
        writes(&office, json!({"spec": {"signOff": {"release": 2}}})).await;
        let sentence = office.refused("oa", "T49").await.unwrap();
        assert!(sentence.contains("allowed one of release 1"), "{sentence}");
        assert!(namespace_is_there(&office).await);

        writes(&office, json!({"spec": {"signOff": {"release": 1}}})).await;
        let released = office.phase("oa", Phase::Released).await.unwrap();
        let shown = signed(&released);
        assert_eq!(shown.state, SignOffState::Signed);
        assert_eq!(shown.by.as_deref(), Some("zhang@leaving"));
        assert!(!namespace_is_there(&office).await);
        let what = "what the final bill waits for";
        let billed = |tenancy: &Tenancy| {
            let status = tenancy.status.iter();
            let mut conditions = status.flat_map(|status| &status.conditions);
            conditions.any(|condition| condition.type_ == "Billed")
        };
        office.when("oa", what, billed).await.unwrap();
    }
}
