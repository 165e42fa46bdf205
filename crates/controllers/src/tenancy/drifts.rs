//! What others changed of what is the tenancy's: told in its history, in events, and in a condition as long as they go on.

use super::{observe::State, provision::seconds_until, report::Report};
use crate::{
    Context,
    drift::{self, Owner},
};

/// Tells what was put right since the last round, whatever became of this one.
pub async fn tell(state: &State, context: &Context, report: &mut Report) {
    let owner = owner(state);
    let news = drift::news(context, &owner, &state.tenancy).await;
    for told in &news.happened {
        report.happened(state, "leasehold", &told.sentence);
    }
    for contest in news.contests {
        report.contest(contest);
    }
    if let Some(again) = news.again {
        report.look_again(seconds_until(again, context.now()));
    }
}

/// Whether something of the tenancy's is fought over.
pub fn is_contested(state: &State, context: &Context) -> bool {
    context.repairs.is_contested(&owner(state), context.now())
}

/// Nothing is left of the tenancy that anybody could change.
pub fn forget(state: &State, context: &Context) {
    context.repairs.forget_all(&owner(state));
}

/// Nothing that was given to its namespaces counts any more.
pub fn forget_given(state: &State, context: &Context) {
    context.repairs.lose_all(&owner(state));
}

fn owner(state: &State) -> Owner {
    Owner::tenancy(&state.department, &state.name)
}
