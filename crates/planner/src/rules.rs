//! Every rule by its id, and the one form of a refusal.
//!
//! Ids never change their meaning and are never reused: refusals, conditions, events and the
//! manual name them. `docs/adr` says why a rule is held where it is.

use std::fmt;

/// Where a rule is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// In the schema of the kind: by the API server, also while the operator is down.
    Crd,
    /// In an admission policy of the chart: by the API server, also while the operator is down.
    Policy,
    /// By rights (RBAC) that nobody else has.
    Rights,
    /// By the operator, because it takes more than one object or the time of day to tell.
    Operator,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id: a letter for the subject and two digits, as T20.
    pub id: &'static str,
    /// What it demands, in plain words.
    pub title: &'static str,
    /// Where it is held.
    pub held_by: Held,
}

const fn crd(id: &'static str, title: &'static str) -> Rule {
    Rule {
        id,
        title,
        held_by: Held::Crd,
    }
}

const fn policy(id: &'static str, title: &'static str) -> Rule {
    Rule {
        id,
        title,
        held_by: Held::Policy,
    }
}

const fn rights(id: &'static str, title: &'static str) -> Rule {
    Rule {
        id,
        title,
        held_by: Held::Rights,
    }
}

const fn operator(id: &'static str, title: &'static str) -> Rule {
    Rule {
        id,
        title,
        held_by: Held::Operator,
    }
}

