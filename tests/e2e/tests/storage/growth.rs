//! A volume of a lease grows, or says why it cannot; the status tells what it has.

use k8s_openapi::api::core::v1::ResourceQuota;
use leasehold_api::tenancy::{ItemUsage, Phase, Tenancy};
use leasehold_e2e::Office;
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_testkit::{LONG, Session, User};
use serde_json::{Value, json};

use crate::ground::{CLASS, bound, claim, disk, lease, open, prod};

/// The lease with a volume of this size. It is larger than what the other tests of this program make disks for.
fn with(office: &Office, size: &str) -> Value {
    let files = json!([{"name": "files", "item": "block-ssd", "size": size}]);
    lease(office, &files)
}

/// Waits until the status says this of the volume: asked, had, message.
async fn told(office: &Office, asked: &str, had: Option<&str>, message: Option<&str>) {
    let what = format!("a volume of {asked} that has {had:?}: {message:?}");
    let holds = |tenancy: &Tenancy| {
        let namespaces = tenancy.status.iter().flat_map(|status| &status.namespaces);
        let mut volumes = namespaces.flat_map(|namespace| &namespace.volumes);
        volumes.any(|volume| {
            volume.name == "files"
                && volume.size == asked
                && volume.bound.as_deref() == had
                && volume.message.as_deref() == message
        })
    };
    office.when("oa", &what, holds).await.unwrap();
}

/// What the claim asks for, in bytes.
async fn requested(office: &Office) -> Result<i64, String> {
    let spec = claim(office, "files").await?.spec.unwrap_or_default();
    let requests = spec.resources.and_then(|resources| resources.requests);
    let storage = requests.and_then(|requests| requests.get("storage").cloned());
    let storage = storage.ok_or("it asks for nothing")?;
    parse_quantity(&storage.0, Unit::GiB).map_err(|error| error.to_string())
}

/// Applies the lease with a volume of this size, which a rule refuses in these words; the claim stays as it is.
async fn refused(office: &Office, size: &str, rule: &str, words: &str) {
    let before = requested(office).await.unwrap();
    office.staff.apply(&with(office, size)).await.unwrap();
    assert_eq!(office.refused("oa", rule).await.unwrap(), words);
    assert_eq!(requested(office).await.unwrap(), before);
}

/// The data centre lets volumes of the class grow. Nobody looks at the tenancy for it.
async fn let_grow(office: &Office, admin: &Session) {
    let target = format!("storageclass/{CLASS}");
    let grows = json!({"allowVolumeExpansion": true});
    let ran = admin.try_patch(&target, &[], &grows).await.unwrap();
    ran.ok().unwrap();
    let seen = office.stage.see(
        "a claim that asks for more",
        LONG,
        async || match requested(office).await? {
            found if found == 200 << 30 => Ok(()),
            found => Err(found.to_string()),
        },
    );
    seen.await.unwrap();
}

/// The department takes 250 GiB for a claim of its own.
async fn takes_more(office: &Office) {
    let place = prod(office);
    let own = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "own", "namespace": place},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
            "resources": {"requests": {"storage": "250Gi"}},
        },
    });
    office.staff.create(&own).await.unwrap();
    let key = format!("{CLASS}.storageclass.storage.k8s.io/requests.storage");
    let counted = office.stage.see("both claims counted", LONG, async || {
        let quota = office.staff.get::<ResourceQuota>(Some(&place), "leasehold");
        let used = quota.await?.status.and_then(|status| status.used);
        let used = used.and_then(|used| used.get(&key).cloned());
        let bytes = used.as_ref();
        let bytes = bytes.and_then(|used| parse_quantity(&used.0, Unit::GiB).ok());
        if bytes == Some(450 << 30) {
            Ok(())
        } else {
            Err(format!("{used:?}"))
        }
    });
    counted.await.unwrap();
}

fn is_used(usage: &ItemUsage) -> bool {
    let figures = (
        usage.requested.as_str(),
        usage.leased.as_str(),
        usage.claims,
    );
    usage.item == "block-ssd" && figures == ("450Gi", "1Ti", Some(2))
}

#[tokio::test]
async fn a_volume_grows_where_its_class_lets_it_within_its_quota_and_never_shrinks_t60_t61() {
    let office = open("growing", "气象局").await;
    let admin = office.stage.user(User::Admin).await.unwrap();
    office.lease(&with(&office, "110Gi")).await.unwrap();
    let waits = "waits for a volume of storage class ssd";
    told(&office, "110Gi", None, Some(waits)).await;
    // made for this claim alone: the claims of other tests wait for disks as well
    let mut grown = disk("grown", "120Gi");
    grown["spec"]["claimRef"] = json!({"namespace": prod(&office), "name": "files"});
    admin.create(&grown).await.unwrap();
    bound(&office, "files", "grown").await;
    told(&office, "110Gi", Some("120Gi"), None).await;

    let words = "rule T61: asked volume files of 200Gi in growing--prod, allowed 110Gi, because storage class ssd does not let volumes grow; write the size that it has, name a second volume, or ask the data centre to set allowVolumeExpansion of the class";
    refused(&office, "200Gi", "T61", words).await;
    let_grow(&office, &admin).await;
    let grows = "grows from 120Gi to 200Gi";
    told(&office, "200Gi", Some("120Gi"), Some(grows)).await;
    let resized = json!({"status": {"capacity": {"storage": "200Gi"}}});
    let place = prod(&office);
    let status = ["-n", place.as_str(), "--subresource=status"];
    let ran = admin.try_patch("pvc/files", &status, &resized).await;
    ran.unwrap().ok().unwrap();
    told(&office, "200Gi", Some("200Gi"), None).await;
    office.phase("oa", Phase::Active).await.unwrap();

    let words = "rule T60: asked volume files of 50Gi in growing--prod, allowed 200Gi or more, because a volume does not shrink; write the size that it has, or name a second, smaller volume and move the data";
    refused(&office, "50Gi", "T60", words).await;
    office.staff.apply(&with(&office, "200Gi")).await.unwrap();
    office.phase("oa", Phase::Active).await.unwrap();

    takes_more(&office).await;
    // within the share of the manifest, but the department's own claim has some of it
    let words = "rule T30: asked 100Gi more of storage class ssd for volume files in growing--prod, allowed 50Gi more: claims there hold 450Gi of 500Gi; share more of its item to the namespace, make the volume smaller, or remove claims there";
    refused(&office, "300Gi", "T30", words).await;
    let what = "claims in the usage of the lease";
    let shows = |tenancy: &Tenancy| {
        let mut usage = tenancy.status.iter().flat_map(|status| &status.usage);
        usage.any(is_used)
    };
    office.when("oa", what, shows).await.unwrap();
}
