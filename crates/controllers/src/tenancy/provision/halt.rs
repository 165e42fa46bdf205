//! Quotas of a tenancy in which nothing may run, by order or because its lease was given back: no pods, and everything
//! else as it is.

use std::collections::BTreeMap;

use leasehold_api::names;
use leasehold_planner::{
    acceptance,
    objects::NamespaceIdentity,
    quota::{self, Hard},
    suspension::turned,
};

use super::{
    super::{observe::Life, report::Report},
    quotas,
};
use crate::{Context, Error};

/// Whether nothing may run: a suspension is in force, or a rejection stands.
pub fn is_on(state: &Life, report: &Report) -> bool {
    report.suspended.is_some() || acceptance::rejection(&state.view).is_some()
}

/// Leaves no pods in what is desired while nothing may run. Namespaces that the manifest no longer names, whose
/// counts nothing else changes, are moved among the desired ones where their pods have to change: they lease nothing
/// there, as before.
pub fn all(
    context: &Context,
    halted: bool,
    desired: &mut BTreeMap<String, Hard>,
    abandoned: &mut Vec<String>,
    identity: &NamespaceIdentity,
) {
    if halted {
        for hard in desired.values_mut() {
            if let Some(none) = turned(hard, halted) {
                *hard = none;
            }
        }
    }
    let changed = changed(context, &identity.department, abandoned, halted);
    abandoned.retain(|short| !changed.contains_key(short));
    desired.extend(changed.into_iter().map(|(short, mut hard)| {
        hard.retain(|key, _| !quota::is_leased(key));
        (short, hard)
    }));
}

/// The same where the quotas cannot be divided as the manifest says: they stay as they stand, but for their pods. A
/// split that does not fit must not keep a halt away, nor an end of it.
pub async fn as_they_stand(
    context: &Context,
    halted: bool,
    identity: &NamespaceIdentity,
    standing: &[String],
) -> Result<(), Error> {
    let desired = changed(context, &identity.department, standing, halted);
    if desired.is_empty() {
        return Ok(());
    }
    // with no lease to grow into, what is leased stays where it is
    quotas::step_quotas(context, identity, &Hard::new(), &desired, &[], false).await?;
    Ok(())
}

/// Quotas whose pods have to change, as they stand but for that.
fn changed(
    context: &Context,
    department: &str,
    shorts: &[String],
    halted: bool,
) -> BTreeMap<String, Hard> {
    let of = |short: &String| {
        let place = names::tenancy_namespace(department, short);
        let quota = context.world.quotas.get(Some(&place), names::QUOTA_NAME)?;
        let hard = turned(&quotas::observed(&quota).spec_hard, halted)?;
        Some((short.clone(), hard))
    };
    shorts.iter().filter_map(of).collect()
}