/// All rules, by id.
pub const RULES: &[Rule] = &[
    crd("A01", "a decided approval cannot change"),
    crd(
        "A02",
        "only decision, orderNo and reason of an approval can be written",
    ),
    crd("A03", "a rejection gives its reason"),
    crd(
        "A04",
        "decidedBy is stamped by the API server when a decision is written",
    ),
    policy("A05", "whoever decides for a role holds that role"),
    policy("A06", "nobody decides on what they asked for themselves"),
    policy("A07", "only the operator writes approvals"),
    crd("B01", "a price book's name has at most 63 characters"),
    crd("B02", "prices end on or after the day on which they begin"),
    crd("B03", "a price book cannot change"),
    crd("B04", "the last day of a price book can only move earlier"),
    crd("B05", "prices include tax"),
    crd(
        "B06",
        "an item is either a resource or a storage class or a meter's",
    ),
    crd("B07", "storage is sold by the GiB (2^30 bytes)"),
    crd(
        "B08",
        "a one-off item is priced per Once, and only such an item",
    ),
    crd(
        "B09",
        "a metered item names the resource or storage class or meter, and no other item names a meter",
    ),
    operator(
        "B10",
        "an item is sold in the unit in which its resource is counted",
    ),
    operator("B11", "no item of a provider has two prices on one day"),
    operator("B12", "prices do not reach back into a closed period"),
    operator("B13", "a price book does not end before today"),
    crd("B14", "only gaps are accepted or estimated"),
    crd(
        "B15",
        "what is billed of gaps is said together with the decision on them",
    ),
    crd(
        "C01",
        "finance's word to close a period cannot be taken back",
    ),
    crd("C02", "a final statement cannot change"),
    policy("C03", "charging objects are written by the operator alone"),
    crd(
        "D01",
        "a department's code is a DNS label of at most 30 characters without two dashes in a row",
    ),
    crd(
        "D02",
        "users and groups of the control plane cannot administer a department",
    ),
    operator(
        "D03",
        "an office namespace is made by the operator; one that exists already is not taken over",
    ),
    operator(
        "D04",
        "a domain is that of one department, the one that was there first",
    ),
    crd("D05", "a department is not below itself"),
    operator("D06", "departments do not go round in a circle"),
    operator("D07", "a department has at most eight departments above it"),
    operator(
        "D08",
        "a department's level is not above that of the department above it",
    ),
    policy("D09", "a department is deleted only after it has ended"),
    operator(
        "E01",
        "what is leased has a price on every day that is billed",
    ),
    operator("E02", "price books are in the currency of the policy"),
    operator("E03", "published price books do not contradict each other"),
    operator("E04", "the ledger does not contradict itself"),
    crd("E05", "what a meter counts cannot change"),
    crd(
        "E06",
        "a meter counts no kind that is metered, kept secret or written all the time",
    ),
    crd(
        "E07",
        "a quantity is one of path, countOf and deviceClass, and only a path has another unit than Count",
    ),
    operator(
        "E08",
        "an item that names a meter is sold in the unit of a meter that is declared",
    ),
    operator("E09", "a meter counts objects that live in namespaces"),
    operator(
        "E10",
        "a meter counts a kind that the cluster itself stores",
    ),
    crd("H00", "a contribution's name has at most 40 characters"),
    operator(
        "H01",
        "a serial number backs one contribution in the whole cloud, for ever once credit of it was used",
    ),
    operator(
        "H02",
        "a device was invoiced and accepted within the greatest age before the reference date",
    ),
    operator(
        "H03",
        "a device is valued at no more than its original price",
    ),
    operator(
        "H04",
        "an appraisal is valid today and not older than the devices",
    ),
    operator(
        "H05",
        "an appraisal is made by the contribution's agency, which is accredited, and signed by two persons",
    ),
    operator(
        "H06",
        "devices arrive after they were offered, and only devices that were offered",
    ),
    operator(
        "H07",
        "an appraisal values the offered devices and no others",
    ),
    operator(
        "H08",
        "a contribution of which credit was used cannot be taken back",
    ),
    crd("H13", "a contribution cannot change after it was offered"),
    operator(
        "H20",
        "a contribution lives in its department's office namespace",
    ),
    crd("H21", "a withdrawn contribution stays withdrawn"),
    crd("H22", "an appraisal cannot change"),
    crd("H23", "a receipt cannot change"),
    operator(
        "H24",
        "a server is proven by a node that is no older than its arrival, carries its serial number and backs no other device",
    ),
    operator(
        "H25",
        "devices are of a class and a maker that the cloud policy accepts",
    ),
    operator(
        "H26",
        "storage and network devices have a test report and a second signature, and every device passed its test",
    ),
    policy(
        "H30",
        "appraisals are written by users of an accredited agency, where a contribution names it",
    ),
    policy(
        "N01",
        "objects that the operator manages are changed by the operator alone",
    ),
    policy(
        "N02",
        "labels, annotations, owners and finalizers of managed namespaces are changed by the operator alone",
    ),
    policy(
        "N03",
        "managed namespaces are deleted by the operator alone, after an approved release",
    ),
    policy(
        "N04",
        "a claim uses a storage class that its tenancy leases and picks no volume",
    ),
    policy(
        "N05",
        "a pod uses what its tenancy leases, and the classes and volumes that are for tenants",
    ),
    policy("N06", "stamps of the API server are not written by people"),
    policy(
        "N07",
        "services claim no address, inside of the cluster or outside, and open no port of a node",
    ),
    policy("N08", "pods run on the nodes of their zone"),
    policy(
        "N09",
        "ingresses are of a class of the zone and publish under domains of the department",
    ),
    policy(
        "N10",
        "nobody holds a tenancy's namespace, or a request that was deleted, by a finalizer",
    ),
    policy(
        "N11",
        "an existing namespace is offered to a tenancy by whoever may adopt for its department",
    ),
    policy("N12", "appraisals and receipts are kept"),
    policy(
        "N13",
        "a snapshot is made of a claim beside it and of a class that the platform offers, and those that the operator makes are the operator's",
    ),
    crd(
        "N14",
        "a decision names the question that it answers, where another was asked under the name before",
    ),
    policy(
        "N15",
        "what stays of a tenancy's volumes is its department's until its last day",
    ),
    crd("P01", "there is one CloudPolicy and its name is default"),
    crd("P02", "the time zone cannot change"),
    crd("P03", "the billing period cannot change"),
    crd(
        "P04",
        "rehearsalSeconds belongs to kind Rehearsal, and only to it",
    ),
    crd(
        "P05",
        "users and groups of the control plane cannot act for an agency",
    ),
    crd(
        "P10",
        "tenancies live on the operator's own cluster, the cloudlet self",
    ),
    crd("P11", "the provider of a cloudlet cannot change"),
    crd("P20", "a zone cannot move to another network"),
    rights(
        "R01",
        "departments write in their office namespace, and nothing of charging or the platform",
    ),
    rights(
        "R02",
        "the data centre writes cloudlets, zones and receipts, and nothing else",
    ),
    rights("R03", "finance writes price books and closes periods"),
    rights("R04", "auditors read everything and write nothing"),
    crd("S01", "a system's name has at most 40 characters"),
    crd("S02", "cost shares add up to 100"),
    crd("T01", "a tenancy's name has at most 40 characters"),
    operator(
        "T02",
        "a tenancy lives in its department's office namespace",
    ),
    crd(
        "T03",
        "nothing changes in a tenancy that is being released, and a release that has begun is taken back only after it was rejected",
    ),
    crd("T04", "a namespace shares only items that the lease holds"),
    crd(
        "T05",
        "the term ends on or after the day on which it begins",
    ),
    crd("T06", "effectiveFrom lies in the term"),
    crd("T07", "a tenancy keeps its system"),
    crd("T08", "a tenancy keeps its zone"),
    crd("T09", "a tenancy keeps its cloudlet"),
    crd("T10", "a member is either a user or a group"),
    crd(
        "T11",
        "users and groups of the control plane cannot be members",
    ),
    policy(
        "T12",
        "a tenancy that holds anything is released, not deleted",
    ),
    policy("T13", "warning: this change opens a new request"),
    operator(
        "T20",
        "what is shared out adds up to no more than the lease",
    ),
    operator("T21", "a lease holds items of the provider's price book"),
    operator(
        "T22",
        "a quantity is above zero and a whole number of what its item is counted in",
    ),
    operator("T23", "a term is made of days that exist and is not over"),
    operator("T24", "the cloudlet offers the zone"),
    operator(
        "T25",
        "the system's protection level is not above the zone's",
    ),
    operator("T26", "the zone offers the storage class of the item"),
    operator(
        "T27",
        "each resource of a tenancy has one basis: reserved or metered",
    ),
    operator(
        "T28",
        "the quotation for the term is not above the budget's ceiling",
    ),
    operator("T29", "every item has a price on the first day"),
    operator(
        "T30",
        "volumes belong to a storage item and fit into the namespace's share of it",
    ),
    operator("T31", "a share does not shrink below what is used"),
    operator(
        "T32",
        "a tenancy's namespace is made by the operator; one that exists already is taken over only where the platform asks for it",
    ),
    operator(
        "T33",
        "a tenancy has at most 32 namespaces in its life, those counted that it no longer names",
    ),
    operator(
        "T34",
        "a term is no longer than ten years, of one that has begun what is still to come",
    ),
    operator(
        "T40",
        "a tenancy of an essential system of its department is not suspended",
    ),
    operator(
        "T41",
        "a suspension lives in the office namespace of the department whose tenancy it names",
    ),
    operator("T42", "a suspension that has ended does not come back"),
    operator(
        "T43",
        "a volume is kept as a snapshot only where its storage class has snapshots",
    ),
    crd("T45", "what is not accepted is given back with a reason"),
    crd("T46", "an acceptance cannot be taken back"),
    operator("T47", "what is accepted is the request that is in place"),
    operator(
        "T48",
        "a release says where the data were exported to, where the policy requires it",
    ),
    operator("T49", "what is signed off is the release that is asked for"),
    operator(
        "T50",
        "a department and those below it lease for no more a month than a limit above allows",
    ),
    operator(
        "T51",
        "a department and those below it lease no more of an item than a limit above allows",
    ),
    operator(
        "T52",
        "a department that ends leases nothing new and nothing more",
    ),
    operator(
        "T53",
        "what namespaces keep at least adds up to no more than the lease",
    ),
    crd("T54", "floors name only items that the lease holds"),
    crd(
        "T55",
        "a backup that was taken says where, one that was not says why",
    ),
    operator(
        "T56",
        "a namespace is adopted only when nothing in it goes past a lease",
    ),
    policy("T57", "nobody gives both decisions on one request"),
    crd("T58", "a sign-off is written with a release or after it"),
    operator("T60", "a volume does not shrink"),
    operator(
        "T61",
        "a volume grows once it is bound, where its storage class lets volumes grow",
    ),
    crd("U01", "a suspension gives its reason"),
    crd(
        "U02",
        "tenancy, reason and authority of a suspension cannot change",
    ),
    crd(
        "U03",
        "the last day of a suspension is a day of the calendar",
    ),
];

