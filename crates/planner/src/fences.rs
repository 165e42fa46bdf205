//! Whether the admission policies stand that the chart ships: no namespace is opened where one is missing.
//!
//! What a policy would have refused meanwhile stays for good, and nothing is ever taken away for it. So the operator looks
//! before, not after (decision record 0033).

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};

/// What a binding does about what its policy refuses.
const DENY: &str = "Deny";
/// The same where the policy only tells.
const WARN: &str = "Warn";
/// A policy that lets everything through where it fails is none.
const IGNORE: &str = "Ignore";

/// The bindings of the chart, in order: the binding, its policy, and what it does.
pub const BINDINGS: [(&str, &str, &str); 24] = [
    same("leasehold-a05-approvals"),
    same("leasehold-c03-charging-objects"),
    same("leasehold-d09-department-deletion"),
    same("leasehold-h30-appraisers"),
    (
        "leasehold-n01-in-our-namespaces",
        "leasehold-n01-managed-objects",
        DENY,
    ),
    (
        "leasehold-n01-with-our-label",
        "leasehold-n01-managed-objects",
        DENY,
    ),
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

/// What is missing of the chart's policies and bindings, each in plain words, in order; nothing where all of them are in
/// force as they are written.
pub fn gaps(
    policies: &[ValidatingAdmissionPolicy],
    bindings: &[ValidatingAdmissionPolicyBinding],
) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut last = "";
    for (binding, policy, action) in BINDINGS {
        if policy != last {
            let found = policies
                .iter()
                .find(|found| found.metadata.name.as_deref() == Some(policy));
            gaps.extend(gap_of_policy(policy, found));
        }
        last = policy;
        let found = bindings
            .iter()
            .find(|found| found.metadata.name.as_deref() == Some(binding));
        gaps.extend(gap_of_binding(binding, policy, action, found));
    }
    gaps
}

fn gap_of_policy(name: &str, found: Option<&ValidatingAdmissionPolicy>) -> Option<String> {
    let Some(found) = found else {
        return Some(format!("policy {name} is not there"));
    };
    let spec = found.spec.as_ref();
    if spec.and_then(|spec| spec.failure_policy.as_deref()) == Some(IGNORE) {
        return Some(format!("policy {name} lets through what it fails over"));
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
        return Some(format!("binding {name} is not there"));
    };
    if found.spec.policy_name != policy {
        return Some(format!("binding {name} is of another policy than {policy}"));
    }
    let mut actions = found.spec.validation_actions.iter();
    (!actions.any(|known| known == action)).then(|| format!("binding {name} does not say {action}"))
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

    /// What the chart installs.
    fn whole() -> (
        Vec<ValidatingAdmissionPolicy>,
        Vec<ValidatingAdmissionPolicyBinding>,
    ) {
        let policies: BTreeSet<&str> = BINDINGS.iter().map(|(_, policy, _)| *policy).collect();
        let bindings = BINDINGS.iter().map(|(name, policy, action)| {
            serde_json::from_value(json!({
                "metadata": {"name": name},
                "spec": {"policyName": policy, "validationActions": [action]},
            }))
            .unwrap()
        });
        (
            policies.into_iter().map(policy).collect(),
            bindings.collect(),
        )
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
    }

    #[test]
    fn with_everything_in_force_nothing_is_missing_whatever_else_there_is() {
        let (mut policies, bindings) = whole();
        policies.push(policy("of-somebody-else"));
        policies.reverse();
        assert_eq!(gaps(&policies, &bindings), Vec::<String>::new());
    }

    #[test]
    fn each_binding_and_each_policy_is_missed_by_its_name() {
        let (policies, bindings) = whole();
        for (number, binding) in bindings.iter().enumerate() {
            let mut fewer = bindings.clone();
            fewer.remove(number);
            let name = binding.metadata.name.clone().unwrap();
            let told = format!("binding {name} is not there");
            assert_eq!(gaps(&policies, &fewer), [told]);
        }
        for (number, policy) in policies.iter().enumerate() {
            let mut fewer = policies.clone();
            fewer.remove(number);
            let name = policy.metadata.name.clone().unwrap();
            let told = format!("policy {name} is not there");
            assert_eq!(gaps(&fewer, &bindings), [told]);
        }
        let all = policies.len().checked_add(bindings.len());
        assert_eq!(Some(gaps(&[], &[]).len()), all);
    }

    #[test]
    fn a_policy_that_was_not_seen_as_it_is_written_or_lets_through_is_missing() {
        let (policies, bindings) = whole();
        let told = |change: &dyn Fn(&mut ValidatingAdmissionPolicy)| {
            let mut changed = policies.clone();
            change(&mut changed[0]);
            gaps(&changed, &bindings)
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
        let (policies, mut bindings) = whole();
        bindings[0].spec.validation_actions = vec!["Audit".to_owned()];
        bindings[1].spec.policy_name = "leasehold-n05-pods".to_owned();
        assert_eq!(
            gaps(&policies, &bindings),
            [
                "binding leasehold-a05-approvals does not say Deny",
                "binding leasehold-c03-charging-objects is of another policy than leasehold-c03-charging-objects",
            ]
        );
    }
}
