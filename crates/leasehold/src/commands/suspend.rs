//! `leasehold suspend` and `leasehold resume`.

use std::io::Write;

use anyhow::{Context, Error, Result, bail};
use leasehold_api::{
    platform::{Suspension, SuspensionSpec},
    tenancy::{Tenancy, TenancyStatus},
};
use leasehold_export::sheet::Sheet;
use leasehold_kit::{Kit, KitError};
use serde::Serialize;

use crate::{
    Outcome,
    cli::{ResumeArgs, SuspendArgs},
    output,
    session::Session,
};

/// Writes the office's order that nothing of a tenancy runs.
pub fn suspend(arguments: &SuspendArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let tenancy = tenancy(session, &kit, &namespace, name)?;
    let known: Option<Suspension> = session.wait(kit.get(Some(&namespace), name))?;
    refuse_suspended(name, &namespace, known.as_ref())?;
    let wanted = order(arguments, &namespace);
    let format = session.common.output;
    let text = stops(name, tenancy.status.as_ref(), &wanted.spec);
    super::before_asking(&text, format, arguments.yes, out)?;
    super::confirm(&format!("Suspend {name}?"), arguments.yes)?;
    let made: Suspension = session
        .wait(kit.create(&wanted))
        .map_err(|error| unsuspended(name, error))?;
    let sentence = format!(
        "{name}: suspension ordered; `kubectl get suspension {name} -n {namespace}` shows whether it is in force"
    );
    let done = Ordered::new(&namespace, &made.spec);
    output::tell(&sentence, &done, &done.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// Lifts the suspension named as a tenancy.
pub fn resume(arguments: &ResumeArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let found: Option<Suspension> = session.wait(kit.get(Some(&namespace), name))?;
    let Some(order) = found else {
        let tenancy = tenancy(session, &kit, &namespace, name)?;
        bail!(not_ours(name, &namespace, tenancy.status.as_ref()))
    };
    let format = session.common.output;
    let text = format!(
        "{name} was suspended by {}: {}",
        order.spec.authority.as_str(),
        order.spec.reason.as_str()
    );
    super::before_asking(&text, format, arguments.yes, out)?;
    super::confirm(&format!("Let {name} go on?"), arguments.yes)?;
    let uid = order.metadata.uid.as_deref().unwrap_or_default();
    session.wait(kit.delete::<Suspension>(Some(&namespace), name, uid))?;
    let sentence = format!("{name}: suspension lifted; its pods may start again");
    let done = Ordered::new(&namespace, &order.spec);
    output::tell(&sentence, &done, &done.sheet(), format, out)?;
    Ok(Outcome::Done)
}

fn tenancy(session: &Session, kit: &Kit, namespace: &str, name: &str) -> Result<Tenancy> {
    let found: Option<Tenancy> = session.wait(kit.get(Some(namespace), name))?;
    found.with_context(|| {
        format!("failed to find tenancy {name} in namespace {namespace}; `kubectl get tenancies -A` lists them, -n names the namespace")
    })
}

/// The object that is written.
fn order(arguments: &SuspendArgs, namespace: &str) -> Suspension {
    let spec = SuspensionSpec {
        tenancy: arguments.name.as_str().into(),
        reason: arguments.reason.as_str().into(),
        authority: arguments.authority.as_str().into(),
        until: arguments.until.map(|day| day.to_string().into()),
    };
    let mut order = Suspension::new(&arguments.name, spec);
    order.metadata.namespace = Some(namespace.to_owned());
    order
}

/// What a person must know before they suspend.
fn stops(name: &str, status: Option<&TenancyStatus>, spec: &SuspensionSpec) -> String {
    let namespaces: Vec<&str> = status
        .iter()
        .flat_map(|status| &status.namespaces)
        .map(|namespace| namespace.name.as_str())
        .collect();
    let held = if namespaces.is_empty() {
        "nothing yet".to_owned()
    } else {
        namespaces.join(", ")
    };
    let until = spec.until.as_ref();
    let until = until.map_or_else(
        || "until it is lifted".to_owned(),
        |day| format!("through {day}"),
    );
    format!(
        "{name} holds the namespaces {held}; their pods are ended and none starts, {until}. The lease is billed on."
    )
}

fn refuse_suspended(name: &str, namespace: &str, known: Option<&Suspension>) -> Result<()> {
    match known {
        None => Ok(()),
        Some(known) => bail!(
            "failed to suspend {name}: it is suspended already by {} ({}); `kubectl edit suspension {name} -n {namespace}` \
             moves its last day, `leasehold resume {name} -n {namespace}` lifts it",
            known.spec.authority.as_str(),
            known.spec.reason.as_str()
        ),
    }
}

/// Why nothing named so can be lifted.
fn not_ours(name: &str, namespace: &str, status: Option<&TenancyStatus>) -> String {
    let by = status.and_then(|status| status.suspension.as_ref());
    let remedy = match by.map(|by| by.name.as_str()) {
        None => format!("`kubectl get suspensions -n {namespace}` lists what was ordered"),
        Some(policy) if policy.starts_with("CloudPolicy ") => {
            "the policy stopped it because its term is over; `leasehold renew` extends the term"
                .to_owned()
        }
        Some(other) => format!(
            "`kubectl delete suspension {other} -n {namespace}` lifts the one that stopped it"
        ),
    };
    let what = if by.is_some() {
        "no suspension of its name stopped it"
    } else {
        "it is not suspended"
    };
    format!("failed to let {name} go on: {what}; {remedy}")
}

/// Why an order was not written. Somebody else may have written one in between.
fn unsuspended(name: &str, error: KitError) -> Error {
    let twice = error.is_already_exists();
    let error = Error::from(error);
    if twice {
        return error.context(format!(
            "failed to suspend {name}: somebody else has just done it"
        ));
    }
    error
}

/// What was ordered, or lifted.
#[derive(Serialize)]
struct Ordered<'a> {
    tenancy: &'a str,
    namespace: &'a str,
    reason: &'a str,
    authority: &'a str,
    until: Option<&'a str>,
}

impl<'a> Ordered<'a> {
    fn new(namespace: &'a str, spec: &'a SuspensionSpec) -> Self {
        Self {
            tenancy: spec.tenancy.as_str(),
            namespace,
            reason: spec.reason.as_str(),
            authority: spec.authority.as_str(),
            until: spec.until.as_deref(),
        }
    }

    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("tenancy", "租约"),
            output::text("namespace", "命名空间"),
            output::text("reason", "理由"),
            output::text("authority", "批准机关与文号"),
            output::text("until", "截止日"),
        ];
        let row = [
            self.tenancy,
            self.namespace,
            self.reason,
            self.authority,
            self.until.unwrap_or_default(),
        ];
        output::plain(columns, vec![Vec::from(row.map(str::to_owned))])
    }
}

