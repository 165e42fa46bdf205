//! What an assessment starts from: the offer, what else is offered, claims, proofs and nodes.

use std::collections::BTreeSet;

use k8s_openapi::{api::core::v1::Node, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::ResourceExt;
use leasehold_api::{
    charging::{Appraisal, HandoverReceipt},
    names,
    platform::CloudPolicySpec,
    tenancy::{ContributionPhase, HardwareContribution},
};
use leasehold_ledger::{
    canonical::{CanonicalError, digest_of},
    claims::Claims,
    document::{SerialDoc, normalise_serial, serial_claim},
    policy::Policy,
    time::{Second, Zone},
};
use leasehold_planner::hardware::{self, Assessment, HardwareContext, NodeFacts, Offer, Proof};
use serde::Serialize;

use crate::{Context, Error, price_book::finance::requested_by};

/// What stands for the department of somebody else's contribution: who offers what is not told to others.
const SOMEBODY: &str = "another department";
/// What stands for the name of such a contribution.
const SOMETHING: &str = "a contribution";

/// The offer, as the rules look at it; `None` outside an office namespace.
pub fn offer(object: &HardwareContribution, zone: &Zone) -> Option<Offer> {
    let namespace = object.namespace().unwrap_or_default();
    let department = names::department_of_office(&namespace)?.to_owned();
    Some(Offer {
        department,
        name: object.name_any(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        spec: object.spec.clone(),
        created: zone.date_of(created(&object.metadata)),
        requested_by: requested_by(object),
    })
}

/// Assesses the offer against everything that is known now, `claims` of devices among it.
pub fn assess(
    offer: &Offer,
    spec: &CloudPolicySpec,
    policy: &Policy,
    claims: &Claims,
    context: &Context,
) -> Result<Assessment, Error> {
    let zone = &policy.time_zone;
    let world = &context.world;
    let namespace = names::office_namespace(&offer.department);
    let here = |found: Option<&String>| found.is_some_and(|found| *found == namespace);

    let Claimed { own, foreign } = claimed(offer, claims);
    let others: Vec<Offer> = world
        .contributions
        .select(is_live)
        .iter()
        .filter_map(|other| self::offer(other, zone))
        .filter(|other| other.uid != offer.uid)
        .map(|other| without(discreet_offer(other, &offer.department), &own))
        .collect();
    let appraisals: Vec<Appraisal> = world
        .appraisals
        .select(|found| here(found.metadata.namespace.as_ref()));
    let receipts: Vec<HandoverReceipt> = world
        .receipts
        .select(|found| here(found.metadata.namespace.as_ref()));
    let appraisals: Vec<_> = appraisals
        .iter()
        .map(|found| proof(found, &found.metadata, &found.spec))
        .collect::<Result<_, _>>()?;
    let receipts: Vec<_> = receipts
        .iter()
        .map(|found| proof(found, &found.metadata, &found.spec))
        .collect::<Result<_, _>>()?;
    let nodes: Vec<NodeFacts> = world
        .nodes
        .select(|_| true)
        .iter()
        .map(|node| node_facts(node, zone))
        .collect();
    hardware::assess(
        offer,
        &HardwareContext {
            others: &others,
            claims: &foreign,
            appraisals: &appraisals,
            receipts: &receipts,
            system_known: world
                .systems
                .get(Some(&namespace), &offer.spec.system)
                .is_some(),
            nodes: &nodes,
            policy: spec,
            today: zone.date_of(context.now()),
        },
    )
    .map_err(|error| Error::understand(format!("contribution {}", offer.id()), error))
}

/// Whether the offer still competes for its serials. A credited one holds claims instead.
fn is_live(object: &HardwareContribution) -> bool {
    let phase = object
        .status
        .as_ref()
        .map_or(ContributionPhase::Offered, |status| status.phase);
    !object.spec.withdrawn
        && matches!(
            phase,
            ContributionPhase::Offered | ContributionPhase::WaitingForFinance
        )
}

/// Devices whose claims stand.
struct Claimed {
    /// By this very offer: maker and claimed form.
    own: BTreeSet<(String, String)>,
    /// For other contributions.
    foreign: Vec<SerialDoc>,
}

/// A claim for a contribution of this name that never became a credit does not hinder: the department may delete a
/// rejected offer and make it again under the same name.
fn claimed(offer: &Offer, claims: &Claims) -> Claimed {
    let id = offer.id();
    let mut claimed = Claimed {
        own: BTreeSet::new(),
        foreign: Vec::new(),
    };
    for claim in claims.standing() {
        if claim.contribution == id {
            claimed
                .own
                .insert((claim.maker.clone(), serial_claim(&claim.serial)));
        } else {
            claimed
                .foreign
                .push(discreet_claim(claim.clone(), &offer.department));
        }
    }
    claimed
}

/// The offer without the devices that are claimed already: who comes after a claim does not contest it.
fn without(mut other: Offer, claimed: &BTreeSet<(String, String)>) -> Offer {
    other.spec.devices.retain(|device| {
        let serial = normalise_serial(&device.serial).map(|normal| serial_claim(&normal));
        serial
            .ok()
            .is_none_or(|serial| !claimed.contains(&(device.maker.to_string(), serial)))
    });
    other
}

/// The claim without its owner, if that is another department.
fn discreet_claim(claim: SerialDoc, department: &str) -> SerialDoc {
    let ours = claim
        .contribution
        .split_once('/')
        .is_some_and(|(owner, _)| owner == department);
    if ours {
        return claim;
    }
    SerialDoc {
        contribution: format!("{SOMETHING} of {SOMEBODY}"),
        uid: String::new(),
        ..claim
    }
}

/// The offer without its owner, if that is another department.
fn discreet_offer(other: Offer, department: &str) -> Offer {
    if other.department == department {
        return other;
    }
    Offer {
        department: SOMEBODY.to_owned(),
        name: SOMETHING.to_owned(),
        ..other
    }
}

fn proof<S: Serialize + Clone>(
    object: &impl ResourceExt,
    metadata: &ObjectMeta,
    spec: &S,
) -> Result<Proof<S>, CanonicalError> {
    Ok(Proof {
        name: object.name_any(),
        uid: metadata.uid.clone().unwrap_or_default(),
        digest: digest_of(spec)?,
        creator: requested_by(object),
        created: created(metadata),
        spec: spec.clone(),
    })
}

fn node_facts(node: &Node, zone: &Zone) -> NodeFacts {
    let info = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.as_ref());
    NodeFacts {
        name: node.name_any(),
        created: zone.date_of(created(&node.metadata)),
        serial_label: node.labels().get(names::SERIAL_LABEL).cloned(),
        system_uuid: info
            .map(|info| info.system_uuid.clone())
            .filter(|uuid| !uuid.is_empty()),
    }
}

/// When the API server created the object. Every object that was read from it says so.
fn created(metadata: &ObjectMeta) -> Second {
    metadata
        .creation_timestamp
        .as_ref()
        .map_or(Second::new(0), |time| Second::from_timestamp(time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contribution(withdrawn: bool, phase: Option<&str>) -> HardwareContribution {
        let mut value = json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1",
            "kind": "HardwareContribution",
            "metadata": {
                "name": "servers-2024", "namespace": "dept-gov-office", "uid": "u-1",
                // 00:30 of 21 August in Shanghai
                "creationTimestamp": "2026-08-20T16:30:00Z",
                "annotations": {"leasehold.dev/requested-by": "zhang@gov-office"},
            },
            "spec": {"system": "oa", "agency": "zhongheng", "devices": [], "withdrawn": withdrawn},
        });
        if let Some(phase) = phase {
            value["status"] = json!({"phase": phase});
        }
        serde_json::from_value(value).unwrap()
    }

    fn zone() -> Zone {
        Zone::parse("Asia/Shanghai").unwrap()
    }

    #[test]
    fn an_offer_is_made_on_the_local_day_of_its_creation_by_whom_the_server_saw() {
        let offer = offer(&contribution(false, None), &zone()).unwrap();
        assert_eq!(offer.id(), "gov-office/servers-2024");
        assert_eq!(offer.created.to_string(), "2026-08-21");
        assert_eq!(offer.requested_by, "zhang@gov-office");
    }

    #[test]
    fn offers_that_ended_do_not_compete() {
        assert!(is_live(&contribution(false, None)));
        assert!(is_live(&contribution(false, Some("WaitingForFinance"))));
        assert!(!is_live(&contribution(true, None)));
        for ended in ["Refused", "Credited", "Rejected", "Withdrawn"] {
            assert!(!is_live(&contribution(false, Some(ended))), "{ended}");
        }
    }

    #[test]
    fn other_departments_are_not_named_and_the_own_one_is() {
        let claim = SerialDoc {
            maker: "huawei".to_owned(),
            serial: "2102311XYZ001".to_owned(),
            number: 1,
            contribution: "finance/servers".to_owned(),
            uid: "u-7".to_owned(),
            system_uuid: None,
            at: Second::new(0),
        };
        assert_eq!(discreet_claim(claim.clone(), "finance"), claim);
        let hidden = discreet_claim(claim, "gov-office");
        assert!(!hidden.contribution.contains("finance"), "{hidden:?}");
        assert_eq!(hidden.serial, "2102311XYZ001");
        let other = offer(&contribution(false, None), &zone()).unwrap();
        assert_eq!(discreet_offer(other.clone(), "gov-office"), other);
        assert!(!discreet_offer(other, "finance").id().contains("gov-office"));
    }

    #[test]
    fn claims_of_others_hinder_as_long_as_they_stand_and_the_own_ones_do_not() {
        let offer = offer(&contribution(false, None), &zone()).unwrap();
        let of = |serial: &str, contribution: &str| SerialDoc {
            maker: "huawei".to_owned(),
            serial: serial.to_owned(),
            number: 1,
            contribution: contribution.to_owned(),
            uid: "u-7".to_owned(),
            system_uuid: None,
            at: Second::new(0),
        };
        let mut claims = Claims::default();
        claims.claim(of("SN01", "gov-office/servers-2024")).unwrap();
        claims.claim(of("SN02", "finance/servers")).unwrap();
        let found = claimed(&offer, &claims);
        let own = ("huawei".to_owned(), "SN01".to_owned());
        assert_eq!(found.own, BTreeSet::from([own]));
        let foreign: Vec<&str> = found.foreign.iter().map(|c| c.serial.as_str()).collect();
        assert_eq!(foreign, ["SN02"]);
        for end in claims.ends("finance/servers", None, "sun@finance", Second::new(9)) {
            claims.end(&end).unwrap();
        }
        assert!(claimed(&offer, &claims).foreign.is_empty());
    }

    #[test]
    fn who_comes_after_a_claim_does_not_contest_it() {
        let mut late = offer(&contribution(false, None), &zone()).unwrap();
        late.spec.devices = serde_json::from_value(json!([{
            "serial": "sn-O1", "maker": "huawei", "model": "RH2288", "class": "Server",
            "assetCard": "ZC-1", "invoice": "1", "invoiceDate": "2024-02-20",
            "acceptedOn": "2024-03-05", "originalPrice": "52000.00",
        }]))
        .unwrap();
        let claimed = BTreeSet::from([("huawei".to_owned(), "SN01".to_owned())]);
        assert!(without(late.clone(), &claimed).spec.devices.is_empty());
        let foreign = BTreeSet::from([("inspur".to_owned(), "SN01".to_owned())]);
        assert_eq!(without(late, &foreign).spec.devices.len(), 1);
    }

    #[test]
    fn a_node_tells_its_label_and_its_firmware() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {
                "name": "dc1-r07-n03", "creationTimestamp": "2026-08-22T01:00:00Z",
                "labels": {"leasehold.node-restriction.kubernetes.io/serial": "2102311XYZ001"},
            },
            "status": {"nodeInfo": {
                "architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "c",
                "kernelVersion": "k", "kubeProxyVersion": "", "kubeletVersion": "v",
                "machineID": "m", "operatingSystem": "linux", "osImage": "o",
                "systemUUID": "4c4c4544-0042",
            }},
        }))
        .unwrap();
        let facts = node_facts(&node, &zone());
        assert_eq!(facts.serial_label.as_deref(), Some("2102311XYZ001"));
        assert_eq!(facts.system_uuid.as_deref(), Some("4c4c4544-0042"));
        assert_eq!(facts.created.to_string(), "2026-08-22");
        assert_eq!(node_facts(&Node::default(), &zone()).system_uuid, None);
    }
}
