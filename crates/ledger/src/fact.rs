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
    let mut traced = Traced::default();
    for facts in by_object(facts)?.into_values() {
        let mut life = Life::default();
        life.trace(settle(&facts), horizon);
        traced.intervals.extend(life.intervals);
        traced.contradictions.extend(life.contradictions);
    }
    Ok(traced)
}

/// Cluster, etcd incarnation, uid and meter.
type ObjectKey<'a> = (&'a str, u32, &'a str, &'a Meter);

/// The facts of each object and meter in the order given, each once.
fn by_object(facts: &[Fact]) -> Result<BTreeMap<ObjectKey<'_>, Vec<&Fact>>, FactError> {
    let mut known: BTreeMap<String, &Fact> = BTreeMap::new();
    let mut objects: BTreeMap<ObjectKey<'_>, Vec<&Fact>> = BTreeMap::new();
    for fact in facts {
        let key = fact.key();
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
    /// Place among the object's facts in the order given.
    place: usize,
    /// Opened, Changed or Closed; Superseded only if it is refused.
    kind: FactKind,
    /// The fact that holds, for an end maybe the superseding one.
    fact: &'a Fact,
    /// Whether it was observed as an estimated end.
    estimated_end: bool,
    /// Whether a true end has replaced it.
    replaced: bool,
    /// Why it cannot count, whatever stands before it.
    refused: Option<FactError>,
}

impl<'a> Step<'a> {
    fn new(place: usize, fact: &'a Fact) -> Self {
        let below_zero =
            matches!(fact.kind, FactKind::Opened | FactKind::Changed) && fact.quantity < 0;
        Self {
            at: fact.at,
            observed: fact.at,
            place,
            kind: fact.kind,
            fact,
            estimated_end: fact.kind == FactKind::Closed && fact.estimated,
            replaced: false,
            refused: below_zero.then(|| FactError::Negative {
                key: fact.key(),
                quantity: fact.quantity,
            }),
        }
    }
}

/// Puts true ends in the place of estimated ones and orders by time.
fn settle<'a>(facts: &[&'a Fact]) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::with_capacity(facts.len());
    // A true end belongs to the last estimated end before it. It may have been handed in first.
    let mut early: Vec<(usize, &'a Fact)> = Vec::new();
    for (place, &fact) in facts.iter().enumerate() {
        match fact.kind {
            FactKind::Opened | FactKind::Changed | FactKind::Closed => {
                steps.push(Step::new(place, fact));
            }
            FactKind::Superseded => {
                if !replace_end(&mut steps, fact) {
                    early.push((place, fact));
                }
            }
        }
    }
    for (place, fact) in early {
        if !replace_end(&mut steps, fact) {
            let mut step = Step::new(place, fact);
            step.refused = Some(FactError::NothingToSupersede { key: fact.key() });
            steps.push(step);
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
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

/// The life of one object, as far as it was walked through.
#[derive(Default)]
struct Life<'a> {
    intervals: Vec<Interval>,
    contradictions: Vec<FactError>,
    /// What is open.
    current: Option<Step<'a>>,
    /// Whether something contradicts what is open.
    doubted: bool,
    /// Whether what was seen last is between a true end and the later, estimated one: it came from
    /// a stale view.
    cut_short: bool,
    /// Places of ends that ended nothing.
    stray_ends: Vec<usize>,
}

impl<'a> Life<'a> {
    /// Walks through the steps up to the horizon.
    fn trace(&mut self, steps: Vec<Step<'a>>, horizon: Second) {
        for mut step in steps {
            if step.at > horizon {
                break;
            }
            match step.refused.take() {
                Some(error) => self.contradict(error),
                None => self.step(step),
            }
        }
        if let Some(open) = self.current.take() {
            self.push(&open, horizon, None);
        }
    }

    fn step(&mut self, step: Step<'a>) {
        match (step.kind, self.current.take()) {
            (FactKind::Opened, None) => self.open(step),
            (FactKind::Opened, Some(open)) => {
                self.current = Some(open);
                self.contradict(FactError::OpenedTwice {
                    key: step.fact.key(),
                });
            }
            (FactKind::Changed, Some(open)) => {
                self.push(&open, step.at, Some(&step));
                self.current = Some(step);
            }
            (FactKind::Changed, None) if self.cut_short => {}
            (FactKind::Closed | FactKind::Superseded, Some(open)) => {
                self.push(&open, step.at, Some(&step));
                self.cut_short = step.replaced;
            }
            (FactKind::Changed | FactKind::Closed | FactKind::Superseded, None) => {
                if step.kind == FactKind::Closed {
                    self.stray_ends.push(step.place);
                }
                self.contradict(FactError::NotOpen {
                    key: step.fact.key(),
                });
            }
        }
    }

    /// Opens, unless the end of this beginning stood before it.
    fn open(&mut self, step: Step<'a>) {
        let ended = self.stray_ends.iter().position(|place| *place > step.place);
        self.cut_short = ended.is_some();
        match ended {
            Some(end) => {
                self.stray_ends.remove(end);
            }
            None => self.current = Some(step),
        }
    }

    /// Notes a fact that does not fit and marks the interval that it touches.
    fn contradict(&mut self, error: FactError) {
        self.contradictions.push(error);
        if self.current.is_some() {
            self.doubted = true;
        } else if let Some(last) = self.intervals.last_mut() {
            last.estimated = true;
        }
    }

    /// Adds the interval between two steps unless it is empty.
    fn push(&mut self, from: &Step<'a>, to: Second, end: Option<&Step<'a>>) {
        let doubted = std::mem::take(&mut self.doubted);
        let span = Span { from: from.at, to };
        if span.is_empty() {
            return;
        }
        self.intervals.push(Interval {
            span,
            open: end.is_none(),
            quantity: from.fact.quantity,
            meter: from.fact.meter.clone(),
            subject: from.fact.subject.clone(),
            estimated: doubted || from.fact.estimated || end.is_some_and(|end| end.fact.estimated),
            opened_by: from.fact.key(),
            closed_by: end.map(|end| end.fact.key()),
        });
    }
}

#[cfg(test)]
mod tests;
