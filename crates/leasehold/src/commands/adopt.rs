//! `leasehold adopt`.

use std::{collections::BTreeMap, io::Write};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use leasehold_api::{
    names,
    platform::{CloudPolicy, NetworkZone},
    tenancy::{Tenancy, TenancySpec},
};
use leasehold_controllers::adoption::contents;
use leasehold_export::sheet::Sheet;
use leasehold_kit::{Kit, Readable};
use leasehold_planner::adoption::{self, Contents, Wanted};
use serde::Serialize;
use serde_json::json;

use crate::{Outcome, cli::AdoptArgs, output, session::Session};

/// Offers an existing namespace to a tenancy.
pub fn run(arguments: &AdoptArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let (target, (department, name)) = (&arguments.target, &arguments.tenancy);
    let office = names::office_namespace(department);
    let tenancy: Tenancy = found(session, &kit, Some(&office), name, "tenancy")?;
    refuse_unnamed(target, department, name, &tenancy.spec)?;
    let namespace: Namespace = found(session, &kit, None, target, "namespace")?;
    refuse_leased(target, &namespace)?;
    let zone: NetworkZone = found(session, &kit, None, &tenancy.spec.zone, "network zone")?;
    let policy: CloudPolicy = found(session, &kit, None, names::POLICY_NAME, "cloud policy")?;
    let contents = session.wait(Box::pin(contents(&kit, target)))?;
    let format = session.common.output;
    super::before_asking(&told(target, &contents), format, arguments.yes, out)?;
    let wanted = Wanted {
        members: &tenancy.spec.members,
        pod_security: policy.spec.pod_security,
        zone: &zone.spec,
        // which classes and devices are leased stands in the price books; the operator looks at them
        leased: None,
    };
    let findings = adoption::findings(&namespace, &contents, &wanted);
    if let Some(refusal) = adoption::refusal(target, &findings) {
        bail!("failed to offer {target}: {refusal}");
    }
    let question = format!("Offer {target} to {department}/{name}, with all that is in it?");
    super::confirm(&question, arguments.yes)?;
    let asked = adoption::asked_for(department, name);
    let metadata = json!({
        "uid": namespace.metadata.uid, "annotations": {(names::ADOPT_ANNOTATION): asked},
    });
    let patch = json!({"metadata": metadata});
    session.wait(kit.merge_patch::<Namespace>(None, target, &patch))?;
    let sentence = format!(
        "{target}: offered to {asked}; `kubectl get tenancy {name} -n {office} -o wide` shows whether it is taken"
    );
    let done = Offered {
        namespace: target,
        tenancy: &asked,
        contents: contents.counts().into_iter().collect(),
    };
    output::tell(&sentence, &done, &done.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// What was offered to whom.
#[derive(Serialize)]
struct Offered<'a> {
    namespace: &'a str,
    tenancy: &'a str,
    contents: BTreeMap<&'static str, usize>,
}

impl Offered<'_> {
    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("namespace", "命名空间"),
            output::text("tenancy", "租约"),
        ];
        let row = [self.namespace, self.tenancy];
        output::plain(columns, vec![Vec::from(row.map(str::to_owned))])
    }
}

fn found<K: Readable>(
    session: &Session,
    kit: &Kit,
    place: Option<&str>,
    name: &str,
    what: &str,
) -> Result<K> {
    let found: Option<K> = session.wait(kit.get(place, name))?;
    found.with_context(|| match place {
        Some(place) => format!("failed to find {what} {name} in namespace {place}"),
        None => format!("failed to find {what} {name}"),
    })
}

/// What is in the namespace, in one line.
fn told(target: &str, contents: &Contents) -> String {
    let counts = contents.counts();
    if counts.is_empty() {
        return format!("{target} holds no workloads, claims, services, rights or policies");
    }
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    format!("{target} holds {}", counts.join(", "))
}

/// Only a namespace that the manifest names is ever taken.
fn refuse_unnamed(target: &str, department: &str, name: &str, spec: &TenancySpec) -> Result<()> {
    let named: Vec<String> = spec
        .namespaces
        .iter()
        .map(|share| names::tenancy_namespace(department, &share.name))
        .collect();
    if named.iter().any(|named| named == target) {
        return Ok(());
    }
    bail!(
        "failed to offer {target}: tenancy {department}/{name} does not name it; spec.namespaces names {}",
        named.join(", ")
    )
}

fn refuse_leased(target: &str, namespace: &Namespace) -> Result<()> {
    let labels = namespace.metadata.labels.as_ref();
    match labels.and_then(|labels| labels.get(names::TENANCY_LABEL)) {
        None => Ok(()),
        Some(tenancy) => {
            bail!("failed to offer {target}: it is leased already, by tenancy {tenancy}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cli::Format;

    fn spec() -> TenancySpec {
        serde_json::from_value(json!({
            "system": "oa", "zone": "gov-extranet",
            "term": {"from": "2026-09-01", "through": "2027-08-31"},
            "contract": "C", "budget": {"code": "B"},
            "lease": [{"item": "memory", "quantity": "64Gi"}],
            "namespaces": [{"name": "prod"}, {"name": "test"}],
        }))
        .unwrap()
    }

    #[test]
    fn only_a_namespace_that_the_tenancy_names_is_offered() {
        assert!(refuse_unnamed("gov-office--test", "gov-office", "oa", &spec()).is_ok());
        let error = refuse_unnamed("oa-prod", "gov-office", "oa", &spec()).unwrap_err();
        let error = error.to_string();
        assert!(
            error.ends_with("spec.namespaces names gov-office--prod, gov-office--test"),
            "{error}"
        );
    }

    #[test]
    fn a_namespace_that_is_leased_is_not_offered() {
        let mut namespace = Namespace::default();
        assert!(refuse_leased("gov-office--prod", &namespace).is_ok());
        let label = (names::TENANCY_LABEL.to_owned(), "mail".to_owned());
        namespace.metadata.labels = Some(BTreeMap::from([label]));
        let error = refuse_leased("gov-office--prod", &namespace).unwrap_err();
        assert!(error.to_string().contains("by tenancy mail"), "{error}");
    }

    #[test]
    fn people_read_what_is_in_it_and_programs_get_the_counts() {
        let mut contents = Contents::default();
        let none = told("gov-office--prod", &contents);
        assert!(
            none.starts_with("gov-office--prod holds no workloads"),
            "{none}"
        );
        contents.pods = vec![Default::default(), Default::default()];
        contents.services = vec![Default::default()];
        let told = told("gov-office--prod", &contents);
        assert_eq!(told, "gov-office--prod holds 2 pods, 1 services");
        let done = Offered {
            namespace: "gov-office--prod",
            tenancy: "gov-office/oa",
            contents: contents.counts().into_iter().collect(),
        };
        let mut out = Vec::new();
        output::tell("said", &done, &done.sheet(), Format::Json, &mut out).unwrap();
        let read: Value = serde_json::from_slice(&out).unwrap();
        let expected = json!({"namespace": "gov-office--prod", "tenancy": "gov-office/oa",
            "contents": {"pods": 2, "services": 1}});
        assert_eq!(read, expected);
    }
}
