//! `leasehold suspend` and `leasehold resume`.

use std::io::Write;

use anyhow::{Context, Error, Result, bail};
use kube::ResourceExt;
use leasehold_api::{
    names,
    platform::{CloudPolicy, Suspension, SuspensionPhase, SuspensionSpec},
    tenancy::TenancyStatus,
};
use leasehold_export::sheet::Sheet;
use leasehold_kit::{Kit, KitError};
use leasehold_ledger::time::{LocalDate, Second, Zone};
use leasehold_planner::convert::ledger_policy;
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
    let tenancy = super::tenancy(session, &kit, &namespace, name)?;
    if let Some(until) = arguments.until {
        let zone = zone(session, &kit)?;
        refuse_past(name, until, &zone, session.now())?;
    }
    let known: Vec<Suspension> = session.wait(kit.list(Some(&namespace), None))?;
    refuse_suspended(name, &namespace, &known)?;
    let wanted = order(arguments, &namespace, &free(name, &known));
    let format = session.common.output;
    let text = stops(name, tenancy.status.as_ref(), &wanted.spec);
    super::before_asking(&text, format, arguments.yes, out)?;
    super::confirm(&format!("Suspend {name}?"), arguments.yes)?;
    let made: Suspension = session
        .wait(kit.create(&wanted))
        .map_err(|error| unsuspended(name, error))?;
    let object = made.name_any();
    let sentence = format!(
        "{name}: suspension {object} ordered; `kubectl get suspension {object} -n {namespace}` shows whether it is in force"
    );
    let done = Ordered::new(&namespace, &made);
    output::tell(&sentence, &done, &sheet(&[&done]), format, out)?;
    Ok(Outcome::Done)
}

/// Lifts every suspension of a tenancy that holds.
pub fn resume(arguments: &ResumeArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let known: Vec<Suspension> = session.wait(kit.list(Some(&namespace), None))?;
    let orders = standing(name, &known);
    if orders.is_empty() {
        let tenancy = super::tenancy(session, &kit, &namespace, name)?;
        bail!(not_ours(name, &namespace, tenancy.status.as_ref()))
    }
    let format = session.common.output;
    super::before_asking(&ordered_by(name, &orders), format, arguments.yes, out)?;
    super::confirm(&format!("Let {name} go on?"), arguments.yes)?;
    for order in &orders {
        let uid = order.metadata.uid.as_deref().unwrap_or_default();
        session.wait(kit.delete::<Suspension>(Some(&namespace), &order.name_any(), uid))?;
    }
    let objects: Vec<String> = orders.iter().map(|order| order.name_any()).collect();
    let sentence = format!(
        "{name}: suspension {} lifted; its pods may start again",
        objects.join(", ")
    );
    let done: Vec<Ordered<'_>> = orders
        .iter()
        .map(|order| Ordered::new(&namespace, order))
        .collect();
    let rows: Vec<&Ordered<'_>> = done.iter().collect();
    output::tell(&sentence, &done, &sheet(&rows), format, out)?;
    Ok(Outcome::Done)
}

/// The office's time zone, or UTC for whoever may not read the policy.
fn zone(session: &Session, kit: &Kit) -> Result<Zone> {
    let found = session.wait(kit.get::<CloudPolicy>(None, names::POLICY_NAME));
    let policy = found.ok().flatten();
    let policy = policy.and_then(|policy| ledger_policy(&policy.spec).ok());
    match policy {
        Some(policy) => Ok(policy.time_zone),
        None => Zone::parse("UTC").context("failed to find out which day it is"),
    }
}

/// An order that has ended when it is written would do nothing, and look as if it did.
fn refuse_past(name: &str, until: LocalDate, zone: &Zone, now: Second) -> Result<()> {
    let today = zone.date_of(now);
    if until >= today {
        return Ok(());
    }
    bail!(
        "failed to suspend {name}: its last day {until} has passed, it is {today} in {}; name {today} or a later day, or \
         leave --until out",
        zone.name()
    )
}

/// Orders of a tenancy that are in force, or will be as soon as it leases anything.
fn standing<'a>(tenancy: &str, known: &'a [Suspension]) -> Vec<&'a Suspension> {
    let holds = |order: &&Suspension| {
        let status = order.status.as_ref();
        match status.map(|status| status.phase).unwrap_or_default() {
            SuspensionPhase::Waiting | SuspensionPhase::InForce => true,
            SuspensionPhase::Refused | SuspensionPhase::Over => false,
        }
    };
    let of_it = known
        .iter()
        .filter(|order| order.spec.tenancy.as_str() == tenancy);
    of_it.filter(holds).collect()
}

