//! Every rule of the custom resource definitions has a case that it accepts and one that it refuses, and the cases are
//! those that the end-to-end tests send to the real API server.

#[cfg(test)]
mod definitions {
    use std::collections::{BTreeMap, BTreeSet};

    use kube::{
        CustomResourceExt,
        core::cel::{validate_cel, validate_cel_update},
    };
    use leasehold_api::{
        charging::{Appraisal, Approval, BillingPeriod, HandoverReceipt, PriceBook, Statement},
        platform::{CloudPolicy, Cloudlet, Meter, NetworkZone, Suspension},
        tenancy::{Department, HardwareContribution, InformationSystem, Tenancy},
    };
    use serde::{Deserialize, Serialize, de::DeserializeOwned};
    use serde_json::{Value, json};

    #[derive(Deserialize)]
    struct Cases {
        base: BTreeMap<String, Value>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
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

    fn cases() -> Cases {
        serde_saphyr::from_str(include_str!("rules.yaml")).expect("rules.yaml is a list of cases")
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

    fn laid_over(base: &Value, patches: &[&Value]) -> Value {
        let mut value = base.clone();
        for patch in patches {
            merge(&mut value, patch);
        }
        value
    }

    /// Errors of a new object, or of a change when there was an old one.
    fn judge<K>(new: &Value, old: Option<&Value>) -> Result<(), String>
    where
        K: CustomResourceExt + Serialize + DeserializeOwned,
    {
        let parse = |value: &Value| -> Result<K, String> {
            serde_json::from_value(value.clone())
                .map_err(|error| format!("not even parsed: {error}"))
        };
        match old {
            Some(old) => validate_cel_update(&parse(new)?, &parse(old)?),
            None => validate_cel(&parse(new)?),
        }
        .map_err(|errors| errors.to_string())
    }

    fn judge_kind(kind: &str, new: &Value, old: Option<&Value>) -> Result<(), String> {
        match kind {
            "CloudPolicy" => judge::<CloudPolicy>(new, old),
            "Cloudlet" => judge::<Cloudlet>(new, old),
            "NetworkZone" => judge::<NetworkZone>(new, old),
            "Suspension" => judge::<Suspension>(new, old),
            "Meter" => judge::<Meter>(new, old),
            "Department" => judge::<Department>(new, old),
            "InformationSystem" => judge::<InformationSystem>(new, old),
            "Tenancy" => judge::<Tenancy>(new, old),
            "HardwareContribution" => judge::<HardwareContribution>(new, old),
            "PriceBook" => judge::<PriceBook>(new, old),
            "Approval" => judge::<Approval>(new, old),
            "Appraisal" => judge::<Appraisal>(new, old),
            "HandoverReceipt" => judge::<HandoverReceipt>(new, old),
            "BillingPeriod" => judge::<BillingPeriod>(new, old),
            "Statement" => judge::<Statement>(new, old),
            other => Err(format!("there is no kind {other}")),
        }
    }

    #[test]
    fn every_rule_accepts_its_good_case_and_refuses_its_bad_one_by_name() {
        let Cases { base, cases } = cases();
        for (kind, manifest) in &base {
            judge_kind(kind, manifest, None).unwrap_or_else(|e| panic!("base of {kind}: {e}"));
        }
        for case in &cases {
            let empty = Value::Object(serde_json::Map::new());
            let before = laid_over(&base[&case.kind], &[case.old.as_ref().unwrap_or(&empty)]);
            let old = case.update.then_some(&before);
            let good = laid_over(&before, &[&case.accept]);
            judge_kind(&case.kind, &good, old)
                .unwrap_or_else(|e| panic!("{} refuses its good case: {e}", case.rule));
            let bad = laid_over(&before, &[&case.reject]);
            let refusal = judge_kind(&case.kind, &bad, old)
                .expect_err(&format!("{} accepts its bad case", case.rule));
            assert!(
                refusal.contains(&format!("rule {}:", case.rule)),
                "{}: {refusal}",
                case.rule
            );
        }
    }

    #[test]
    fn every_rule_of_the_definitions_has_its_cases() {
        let definitions = serde_json::to_string(&leasehold_api::definitions()).unwrap();
        let written: BTreeSet<&str> = definitions
            .match_indices("rule ")
            .filter_map(|(at, _)| definitions[at + 5..].split(':').next())
            .filter(|id| id.len() == 3 && id.as_bytes()[1].is_ascii_digit())
            .collect();
        let list = cases();
        let tried: BTreeSet<&str> = list.cases.iter().map(|case| case.rule.as_str()).collect();
        assert!(written.len() > 30, "only {} rules found", written.len());
        assert_eq!(written, tried);
    }

    #[test]
    fn every_field_of_every_kind_is_described_and_every_string_and_list_of_a_spec_is_bounded() {
        for definition in leasehold_api::definitions() {
            let kind = definition.spec.names.kind.clone();
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
            let root = &schema["openAPIV3Schema"]["properties"];
            walk(&format!("{kind}.spec"), &root["spec"], true);
            if kind != "Statement" {
                walk(&format!("{kind}.status"), &root["status"], false);
            }
        }
    }

    fn walk(path: &str, schema: &Value, bounded: bool) {
        let fixed = schema.get("enum").is_some();
        match schema["type"].as_str() {
            Some("object") => {
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    let path = format!("{path}.{name}");
                    assert!(
                        property.get("description").is_some(),
                        "{path} is not described"
                    );
                    walk(&path, property, bounded);
                }
            }
            Some("array") => {
                assert!(
                    !bounded || schema.get("maxItems").is_some(),
                    "{path} has no maxItems"
                );
                walk(&format!("{path}[]"), &schema["items"], bounded);
            }
            Some("string") if bounded && !path.starts_with("Statement.") => {
                assert!(
                    fixed || schema.get("maxLength").is_some(),
                    "{path} has no maxLength"
                );
            }
            _ => {}
        }
    }

