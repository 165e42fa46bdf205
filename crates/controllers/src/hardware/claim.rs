//! Claims: each device backs one contribution in the whole cloud, until that one is taken back unused.

use leasehold_api::tenancy::RuleFinding;
use leasehold_ledger::{
    claims::{Claims, Standing},
    document::{LotDoc, SerialDoc, SerialFreedDoc},
    time::Second,
};
use leasehold_planner::hardware::{AcceptedDevice, Offer};
use leasehold_store::{Batch, Record, Store, StoreError};

use crate::Error;

/// How often claims are ended again when the ledger grew meanwhile.
const ATTEMPTS: usize = 8;

/// What came of an attempt to claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// All serials are this contribution's.
    Held,
    /// Somebody else has one of them.
    Taken(RuleFinding),
    /// The ledger grew since the devices were assessed, maybe by a claim of the same machine: assess them anew.
    Overtaken,
}

/// The claims up to and including the ledger's row `head`.
pub async fn read(store: &Store, head: u64) -> Result<Claims, Error> {
    let claims = store.documents::<SerialDoc>(None, Some(head)).await?;
    let ends = store.documents::<SerialFreedDoc>(None, Some(head)).await?;
    Claims::read(
        claims
            .into_iter()
            .map(|recorded| (recorded.seq, recorded.value)),
        ends.into_iter()
            .map(|recorded| (recorded.seq, recorded.value)),
    )
    .map_err(|error| Error::understand("the claims of devices", error))
}

/// Claims the serials of the accepted devices, all or none. `claims` are those up to the ledger's row `head`, against
/// which the devices were assessed: the same machine under another serial shows only in that assessment, so nothing may
/// come in between.
pub async fn claim(
    offer: &Offer,
    accepted: &[AcceptedDevice],
    (head, claims): (u64, &Claims),
    store: &Store,
    now: Second,
) -> Result<Claim, Error> {
    let mut records = Vec::new();
    for device in accepted {
        match claims.device(&device.maker, &device.serial) {
            Standing::Held(known) if known.contribution == offer.id() => {}
            Standing::Held(known) => return Ok(Claim::Taken(taken(&known.serial))),
            Standing::Free(number) => records.push(Record::document(&SerialDoc {
                maker: device.maker.clone(),
                serial: device.serial.clone(),
                number,
                contribution: offer.id(),
                uid: offer.uid.clone(),
                system_uuid: device.system_uuid.clone(),
                at: now,
            })?),
        }
    }
    if records.is_empty() {
        return Ok(Claim::Held);
    }
    match store.commit(&Batch::of(records).expecting(head), now).await {
        Ok(_) => Ok(Claim::Held),
        Err(StoreError::Conflict { .. }) => Ok(Claim::Overtaken),
        Err(error) => Err(error.into()),
    }
}

/// Ends the claims of a contribution that `by` takes back before any credit; those of a credited one end with its
/// credit, if at all.
pub async fn free(contribution: &str, by: &str, store: &Store, now: Second) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let (head, _) = store.head().await?;
        if store.document::<LotDoc>(contribution).await?.is_some() {
            return Ok(());
        }
        let ends = read(store, head).await?.ends(contribution, None, by, now);
        if ends.is_empty() {
            return Ok(());
        }
        let records = ends.iter().map(Record::document);
        let batch = Batch::of(records.collect::<Result<_, _>>()?);
        match store.commit(&batch.expecting(head), now).await {
            Ok(_) => return Ok(()),
            // a credit may have come in between
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::understand(
        format!("the claims of contribution {contribution}"),
        "the ledger grew at every attempt to end them; it is tried again",
    ))
}

