//! Whether the admission policies stand that the chart ships: no namespace is opened where one is missing.
//!
//! What a policy would have refused meanwhile stays for good, and nothing is ever taken away for it. So the operator looks
//! before, not after (decision record 0033).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchResources, MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ParamRef,
        ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};

/// What a binding does about what its policy refuses.
const DENY: &str = "Deny";
/// The same where the policy only tells.
const WARN: &str = "Warn";
/// A policy that lets everything through where it fails is none.
const IGNORE: &str = "Ignore";
/// What a match is when nothing is said: in whatever version the object comes.
const EQUIVALENT: &str = "Equivalent";

/// The two bindings of the chart that are of some objects only; together they are of all that is ours.
const IN_OUR_NAMESPACES: &str = "leasehold-n01-in-our-namespaces";
const WITH_OUR_LABEL: &str = "leasehold-n01-with-our-label";

/// The one whose policy takes parameters, out of the CloudPolicy.
const APPRAISERS: &str = "leasehold-h30-appraisers";

/// The bindings of the chart's validating policies, in order: the binding, its policy, and what it does.
pub const BINDINGS: [(&str, &str, &str); 24] = [
    same("leasehold-a05-approvals"),
    same("leasehold-c03-charging-objects"),
    same("leasehold-d09-department-deletion"),
    same(APPRAISERS),
    (IN_OUR_NAMESPACES, "leasehold-n01-managed-objects", DENY),
    (WITH_OUR_LABEL, "leasehold-n01-managed-objects", DENY),
    same("leasehold-n02-namespaces"),
    same("leasehold-n03-namespace-deletion"),
    same("leasehold-n04-claims"),
    same("leasehold-n05-pods"),
    same("leasehold-n06-accepted-by"),
    same("leasehold-n06-requested-by"),
    same("leasehold-n06-signed-off-by"),
    same("leasehold-n07-services"),
    same("leasehold-n08-nodes"),
    same("leasehold-n09-ingresses"),
    same("leasehold-n10-finalizers"),
    same("leasehold-n10-requests"),
    same("leasehold-n11-adoption"),
    same("leasehold-n12-evidence"),
    same("leasehold-n13-snapshots"),
    same("leasehold-n15-kept-data"),
    same("leasehold-t12-tenancy-deletion"),
    (
        "leasehold-t13-opens-a-request",
        "leasehold-t13-opens-a-request",
        WARN,
    ),
];

/// A binding that is called like its policy and refuses.
const fn same(name: &'static str) -> (&'static str, &'static str, &'static str) {
    (name, name, DENY)
}

/// The chart's mutating policies, in order, each with one binding that is called like it.
pub const STAMPS: [&str; 6] = [
    "leasehold-n06-stamp-accepted-by",
    "leasehold-n06-stamp-decided-by",
    "leasehold-n06-stamp-requested-by",
    "leasehold-n06-stamp-signed-off-by",
    "leasehold-n07-mark-chosen-address",
    "leasehold-n08-place-pods",
];

/// The admission policies of a cluster and their bindings.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Policies that refuse.
    pub policies: Vec<ValidatingAdmissionPolicy>,
    /// Their bindings.
    pub bindings: Vec<ValidatingAdmissionPolicyBinding>,
    /// Policies that fill in.
    pub stamps: Vec<MutatingAdmissionPolicy>,
    /// Their bindings.
    pub stamp_bindings: Vec<MutatingAdmissionPolicyBinding>,
}

