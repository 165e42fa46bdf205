//! Facts: what was observed about leased and used capacity, and the intervals that follow from it.
//!
//! A fact is an observation and never changes. What was estimated and is known better later is
//! superseded by another fact, not overwritten. Intervals are derived, again and again, from facts.

mod kept;
mod trace;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::time::{Second, Span};

pub use kept::Facts;
pub(crate) use trace::Order;

/// What can go wrong with facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// The text is not a meter.
    #[error(
        "failed to read the meter {text:?}: write lease/ITEM, pod/RESOURCE, claim/STORAGE-CLASS or \
         meter/NAME"
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

/// What is counted. In JSON one string: `lease/vcpu-x86`, `pod/nvidia.com/gpu`, `claim/ssd`, `meter/buckets`.
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
    /// What a declared meter counts.
    Declared {
        /// Name of the meter.
        name: String,
    },
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { item } => write!(f, "lease/{item}"),
            Self::Pod { resource } => write!(f, "pod/{resource}"),
            Self::Claim { storage_class } => write!(f, "claim/{storage_class}"),
            Self::Declared { name } => write!(f, "meter/{name}"),
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
            Some(("meter", name)) if !name.is_empty() => Ok(Self::Declared {
                name: name.to_owned(),
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

/// What a stretch of use costs depends on: an [`Interval`] without its story, as a close holds them
/// by the million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch<'a> {
    /// When; up to the horizon if it is open there.
    pub span: Span,
    /// How much, in base units of the meter.
    pub quantity: i64,
    /// What is counted.
    pub meter: &'a Meter,
    /// To whom it counts; [`Subject::object`] may be missing.
    pub subject: &'a Subject,
    /// Whether its start or its end is an estimate.
    pub estimated: bool,
}

impl<'a> From<&'a Interval> for Stretch<'a> {
    fn from(interval: &'a Interval) -> Self {
        Self {
            span: interval.span,
            quantity: interval.quantity,
            meter: &interval.meter,
            subject: &interval.subject,
            estimated: interval.estimated,
        }
    }
}

/// What the facts tell of, and where they contradict each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// All intervals, by object, meter and time.
    pub intervals: Vec<Interval>,
    /// Every fact that does not fit into the life of its object, by object, meter and time.
    pub contradictions: Vec<FactError>,
}

/// All intervals that the facts tell of, up to a horizon; [`trace_all`] without contradictions.
///
/// It fails only when two facts have one key and different bodies.
pub fn intervals(facts: &[Fact], horizon: Second) -> Result<Vec<Interval>, FactError> {
    trace_all(facts, horizon).map(|traced| traced.intervals)
}

/// All intervals that the facts tell of, up to a horizon, and the facts that do not fit.
///
/// Facts of one object and meter belong together; those of one instant count in the order given,
/// which is the order in which the ledger took them. Facts after the horizon are not looked at,
/// except that a true end after it reopens what an estimate had closed. The result is sorted by
/// object, meter and time, so the order of facts of different objects does not show in it.
///
/// A ledger never forgets, so one fact that does not fit must not stop everybody's bills for ever.
/// It is left out, and the interval that it touches is marked as estimated: the one that is open
/// at its instant, else the last one before. An end before the beginning that was handed in first
/// leaves nothing to count, because what has ended must not be counted for ever.
///
/// It fails only when two facts have one key and different bodies, which no ledger takes.
pub fn trace_all(facts: &[Fact], horizon: Second) -> Result<Traced, FactError> {
    let kept: Facts = facts.iter().collect();
    let mut intervals = Vec::new();
    let contradictions = kept.trace(u64::MAX, horizon, Order::AsGiven, |part| {
        intervals.push(part.interval());
    })?;
    Ok(Traced {
        intervals,
        contradictions,
    })
}

#[cfg(test)]
mod tests;
