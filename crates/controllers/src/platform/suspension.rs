//! Suspensions: what became of the office's orders. The tenancy's own reconciler puts them in force.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::{
    names,
    platform::{Suspension, SuspensionPhase, SuspensionStatus},
    tenancy::{Phase, Tenancy},
};
use leasehold_kit::{
    EventType, Shutdown,
    cache::{Changed, written},
};
use leasehold_ledger::{
    document::{SuspensionDoc, SuspensionStage},
    time::{Second, Zone},
};
use leasehold_planner::{
    convert::ledger_policy,
    suspension::{self, Circumstances, Order, Verdict as Judged},
};

use crate::{
    Context, Error, World,
    verdict::Verdict,
    wake::{self, Ref},
};

/// It is looked at so soon after the instant at which it ends.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.suspensions.clone();
    wake::run("suspension", context, own, triggers, shutdown, reconcile).await;
}

/// Its tenancy, which takes it up; the department, which lists essential systems; the policy, which has the time zone.
fn triggers(world: &World) -> BoxStream<'static, Ref<Suspension>> {
    let suspensions = world.suspensions.clone();
    let of_tenancy = move |tenancy: &Changed| -> Vec<Ref<Suspension>> {
        let found = suspensions.select(|suspension| {
            suspension.metadata.namespace == tenancy.namespace
                && suspension.spec.tenancy.as_str() == tenancy.name
        });
        found.iter().map(wake::reference).collect()
    };
    let all = &world.suspensions;
    wake::any(vec![
        wake::named(all, world.tenancies.changes(), of_tenancy),
        wake::every(all, written(world.departments.changes()), |_| true),
        wake::every(all, written(world.policies.changes()), |_| true),
    ])
}

/// What was found out about one.
struct Found {
    phase: SuspensionPhase,
    verdict: Verdict,
    since: Option<String>,
    /// When it ends by itself.
    end: Option<Second>,
}

impl Found {
    fn waits(sentence: String) -> Self {
        let mut verdict = Verdict::default();
        verdict.wait(sentence);
        Self {
            phase: SuspensionPhase::Waiting,
            verdict,
            since: None,
            end: None,
        }
    }

    fn refused(sentence: String, since: Option<String>) -> Self {
        let mut verdict = Verdict::default();
        verdict.refuse(sentence);
        Self {
            phase: SuspensionPhase::Refused,
            verdict,
            since,
            end: None,
        }
    }
}

async fn reconcile(object: Arc<Suspension>, context: Context) -> Result<Action, Error> {
    let now = context.now();
    let found = look(&object, &context, now).await?;
    let old = object.status.clone().unwrap_or_default();
    let mut new = SuspensionStatus {
        observed_generation: object.metadata.generation,
        phase: found.phase,
        since: found.since,
        evicted: evicted(&object, &context).unwrap_or(old.evicted),
        conditions: old.conditions.clone(),
    };
    let (generation, at) = (object.metadata.generation, now.timestamp());
    found.verdict.write(&mut new.conditions, generation, at);
    if new != old || object.status.is_none() {
        if new.phase != old.phase || object.status.is_none() {
            tell(&object, &new, &found.verdict, &context).await;
        }
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
    }
    let until = found.end.and_then(|end| u64::try_from(end.since(now)).ok());
    Ok(match until.map(Duration::from_secs) {
        Some(until) if until < wake::RESYNC => Action::requeue(until.max(AT_ONCE)),
        Some(_) | None => wake::later(),
    })
}

/// Tells of a new phase; what is refused is told with its rule.
async fn tell(object: &Suspension, new: &SuspensionStatus, verdict: &Verdict, context: &Context) {
    let type_ = match new.phase {
        SuspensionPhase::Refused => EventType::Warning,
        SuspensionPhase::Waiting | SuspensionPhase::InForce | SuspensionPhase::Over => {
            EventType::Normal
        }
    };
    let reason = format!("{:?}", new.phase);
    let (_, note) = verdict.summary();
    context
        .kit
        .event(object, type_, &reason, "Check", note)
        .await;
}

