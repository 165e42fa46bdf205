//! Departments under departments: who is above whom, who is below, and what is wrong with a chain.
//!
//! The tree is built once from what every department says of the one above it, and then asked many times. Nothing here
//! recurses: a chain that goes round in a circle, or is thousands long by mistake, costs no stack.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::tenancy::Level;

use crate::rules::Refusal;

/// Most departments above one. Administrations have five levels or six; more is a slip.
pub const DEEPEST: usize = 8;

/// Departments and who is directly above and below each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// The department above, by code. Every department has an entry.
    above: BTreeMap<String, Option<String>>,
    /// The departments directly below, by code; also of codes that are named as parents and do not exist.
    below: BTreeMap<String, BTreeSet<String>>,
}

/// The chain of departments above one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Codes of the departments above, the nearest first, each once; never the department itself.
    pub above: Vec<&'a str>,
    /// How the chain ends.
    pub end: End<'a>,
}

/// How a chain of departments ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// With a department that has none above it, or with a code that is no department.
    Top,
    /// With a department whose parent does not exist.
    Missing(&'a str),
    /// Not at all: these are above each other, each directly below the next and the last directly below the first. The
    /// first is the department itself, if it is one of them, and otherwise the first that the chain reaches.
    Circle(Vec<&'a str>),
}

impl Hierarchy {
    /// The tree of departments, each given by its code and the code of the one above it.
    pub fn new(departments: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let mut hierarchy = Self::default();
        for (code, parent) in departments {
            if let Some(parent) = &parent {
                let below = hierarchy.below.entry(parent.clone()).or_default();
                below.insert(code.clone());
            }
            hierarchy.above.insert(code, parent);
        }
        hierarchy
    }

    /// The same tree, in which this department is directly below that one.
    #[must_use]
    pub fn with(&self, code: &str, parent: Option<&str>) -> Self {
        let others = self.parents().filter(|(other, _)| *other != code);
        let all = others.chain([(code, parent)]);
        Self::new(all.map(|(code, parent)| (code.to_owned(), parent.map(str::to_owned))))
    }

    /// Whether there is a department of this code.
    pub fn has(&self, code: &str) -> bool {
        self.above.contains_key(code)
    }

    /// The code that a department names as the one above it.
    pub fn parent(&self, code: &str) -> Option<&str> {
        self.above.get(code)?.as_deref()
    }

    /// Every department with the one above it, by code.
    pub fn parents(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let all = self.above.iter();
        all.map(|(code, parent)| (code.as_str(), parent.as_deref()))
    }

    /// Codes of the departments directly below, sorted.
    pub fn below(&self, code: &str) -> impl Iterator<Item = &str> {
        let below = self.below.get(code).into_iter().flatten();
        below.map(String::as_str)
    }

    /// The chain of departments above one.
    pub fn line(&self, code: &str) -> Line<'_> {
        let Some((start, parent)) = self.above.get_key_value(code) else {
            return Line {
                above: Vec::new(),
                end: End::Top,
            };
        };
        let (mut path, mut passed) = (vec![start.as_str()], BTreeSet::from([start.as_str()]));
        let mut next = parent;
        let end = loop {
            let Some(named) = next else { break End::Top };
            let Some((above, further)) = self.above.get_key_value(named) else {
                break End::Missing(named);
            };
            if !passed.insert(above) {
                let circle = path
                    .iter()
                    .copied()
                    .skip_while(|code| *code != above.as_str());
                break End::Circle(circle.collect());
            }
            path.push(above);
            next = further;
        };
        Line {
            above: path.into_iter().skip(1).collect(),
            end,
        }
    }

    /// Codes of a department and of everything below it. Of departments that go round in a circle, the whole circle and
    /// everything below it. Also of a code that does not exist, with what names it as parent.
    pub fn subtree(&self, code: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        if let Some((code, _)) = self.above.get_key_value(code) {
            found.insert(code.as_str());
        }
        let mut waiting: Vec<&str> = self.below(code).collect();
        while let Some(next) = waiting.pop() {
            if found.insert(next) {
                waiting.extend(self.below(next));
            }
        }
        found
    }

    /// Whom it concerns that a department appeared, changed or went, which was directly below `before` until then:
    /// everything below it, and everything above it now and before.
    pub fn concerned(&self, code: &str, before: Option<&str>) -> BTreeSet<&str> {
        let mut concerned = self.subtree(code);
        concerned.extend(self.line(code).above);
        if let Some((before, _)) = before.and_then(|code| self.above.get_key_value(code)) {
            concerned.insert(before);
            concerned.extend(self.line(before).above);
        }
        concerned
    }
}

