//! What a department leases, and what it and everything below it lease together.
//!
//! Its own sum comes from the ledger. Those of the departments below are what they say of themselves, so that nobody
//! reads the ledger of a whole subtree because one lease changed in it.

use std::collections::BTreeSet;

use kube::ResourceExt;
use leasehold_api::{
    names,
    tenancy::{Department, Leased, Subtree},
};
use leasehold_ledger::{money::Unit, time::Second};
use leasehold_planner::limits::{Limit, LimitError, Sum, Take};

use crate::{Context, Error, verdict::told};

/// What a department leases, with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// What the department itself leases.
    pub leased: Leased,
    /// What it leases together with everything below it.
    pub subtree: Subtree,
    /// By how much that is above the department's limits, one sentence for each.
    pub over: Vec<String>,
}

/// Adds up what the department and everything below it lease. `takes` are those of its own tenancies.
pub fn reckon(
    department: &Department,
    takes: &[Take],
    context: &Context,
    now: Second,
) -> Result<Sums, Error> {
    let failed = |error: LimitError| Error::understand("what is leased", told(&error));
    let code = department.name_any();
    let departments = &context.world.departments;
    let hierarchy = context.world.tree.with(department);
    let prices = context.books.prices();
    let here = names::SELF_CLOUDLET;
    let provider = context
        .world
        .cloudlets
        .look(None, here, |cloudlet| cloudlet.spec.provider.to_string());
    let unit_of = |item: &str| {
        let catalogue = prices.catalogue.as_ref();
        let found = catalogue.and_then(|books| books.item(provider.as_deref()?, item, now));
        found.map_or(Unit::Count, |item| item.unit)
    };
    let own = Sum::of(takes).map_err(failed)?;
    let above = hierarchy.line(&code).above;
    let leased = own.leased(&limited(department, &above, context), unit_of);
    let mut sum = own;
    let subtree = hierarchy.subtree(&code);
    for below in subtree.iter().filter(|below| **below != code) {
        let theirs = departments.look(None, below, |found| found.status.as_ref()?.leased.clone());
        if let Some(theirs) = theirs.flatten() {
            sum = sum.with(&theirs).map_err(failed)?;
        }
    }
    let limit = department.spec.limits.as_ref();
    let limit = limit.map(|limits| Limit::of(&code, limits));
    Ok(Sums {
        leased,
        over: limit
            .as_ref()
            .map(|limit| limit.exceeded_by(&sum, unit_of))
            .unwrap_or_default(),
        subtree: Subtree {
            departments: u32::try_from(subtree.len()).unwrap_or(u32::MAX),
            tenancies: sum.tenancies,
            monthly: sum.monthly.to_string(),
            limit: limit.and_then(|limit| limit.monthly().map(str::to_owned)),
        },
    })
}

/// Items on which there is a limit in the department or above it.
fn limited(department: &Department, above: &[&str], context: &Context) -> BTreeSet<String> {
    let limited_by = |found: &Department| -> Vec<String> {
        let items = found.spec.limits.iter().flat_map(|limits| &limits.items);
        items.map(|limit| limit.item.to_string()).collect()
    };
    let departments = &context.world.departments;
    let further = above
        .iter()
        .filter_map(|code| departments.look(None, code, limited_by));
    further.flatten().chain(limited_by(department)).collect()
}