/// How many pods were ended for it, where its tenancy says so.
fn evicted(object: &Suspension, context: &Context) -> Option<u32> {
    let tenancy = tenancy(object, context)?;
    let shown = tenancy.status?.suspension?;
    (shown.name == object.name_any()).then_some(shown.evicted)
}

fn tenancy(object: &Suspension, context: &Context) -> Option<Tenancy> {
    let place = object.metadata.namespace.as_deref();
    context.world.tenancies.get(place, &object.spec.tenancy)
}

async fn look(object: &Suspension, context: &Context, now: Second) -> Result<Found, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(department) = names::department_of_office(&namespace) else {
        let refusal = suspension::out_of_place(&namespace);
        return Ok(Found::refused(refusal.to_string(), None));
    };
    let Some(policy) = context.world.policy() else {
        return Ok(Found::waits(format!(
            "CloudPolicy {} does not exist yet; the e-government office applies it",
            names::POLICY_NAME
        )));
    };
    let policy = ledger_policy(&policy.spec)
        .map_err(|error| Error::understand("CloudPolicy default", error))?;
    let name = object.spec.tenancy.as_str();
    let Some(tenancy) = tenancy(object, context) else {
        return Ok(Found::waits(format!(
            "Tenancy {name} does not exist in {namespace} yet; it is suspended as soon as it leases anything"
        )));
    };
    let records = context.books.suspensions(department, name).await?;
    let organisation = context.world.departments.get(None, department);
    let essential = organisation.map(|found| found.spec.essential_systems);
    let status = tenancy.status.clone().unwrap_or_default();
    // an order ends with the release of its tenancy, of which the status tells a moment later
    let view = context.books.view(department, name).await?;
    let is_of_it = view.incarnation.as_ref().map(|known| known.incarnation) == status.incarnation;
    let around = Circumstances {
        department,
        tenancy: name,
        system: &tenancy.spec.system,
        incarnation: status.incarnation.unwrap_or(0),
        released: status.phase == Phase::Released || (is_of_it && view.released()),
        essential: essential.as_deref().unwrap_or_default(),
        records: &records,
        zone: &policy.time_zone,
        now,
    };
    Ok(found(&Order::of(object), &around))
}

/// What an order comes to, in the words of its status.
fn found(order: &Order, around: &Circumstances<'_>) -> Found {
    let begun = around.record(&order.uid, SuspensionStage::Begun);
    let since = begun.map(|document| document.at.in_zone(around.zone));
    let (phase, verdict, end) = match suspension::judge(order, around) {
        Judged::Refused(refusal) => return Found::refused(refusal.to_string(), since),
        Judged::Over => (SuspensionPhase::Over, over(order, around), None),
        Judged::InForce => {
            let Some(begun) = begun else {
                return Found::waits(format!(
                    "Tenancy {} takes it up with its next round, or as soon as it leases anything",
                    around.tenancy
                ));
            };
            let verdict = in_force(order, begun, around.zone);
            (SuspensionPhase::InForce, verdict, order.end(around.zone))
        }
    };
    Found {
        phase,
        verdict,
        since,
        end,
    }
}

fn in_force(order: &Order, begun: &SuspensionDoc, zone: &Zone) -> Verdict {
    let until = match order.until {
        Some(day) => format!("through {day}"),
        None => "until this object is deleted".to_owned(),
    };
    Verdict::fine(
        "InForce",
        format!(
            "nothing of {} runs since {}, {until}; the lease goes on and is billed",
            begun.tenancy,
            begun.at.in_zone(zone)
        ),
    )
}