    #[test]
    fn a_question_that_was_asked_anew_is_decided_by_its_number_alone() {
        let base = laid_over(&cases().base["Approval"], &[]);
        let decided = |number: Value, answers: Value| {
            let asked = laid_over(&base, &[&json!({"spec": {"number": number}})]);
            let yes = json!({"spec": {
                "decision": "Approved", "decidedBy": "chen@office", "answers": answers,
            }});
            judge::<Approval>(&laid_over(&asked, &[&yes]), Some(&asked))
        };
        for (number, answers, counts) in [
            (json!(null), json!(null), true),
            (json!(null), json!(2), false),
            (json!(3), json!(null), false),
            (json!(3), json!(2), false),
            (json!(3), json!(3), true),
        ] {
            let judged = decided(number.clone(), answers.clone());
            assert_eq!(judged.is_ok(), counts, "{number} {answers} {judged:?}");
            if let Err(refusal) = judged {
                assert!(refusal.contains("rule N14:"), "{refusal}");
            }
        }
        let two = laid_over(&base, &[&json!({"spec": {"number": 2}})]);
        let three = laid_over(&base, &[&json!({"spec": {"number": 3}})]);
        let moved = judge::<Approval>(&three, Some(&two)).unwrap_err();
        assert!(moved.contains("rule A02:"), "{moved}");
    }

    #[test]
    fn no_field_with_a_list_of_values_may_be_null_because_null_is_in_no_list() {
        fn look(path: &str, schema: &Value, lists: &mut Vec<String>) {
            if schema.get("enum").is_some() {
                assert_ne!(schema["nullable"], true, "{path} refuses null");
                lists.push(path.to_owned());
            }
            match schema {
                Value::Object(fields) => {
                    for (name, below) in fields {
                        look(&format!("{path}.{name}"), below, lists);
                    }
                }
                Value::Array(all) => all.iter().for_each(|below| look(path, below, lists)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }

        let mut lists = Vec::new();
        for definition in leasehold_api::definitions() {
            let kind = definition.spec.names.kind.clone();
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
            look(&kind, &schema["openAPIV3Schema"], &mut lists);
        }
        for field in [
            "InformationSystem.properties.spec.properties.currentNetwork",
            "Approval.properties.spec.properties.decision",
        ] {
            assert!(
                lists.iter().any(|path| path == field),
                "{field} is not in {lists:?}"
            );
        }
    }

    #[test]
    fn no_definition_uses_a_format_that_the_api_server_warns_about() {
        let definitions = serde_json::to_string(&leasehold_api::definitions()).unwrap();
        assert!(
            !definitions.contains("\"uint"),
            "an unsigned format is left"
        );
    }
}
