//! `leasehold release`.

use std::io::Write;

use anyhow::{Context, Result, bail};
use leasehold_api::tenancy::{Tenancy, TenancySpec};
use serde_json::{Value, json};

use crate::{Outcome, cli::ReleaseArgs, session::Session};

/// Asks to end a tenancy.
pub fn run(arguments: &ReleaseArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let found: Option<Tenancy> = session.wait(kit.get(Some(&namespace), name))?;
    let tenancy = found.with_context(|| {
        format!("failed to find tenancy {name} in namespace {namespace}; `kubectl get tenancies -A` lists them, -n names the namespace")
    })?;
    refuse_released(name, &tenancy.spec)?;
    let held: Vec<&str> = tenancy
        .status
        .iter()
        .flat_map(|status| &status.namespaces)
        .map(|namespace| namespace.name.as_str())
        .collect();
    if !held.is_empty() {
        writeln!(out, "{name} holds the namespaces {}", held.join(", "))?;
    }
    out.flush()?;
    super::confirm(
        &format!("Release {name}? It cannot be taken back."),
        arguments.yes,
    )?;
    let patch = patch(&arguments.reason);
    let released: Tenancy = session.wait(kit.merge_patch(Some(&namespace), name, &patch))?;
    refuse_unreleased(name, &released.spec)?;
    writeln!(
        out,
        "{name}: release asked for; `kubectl get tenancy {name} -n {namespace}` shows how far it is"
    )?;
    Ok(Outcome::Done)
}

fn patch(reason: &str) -> Value {
    json!({"spec": {"release": {"reason": reason}}})
}

fn refuse_released(name: &str, spec: &TenancySpec) -> Result<()> {
    match &spec.release {
        None => Ok(()),
        Some(release) => bail!(
            "failed to release {name}: that was asked for already, because of {:?}; see its conditions for what is \
             missing",
            release.reason.as_str()
        ),
    }
}

fn refuse_unreleased(name: &str, spec: &TenancySpec) -> Result<()> {
    match &spec.release {
        Some(_) => Ok(()),
        None => bail!(
            "failed to release {name}: the cluster did not keep spec.release; are its definitions up to date?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_api::tenancy::Release;

    use super::*;

    fn spec() -> TenancySpec {
        serde_json::from_value(json!({
            "system": "oa", "zone": "gov-extranet",
            "term": {"from": "2026-09-01", "through": "2027-08-31"},
            "contract": "C", "budget": {"code": "B"},
            "lease": [{"item": "memory", "quantity": "64Gi"}],
            "namespaces": [{"name": "prod"}],
        }))
        .unwrap()
    }

    #[test]
    fn a_release_is_a_reason_in_the_spec_and_nothing_else() {
        let mut value = serde_json::to_value(spec()).unwrap();
        value["release"] = patch("system retired")["spec"]["release"].clone();
        let released: TenancySpec = serde_json::from_value(value).unwrap();
        let release = Release {
            reason: "system retired".into(),
        };
        assert_eq!(
            released,
            TenancySpec {
                release: Some(release),
                ..spec()
            }
        );
    }

    #[test]
    fn a_release_is_asked_for_once() {
        let mut spec = spec();
        assert!(refuse_released("oa", &spec).is_ok());
        assert!(refuse_unreleased("oa", &spec).is_err());
        spec.release = Some(Release {
            reason: "system retired".into(),
        });
        let error = refuse_released("oa", &spec).unwrap_err().to_string();
        assert!(error.contains("system retired"), "{error}");
    }
}