fn over(order: &Order, around: &Circumstances<'_>) -> Verdict {
    let begun = around.record(&order.uid, SuspensionStage::Begun);
    let ended = around.record(&order.uid, SuspensionStage::Ended);
    // what came too late has an end in the ledger and no beginning
    let message = match (begun.and(ended), order.until) {
        (Some(ended), _) => format!("ended on {}", ended.at.in_zone(around.zone)),
        (None, Some(day)) if order.end(around.zone) <= Some(around.now) => {
            format!("its last day was {day}")
        }
        (None, _) => format!("the tenancy {} has ended", around.tenancy),
    };
    Verdict::fine("Over", message)
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::time::LocalDate;

    use super::*;

    fn order(until: Option<&str>) -> Order {
        Order {
            name: "oa".to_owned(),
            uid: "u-1".to_owned(),
            reason: "安全整改".to_owned(),
            authority: "市政府办".to_owned(),
            by: "chen@office".to_owned(),
            until: until.map(|day| LocalDate::parse(day).unwrap()),
            is_policy: false,
        }
    }

    fn record(stage: SuspensionStage) -> SuspensionDoc {
        SuspensionDoc {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            name: "oa".to_owned(),
            uid: "u-1".to_owned(),
            stage,
            reason: "安全整改".to_owned(),
            authority: "市政府办".to_owned(),
            until: None,
            by: "chen@office".to_owned(),
            at: Second::parse("2027-01-31T06:30:00Z").unwrap(),
        }
    }

    fn around<'a>(records: &'a [SuspensionDoc], zone: &'a Zone, now: &str) -> Circumstances<'a> {
        Circumstances {
            department: "edu",
            tenancy: "oa",
            system: "oa",
            incarnation: 1,
            released: false,
            essential: &[],
            records,
            zone,
            now: Second::parse(now).unwrap(),
        }
    }

    fn shown(
        records: &[SuspensionDoc],
        until: Option<&str>,
        now: &str,
    ) -> (SuspensionPhase, String) {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let found = found(&order(until), &around(records, &zone, now));
        (found.phase, found.verdict.summary().1.to_owned())
    }

    #[test]
    fn it_is_in_force_only_once_the_ledger_has_it() {
        let now = "2027-01-31T06:30:00Z";
        let (phase, told) = shown(&[], None, now);
        assert_eq!(phase, SuspensionPhase::Waiting);
        assert!(told.contains("Tenancy oa"), "{told}");
        let begun = [record(SuspensionStage::Begun)];
        let (phase, told) = shown(&begun, Some("2027-02-28"), now);
        assert_eq!(phase, SuspensionPhase::InForce);
        for words in ["2027-01-31T14:30:00+08:00", "through 2027-02-28", "billed"] {
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn it_is_over_after_its_last_day_and_says_when_it_ended() {
        let both = [
            record(SuspensionStage::Begun),
            record(SuspensionStage::Ended),
        ];
        let after = "2027-03-01T00:00:00Z";
        let (phase, told) = shown(&both, Some("2027-02-28"), after);
        assert_eq!(phase, SuspensionPhase::Over);
        assert_eq!(told, "ended on 2027-01-31T14:30:00+08:00");
        let (phase, told) = shown(&[], Some("2027-02-28"), after);
        assert_eq!(phase, SuspensionPhase::Over);
        assert_eq!(told, "its last day was 2027-02-28");
        let (phase, told) = shown(&both, Some("2027-03-31"), after);
        assert_eq!(phase, SuspensionPhase::Refused);
        assert!(told.starts_with("rule T42:"), "{told}");
    }

    #[test]
    fn an_order_that_came_after_the_release_never_began_and_says_so() {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let records = [record(SuspensionStage::Ended)];
        let around = Circumstances {
            released: true,
            ..around(&records, &zone, "2027-03-01T00:00:00Z")
        };
        let found = found(&order(None), &around);
        assert_eq!(found.phase, SuspensionPhase::Over);
        assert_eq!(found.verdict.summary().1, "the tenancy oa has ended");
    }
}
