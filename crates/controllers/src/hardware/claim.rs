//! Claims: each serial number backs one contribution in the whole cloud.

use leasehold_api::tenancy::RuleFinding;
use leasehold_ledger::document::{Document, SerialDoc, split_row_key};
use leasehold_planner::hardware::{AcceptedDevice, Offer};
use leasehold_store::{Batch, Record, StoreError};

use crate::{Context, Error};

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

/// Claims the serials of the accepted devices, all or none. `head` is the ledger's last row before the claims were read
/// against which the devices were assessed: serials are unique by their key, but the same machine under another serial
/// shows only in that assessment, so nothing may come in between.
pub async fn claim(
    offer: &Offer,
    accepted: &[AcceptedDevice],
    head: u64,
    context: &Context,
) -> Result<Claim, Error> {
    let now = context.now();
    let mut records = Vec::new();
    for device in accepted {
        let document = SerialDoc {
            maker: device.maker.clone(),
            serial: device.serial.clone(),
            contribution: offer.id(),
            uid: offer.uid.clone(),
            system_uuid: device.system_uuid.clone(),
            at: now,
        };
        match context
            .books
            .store()
            .document::<SerialDoc>(&document.key())
            .await?
        {
            Some(known) if known.value.contribution == document.contribution => {}
            Some(known) => return Ok(Claim::Taken(taken(&known.value.serial))),
            None => records.push(Record::document(&document)?),
        }
    }
    if records.is_empty() {
        return Ok(Claim::Held);
    }
    let batch = Batch::of(records).expecting(head);
    after(context.books.store().commit(&batch, now).await.map(drop))
}

/// What the answer of the ledger means.
fn after(answer: Result<(), StoreError>) -> Result<Claim, Error> {
    match answer {
        Ok(()) => Ok(Claim::Held),
        Err(StoreError::Conflict { .. }) => Ok(Claim::Overtaken),
        Err(StoreError::KeyConflict { key, .. }) => Ok(Claim::Taken(taken(serial_of(&key)))),
        Err(error) => Err(error.into()),
    }
}

/// The serial in the key of a claim.
fn serial_of(key: &str) -> &str {
    let key = split_row_key(key).map_or(key, |(_, key)| key);
    key.rsplit_once('/').map_or(key, |(_, serial)| serial)
}

/// Says that a serial is taken, without saying by whom.
fn taken(serial: &str) -> RuleFinding {
    RuleFinding {
        rule: "H01".to_owned(),
        serial: Some(serial.to_owned()),
        message: "already backs another contribution, allowed is one contribution for ever; withdraw this one and offer it without the device"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::time::Second;
    use leasehold_store::Store;

    use super::*;

    fn claimed(serial: &str, contribution: &str) -> Record {
        Record::document(&SerialDoc {
            maker: "huawei".to_owned(),
            serial: serial.to_owned(),
            contribution: contribution.to_owned(),
            uid: "u".to_owned(),
            system_uuid: Some("4c4c4544-0042".to_owned()),
            at: Second::new(0),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn of_two_claims_that_saw_the_same_ledger_the_second_is_assessed_anew() {
        let store = Store::in_memory().await.unwrap();
        let (head, _) = store.head().await.unwrap();
        let of = async |serial: &str, contribution: &str| {
            let batch = Batch::of(vec![claimed(serial, contribution)]).expecting(head);
            after(store.commit(&batch, Second::new(0)).await.map(drop)).unwrap()
        };
        assert_eq!(of("2102311XYZ001", "edu/a").await, Claim::Held);
        assert_eq!(of("2102311XYZ002", "health/b").await, Claim::Overtaken);
    }

    #[tokio::test]
    async fn a_serial_that_somebody_has_is_taken() {
        let store = Store::in_memory().await.unwrap();
        let of = async |contribution: &str| {
            let batch = Batch::of(vec![claimed("2102311XYZ001", contribution)]);
            after(store.commit(&batch, Second::new(0)).await.map(drop)).unwrap()
        };
        assert_eq!(of("edu/a").await, Claim::Held);
        assert_eq!(of("health/b").await, Claim::Taken(taken("2102311XYZ001")));
    }

    #[test]
    fn a_conflict_is_told_by_the_serial_alone() {
        assert_eq!(serial_of("serial/huawei/2102311XYZ001"), "2102311XYZ001");
        let finding = taken("2102311XYZ001");
        assert_eq!(finding.rule, "H01");
        assert!(
            finding
                .message
                .starts_with("already backs another contribution")
        );
    }
}
