//! `leasehold release`.

use std::io::Write;

use anyhow::{Result, bail};
use leasehold_api::tenancy::{Backup, Release, Tenancy};
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
    refuse_released(name, &tenancy)?;
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
    let asked = asked(arguments);
    let patch = patch(&asked);
    let released: Tenancy = session.wait(kit.merge_patch(Some(&namespace), name, &patch))?;
    refuse_unreleased(name, &asked, released.spec.release.as_ref())?;
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

/// What is asked for, with what is said of the backup, where anything was typed of it.
fn asked(arguments: &ReleaseArgs) -> Release {
    let (uri, because) = (arguments.backup.as_deref(), arguments.no_backup.as_deref());
    let is_said = uri.is_some() || because.is_some();
    let backup = is_said.then(|| Backup {
        taken: uri.is_some(),
        uri: uri.map(Into::into),
        sha256: arguments.sha256.as_deref().map(Into::into),
        at: None,
        because: because.map(Into::into),
    });
    Release {
        reason: arguments.reason.as_str().into(),
        backup,
    }
}

fn patch(release: &Release) -> Value {
    json!({"spec": {"release": release}})
}

/// One that lacks what the cloud policy requires has not begun, and may be asked for with it.
fn refuse_released(name: &str, tenancy: &Tenancy) -> Result<()> {
    match begun(tenancy) {
        None => Ok(()),
        Some(release) => bail!(
            "failed to release {name}: that was asked for already, because of {:?}; see its conditions for what is \
             missing",
            release.reason.as_str()
        ),
    }
}

/// The release that has begun. One that lacks what the cloud policy requires has not: the lease goes on, and can be changed.
pub fn begun(tenancy: &Tenancy) -> Option<&Release> {
    let status = tenancy.status.as_ref();
    let decision = status.and_then(|status| status.release_decision.as_deref());
    let asked = tenancy.spec.release.as_ref();
    asked.filter(|_| decision != Some("Incomplete"))
}

fn refuse_unreleased(name: &str, asked: &Release, kept: Option<&Release>) -> Result<()> {
    match kept {
        Some(kept) if kept == asked => Ok(()),
        Some(_) | None => bail!(
            "failed to release {name}: the cluster did not keep spec.release; are its definitions up to date?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_api::tenancy::{TenancySpec, TenancyStatus};

    use super::*;
    use crate::{cli::Format, commands::fixture::oa};

    fn arguments() -> ReleaseArgs {
        ReleaseArgs {
            name: "oa".to_owned(),
            reason: "system retired".to_owned(),
            backup: None,
            sha256: None,
            no_backup: None,
            yes: true,
        }
    }

    #[test]
    fn a_release_is_a_reason_in_the_spec_and_nothing_else() {
        let asked = asked(&arguments());
        let mut value = serde_json::to_value(oa().spec).unwrap();
        value["release"] = patch(&asked)["spec"]["release"].clone();
        assert_eq!(value["release"], json!({"reason": "system retired"}));
        let released: TenancySpec = serde_json::from_value(value).unwrap();
        assert_eq!(
            released,
            TenancySpec {
                release: Some(asked),
                ..oa().spec
            }
        );
    }

    #[test]
    fn what_is_typed_of_the_backup_stands_in_the_release() {
        let taken = ReleaseArgs {
            backup: Some("s3://archive/oa".to_owned()),
            sha256: Some("sha256:9f".to_owned()),
            ..arguments()
        };
        let expected = json!({"taken": true, "uri": "s3://archive/oa", "sha256": "sha256:9f"});
        assert_eq!(patch(&asked(&taken))["spec"]["release"]["backup"], expected);
        let none = ReleaseArgs {
            no_backup: Some("test data".to_owned()),
            ..arguments()
        };
        let expected = json!({"taken": false, "because": "test data"});
        assert_eq!(patch(&asked(&none))["spec"]["release"]["backup"], expected);
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
    fn a_release_is_asked_for_once_and_again_only_while_it_has_not_begun() {
        let mut tenancy = oa();
        assert!(refuse_released("oa", &tenancy).is_ok());
        let asked = asked(&arguments());
        assert!(refuse_unreleased("oa", &asked, None).is_err());
        assert!(refuse_unreleased("oa", &asked, Some(&asked)).is_ok());
        tenancy.spec.release = Some(asked);
        let error = refuse_released("oa", &tenancy).unwrap_err().to_string();
        assert!(error.contains("system retired"), "{error}");
        tenancy.status = Some(TenancyStatus {
            release_decision: Some("Incomplete".to_owned()),
            ..TenancyStatus::default()
        });
        assert!(refuse_released("oa", &tenancy).is_ok());
    }
}
