//! What only some departments have: a volume that outlives the lease, and a time in which the office has stopped them.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use leasehold_api::tenancy::Phase;
use leasehold_e2e::Office;
use leasehold_ledger::time::LocalDate;
use leasehold_testkit::manifests::Days;
use leasehold_testkit::{LONG, Ran, User};
use serde_json::{Value, json};

use crate::course::{NAME, patiently, told};

/// The volume of whoever has one.
const VOLUME: &str = "files";
const SIZE: &str = "10Gi";
/// Days for which a volume is kept by the default of the policy.
const KEPT_FOR: i32 = 30;
/// What stands for the last of them.
const LAST_DAY: &str = "LAST-DAY";

/// The named volumes of a namespace, to be kept after the release.
pub fn volumes() -> Value {
    json!([{"name": VOLUME, "item": "block-ssd", "size": SIZE, "reclaim": "Retain"}])
}

/// Gives the volume a disk, as the platform does, whose data would go with the claim.
pub async fn bind(office: &Office, place: &str) -> Result<(), String> {
    let staff = &office.staff;
    let claim = patiently(async || {
        let asked = office.stage.see("the claim", LONG, async || {
            staff
                .get::<PersistentVolumeClaim>(Some(place), VOLUME)
                .await
        });
        asked.await
    });
    let uid = claim.await?.metadata.uid;
    let disk = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": format!("{}-{VOLUME}", office.code)},
        "spec": {
            "capacity": {"storage": SIZE}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "ssd", "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": format!("/mnt/{}", office.code)},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": place, "name": VOLUME, "uid": uid,
            },
        },
    });
    // no role of the chart makes disks
    let admin = office.stage.user(User::Admin).await.map_err(told)?;
    admin.create(&disk).await.map_err(told)?;
    patiently(async || {
        let bound = office.stage.see("the claim bound", LONG, async || {
            let claim = staff.get::<PersistentVolumeClaim>(Some(place), VOLUME);
            let status = claim.await?.status.unwrap_or_default();
            match status.phase.as_deref() {
                Some("Bound") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        bound.await
    })
    .await
}

/// The office stops the tenancy, and lifts that once it is in force.
pub async fn suspend(office: &Office) -> Result<(), String> {
    let order = json!({
        "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Suspension",
        "metadata": {"name": NAME, "namespace": office.place},
        "spec": {"tenancy": NAME, "reason": "安全整改", "authority": "市政府办 黄政办〔2026〕12号"},
    });
    let chen = office.stage.user(User::Office).await.map_err(told)?;
    chen.apply(&order).await.map_err(told)?;
    patiently(async || office.phase(NAME, Phase::Suspended).await).await?;
    let lifted = ["delete", "sus", NAME, "-n", &office.place];
    let ran = chen.kubectl(&lifted, "").await;
    ran.and_then(Ran::ok).map_err(told)?;
    Ok(())
}

/// A text with a word in the place of the last day on which something is kept: that is counted from the day of the
/// release, and a run may go on past midnight.
pub fn without_last_day(text: &str) -> Result<String, String> {
    let today = Days::now().map_err(told)?.today;
    Ok(plain(text, today))
}

fn plain(text: &str, today: LocalDate) -> String {
    let days = [KEPT_FOR.saturating_sub(1), KEPT_FOR];
    let days = days.map(|days| today.add_days(days).to_string());
    days.iter()
        .fold(text.to_owned(), |text, day| text.replace(day, LAST_DAY))
}

#[test]
fn the_last_day_of_what_was_kept_today_or_yesterday_gives_way_to_a_word() {
    let today = LocalDate::new(2027, 1, 15).unwrap();
    let text = r#"{"until":"2027-02-14","before":"2027-02-13","term":"2027-02-28"}"#;
    let expected = r#"{"until":"LAST-DAY","before":"LAST-DAY","term":"2027-02-28"}"#;
    assert_eq!(plain(text, today), expected);
}
