//! `leasehold release`.

use std::io::Write;

use anyhow::{Result, bail};
use leasehold_api::tenancy::{Tenancy, TenancySpec};
use leasehold_export::sheet::Sheet;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Outcome, cli::ReleaseArgs, output, session::Session};

/// Asks to end a tenancy.
pub fn run(arguments: &ReleaseArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let tenancy = super::tenancy(session, &kit, &namespace, name)?;
    refuse_released(name, &tenancy.spec)?;
    let held: Vec<&str> = tenancy
        .status
        .iter()
        .flat_map(|status| &status.namespaces)
        .map(|namespace| namespace.name.as_str())
        .collect();
    let format = session.common.output;
    if !held.is_empty() {
        let text = format!("{name} holds the namespaces {}", held.join(", "));
        super::before_asking(&text, format, arguments.yes, out)?;
    }
    super::confirm(
        &format!("Release {name}? It can be taken back only if the office rejects it."),
        arguments.yes,
    )?;
    let patch = patch(&arguments.reason);
    let released: Tenancy = session.wait(kit.merge_patch(Some(&namespace), name, &patch))?;
    refuse_unreleased(name, &released.spec)?;
    let sentence = format!(
        "{name}: release asked for; `kubectl get tenancy {name} -n {namespace}` shows how far it is"
    );
    let done = Asked {
        tenancy: name,
        namespace: &namespace,
        reason: &arguments.reason,
    };
    output::tell(&sentence, &done, &done.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// What was asked for.
#[derive(Serialize)]
struct Asked<'a> {
    tenancy: &'a str,
    namespace: &'a str,
    reason: &'a str,
}

impl Asked<'_> {
    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("tenancy", "租约"),
            output::text("namespace", "命名空间"),
            output::text("reason", "理由"),
        ];
        let row = [self.tenancy, self.namespace, self.reason];
        output::plain(columns, vec![Vec::from(row.map(str::to_owned))])
    }
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
    use crate::{cli::Format, commands::fixture::oa};

    #[test]
    fn a_release_is_a_reason_in_the_spec_and_nothing_else() {
        let mut value = serde_json::to_value(oa().spec).unwrap();
        value["release"] = patch("system retired")["spec"]["release"].clone();
        let released: TenancySpec = serde_json::from_value(value).unwrap();
        let release = Release {
            reason: "system retired".into(),
            backup: None,
        };
        assert_eq!(
            released,
            TenancySpec {
                release: Some(release),
                ..oa().spec
            }
        );
    }

    #[test]
    fn programs_get_which_tenancy_ends_and_why() {
        let done = Asked {
            tenancy: "oa",
            namespace: "dept-gov-office",
            reason: "system retired, data moved",
        };
        let told = |format| {
            let mut out = Vec::new();
            output::tell("said", &done, &done.sheet(), format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let read: Value = serde_json::from_str(&told(Format::Json)).unwrap();
        let expected = json!({"tenancy": "oa", "namespace": "dept-gov-office",
            "reason": "system retired, data moved"});
        assert_eq!(read, expected);
        assert_eq!(
            told(Format::Csv),
            "\u{feff}租约 tenancy,命名空间 namespace,理由 reason\n\
             oa,dept-gov-office,\"system retired, data moved\"\n"
        );
    }

    #[test]
    fn a_release_is_asked_for_once() {
        let mut spec = oa().spec;
        assert!(refuse_released("oa", &spec).is_ok());
        assert!(refuse_unreleased("oa", &spec).is_err());
        spec.release = Some(Release {
            reason: "system retired".into(),
            backup: None,
        });
        let error = refuse_released("oa", &spec).unwrap_err().to_string();
        assert!(error.contains("system retired"), "{error}");
    }
}
