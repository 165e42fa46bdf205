//! Departments: remembered by the ledger, given an office, told what they lease and what is billed without an object.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::{
    conditions::{self, types},
    names,
    tenancy::{Department, DepartmentPhase, DepartmentStatus},
};
use leasehold_kit::{
    EventType, Shutdown,
    cache::{Cache, Changed, written},
};
use leasehold_ledger::{document::DepartmentDoc, time::Second};
use leasehold_planner::domains;

use super::{detached, end, kin, life, office, sums};
use crate::{
    Context, Error, World,
    drift::{self, News, Owner},
    verdict::Verdict,
    wake::{self, Ref},
};

/// Detached tenancies that the status names; more are only counted.
const DETACHED: usize = 64;

/// While admission policies are missing, offices that wait for their namespace are looked at again so soon.
const FENCED: Duration = Duration::from_secs(15);

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.departments.clone();
    wake::run("department", context, own, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<Department>> {
    let claimants = world.departments.clone();
    wake::any(vec![
        wake::named(
            &world.departments,
            written(world.departments.changes()),
            move |changed| rivals(&claimants, changed),
        ),
        wake::named(&world.departments, world.namespaces.changes(), of_office),
        wake::named(&world.departments, world.role_bindings.changes(), of_office),
        wake::named(&world.departments, world.tenancies.changes(), of_gone),
        wake::spared(world, of_tenancies(world)),
        kin::changes(world),
    ])
}

/// The department whose lease may add up to something else.
fn of_tenancies(world: &World) -> BoxStream<'static, Ref<Department>> {
    wake::named(&world.departments, world.tenancies.changes(), of_office)
}

/// The department that may be billed for a tenancy without an object.
fn of_gone(changed: &Changed) -> Vec<Ref<Department>> {
    let of = changed.gone.then(|| of_office(changed));
    of.unwrap_or_default()
}

/// Departments whose domains may be theirs, or no longer, since this one was written or went. What it claimed before is
/// not known any more: whoever was refused looks again.
fn rivals(departments: &Cache<Department>, changed: &Changed) -> Vec<Ref<Department>> {
    let object = departments.get(None, &changed.name);
    let meets = |other: &Department| {
        let object = object.as_ref();
        object.is_some_and(|object| domains::meet(object, other))
    };
    let refused = |other: &Department| {
        let mut statuses = other.status.iter();
        statuses.any(|status| conditions::holds(&status.conditions, types::REFUSED))
    };
    let found = departments
        .select(|other| !other.spec.domains.is_empty() && (refused(other) || meets(other)));
    found.iter().map(wake::reference).collect()
}

/// The department whose office namespace, or an object in it, changed.
fn of_office(changed: &Changed) -> Vec<Ref<Department>> {
    let namespace = changed.namespace.as_deref().unwrap_or(&changed.name);
    names::department_of_office(namespace)
        .map(Ref::<Department>::new)
        .into_iter()
        .collect()
}

async fn reconcile(object: Arc<Department>, context: Context) -> Result<Action, Error> {
    let code = object.name_any();
    let now = context.now();
    remember(&object, &context, now).await?;

    let mut verdict = Verdict::fine(
        "InPlace",
        format!(
            "the office namespace {} and the rights in it are in place",
            names::office_namespace(&code)
        ),
    );
    // nobody else does: what is gone is not reconciled
    let departments = &context.world.departments;
    context
        .repairs
        .forget_offices(|code| departments.look(None, code, |_| ()).is_some());
    let kin = kin::observe(&object, &context, &mut verdict);
    let established = office::establish(&object, &kin, &context, &mut verdict).await;
    // what was put right is told whatever came of it
    let news = drift::news(&context, &Owner::office(&code), &*object).await;
    let stands = established?;
    judge_domains(&object, &context, &mut verdict).await?;
    let lost = detached::find(&code, &context).await?;
    let standing = context.books.standing(&code).await?;
    let takes = context.books.takes(&code).await?;
    let sums = sums::reckon(&object, &takes, &context, now)?;

    let old = object.status.clone().unwrap_or_default();
    let mut new = DepartmentStatus {
        observed_generation: object.metadata.generation,
        phase: end::phase(&object, &takes, &context, &mut verdict),
        office_namespace: stands.then(|| names::office_namespace(&code)),
        auto_approved_monthly: Some(standing.monthly.to_string()),
        leased: Some(sums.leased),
        subtree: Some(sums.subtree),
        detached: lost.iter().take(DETACHED).cloned().collect(),
        conditions: old.conditions.clone(),
    };
    life::remember(&object, new.phase, &context, now).await?;
    let generation = object.metadata.generation;
    verdict.write(&mut new.conditions, generation, now.timestamp());
    for told in [
        detached_flag(&lost),
        contested_flag(&news),
        over_flag(&sums.over),
    ] {
        flag(&told, &mut new, generation, now.timestamp());
    }
    if new != old {
        tell(&object, &old, &new, &verdict, &context).await;
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
    }
    if !stands && context.fences.told().is_some() {
        return Ok(Action::requeue(FENCED));
    }
    Ok(again(&news, now))
}

