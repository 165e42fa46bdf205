//! Whether quotas keep a lease, in every state that ever was in the store: the versions of quotas, tenancies and decisions
//! are gone through in the order in which they were stored.
//!
//! What may be held at a revision is read from the same history. A larger lease counts from the revision in which somebody
//! approved it, a smaller one from the first revision in which the tenancy is active with it: from then on nobody may hold
//! more. After the release nothing may be held.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use leasehold_ledger::money::{Unit, parse_quantity};
use serde_json::Value;

use crate::history::{self, Version};

/// Key of what a storage class may hold, as quotas write it, after the class.
const CLASS: &str = ".storageclass.storage.k8s.io/requests.storage";
/// What the items of the examples' price book give, by quota key.
const ITEMS: [(&str, [&str; 2]); 3] = [
    ("vcpu-x86", ["requests.cpu", "limits.cpu"]),
    ("memory", ["requests.memory", "limits.memory"]),
    (
        "block-ssd",
        [
            "ssd.storageclass.storage.k8s.io/requests.storage",
            "requests.storage",
        ],
    ),
];
/// The quota of each namespace.
const QUOTA: &str = "leasehold";

/// Thousandths of a core, bytes and pieces, by the key of a quota: of all keys that are leased.
pub type Amounts = BTreeMap<String, i64>;

/// Whether a key is leased, and no count of objects.
fn is_leased(key: &str) -> bool {
    key.starts_with("requests.") || key.starts_with("limits.") || key.ends_with(CLASS)
}

fn amount(key: &str, quantity: &Value) -> Result<i64, String> {
    let unit = match key.rsplit(['.', '/']).next() {
        Some("cpu") => Unit::Core,
        Some("memory" | "storage" | "ephemeral-storage") => Unit::GiB,
        Some(_) | None => Unit::Count,
    };
    let text = quantity.as_str().unwrap_or_default();
    parse_quantity(text, unit).map_err(|error| format!("{key}: {error}"))
}

/// What a quota grants of everything that is leased; `hard` is that of its spec or of its status.
pub fn granted(hard: Option<&Value>) -> Result<Amounts, String> {
    let hard = hard.and_then(Value::as_object).into_iter().flatten();
    let leased = hard.filter(|(key, _)| is_leased(key));
    let read = leased.map(|(key, quantity)| Ok::<_, String>((key.clone(), amount(key, quantity)?)));
    read.collect()
}

/// What a lease gives, by quota key; storage of all classes adds up.
pub fn given(lease: Option<&Value>) -> Result<Amounts, String> {
    let mut given = Amounts::new();
    for entry in lease.and_then(Value::as_array).into_iter().flatten() {
        let item = text(entry, "/item");
        let known = ITEMS.iter().find(|(name, _)| *name == item);
        let (_, keys) = known.ok_or_else(|| format!("nobody knows what {item} gives"))?;
        for key in keys {
            let more = amount(key, entry.get("quantity").unwrap_or(&Value::Null))?;
            let sum = given.entry((*key).to_owned()).or_default();
            *sum = sum.saturating_add(more);
        }
    }
    Ok(given)
}

/// The text at a pointer; empty where there is none.
fn text<'value>(object: &'value Value, pointer: &str) -> &'value str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn request(object: &Value, pointer: &str) -> u64 {
    let found = object.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_default()
}

/// Something that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which of all versions of anything in the store it is.
    pub revision: u64,
    /// Which version of its object it is, from 1; 0 is its end.
    pub number: u64,
    /// Code of the department.
    pub department: String,
    /// What it says.
    pub what: What,
}

/// What a version says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A quota.
    Quota {
        /// Its namespace.
        place: String,
        /// What the operator has written.
        spec: Amounts,
        /// What admission counts with.
        status: Amounts,
    },
    /// The department's tenancy.
    Tenancy {
        /// What is asked for.
        asked: Amounts,
        /// What is provisioned.
        provisioned: Amounts,
        /// Its phase.
        phase: String,
        /// Number of its last request, where that was approved; else 0.
        approved: u64,
    },
    /// A question about a lease.
    Question {
        /// Number of the request.
        request: u64,
        /// Whether it was approved.
        approved: bool,
    },
    /// A release that was approved.
    LetGo,
}

