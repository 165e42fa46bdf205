//! `leasehold appraise`: the skeleton of an appraisal.

use std::io::Write;

use anyhow::{Context, Result, bail};
use leasehold_api::tenancy::{HardwareContribution, HardwareContributionSpec};
use serde_json::Value;

use crate::{
    Outcome,
    cli::{AppraiseArgs, Format},
    manifest, output,
    session::Session,
};

/// Writes the skeleton of an appraisal for a contribution.
pub fn run(arguments: &AppraiseArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let format = session.common.output;
    refuse_rows(format)?;
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let found: Option<HardwareContribution> = session.wait(kit.get(Some(&namespace), name))?;
    let contribution = found.with_context(|| {
        format!("failed to find contribution {name} in namespace {namespace}; `kubectl get hwc -A` lists them, -n names the namespace")
    })?;
    let uid = contribution.metadata.uid.as_deref().unwrap_or_default();
    let identity = Identity {
        name,
        namespace: &namespace,
        uid,
    };
    if format == Format::Json {
        output::json(&object(&identity, &contribution.spec)?, out)?;
    } else {
        write_skeleton(&identity, &contribution.spec, out)?;
    }
    Ok(Outcome::Done)
}

/// An appraisal is one object to be filled in and created; nothing reads it from rows.
fn refuse_rows(format: Format) -> Result<()> {
    match format {
        Format::Table | Format::Json => Ok(()),
        Format::Csv | Format::Html | Format::Chart => bail!(
            "failed to print an appraisal as rows: it is an object for kubectl; use -o json, or leave -o out for YAML \
             with hints"
        ),
    }
}

/// The skeleton as an object: the same fields, without the hints that JSON has no place for.
fn object(identity: &Identity<'_>, spec: &HardwareContributionSpec) -> Result<Value> {
    let mut text = Vec::new();
    write_skeleton(identity, spec, &mut text)?;
    manifest::documents(&String::from_utf8(text)?)?
        .into_iter()
        .next()
        .context("failed to write the skeleton as JSON: it is empty")
}

/// Which contribution is meant.
struct Identity<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

/// What is left empty breaks a rule of the kind, so that a skeleton that was not filled in cannot be created.
fn write_skeleton(
    identity: &Identity<'_>,
    spec: &HardwareContributionSpec,
    out: &mut dyn Write,
) -> Result<()> {
    let Identity {
        name,
        namespace,
        uid,
    } = identity;
    writeln!(
        out,
        "\
# Appraisal of {name}. Fill in what is empty; then, as a user of the agency: kubectl create -f FILE
# It cannot change once it is created. A better appraisal is a new object under another name.
apiVersion: charging.leasehold.dev/v1alpha1
kind: Appraisal
metadata:
  name: {}
  namespace: {}
spec:
  contribution: {{name: {}, uid: {}}}
  agency: {}
  reportNo: \"\"       # number of the report
  report:
    uri: \"\"          # where the report lies: https://… or urn:…
    sha256: \"\"       # sha256: and what `sha256sum FILE` prints
  baseDate: \"\"       # day for which the values hold, as 2026-07-31
  validThrough: \"\"   # last day on which they can be used
  method: ReplacementCost   # or Market, Income
  signatories: []    # names of the two persons or more who signed
  devices:",
        quoted(&format!("{name}-1")),
        quoted(namespace),
        quoted(name),
        quoted(uid),
        quoted(&spec.agency),
    )?;
    for device in &spec.devices {
        writeln!(
            out,
            "  # {:?} {} {}, accepted on {}, paid {}",
            device.class,
            one_line(&device.maker),
            one_line(&device.model),
            device.accepted_on,
            device.original_price
        )?;
        writeln!(
            out,
            "  - {{serial: {}, value: \"\", newnessPercent: \"\"}}",
            quoted(&device.serial)
        )?;
    }
    Ok(())
}

/// A string of JSON is a string of YAML, whatever is in it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What departments write must not end a comment.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') {
                ' '
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use leasehold_api::charging::{AppraisalSpec, Method};
    use serde_json::json;

    use super::*;

    fn contribution(serial: &str, model: &str) -> HardwareContributionSpec {
        serde_json::from_value(json!({
            "system": "oa",
            "agency": "zhongheng",
            "devices": [{
                "serial": serial, "maker": "huawei", "model": model, "class": "Server",
                "assetCard": "ZC-0031", "invoice": "04417722", "invoiceDate": "2024-02-20",
                "acceptedOn": "2024-03-05", "originalPrice": "52000.00",
            }],
        }))
        .unwrap()
    }

    const IDENTITY: Identity<'static> = Identity {
        name: "servers-2024",
        namespace: "dept-gov-office",
        uid: "0f1e",
    };

    fn skeleton(spec: &HardwareContributionSpec) -> String {
        let mut out = Vec::new();
        write_skeleton(&IDENTITY, spec, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_skeleton_is_an_appraisal_of_every_device_with_nothing_valued() {
        let text = skeleton(&contribution("2102311XYZ001", "RH2288"));
        let documents = manifest::documents(&text).unwrap();
        let appraisal = manifest::of_kind::<AppraisalSpec>(&documents, "Appraisal")
            .unwrap()
            .remove(0);
        assert_eq!(appraisal.name, "servers-2024-1");
        let spec = appraisal.spec;
        assert_eq!(
            (
                spec.contribution.name.as_str(),
                spec.contribution.uid.as_str()
            ),
            ("servers-2024", "0f1e")
        );
        assert_eq!(
            (spec.agency.as_str(), spec.method),
            ("zhongheng", Method::ReplacementCost)
        );
        assert_eq!(spec.devices.len(), 1);
        assert_eq!(spec.devices[0].serial, "2102311XYZ001");
        assert_eq!(spec.devices[0].value.as_str(), "");
        assert!(
            text.contains("# Server huawei RH2288, accepted on 2024-03-05, paid 52000.00"),
            "{text}"
        );
    }

    #[test]
    fn programs_get_the_same_appraisal_as_an_object() {
        let read = object(&IDENTITY, &contribution("2102311XYZ001", "RH2288")).unwrap();
        let expected = json!({
            "apiVersion": "charging.leasehold.dev/v1alpha1",
            "kind": "Appraisal",
            "metadata": {"name": "servers-2024-1", "namespace": "dept-gov-office"},
            "spec": {
                "contribution": {"name": "servers-2024", "uid": "0f1e"},
                "agency": "zhongheng",
                "reportNo": "",
                "report": {"uri": "", "sha256": ""},
                "baseDate": "",
                "validThrough": "",
                "method": "ReplacementCost",
                "signatories": [],
                "devices": [{"serial": "2102311XYZ001", "value": "", "newnessPercent": ""}],
            },
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn rows_are_refused_with_what_to_use_instead() {
        assert!(refuse_rows(Format::Table).is_ok() && refuse_rows(Format::Json).is_ok());
        let error = refuse_rows(Format::Csv).unwrap_err().to_string();
        assert!(error.contains("-o json"), "{error}");
    }

    #[test]
    fn what_a_department_writes_stays_a_serial_and_a_comment() {
        let text = skeleton(&contribution("A\"}\n  - {serial: B", "X\n  - {serial: C}"));
        let documents = manifest::documents(&text).unwrap();
        let appraisal = manifest::of_kind::<AppraisalSpec>(&documents, "Appraisal")
            .unwrap()
            .remove(0);
        assert_eq!(appraisal.spec.devices.len(), 1);
        assert_eq!(appraisal.spec.devices[0].serial, "A\"}\n  - {serial: B");
    }
}
