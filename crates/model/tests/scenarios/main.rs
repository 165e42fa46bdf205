//! The operator on the model of the API server, by the thousand: what goes wrong on the way must not show in the end.
//!
//! A seed draws a script (`script`): departments, tenancies, and what people do with them. It is played (`play`) twice,
//! undisturbed and through trouble: the operator is restarted, killed and crashes around its writes, watches lag, break,
//! expire and lose events, calls are refused or go unanswered. Of each run must hold (`bounds`, `course`):
//!
//! - over the namespaces of a tenancy, every resource stays within what was approved, after every single change;
//! - nothing is deleted that nobody let go, no pod while its quota lets it run, and no namespace before its release was
//!   approved and the grace was over;
//! - no reconcile panics, and the ledger verifies.
//!
//! Of the run through trouble must hold besides that it ends as the undisturbed one did: the same objects, created and
//! deleted as often, the same leases billed, the same documents recorded (`state`); and that nothing is written once
//! everything has been done.
//!
//! Other tests play one tenancy's life again and again, and let the operator die around every single write and every
//! commit to the ledger: before it, between it and its answer, and after it. In one life a lease is asked for, changed and
//! released; in the other one it is given back, accepted, lived in by pods, moved with its use and suspended, and a volume
//! of it is kept.
//!
//! What takes days, such as the end of a term, is told in stories (`stories`), each with an end of its own.
//!
//! How it is that hours take a moment, though the ledger is a real database: see `ledger`.
//!
//! How far a run repeats itself: the script, what goes wrong, pauses after failures and played time follow from the seed;
//! whoever waits is woken in the order in which it began to wait (`leasehold_model`), and where several things may come
//! first, they are looked at in a fixed order (`biased`). So a tenancy that is alone writes to each object the same in the
//! same order again, which a test holds. What is left to chance lies outside:
//!
//! - which of several objects of one kind comes first, when their controller has them to do in the same instant: the
//!   runtime of our client keeps what waits, what runs and what it has cached in maps with a hash of their own in each
//!   process, which cannot be given a seed. Whatever goes wrong is dealt out in the order of calls, so that trouble may
//!   meet another object;
//! - who hears first of what is told to several at once within the operator (`tokio::sync::watch`), its shutdown among it,
//!   and what its watches wait for after they broke: only a build of everything with `--cfg tokio_unstable` could give the
//!   first a seed, and nothing the second;
//! - when a draft of a statement that is reckoned in a thread of its own is ready, among what happens in that instant.
//!   Time does not go on meanwhile. Scripts that run every part of the operator do that;
//! - not the ledger, although it has a thread of its own: the caller's thread stands still until it has answered.
//!
//! Environment:
//!
//! | variable | what it does |
//! |---|---|
//! | `LEASEHOLD_SEEDS=20000` | so many scripts instead of a few; in a release build |
//! | `LEASEHOLD_FROM=5000` | the first of them, so that a long run can be made in parts |
//! | `LEASEHOLD_SEED=17` | this script alone, as a failure prints it |
//! | `LEASEHOLD_DEPARTMENTS=2000` | so many departments in the story of a county that moves, instead of 202 |
//! | `LEASEHOLD_CRASHES=all` | every moment of every write, instead of one moment each in turn |

/// Scenarios make, copy and drop small things all the time, in one thread each: a third of their time went into the
/// system's allocator.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cores;
#[cfg(test)]
mod course;
#[cfg(test)]
mod expect;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod people;
#[cfg(test)]
mod play;
#[cfg(test)]
mod script;
#[cfg(test)]
mod state;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod teeth;
#[cfg(test)]
mod world;

#[cfg(test)]
mod scenarios {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use leasehold_model::{Crash, Moment};
    use leasehold_testkit::ends::difference;

    use crate::{
        cores::on_all_cores,
        course::{Around, Course, Outcome, perform},
        script::Script,
    };

    /// So many scripts, unless somebody wants more.
    const SEEDS: u64 = 24;

    fn number(variable: &str) -> Option<u64> {
        let text = std::env::var(variable).ok()?;
        Some(text.parse().unwrap_or_else(|_| {
            panic!("{variable} is {text:?}, which is no whole number");
        }))
    }

