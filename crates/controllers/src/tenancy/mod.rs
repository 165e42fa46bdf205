//! Tenancies: from a department's manifest to namespaces that hold, and back.
//!
//! Observe (`observe`) reads caches and the ledger; requests (`requests`) numbers what is asked for, keeps it within the
//! limits above (`limits`), asks finance for the money (`funds`) and records who decided (`decisions`); provisioning
//! (`provision`) makes namespaces, quotas, policies, rights and volumes of what is approved; release (`release`) takes
//! them back, and keeps the volumes (`retain`) and the snapshots (`snapshots`) that are to outlive it; what runs is
//! stopped by orders (`suspension`), and where nobody pays for it (`unpaid`); the end of the term (`term`) is told
//! before it comes; the final bill (`final_bill`) after everything; approvals are told (`answers`) what became of them;
//! report (`report`) writes the status, and what is of interest for a moment only (`interim`) not at once. What is to be
//! done is planned by pure functions of `leasehold-planner`.

mod answers;
mod concern;
mod decisions;
mod drifts;
mod final_bill;
mod funds;
mod interim;
mod kin;
mod limits;
mod observe;
mod provision;
mod release;
mod report;
mod requests;
mod retain;
mod snapshots;
mod suspension;
mod term;
mod turns;
mod unpaid;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use kube::{
    ResourceExt,
    core::DeserializeGuard,
    runtime::{controller::Action, reflector::ObjectRef},
};
use leasehold_api::{
    names,
    tenancy::{Phase, Tenancy},
};
use leasehold_kit::{
    Shutdown,
    cache::{Changed, written},
    run::run_controller,
    spacing::controller,
};

use self::{
    observe::{Life, State},
    report::Report,
};
use crate::{Context, Error, World};

/// A missed event is repaired after this long at the latest.
const RESYNC: Duration = Duration::from_secs(600);
/// What is said of a release that lacks what the policy requires. The kind lets such a one be changed and taken back.
const INCOMPLETE: &str = "Incomplete";

type Ref = ObjectRef<DeserializeGuard<Tenancy>>;

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    context.leases.expect(
        context.now(),
        context
            .world
            .tenancies
            .select(|_| true)
            .iter()
            .filter_map(key),
    );
    let kit = context.kit.clone();
    let controller = controller(&context.world.tenancies, triggers(&context));
    let reconcile = move |tenancy| reconcile(tenancy, context.clone());
    run_controller("tenancy", controller, kit, shutdown, reconcile).await;
}

/// What else may concern a tenancy: decisions on it, its managed objects, and whatever it refers to.
fn triggers(context: &Context) -> impl Stream<Item = Ref> + Send + 'static {
    let world = Arc::clone(&context.world);
    let concerned = |world: &World, changed: &Changed| -> Vec<Ref> {
        let named = concern::concerned(world, changed);
        let named = named.iter();
        named
            .map(|(office, name)| ObjectRef::new(name).within(office))
            .collect()
    };
    let managed = stream::select_all([
        context.world.namespaces.changes().boxed(),
        context.world.quotas.changes().boxed(),
        context.world.limit_ranges.changes().boxed(),
        context.world.network_policies.changes().boxed(),
        context.world.role_bindings.changes().boxed(),
        context.world.claims.changes().boxed(),
        context.world.volumes.changes().boxed(),
        context.world.snapshot_contents.changes().boxed(),
    ]);
    let neighbours = stream::select_all([
        context.world.approvals.changes().boxed(),
        // what its status says of all leases of a system together is no news for one of them
        written(context.world.systems.changes()).boxed(),
        context.world.suspensions.changes().boxed(),
    ]);
    let everything = stream::select_all([
        written(context.world.zones.changes()).boxed(),
        written(context.world.cloudlets.changes()).boxed(),
        written(context.world.policies.changes()).boxed(),
        context.world.price_books.changes().boxed(),
        context.world.storage_classes.changes().boxed(),
        context.world.snapshot_classes.changes().boxed(),
    ]);
    let (a, b) = (Arc::clone(&world), Arc::clone(&world));
    let departments = &context.world.departments;
    let below = kin::concerned(&world, written(departments.changes()));
    let refused = kin::refused(&world, departments.changes());
    stream::select_all([
        managed
            .map(move |changed| match changed {
                Some(changed) => concerned(&a, &changed),
                None => references(&a.tenancies.select(|_| true)),
            })
            .boxed(),
        neighbours
            .map(move |changed| {
                let namespace = changed.and_then(|changed| changed.namespace.clone());
                references(&b.tenancies.select(|tenancy| {
                    namespace.is_none() || tenancy.metadata.namespace == namespace
                }))
            })
            .boxed(),
        everything
            .map(move |_| references(&world.tenancies.select(|_| true)))
            .boxed(),
        below.map(|found| references(&found)).boxed(),
        refused.map(|found| references(&found)).boxed(),
    ])
    .flat_map(|list: Vec<Ref>| stream::iter(list))
}

