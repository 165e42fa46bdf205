//! Which contribution a device backs: claims of devices in the order of the ledger, and their ends.
//!
//! A device backs one contribution at a time. Its claim ends when the contribution was taken back
//! before a credit, or with all of its credit. A device of which credit was used, or expired, backs
//! its contribution for ever. See `docs/adr/0016-a-device-backs-one-used-credit.md`.

use std::collections::BTreeMap;

use crate::document::{LotDevice, SerialDoc, SerialFreedDoc, serial_claim};
use crate::journal::Entry;
use crate::lot::Lot;
use crate::time::Second;

/// Why a claim, or the end of one, does not follow from those before it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClaimError {
    /// The device is claimed although it backs a contribution.
    #[error(
        "failed to follow the claim of device {device} by {by}: it backs {holder}; verify the ledger"
    )]
    Held {
        /// Maker and serial number.
        device: String,
        /// The contribution that claims it.
        by: String,
        /// The contribution that holds it.
        holder: String,
    },
    /// A number was left out, or comes again.
    #[error(
        "failed to follow claim {found} of device {device}: claim {expected} comes next; verify the \
         ledger"
    )]
    Number {
        /// Maker and serial number.
        device: String,
        /// The number that it should have.
        expected: u32,
        /// The number that it has.
        found: u32,
    },
    /// There is no such claim that could end.
    #[error(
        "failed to follow the end of claim {number} of device {device} by {by}: no such claim \
         stands; verify the ledger"
    )]
    NotHeld {
        /// Maker and serial number.
        device: String,
        /// The number of the claim.
        number: u32,
        /// The contribution whose claim is said to end.
        by: String,
    },
}

/// How a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It backs a contribution, by this claim.
    Held(&'a SerialDoc),
    /// It backs none; its next claim has this number, from 1.
    Free(u32),
}

/// The claims of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The last claim of each device, by maker and claimed form of the serial number.
    devices: BTreeMap<(String, String), Last>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    claim: SerialDoc,
    stands: bool,
}

impl Claims {
    /// The claims and the ends of claims of a ledger, each with the sequence of its row and in the
    /// order of the rows.
    pub fn read(
        claims: impl IntoIterator<Item = (u64, SerialDoc)>,
        ends: impl IntoIterator<Item = (u64, SerialFreedDoc)>,
    ) -> Result<Self, ClaimError> {
        let mut all = Self::default();
        let mut ends = ends.into_iter().peekable();
        for (seq, claim) in claims {
            while let Some((_, end)) = ends.next_if(|(before, _)| *before < seq) {
                all.end(&end)?;
            }
            all.claim(claim)?;
        }
        for (_, end) in ends {
            all.end(&end)?;
        }
        Ok(all)
    }

    /// Follows a claim: of a device that backs nothing, under the number that comes next.
    pub fn claim(&mut self, claim: SerialDoc) -> Result<(), ClaimError> {
        match self.device(&claim.maker, &claim.serial) {
            Standing::Held(known) => Err(ClaimError::Held {
                device: named(&claim.maker, &claim.serial),
                by: claim.contribution,
                holder: known.contribution.clone(),
            }),
            Standing::Free(expected) if expected != claim.number => Err(ClaimError::Number {
                device: named(&claim.maker, &claim.serial),
                expected,
                found: claim.number,
            }),
            Standing::Free(_) => {
                let last = Last {
                    stands: true,
                    claim,
                };
                self.devices
                    .insert(place(&last.claim.maker, &last.claim.serial), last);
                Ok(())
            }
        }
    }

    /// Follows the end of a claim that stands.
    pub fn end(&mut self, end: &SerialFreedDoc) -> Result<(), ClaimError> {
        let last = self
            .devices
            .get_mut(&place(&end.maker, &end.serial))
            .filter(|last| {
                last.stands
                    && last.claim.number == end.number
                    && last.claim.contribution == end.contribution
            });
        let Some(last) = last else {
            return Err(ClaimError::NotHeld {
                device: named(&end.maker, &end.serial),
                number: end.number,
                by: end.contribution.clone(),
            });
        };
        last.stands = false;
        Ok(())
    }

