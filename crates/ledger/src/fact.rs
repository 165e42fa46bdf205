//! Facts: what was observed about leased and used capacity, and the intervals that follow from it.
//!
//! A fact is an observation and never changes. What was estimated and is known better later is
//! superseded by another fact, not overwritten. Intervals are derived, again and again, from facts.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::time::{Second, Span};

/// What can go wrong with facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// The text is not a meter.
    #[error(
        "failed to read the meter {text:?}: write lease/ITEM, pod/RESOURCE or claim/STORAGE-CLASS"
    )]
    Meter {
        /// The text that was given.
        text: String,
    },
    /// Two facts have one key and different bodies.
    #[error("failed to accept fact {key}: the ledger holds another fact with this key")]
    Conflict {
        /// The key of both.
        key: String,
    },
    /// A change or an end of something that is not open.
    #[error("failed to place fact {key}: nothing is open that it could change or end")]
    NotOpen {
        /// The key of the fact.
        key: String,
    },
    /// A beginning of something that is open already.
    #[error("failed to place fact {key}: what it opens is open already")]
    OpenedTwice {
        /// The key of the fact.
        key: String,
    },
    /// A true end without the estimated one that it replaces.
    #[error("failed to place fact {key}: there is no estimated end that it could supersede")]
    NothingToSupersede {
        /// The key of the fact.
        key: String,
    },
    /// A quantity below zero.
    #[error("failed to accept fact {key}: its quantity {quantity} is below zero")]
    Negative {
        /// The key of the fact.
        key: String,
        /// The quantity in base units.
        quantity: i64,
    },
}

/// What was observed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// Use began, with a quantity.
    Opened,
    /// The quantity or the subject changed.
    Changed,
    /// Use ended.
    Closed,
    /// The true end of what was closed by an estimate.
    Superseded,
}

impl FactKind {
    /// The kind as it stands in keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Closed => "closed",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is counted. In JSON one string: `lease/vcpu-x86`, `pod/nvidia.com/gpu`, `claim/ssd`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meter {
    /// Capacity that a lease reserves.
    Lease {
        /// The catalogue item.
        item: String,
    },
    /// What pods reserve of a resource of their nodes.
    Pod {
        /// The resource as Kubernetes names it.
        resource: String,
    },
    /// What volume claims hold of a storage class.
    Claim {
        /// The storage class.
        storage_class: String,
    },
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { item } => write!(f, "lease/{item}"),
            Self::Pod { resource } => write!(f, "pod/{resource}"),
            Self::Claim { storage_class } => write!(f, "claim/{storage_class}"),
        }
    }
}

impl FromStr for Meter {
    type Err = FactError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some(("lease", item)) if !item.is_empty() => Ok(Self::Lease {
                item: item.to_owned(),
            }),
            Some(("pod", resource)) if !resource.is_empty() => Ok(Self::Pod {
                resource: resource.to_owned(),
            }),
            Some(("claim", class)) if !class.is_empty() => Ok(Self::Claim {
                storage_class: class.to_owned(),
            }),
            _ => Err(FactError::Meter {
                text: text.to_owned(),
            }),
        }
    }
}

serde_as_string!(Meter);

/// To whom and for what something counts, as it stood when the fact was observed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the tenancy's name, from 1.
    pub incarnation: u32,
    /// Information system that the tenancy serves.
    pub system: String,
    /// Provider of the capacity.
    pub provider: String,
    /// Contract that it is bought under.
    pub contract: String,
    /// Budget line that pays.
    pub budget: String,
    /// Number of the request in force, from 1.
    pub request: u32,
    /// The object in words, such as `Pod gov-office--prod/web-1`.
    pub object: String,
}

/// Where an observation comes from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Identity of the cluster: the uid of its `kube-system` namespace.
    pub cluster: String,
    /// Which life of the cluster's etcd, from 1; a restored backup begins another.
    pub etcd: u32,
    /// The uid of the object.
    pub uid: String,
    /// The object's `resourceVersion`, or `request-3` for leases.
    pub version: String,
}

