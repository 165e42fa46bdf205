//! Deadlines of decisions: until when each question is to be decided, reminders before that, and that it is overdue.
//!
//! Whoever asks a question writes it and notes on it what became of it: tenancies, hardware, price books. This adds
//! until when it is due. All of them are one field manager, and an apply of a status takes away what the last one set
//! and this one does not name: so each starts from the status that it found, and this one, which may come at any time,
//! writes only on the version that it has read. What another has taken away meanwhile is added again.

mod deadline;
mod waiting;

use std::{sync::Arc, time::Duration};

use futures::{future, stream::BoxStream};
use kube::runtime::controller::Action;
use leasehold_api::{charging::Approval, conditions::types};
use leasehold_kit::{EventType, Shutdown, cache::written};
use leasehold_ledger::time::{Second, Zone};
use leasehold_planner::{
    reminders::Waiting,
    review::{self, Calendar},
};

use self::deadline::{Deadline, is_open};
use crate::{
    Context, Error, World,
    wake::{self, Ref},
};

/// How soon to look again when another part of the operator wrote first.
const SOON: Duration = Duration::from_secs(1);
/// Between two looks at a question at the most, in seconds.
const OFTEN: i64 = 600;

/// Runs the controller of deadlines, and counts what waits, until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let counted = waiting::count(context.clone(), shutdown.clone());
    let approvals = context.world.approvals.clone();
    future::join(
        Box::pin(wake::run(
            "approval", context, approvals, triggers, shutdown, reconcile,
        )),
        Box::pin(counted),
    )
    .await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<Approval>> {
    let policies = written(world.policies.changes());
    wake::every(&world.approvals, policies, is_open)
}

async fn reconcile(object: Arc<Approval>, context: Context) -> Result<Action, Error> {
    let (Some(policy), Some(put)) = (
        context.world.policy(),
        object.metadata.creation_timestamp.as_ref(),
    ) else {
        return Ok(wake::later());
    };
    let policy = &policy.spec;
    let zone = Zone::parse(&policy.time_zone);
    // what cannot be read is said on the policy itself
    let (Ok(zone), Ok(calendar)) = (zone, Calendar::of(&policy.review)) else {
        return Ok(wake::later());
    };
    let days = policy.review.working_days;
    let put = Second::from_timestamp(put.0);
    let (due, now) = (review::due(put, days, &calendar, &zone), context.now());
    let waiting = Waiting {
        put: zone.date_of(put),
        due,
        policy: &policy.review,
        calendar: &calendar,
        zone: &zone,
    };
    let deadline = Deadline {
        due,
        working_days: days,
        zone: &zone,
        stage: waiting.stage(now),
    };
    let old = object.status.clone().unwrap_or_default();
    let new = deadline.status(&object, now);
    if new != old {
        let kit = &context.kit;
        let written = kit.patch_status_as_read(&*object, object.status.as_ref(), &new);
        match written.await {
            Ok(_) => {}
            Err(error) if error.is_conflict() || error.is_not_found() => {
                return Ok(Action::requeue(SOON));
            }
            Err(error) => return Err(error.into()),
        }
        for type_ in [types::DUE_SOON, types::OVERDUE] {
            if let Some((action, note)) = deadline::news(&old, &new, type_) {
                kit.event(&*object, EventType::Warning, type_, &action, note)
                    .await;
            }
        }
    }
    Ok(again(&object, waiting.next_look(now), now))
}

/// When to look again: when somebody is to be reminded or the question becomes overdue, or once in a while.
fn again(object: &Approval, next: Option<Second>, now: Second) -> Action {
    let left = next.map_or(OFTEN, |next| next.since(now));
    if !is_open(object) || left >= OFTEN {
        return wake::later();
    }
    Action::requeue(Duration::from_secs(u64::try_from(left).unwrap_or(1)))
}
