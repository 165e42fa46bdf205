//! What everybody holds, by the table of rights that the tests of the policies keep.

use std::collections::BTreeMap;

use leasehold_e2e::tables::parse;
use serde::Deserialize;

use crate::table::{Held, Identity};

/// What every user may ask about themselves.
const ABOUT_ONESELF: [&str; 3] = [
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
];
/// Whose row of the whole cluster is what everybody reads: prices, zones, sites.
const ANYBODY: &str = "staff";

/// The table. What else stands in it is for the tests of the policies.
#[derive(Deserialize)]
pub struct Rights {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "as")]
    who: String,
    #[serde(default, rename = "in")]
    namespace: Option<String>,
    can: BTreeMap<String, String>,
}

impl Row {
    fn allows(&self, verb: &str, resource: &str) -> bool {
        let words = self.can.get(resource).map_or("", String::as_str);
        words.split_whitespace().any(|word| match word {
            "read" => matches!(verb, "get" | "list" | "watch"),
            "write" => matches!(verb, "create" | "update" | "patch"),
            one => one == verb,
        })
    }
}

impl Rights {
    /// Reads it.
    pub fn read() -> Result<Self, String> {
        parse(include_str!("../policies/rights.yaml"))
    }

    /// Whether somebody may do this to a resource, as `pods/log` or
    /// `tenancies.tenancy.leasehold.dev/status`, in a place.
    pub fn allow(&self, identity: &Identity, verb: &str, resource: &str, place: &str) -> bool {
        if identity.mighty {
            return true;
        }
        if identity.is_anonymous() {
            return false;
        }
        let oneself = verb == "create" && ABOUT_ONESELF.contains(&resource);
        let here = identity.within.get(place);
        oneself
            || self.row_allows(ANYBODY, None, verb, resource)
            || here.is_some_and(|held| self.held_allows(held, verb, resource))
            || identity.everywhere.as_ref().is_some_and(|held| {
                // a role of the whole cluster holds in each of its namespaces, and the other way round
                let [who, _] = held;
                self.held_allows(held, verb, resource) || self.row_allows(who, None, verb, resource)
            })
    }

    fn held_allows(&self, [who, namespace]: &Held, verb: &str, resource: &str) -> bool {
        self.row_allows(who, Some(namespace), verb, resource)
    }

    fn row_allows(&self, who: &str, namespace: Option<&str>, verb: &str, resource: &str) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| {
            row.who == who && row.namespace.as_deref() == namespace && row.allows(verb, resource)
        })
    }

    /// Whether the table has a row of this person for this namespace, so that a name that is
    /// misspelt does not pass for somebody without rights.
    fn knows(&self, [who, namespace]: &Held) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| row.who == *who && row.namespace.as_ref() == Some(namespace))
    }
}

#[test]
fn everybody_is_found_in_the_table_of_rights() {
    let (rights, tables) = (
        Rights::read().unwrap(),
        crate::cells::Tables::read().unwrap(),
    );
    for (name, identity) in &tables.ground.people {
        let held = identity.everywhere.iter().chain(identity.within.values());
        for held in held {
            assert!(rights.knows(held), "{name} holds {held:?}");
        }
        let known = |place: &String| tables.ground.places.contains_key(place);
        assert!(identity.within.keys().all(known), "{name} holds elsewhere");
    }
}

#[test]
fn rights_of_the_whole_cluster_hold_everywhere_and_others_in_their_place() {
    let rights = Rights::read().unwrap();
    let tables = crate::cells::Tables::read().unwrap();
    let may = |who: &str, verb: &str, resource: &str, place: &str| {
        rights.allow(&tables.ground.people[who], verb, resource, place)
    };
    let (tenancies, books) = (
        "tenancies.tenancy.leasehold.dev",
        "pricebooks.charging.leasehold.dev",
    );
    assert!(may("staff", "patch", tenancies, "own-office"));
    assert!(!may("staff", "patch", tenancies, "other-office"));
    assert!(!may("staff", "deletecollection", tenancies, "own-office"));
    assert!(may("finance", "list", tenancies, "all"));
    assert!(may("finance", "create", books, "cluster"));
    assert!(may("robot", "get", books, "cluster"));
    assert!(!may("anonymous", "get", books, "cluster"));
    assert!(may("namesake", "delete", books, "cluster"));
}