/// A name for another order: that of the tenancy, with a number behind it where it is taken. What has ended keeps its
/// name as long as it is there, and so does an order of another tenancy.
fn free(name: &str, known: &[Suspension]) -> String {
    let (mut found, mut number) = (name.to_owned(), 1_u32);
    while known.iter().any(|order| order.name_any() == found) {
        number = number.saturating_add(1);
        found = format!("{name}-{number}");
    }
    found
}

/// Who stopped it and why, one line for each order.
fn ordered_by(name: &str, orders: &[&Suspension]) -> String {
    let lines = orders.iter().map(|order| {
        format!(
            "{name} was suspended by {}: {} (suspension {})",
            order.spec.authority.as_str(),
            order.spec.reason.as_str(),
            order.name_any()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The object that is written under this name.
fn order(arguments: &SuspendArgs, namespace: &str, object: &str) -> Suspension {
    let spec = SuspensionSpec {
        tenancy: arguments.name.as_str().into(),
        reason: arguments.reason.as_str().into(),
        authority: arguments.authority.as_str().into(),
        until: arguments.until.map(|day| day.to_string().into()),
    };
    let mut order = Suspension::new(object, spec);
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

fn refuse_suspended(name: &str, namespace: &str, known: &[Suspension]) -> Result<()> {
    match standing(name, known).first() {
        None => Ok(()),
        Some(known) => bail!(
            "failed to suspend {name}: it is suspended already by {} ({}); `kubectl edit suspension {} -n {namespace}` \
             moves its last day, `leasehold resume {name} -n {namespace}` lifts it",
            known.spec.authority.as_str(),
            known.spec.reason.as_str(),
            known.name_any()
        ),
    }
}

/// Why there is nothing to lift.
fn not_ours(name: &str, namespace: &str, status: Option<&TenancyStatus>) -> String {
    let by = status.and_then(|status| status.suspension.as_ref());
    let why = match by.map(|by| by.name.as_str()) {
        None => format!(
            "it is not suspended; `kubectl get suspensions -n {namespace}` lists what was ordered"
        ),
        Some(policy) if policy.starts_with("CloudPolicy ") => {
            "the policy stopped it because its term is over; `leasehold renew` extends the term"
                .to_owned()
        }
        Some(other) => format!("suspension {other} that stopped it ends just now; look again"),
    };
    format!("failed to let {name} go on: {why}")
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
    suspension: String,
    reason: &'a str,
    authority: &'a str,
    until: Option<&'a str>,
}

impl<'a> Ordered<'a> {
    fn new(namespace: &'a str, order: &'a Suspension) -> Self {
        let spec = &order.spec;
        Self {
            tenancy: spec.tenancy.as_str(),
            namespace,
            suspension: order.name_any(),
            reason: spec.reason.as_str(),
            authority: spec.authority.as_str(),
            until: spec.until.as_deref(),
        }
    }
}

fn sheet(orders: &[&Ordered<'_>]) -> Sheet {
    let columns = vec![
        output::text("tenancy", "租约"),
        output::text("namespace", "命名空间"),
        output::text("suspension", "停用令"),
        output::text("reason", "理由"),
        output::text("authority", "批准机关与文号"),
        output::text("until", "截止日"),
    ];
    let rows = orders.iter().map(|order| {
        let row = [
            order.tenancy,
            order.namespace,
            order.suspension.as_str(),
            order.reason,
            order.authority,
            order.until.unwrap_or_default(),
        ];
        Vec::from(row.map(str::to_owned))
    });
    output::plain(columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use leasehold_api::{
        platform::SuspensionStatus,
        tenancy::{NamespaceStatus, SuspensionInForce},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::Format;

    fn arguments(until: Option<&str>) -> SuspendArgs {
        SuspendArgs {
            name: "oa".to_owned(),
            reason: "安全整改".to_owned(),
            authority: "市政府办 黄政办〔2026〕12号".to_owned(),
            until: until.map(day),
            yes: true,
        }
    }

    fn day(text: &str) -> LocalDate {
        LocalDate::parse(text).unwrap()
    }

    /// An order under this name, of this tenancy, as far as the operator says.
    fn known(object: &str, tenancy: &str, phase: Option<SuspensionPhase>) -> Suspension {
        let mut order = order(&arguments(None), "dept-a", object);
        order.spec.tenancy = tenancy.into();
        order.status = phase.map(|phase| SuspensionStatus {
            phase,
            ..SuspensionStatus::default()
        });
        order
    }

    #[test]
    fn an_order_is_an_object_that_says_what_was_typed() {
        let written =
            serde_json::to_value(order(&arguments(Some("2026-10-31")), "dept-a", "oa-2")).unwrap();
        let expected = json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
            "metadata": {"name": "oa-2", "namespace": "dept-a"},
            "spec": {
                "tenancy": "oa", "reason": "安全整改",
                "authority": "市政府办 黄政办〔2026〕12号", "until": "2026-10-31",
            },
        });
        assert_eq!(written, expected);
        let endless = order(&arguments(None), "dept-a", "oa");
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
        let spec = order(&arguments(Some("2026-10-31")), "dept-a", "oa").spec;
        let told = stops("oa", Some(&status), &spec);
        for words in ["a--prod", "through 2026-10-31", "billed on"] {
            assert!(told.contains(words), "{told}");
        }
        let endless = order(&arguments(None), "dept-a", "oa").spec;
        assert!(stops("oa", None, &endless).contains("until it is lifted"));
    }

    #[test]
    fn nobody_suspends_twice_under_whatever_name_and_what_has_ended_is_in_nobodys_way() {
        let ended = [
            known("oa", "oa", Some(SuspensionPhase::Over)),
            known("oa-2", "mail", Some(SuspensionPhase::InForce)),
            known("audit", "oa", Some(SuspensionPhase::Refused)),
        ];
        assert!(refuse_suspended("oa", "dept-a", &ended).is_ok());
        assert_eq!(free("oa", &ended), "oa-3");
        assert_eq!(free("mail", &ended), "mail");
        for phase in [
            None,
            Some(SuspensionPhase::Waiting),
            Some(SuspensionPhase::InForce),
        ] {
            let order = known("audit", "oa", phase);
            let error = refuse_suspended("oa", "dept-a", &[order])
                .unwrap_err()
                .to_string();
            for words in [
                "suspended already",
                "安全整改",
                "edit suspension audit -n dept-a",
            ] {
                assert!(error.contains(words), "{error}");
            }
        }
    }

    #[test]
    fn a_last_day_that_has_passed_in_the_offices_zone_is_refused() {
        // the last hour of the 31st by UTC, and the seventh of the 1st in Shanghai
        let now = Second::parse("2026-10-31T23:00:00Z").unwrap();
        let on = |until: &str, zone: &str| {
            let zone = Zone::parse(zone).unwrap();
            refuse_past("oa", day(until), &zone, now).map_err(|error| error.to_string())
        };
        assert_eq!(on("2026-11-01", "Asia/Shanghai"), Ok(()));
        assert_eq!(on("2026-10-31", "UTC"), Ok(()));
        let error = on("2026-10-31", "Asia/Shanghai").unwrap_err();
        assert!(
            error.contains("it is 2026-11-01 in Asia/Shanghai"),
            "{error}"
        );
    }

    #[test]
    fn all_orders_of_the_tenancy_that_hold_are_lifted_by_name_and_no_others() {
        let all = [
            known("a", "oa", Some(SuspensionPhase::InForce)),
            known("oa", "mail", Some(SuspensionPhase::InForce)),
            known("oa-2", "oa", Some(SuspensionPhase::Over)),
            known("oa-3", "oa", None),
        ];
        let orders = standing("oa", &all);
        let told = ordered_by("oa", &orders);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert!(lines[0].ends_with("安全整改 (suspension a)"), "{told}");
        assert!(lines[1].ends_with("(suspension oa-3)"), "{told}");
    }

    #[test]
    fn what_no_order_stopped_is_not_lifted_and_is_told_why() {
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
        assert!(told(&by("audit")).contains("suspension audit"));
    }

    #[test]
    fn programs_get_what_was_ordered_and_nothing_else() {
        let order = order(&arguments(None), "dept-a", "oa-2");
        let done = Ordered::new("dept-a", &order);
        let told = |format| {
            let mut out = Vec::new();
            output::tell("said", &done, &sheet(&[&done]), format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let read: Value = serde_json::from_str(&told(Format::Json)).unwrap();
        let expected = json!({"tenancy": "oa", "namespace": "dept-a", "suspension": "oa-2",
            "reason": "安全整改", "authority": "市政府办 黄政办〔2026〕12号", "until": null});
        assert_eq!(read, expected);
        assert!(told(Format::Csv).contains("oa,dept-a,oa-2,安全整改,"));
    }
}
