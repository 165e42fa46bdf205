//! What the department declares: serials, makers, classes, dates, prices.

use leasehold_api::{
    platform::Category,
    tenancy::{DeviceClass, RuleFinding},
    text::Label,
};
use leasehold_ledger::{
    document::{normalise_serial, serial_claim},
    money::Money,
    time::LocalDate,
};

use super::{Assessment, HardwareContext, Offer, Offered, OfferedDevices, claim_of, finding};

/// The devices of an offer by claimed serial. Unreadable serials and those that meet within the
/// offer are findings; proofs name serials without makers, so two makers do not make two devices.
pub(super) fn devices<'a>(offer: &'a Offer, findings: &mut Vec<RuleFinding>) -> OfferedDevices<'a> {
    let mut devices = OfferedDevices::new();
    for device in &offer.spec.devices {
        let serial = match normalise_serial(&device.serial) {
            Ok(serial) => serial,
            Err(error) => {
                findings.push(finding("H01", Some(&device.serial), error.to_string()));
                continue;
            }
        };
        if let Some(twin) = devices.get(&serial_claim(&serial)) {
            let message = format!(
                "{} and {} read the same, allowed is each serial once; withdraw this contribution \
                 and offer each device once",
                twin.device.serial, device.serial
            );
            findings.push(finding("H01", Some(&serial), message));
            continue;
        }
        devices.insert(serial_claim(&serial), Offered { device, serial });
    }
    devices
}

/// Checks what the offer says against the policy, the ledger and other offers.
pub(super) fn check(
    offer: &Offer,
    offered: &OfferedDevices<'_>,
    context: &HardwareContext<'_>,
    result: &mut Assessment,
) {
    named(offer, context, result);
    let window = Window::of(offer, context);
    for (claim, device) in offered {
        claimed_before(offer, claim, device, context, result);
        offered_elsewhere(offer, claim, device, context, result);
        eligible(device, context, result);
        window.check(device, result);
    }
}

/// What the offer names and is not there yet: it waits, because manifests come in any order.
fn named(offer: &Offer, context: &HardwareContext<'_>, result: &mut Assessment) {
    if !context.system_known {
        result.waits.push(format!(
            "its system: InformationSystem {} does not exist yet; apply it in this namespace",
            offer.spec.system
        ));
    }
    let agencies: Vec<&str> = context
        .policy
        .appraisers
        .iter()
        .map(|appraiser| appraiser.agency.as_str())
        .collect();
    if !agencies.contains(&offer.spec.agency.as_str()) {
        result.waits.push(format!(
            "its appraiser: agency {} is not on the list of the cloud policy, which has: {}; ask the office to list it, \
             or withdraw this contribution and offer it anew",
            offer.spec.agency,
            agencies.join(", ")
        ));
    }
}

/// A serial that backs a contribution already. A contribution of the same name but another uid is
/// another contribution.
fn claimed_before(
    offer: &Offer,
    claim: &str,
    offered: &Offered<'_>,
    context: &HardwareContext<'_>,
    result: &mut Assessment,
) {
    let earlier = context.claims.iter().find(|known| {
        known.maker == offered.device.maker.as_str()
            && serial_claim(&known.serial) == claim
            && !(known.contribution == offer.id() && known.uid == offer.uid)
    });
    if let Some(earlier) = earlier {
        let message = format!(
            "this serial already backs {}, since {}, allowed is one contribution, for ever once its \
             credit was used; withdraw this one and offer it without the device",
            earlier.contribution, earlier.at
        );
        result
            .findings
            .push(finding("H01", Some(&offered.serial), message));
    }
}