/// Says that a serial is taken, without saying by whom.
fn taken(serial: &str) -> RuleFinding {
    RuleFinding {
        rule: "H01".to_owned(),
        serial: Some(serial.to_owned()),
        message: "already backs another contribution, allowed is one contribution, for ever once its credit was used; withdraw this one and offer it without the device"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        book::Category,
        canonical::digest_bytes,
        lot::Lot,
        money::Money,
        time::{LocalDate, Span},
    };
    use serde_json::json;

    use super::*;

    const ZHANG: &str = "zhang@edu";

    fn offer(department: &str) -> Offer {
        let spec = json!({"system": "oa", "agency": "zhongheng", "devices": []});
        Offer {
            department: department.to_owned(),
            name: "servers".to_owned(),
            uid: "u".to_owned(),
            spec: serde_json::from_value(spec).unwrap(),
            created: LocalDate::parse("2026-08-20").unwrap(),
            requested_by: ZHANG.to_owned(),
        }
    }

    fn device(serial: &str) -> AcceptedDevice {
        AcceptedDevice {
            maker: "huawei".to_owned(),
            serial: serial.to_owned(),
            value: Money::from_minor(100),
            system_uuid: Some("4c4c4544-0042".to_owned()),
        }
    }

    /// What comes of claiming one device as of the ledger's row `head`.
    async fn claimed(store: &Store, head: u64, department: &str, serial: &str) -> Claim {
        let claims = read(store, head).await.unwrap();
        let (offer, devices) = (offer(department), [device(serial)]);
        let claiming = claim(&offer, &devices, (head, &claims), store, Second::new(0));
        claiming.await.unwrap()
    }

    async fn head(store: &Store) -> u64 {
        store.head().await.unwrap().0
    }

    fn lot() -> LotDoc {
        LotDoc {
            lot: Lot {
                id: "edu/servers".to_owned(),
                department: "edu".to_owned(),
                contribution: "servers".to_owned(),
                amount: Money::from_minor(100),
                classes: vec![Category::Compute],
                cap_percent: 100,
                priority: 0,
                sequence: 1,
                span: Span {
                    from: Second::new(0),
                    to: Second::new(60),
                },
                through: "2026-08-31".to_owned(),
            },
            appraisal_digest: digest_bytes(b"appraisal"),
            receipt_digest: digest_bytes(b"receipt"),
            approval_uid: "approval".to_owned(),
            devices: Vec::new(),
            at: Second::new(0),
        }
    }

    #[tokio::test]
    async fn of_two_claims_that_saw_the_same_ledger_the_second_is_assessed_anew() {
        let store = Store::in_memory().await.unwrap();
        let seen = head(&store).await;
        let first = claimed(&store, seen, "edu", "2102311XYZ001").await;
        assert_eq!(first, Claim::Held);
        let second = claimed(&store, seen, "health", "2102311XYZ002").await;
        assert_eq!(second, Claim::Overtaken);
    }

    #[tokio::test]
    async fn a_serial_that_somebody_has_is_taken_and_the_own_one_is_held() {
        let store = Store::in_memory().await.unwrap();
        let first = claimed(&store, 0, "edu", "2102311XYZ001").await;
        assert_eq!(first, Claim::Held);
        let seen = head(&store).await;
        let other = claimed(&store, seen, "health", "21O2311XYZ0O1").await;
        assert_eq!(other, Claim::Taken(taken("2102311XYZ001")));
        let own = claimed(&store, seen, "edu", "2102311XYZ001").await;
        assert_eq!(own, Claim::Held);
        assert_eq!(head(&store).await, seen, "nothing is written twice");
    }

    #[tokio::test]
    async fn a_contribution_taken_back_before_a_credit_leaves_its_devices_to_others() {
        let store = Store::in_memory().await.unwrap();
        claimed(&store, 0, "edu", "2102311XYZ001").await;
        for _ in 0..2 {
            free("edu/servers", ZHANG, &store, Second::new(9))
                .await
                .unwrap();
        }
        let ends = store.documents::<SerialFreedDoc>(None, None).await.unwrap();
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0].value.freed_by, ZHANG);
        let seen = head(&store).await;
        let other = claimed(&store, seen, "health", "2102311XYZ001").await;
        assert_eq!(other, Claim::Held);
        let claims = store.documents::<SerialDoc>(None, None).await.unwrap();
        let numbers: Vec<u32> = claims.iter().map(|claim| claim.value.number).collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[tokio::test]
    async fn a_credit_that_came_first_keeps_its_devices() {
        let store = Store::in_memory().await.unwrap();
        claimed(&store, 0, "edu", "2102311XYZ001").await;
        let batch = Batch::of(vec![Record::document(&lot()).unwrap()]);
        store.commit(&batch, Second::new(0)).await.unwrap();
        free("edu/servers", ZHANG, &store, Second::new(9))
            .await
            .unwrap();
        let ends = store.documents::<SerialFreedDoc>(None, None).await.unwrap();
        assert!(ends.is_empty());
    }

    #[test]
    fn that_a_serial_is_taken_is_told_without_saying_by_whom() {
        let finding = taken("2102311XYZ001");
        assert_eq!(finding.rule, "H01");
        assert_eq!(finding.serial.as_deref(), Some("2102311XYZ001"));
        assert!(
            finding
                .message
                .starts_with("already backs another contribution")
        );
    }
}
