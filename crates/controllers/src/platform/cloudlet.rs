//! Cloudlets: what the nodes have, what is leased, what is left.

use std::{collections::BTreeSet, sync::Arc};

use futures::stream::BoxStream;
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::platform::{Cloudlet, CloudletStatus};
use leasehold_kit::Shutdown;

use super::capacity;
use crate::{
    Context, Error, World,
    verdict::Verdict,
    wake::{self, Ref},
};

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.cloudlets.clone();
    wake::run("cloudlet", context, own, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<Cloudlet>> {
    wake::any(vec![
        wake::every(&world.cloudlets, world.nodes.changes(), |_| true),
        wake::spared(world, of_tenancies(world)),
        wake::every(&world.cloudlets, world.zones.changes(), |_| true),
        wake::every(&world.cloudlets, world.price_books.changes(), |_| true),
    ])
}

/// All of them, whenever a tenancy changes: what is leased may add up to something else.
fn of_tenancies(world: &World) -> BoxStream<'static, Ref<Cloudlet>> {
    wake::every(&world.cloudlets, world.tenancies.changes(), |_| true)
}

async fn reconcile(object: Arc<Cloudlet>, context: Context) -> Result<Action, Error> {
    let old = object.status.clone().unwrap_or_default();
    let (verdict, mut new) = look(&object, &old, &context);
    new.observed_generation = object.metadata.generation;
    let now = context.now().timestamp();
    verdict.write(&mut new.conditions, object.metadata.generation, now);
    if new != old {
        let ready = |status: &CloudletStatus| {
            status
                .conditions
                .iter()
                .map(|c| (c.type_.clone(), c.status.clone()))
                .collect::<Vec<_>>()
        };
        if !verdict.is_fine() && ready(&new) != ready(&old) {
            verdict.warn(&*object, &context).await;
        }
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
    }
    Ok(wake::later())
}

fn look(object: &Cloudlet, old: &CloudletStatus, context: &Context) -> (Verdict, CloudletStatus) {
    let world = &context.world;
    let name = object.name_any();
    let zones = world.zones.each(ResourceExt::name_any);
    let zones: BTreeSet<String> = zones.into_iter().collect();
    let nodes = world.nodes.select(capacity::carries_tenants);
    let tenancies = world
        .tenancies
        .select(|tenancy| *tenancy.spec.cloudlet == *name);
    let items = capacity::items(&context.books.prices().books, &object.spec.provider);
    let table = capacity::Table::of(&nodes, &tenancies, &items);

    let mut verdict = Verdict::fine("InPlace", "the zones exist and the leases fit on the nodes");
    for zone in object
        .spec
        .zones
        .iter()
        .filter(|zone| !zones.contains(zone.as_str()))
    {
        verdict.wait(format!(
            "NetworkZone {zone} does not exist yet; the data centre applies it"
        ));
    }
    verdict.waits.extend(table.over_leased());
    verdict.waits.extend(table.unreadable.iter().cloned());
    let status = CloudletStatus {
        observed_generation: old.observed_generation,
        capacity: table.rows(),
        summary: Some(table.summary()),
        conditions: old.conditions.clone(),
    };
    (verdict, status)
}
