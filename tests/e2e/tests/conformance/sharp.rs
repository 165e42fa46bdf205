//! The table by hand, case by case. The code of each answer is written down as well, so that a case cannot pass by
//! missing what it is about.

use serde_json::{Value, json};

use crate::bodies::bodies;
use crate::deed::Deed;
use crate::pair::Pair;
use crate::place::Place;
use crate::plane::administrator;
use crate::{cases, cases_around, cases_of_ours};

/// With what everything begins that the table makes.
const PREFIX: &str = "cft-";
/// The namespace of cases that need none of their own.
pub const HOME: &str = "cft-home";

/// A finalizer that nobody but the table takes off.
pub const HOLD: &str = "conformance.leasehold.dev/hold";
/// One who applies.
pub const ALPHA: &str = "cf-alpha";
/// Another who applies.
pub const BETA: &str = "cf-beta";

/// One step of a case.
pub enum Step {
    /// A call, and the code of its answer.
    Do(Deed, u16),
    /// A call of which the verdict alone is compared, and the code of its answer.
    Judge(Deed, u16),
    /// A namespace of the case's own.
    Settle(String),
    /// Both come to the same here, after a while.
    Level(Place),
}

/// A case of the table.
pub struct Case {
    /// What it is about.
    pub says: &'static str,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// A case of calls with their codes.
pub fn case(says: &'static str, calls: Vec<(Deed, u16)>) -> Case {
    let steps = calls.into_iter().map(|(deed, code)| Step::Do(deed, code));
    Case {
        says,
        steps: steps.collect(),
    }
}

/// An object of a kind in the common namespace.
pub fn at(kind: &str, name: &str) -> Place {
    Place::new(kind, HOME, name)
}

/// An object of a kind that lives in no namespace.
pub fn apart(kind: &str, name: &str) -> Place {
    Place::new(kind, "", &format!("{PREFIX}{name}"))
}

/// A call that makes a good object.
pub fn made(place: &Place) -> (Deed, u16) {
    let body = match place.kind.kind.as_str() {
        "ConfigMap" => json!({"data": {"x": "1"}}),
        ours => bodies()[ours].content.clone(),
    };
    (Deed::create(place, &body), 201)
}

/// A patch that is sent to a status.
pub fn status(place: &Place, patch: Value) -> Deed {
    Deed::merge(place, patch).through("status")
}

async fn take(pair: &mut Pair, step: &Step) -> Result<(), String> {
    let (found, expected) = match step {
        Step::Do(deed, code) => (Box::pin(pair.perform(deed)).await?, code),
        Step::Judge(deed, code) => (Box::pin(pair.judge(deed)).await?, code),
        Step::Settle(name) => return Box::pin(pair.settle_in(name)).await,
        Step::Level(place) => return Box::pin(pair.level(&Deed::get(place))).await,
    };
    if found == *expected {
        Ok(())
    } else {
        Err(format!(
            "both answered {found}, but the case is about {expected}"
        ))
    }
}

#[tokio::test]
async fn each_sharp_case_ends_the_same_on_both_sides() {
    let admin = administrator().await;
    let opened = Box::pin(Pair::open(admin.client(), PREFIX, HOME)).await;
    let mut pair = opened.unwrap();
    let mut failures = Vec::new();
    let table: Vec<Case> = [cases::all(), cases_around::all(), cases_of_ours::all()]
        .into_iter()
        .flatten()
        .collect();
    for Case { says, steps } in &table {
        for (number, step) in steps.iter().enumerate() {
            if let Err(what) = take(&mut pair, step).await {
                failures.push(format!("{says}, step {}:\n{what}", number + 1));
                break;
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases found a difference:\n\n{}",
        failures.len(),
        table.len(),
        failures.join("\n\n")
    );
}
