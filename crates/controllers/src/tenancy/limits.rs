//! What the departments above allow, and what a department that ends may still ask for.

use leasehold_ledger::money::{Money, Unit};
use leasehold_planner::{
    limits::{self, Limit, LimitError, Take},
    request::{self, ApprovedPart},
    rules::Refusal,
};

use super::{observe::State, requests::part_of};
use crate::{Context, Error, books::Taken, verdict::told};

/// Whether the limits of the department and of those above have room for this lease at this price a month. What was read
/// for it comes back, for the commit that depends on it; nothing where nobody limits anything.
pub async fn check(
    state: &State,
    context: &Context,
    part: &ApprovedPart,
    monthly: Money,
) -> Result<Result<Option<Taken>, Vec<Refusal>>, Error> {
    let failed = |error: LimitError| Error::understand("what is taken of a limit", told(&error));
    let hierarchy = context.world.tree.with(&state.organisation);
    let above = hierarchy.line(&state.department).above;
    let limits = in_force(state, context, &above);
    // what is below the highest of them holds what is below the others
    let Some(highest) = limits.last() else {
        return Ok(Ok(None));
    };
    let concerned = hierarchy.subtree(highest.department());
    let taken = context.books.taken(&concerned).await?;
    let before = limits::take(&state.view).map_err(failed)?;
    let after = limits::take_with(&state.view, part, monthly).map_err(failed)?;
    let after = Take {
        department: state.department.clone(),
        tenancy: state.name.clone(),
        ..after
    };
    let unit_of = |item: &str| {
        let found = state.prices(part).item(item);
        found.map_or(Unit::Count, |item| item.unit)
    };
    let mut refused = Vec::new();
    for limit in &limits {
        let below = hierarchy.subtree(limit.department());
        let others: Vec<&Take> = taken
            .takes
            .iter()
            .filter(|take| below.contains(take.department.as_str()) && !is_own(take, state))
            .collect();
        let room = limit.check(&others, before.as_ref(), &after, unit_of);
        refused.extend(room.map_err(failed)?);
    }
    if refused.is_empty() {
        Ok(Ok(Some(taken)))
    } else {
        Ok(Err(refused))
    }
}

fn is_own(take: &Take, state: &State) -> bool {
    take.department == state.department && take.tenancy == state.name
}

/// The limits that count here, the department's own first and those of the highest department last. Where departments
/// go round in a circle they count all the same: nobody gets out of a limit by a slip.
fn in_force(state: &State, context: &Context, above: &[&str]) -> Vec<Limit> {
    let own = state.organisation.spec.limits.as_ref();
    let own = own.map(|limits| Limit::of(&state.department, limits));
    let others = above.iter().filter_map(|code| {
        let departments = &context.world.departments;
        let limits = departments.look(None, code, |department| department.spec.limits.clone());
        limits.flatten().map(|limits| Limit::of(code, &limits))
    });
    own.into_iter().chain(others).collect()
}

/// Whether a department that ends may ask for this.
pub fn check_end(state: &State, part: &ApprovedPart) -> Result<(), Vec<Refusal>> {
    let Some(end) = &state.organisation.spec.end else {
        return Ok(());
    };
    let approved = state.view.approved();
    let old = approved.and_then(|request| part_of(request).ok());
    let changes = request::changes(old.as_ref(), part, &state.prices(part));
    let checked = changes.and_then(|changes| limits::check_end(&state.department, end, &changes));
    checked.map_err(|refusal| vec![refusal])
}