    /// Plays the script of a seed undisturbed and through trouble.
    fn twice(seed: u64) -> Result<(), String> {
        let script = Script::drawn(seed);
        let known =
            perform(&script, &Course::Undisturbed).map_err(|why| format!("undisturbed: {why}"))?;
        perform(&script, &Course::Troubled(&known))?;
        Ok(())
    }

    #[test]
    fn through_whatever_trouble_everything_ends_as_if_there_had_been_none() {
        let seeds: Vec<u64> = if let Some(seed) = number("LEASEHOLD_SEED") {
            vec![seed]
        } else {
            let first = number("LEASEHOLD_FROM").unwrap_or(0);
            let count = number("LEASEHOLD_SEEDS").unwrap_or(SEEDS);
            (first..first.saturating_add(count)).collect()
        };
        let failures = on_all_cores(&seeds, |seed| {
            twice(*seed).map_err(|why| {
                format!(
                    "LEASEHOLD_SEED={seed} cargo test -p leasehold-model --test scenarios through_whatever\n{why}"
                )
            })
        });
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }

    /// Every point at which a life is cut, or every one of so many, each moment at another write.
    fn cuts(known: &Outcome, of: u64) -> Vec<(Around, Crash)> {
        let all = std::env::var("LEASEHOLD_CRASHES").is_ok_and(|wish| wish == "all");
        let mut cuts = Vec::new();
        for (around, count) in [
            (Around::Write, known.writes),
            (Around::Commit, known.commits),
        ] {
            for write in 0..count {
                for (turn, moment) in (0..).zip(Moment::ALL) {
                    if all || write % of == turn * (of / 3) {
                        cuts.push((around, Crash { write, moment }));
                    }
                }
            }
        }
        cuts
    }

    /// Plays a life again and again, and lets the operator die at every cut; at one of so many if not all are asked for.
    fn dies_everywhere_in(script: &Script, of: u64) {
        let known = perform(script, &Course::Undisturbed).unwrap();
        let cuts = cuts(&known, of);
        let missed = AtomicUsize::new(0);
        let failures = on_all_cores(&cuts, |(around, crash)| {
            let ended = perform(script, &Course::Crashed(&known, *around, *crash))?;
            if ended.deaths == 0 {
                missed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
        // a tenancy by itself leaves next to nothing to chance
        let missed = missed.into_inner();
        assert!(
            missed * 100 < cuts.len(),
            "{missed} of {} crashes were missed",
            cuts.len()
        );
    }

    /// What was written to each object, in order. Events tell of the same as best they can.
    fn by_object(ended: &Outcome) -> BTreeMap<String, Vec<String>> {
        let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for written in &ended.written {
            if written.resource.starts_with("events") {
                continue;
            }
            let object = format!("{} {}", written.resource, written.place);
            let what = format!("{:?} {}", written.verb, written.subresource);
            let told = format!("{} {}", what.trim_end(), written.code);
            objects.entry(object).or_default().push(told);
        }
        objects
    }

    #[test]
    fn a_life_that_is_played_twice_writes_to_each_object_the_same_in_the_same_order() {
        let lives = [Script::of_a_life(), Script::of_a_busy_life()];
        let failures = on_all_cores(&lives, |script| {
            let [once, again] = [(); 2].map(|()| perform(script, &Course::Undisturbed));
            let (once, again) = (by_object(&once?), by_object(&again?));
            assert!(once.len() > 10, "hardly anything was written: {once:?}");
            let show = |written: &Vec<String>| format!("{written:?}");
            difference(&once, &again, show, |expected, found| {
                format!("written {found:?} instead of {expected:?}")
            })
            .map_or(Ok(()), Err)
        });
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }

    #[test]
    fn a_life_ends_the_same_wherever_the_operator_dies_in_it() {
        dies_everywhere_in(&Script::of_a_life(), 3);
    }

    #[test]
    fn a_busy_life_ends_the_same_wherever_the_operator_dies_in_it() {
        dies_everywhere_in(&Script::of_a_busy_life(), 9);
    }
}
