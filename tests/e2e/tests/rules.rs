//! Every rule of the kinds' definitions, asked of the real API server. No operator runs here: the
//! rules hold without it.

#[cfg(test)]
mod rules {
    use std::collections::BTreeMap;

    use leasehold_testkit::{Failure, LONG, Ran, Rig, Session, User, eventually};
    use serde::Deserialize;
    use serde_json::{Value, json};

    /// The same cases as those of the unit test of the kinds.
    const CASES: &str = include_str!("../../../crates/api/tests/rules.yaml");

    #[derive(Deserialize)]
    struct Cases {
        base: BTreeMap<String, Value>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        rule: String,
        kind: String,
        #[serde(default)]
        update: bool,
        #[serde(default)]
        old: Option<Value>,
        accept: Value,
        reject: Value,
    }

    /// Who writes what. Rules bind the administrator too; where a policy of the chart lets nobody but
    /// one role write, it is that role.
    struct People {
        admin: Session,
        office: Session,
        operator: Session,
        appraiser: Session,
    }

    impl People {
        fn creator(&self, kind: &str) -> &Session {
            match kind {
                "Approval" | "Statement" | "BillingPeriod" => &self.operator,
                "Appraisal" => &self.appraiser,
                _ => &self.admin,
            }
        }

        fn writer(&self, kind: &str) -> &Session {
            match kind {
                "Approval" => &self.office,
                "Statement" | "BillingPeriod" => &self.operator,
                _ => &self.admin,
            }
        }
    }

    fn merge(target: &mut Value, patch: &Value) {
        match (target, patch) {
            (Value::Object(target), Value::Object(patch)) => {
                for (key, value) in patch {
                    merge(target.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (target, patch) => *target = patch.clone(),
        }
    }

    fn laid_over(base: &Value, patch: &Value) -> Value {
        let mut value = base.clone();
        merge(&mut value, patch);
        value
    }

    fn accepted(rule: &str, ran: &Ran) {
        assert!(ran.is_ok(), "{rule} refuses its good case: {ran:#?}");
    }

    /// It was made, by this case or by another one of the rule.
    fn is_there(rule: &str, made: &Ran) {
        let is_there = made.is_ok() || made.stderr.contains("AlreadyExists");
        assert!(is_there, "{rule}: {made:#?}");
    }

    fn rejected(rule: &str, ran: Ran) {
        ran.refused(&format!("rule {rule}:")).unwrap();
    }

    /// Rule A07 keeps labels of approvals as they are for everybody; an annotation is as harmless.
    fn harmless(kind: &str, patch: &Value) -> Value {
        match patch.pointer("/metadata/labels") {
            Some(labels) if kind == "Approval" => json!({"metadata": {"annotations": labels}}),
            _ => patch.clone(),
        }
    }

    /// The object before the change, in a namespace or under a name of the case's own.
    fn before(base: &Value, case: &Case) -> Value {
        let mut value = base.clone();
        let suffix = case.rule.to_lowercase();
        let name = value["metadata"]["name"].as_str().unwrap().to_owned();
        if value["metadata"].get("namespace").is_some() {
            value["metadata"]["namespace"] = json!(format!("dept-{suffix}"));
        } else if !["default", "self"].contains(&name.as_str()) {
            value["metadata"]["name"] = json!(format!("{name}-{suffix}"));
        }
        value
    }

    async fn try_update(
        people: &People,
        kind: &str,
        object: &Value,
        patch: &Value,
        dry: bool,
    ) -> Ran {
        let metadata = &object["metadata"];
        let target = format!("{}/{}", plural(kind), metadata["name"].as_str().unwrap());
        let mut more = Vec::new();
        if let Some(namespace) = metadata.get("namespace").and_then(Value::as_str) {
            more.extend(["-n", namespace]);
        }
        if dry {
            more.push("--dry-run=server");
        }
        people
            .writer(kind)
            .try_patch(&target, &more, patch)
            .await
            .unwrap()
    }

    fn plural(kind: &str) -> String {
        let definition = leasehold_api::definitions()
            .into_iter()
            .find(|definition| definition.spec.names.kind == kind)
            .unwrap();
        format!("{}.{}", definition.spec.names.plural, definition.spec.group)
    }

    /// A rule about a change: the object is really there.
    async fn try_change(people: &People, base: &Value, case: &Case) {
        let object = before(base, case);
        if let Some(namespace) = object["metadata"].get("namespace") {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
            });
            let made = people.operator.try_create(&namespace).await.unwrap();
            is_there(&case.rule, &made);
        }
        let made = people.creator(&case.kind).try_create(&object).await;
        is_there(&case.rule, &made.unwrap());
        if let Some(old) = &case.old {
            accepted(
                &case.rule,
                &try_update(people, &case.kind, &object, old, false).await,
            );
        }
        let good = harmless(&case.kind, &case.accept);
        accepted(
            &case.rule,
            &try_update(people, &case.kind, &object, &good, true).await,
        );
        rejected(
            &case.rule,
            try_update(people, &case.kind, &object, &case.reject, true).await,
        );
    }

    /// A rule about a new object: nothing is stored. One that is there already passed every rule first.
    async fn try_new(people: &People, base: &Value, case: &Case) {
        let creator = people.creator(&case.kind);
        let good = creator
            .dry_create(&laid_over(base, &case.accept))
            .await
            .unwrap();
        if !good.stderr.contains("AlreadyExists") {
            accepted(&case.rule, &good);
        }
        let bad = creator
            .dry_create(&laid_over(base, &case.reject))
            .await
            .unwrap();
        rejected(&case.rule, bad);
    }

    async fn prepare(rig: &Rig, cases: &Cases) -> Result<People, Failure> {
        let people = People {
            admin: rig.user(User::Admin).await?,
            office: rig.user(User::Office).await?,
            operator: rig.service_account().await?,
            appraiser: rig.user(User::Appraiser).await?,
        };
        // rule H30 asks the policy who may appraise
        let listed = json!({"spec": {"appraisers": [
            {"agency": "zhongheng", "displayName": "中衡", "users": ["li@zhongheng"]},
        ]}});
        people
            .office
            .create(&laid_over(&cases.base["CloudPolicy"], &listed))
            .await?;
        let office = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dept-gov-office"},
        });
        people.operator.create(&office).await?;
        let appraisal = &cases.base["Appraisal"];
        eventually("the appraiser listed by the policy", LONG, async || {
            Ran::succeeded(people.appraiser.dry_create(appraisal).await)
        })
        .await?;
        Ok(people)
    }

    #[tokio::test]
    async fn the_api_server_accepts_the_good_case_of_every_rule_and_refuses_the_bad_one_by_name() {
        let cases: Cases = serde_saphyr::from_str(CASES).unwrap();
        let people = prepare(Rig::shared().await.unwrap(), &cases).await.unwrap();
        assert!(cases.cases.len() > 40, "only {} cases", cases.cases.len());
        for case in &cases.cases {
            let base = &cases.base[&case.kind];
            if case.update {
                try_change(&people, base, case).await;
            } else {
                try_new(&people, base, case).await;
            }
        }
    }
}
