//! Hardware for credit: which devices of a contribution are accepted, and for how much.
//!
//! A contribution carries no money by itself. An accredited agency appraises it, the data centre
//! receives it, and only then finance decides on the sum of the accepted devices' values. See
//! `docs/explanation/hardware.md`.
//!
//! Three things can be wrong, with different ends. What the *department* declares wrongly
//! (serials, dates, makers) refuses the contribution: it can be withdrawn and offered again. A
//! *proof* that does not hold is left aside with a finding, and a better one is waited for. A
//! *device* that does not prove itself drops out, and the others go on.

mod declaration;
mod proof;

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::{
    charging::{AppraisalSpec, Evidence, HandoverReceiptSpec},
    platform::CloudPolicySpec,
    tenancy::{Device, HardwareContributionSpec, RuleFinding},
};
use leasehold_ledger::{
    canonical::Digest,
    document::{SerialDoc, normalise_serial, serial_claim},
    money::{Money, MoneyError},
    time::{LocalDate, Second},
};

/// Most findings that the status of a contribution can show.
const MOST_FINDINGS: usize = 100;

/// A contribution as the API server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Code of the department.
    pub department: String,
    /// Name of the object.
    pub name: String,
    /// Its identifier.
    pub uid: String,
    /// What is offered.
    pub spec: HardwareContributionSpec,
    /// Local day on which the API server created the object.
    pub created: LocalDate,
    /// Who asked, as the API server saw it.
    pub requested_by: String,
}

impl Offer {
    /// `<department>/<name>`, as serials and lots name it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.department, self.name)
    }
}

/// A proof and where it comes from: an appraisal or a receipt.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof<S> {
    /// Name of the object.
    pub name: String,
    /// Its identifier.
    pub uid: String,
    /// Digest of its spec.
    pub digest: Digest,
    /// Who wrote it, as the API server saw it.
    pub creator: String,
    /// When the API server created it; of several that hold, the newest counts.
    pub created: Second,
    /// What it says.
    pub spec: S,
}

impl<S> Proof<S> {
    /// How an approval refers to it.
    fn evidence(&self, kind: &str) -> Evidence {
        Evidence {
            kind: kind.into(),
            name: self.name.as_str().into(),
            uid: self.uid.as_str().into(),
            digest: self.digest.as_str().into(),
        }
    }
}

/// The valuation by an agency.
pub type Appraisal = Proof<AppraisalSpec>;
/// The data centre's record of arrival.
pub type Receipt = Proof<HandoverReceiptSpec>;

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Local day on which it joined.
    pub created: LocalDate,
    /// Its serial label, which kubelets cannot write.
    pub serial_label: Option<String>,
    /// The system UUID that its firmware reports.
    pub system_uuid: Option<String>,
}

/// What a contribution is measured against.
#[derive(Clone, Copy, Debug)]
pub struct HardwareContext<'a> {
    /// Live offers in the whole cloud; the assessed one may be among them.
    pub others: &'a [Offer],
    /// The claims of devices that stand.
    pub claims: &'a [SerialDoc],
    /// Appraisals of the offer's namespace.
    pub appraisals: &'a [Appraisal],
    /// Receipts of the offer's namespace.
    pub receipts: &'a [Receipt],
    /// Whether the register has the information system that the offer names.
    pub system_known: bool,
    /// All nodes.
    pub nodes: &'a [NodeFacts],
    /// The policy in force.
    pub policy: &'a CloudPolicySpec,
    /// The local day of assessment.
    pub today: LocalDate,
}

/// A device that passed every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedDevice {
    /// Its maker.
    pub maker: String,
    /// Its serial number, normalised.
    pub serial: String,
    /// Its appraised value.
    pub value: Money,
    /// The system UUID of the node that proves it, for servers.
    pub system_uuid: Option<String>,
}

/// What became of a contribution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// Broken rules, at most 100.
    pub findings: Vec<RuleFinding>,
    /// What is waited for, in plain sentences.
    pub waits: Vec<String>,
    /// Devices that passed, by serial number.
    pub accepted: Vec<AcceptedDevice>,
    /// Sum of their values.
    pub amount: Money,
    /// The appraisal and the receipt that were used.
    pub evidence: Option<(Evidence, Evidence)>,
    /// Whether it cannot be credited whatever comes.
    pub refused: bool,
}

impl Assessment {
    /// Whether finance can decide.
    pub fn ready(&self) -> bool {
        !self.refused
            && self.waits.is_empty()
            && self.evidence.is_some()
            && self.amount > Money::ZERO
    }
}

/// What can go wrong with an assessment itself.
#[derive(Debug, thiserror::Error)]
pub enum HardwareError {
    /// The values do not add up to an amount that can be written.
    #[error("failed to add up the values of contribution {contribution}")]
    Sum {
        /// The contribution.
        contribution: String,
        /// Why.
        #[source]
        source: MoneyError,
    },
}

/// A device of an offer whose serial number could be read.
#[derive(Clone, Debug)]
struct Offered<'a> {
    device: &'a Device,
    /// Normalised, as people see it.
    serial: String,
}

/// The devices of an offer by the form under which serials are claimed.
type OfferedDevices<'a> = BTreeMap<String, Offered<'a>>;

/// The form under which a serial is compared: look-alikes meet.
fn claim_of(serial: &str) -> Option<String> {
    normalise_serial(serial)
        .ok()
        .map(|normal| serial_claim(&normal))
}

fn finding(rule: &str, serial: Option<&str>, message: impl Into<String>) -> RuleFinding {
    RuleFinding {
        rule: rule.to_owned(),
        serial: serial.map(str::to_owned),
        message: message.into(),
    }
}

/// Assesses a contribution against everything that is known today.
pub fn assess(offer: &Offer, context: &HardwareContext<'_>) -> Result<Assessment, HardwareError> {
    let mut result = Assessment::default();
    let offered = declaration::devices(offer, &mut result.findings);
    declaration::check(offer, &offered, context, &mut result);
    result.refused = !result.findings.is_empty();
    let appraisal = proof::appraisal(offer, &offered, context, &mut result);
    let receipt = proof::receipt(offer, &offered, context, &mut result);
    if let (Some(appraisal), Some(receipt), false) = (appraisal, receipt, result.refused) {
        result.evidence = Some((
            appraisal.evidence("Appraisal"),
            receipt.evidence("HandoverReceipt"),
        ));
        result.accepted = proof::accepted(&offered, appraisal, receipt, context, &mut result);
        result.amount =
            Money::sum(result.accepted.iter().map(|device| device.value)).map_err(|source| {
                HardwareError::Sum {
                    contribution: offer.id(),
                    source,
                }
            })?;
        // nothing is left and nothing can come any more
        result.refused = result.waits.is_empty() && result.amount <= Money::ZERO;
    }
    let findings: BTreeSet<RuleFinding> =
        std::mem::take(&mut result.findings).into_iter().collect();
    result.findings = findings.into_iter().take(MOST_FINDINGS).collect();
    Ok(result)
}

#[cfg(test)]
mod tests;
