//! Declared meters: use of any kind, without code.
//!
//! A [`Meter`](leasehold_api::platform::Meter) names a kind, which of its objects count, and how much (`rule`). Each is
//! followed by a watch of its own, with the sink, the cursor and the watermark that pods and claims have. What is
//! different: the kind may be absent or unreadable ([`Declared`] keeps how that stands, `report` tells it), and meters
//! come and go while the operator runs (`follow`).

mod follow;
mod path;
mod report;
mod rule;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::core::{ApiResource, DynamicObject};
use leasehold_api::platform::{Meter as Kind, MeterSpec};
use leasehold_kit::watch::Lost;
use leasehold_ledger::{fact::Meter, time::Second};
use leasehold_planner::quota::Hard;
use tokio::sync::Notify;

pub use follow::{announce, run};

use super::{
    effective::Uncountable,
    gap,
    life::{Holding, Moment, Standing},
    metered::{MADE_BY_METERS, Metered, Note},
    pods::{Sight, found_changed, second, written},
};
use rule::Rule;

/// A removal that is seen within this many seconds of complete knowledge is timed by the API server's clock.
const PROMPT: i64 = 30;
/// An object that was last written within so many seconds of its creation was not changed since. Two times of one write
/// may lie on both sides of a second.
const AT_ONCE: i64 = 1;
/// The answer where a kind is not served.
const NOT_FOUND: u16 = 404;

/// Who stores a kind, and so gives its objects their versions and times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeper {
    /// The cluster itself.
    #[default]
    Cluster,
    /// An API server of somebody's own.
    Foreign,
}

/// How a declared meter stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Whether its objects were ever listed.
    pub begun: bool,
    /// When it began in this life of the process.
    pub since: Option<Second>,
    /// Why it sees nothing, while it does not.
    pub lost: Option<Lost>,
    /// Whether its kind is not served, so that there is nothing to see.
    pub absent: bool,
    /// Whether an object was seen that lives in no namespace.
    pub homeless: bool,
    /// Who stores the kind.
    pub keeper: Keeper,
    /// Objects that cannot be counted, each with a sentence, by uid.
    pub uncounted: BTreeMap<String, String>,
}

impl View {
    /// Whether use may go on unseen.
    pub fn is_blind(&self) -> bool {
        let is_lost = self.lost.is_some() && !self.absent;
        is_lost || self.homeless || self.keeper == Keeper::Foreign || !self.uncounted.is_empty()
    }

    /// Takes a note, and tells whether it is news. What cannot be counted may be much, and is not copied for that.
    fn note(&mut self, note: &Note<'_>) -> bool {
        match note {
            Note::Counted(uid) => return self.uncounted.remove(*uid).is_some(),
            Note::Uncountable(uid, sentence) => {
                let told = self
                    .uncounted
                    .insert((*uid).to_owned(), (*sentence).to_owned());
                return told.as_deref() != Some(*sentence);
            }
            Note::Begun(_)
            | Note::Heard
            | Note::Lost(_)
            | Note::Absent
            | Note::Homeless
            | Note::Stored(_) => {}
        }
        let before = self.stands();
        match note {
            Note::Begun(at) => {
                if !self.begun {
                    self.since = *at;
                }
                self.begun = true;
            }
            Note::Heard => {
                self.lost = None;
                self.absent = false;
            }
            Note::Lost(lost) => {
                // it is served, in another version
                self.absent &= lost.code != Some(NOT_FOUND);
                // how often says nothing new, and would be told again and again
                self.lost = Some(Lost {
                    times: 0,
                    ..(*lost).clone()
                });
            }
            Note::Absent => self.absent = true,
            Note::Homeless => self.homeless = true,
            Note::Stored(by_the_cluster) => {
                self.keeper = if *by_the_cluster {
                    Keeper::Cluster
                } else {
                    Keeper::Foreign
                };
            }
            Note::Counted(_) | Note::Uncountable(..) => {}
        }
        before != self.stands()
    }

    /// Everything but what cannot be counted.
    fn stands(&self) -> (Option<Second>, Option<Lost>, [bool; 3], Keeper) {
        let flags = [self.begun, self.absent, self.homeless];
        (self.since, self.lost.clone(), flags, self.keeper)
    }
}

/// A declared meter: what it counts, and how it stands.
#[derive(Debug)]
pub struct Declared {
    meter: Meter,
    /// Name of the source in the ledger's cursors: another Meter of the same name begins anew.
    source: String,
    /// Name of the source for people, and what its facts are counted by.
    label: String,
    kind: String,
    named: ApiResource,
    rule: Rule,
    /// Keys of quotas any of which bounds it.
    keys: Vec<String>,
    view: Mutex<View>,
    changed: Notify,
}