/// A serial in another live offer: all of them wait, so that being first wins nothing.
fn offered_elsewhere(
    offer: &Offer,
    claim: &str,
    offered: &Offered<'_>,
    context: &HardwareContext<'_>,
    result: &mut Assessment,
) {
    let rivals = context.others.iter().filter(|other| {
        other.uid != offer.uid
            && !other.spec.withdrawn
            && other.spec.devices.iter().any(|device| {
                device.maker == offered.device.maker
                    && claim_of(&device.serial).as_deref() == Some(claim)
            })
    });
    for rival in rivals {
        result.waits.push(format!(
            "SerialContested: {} is also offered by {}; one of both must be withdrawn",
            offered.serial,
            rival.id()
        ));
    }
}

fn eligible(offered: &Offered<'_>, context: &HardwareContext<'_>, result: &mut Assessment) {
    let device = offered.device;
    if !context.policy.hardware.makers.contains(&device.maker) {
        let known: Vec<&str> = context
            .policy
            .hardware
            .makers
            .iter()
            .map(Label::as_str)
            .collect();
        let message = format!(
            "maker {} is not accepted, allowed are: {}; use the short name of the list, or ask \
             the office to add the maker to the cloud policy",
            device.maker,
            known.join(", ")
        );
        result
            .findings
            .push(finding("H25", Some(&offered.serial), message));
    }
    let (class, category) = match device.class {
        DeviceClass::Server => ("Server", Category::Compute),
        DeviceClass::Storage => ("Storage", Category::Storage),
        DeviceClass::Network => ("Network", Category::Network),
    };
    if !context.policy.offset.classes.contains(&category) {
        let message = format!(
            "class {class} earns no credit, because the cloud policy credits no charges of its \
             kind; withdraw this contribution and offer it without the device"
        );
        result
            .findings
            .push(finding("H25", Some(&offered.serial), message));
    }
    if !matches!(Money::parse(&device.original_price), Ok(price) if price > Money::ZERO) {
        let message = format!(
            "an original price of {} yuan, allowed is an amount above zero; withdraw this \
             contribution and offer it with the price of the invoice",
            device.original_price
        );
        result
            .findings
            .push(finding("H03", Some(&offered.serial), message));
    }
}

/// The days on which a device may have been invoiced and accepted, both included.
struct Window {
    first: LocalDate,
    last: LocalDate,
    reference: LocalDate,
    months: u32,
}

impl Window {
    /// Reference day: the policy's fixed date, or else the day on which the API server created the
    /// contribution; never a field of the department.
    fn of(offer: &Offer, context: &HardwareContext<'_>) -> Self {
        let hardware = &context.policy.hardware;
        let fixed = hardware
            .reference_date
            .as_ref()
            .and_then(|day| LocalDate::parse(day).ok());
        let reference = fixed.unwrap_or(offer.created);
        let months = hardware.max_age_months;
        let back = i32::try_from(months).unwrap_or(i32::MAX).saturating_neg();
        Self {
            first: reference.add_months(back),
            last: reference.min(context.today),
            reference,
            months,
        }
    }

    fn check(&self, offered: &Offered<'_>, result: &mut Assessment) {
        let device = offered.device;
        let mut days = Vec::with_capacity(2);
        for (what, text) in [
            ("invoiced", &device.invoice_date),
            ("accepted", &device.accepted_on),
        ] {
            match LocalDate::parse(text) {
                Ok(day) => days.push((what, day)),
                Err(error) => {
                    result
                        .findings
                        .push(finding("H02", Some(&offered.serial), error.to_string()));
                }
            }
        }
        for (what, day) in &days {
            if *day < self.first || self.last < *day {
                let message = format!(
                    "{what} on {day}, allowed is {} through {}, {} months up to {}; withdraw this \
                     contribution and offer it without the device",
                    self.first, self.last, self.months, self.reference
                );
                result
                    .findings
                    .push(finding("H02", Some(&offered.serial), message));
            }
        }
        if let [(_, invoiced), (_, accepted)] = days.as_slice()
            && accepted < invoiced
        {
            let message = format!(
                "accepted on {accepted}, allowed is the day of the invoice, {invoiced}, or later; \
                 correct the dates in a new contribution"
            );
            result
                .findings
                .push(finding("H02", Some(&offered.serial), message));
        }
    }
}
