//! A split that follows use, where the department lets it.

use std::collections::BTreeMap;

use leasehold_api::tenancy::RebalanceBy;
use leasehold_planner::quota::{ByUse, Hard, QuotaStep};

use super::{
    super::{drifts, observe::State, report::Report},
    Due, SOON, quotas,
};
use crate::{Context, Error};

/// What moves the split of the manifest, and the split as it follows from the use that was last seen. Nothing, where the
/// shares stand. `there` are the namespaces that exist, named or not.
pub fn follow(
    state: &State,
    context: &Context,
    due: &Due,
    lease: &Hard,
    split: &mut BTreeMap<String, Hard>,
    there: &[String],
) -> Result<Option<ByUse>, Error> {
    let Some(by_use) = of(state, due, lease, split)? else {
        // whatever is written from here on is the manifest's split
        drifts::forget_given(state, context);
        return Ok(None);
    };
    let all = split.keys().chain(there);
    let tenancy = (state.department.as_str(), state.name.as_str());
    let seen = quotas::left(context, &by_use, tenancy, all)?;
    *split = by_use.over(split, &seen);
    by_use.count(split);
    Ok(Some(by_use))
}

fn of(
    state: &State,
    due: &Due,
    lease: &Hard,
    split: &BTreeMap<String, Hard>,
) -> Result<Option<ByUse>, Error> {
    let spec = &state.tenancy.spec;
    let Some(rebalance) = &spec.rebalance else {
        return Ok(None);
    };
    match rebalance.by {
        RebalanceBy::Use => {
            let status = state.tenancy.status.as_ref();
            let reached = status.and_then(|status| status.split.as_deref());
            let by_use = ByUse::new(spec, lease, &due.items, split, reached)?;
            Ok(Some(by_use))
        }
    }
}

