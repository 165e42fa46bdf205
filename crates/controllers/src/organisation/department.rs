//! Departments: remembered by the ledger, given an office, told what is billed without an object.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::{
    conditions::{self, NewCondition, types},
    names,
    tenancy::{Department, DepartmentStatus},
};
use leasehold_kit::{
    EventType, Shutdown,
    cache::{Cache, Changed, written},
};
use leasehold_ledger::{document::DepartmentDoc, time::Second};
use leasehold_planner::domains;

use super::{detached, office};
use crate::{
    Context, Error, World,
    drift::{self, News, Owner},
    verdict::Verdict,
    wake::{self, Ref},
};

/// Detached tenancies that the status names; more are only counted.
const DETACHED: usize = 64;

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    wake::run("department", context, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<Department>> {
    let departments = world.departments.clone();
    let claimants = world.departments.clone();
    wake::any(vec![
        wake::named(
            &world.departments,
            written(world.departments.changes()),
            move |changed| rivals(&claimants, changed),
        ),
        wake::named(&world.departments, world.namespaces.changes(), of_office),
        wake::named(&world.departments, world.role_bindings.changes(), of_office),
        wake::named(&world.departments, world.tenancies.changes(), of_office),
        wake::named(
            &world.departments,
            world.departments.changes(),
            move |changed| {
                let below = departments.select(|department| {
                    department.spec.parent.as_deref() == Some(changed.name.as_str())
                });
                below.iter().map(wake::reference).collect()
            },
        ),
    ])
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
    let document = DepartmentDoc {
        code: code.clone(),
        display_name: object.spec.display_name.to_string(),
        budget_unit: object.spec.budget_unit.as_ref().map(ToString::to_string),
        at: now,
    };
    let same = |last: &DepartmentDoc| last.digest() == document.digest();
    context.books.follow(&document, same, now).await?;

    let mut verdict = Verdict::fine(
        "InPlace",
        format!(
            "the office namespace {} and the rights in it are in place",
            names::office_namespace(&code)
        ),
    );
    let established = office::establish(&object, &context, &mut verdict).await;
    // what was put right is told whatever came of it
    let news = drift::news(&context, &Owner::office(&code), &*object).await;
    let stands = established?;
    note_parent(&object, &context, &mut verdict);
    judge_domains(&object, &context, &mut verdict);
    let lost = detached::find(&code, &context).await?;
    let standing = context.books.standing(&code).await?;

    let old = object.status.clone().unwrap_or_default();
    let mut new = DepartmentStatus {
        observed_generation: object.metadata.generation,
        office_namespace: stands.then(|| names::office_namespace(&code)),
        auto_approved_monthly: Some(standing.monthly.to_string()),
        detached: lost.iter().take(DETACHED).cloned().collect(),
        conditions: old.conditions.clone(),
    };
    let generation = object.metadata.generation;
    verdict.write(&mut new.conditions, generation, now.timestamp());
    tell_detached(&lost, &mut new, generation, now.timestamp());
    tell_contested(&news, &mut new, generation, now.timestamp());
    if new != old {
        tell(&object, &old, &new, &verdict, &context).await;
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
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

/// The department above, if it does not exist. The office does not need it.
fn note_parent(object: &Department, context: &Context, verdict: &mut Verdict) {
    let Some(parent) = &object.spec.parent else {
        return;
    };
    if context.world.departments.get(None, parent).is_none() {
        verdict.note(format!(
            "Department {parent} above this one does not exist yet; the e-government office applies it"
        ));
    }
}

/// Domains that an older department claims. The others are the department's all the same.
fn judge_domains(object: &Department, context: &Context, verdict: &mut Verdict) {
    let departments = &context.world.departments;
    let rivals = departments.select(|other| domains::meet(object, other));
    let granted = domains::granted(object, &rivals);
    granted
        .refused
        .iter()
        .for_each(|refusal| verdict.refuse(refusal.to_string()));
}

/// Objects in the office that others change again and again.
fn tell_contested(
    news: &News,
    status: &mut DepartmentStatus,
    generation: Option<i64>,
    now: Timestamp,
) {
    if news.contests.is_empty() {
        conditions::clear(&mut status.conditions, types::CONTESTED);
        return;
    }
    let message = news.contests.join("; ");
    let condition = NewCondition {
        type_: types::CONTESTED,
        holds: true,
        reason: "WrittenBack",
        message: &message,
    };
    conditions::set(&mut status.conditions, &condition, generation, now);
}

fn tell_detached(
    lost: &[String],
    status: &mut DepartmentStatus,
    generation: Option<i64>,
    now: Timestamp,
) {
    if lost.is_empty() {
        conditions::clear(&mut status.conditions, types::DETACHED);
        return;
    }
    let message = detached::sentence(lost);
    let condition = NewCondition {
        type_: types::DETACHED,
        holds: true,
        reason: "ObjectMissing",
        message: &message,
    };
    conditions::set(&mut status.conditions, &condition, generation, now);
}
