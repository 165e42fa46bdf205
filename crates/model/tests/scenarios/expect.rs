//! What a deed leads to in the end, whatever goes wrong on the way. Whoever acts next waits for it.

use leasehold_model::{Key, Store};
use leasehold_testkit::manifests;
use serde_json::Value;

use crate::{
    script::{Lessee, Managed, Wish},
    state::normal,
    world::{self, BOOK, FILES, NAMESPACE},
};

/// Tenancies, as the API server calls them.
pub const TENANCIES: &str = "tenancies.tenancy.leasehold.dev";
/// Orders to stop what runs.
pub const SUSPENSIONS: &str = "suspensions.platform.leasehold.dev";
/// Approvals.
pub const APPROVALS: &str = "approvals.charging.leasehold.dev";

/// Keys of a quota, and which of the lease's items each bounds.
pub const BOUNDED: [(&str, usize); 6] = [
    ("requests.cpu", 0),
    ("limits.cpu", 0),
    ("requests.memory", 1),
    ("limits.memory", 1),
    ("requests.storage", 2),
    ("ssd.storageclass.storage.k8s.io/requests.storage", 2),
];
/// Those that bound what runs.
const COMPUTE: usize = 4;

/// What a deed on a tenancy leads to.
#[derive(Clone, Debug)]
pub enum Expected {
    /// The office is asked.
    Asked,
    /// The lease stands, split as wished.
    Stands(Wish),
    /// The tenancy says that the office said no.
    Refused,
    /// The lease is in place as wished, and waits for a word of its department.
    Delivered(Wish),
    /// The department gave the lease back: nothing runs.
    GivenBack,
    /// The office stopped it: nothing runs, and everything else is as wished.
    Suspended(Wish),
    /// Nothing can grow any more, and the office is asked whether it may end.
    Leaves,
    /// Nothing is left of it.
    Gone,
    /// An object that was meddled with is as it was.
    Repaired([String; 3], Box<Value>),
}

/// An object by its resource, namespace and name.
pub fn find<'store>(
    store: &'store Store,
    [resource, place, name]: [&str; 3],
) -> Option<&'store Value> {
    store.get(&Key {
        resource: resource.to_owned(),
        namespace: place.to_owned(),
        name: name.to_owned(),
    })
}

/// The namespace of a tenancy with this number.
pub fn namespace(lessee: &Lessee, number: usize) -> String {
    leasehold_api::names::tenancy_namespace(lessee.code, &lessee.shorts[number])
}

/// Where a managed object of a namespace is.
pub fn managed(what: Managed, namespace: &str) -> [String; 3] {
    let (resource, name) = match what {
        Managed::Quota => ("resourcequotas", "leasehold"),
        Managed::Limits => ("limitranges", "leasehold"),
        Managed::Policy => ("networkpolicies.networking.k8s.io", "leasehold"),
        Managed::Rights => ("rolebindings.rbac.authorization.k8s.io", "leasehold-admins"),
    };
    [resource, namespace, name].map(str::to_owned)
}

/// The approval of this name, if nobody has decided on it.
pub fn undecided<'store>(
    store: &'store Store,
    place: &str,
    name: &str,
) -> Result<&'store Value, String> {
    let found = find(store, [APPROVALS, place, name]);
    let Some(found) = found else {
        return Err(format!("there is no approval {place}/{name}"));
    };
    if found["spec"]["decision"].is_null() {
        Ok(found)
    } else {
        Err(format!("approval {place}/{name} is decided"))
    }
}

/// Whether the price book counts and every department has its office.
pub fn is_furnished(store: &Store, codes: &[&str]) -> Result<(), String> {
    let book = ["pricebooks.charging.leasehold.dev", "", BOOK];
    let phase = find(store, book).map(|book| &book["status"]["phase"]);
    if phase.and_then(Value::as_str) != Some("Published") {
        return Err(format!("the price book is {phase:?}"));
    }
    for code in codes {
        let place = ["departments.tenancy.leasehold.dev", "", *code];
        let found = find(store, place).map(|found| &found["status"]["officeNamespace"]);
        if found.is_none_or(Value::is_null) {
            return Err(format!("department {code} has no office yet"));
        }
    }
    Ok(())
}