    /// How a device stands. Look-alike serial numbers of one maker are one device.
    pub fn device(&self, maker: &str, serial: &str) -> Standing<'_> {
        match self.devices.get(&place(maker, serial)) {
            Some(last) if last.stands => Standing::Held(&last.claim),
            Some(last) => Standing::Free(last.claim.number.saturating_add(1)),
            None => Standing::Free(1),
        }
    }

    /// The claims that stand, by maker and serial number.
    pub fn standing(&self) -> impl Iterator<Item = &SerialDoc> {
        self.devices
            .values()
            .filter(|last| last.stands)
            .map(|last| &last.claim)
    }

    /// The first of the devices that does not back the contribution.
    pub fn lacking<'a>(
        &self,
        contribution: &str,
        devices: &'a [LotDevice],
    ) -> Option<&'a LotDevice> {
        devices.iter().find(|device| {
            let standing = self.device(&device.maker, &device.serial);
            !matches!(standing, Standing::Held(claim) if claim.contribution == contribution)
        })
    }

    /// The ends of all claims of a contribution that `by` takes back at `at`.
    ///
    /// `credit` is the lot that was granted on it, if one was, with the journal. As long as the
    /// journal does not take back all of that lot, no claim ends.
    pub fn ends(
        &self,
        contribution: &str,
        credit: Option<(&Lot, &[Entry])>,
        by: &str,
        at: Second,
    ) -> Vec<SerialFreedDoc> {
        let untouched = credit
            .is_none_or(|(lot, journal)| journal.iter().any(|entry| entry.takes_back_all(lot)));
        if !untouched {
            return Vec::new();
        }
        self.standing()
            .filter(|claim| claim.contribution == contribution)
            .map(|claim| SerialFreedDoc {
                maker: claim.maker.clone(),
                serial: claim.serial.clone(),
                number: claim.number,
                contribution: claim.contribution.clone(),
                freed_by: by.to_owned(),
                at,
            })
            .collect()
    }
}

fn place(maker: &str, serial: &str) -> (String, String) {
    (maker.to_owned(), serial_claim(serial))
}

