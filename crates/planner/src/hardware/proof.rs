//! What others prove: the agency's values, the data centre's receipt, the nodes.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::{
    charging::{ContributionReference, ReceivedDevice, TestResult},
    tenancy::{DeviceClass, RuleFinding},
};
use leasehold_ledger::{document::serial_claim, money::Money, time::LocalDate};

use super::{
    AcceptedDevice, Appraisal, Assessment, HardwareContext, NodeFacts, Offer, Offered,
    OfferedDevices, Proof, Receipt, claim_of, finding,
};

/// Whether a proof speaks of this very object, not of an earlier one of the same name.
fn speaks_of(reference: &ContributionReference, offer: &Offer) -> bool {
    reference.name.as_str() == offer.name && reference.uid.as_str() == offer.uid
}

/// The newest proof that holds. The findings of proofs are told only while none holds.
fn newest<'a, S>(
    proofs: impl Iterator<Item = &'a Proof<S>>,
    faults: impl Fn(&Proof<S>) -> Vec<RuleFinding>,
    findings: &mut Vec<RuleFinding>,
) -> Option<&'a Proof<S>> {
    let mut proofs: Vec<&Proof<S>> = proofs.collect();
    proofs.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| b.name.cmp(&a.name)));
    let mut told = Vec::new();
    for proof in proofs {
        let found = faults(proof);
        if found.is_empty() {
            return Some(proof);
        }
        told.extend(found);
    }
    findings.extend(told);
    None
}

/// The appraisal that counts.
pub(super) fn appraisal<'a>(
    offer: &Offer,
    offered: &OfferedDevices<'_>,
    context: &HardwareContext<'a>,
    result: &mut Assessment,
) -> Option<&'a Appraisal> {
    let ours = context
        .appraisals
        .iter()
        .filter(|proof| speaks_of(&proof.spec.contribution, offer));
    let found = newest(
        ours,
        |proof| appraisal_faults(proof, offer, offered, context),
        &mut result.findings,
    );
    if found.is_none() {
        result.waits.push(format!(
            "an appraisal by {} that holds today; the agency writes it",
            offer.spec.agency
        ));
    }
    found
}

fn appraisal_faults(
    proof: &Appraisal,
    offer: &Offer,
    offered: &OfferedDevices<'_>,
    context: &HardwareContext<'_>,
) -> Vec<RuleFinding> {
    let (spec, name) = (&proof.spec, &proof.name);
    let mut faults = Vec::new();
    if spec.agency != offer.spec.agency {
        let message = format!(
            "appraisal {name} is by {}, allowed is {}, which the contribution names; the agency \
             named must appraise it",
            spec.agency, offer.spec.agency
        );
        faults.push(finding("H05", None, message));
    }
    if !context
        .policy
        .appraisers
        .iter()
        .any(|agency| agency.agency == spec.agency)
    {
        let message = format!(
            "appraisal {name} is by {}, which is not accredited; choose an agency of the cloud \
             policy's list",
            spec.agency
        );
        faults.push(finding("H05", None, message));
    }
    faults.extend(validity_faults(proof, offered, context.today));
    for valued in &spec.devices {
        let device = claim_of(&valued.serial).and_then(|claim| offered.get(&claim));
        let Some(device) = device else {
            let message = format!(
                "appraisal {name} values a device that is not offered; the agency must value the \
                 offered devices in a new appraisal"
            );
            faults.push(finding("H07", Some(&valued.serial), message));
            continue;
        };
        let (value, price) = (
            Money::parse(&valued.value),
            Money::parse(&device.device.original_price),
        );
        let within = matches!((&value, &price), (Ok(value), Ok(price)) if
            *value >= Money::ZERO && value <= price);
        if !within {
            let message = format!(
                "appraisal {name} values it at {}, allowed is 0.00 to the original price of {}; \
                 the agency must write a new appraisal",
                valued.value, device.device.original_price
            );
            faults.push(finding("H03", Some(&device.serial), message));
        }
    }
    faults
}