#[cfg(test)]
mod tests {
    use leasehold_api::tenancy::{NamespaceStatus, SuspensionInForce};
    use leasehold_ledger::time::LocalDate;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::Format;

    fn arguments(until: Option<&str>) -> SuspendArgs {
        SuspendArgs {
            name: "oa".to_owned(),
            reason: "安全整改".to_owned(),
            authority: "市政府办 黄政办〔2026〕12号".to_owned(),
            until: until.map(|day| LocalDate::parse(day).unwrap()),
            yes: true,
        }
    }

    #[test]
    fn an_order_is_an_object_named_as_the_tenancy_and_says_what_was_typed() {
        let written =
            serde_json::to_value(order(&arguments(Some("2026-10-31")), "dept-a")).unwrap();
        let expected = json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
            "metadata": {"name": "oa", "namespace": "dept-a"},
            "spec": {
                "tenancy": "oa", "reason": "安全整改",
                "authority": "市政府办 黄政办〔2026〕12号", "until": "2026-10-31",
            },
        });
        assert_eq!(written, expected);
        let endless = order(&arguments(None), "dept-a");
        assert_eq!(endless.spec.until, None);
    }

    #[test]
    fn whoever_suspends_reads_what_stops_and_that_it_costs_on() {
        let status = TenancyStatus {
            namespaces: vec![NamespaceStatus {
                name: "a--prod".to_owned(),
                ..NamespaceStatus::default()
            }],
            ..TenancyStatus::default()
        };
        let spec = order(&arguments(Some("2026-10-31")), "dept-a").spec;
        let told = stops("oa", Some(&status), &spec);
        for words in ["a--prod", "through 2026-10-31", "billed on"] {
            assert!(told.contains(words), "{told}");
        }
        let endless = order(&arguments(None), "dept-a").spec;
        assert!(stops("oa", None, &endless).contains("until it is lifted"));
    }

    #[test]
    fn nobody_suspends_twice_and_what_is_not_suspended_is_not_lifted() {
        assert!(refuse_suspended("oa", "dept-a", None).is_ok());
        let known = order(&arguments(None), "dept-a");
        let error = refuse_suspended("oa", "dept-a", Some(&known)).unwrap_err();
        assert!(error.to_string().contains("安全整改"), "{error}");
        let by = |name: &str| TenancyStatus {
            suspension: Some(SuspensionInForce {
                name: name.to_owned(),
                ..SuspensionInForce::default()
            }),
            ..TenancyStatus::default()
        };
        let told = |status: &TenancyStatus| not_ours("oa", "dept-a", Some(status));
        assert!(told(&TenancyStatus::default()).contains("it is not suspended"));
        assert!(told(&by("CloudPolicy default")).contains("leasehold renew"));
        assert!(told(&by("audit")).contains("delete suspension audit"));
    }

    #[test]
    fn programs_get_what_was_ordered_and_nothing_else() {
        let spec = order(&arguments(None), "dept-a").spec;
        let done = Ordered::new("dept-a", &spec);
        let told = |format| {
            let mut out = Vec::new();
            output::tell("said", &done, &done.sheet(), format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let read: Value = serde_json::from_str(&told(Format::Json)).unwrap();
        let expected = json!({"tenancy": "oa", "namespace": "dept-a", "reason": "安全整改",
            "authority": "市政府办 黄政办〔2026〕12号", "until": null});
        assert_eq!(read, expected);
        assert!(told(Format::Csv).contains("oa,dept-a,安全整改,"));
    }
}
