//! From facts to intervals: the life of each object, walked through in the order of time.

use std::collections::BTreeMap;

use super::kept::{Facts, Kept, ObjectKey};
use super::{FactError, FactKind, Interval, Stretch};
use crate::time::{Second, Span};

/// In which order facts of one instant count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they were given.
    AsGiven,
    /// By the object's version: the same, however they came.
    ByVersion,
}

/// A stretch with the facts that it begins and ends with.
pub(crate) struct Part<'a> {
    pub(crate) stretch: Stretch<'a>,
    key: &'a ObjectKey,
    from: &'a Kept,
    end: Option<&'a Kept>,
}

impl Part<'_> {
    /// The stretch with its story.
    pub(crate) fn interval(&self) -> Interval {
        Interval {
            span: self.stretch.span,
            open: self.end.is_none(),
            quantity: self.stretch.quantity,
            meter: self.stretch.meter.clone(),
            subject: self.from.whole_subject(),
            estimated: self.stretch.estimated,
            opened_by: self.from.key(self.key),
            closed_by: self.end.map(|end| end.key(self.key)),
        }
    }
}

impl Facts {
    /// Hands out every part of every life up to a horizon, by object, meter and time, from the
    /// facts up to row `through`; returns the facts that do not fit. See
    /// [`trace_all`](super::trace_all).
    pub(crate) fn trace<'a>(
        &'a self,
        through: u64,
        horizon: Second,
        order: Order,
        mut each: impl FnMut(Part<'a>),
    ) -> Result<Vec<FactError>, FactError> {
        let mut contradictions = Vec::new();
        for (key, facts) in &self.objects {
            let mut facts = distinct(facts, through, key)?;
            if order == Order::ByVersion {
                facts.sort_by(|a, b| a.order().cmp(&b.order()));
            }
            let mut life = Life::of(key);
            life.trace(settle(&facts, key), horizon);
            life.parts.into_iter().for_each(&mut each);
            contradictions.append(&mut life.contradictions);
        }
        Ok(contradictions)
    }
}

/// The facts up to a row in the order given, each once.
fn distinct<'a>(
    facts: &'a [Kept],
    through: u64,
    of: &ObjectKey,
) -> Result<Vec<&'a Kept>, FactError> {
    let mut known = BTreeMap::new();
    let mut distinct = Vec::with_capacity(facts.len());
    for fact in facts.iter().filter(|fact| fact.seq <= through) {
        match known.insert(fact.identity(), fact) {
            None => distinct.push(fact),
            Some(same) if same.says_what(fact) => {}
            Some(_) => return Err(FactError::Conflict { key: fact.key(of) }),
        }
    }
    Ok(distinct)
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
    fact: &'a Kept,
    /// Whether it was observed as an estimated end.
    estimated_end: bool,
    /// Whether a true end has replaced it.
    replaced: bool,
    /// Why it cannot count, whatever stands before it.
    refused: Option<FactError>,
}

impl<'a> Step<'a> {
    fn new(place: usize, fact: &'a Kept, of: &ObjectKey) -> Self {
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
                key: fact.key(of),
                quantity: fact.quantity,
            }),
        }
    }
}

/// Puts true ends in the place of estimated ones and orders by time.
fn settle<'a>(facts: &[&'a Kept], of: &ObjectKey) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> = Vec::with_capacity(facts.len());
    // A true end belongs to the last estimated end before it. It may have been handed in first.
    let mut early: Vec<(usize, &'a Kept)> = Vec::new();
    for (place, &fact) in facts.iter().enumerate() {
        match fact.kind {
            FactKind::Opened | FactKind::Changed | FactKind::Closed => {
                steps.push(Step::new(place, fact, of));
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
            let mut step = Step::new(place, fact, of);
            step.refused = Some(FactError::NothingToSupersede { key: fact.key(of) });
            steps.push(step);
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
}

/// Lets the last estimated end be where `fact` says, but not before the object's beginning: the
/// clocks that time a beginning and an end may differ by a little. Tells whether there was one.
fn replace_end<'a>(steps: &mut [Step<'a>], fact: &'a Kept) -> bool {
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
struct Life<'a> {
    key: &'a ObjectKey,
    parts: Vec<Part<'a>>,
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
    const fn of(key: &'a ObjectKey) -> Self {
        Self {
            key,
            parts: Vec::new(),
            contradictions: Vec::new(),
            current: None,
            doubted: false,
            cut_short: false,
            stray_ends: Vec::new(),
        }
    }

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
                    key: step.fact.key(self.key),
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
                    key: step.fact.key(self.key),
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
        } else if let Some(last) = self.parts.last_mut() {
            last.stretch.estimated = true;
        }
    }

    /// Adds the interval between two steps unless it is empty.
    fn push(&mut self, from: &Step<'a>, to: Second, end: Option<&Step<'a>>) {
        let doubted = std::mem::take(&mut self.doubted);
        let span = Span { from: from.at, to };
        if span.is_empty() {
            return;
        }
        self.parts.push(Part {
            stretch: Stretch {
                span,
                quantity: from.fact.quantity,
                meter: &self.key.meter,
                subject: &from.fact.subject,
                estimated: doubted
                    || from.fact.estimated
                    || end.is_some_and(|end| end.fact.estimated),
            },
            key: self.key,
            from: from.fact,
            end: end.map(|end| end.fact),
        });
    }
}
