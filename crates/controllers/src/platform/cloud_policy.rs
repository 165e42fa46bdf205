//! The policy: checked, remembered by the ledger, and never changed where bills would no longer join.

use std::{sync::Arc, time::Duration};

use kube::runtime::controller::Action;
use leasehold_api::platform::{CloudPolicy, CloudPolicySpec};
use leasehold_kit::{EventType, Shutdown};
use leasehold_ledger::{canonical::Digest, document::PolicyDoc, policy::Policy};
use leasehold_planner::{convert::ledger_policy, review::Calendar, rules::Refusal};

use crate::{
    Context, Error,
    verdict::{Verdict, told},
    wake,
};

/// When an object is looked at again that was changed meanwhile.
const SOON: Duration = Duration::from_secs(1);

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let policies = context.world.policies.clone();
    wake::run(
        "cloud-policy",
        context,
        policies,
        wake::never::<CloudPolicy>,
        shutdown,
        reconcile,
    )
    .await;
}

async fn reconcile(object: Arc<CloudPolicy>, context: Context) -> Result<Action, Error> {
    let now = context.now();
    let mut verdict = Verdict::fine(
        "InForce",
        "checked and recorded; a period closes by the policy of its first instant, everything else goes by this one",
    );
    let old = object.status.clone().unwrap_or_default();
    let mut new = old.clone();
    match accept(&object.spec, &context).await? {
        Ok(policy) => {
            let digest = record(&policy, &context).await?;
            if let Err(contradiction) = load_prices(&policy, &context).await? {
                verdict.wait(contradiction);
            }
            new.digest = Some(digest.to_string());
        }
        Err(sentence) => verdict.refuse(sentence),
    }
    new.observed_generation = object.metadata.generation;
    verdict.write(
        &mut new.conditions,
        object.metadata.generation,
        now.timestamp(),
    );
    if new != old {
        if new.digest != old.digest {
            let digest = new.digest.as_deref().unwrap_or_default();
            let note = format!("the policy with digest {digest} is recorded in the ledger");
            context
                .kit
                .event(&*object, EventType::Normal, "Recorded", "Record", &note)
                .await;
        }
        if !verdict.refused.is_empty() {
            verdict.warn(&*object, &context).await;
        }
        // that the ledger is in trouble is told in it by somebody else, who may have done so meanwhile
        let written = context
            .kit
            .patch_status_as_read(&*object, object.status.as_ref(), &new);
        match written.await {
            Ok(_) => {}
            Err(error) if error.is_conflict() || error.is_not_found() => {
                return Ok(Action::requeue(SOON));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(wake::later())
}

/// The part that bills depend on, or in plain words why it cannot be used.
async fn accept(
    spec: &CloudPolicySpec,
    context: &Context,
) -> Result<Result<Policy, String>, Error> {
    let policy = match ledger_policy(spec) {
        Ok(policy) => policy,
        Err(error) => return Ok(Err(told(&error))),
    };
    if let Err(error) = policy.validate() {
        return Ok(Err(told(&error)));
    }
    if let Err(error) = Calendar::of(&spec.review) {
        return Ok(Err(told(&error)));
    }
    let has_periods = context.books.store().rehearsal().await?.is_some();
    let known = context.books.policy().await?;
    Ok(
        match known.and_then(|known| unjoinable(&known, &policy, has_periods)) {
            Some(refusal) => Err(refusal.to_string()),
            None => Ok(policy),
        },
    )
}

/// Why the new policy cannot follow the known one. The schema refuses such a change of the object; a deleted and newly
/// applied object passes the schema, so the ledger is asked.
fn unjoinable(known: &Policy, new: &Policy, has_periods: bool) -> Option<Refusal> {
    if !has_periods {
        return None;
    }
    if known.time_zone != new.time_zone {
        return Some(Refusal::new(
            "P02",
            format!("time zone {}", new.time_zone),
            known.time_zone.to_string(),
            "write spec.timeZone as it was, or start a new ledger; statements of two zones would not join",
        ));
    }
    if known.period != new.period {
        return Some(Refusal::new(
            "P03",
            format!("billing period {:?}", new.period),
            format!("{:?}", known.period),
            "write spec.period as it was, or start a new ledger for another one",
        ));
    }
    None
}

/// Remembers the policy, whenever it is another one than the last.
async fn record(policy: &Policy, context: &Context) -> Result<Digest, Error> {
    let now = context.now();
    let document = PolicyDoc {
        policy: policy.clone(),
        seen_at: now,
    };
    let same = |last: &PolicyDoc| last.policy == *policy;
    context.books.follow(&document, same, now).await?;
    Ok(policy.digest()?)
}

/// Loads the published prices, whose days are those of the policy's zone, where that was not done yet.
async fn load_prices(policy: &Policy, context: &Context) -> Result<Result<(), String>, Error> {
    let prices = context.books.prices();
    let loaded = prices
        .catalogue
        .as_ref()
        .is_some_and(|known| *known.zone() == policy.time_zone);
    if loaded {
        return Ok(Ok(()));
    }
    match context.books.reload_prices(&policy.time_zone).await {
        Ok(()) => Ok(Ok(())),
        Err(Error::Understand { what, why }) => Ok(Err(format!(
            "{what} contradict each other: {why}; finance ends one of them"
        ))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::time::{PeriodKind, Zone};

    use super::*;

    fn policy(zone: &str, period: PeriodKind) -> Policy {
        let spec: CloudPolicySpec = serde_json::from_value(serde_json::json!({})).unwrap();
        let mut policy = ledger_policy(&spec).unwrap();
        policy.time_zone = Zone::parse(zone).unwrap();
        policy.period = period;
        policy
    }

    #[test]
    fn zone_and_period_are_free_until_the_first_period_opens() {
        let known = policy("Asia/Shanghai", PeriodKind::Month);
        let new = policy("Asia/Urumqi", PeriodKind::Day);
        assert_eq!(unjoinable(&known, &new, false), None);
        assert_eq!(unjoinable(&known, &new, true).unwrap().rule, "P02");
    }

    #[test]
    fn another_period_under_a_ledger_with_periods_is_refused_with_both_values() {
        let known = policy("Asia/Shanghai", PeriodKind::Month);
        let new = policy("Asia/Shanghai", PeriodKind::Rehearsal { seconds: 60 });
        let refusal = unjoinable(&known, &new, true).unwrap();
        assert_eq!(refusal.rule, "P03");
        assert!(
            refusal.asked.contains("60") && refusal.allowed.contains("Month"),
            "{refusal}"
        );
        assert_eq!(unjoinable(&known, &known.clone(), true), None);
    }

    #[test]
    fn terms_of_credit_may_change_at_any_time() {
        let known = policy("Asia/Shanghai", PeriodKind::Month);
        let mut new = known.clone();
        new.credit_periods = 12;
        new.offset_cap_percent = 50;
        assert_eq!(unjoinable(&known, &new, true), None);
    }
}