/// Between which instants the true one lies.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bounds {
    /// Not before.
    pub lower: Second,
    /// Not after.
    pub upper: Second,
}

/// One observation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fact {
    /// Where it comes from.
    pub source: Source,
    /// What it counts.
    pub meter: Meter,
    /// What happened.
    pub kind: FactKind,
    /// When it happened, by the clock of the evidence.
    pub at: Second,
    /// How much from now on, in base units of the meter; 0 at an end.
    pub quantity: i64,
    /// To whom it counts from now on.
    pub subject: Subject,
    /// Whether `at` is an estimate.
    pub estimated: bool,
    /// The bounds of an estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// Which field or event told it.
    pub evidence: String,
}

impl Fact {
    /// What makes the observation the same one when it is made again:
    /// `cluster/etcd/uid/meter/version/kind`.
    pub fn key(&self) -> String {
        let Source {
            cluster,
            etcd,
            uid,
            version,
        } = &self.source;
        format!(
            "{cluster}/{etcd}/{uid}/{}/{version}/{}",
            self.meter, self.kind
        )
    }
}

/// A stretch of time with one quantity and one subject.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Interval {
    /// When; up to the horizon if it is open there.
    pub span: Span,
    /// Whether it goes on beyond the horizon, as far as is known.
    pub open: bool,
    /// How much, in base units of the meter.
    pub quantity: i64,
    /// What is counted.
    pub meter: Meter,
    /// To whom it counts.
    pub subject: Subject,
    /// Whether its start or its end is an estimate.
    pub estimated: bool,
    /// Key of the fact that it begins with.
    pub opened_by: String,
    /// Key of the fact that it ends with, unless it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
}

/// All intervals that the facts tell of, up to a horizon.
///
/// Facts of one object and meter belong together; those of one instant count in the order given,
/// which is the order in which the ledger took them. Facts after the horizon are not looked at,
/// except that a true end after it reopens what an estimate had closed. The result is sorted by
/// object, meter and time, so the order of facts of different objects does not show in it.
pub fn intervals(facts: &[Fact], horizon: Second) -> Result<Vec<Interval>, FactError> {
    let mut result = Vec::new();
    for facts in by_object(facts)?.into_values() {
        trace(settle(&facts)?, horizon, &mut result)?;
    }
    Ok(result)
}

/// Cluster, etcd incarnation, uid and meter.
type ObjectKey<'a> = (&'a str, u32, &'a str, &'a Meter);

/// The facts of each object and meter in the order given, each once.
fn by_object(facts: &[Fact]) -> Result<BTreeMap<ObjectKey<'_>, Vec<&Fact>>, FactError> {
    let mut known: BTreeMap<String, &Fact> = BTreeMap::new();
    let mut objects: BTreeMap<ObjectKey<'_>, Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        let key = fact.key();
        if fact.quantity < 0 {
            return Err(FactError::Negative {
                key,
                quantity: fact.quantity,
            });
        }
        match known.get(&key) {
            Some(same) if *same == fact => continue,
            Some(_) => return Err(FactError::Conflict { key }),
            None => {}
        }
        known.insert(key, fact);
        let Source {
            cluster, etcd, uid, ..
        } = &fact.source;
        let object = (cluster.as_str(), *etcd, uid.as_str(), &fact.meter);
        objects.entry(object).or_default().push(fact);
    }
    Ok(objects)
}

/// A fact at its place in the life of an object, after true ends have replaced estimated ones.
struct Step<'a> {
    /// When it holds; for a replaced end the true one.
    at: Second,
    /// When it was observed, or estimated, at first.
    observed: Second,
    /// Opened, Changed or Closed.
    kind: FactKind,
    /// The fact that holds, for an end maybe the superseding one.
    fact: &'a Fact,
    /// Whether it was observed as an estimated end.
    estimated_end: bool,
    /// Whether a true end has replaced it.
    replaced: bool,
}