/// The rule with this id, if there is one.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// Why something is refused: the rule, what was asked, what is allowed, what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Id of the rule, one of [`RULES`].
    pub rule: &'static str,
    /// What was asked, as `3Ti of block-ssd`.
    pub asked: String,
    /// What is allowed, as `2Ti`.
    pub allowed: String,
    /// What to do, as `lease more or share less`.
    pub remedy: String,
}

impl Refusal {
    /// A refusal by the rule with this id.
    pub fn new(
        rule: &'static str,
        asked: impl Into<String>,
        allowed: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            asked: asked.into(),
            allowed: allowed.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            asked,
            allowed,
            remedy,
        } = self;
        write!(f, "rule {rule}: asked {asked}, allowed {allowed}; {remedy}")
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Ids of the form X00 in quotes or after the word "rule", in all sources below a folder.
    fn ids_in(folder: &Path, before: &str, after: &str) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ids.extend(ids_in(&path, before, after));
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for (at, _) in text.match_indices(before) {
                    let rest = &text[at + before.len()..];
                    let Some(id) = rest.get(..3) else { continue };
                    let bytes = id.as_bytes();
                    let shaped = bytes[0].is_ascii_uppercase()
                        && bytes[1].is_ascii_digit()
                        && bytes[2].is_ascii_digit();
                    if shaped && rest[3..].starts_with(after) {
                        ids.insert(id.to_owned());
                    }
                }
            }
        }
        ids
    }

    #[test]
    fn every_rule_that_a_kind_cites_is_in_the_table_as_held_by_its_schema() {
        let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src");
        let cited = ids_in(&api, "rule ", ":");
        assert!(cited.len() > 40, "{cited:?}");
        for id in cited {
            let held = rule(&id)
                .unwrap_or_else(|| panic!("{id} is not in the table"))
                .held_by;
            // three rules have a part that one object shows and a part that takes several
            assert!(
                held == Held::Crd || ["H02", "H04", "H05"].contains(&id.as_str()),
                "{id}"
            );
        }
    }

    #[test]
    fn every_rule_that_this_crate_refuses_by_is_in_the_table() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for id in ids_in(&own, "\"", "\"") {
            assert!(rule(&id).is_some(), "{id} is not in the table");
        }
    }

    #[test]
    fn ids_are_sorted_and_unique() {
        for pair in RULES.windows(2) {
            assert!(
                pair[0].id < pair[1].id,
                "{} before {}",
                pair[0].id,
                pair[1].id
            );
        }
    }

    #[test]
    fn a_refusal_names_its_rule_what_was_asked_what_is_allowed_and_what_to_do() {
        let refusal = Refusal::new("T20", "3Ti of block-ssd", "2Ti", "lease more or share less");
        assert_eq!(
            refusal.to_string(),
            "rule T20: asked 3Ti of block-ssd, allowed 2Ti; lease more or share less"
        );
    }
}
