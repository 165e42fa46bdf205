//! Network zones: ready when the storage classes that they offer exist.

use std::{collections::BTreeSet, sync::Arc};

use futures::stream::BoxStream;
use kube::{ResourceExt, runtime::controller::Action};
use leasehold_api::platform::{NetworkZone, NetworkZoneSpec};
use leasehold_kit::Shutdown;

use crate::{
    Context, Error, World,
    verdict::Verdict,
    wake::{self, Ref},
};

/// Runs the controller until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    let own = context.world.zones.clone();
    wake::run("network-zone", context, own, triggers, shutdown, reconcile).await;
}

fn triggers(world: &World) -> BoxStream<'static, Ref<NetworkZone>> {
    wake::every(&world.zones, world.storage_classes.changes(), |_| true)
}

async fn reconcile(object: Arc<NetworkZone>, context: Context) -> Result<Action, Error> {
    let classes: BTreeSet<String> = context
        .world
        .storage_classes
        .select(|_| true)
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let mut verdict = Verdict::fine("InPlace", "everything that the zone names exists");
    verdict.waits.extend(missing(&object.spec, &classes));
    let old = object.status.clone().unwrap_or_default();
    let mut new = old.clone();
    new.observed_generation = object.metadata.generation;
    let now = context.now().timestamp();
    verdict.write(&mut new.conditions, object.metadata.generation, now);
    if new != old {
        if !verdict.is_fine() {
            verdict.warn(&*object, &context).await;
        }
        context
            .kit
            .patch_status(&*object, object.status.as_ref(), &new)
            .await?;
    }
    Ok(wake::later())
}

/// What the zone names and the cluster does not have, each in a sentence of its own.
fn missing(spec: &NetworkZoneSpec, classes: &BTreeSet<String>) -> Vec<String> {
    let absent = spec
        .storage_classes
        .iter()
        .filter(|class| !classes.contains(class.as_str()))
        .map(|class| {
            format!(
                "StorageClass {class} does not exist yet; the data centre makes it, or takes it out of spec.storageClasses"
            )
        });
    // the policies read the selector as key=value, comma separated; a key that breaks this lets no pod in
    let unbearable = spec
        .node_selector
        .keys()
        .filter(|key| key.is_empty() || key.contains([',', '=', ' ']))
        .map(|key| {
            format!(
                "no node can bear the label {key:?} of spec.nodeSelector, so no pod of the zone starts; the data centre corrects it"
            )
        });
    absent.chain(unbearable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_classes_that_do_not_exist_are_named() {
        let spec: NetworkZoneSpec = serde_json::from_value(serde_json::json!({
            "displayName": "电子政务外网",
            "network": "GovExtranet",
            "protectionLevel": 3,
            "storageClasses": ["ssd", "hdd", "archive"],
        }))
        .unwrap();
        let classes = BTreeSet::from(["hdd".to_owned(), "other".to_owned()]);
        let sentences = missing(&spec, &classes);
        assert_eq!(sentences.len(), 2);
        assert!(
            sentences[0].starts_with("StorageClass ssd "),
            "{sentences:?}"
        );
        assert!(
            sentences[1].starts_with("StorageClass archive "),
            "{sentences:?}"
        );
    }

    #[test]
    fn a_label_that_no_node_can_bear_is_told() {
        let spec: NetworkZoneSpec = serde_json::from_value(serde_json::json!({
            "displayName": "电子政务外网",
            "network": "GovExtranet",
            "protectionLevel": 3,
            "nodeSelector": {"example.com/zone": "a", "zone,rack": "b", "": "c"},
        }))
        .unwrap();
        let sentences = missing(&spec, &BTreeSet::new());
        assert_eq!(sentences.len(), 2, "{sentences:?}");
        let told = sentences.iter().any(|told| told.contains("\"zone,rack\""));
        assert!(told, "{sentences:?}");
    }
}