/// Everything that was stored so far of quotas, tenancies and decisions on them, in order.
pub async fn of(etcd: &str) -> Result<Vec<Stored>, String> {
    let now = history::revision(etcd).await?;
    let mut all = history::of(etcd, "resourcequotas", quota).await?;
    let tenancies = history::of(etcd, "tenancy.leasehold.dev/tenancies", tenancy);
    all.extend(tenancies.await?);
    let approvals = history::of(etcd, "charging.leasehold.dev/approvals", |one| {
        Ok(approval(one))
    });
    all.extend(approvals.await?);
    // what was stored while they were read is in some of them only
    all.retain(|stored| stored.revision <= now);
    all.sort_by_key(|stored| stored.revision);
    Ok(all)
}

fn stored(version: &Version, department: &str, what: What) -> Stored {
    Stored {
        revision: version.revision,
        number: version.number,
        department: department.to_owned(),
        what,
    }
}

fn quota(version: &Version) -> Result<Option<Stored>, String> {
    let Some((department, _)) = version.place.split_once("--") else {
        return Ok(None);
    };
    if version.name != QUOTA {
        return Ok(None);
    }
    let hard = |pointer| granted(version.object.as_ref().and_then(|one| one.pointer(pointer)));
    let what = What::Quota {
        place: version.place.clone(),
        spec: hard("/spec/hard")?,
        status: hard("/status/hard")?,
    };
    Ok(Some(stored(version, department, what)))
}

fn tenancy(version: &Version) -> Result<Option<Stored>, String> {
    let Some(department) = version.place.strip_prefix("dept-") else {
        return Ok(None);
    };
    let ended = Value::Null;
    let object = version.object.as_ref().unwrap_or(&ended);
    let is_approved = text(object, "/status/request/decision") == "Approved";
    let what = What::Tenancy {
        asked: given(object.pointer("/spec/lease"))?,
        provisioned: given(object.pointer("/status/approved"))?,
        phase: text(object, "/status/phase").to_owned(),
        approved: if is_approved {
            request(object, "/status/request/number")
        } else {
            0
        },
    };
    Ok(Some(stored(version, department, what)))
}

fn approval(version: &Version) -> Option<Stored> {
    let (Some(object), Some(department)) = (&version.object, version.place.strip_prefix("dept-"))
    else {
        return None;
    };
    let approved = text(object, "/spec/decision") == "Approved";
    let what = match text(object, "/spec/subject/kind") {
        "Tenancy" => What::Question {
            request: request(object, "/spec/subject/request"),
            approved,
        },
        "Release" if approved => What::LetGo,
        _ => return None,
    };
    Some(stored(version, department, what))
}

/// What a history that keeps its lease consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Versions of quotas.
    pub versions: u64,
    /// Those of them with which a quota that was there changed in what it grants.
    pub moves: u64,
    /// How often more was leased of something, the first time included.
    pub raised: u64,
    /// How often less was leased of something.
    pub lowered: u64,
    /// How often a lease was released.
    pub released: u64,
}

impl Found {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            versions: self.versions.saturating_add(other.versions),
            moves: self.moves.saturating_add(other.moves),
            raised: self.raised.saturating_add(other.raised),
            lowered: self.lowered.saturating_add(other.lowered),
            released: self.released.saturating_add(other.released),
        }
    }
}

/// A quota as it stands.
struct Standing<'history> {
    number: u64,
    spec: &'history Amounts,
    status: &'history Amounts,
}

/// A department's lease as it stands.
#[derive(Default)]
struct Lease<'history> {
    quotas: BTreeMap<&'history str, Standing<'history>>,
    /// What is asked for.
    asked: Amounts,
    /// What each undecided question is about.
    open: BTreeMap<u64, Amounts>,
    /// What was approved and is not in force yet, by the number of the request.
    approved: BTreeMap<u64, Amounts>,
    in_force: Amounts,
    /// Whether its end was approved: then namespaces go, with their quotas.
    is_let_go: bool,
    found: Found,
}

/// Goes through what was stored of one department, which has one tenancy. No version of a quota may be missing, none may
/// end before the release was approved, and after each of them the sum of max(`spec.hard`, `status.hard`) over its
/// namespaces is within what was leased then, of everything that can be leased.
pub fn judge(history: &[Stored], department: &str) -> Result<Found, String> {
    let mut lease = Lease::default();
    let mut last = 0;
    let its = history.iter().filter(|one| one.department == department);
    for stored in its {
        let revision = stored.revision;
        if revision <= last {
            return Err(format!("revision {revision} comes after {last}"));
        }
        last = revision;
        let fits = lease.take(stored).and_then(|()| lease.fits());
        fits.map_err(|why| format!("after revision {revision}, {department} {why}"))?;
    }
    Ok(lease.found)
}