impl Declared {
    /// A meter as it was declared, or what of it cannot be read.
    pub fn of(object: &Kind) -> Result<Self, String> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let meter = Meter::Declared { name };
        let named = resource(&object.spec);
        let rule = Rule::of(&object.spec)?;
        Ok(Self {
            source: source(object),
            label: meter.to_string(),
            meter,
            kind: object.spec.kind.to_string(),
            keys: rule.quota_keys(&named),
            named,
            rule,
            view: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// How it stands.
    pub fn view(&self) -> View {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.clone()
    }

    fn note(&self, note: &Note<'_>) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = view.note(note);
        drop(view);
        if is_news {
            self.changed.notify_one();
        }
    }
}

/// Name of a meter's source in the ledger's cursors.
fn source(object: &Kind) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    format!("{MADE_BY_METERS}{name}/{uid}")
}

/// The kind that a meter counts, under its paths.
fn resource(spec: &MeterSpec) -> ApiResource {
    let api_version = if spec.group.is_empty() {
        spec.version.to_string()
    } else {
        format!("{}/{}", spec.group, spec.version)
    };
    ApiResource {
        group: spec.group.to_string(),
        version: spec.version.to_string(),
        api_version,
        kind: spec.kind.to_string(),
        plural: spec.resource.to_string(),
    }
}

impl Metered for DynamicObject {
    type Of = Arc<Declared>;
    const DECLARED: bool = true;

    fn source(of: &Self::Of) -> &str {
        &of.source
    }

    fn meters(of: &Self::Of) -> &str {
        &of.label
    }

    fn label(of: &Self::Of) -> &str {
        &of.label
    }

    fn called(of: &Self::Of) -> &str {
        &of.kind
    }

    fn counts(of: &Self::Of, meter: &Meter) -> bool {
        *meter == of.meter
    }

    fn standing(&self, of: &Self::Of, sight: &Sight) -> Result<Standing, Uncountable> {
        let quantity = match of.rule.quantity(self) {
            Ok(quantity) => quantity,
            // what is recorded must end, whatever the object says now
            Err(_) if sight.gone => 0,
            Err(error) => return Err(error),
        };
        let held = Holding {
            start: start(self, &of.rule, sight),
            change: change(self, sight),
            quantities: (quantity > 0)
                .then(|| (of.meter.clone(), quantity))
                .into_iter()
                .collect(),
            resized: BTreeMap::new(),
        };
        Ok(if sight.gone {
            let end = end(self, &held, sight);
            Standing::Over { held, end }
        } else {
            Standing::Holding(held)
        })
    }

    fn asked_as(of: &Self::Of) -> ApiResource {
        of.named.clone()
    }

    fn named(of: &Self::Of) -> Option<&ApiResource> {
        Some(&of.named)
    }

    fn at_most(of: &Self::Of, quotas: &[Hard], seconds: i64) -> BTreeMap<String, i64> {
        gap::upper_bound(&of.label, &of.keys, quotas, seconds)
    }

    fn note(of: &Self::Of, note: &Note<'_>) {
        of.note(note);
    }

    fn is_blind(of: &Self::Of) -> bool {
        let view = of.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.is_blind()
    }
}

/// When the object was made.
fn created(object: &DynamicObject, sight: &Sight) -> Second {
    let created = object.metadata.creation_timestamp.as_ref().map(second);
    created.unwrap_or(sight.now).min(sight.latest())
}

/// Whether the object is still as it was made.
fn is_unchanged(object: &DynamicObject, sight: &Sight) -> bool {
    let written = written(&object.metadata, sight);
    written.is_some_and(|written| written.since(created(object, sight)) <= AT_ONCE)
}

/// Since when the object counts, when nothing is recorded of it. What was there before the meter began counts from then
/// on. What was not changed since its creation, or counts the same whatever is written, counts from its creation. Of
/// anything else it is known from the event when it began, and from a list between which instants.
fn start(object: &DynamicObject, rule: &Rule, sight: &Sight) -> Moment {
    if sight.listed && sight.known_to.is_none() {
        return Moment::exact(sight.now, "found when the meter began");
    }
    let created = created(object, sight);
    if rule.is_constant() || is_unchanged(object, sight) {
        return Moment::exact(created, "creationTimestamp");
    }
    if !sight.listed && !sight.gone {
        return change(object, sight);
    }
    let lower = sight.known_to.map_or(created, |known| known.max(created));
    let upper = written(&object.metadata, sight).unwrap_or(sight.now);
    Moment::began(lower, upper.max(lower), sight.billed, "found counting")
}

/// When the newest change was made: when it was written. Of what comes from a list it is only known that it was not before
/// everything was known, and not after the last write.
fn change(object: &DynamicObject, sight: &Sight) -> Moment {
    let written = written(&object.metadata, sight);
    match written {
        Some(at) if sight.listed => found_changed(&object.metadata, at, sight),
        Some(at) => Moment::exact(at, "managedFields time of the write"),
        None => Moment::exact(sight.now, "API server's clock at the event"),
    }
}

/// When it was removed: now, unless the news is old. What was removed while nobody watched is told as soon as somebody does.
fn end(object: &DynamicObject, held: &Holding, sight: &Sight) -> Moment {
    let known = sight.known_to.unwrap_or(held.start.at);
    if sight.prompt && sight.now.since(known) <= PROMPT {
        return Moment::exact(sight.now, "API server's clock at DELETED");
    }
    let alive = written(&object.metadata, sight).map_or(known, |written| written.max(known));
    Moment::ended(alive.min(sight.now), sight.now, sight.billed, "DELETED")
}

#[cfg(test)]
mod tests;