/// When to look again: at the end of a pause, if one is on.
fn again(news: &News, now: Second) -> Action {
    let Some(again) = news.again else {
        return wake::later();
    };
    Action::requeue(Duration::from_secs(
        u64::try_from(again.since(now).max(1)).unwrap_or(1),
    ))
}

/// Records the department's name, budget unit and place, unless the ledger has them by now.
async fn remember(object: &Department, context: &Context, now: Second) -> Result<(), Error> {
    let spec = &object.spec;
    let document = DepartmentDoc {
        code: object.name_any(),
        display_name: spec.display_name.to_string(),
        budget_unit: spec.budget_unit.as_ref().map(ToString::to_string),
        parent: spec.parent.as_ref().map(ToString::to_string),
        at: now,
    };
    let same = |last: &DepartmentDoc| last.digest() == document.digest();
    context.books.follow(&document, same, now).await?;
    Ok(())
}

async fn tell(
    object: &Department,
    old: &DepartmentStatus,
    new: &DepartmentStatus,
    verdict: &Verdict,
    context: &Context,
) {
    let kit = &context.kit;
    let ready = conditions::holds(&new.conditions, types::READY);
    let (reason, note) = verdict.summary();
    if ready && !conditions::holds(&old.conditions, types::READY) {
        kit.event(object, EventType::Normal, reason, "Establish", note)
            .await;
    }
    if !verdict.refused.is_empty() && !conditions::holds(&old.conditions, types::REFUSED) {
        kit.event(object, EventType::Warning, reason, "Establish", note)
            .await;
    }
    if new.phase == DepartmentPhase::Ended && old.phase != DepartmentPhase::Ended {
        let note = "the department holds nothing any more; its object may be deleted, its office namespace stays";
        kit.event(object, EventType::Normal, "Ended", "Compare", note)
            .await;
    }
    let over = said(new, types::OVER_LIMIT);
    if let Some(note) = over.filter(|_| said(old, types::OVER_LIMIT).is_none()) {
        kit.event(
            object,
            EventType::Warning,
            types::OVER_LIMIT,
            "Compare",
            note,
        )
        .await;
    }
    if new.detached != old.detached && !new.detached.is_empty() {
        let note = detached::sentence(&new.detached);
        kit.event(
            object,
            EventType::Warning,
            types::DETACHED,
            "Compare",
            &note,
        )
        .await;
    }
}

/// The message of a condition, where there is one.
fn said<'a>(status: &'a DepartmentStatus, type_: &str) -> Option<&'a str> {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|condition| condition.type_ == type_);
    found.map(|condition| condition.message.as_str())
}

/// A condition that stands only as long as it has something to say.
struct Flag {
    type_: &'static str,
    reason: &'static str,
    /// Empty if there is nothing to say.
    message: String,
}

fn detached_flag(lost: &[String]) -> Flag {
    Flag {
        type_: types::DETACHED,
        reason: "ObjectMissing",
        message: if lost.is_empty() {
            String::new()
        } else {
            detached::sentence(lost)
        },
    }
}

/// Domains that an older department claims. The others are the department's all the same.
async fn judge_domains(
    object: &Department,
    context: &Context,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let granted = life::granted(object, context).await?;
    granted
        .refused
        .iter()
        .for_each(|refusal| verdict.refuse(refusal.to_string()));
    Ok(())
}

/// Objects in the office that others change again and again.
fn contested_flag(news: &News) -> Flag {
    Flag {
        type_: types::CONTESTED,
        reason: "WrittenBack",
        message: news.contests.join("; "),
    }
}

/// Nothing that is leased is taken away because a limit was lowered; only nothing more can be leased.
fn over_flag(sentences: &[String]) -> Flag {
    let told = sentences.join("; ");
    Flag {
        type_: types::OVER_LIMIT,
        reason: "LimitExceeded",
        message: if told.is_empty() {
            told
        } else {
            format!(
                "{told}; what is leased goes on, and nothing more can be leased until something is given back or the limit is raised"
            )
        },
    }
}

fn flag(flag: &Flag, status: &mut DepartmentStatus, generation: Option<i64>, now: Timestamp) {
    let Flag {
        type_,
        reason,
        message,
    } = flag;
    let conditions = &mut status.conditions;
    conditions::flag(conditions, type_, reason, message, generation, now);
}