/// Puts true ends in the place of estimated ones and orders by time.
fn settle<'a>(facts: &[&'a Fact]) -> Result<Vec<Step<'a>>, FactError> {
    let mut steps: Vec<Step<'a>> = Vec::with_capacity(facts.len());
    // A true end belongs to the last estimated end before it. It may have been handed in first.
    let mut early: Vec<&'a Fact> = Vec::new();
    for &fact in facts {
        match fact.kind {
            FactKind::Opened | FactKind::Changed | FactKind::Closed => steps.push(Step {
                at: fact.at,
                observed: fact.at,
                kind: fact.kind,
                fact,
                estimated_end: fact.kind == FactKind::Closed && fact.estimated,
                replaced: false,
            }),
            FactKind::Superseded => {
                if !replace_end(&mut steps, fact) {
                    early.push(fact);
                }
            }
        }
    }
    for fact in early {
        if !replace_end(&mut steps, fact) {
            return Err(FactError::NothingToSupersede { key: fact.key() });
        }
    }
    steps.sort_by_key(|step| step.at);
    Ok(steps)
}

/// Lets the last estimated end be where `fact` says, but not before the object's beginning: the
/// clocks that time a beginning and an end may differ by a little. Tells whether there was one.
fn replace_end<'a>(steps: &mut [Step<'a>], fact: &'a Fact) -> bool {
    let Some(estimate) = steps.iter().rev().find(|step| step.estimated_end) else {
        return false;
    };
    let estimated = estimate.observed;
    let opening = steps
        .iter()
        .filter(|step| step.kind == FactKind::Opened && step.at <= estimated)
        .map(|step| step.at)
        .max();
    if let Some(end) = steps.iter_mut().rev().find(|step| step.estimated_end) {
        end.at = opening.map_or(fact.at, |opening| opening.max(fact.at));
        end.fact = fact;
        end.replaced = true;
    }
    true
}

/// Walks through the life of one object and adds its intervals.
fn trace(
    steps: Vec<Step<'_>>,
    horizon: Second,
    result: &mut Vec<Interval>,
) -> Result<(), FactError> {
    let mut current: Option<Step<'_>> = None;
    // what was seen between a true end and the later, estimated one came from a stale view
    let mut cut_short = false;
    for step in steps {
        if step.at > horizon {
            break;
        }
        match (step.kind, current.take()) {
            (FactKind::Opened, None) => {
                cut_short = false;
                current = Some(step);
            }
            (FactKind::Opened, Some(_)) => {
                return Err(FactError::OpenedTwice {
                    key: step.fact.key(),
                });
            }
            (FactKind::Changed, Some(open)) => {
                push(result, &open, step.at, Some(&step));
                current = Some(step);
            }
            (FactKind::Changed, None) if cut_short => {}
            (FactKind::Closed | FactKind::Superseded, Some(open)) => {
                push(result, &open, step.at, Some(&step));
                cut_short = step.replaced;
            }
            (FactKind::Changed | FactKind::Closed | FactKind::Superseded, None) => {
                return Err(FactError::NotOpen {
                    key: step.fact.key(),
                });
            }
        }
    }
    if let Some(open) = current {
        push(result, &open, horizon, None);
    }
    Ok(())
}

/// Adds the interval between two steps unless it is empty.
fn push(result: &mut Vec<Interval>, from: &Step<'_>, to: Second, end: Option<&Step<'_>>) {
    let span = Span { from: from.at, to };
    if span.is_empty() {
        return;
    }
    result.push(Interval {
        span,
        open: end.is_none(),
        quantity: from.fact.quantity,
        meter: from.fact.meter.clone(),
        subject: from.fact.subject.clone(),
        estimated: from.fact.estimated || end.is_some_and(|end| end.fact.estimated),
        opened_by: from.fact.key(),
        closed_by: end.map(|end| end.fact.key()),
    });
}

#[cfg(test)]
mod tests;