fn named(maker: &str, serial: &str) -> String {
    format!("{maker}/{serial}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::fixture;
    use crate::journal::{EntryKind, credit_account, transfer};
    use crate::money::Money;

    const SERVERS: &str = "gov-office/servers-2024";
    const OTHER: &str = "health/servers";

    fn claim(serial: &str, number: u32, contribution: &str) -> SerialDoc {
        SerialDoc {
            maker: "inspur".to_owned(),
            serial: serial.to_owned(),
            number,
            contribution: contribution.to_owned(),
            uid: "u".to_owned(),
            system_uuid: None,
            at: Second::new(0),
        }
    }

    fn held(claims: &[SerialDoc]) -> Claims {
        let mut all = Claims::default();
        for claim in claims {
            all.claim(claim.clone()).unwrap();
        }
        all
    }

    /// What taking the fixture's contribution back gives, after these entries.
    fn taken_back(claims: &Claims, journal: &[Entry]) -> Vec<SerialFreedDoc> {
        let lot = fixture::lots().remove(0).lot;
        claims.ends(SERVERS, Some((&lot, journal)), "zhang", Second::new(9))
    }

    fn used(lot: &Lot, amount: &str) -> Entry {
        let account = credit_account(&lot.id);
        let postings = transfer(
            account,
            "revenue/compute".to_owned(),
            fixture::money(amount),
        );
        let (id, owner) = ("close/2026-09/gov-office", lot.department.clone());
        let at = Second::new(1);
        Entry::new(
            id.to_owned(),
            EntryKind::Close,
            at,
            owner,
            None,
            postings.unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn a_device_backs_one_contribution_at_a_time_however_it_is_spelled() {
        let mut claims = held(&[claim("SNO1", 1, SERVERS)]);
        let refused = claims.claim(claim("SN01", 2, OTHER)).unwrap_err();
        assert_eq!(
            refused,
            ClaimError::Held {
                device: "inspur/SN01".to_owned(),
                by: OTHER.to_owned(),
                holder: SERVERS.to_owned(),
            }
        );
        let mut elsewhere = claim("SNO1", 1, OTHER);
        elsewhere.maker = "huawei".to_owned();
        claims.claim(elsewhere).unwrap();
    }

    #[test]
    fn a_contribution_taken_back_before_a_credit_frees_its_devices_and_no_others() {
        let mut claims = held(&[
            claim("SN01", 1, SERVERS),
            claim("SN02", 1, SERVERS),
            claim("SN03", 1, OTHER),
        ]);
        let ends = claims.ends(SERVERS, None, "zhang", Second::new(9));
        let freed: Vec<&str> = ends.iter().map(|end| end.serial.as_str()).collect();
        assert_eq!(freed, ["SN01", "SN02"]);
        assert!(ends.iter().all(|end| end.freed_by == "zhang"));
        for end in &ends {
            claims.end(end).unwrap();
        }
        assert_eq!(claims.device("inspur", "SNO1"), Standing::Free(2));
        let left: Vec<&str> = claims.standing().map(|c| c.serial.as_str()).collect();
        assert_eq!(left, ["SN03"]);
        // once is enough
        assert!(
            claims
                .ends(SERVERS, None, "zhang", Second::new(9))
                .is_empty()
        );
    }

    #[test]
    fn a_credit_taken_back_with_nothing_used_frees_its_device_for_the_next_claim() {
        let mut claims = held(&[claim("SN01", 1, SERVERS)]);
        let lot = fixture::lots().remove(0).lot;
        let journal = [
            Entry::grant(&lot, Second::new(0)).unwrap(),
            Entry::void(&lot, lot.amount, Second::new(9)).unwrap(),
        ];
        let ends = taken_back(&claims, &journal);
        assert_eq!(ends.len(), 1);
        claims.end(&ends[0]).unwrap();
        let again = claim("SN01", 2, OTHER);
        claims.claim(again.clone()).unwrap();
        assert_eq!(claims.device("inspur", "SN01"), Standing::Held(&again));
    }

    #[test]
    fn a_device_of_which_credit_was_used_or_expired_is_never_freed() {
        let claims = held(&[claim("SN01", 1, SERVERS)]);
        let lot = fixture::lots().remove(0).lot;
        let at = Second::new(9);
        let grant = Entry::grant(&lot, Second::new(0)).unwrap();
        assert!(taken_back(&claims, std::slice::from_ref(&grant)).is_empty());
        let rest = lot.amount.checked_sub(Money::from_minor(1)).unwrap();
        let in_part = [
            grant.clone(),
            used(&lot, "0.01"),
            Entry::void(&lot, rest, at).unwrap(),
        ];
        assert!(taken_back(&claims, &in_part).is_empty());
        let expired = [grant, Entry::expire(&lot, lot.amount, None).unwrap()];
        assert!(taken_back(&claims, &expired).is_empty());
    }

    #[test]
    fn claims_of_a_device_are_numbered_without_a_hole() {
        let mut claims = Claims::default();
        let late = claims.claim(claim("SN01", 2, SERVERS)).unwrap_err();
        let expected = ClaimError::Number {
            device: "inspur/SN01".to_owned(),
            expected: 1,
            found: 2,
        };
        assert_eq!(late, expected);
    }

    #[test]
    fn only_the_claim_that_stands_can_end() {
        let mut claims = held(&[claim("SN01", 1, SERVERS)]);
        let end = claims
            .ends(SERVERS, None, "zhang", Second::new(9))
            .remove(0);
        let mut foreign = end.clone();
        foreign.contribution = OTHER.to_owned();
        assert!(claims.end(&foreign).is_err());
        let mut later = end.clone();
        later.number = 2;
        assert!(claims.end(&later).is_err());
        claims.end(&end).unwrap();
        assert!(matches!(
            claims.end(&end),
            Err(ClaimError::NotHeld { number: 1, .. })
        ));
    }

    #[test]
    fn a_ledger_is_read_in_the_order_of_its_rows() {
        let first = claim("SN01", 1, SERVERS);
        let end = held(std::slice::from_ref(&first))
            .ends(SERVERS, None, "zhang", Second::new(9))
            .remove(0);
        let second = claim("SN01", 2, OTHER);
        let both = [(3, first), (8, second.clone())];
        let read = Claims::read(both.clone(), [(5, end.clone())]).unwrap();
        assert_eq!(read.device("inspur", "SN01"), Standing::Held(&second));
        assert!(Claims::read(both, [(9, end)]).is_err());
    }

    #[test]
    fn a_lot_rests_on_devices_that_back_its_contribution() {
        let claims = held(&[claim("SN01", 1, SERVERS), claim("SN02", 1, OTHER)]);
        let device = |serial: &str| LotDevice {
            maker: "inspur".to_owned(),
            serial: serial.to_owned(),
            value: Money::from_minor(100),
        };
        assert_eq!(claims.lacking(SERVERS, &[device("SN01")]), None);
        for serial in ["SN02", "SN03"] {
            let devices = [device("SN01"), device(serial)];
            assert_eq!(claims.lacking(SERVERS, &devices), devices.get(1));
        }
    }
}
