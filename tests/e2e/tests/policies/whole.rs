//! That nothing is left out: every part of every policy that the API server holds, every binding, and
//! every rule that a policy or a right holds.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_planner::rules::{Held, RULES};
use serde_json::Value;

use crate::crowd::Crowd;
use crate::ground::laid;
use crate::rights::Rights;
use crate::table::{Entry, Table};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const OURS: &str = "labelSelector=app.kubernetes.io%2Fname%3Dleasehold";

/// A part of a policy that lets through or refuses, or that writes.
enum Part<'a> {
    /// A validation with its message, and whether the refusal is worded anew for each request.
    Validation { message: &'a str, worded: bool },
    /// A match condition with its name.
    Condition(&'a str),
    /// A mutation with its number.
    Mutation(usize),
}

impl Part<'_> {
    fn is_of(&self, entry: &Entry) -> bool {
        match self {
            Self::Validation { message, .. } => {
                let beginning = entry.validation.as_deref();
                beginning.is_some_and(|beginning| message.starts_with(beginning))
            }
            Self::Condition(name) => entry.condition.as_deref() == Some(*name),
            Self::Mutation(number) => entry.mutation == Some(*number),
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Validation { message, .. } => format!("validation {message:?}"),
            Self::Condition(name) => format!("condition {name}"),
            Self::Mutation(number) => format!("mutation {number}"),
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.into_iter().flatten()
}

fn parts(policy: &Value) -> Vec<Part<'_>> {
    let validations = list(policy, "/spec/validations").map(|validation| Part::Validation {
        message: text(validation, "/message"),
        worded: validation.get("messageExpression").is_some(),
    });
    let conditions = list(policy, "/spec/matchConditions")
        .map(|condition| Part::Condition(text(condition, "/name")));
    let mutations = list(policy, "/spec/mutations")
        .enumerate()
        .map(|(number, _)| Part::Mutation(number));
    validations.chain(conditions).chain(mutations).collect()
}

/// What is wrong with an entry about a part.
fn flaws(entry: &Entry, part: &Part<'_>, mutates: bool) -> Vec<String> {
    let mut flaws = Vec::new();
    if entry.accept.is_empty() || entry.reject.is_empty() {
        flaws.push("one side is empty".to_owned());
    }
    if entry.mutates != mutates {
        flaws.push(format!("`mutates` should be {mutates}"));
    }
    let shown = |side: &[crate::request::Request]| side.iter().all(|one| !one.shows.is_empty());
    let writes = mutates && entry.refused_by.is_none();
    if (mutates && !shown(&entry.accept)) || (writes && !shown(&entry.reject)) {
        flaws.push("what is written is not shown".to_owned());
    }
    let named = format!("rule {}:", entry.rule);
    for request in entry.reject.iter().filter(|_| !writes) {
        let sentence = entry.sentence(request);
        if !sentence.starts_with(&named) {
            flaws.push(format!("{sentence:?} does not name rule {}", entry.rule));
        }
        if let Part::Validation { message, worded } = part {
            let own = request.says.is_some() || entry.says.is_some();
            if *worded && !own {
                flaws.push(format!("it does not say how {request:?} is refused"));
            }
            if !*worded && !message.starts_with(sentence) {
                flaws.push(format!("{sentence:?} is not how the refusal begins"));
            }
        }
    }
    flaws
}

/// What is wrong with the entries about one policy.
fn compare(policy: &Value, entries: &[&Entry], mutates: bool) -> Vec<String> {
    let name = text(policy, "/metadata/name");
    let parts = parts(policy);
    let mut wrong = Vec::new();
    for part in &parts {
        if !entries.iter().any(|entry| part.is_of(entry)) {
            wrong.push(format!("{name}: no case of {}", part.title()));
        }
    }
    for entry in entries {
        let about: Vec<&Part<'_>> = parts.iter().filter(|part| part.is_of(entry)).collect();
        let branch = &entry.branch;
        match about.as_slice() {
            [part] => {
                let flaws = flaws(entry, part, mutates);
                wrong.extend(
                    flaws
                        .iter()
                        .map(|flaw| format!("{name} ({branch}): {flaw}")),
                );
            }
            others => wrong.push(format!(
                "{name} ({branch}): about {} parts instead of one",
                others.len()
            )),
        }
    }
    wrong
}

/// All objects of ours of a kind.
async fn held(crowd: &Crowd, kind: &str) -> Result<Vec<Value>, String> {
    let found = crowd.look(&format!("{REGISTRATION}/{kind}?{OURS}")).await?;
    Ok(list(&found, "/items").cloned().collect())
}

#[tokio::test]
async fn every_part_of_every_policy_has_a_case_on_either_side() {
    let crowd = Crowd::gather(laid().await.unwrap()).await.unwrap();
    let table = Table::read().unwrap();
    let (mut wrong, mut names) = (Vec::new(), BTreeSet::new());
    let kinds = [
        ("validatingadmissionpolicies", false),
        ("mutatingadmissionpolicies", true),
    ];
    for (kind, mutates) in kinds {
        for policy in held(&crowd, kind).await.unwrap() {
            let name = text(&policy, "/metadata/name").to_owned();
            let entries = table.entries.iter().filter(|entry| entry.policy == name);
            let entries: Vec<&Entry> = entries.collect();
            wrong.extend(compare(&policy, &entries, mutates));
            names.insert(name);
        }
    }
    assert!(names.len() > 10, "only {names:?}");
    let strange = table.entries.iter().map(|entry| &entry.policy);
    wrong.extend(
        strange
            .filter(|policy| !names.contains(*policy))
            .map(|policy| format!("there is no policy {policy}")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_binding_has_a_case_and_warns_or_refuses_as_its_cases_say() {
    let crowd = Crowd::gather(laid().await.unwrap()).await.unwrap();
    let table = Table::read().unwrap();
    let mut bindings = BTreeMap::new();
    for kind in [
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicybindings",
    ] {
        for binding in held(&crowd, kind).await.unwrap() {
            let policy = text(&binding, "/spec/policyName").to_owned();
            let warns = list(&binding, "/spec/validationActions").any(|action| action == "Warn");
            let name = text(&binding, "/metadata/name").to_owned();
            bindings.insert((policy, name), warns);
        }
    }
    let mut cases = BTreeMap::new();
    for entry in &table.entries {
        let key = (entry.policy.clone(), entry.binding().to_owned());
        cases.insert(key, entry.warns);
    }
    assert_eq!(cases, bindings);
}

#[test]
fn every_rule_that_policies_and_rights_hold_has_a_case() {
    let (table, rights) = (Table::read().unwrap(), Rights::read().unwrap());
    let tried: BTreeSet<(&str, Held)> = table
        .entries
        .iter()
        .map(|entry| (entry.rule.as_str(), Held::Policy))
        .chain(
            rights
                .rows
                .iter()
                .filter_map(|row| Some((row.rule.as_deref()?, Held::Rights))),
        )
        .collect();
    let wanted: BTreeSet<(&str, Held)> = RULES
        .iter()
        .filter(|rule| matches!(rule.held_by, Held::Policy | Held::Rights))
        .map(|rule| (rule.id, rule.held_by))
        .collect();
    assert_eq!(tried, wanted);
}
