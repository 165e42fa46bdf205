//! The tables as they are written.

use std::collections::BTreeMap;

use leasehold_e2e::tables::parse;
use serde::Deserialize;
use serde_json::Value;

use crate::request::{Outcome, Request};

/// What the cases stand on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// Where objects of a kind are, by a short name.
    pub places: BTreeMap<String, String>,
    /// Users in whose name the administrator acts.
    pub impersonated: BTreeMap<String, Identity>,
    /// What is created, by a short name.
    pub objects: BTreeMap<String, Value>,
    /// Refused while there is no `CloudPolicy`.
    pub unfurnished: Vec<Request>,
    /// Carried out before the cases.
    pub before: Vec<Request>,
    /// The time without stamps.
    pub unstamped: Unstamped,
}

/// A user as the API server sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its name.
    pub user: String,
    /// Its groups, beyond those that every user has.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The time without stamps.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unstamped {
    /// Paths of the bindings that are taken away meanwhile.
    pub without: Vec<String>,
    /// What is made meanwhile.
    pub makes: Vec<Request>,
}

/// A table of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    cases: Vec<Entry>,
    #[serde(default)]
    closed: Vec<Request>,
    #[serde(default)]
    undisturbed: Vec<Request>,
}

/// What one part of a policy lets through and what it refuses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The policy.
    pub policy: String,
    /// The binding through which it refuses; of the policy's name, if none is given.
    #[serde(default)]
    pub binding: Option<String>,
    /// Of a validation: the beginning of its message.
    #[serde(default)]
    pub validation: Option<String>,
    /// Of a match condition: its name.
    #[serde(default)]
    pub condition: Option<String>,
    /// Of a mutation: its number, from 0.
    #[serde(default)]
    pub mutation: Option<usize>,
    /// The rule.
    pub rule: String,
    /// What is tried, for people.
    pub branch: String,
    /// The beginning of a refusal.
    #[serde(default)]
    pub says: Option<String>,
    /// Whether the policy writes rather than refuses.
    #[serde(default)]
    pub mutates: bool,
    /// Where the policy writes a mark: the policy that refuses what bears it.
    #[serde(default)]
    pub refused_by: Option<String>,
    /// Whether the policy warns rather than refuses.
    #[serde(default)]
    pub warns: bool,
    /// Whether it is asked in the time without stamps.
    #[serde(default)]
    pub unstamped: bool,
    /// What is let through.
    pub accept: Vec<Request>,
    /// What is refused.
    pub reject: Vec<Request>,
}

impl Entry {
    /// The binding through which it refuses.
    pub fn binding(&self) -> &str {
        self.binding.as_deref().unwrap_or(&self.policy)
    }

    /// The beginning of the refusal of one of its requests.
    pub fn sentence<'a>(&'a self, request: &'a Request) -> &'a str {
        let said = request.says.as_deref().or(self.says.as_deref());
        said.or(self.validation.as_deref()).unwrap_or_default()
    }

    /// What must come of a request that is not let through.
    fn rejected(&self, request: &Request) -> Outcome {
        if self.mutates && self.refused_by.is_none() {
            return Outcome::Accepted;
        }
        let (policy, binding) = match self.refused_by.as_deref() {
            Some(other) => (other, other),
            None => (self.policy.as_str(), self.binding()),
        };
        let (named, said) = (
            format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}'"),
            self.sentence(request),
        );
        if self.warns {
            Outcome::Warned(format!("{named}: {said}"))
        } else {
            Outcome::Forbidden(format!("{named} denied request: {said}"))
        }
    }

    /// What must come of a request that is let through.
    fn accepted(&self) -> Outcome {
        if self.warns {
            Outcome::Unwarned(format!("rule {}:", self.rule))
        } else {
            Outcome::Accepted
        }
    }

    /// Its requests with what must come of each: the refused ones first, so that whoever waits for a
    /// policy sees it refuse before anything else is asked.
    pub fn jobs(&self) -> impl Iterator<Item = Job<'_>> {
        let reject = self.reject.iter();
        let accept = self.accept.iter();
        let reject = reject.map(move |request| (request, self.rejected(request)));
        let accept = accept.map(move |request| (request, self.accepted()));
        reject.chain(accept).map(move |(request, outcome)| Job {
            of: format!("{} ({})", self.policy, self.branch),
            request,
            outcome,
        })
    }
}

/// A request with what must come of it.
pub struct Job<'a> {
    /// Which case it belongs to, for people.
    pub of: String,
    /// The request.
    pub request: &'a Request,
    /// What must come of it.
    pub outcome: Outcome,
}

/// All cases.
pub struct Table {
    /// Those of the policies.
    pub entries: Vec<Entry>,
    /// Ways that the API server itself does not offer.
    pub closed: Vec<Request>,
    /// What must go on undisturbed.
    pub undisturbed: Vec<Request>,
}

impl Table {
    /// Reads them.
    pub fn read() -> Result<Self, String> {
        let mut all = Self {
            entries: Vec::new(),
            closed: Vec::new(),
            undisturbed: Vec::new(),
        };
        for text in [include_str!("cases.yaml"), include_str!("workloads.yaml")] {
            let mut cases: Sheet = parse(text)?;
            all.entries.append(&mut cases.cases);
            all.closed.append(&mut cases.closed);
            all.undisturbed.append(&mut cases.undisturbed);
        }
        Ok(all)
    }

    /// What is asked in the time without stamps, or outside of it.
    pub fn jobs(&self, unstamped: bool) -> impl Iterator<Item = Job<'_>> {
        self.entries
            .iter()
            .filter(move |entry| entry.unstamped == unstamped)
            .flat_map(Entry::jobs)
    }

    /// What the API server answers by itself.
    pub fn beside(&self) -> impl Iterator<Item = Job<'_>> {
        let closed = self.closed.iter().map(|request| Job {
            of: "closed".to_owned(),
            request,
            outcome: Outcome::Refused(request.says.clone().unwrap_or_default()),
        });
        let open = self.undisturbed.iter().map(|request| Job {
            of: "undisturbed".to_owned(),
            request,
            outcome: Outcome::Accepted,
        });
        closed.chain(open)
    }
}

impl Ground {
    /// Reads it.
    pub fn read() -> Result<Self, String> {
        parse(include_str!("ground.yaml"))
    }
}