impl<'history> Lease<'history> {
    fn take(&mut self, stored: &'history Stored) -> Result<(), String> {
        match &stored.what {
            What::Quota {
                place,
                spec,
                status,
            } => {
                let standing = Standing {
                    number: stored.number,
                    spec,
                    status,
                };
                return self.take_quota(place, standing);
            }
            What::Tenancy { .. } if stored.number == 0 => {
                self.asked.clear();
                self.open.clear();
                self.approved.clear();
            }
            What::Tenancy {
                asked,
                provisioned,
                phase,
                approved,
            } => {
                self.is_let_go &= stored.number > 1;
                self.asked.clone_from(asked);
                match phase.as_str() {
                    "Active" => self.is_in_force(provisioned, *approved),
                    "Released" if !self.in_force.is_empty() => {
                        self.in_force.clear();
                        self.approved.clear();
                        self.found.released = self.found.released.saturating_add(1);
                    }
                    _ => {}
                }
            }
            What::Question { request, approved } => self.take_question(*request, *approved),
            What::LetGo => self.is_let_go = true,
        }
        Ok(())
    }

    fn take_quota(&mut self, place: &'history str, now: Standing<'history>) -> Result<(), String> {
        let before = self.quotas.remove(place);
        let (known, number) = (before.as_ref().map_or(0, |one| one.number), now.number);
        if number == 0 && known > 0 {
            return if self.is_let_go {
                Ok(())
            } else {
                Err(format!(
                    "has no quota in {place}, and nobody approved a release"
                ))
            };
        }
        if number != known.saturating_add(1) {
            return Err(format!(
                "has version {number} of the quota in {place} after version {known}"
            ));
        }
        let moved = before.is_some_and(|before| before.spec != now.spec);
        self.found.versions = self.found.versions.saturating_add(1);
        self.found.moves = self.found.moves.saturating_add(u64::from(moved));
        self.quotas.insert(place, now);
        Ok(())
    }

    /// A question is about what was asked for when it was written.
    fn take_question(&mut self, request: u64, approved: bool) {
        if !approved {
            let asked = self.asked.clone();
            self.open.entry(request).or_insert(asked);
        } else if let Some(lease) = self.open.remove(&request) {
            self.approved.insert(request, lease);
        }
    }

    fn is_in_force(&mut self, lease: &Amounts, approved: u64) {
        let of = |lease: &Amounts, key: &str| lease.get(key).copied().unwrap_or(0);
        let keys = lease.keys().chain(self.in_force.keys());
        let (mut is_more, mut is_less) = (false, false);
        for key in keys {
            is_more |= of(lease, key) > of(&self.in_force, key);
            is_less |= of(lease, key) < of(&self.in_force, key);
        }
        self.found.raised = self.found.raised.saturating_add(u64::from(is_more));
        self.found.lowered = self.found.lowered.saturating_add(u64::from(is_less));
        self.in_force.clone_from(lease);
        // what came after is in force, and what was approved before that is over
        let same = self.approved.iter().rev().find(|(_, one)| *one == lease);
        let last = same.map_or(0, |(request, _)| *request);
        let over = last.max(approved.saturating_sub(1));
        self.approved.retain(|request, _| *request > over);
    }

    /// What may be held of a key.
    fn most(&self, key: &str) -> i64 {
        let leases = self.approved.values().chain([&self.in_force]);
        let most = leases.filter_map(|lease| lease.get(key)).max();
        most.copied().unwrap_or(0)
    }

    fn fits(&self) -> Result<(), String> {
        let mut held: BTreeMap<&str, i64> = BTreeMap::new();
        for quota in self.quotas.values() {
            let of = |amounts: &Amounts, key: &str| amounts.get(key).copied().unwrap_or(0);
            let mut keys: Vec<&String> = quota.spec.keys().chain(quota.status.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let sum = held.entry(key).or_default();
                *sum = sum.saturating_add(of(quota.spec, key).max(of(quota.status, key)));
            }
        }
        for (key, sum) in held {
            let most = self.most(key);
            if sum > most {
                return Err(format!("holds {sum} of {key}, leased are {most}"));
            }
        }
        Ok(())
    }
}