/// What is missing of the chart's policies and bindings, each in plain words, in order; nothing where all of them are in
/// force as they are written.
pub fn gaps(standing: &Standing) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut last = "";
    for (binding, policy, action) in BINDINGS {
        if policy != last {
            let mut policies = standing.policies.iter();
            let found = policies.find(|found| found.metadata.name.as_deref() == Some(policy));
            gaps.extend(gap_of_policy(policy, found));
        }
        last = policy;
        let mut bindings = standing.bindings.iter();
        let found = bindings.find(|found| found.metadata.name.as_deref() == Some(binding));
        gaps.extend(gap_of_binding(binding, policy, action, found));
    }
    for name in STAMPS {
        let mut stamps = standing.stamps.iter();
        let found = stamps.find(|found| found.metadata.name.as_deref() == Some(name));
        gaps.extend(gap_of_stamp(name, found));
        let mut bindings = standing.stamp_bindings.iter();
        let found = bindings.find(|found| found.metadata.name.as_deref() == Some(name));
        gaps.extend(gap_of_stamp_binding(name, found));
    }
    gaps
}

fn missing(what: &str, name: &str) -> String {
    format!("{what} {name} is not there")
}

fn lets_through(name: &str) -> String {
    format!("policy {name} lets through what it fails over")
}

fn of_another(name: &str, policy: &str) -> String {
    format!("binding {name} is of another policy than {policy}")
}

fn gap_of_policy(name: &str, found: Option<&ValidatingAdmissionPolicy>) -> Option<String> {
    let Some(found) = found else {
        return Some(missing("policy", name));
    };
    let spec = found.spec.as_ref();
    if spec.and_then(|spec| spec.failure_policy.as_deref()) == Some(IGNORE) {
        return Some(lets_through(name));
    }
    let status = found.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    (observed.is_none() || observed != found.metadata.generation)
        .then(|| format!("policy {name} is not in force yet as it is written"))
}

fn gap_of_binding(
    name: &str,
    policy: &str,
    action: &str,
    found: Option<&ValidatingAdmissionPolicyBinding>,
) -> Option<String> {
    let Some(found) = found else {
        return Some(missing("binding", name));
    };
    if found.spec.policy_name != policy {
        return Some(of_another(name, policy));
    }
    let mut actions = found.spec.validation_actions.iter();
    if !actions.any(|known| known == action) {
        return Some(format!("binding {name} does not say {action}"));
    }
    gap_of_parameters(name, found.spec.param_ref.as_ref())
        .or_else(|| gap_of_reach(name, found.spec.match_resources.as_ref()))
}

/// A mutating policy says nothing of whether the cluster has looked it through.
fn gap_of_stamp(name: &str, found: Option<&MutatingAdmissionPolicy>) -> Option<String> {
    let Some(found) = found else {
        return Some(missing("policy", name));
    };
    let spec = found.spec.as_ref();
    let on_failure = spec.and_then(|spec| spec.failure_policy.as_deref());
    (on_failure == Some(IGNORE)).then(|| lets_through(name))
}

fn gap_of_stamp_binding(
    name: &str,
    found: Option<&MutatingAdmissionPolicyBinding>,
) -> Option<String> {
    let Some(found) = found else {
        return Some(missing("binding", name));
    };
    let spec = found.spec.as_ref();
    if spec.and_then(|spec| spec.policy_name.as_deref()) != Some(name) {
        return Some(of_another(name, name));
    }
    gap_of_parameters(name, spec.and_then(|spec| spec.param_ref.as_ref()))
        .or_else(|| gap_of_reach(name, spec.and_then(|spec| spec.match_resources.as_ref())))
}

/// Whether a binding takes other parameters than the chart says.
fn gap_of_parameters(name: &str, found: Option<&ParamRef>) -> Option<String> {
    (found != parameters(name).as_ref())
        .then(|| format!("binding {name} takes other parameters than it should"))
}

/// Which parameters a binding of the chart takes.
pub fn parameters(name: &str) -> Option<ParamRef> {
    (name == APPRAISERS).then(|| ParamRef {
        name: Some("default".to_owned()),
        parameter_not_found_action: Some(DENY.to_owned()),
        ..ParamRef::default()
    })
}

