//! Whether namespaces may be opened: while the chart's admission policies are in force, and not otherwise.
//!
//! What a policy would have refused stays for good in a namespace that was opened without it. What is open already goes on:
//! to close it would take from people what they pay for. It is looked at before each namespace that is opened, and now and
//! then, so that it is told before anybody waits for one.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use leasehold_kit::{Kit, KitError};
use leasehold_planner::fences::{self, Standing};
use tokio::sync::Mutex;

use crate::verdict::told;

/// So many gaps are named; more are only counted.
const NAMED: usize = 3;

/// How long a look that found all in force stands, from when it began. It serves whoever came before that, however long ago.
const WHOLE: Duration = Duration::from_secs(1);
/// The same of a look that found something missing.
const WANTING: Duration = Duration::from_secs(2);

/// What was seen of the policies, and when that look began, by the monotonic clock.
#[derive(Default)]
struct Watch {
    /// Held while somebody looks: one at a time.
    looking: Mutex<()>,
    seen: RwLock<Option<(Duration, Vec<String>)>>,
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
    pub async fn closed(&self, kit: &Kit) -> Option<String> {
        let watch = self.0.as_ref()?;
        let came = kit.clock().monotonic();
        let _one = watch.looking.lock().await;
        if !watch.is_fresh(came) {
            let began = kit.clock().monotonic();
            let gaps = match look(kit).await {
                Ok(gaps) => gaps,
                Err(error) => vec![format!("they cannot be read ({})", told(&error))],
            };
            let mut seen = watch.seen.write().unwrap_or_else(PoisonError::into_inner);
            *seen = Some((began, gaps));
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
    /// Whether what was seen is good enough for who came then. However long a look takes, nobody waits for more than two.
    fn is_fresh(&self, came: Duration) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|(began, gaps)| {
            let lasts = if gaps.is_empty() { WHOLE } else { WANTING };
            came.saturating_sub(*began) < lasts
        })
    }
}

async fn look(kit: &Kit) -> Result<Vec<String>, KitError> {
    let standing = Standing {
        policies: kit.list(None, None).await?,
        bindings: kit.list(None, None).await?,
        stamps: kit.list(None, None).await?,
        stamp_bindings: kit.list(None, None).await?,
    };
    Ok(fences::gaps(&standing))
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
        "no namespace is opened, because the chart's admission policies are not all in force: {}{more}; the platform deletes \
         what is there of these, installs the chart again, and it goes on by itself",
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
    fn a_look_serves_who_came_before_it_began_and_for_a_moment_who_came_after() {
        let seen = |gaps: &[&str]| Watch {
            seen: RwLock::new(Some((
                Duration::from_secs(100),
                gaps.iter().map(|gap| (*gap).to_owned()).collect(),
            ))),
            ..Watch::default()
        };
        let fresh = |gaps: &[&str]| {
            [40, 100, 101, 102].map(|at| seen(gaps).is_fresh(Duration::from_secs(at)))
        };
        assert_eq!(fresh(&[]), [true, true, false, false]);
        assert_eq!(fresh(&["one"]), [true, true, true, false]);
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