fn references(tenancies: &[Tenancy]) -> Vec<Ref> {
    tenancies
        .iter()
        .map(|tenancy| {
            ObjectRef::new(&tenancy.name_any()).within(&tenancy.namespace().unwrap_or_default())
        })
        .collect()
}

/// One round. Only with one that came to its end was the tenancy looked at.
async fn reconcile(tenancy: Arc<Tenancy>, context: Context) -> Result<Action, Error> {
    let (leases, key) = (&context.leases, key(&tenancy));
    if let Some((department, name)) = &key {
        leases.looking_at(department, name, context.now());
    }
    let outcome = Box::pin(round(&tenancy, &context)).await;
    if let (Some((department, name)), Ok(_)) = (&key, &outcome) {
        leases.looked_at(department, name);
    }
    outcome
}

/// Code of the department and name of the tenancy.
fn key(tenancy: &Tenancy) -> Option<(String, String)> {
    let namespace = tenancy.namespace()?;
    let department = names::department_of_office(&namespace)?;
    Some((department.to_owned(), tenancy.name_any()))
}

/// Observe, number and decide, provision or release, report.
async fn round(tenancy: &Tenancy, context: &Context) -> Result<Action, Error> {
    let mut state = match observe::observe(tenancy, context).await? {
        observe::Outcome::Complete(state) => *state,
        observe::Outcome::Waits { missing, life } => {
            return wait(tenancy, context, &missing, life.as_deref()).await;
        }
    };
    let mut report = Report::new(&state);
    let advanced = advance(&mut state, context, &mut report).await;
    drifts::tell(&state, context, &mut report).await;
    if let Err(error) = advanced {
        // what was recorded before it failed will not happen again, and would never be told
        if let Err(untold) = report.write_failed(&state, context, &error).await {
            let untold: &dyn std::error::Error = &untold;
            tracing::warn!(
                error = untold,
                "failed to tell what happened before a round failed"
            );
        }
        return Err(error);
    }
    let again = report.again.unwrap_or(RESYNC).min(RESYNC);
    report.write(&state, context).await?;
    Ok(Action::requeue(again))
}

/// What can be done where something is missing that the tenancy refers to: it is told, and what must not run is stopped.
async fn wait(
    tenancy: &Tenancy,
    context: &Context,
    missing: &[String],
    life: Option<&Life>,
) -> Result<Action, Error> {
    let (mut report, mut stopped) = (life.map(Report::new), Ok(()));
    if let (Some(life), Some(report)) = (life, report.as_mut()) {
        suspension::settle(life, context, report).await?;
        let closed = provision::close(life, context, report).await;
        stopped = closed.and(suspension::stop(life, context, report).await);
    }
    let again = report.as_ref().and_then(|report| report.again);
    report::write_waiting(tenancy, context, missing, report).await?;
    stopped?;
    Ok(Action::requeue(again.unwrap_or(RESYNC).min(RESYNC)))
}

async fn advance(state: &mut State, context: &Context, report: &mut Report) -> Result<(), Error> {
    let back = release::take_back(state, context, report).await;
    let release = state.releasing();
    if release {
        report.retained = retain::shown(state, context).await?;
    }
    if let Some(refusal) = state.withheld() {
        report.refuse(&[refusal]);
        report.release_decision = Some(INCOMPLETE.to_owned());
    }
    let gone = state.gone() || (release && state.view.incarnation.is_none());
    let asked = if gone {
        Ok(())
    } else if release {
        decisions::settle(state, context, report).await
    } else {
        requests::advance(state, context, report).await
    };
    // after the requests: what was approved a moment ago may extend a term that is over
    suspension::settle(state, context, report).await?;
    if gone {
        report.phase = Phase::Released;
        final_bill::tell(state, context, report).await?;
        return answers::note(state, context).await;
    }
    // neither what is approved nor a release waits for what cannot be asked or decided
    let provided = if release {
        release::advance(state, context, report).await
    } else {
        provision::advance(state, context, report).await
    };
    let provided = back.and(asked).and(provided);
    let noted = answers::note(state, context).await;
    // what must not run waits neither for what cannot be provided nor for anything else
    let closed = match &provided {
        Ok(()) => Ok(()),
        Err(_) => provision::close(state, context, report).await,
    };
    let stopped = suspension::stop(state, context, report).await;
    provided.and(noted).and(closed).and(stopped)
}