impl<'a> Line<'a> {
    /// Codes of the departments whose administrators oversee this one, the nearest first. Nobody does in a circle, below
    /// one, or at the end of a chain that is longer than any administration; nobody beyond a department whose level is
    /// above that of its parent (see [`check_level`]). `level` is its own, `level_of` gives those of others.
    pub fn overseers(
        &self,
        level: Level,
        level_of: impl Fn(&str) -> Option<Level>,
    ) -> Vec<&'a str> {
        if matches!(self.end, End::Circle(_)) || self.above.len() > DEEPEST {
            return Vec::new();
        }
        let (mut overseers, mut below) = (Vec::new(), level);
        for code in self.above.iter().copied() {
            match level_of(code) {
                Some(above) if below >= above => below = above,
                Some(_) | None => break,
            }
            overseers.push(code);
        }
        overseers
    }

    /// What is wrong with the chain by the department's own doing: it is one of a circle, or too deep down.
    pub fn refusal(&self, code: &str) -> Option<Refusal> {
        if let End::Circle(circle) = &self.end
            && circle.first() == Some(&code)
        {
            return Some(Refusal::new(
                "D06",
                format!("{} as departments above each other", spelled(circle)),
                "a chain that ends with a department without spec.parent",
                "take spec.parent away from one of them or name another; until then nobody above oversees any of them, and offices and leases go on",
            ));
        }
        (self.above.len() > DEEPEST).then(|| {
            Refusal::new(
                "D07",
                format!("{} departments above {code}", self.above.len()),
                format!("{DEEPEST}"),
                "name a department further up in spec.parent; until then nobody above oversees it, and its office and leases go on",
            )
        })
    }

    /// What is wrong further above, in plain words. Nothing can be done about it here.
    pub fn note(&self, code: &str) -> Option<String> {
        match &self.end {
            End::Top => None,
            End::Missing(parent) if self.above.is_empty() => Some(format!(
                "Department {parent} above this one does not exist yet; the e-government office applies it"
            )),
            End::Missing(parent) => Some(format!(
                "Department {parent} further above does not exist yet; the e-government office applies it"
            )),
            End::Circle(circle) if circle.first() == Some(&code) => None,
            End::Circle(circle) => Some(format!(
                "the departments above go round in a circle, {} (rule D06); until the e-government office mends it nobody above oversees this one",
                spelled(circle)
            )),
        }
    }
}

/// A circle as people draw it: `a → b → a`.
fn spelled(circle: &[&str]) -> String {
    let round = circle.iter().chain(circle.first());
    round.copied().collect::<Vec<_>>().join(" → ")
}

/// The refusal of a level that is above the level of the department above. Whoever is above a county is no township.
pub fn check_level(
    (code, level): (&str, Level),
    (parent, above): (&str, Level),
) -> Result<(), Refusal> {
    if level >= above {
        return Ok(());
    }
    Err(Refusal::new(
        "D08",
        format!("{code} of level {level:?} below {parent} of level {above:?}"),
        format!("level {above:?} or a lower one"),
        "correct spec.level or spec.parent; until then nobody above oversees it, and its office and leases go on",
    ))
}

#[cfg(test)]
mod tests;