/// The question to finance whether the price book is published.
pub fn is_book_asked_for(store: &Store) -> Result<(), String> {
    undecided(store, NAMESPACE, &format!("pb-{BOOK}-finance")).map(|_| ())
}

impl Expected {
    /// Whether it has come about; if not, what is missing.
    pub fn is_met(&self, store: &Store, lessee: &Lessee) -> Result<(), String> {
        if let Self::Repaired(place, before) = self {
            return is_repaired(store, place, before);
        }
        let place = manifests::office(lessee.code);
        let found = find(store, [TENANCIES, &place, &lessee.name]);
        let tenancy = found.ok_or("the tenancy is not there")?;
        let status = &tenancy["status"];
        if status["observedGeneration"] != tenancy["metadata"]["generation"] {
            return Err(format!("not looked at yet: {status}"));
        }
        let decision = status["request"]["decision"].as_str().unwrap_or_default();
        let phase = status["phase"].as_str().unwrap_or_default();
        let approval = status["request"]["approval"].as_str().unwrap_or_default();
        let holds = match self {
            Self::Asked => {
                undecided(store, &place, approval)?;
                decision == "Undecided"
            }
            Self::Stands(wish) => {
                stands(store, lessee, wish)?;
                lets_run(store, lessee)?;
                phase == "Active" && status["approved"] == sorted(&world::lease(&wish.lease()))
            }
            Self::Refused => decision == "Rejected",
            Self::Delivered(wish) => {
                stands(store, lessee, wish)?;
                // it is delivered when its quotas stand; people and volumes come a moment later
                lets_in(store, lessee)?;
                let claim = ["persistentvolumeclaims", &namespace(lessee, 0), FILES];
                if lessee.keeps && find(store, claim).is_none() {
                    return Err(format!("there is no claim {claim:?} yet"));
                }
                phase == "Provisioned" && status["acceptance"]["state"] == "Open"
            }
            Self::GivenBack => {
                nothing_runs(store, lessee)?;
                phase == "Provisioned" && status["acceptance"]["state"] == "Rejected"
            }
            Self::Suspended(wish) => {
                stands(store, lessee, wish)?;
                nothing_runs(store, lessee)?;
                phase == "Suspended"
            }
            Self::Leaves => {
                release_question(store, lessee)?;
                cannot_grow(store, lessee)?;
                phase == "Reclaiming"
            }
            Self::Gone => phase == "Released" && nothing_is_left(store, lessee),
            Self::Repaired(..) => true,
        };
        if holds {
            Ok(())
        } else {
            Err(format!("the tenancy says {status}"))
        }
    }
}

/// Name of the open question whether a tenancy may end: each life of a name has its own.
pub fn release_question(store: &Store, lessee: &Lessee) -> Result<String, String> {
    let place = manifests::office(lessee.code);
    let open = store.objects().find(|(key, object)| {
        let spec = &object["spec"];
        key.resource == APPROVALS
            && key.namespace == place
            && spec["subject"]["kind"] == "Release"
            && spec["subject"]["name"] == *lessee.name
            && spec["decision"].is_null()
    });
    open.map(|(key, _)| key.name.clone())
        .ok_or_else(|| format!("nobody is asked whether {} may end", lessee.name))
}

/// Whether the quotas let nothing run, and nothing runs.
fn nothing_runs(store: &Store, lessee: &Lessee) -> Result<(), String> {
    for number in 0..lessee.shorts.len() {
        let namespace = namespace(lessee, number);
        let quota = quota(store, &namespace)?;
        for part in ["spec", "status"] {
            if quota[part]["hard"]["pods"] != "0" {
                return Err(format!("{part}.hard of {namespace} still has pods"));
            }
        }
        let mut objects = store.objects();
        if objects.any(|(key, _)| key.resource == "pods" && key.namespace == namespace) {
            return Err(format!("a pod runs in {namespace}"));
        }
    }
    Ok(())
}