/// An appraisal holds from its base date through its last day, and not for devices that were
/// bought after it.
fn validity_faults(
    proof: &Appraisal,
    offered: &OfferedDevices<'_>,
    today: LocalDate,
) -> Vec<RuleFinding> {
    let (spec, name) = (&proof.spec, &proof.name);
    let days = (
        LocalDate::parse(&spec.base_date),
        LocalDate::parse(&spec.valid_through),
    );
    let (Ok(base), Ok(through)) = days else {
        let message = format!(
            "appraisal {name} holds from {} through {}, allowed are days of the calendar; the \
             agency must write a new appraisal",
            spec.base_date, spec.valid_through
        );
        return vec![finding("H04", None, message)];
    };
    let mut faults = Vec::new();
    if today < base || through < today {
        let message = format!(
            "appraisal {name} holds from {base} through {through}, today is {today}; the agency \
             must write one that holds today"
        );
        faults.push(finding("H04", None, message));
    }
    for device in offered.values() {
        let invoiced = LocalDate::parse(&device.device.invoice_date);
        if invoiced.is_ok_and(|invoiced| base < invoiced) {
            let message = format!(
                "appraisal {name} values it as of {base}, before it was invoiced on {}; the agency \
                 must write one for a later day",
                device.device.invoice_date
            );
            faults.push(finding("H04", Some(&device.serial), message));
        }
    }
    faults
}

/// The receipt that counts.
pub(super) fn receipt<'a>(
    offer: &Offer,
    offered: &OfferedDevices<'_>,
    context: &HardwareContext<'a>,
    result: &mut Assessment,
) -> Option<&'a Receipt> {
    let ours = context
        .receipts
        .iter()
        .filter(|proof| speaks_of(&proof.spec.contribution, offer));
    let found = newest(
        ours,
        |proof| receipt_faults(proof, offer, offered, context.today),
        &mut result.findings,
    );
    if found.is_none() {
        result
            .waits
            .push("a receipt of the devices (rule H06); the data centre writes it".to_owned());
    }
    found
}

fn receipt_faults(
    proof: &Receipt,
    offer: &Offer,
    offered: &OfferedDevices<'_>,
    today: LocalDate,
) -> Vec<RuleFinding> {
    let (spec, name) = (&proof.spec, &proof.name);
    let mut faults = Vec::new();
    let arrived = LocalDate::parse(&spec.arrived_on);
    if !arrived.is_ok_and(|day| offer.created <= day && day <= today) {
        let message = format!(
            "receipt {name} says that they arrived on {}, allowed is {} (offered) through {today}; \
             the data centre must write a new receipt",
            spec.arrived_on, offer.created
        );
        faults.push(finding("H06", None, message));
    }
    let mut seen = BTreeSet::new();
    for device in &spec.devices {
        let claim = claim_of(&device.serial).filter(|claim| offered.contains_key(claim));
        let message = match claim {
            None => format!("receipt {name} names a device that is not offered"),
            Some(claim) if !seen.insert(claim.clone()) => {
                format!("receipt {name} names the device twice")
            }
            Some(_) => continue,
        };
        let message = format!(
            "{message}, allowed is each offered device once; the data centre must write a new \
             receipt"
        );
        faults.push(finding("H06", Some(&device.serial), message));
    }
    faults
}

/// The devices that passed. What fails drops out with a finding.
pub(super) fn accepted(
    offered: &OfferedDevices<'_>,
    appraisal: &Appraisal,
    receipt: &Receipt,
    context: &HardwareContext<'_>,
    result: &mut Assessment,
) -> Vec<AcceptedDevice> {
    let values: BTreeMap<String, Money> = appraisal
        .spec
        .devices
        .iter()
        .filter_map(|valued| Some((claim_of(&valued.serial)?, Money::parse(&valued.value).ok()?)))
        .collect();
    let received: BTreeMap<String, &ReceivedDevice> = receipt
        .spec
        .devices
        .iter()
        .filter_map(|device| Some((claim_of(&device.serial)?, device)))
        .collect();
    let mut uuids = BTreeSet::new();
    let mut accepted = Vec::new();
    for (claim, device) in offered {
        let serial = Some(device.serial.as_str());
        let Some(received) = received.get(claim) else {
            let message = "did not arrive, so it drops out; offer it again when it is delivered";
            result.findings.push(finding("H06", serial, message));
            continue;
        };
        let Some(value) = values.get(claim) else {
            let message = "has no appraised value, so it drops out; the agency can value it in a \
                           new appraisal";
            result.findings.push(finding("H07", serial, message));
            continue;
        };
        let system_uuid = match proven(claim, device, received, receipt, context, result) {
            Some(Witness::Node(uuid)) => Some(uuid),
            Some(Witness::Papers) => None,
            None => continue,
        };
        if let Some(uuid) = &system_uuid
            && !uuids.insert(uuid.clone())
        {
            let message = "stands for the same machine as another device of this contribution, so \
                           it drops out; the data centre must name one node for each server";
            result.findings.push(finding("H24", serial, message));
            continue;
        }
        accepted.push(AcceptedDevice {
            maker: device.device.maker.to_string(),
            serial: device.serial.clone(),
            value: *value,
            system_uuid,
        });
    }
    accepted
}

