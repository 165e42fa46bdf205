//! The end of a department: what it still holds, and when it holds nothing any more.

use kube::ResourceExt;
use leasehold_api::{
    names,
    tenancy::{Department, DepartmentPhase, Phase},
};
use leasehold_planner::limits::Take;

use crate::{Context, verdict::Verdict};

/// Where the department stands in its life. What it still holds, and what is below it, goes into the verdict.
pub fn phase(
    department: &Department,
    takes: &[Take],
    context: &Context,
    verdict: &mut Verdict,
) -> DepartmentPhase {
    let Some(end) = &department.spec.end else {
        return DepartmentPhase::Active;
    };
    let (code, world) = (department.name_any(), &context.world);
    if let Some(successor) = &end.successor
        && world.departments.look(None, successor, |_| ()).is_none()
    {
        verdict.note(format!(
            "Department {successor} that goes on with the work does not exist yet; the e-government office applies it"
        ));
    }
    let hierarchy = world.tree.with(department);
    let below: Vec<&str> = hierarchy.below(&code).collect();
    if !below.is_empty() {
        verdict.note(format!(
            "below this department are still {}; the e-government office moves them (spec.parent)",
            below.join(", ")
        ));
    }
    let held = held(&code, takes, context);
    if !held.is_empty() {
        verdict.note(format!(
            "the department ends and still has {}; release them (leasehold release NAME -n {}), and delete what was refused",
            held.join(", "),
            names::office_namespace(&code)
        ));
    }
    // limits and oversight reach what is below through its object, which may be deleted once it has ended
    if held.is_empty() && below.is_empty() {
        DepartmentPhase::Ended
    } else {
        DepartmentPhase::Ending
    }
}

/// Names of the department's tenancies that are not released: those whose objects are there, and those that the ledger
/// bills although they are not. A request that waits without an object leads to nothing.
fn held(code: &str, takes: &[Take], context: &Context) -> Vec<String> {
    let office = names::office_namespace(code);
    let there = context.world.tenancies.select(|tenancy| {
        let status = tenancy.status.as_ref();
        tenancy.metadata.namespace.as_ref() == Some(&office)
            && status.is_none_or(|status| status.phase != Phase::Released)
    });
    let billed = takes.iter().filter(|take| take.holds);
    let mut names: Vec<String> = there
        .iter()
        .map(ResourceExt::name_any)
        .chain(billed.map(|take| take.tenancy.clone()))
        .collect();
    names.sort();
    names.dedup();
    names
}
