//! Quotas of a tenancy under a suspension: no pods, and everything else as it is.

use std::collections::BTreeMap;

use leasehold_api::names;
use leasehold_planner::{
    objects::NamespaceIdentity,
    quota::{self, Hard},
    suspension::turned,
};

use super::{super::report::Report, quotas};
use crate::{Context, Error};

/// Leaves no pods in what is desired while a suspension is in force. Namespaces that the manifest no longer names, whose
/// counts nothing else changes, are moved among the desired ones where their pods have to change: they lease nothing
/// there, as before.
pub fn all(
    context: &Context,
    report: &Report,
    desired: &mut BTreeMap<String, Hard>,
    abandoned: &mut Vec<String>,
    identity: &NamespaceIdentity,
) {
    let suspended = report.suspended.is_some();
    if suspended {
        for hard in desired.values_mut() {
            if let Some(none) = turned(hard, suspended) {
                *hard = none;
            }
        }
    }
    let changed = changed(context, &identity.department, abandoned, suspended);
    abandoned.retain(|short| !changed.contains_key(short));
    desired.extend(changed.into_iter().map(|(short, mut hard)| {
        hard.retain(|key, _| !quota::is_leased(key));
        (short, hard)
    }));
}

/// The same where the quotas cannot be divided as the manifest says: they stay as they stand, but for their pods. A
/// split that does not fit must not keep a suspension away, nor an end of it.
pub async fn as_they_stand(
    context: &Context,
    report: &Report,
    identity: &NamespaceIdentity,
    standing: &[String],
) -> Result<(), Error> {
    let suspended = report.suspended.is_some();
    let desired = changed(context, &identity.department, standing, suspended);
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
    suspended: bool,
) -> BTreeMap<String, Hard> {
    let of = |short: &String| {
        let place = names::tenancy_namespace(department, short);
        let quota = context.world.quotas.get(Some(&place), names::QUOTA_NAME)?;
        let hard = turned(&quotas::observed(&quota).spec_hard, suspended)?;
        Some((short.clone(), hard))
    };
    shorts.iter().filter_map(of).collect()
}
