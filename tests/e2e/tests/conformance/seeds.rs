//! Plays of random calls, each from one seed.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream;
use kube::Client;

use crate::deed::{Deed, Verb};
use crate::draw::Draw;
use crate::events::Watches;
use crate::pair::Pair;
use crate::plane::administrator;

/// Seeds that every run plays.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=40;
/// Seeds that once found a difference, each with a word on what it was. They are played for ever.
const FOUND: [u64; 1] = [
    // a status applied to what is not there, with a field that nobody knows
    101,
];
/// Calls of one play.
const STEPS: usize = 60;
/// Plays at a time: most of a play is waiting for the cluster's controllers.
const AT_ONCE: usize = 8;
/// Failures that are printed in full.
const PRINTED: usize = 6;
/// Repeats one play alone.
const SEED: &str = "LEASEHOLD_SEED";

/// How often each verb was carried out and refused.
type Tally = BTreeMap<(Verb, bool), u32>;

/// All seeds, or the one that is asked for.
fn seeds() -> Vec<u64> {
    match std::env::var(SEED) {
        Ok(text) => vec![text.parse().expect("LEASEHOLD_SEED is a whole number")],
        Err(_) => SEEDS.chain(FOUND).collect(),
    }
}

/// Plays one seed: the same calls to both, and in the end the same lists and the same events.
async fn play(client: Client, seed: u64) -> Result<Tally, String> {
    let repeat = format!(
        "repeat it: {SEED}={seed} cargo test --package leasehold-e2e --test conformance seeds::"
    );
    let failed = |when: String, what: &str| format!("seed {seed}, {when}:\n{what}\n{repeat}");
    let (prefix, home) = (format!("cf{seed}-"), format!("cf{seed}-home"));
    let mut draw = Draw::new(seed, &prefix, &home);
    let opened = Box::pin(Pair::open(client, &prefix, &home)).await;
    let mut pair = opened.map_err(|what| failed("beginning".to_owned(), &what))?;
    let places = draw.places();
    let watches = Watches::open(&pair, places.clone()).await;
    let mut tally = Tally::new();
    for step in 1..=STEPS {
        let deed = draw.deed(pair.book());
        let performed = Box::pin(pair.perform(&deed)).await;
        let code = performed.map_err(|what| failed(format!("step {step}"), &what))?;
        let count = tally.entry((deed.verb, code < 300)).or_default();
        *count = count.saturating_add(1);
    }
    for place in &places {
        let level = Box::pin(pair.level(&Deed::list(place))).await;
        level.map_err(|what| failed("lists at the end".to_owned(), &what))?;
    }
    let level = Box::pin(watches.level(&pair)).await;
    level.map_err(|what| failed("events".to_owned(), &what))?;
    Ok(tally)
}

/// Every verb came up, and all that can be refused was carried out and refused.
fn all_came_up(tallies: &[Tally]) {
    for verb in Verb::ALL {
        for is_done in [true, false] {
            // a list is refused in the table
            if verb == Verb::List && !is_done {
                continue;
            }
            let counts = tallies
                .iter()
                .filter_map(|tally| tally.get(&(verb, is_done)));
            let count: u32 = counts.sum();
            let word = if is_done { "carried out" } else { "refused" };
            assert!(count >= 10, "{verb:?} was {word} {count} times in all");
        }
    }
}

#[tokio::test]
async fn whatever_is_asked_the_model_answers_as_the_api_server_does() {
    let admin = administrator().await;
    let seeds = seeds();
    let plays = seeds
        .iter()
        .map(|seed| Box::pin(play(admin.client(), *seed)));
    let ended: Vec<Result<Tally, String>> = stream::iter(plays)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let count = ended.len();
    let (tallies, failures): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
    let failures: Vec<String> = failures.into_iter().filter_map(Result::err).collect();
    let printed = &failures[..failures.len().min(PRINTED)];
    assert!(
        failures.is_empty(),
        "{} of {count} plays found a difference; these are the first to end:\n\n{}",
        failures.len(),
        printed.join("\n\n")
    );
    if count > 1 {
        let tallies: Vec<Tally> = tallies.into_iter().filter_map(Result::ok).collect();
        all_came_up(&tallies);
    }
}