/// Items of an approved lease stand by name.
fn sorted(lease: &Value) -> Value {
    let mut items = lease.as_array().cloned().unwrap_or_default();
    items.sort_by_key(|item| item["item"].as_str().map(str::to_owned));
    Value::Array(items)
}

fn stands(store: &Store, lessee: &Lessee, wish: &Wish) -> Result<(), String> {
    for (number, share) in wish.shares.iter().enumerate() {
        let namespace = namespace(lessee, number);
        let quota = quota(store, &namespace)?;
        for (key, item) in BOUNDED {
            let wanted = share[item] * world::unit(item);
            for part in ["spec", "status"] {
                let found = world::amount(&quota[part]["hard"][key], item);
                if found != wanted {
                    return Err(format!("{part}.hard of {namespace} has {found} of {key}"));
                }
            }
        }
    }
    Ok(())
}

/// Whether pods are let in again where they were kept out.
fn lets_run(store: &Store, lessee: &Lessee) -> Result<(), String> {
    for number in 0..lessee.shorts.len() {
        let namespace = namespace(lessee, number);
        if quota(store, &namespace)?["status"]["hard"]["pods"] == "0" {
            return Err(format!("no pod is let into {namespace}"));
        }
    }
    Ok(())
}

/// Whether its people may come in.
fn lets_in(store: &Store, lessee: &Lessee) -> Result<(), String> {
    for number in 0..lessee.shorts.len() {
        let namespace = namespace(lessee, number);
        let [resource, _, name] = managed(Managed::Rights, &namespace);
        if find(store, [&resource, &namespace, &name]).is_none() {
            return Err(format!("nobody is let into {namespace} yet"));
        }
    }
    Ok(())
}

fn cannot_grow(store: &Store, lessee: &Lessee) -> Result<(), String> {
    for number in 0..lessee.shorts.len() {
        let namespace = namespace(lessee, number);
        let quota = quota(store, &namespace)?;
        for (key, item) in &BOUNDED[..COMPUTE] {
            for part in ["spec", "status"] {
                if world::amount(&quota[part]["hard"][*key], *item) != 0 {
                    return Err(format!("{part}.hard of {namespace} still has {key}"));
                }
            }
        }
    }
    Ok(())
}

fn quota<'store>(store: &'store Store, namespace: &str) -> Result<&'store Value, String> {
    let [resource, _, name] = managed(Managed::Quota, namespace);
    let found = find(store, [&resource, namespace, &name]);
    found.ok_or_else(|| format!("{namespace} has no quota"))
}

fn nothing_is_left(store: &Store, lessee: &Lessee) -> bool {
    (0..lessee.shorts.len()).all(|number| {
        let namespace = namespace(lessee, number);
        find(store, ["namespaces", "", &namespace]).is_none()
    })
}

/// What is repaired of an object: everything but what the cluster counts in it.
pub fn repairable(object: &Value) -> Value {
    let mut object = normal(object);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

fn is_repaired(store: &Store, place: &[String; 3], before: &Value) -> Result<(), String> {
    let [resource, namespace, name] = place;
    let stands = find(store, [resource, namespace, name]);
    let found = stands.map(repairable);
    if found.as_ref() != Some(before) {
        return Err(format!("{resource} {namespace}/{name} is {found:?}"));
    }
    // what a quota lets in is what was counted of it
    let counted = stands.map(|stands| &stands["status"]["hard"]);
    if *resource == "resourcequotas" && counted != stands.map(|stands| &stands["spec"]["hard"]) {
        return Err(format!("the quota of {namespace} still counts {counted:?}"));
    }
    Ok(())
}
