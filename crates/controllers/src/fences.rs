//! Whether namespaces may be opened: while the chart's admission policies are in force, and not otherwise.
//!
//! What a policy would have refused stays for good in a namespace that was opened without it. What is open already goes on:
//! to close it would take from people what they pay for. It is looked at before each namespace that is opened, and now and
//! then, so that it is told before anybody waits for one.

use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use leasehold_kit::{Kit, KitError};
use leasehold_ledger::time::Second;
use leasehold_planner::fences;
use tokio::sync::Mutex;

use crate::verdict::told;

/// So many gaps are named; more are only counted.
const NAMED: usize = 3;

/// What was missing is missing for so many seconds before anybody looks again; what was whole is looked at in the next one.
const LASTS: i64 = 2;

/// What was seen of the policies, and when.
#[derive(Default)]
struct Watch {
    /// Held while somebody looks: who comes meanwhile goes by what that one saw.
    looking: Mutex<()>,
    seen: RwLock<Option<(Second, Vec<String>)>>,
}

/// Whether the chart's admission policies are in force; shared by all who open namespaces. By default nobody looks, as where
/// there are no policies to look at.
#[derive(Clone, Default)]
pub struct Fences(Option<Arc<Watch>>);

impl Fences {
    /// Fences that are looked at.
    pub fn watched() -> Self {
        Self(Some(Arc::default()))
    }

    /// Looks, unless that was done a moment ago, and says why no namespace may be opened; nothing while it may. What
    /// cannot be seen counts as missing.
    pub async fn closed(&self, kit: &Kit, now: Second) -> Option<String> {
        let watch = self.0.as_ref()?;
        let _one = watch.looking.lock().await;
        if !watch.is_fresh(now) {
            let gaps = match look(kit).await {
                Ok(gaps) => gaps,
                Err(error) => vec![format!("they cannot be read ({})", told(&error))],
            };
            let mut seen = watch.seen.write().unwrap_or_else(PoisonError::into_inner);
            *seen = Some((now, gaps));
        }
        sentence(&self.gaps())
    }

    /// What was missing when somebody looked last.
    pub fn gaps(&self) -> Vec<String> {
        let seen = self.0.as_ref().and_then(|watch| {
            let seen = watch.seen.read().unwrap_or_else(PoisonError::into_inner);
            seen.as_ref().map(|(_, gaps)| gaps.clone())
        });
        seen.unwrap_or_default()
    }

    /// Why no namespace may be opened, as somebody saw it last.
    pub fn told(&self) -> Option<String> {
        sentence(&self.gaps())
    }
}

impl Watch {
    fn is_fresh(&self, now: Second) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|(at, gaps)| {
            let lasts = if gaps.is_empty() { 1 } else { LASTS };
            (0..lasts).contains(&now.since(*at))
        })
    }
}

async fn look(kit: &Kit) -> Result<Vec<String>, KitError> {
    let policies = kit.list::<ValidatingAdmissionPolicy>(None, None).await?;
    let bindings = kit
        .list::<ValidatingAdmissionPolicyBinding>(None, None)
        .await?;
    Ok(fences::gaps(&policies, &bindings))
}

/// The gaps in plain words, with what to do.
fn sentence(gaps: &[String]) -> Option<String> {
    if gaps.is_empty() {
        return None;
    }
    let named: Vec<&str> = gaps.iter().take(NAMED).map(String::as_str).collect();
    let more = match gaps.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "no namespace is opened, because the chart's admission policies are not all in force: {}{more}; the platform installs \
         the chart again, and it goes on by itself",
        named.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_looks_nothing_is_missing() {
        assert!(Fences::default().gaps().is_empty());
        assert_eq!(Fences::default().told(), None);
    }

    #[test]
    fn what_was_not_looked_at_yet_is_not_told_as_missing() {
        assert_eq!(Fences::watched().told(), None);
    }

    #[test]
    fn what_is_whole_is_looked_at_in_every_second_and_what_is_missing_is_not() {
        let seen = |gaps: &[&str]| Watch {
            seen: RwLock::new(Some((
                Second::new(100),
                gaps.iter().map(|gap| (*gap).to_owned()).collect(),
            ))),
            ..Watch::default()
        };
        let fresh =
            |gaps: &[&str]| [99, 100, 101, 102].map(|at| seen(gaps).is_fresh(Second::new(at)));
        assert_eq!(fresh(&[]), [false, true, false, false]);
        assert_eq!(fresh(&["one"]), [false, true, true, false]);
    }

    #[test]
    fn three_gaps_are_named_and_the_rest_is_counted() {
        let gaps: Vec<String> = ["one", "two", "three", "four", "five"]
            .map(str::to_owned)
            .to_vec();
        let told = |number: usize| sentence(gaps.get(..number).unwrap());
        assert_eq!(told(0), None);
        let of = |number: usize| {
            let told = told(number).unwrap();
            let (_, rest) = told.split_once("in force: ").unwrap();
            rest.split_once("; the platform").unwrap().0.to_owned()
        };
        assert_eq!(of(1), "one");
        assert_eq!(of(3), "one, two, three");
        assert_eq!(of(5), "one, two, three and 2 more");
    }
}