/// Whether a binding is of other objects than the chart says.
fn gap_of_reach(name: &str, found: Option<&MatchResources>) -> Option<String> {
    let found = found.cloned().unwrap_or_default();
    let found = MatchResources {
        match_policy: found.match_policy.filter(|policy| policy != EQUIVALENT),
        namespace_selector: found.namespace_selector.filter(selects_some),
        object_selector: found.object_selector.filter(selects_some),
        resource_rules: found.resource_rules.filter(|rules| !rules.is_empty()),
        exclude_resource_rules: found
            .exclude_resource_rules
            .filter(|rules| !rules.is_empty()),
    };
    (found != reach(name)).then(|| format!("binding {name} is of other objects than it should be"))
}

/// An empty selector selects everything, as none does.
fn selects_some(selector: &LabelSelector) -> bool {
    let (labels, expressions) = (&selector.match_labels, &selector.match_expressions);
    labels.as_ref().is_some_and(|labels| !labels.is_empty())
        || expressions.as_ref().is_some_and(|all| !all.is_empty())
}

/// Of which objects a binding of the chart is.
pub fn reach(name: &str) -> MatchResources {
    let namespaces = |operator: &str| LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "leasehold.dev/namespace-role".to_owned(),
            operator: operator.to_owned(),
            values: None,
        }]),
        match_labels: None,
    };
    match name {
        IN_OUR_NAMESPACES => MatchResources {
            namespace_selector: Some(namespaces("Exists")),
            ..MatchResources::default()
        },
        WITH_OUR_LABEL => MatchResources {
            namespace_selector: Some(namespaces("DoesNotExist")),
            object_selector: Some(LabelSelector {
                match_expressions: None,
                match_labels: Some(BTreeMap::from([(
                    "leasehold.dev/managed-by".to_owned(),
                    "leasehold".to_owned(),
                )])),
            }),
            ..MatchResources::default()
        },
        _ => MatchResources::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use serde_json::json;

    use super::*;

    fn policy(name: &str) -> ValidatingAdmissionPolicy {
        serde_json::from_value(json!({
            "metadata": {"name": name, "generation": 3},
            "spec": {"failurePolicy": "Fail"},
            "status": {"observedGeneration": 3},
        }))
        .unwrap()
    }

    /// What the chart installs, as the API server shows it.
    fn whole() -> Standing {
        let policies: BTreeSet<&str> = BINDINGS.iter().map(|(_, policy, _)| *policy).collect();
        let bindings = BINDINGS.iter().map(|(name, policy, action)| {
            let mut spec = json!({"policyName": policy, "validationActions": [action]});
            if reach(name) != MatchResources::default() {
                let mut reach = serde_json::to_value(reach(name)).unwrap();
                reach["matchPolicy"] = json!("Equivalent");
                if reach.get("objectSelector").is_none() {
                    reach["objectSelector"] = json!({});
                }
                spec["matchResources"] = reach;
            }
            if let Some(parameters) = parameters(name) {
                spec["paramRef"] = serde_json::to_value(parameters).unwrap();
            }
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
        });
        let stamps = STAMPS.iter().map(|name| {
            let stamp = json!({"metadata": {"name": name}, "spec": {"failurePolicy": "Fail"}});
            serde_json::from_value(stamp).unwrap()
        });
        let stamp_bindings = STAMPS.iter().map(|name| {
            let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name}});
            serde_json::from_value(binding).unwrap()
        });
        Standing {
            policies: policies.into_iter().map(policy).collect(),
            bindings: bindings.collect(),
            stamps: stamps.collect(),
            stamp_bindings: stamp_bindings.collect(),
        }
    }

    /// What is missing after a change.
    fn told(change: impl FnOnce(&mut Standing)) -> Vec<String> {
        let mut standing = whole();
        change(&mut standing);
        gaps(&standing)
    }

    /// The values of a field in the chart's templates of validating policies or of their bindings.
    fn written(kind: &str, field: &str) -> Vec<String> {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/leasehold/templates/policies");
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            for document in text.split("\n---\n") {
                let mut lines = document.lines();
                if !lines.any(|line| line == format!("kind: {kind}")) {
                    continue;
                }
                let mut lines = document.lines();
                let value = lines.find_map(|line| line.strip_prefix(field));
                all.push(value.unwrap().to_owned());
            }
        }
        all.sort();
        all
    }

    #[test]
    fn the_list_is_what_the_chart_ships() {
        let mut bindings: Vec<&str> = BINDINGS.iter().map(|(name, _, _)| *name).collect();
        assert!(bindings.is_sorted(), "{bindings:?}");
        bindings.sort_unstable();
        let kind = "ValidatingAdmissionPolicyBinding";
        assert_eq!(written(kind, "  name: "), bindings);
        let mut policies: Vec<&str> = BINDINGS.iter().map(|(_, policy, _)| *policy).collect();
        policies.sort_unstable();
        assert_eq!(written(kind, "  policyName: "), policies);
        policies.dedup();
        assert_eq!(written("ValidatingAdmissionPolicy", "  name: "), policies);
        let warn = BINDINGS.iter().filter(|(_, _, action)| *action == WARN);
        let warned = written(kind, "  validationActions: ");
        let warned = warned.iter().filter(|actions| *actions == "[Warn]");
        assert_eq!(warn.count(), warned.count());
        assert_eq!(written("MutatingAdmissionPolicy", "  name: "), STAMPS);
        let kind = "MutatingAdmissionPolicyBinding";
        assert_eq!(written(kind, "  name: "), STAMPS);
        assert_eq!(written(kind, "  policyName: "), STAMPS);
    }

    /// Of which objects the chart's bindings are, and which parameters they take.
    #[test]
    fn the_reach_of_each_binding_is_what_the_chart_ships() {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/leasehold/templates/policies");
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            for document in text.split("\n---\n") {
                let mut lines = document.lines();
                if !lines.any(|line| line.starts_with("kind: ") && line.ends_with("Binding")) {
                    continue;
                }
                // all that is templated in a binding are its labels
                let plain = document.lines().filter(|line| !line.contains("{{"));
                let plain = plain.collect::<Vec<_>>().join("\n");
                let binding: serde_json::Value = serde_saphyr::from_str(&plain).unwrap();
                let name = binding["metadata"]["name"].as_str().unwrap();
                let spec = &binding["spec"];
                let part = |key: &str| spec.get(key).cloned().unwrap_or_else(|| json!({}));
                let written = [part("matchResources"), part("paramRef")];
                let known = [
                    serde_json::to_value(reach(name)).unwrap(),
                    parameters(name)
                        .map_or(json!({}), |found| serde_json::to_value(found).unwrap()),
                ];
                assert_eq!(written, known, "{name}");
                seen.insert(name.to_owned());
            }
        }
        assert_eq!(seen.len(), BINDINGS.len() + STAMPS.len());
    }

    #[test]
    fn with_everything_in_force_nothing_is_missing_whatever_else_there_is() {
        let found = told(|standing| {
            standing.policies.push(policy("of-somebody-else"));
            standing.policies.reverse();
            standing.stamps.reverse();
        });
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn each_binding_and_each_policy_is_missed_by_its_name() {
        let all = whole();
        for (number, binding) in all.bindings.iter().enumerate() {
            let name = binding.metadata.name.clone().unwrap();
            let found = told(|standing| drop(standing.bindings.remove(number)));
            assert_eq!(found, [format!("binding {name} is not there")]);
        }
        for (number, policy) in all.policies.iter().enumerate() {
            let name = policy.metadata.name.clone().unwrap();
            let found = told(|standing| drop(standing.policies.remove(number)));
            assert_eq!(found, [format!("policy {name} is not there")]);
        }
        for (number, name) in STAMPS.iter().enumerate() {
            let found = told(|standing| drop(standing.stamps.remove(number)));
            assert_eq!(found, [format!("policy {name} is not there")]);
            let found = told(|standing| drop(standing.stamp_bindings.remove(number)));
            assert_eq!(found, [format!("binding {name} is not there")]);
        }
        let counts = [
            all.policies.len(),
            all.bindings.len(),
            STAMPS.len(),
            STAMPS.len(),
        ];
        let all: usize = counts.iter().sum();
        assert_eq!(gaps(&Standing::default()).len(), all);
    }

    #[test]
    fn a_policy_that_was_not_seen_as_it_is_written_or_lets_through_is_missing() {
        let told = |change: &dyn Fn(&mut ValidatingAdmissionPolicy)| {
            told(|standing| change(&mut standing.policies[0]))
        };
        let late = ["policy leasehold-a05-approvals is not in force yet as it is written"];
        assert_eq!(told(&|policy| policy.metadata.generation = Some(4)), late);
        assert_eq!(told(&|policy| policy.status = None), late);
        let open = ["policy leasehold-a05-approvals lets through what it fails over"];
        let ignore = |policy: &mut ValidatingAdmissionPolicy| {
            policy.spec.as_mut().unwrap().failure_policy = Some("Ignore".to_owned());
        };
        assert_eq!(told(&ignore), open);
        // the API server's default is Fail
        let unsaid = |policy: &mut ValidatingAdmissionPolicy| {
            policy.spec.as_mut().unwrap().failure_policy = None;
        };
        assert!(told(&unsaid).is_empty());
    }

    #[test]
    fn a_binding_that_only_audits_or_is_of_another_policy_is_missing() {
        let found = told(|standing| {
            standing.bindings[0].spec.validation_actions = vec!["Audit".to_owned()];
            standing.bindings[1].spec.policy_name = "leasehold-n05-pods".to_owned();
            let of_stamp = standing.stamp_bindings[4].spec.as_mut().unwrap();
            of_stamp.policy_name = Some("leasehold-n08-place-pods".to_owned());
            let stamp = standing.stamps[5].spec.as_mut().unwrap();
            stamp.failure_policy = Some("Ignore".to_owned());
        });
        assert_eq!(
            found,
            [
                "binding leasehold-a05-approvals does not say Deny",
                "binding leasehold-c03-charging-objects is of another policy than leasehold-c03-charging-objects",
                "binding leasehold-n07-mark-chosen-address is of another policy than leasehold-n07-mark-chosen-address",
                "policy leasehold-n08-place-pods lets through what it fails over",
            ]
        );
    }

    #[test]
    fn a_binding_of_fewer_objects_than_the_chart_says_is_missing_and_one_that_says_so_in_other_words_is_not()
     {
        let some: MatchResources = serde_json::from_value(json!({
            "namespaceSelector": {"matchLabels": {"team": "oa"}},
        }))
        .unwrap();
        let number = BINDINGS
            .iter()
            .position(|(name, _, _)| *name == "leasehold-n05-pods");
        let number = number.unwrap();
        let pods = |reach: &MatchResources| {
            told(|standing| {
                standing.bindings[number].spec.match_resources = Some(reach.clone());
            })
        };
        let fewer = |name: &str| format!("binding {name} is of other objects than it should be");
        assert_eq!(pods(&some), [fewer("leasehold-n05-pods")]);
        let all: MatchResources = serde_json::from_value(json!({
            "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
            "resourceRules": [], "excludeResourceRules": [],
        }))
        .unwrap();
        assert!(pods(&all).is_empty());
        // of more objects than its other half leaves to it: neither is what the chart says
        let switched_off = told(|standing| {
            let taken = standing.bindings[3].spec.param_ref.as_mut().unwrap();
            taken.parameter_not_found_action = Some("Allow".to_owned());
        });
        let other = "binding leasehold-h30-appraisers takes other parameters than it should";
        assert_eq!(switched_off, [other]);
        let ours = told(|standing| standing.bindings[4].spec.match_resources = None);
        assert_eq!(ours, [fewer(IN_OUR_NAMESPACES)]);
        let marks = told(|standing| {
            let spec = standing.stamp_bindings[4].spec.as_mut().unwrap();
            spec.match_resources = Some(some);
        });
        assert_eq!(marks, [fewer("leasehold-n07-mark-chosen-address")]);
    }
}