/// What proves a device.
enum Witness {
    /// The node of this system UUID.
    Node(String),
    /// A test report and two signatures.
    Papers,
}

/// What proves a received device, if anything does.
fn proven(
    claim: &str,
    offered: &Offered<'_>,
    received: &ReceivedDevice,
    receipt: &Receipt,
    context: &HardwareContext<'_>,
    result: &mut Assessment,
) -> Option<Witness> {
    let serial = Some(offered.serial.as_str());
    match received.test {
        TestResult::Passed => {}
        TestResult::Failed => {
            let message = "failed its test, so it drops out";
            result.findings.push(finding("H26", serial, message));
            return None;
        }
    }
    match offered.device.class {
        DeviceClass::Server => proven_by_node(claim, offered, received, receipt, context, result),
        DeviceClass::Storage | DeviceClass::Network => {
            let signed = received
                .second_signature
                .as_ref()
                .is_some_and(|s| !s.trim().is_empty());
            if received.test_report.is_some() && signed {
                return Some(Witness::Papers);
            }
            let message = "has no test report or no second signature, so it drops out; the data \
                           centre can write a new receipt with both";
            result.findings.push(finding("H26", serial, message));
            None
        }
    }
}

fn proven_by_node(
    claim: &str,
    offered: &Offered<'_>,
    received: &ReceivedDevice,
    receipt: &Receipt,
    context: &HardwareContext<'_>,
    result: &mut Assessment,
) -> Option<Witness> {
    let serial = Some(offered.serial.as_str());
    let Some(name) = &received.node else {
        let message = "no node proves the server, so it drops out; the data centre can write a new \
                       receipt that names its node";
        result.findings.push(finding("H24", serial, message));
        return None;
    };
    let Some(node) = context.nodes.iter().find(|node| node.name == name.as_str()) else {
        result.waits.push(format!(
            "node {name} of server {}, which has not joined",
            offered.serial
        ));
        return None;
    };
    let Some((label, uuid)) = identified(node) else {
        result.waits.push(format!(
            "the serial label and the system UUID of node {name} for server {}",
            offered.serial
        ));
        return None;
    };
    let arrived = LocalDate::parse(&receipt.spec.arrived_on).ok();
    let elsewhere = context.claims.iter().find(|known| {
        known.system_uuid.as_deref().map(str::to_lowercase).as_ref() == Some(&uuid)
            && !(known.maker == offered.device.maker.as_str()
                && serial_claim(&known.serial) == claim)
    });
    let fault = if arrived.is_none_or(|arrived| node.created < arrived) {
        format!(
            "node {name} joined on {}, before the server arrived",
            node.created
        )
    } else if claim_of(label).as_deref() != Some(claim) {
        format!("node {name} carries serial number {label}")
    } else if let Some(known) = elsewhere {
        format!(
            "node {name} is the machine that backs {} of {}",
            known.serial, known.contribution
        )
    } else {
        return Some(Witness::Node(uuid));
    };
    let message = format!(
        "{fault}, allowed is a node of its own that joined with it; it drops out, and the data \
         centre can write a new receipt"
    );
    result.findings.push(finding("H24", serial, message));
    None
}

/// Serial label and system UUID, if the node has both.
fn identified(node: &NodeFacts) -> Option<(&str, String)> {
    let label = node
        .serial_label
        .as_deref()
        .filter(|label| !label.is_empty())?;
    let uuid = node
        .system_uuid
        .as_deref()
        .filter(|uuid| !uuid.is_empty())?;
    Some((label, uuid.to_lowercase()))
}