/// What is told of a step. Once the split of the manifest was reached and the lease is in force, nobody waits for
/// capacity that moves with use: it is looked after, and the tenancy is what it was. Otherwise every move would be a
/// change of phase, with its events.
pub fn told(
    by_use: Option<&ByUse>,
    step: QuotaStep,
    state: &State,
    context: &Context,
    due: &Due,
    report: &mut Report,
) -> QuotaStep {
    let Some(by_use) = by_use else { return step };
    if step.settled {
        report.split = Some(by_use.begun().to_owned());
        return step;
    }
    let in_force = state.is_effective(due.request.request);
    let passes = by_use.is_under_way() && in_force && step.refused.is_empty();
    if !passes {
        return step;
    }
    // what is fought over is looked at again when a pause ends
    if !drifts::is_contested(state, context) {
        report.look_again(SOON);
    }
    QuotaStep {
        settled: true,
        waiting: Vec::new(),
        ..step
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::document::{AcceptanceDoc, DeliveredDoc, EffectiveDoc};
    use leasehold_planner::objects;
    use serde_json::{Value, json};

    use super::{
        super::{
            Progress, divide,
            fixture::{Fake, context, due, list, made, plans, state},
            provision,
        },
        *,
    };
    use crate::drift::Owner;

    /// The tenancy of ten cores, five for each of two namespaces, that may be rebalanced and has reached that split.
    fn rebalanced() -> State {
        let mut state = state(&[("prod", "5"), ("test", "5")]);
        let by_use: Value = json!({"by": "Use"});
        state.tenancy.spec.rebalance = Some(serde_json::from_value(by_use).unwrap());
        let due = due(&state);
        let life = &mut state.life;
        life.view.effective.push(EffectiveDoc {
            department: life.department.clone(),
            tenancy: life.name.clone(),
            incarnation: 1,
            request: 1,
            not_before: life.now,
            at: life.now,
        });
        state.view.requests.push(due.request.clone());
        let (lease, split) = divide(&state, &due, &[]).unwrap();
        let by_use = of(&state, &due, &lease, &split).unwrap().unwrap();
        let status = state.tenancy.status.get_or_insert_default();
        status.split = Some(by_use.begun().to_owned());
        state
    }

    /// Its namespaces and quotas, with so many thousandths of a core in use in each.
    fn standing(used: [i64; 2]) -> (Vec<Value>, Vec<Value>) {
        let state = rebalanced();
        plans(&state, &due(&state))
            .iter()
            .zip(used)
            .map(|(plan, used)| {
                let mut quota = made(&json!(objects::quota(plan, &plan.hard)));
                let hard = quota["spec"]["hard"].clone();
                let used = format!("{used}m");
                let used = json!({"requests.cpu": used, "limits.cpu": used});
                quota["status"] = json!({"hard": hard, "used": used});
                (made(&json!(objects::namespace(plan))), quota)
            })
            .unzip()
    }

    /// What a round came to.
    struct Seen {
        progress: Progress,
        /// Whether it looks again soon.
        soon: bool,
        /// Quotas that were written, by path.
        writes: Vec<(String, Value)>,
        /// Whether anybody got rights.
        rights: bool,
        /// What was told of quotas.
        told: Vec<String>,
    }

    /// One round over such use.
    async fn round(used: [i64; 2]) -> Seen {
        Box::pin(round_of(rebalanced(), used, false)).await
    }

    async fn round_of(state: State, used: [i64; 2], contested: bool) -> Seen {
        Box::pin(round_over(state, standing(used), contested)).await
    }

    async fn round_over(
        mut state: State,
        (namespaces, quotas): (Vec<Value>, Vec<Value>),
        contested: bool,
    ) -> Seen {
        let fake = Fake::start(move |call| {
            let of = ["/edu--prod/", "/edu--test/"].map(|name| call.path.contains(name));
            let place = of.iter().position(|found| *found);
            match (call.path.as_str(), call.method.as_str(), place) {
                ("/api/v1/namespaces", "GET", _) => Some(list(&namespaces)),
                ("/api/v1/resourcequotas", "GET", _) => Some(list(&quotas)),
                (path, "GET", Some(place)) if path.contains("/resourcequotas/") => {
                    Some((200, quotas[place].clone()))
                }
                _ => None,
            }
        })
        .await;
        let (context, _tasks) = context(&fake).await;
        if contested {
            let owner = Owner::tenancy("edu", "oa");
            let repairs = &context.repairs;
            repairs.fight_over_quota(&owner, "edu--prod", context.now());
        }
        let (due, mut report) = (due(&state), Report::new(&state));
        let progress = Box::pin(provision(&mut state, &context, &mut report, &due)).await;
        let news = context
            .repairs
            .take(&Owner::tenancy("edu", "oa"), context.now());
        let told = news.happened.into_iter().map(|told| told.sentence);
        Seen {
            told: told.filter(|told| told.starts_with("quota ")).collect(),
            progress: progress.unwrap(),
            soon: report.again.is_some(),
            writes: fake.writes("/resourcequotas/"),
            rights: !fake.writes("/rolebindings").is_empty(),
        }
    }

    #[tokio::test]
    async fn what_moves_with_use_is_looked_after_and_told_as_nothing() {
        // five of five are used: twice a head-room of 1250 more are wanted, and the other keeps 1250
        let seen = Box::pin(round([5_000, 0])).await;
        assert_eq!(seen.progress, Progress::Ready);
        assert!(seen.soon, "the receiver grows in a later round");
        assert!(!seen.rights, "nobody is let in before the quotas count");
        let [(donor, less), (_, more)] = &seen.writes[..] else {
            panic!("{:?}", seen.writes)
        };
        assert!(donor.contains("/edu--test/"), "the donor first: {donor}");
        let [less, more] = [less, more].map(|written| &written["spec"]["hard"]);
        // 7500m and 2500m, on a grid of 157m: 48 steps of it are 7536m
        assert_eq!(less["requests.cpu"], "2464m");
        assert_eq!(less["limits.cpu"], "2464m");
        assert_eq!(less["pods"], "40", "as many as its share has");
        assert_eq!(more["requests.cpu"], "5", "nothing is free yet");
        assert_eq!(more["pods"], "80");
    }

    #[tokio::test]
    async fn what_others_move_is_no_split_and_is_put_back_and_told() {
        let (namespaces, mut quotas) = standing([1_000, 1_000]);
        // six and four of ten, and nobody is short
        for (quota, cores) in quotas.iter_mut().zip(["6", "4"]) {
            for part in ["spec", "status"] {
                quota[part]["hard"]["requests.cpu"] = json!(cores);
                quota[part]["hard"]["limits.cpu"] = json!(cores);
            }
            quota["metadata"]["managedFields"] = json!([{
                "manager": "night-shift", "operation": "Update", "apiVersion": "v1",
                "time": "2026-09-01T00:00:09Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:hard": {"f:requests.cpu": {}, "f:limits.cpu": {}}}},
            }]);
        }
        let seen = Box::pin(round_over(rebalanced(), (namespaces, quotas), false)).await;
        let [(path, written)] = &seen.writes[..] else {
            panic!("{:?}", seen.writes)
        };
        assert!(
            path.contains("/edu--prod/"),
            "what grew gives first: {path}"
        );
        assert_eq!(written["spec"]["hard"]["requests.cpu"], "5");
        let told = "quota leasehold in edu--prod was changed by night-shift at 2026-09-01T00:00:09Z; put right";
        assert_eq!(seen.told, [told]);
        assert!(seen.soon, "the other is put right once that counts");
    }

    #[tokio::test]
    async fn nothing_is_read_or_written_while_everybody_has_head_room() {
        let seen = Box::pin(round([3_700, 1_000])).await;
        assert_eq!((seen.progress, seen.soon), (Progress::Ready, false));
        assert!(seen.writes.is_empty(), "{:?}", seen.writes);
        assert!(seen.rights);
    }

    #[tokio::test]
    async fn what_is_fought_over_is_not_looked_at_all_the_time() {
        let seen = Box::pin(round_of(rebalanced(), [5_000, 0], true)).await;
        assert_eq!((seen.progress, seen.soon), (Progress::Ready, false));
    }

    #[tokio::test]
    async fn what_was_given_back_starts_no_pod_although_counts_follow_use() {
        let mut state = rebalanced();
        let life = &mut state.life;
        life.view.effective.clear();
        let (department, tenancy, at) = (life.department.clone(), life.name.clone(), life.now);
        life.view.delivered.push(DeliveredDoc {
            department: department.clone(),
            tenancy: tenancy.clone(),
            incarnation: 1,
            request: 1,
            at,
            until: at.plus(60),
        });
        life.view.acceptance.push(AcceptanceDoc {
            department,
            tenancy,
            incarnation: 1,
            request: 1,
            accepted: false,
            by: "zhang@edu".to_owned(),
            reason: "too slow".to_owned(),
            at,
        });
        let seen = Box::pin(round_of(state, [5_000, 0], false)).await;
        assert_eq!(seen.writes.len(), 2, "{:?}", seen.writes);
        for (path, written) in &seen.writes {
            assert_eq!(written["spec"]["hard"]["pods"], "0", "{path}");
        }
    }
}
