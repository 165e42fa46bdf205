//! Claims: each serial number backs one contribution in the whole cloud.

use leasehold_api::tenancy::RuleFinding;
use leasehold_ledger::document::{Document, SerialDoc, split_row_key};
use leasehold_planner::hardware::{AcceptedDevice, Offer};
use leasehold_store::{Record, StoreError};

use crate::{Context, Error};

/// Claims the serials of the accepted devices, all or none; or says which one somebody else has.
pub async fn claim(
    offer: &Offer,
    accepted: &[AcceptedDevice],
    context: &Context,
) -> Result<Result<(), RuleFinding>, Error> {
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
            Some(known) => return Ok(Err(taken(&known.value.serial))),
            None => records.push(Record::document(&document)?),
        }
    }
    if records.is_empty() {
        return Ok(Ok(()));
    }
    match context.books.commit(records, now).await {
        Ok(_) => Ok(Ok(())),
        // between the look and the write somebody else was quicker
        Err(Error::Store(StoreError::KeyConflict { key, .. })) => Ok(Err(taken(serial_of(&key)))),
        Err(error) => Err(error),
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
    use super::*;

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
