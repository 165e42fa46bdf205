//! What the campaign must come to.

use leasehold_planner::rules::{Held, RULES};

use crate::campaign::campaign;
use crate::cells::{Expected, Tables};

/// The fewest attacks of the matrix, the fewest of them on ownership that rights do not stop, and the fewest access reviews.
const ATTACKS: usize = 20_000;
const OWNERSHIP: usize = 2_600;
const REVIEWS: usize = 10_000;
/// The fewest answers with yes: a cluster that allows nothing would pass the rest.
const ALLOWED: usize = 500;
/// How many flaws are shown; what breaks one cell breaks many.
const SHOWN: usize = 25;

fn none(what: &str, flaws: &[String]) {
    let shown: Vec<&str> = flaws.iter().take(SHOWN).map(String::as_str).collect();
    assert!(
        flaws.is_empty(),
        "{} {what}, of which:\n{}",
        flaws.len(),
        shown.join("\n")
    );
}

#[tokio::test]
async fn no_attack_succeeds_while_the_operator_runs() {
    let campaign = campaign().await;
    let (attacks, ownership) = (campaign.attacks, campaign.ownership);
    assert!(attacks >= ATTACKS, "{attacks} attacks");
    assert!(ownership >= OWNERSHIP, "{ownership} attacks on ownership");
    none("attacks did not end as they should", &campaign.alive);
}

#[tokio::test]
async fn no_attack_succeeds_after_the_operator_was_killed() {
    let campaign = campaign().await;
    none("attacks did not end as they should", &campaign.dead);
}

#[tokio::test]
async fn everybody_can_do_their_own_job() {
    none("people were hindered", &campaign().await.hindered);
}

#[tokio::test]
async fn what_is_known_to_be_open_is_still_open_or_leaves_the_list() {
    let what = "holes of open.yaml are closed: move them to the attacks";
    none(what, &campaign().await.closed);
}

#[tokio::test]
async fn nobody_holds_a_right_that_the_table_does_not_give() {
    let reviewed = &campaign().await.reviewed;
    let (asked, allowed) = (reviewed.asked, reviewed.allowed);
    assert!(asked >= REVIEWS, "{asked} reviews");
    assert!(allowed >= ALLOWED, "{allowed} of {asked} are allowed");
    none("rights are not those of the table", &reviewed.flaws);
}

#[tokio::test]
async fn every_door_that_the_api_server_serves_is_attacked() {
    let unattacked = &campaign().await.unattacked;
    none("doors are not attacked", unattacked);
}

#[tokio::test]
async fn without_any_one_policy_or_validation_the_matrix_fails() {
    let weakened = &campaign().await.weakened;
    let counts = (weakened.bindings, weakened.validations);
    assert!(counts.0 > 10 && counts.1 > 15, "{counts:?} were taken away");
    none("pieces were not missed", &weakened.flaws);
}

#[test]
fn every_rule_of_the_policies_is_attacked() {
    let cells = Tables::read().unwrap().attacks().unwrap();
    let attacked = |id: &str| {
        cells.iter().any(|cell| match &cell.expected {
            Expected::Rule(rule) | Expected::Warned(rule) => rule == id,
            Expected::Overwritten(_) => id == "N06",
            Expected::NoRight { .. } | Expected::Words(_) | Expected::Accepted => false,
        })
    };
    let rules = RULES.iter().filter(|rule| rule.held_by == Held::Policy);
    let left_out: Vec<&str> = rules
        .map(|rule| rule.id)
        .filter(|id| !attacked(id))
        .collect();
    assert!(left_out.is_empty(), "nobody attacks {left_out:?}");
}

#[test]
fn every_hole_that_is_known_says_what_is_missing() {
    let open = Tables::read().unwrap().open().unwrap();
    let silent: Vec<String> = open
        .iter()
        .filter(|cell| cell.reason.is_none())
        .map(crate::cells::Cell::title)
        .collect();
    none("known holes have no reason", &silent);
}

#[test]
fn everybody_attacks_and_everybody_has_a_job() {
    let tables = Tables::read().unwrap();
    let (attacks, jobs) = (tables.attacks().unwrap(), tables.jobs().unwrap());
    // not the operator, whose work the other tests see, nor who is nobody; and the namesake and those
    // with every right who are neighbours or administer the cluster are there to attack only
    let exempt = [
        "operator",
        "anonymous",
        "namesake",
        "mighty-stranger",
        "ops",
    ];
    for who in tables.ground.people.keys() {
        assert!(attacks.iter().any(|cell| cell.who == *who), "{who}");
        let works = jobs.iter().any(|cell| cell.who == *who);
        assert!(works || exempt.contains(&who.as_str()), "{who}");
    }
}
