//! Facts that are delivered by several processes, again and again, while these are killed and paused: none is lost, none is
//! there twice, and nobody writes after somebody else has taken over. On both databases.
//!
//! The processes are real ones (`src/bin/deliver.rs`), and are ended as a power cut ends them.
//!
//! Environment:
//!
//! | variable | what it does |
//! |---|---|
//! | `LEASEHOLD_FACTS=1000000` | so many facts, each delivered 1 to 5 times; 20,000 without it. From 200,000 on a process is killed every 2 s, below every 0.3 s |
//! | `LEASEHOLD_TAKEOVERS=50` | so many processes take the ledger over from one that is paused; 3 without it |
//! | `LEASEHOLD_SEED=17` | kills others; 1 without it |

#[cfg(test)]
mod crew;
#[cfg(test)]
mod home;

#[cfg(test)]
mod deliveries {
    use std::io::Write as _;
    use std::time::Duration;

    use leasehold_e2e::deliveries::{FENCED, Notes, WORKERS, note_of, number_of, share, times};
    use leasehold_model::Chance;
    use leasehold_store::{FactFilter, Store};
    use leasehold_testkit::{LONG, eventually};
    use tokio::time::{Instant, sleep};

    use crate::crew::{Crew, Keeper};
    use crate::home::Home;

    /// Facts, unless somebody wants more.
    const FACTS: u64 = 20_000;
    /// From so many on, kills come as seldom as in the long run.
    const MANY: u64 = 200_000;
    /// Takeovers, unless somebody wants more.
    const TAKEOVERS: u64 = 3;
    /// What a keeper writes before it is paused, and after it took over.
    const SOME: u64 = 5;

    fn number(variable: &str) -> Option<u64> {
        let text = std::env::var(variable).ok()?;
        let number = text.parse();
        Some(number.unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no whole number")))
    }

    fn say(what: &str) {
        let told = format!("deliveries: {what}\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_lost_or_doubled_in_sqlite_although_workers_are_killed() {
        Box::pin(all_is_there_once(Home::file())).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_lost_or_doubled_in_postgresql_although_workers_are_killed() {
        Box::pin(all_is_there_once(Home::server().await)).await;
    }

    async fn all_is_there_once(home: Home) {
        let facts = number("LEASEHOLD_FACTS").unwrap_or(FACTS);
        let mut chance = Chance::new(number("LEASEHOLD_SEED").unwrap_or(1));
        let every = if facts >= MANY {
            Duration::from_secs(2)
        } else {
            Duration::from_millis(300)
        };
        // a debug build writes a few hundred facts a second
        let bound = LONG.saturating_add(Duration::from_millis(facts.saturating_mul(20)));
        let began = Instant::now();
        let mut crew = Crew::of(&home, facts);
        while !crew.are_done() {
            assert!(began.elapsed() < bound, "{}", crew.tell());
            // the pace of the kills, not a wait for anything
            sleep(every).await;
            crew.kill_one(&mut chance).await;
        }
        say(&format!("{facts} facts, {}", crew.tell()));
        assert!(crew.kills > 3, "{}", crew.tell());
        assert!(
            crew.kills_at_work > 0,
            "nobody was killed at work: {}",
            crew.tell()
        );

        let delivered: usize = (0..WORKERS).map(|worker| share(worker, facts).len()).sum();
        let wanted: u64 = (0..facts).map(times).sum();
        assert_eq!(u64::try_from(delivered).unwrap(), wanted);
        expect_each_once(&home, facts).await;
    }

    async fn expect_each_once(home: &Home, facts: u64) {
        let store = Store::open_read_only(home.place()).await.unwrap();
        let mut seen = vec![0_u32; usize::try_from(facts).unwrap()];
        let mut after = 0;
        loop {
            let page = store.facts_after(&FactFilter::default(), after).await;
            let page = page.unwrap();
            let Some(last) = page.last() else { break };
            after = last.seq;
            for recorded in &page {
                let number = number_of("fact", &recorded.value).unwrap();
                seen[usize::try_from(number).unwrap()] += 1;
            }
        }
        let lost = seen.iter().filter(|times| **times == 0).count();
        let doubled = seen.iter().filter(|times| **times > 1).count();
        assert_eq!((lost, doubled), (0, 0), "lost and doubled");
        // no row beside these, every link and every digest
        assert_eq!(store.integrity().await.unwrap().rows, facts);
        assert_eq!(home.rows_of_older_epochs().await, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_was_paused_writes_nothing_into_sqlite_after_another_took_over() {
        Box::pin(none_after_a_newer_one(Home::file())).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_was_paused_writes_nothing_into_postgresql_after_another_took_over() {
        Box::pin(none_after_a_newer_one(Home::server().await)).await;
    }

    async fn none_after_a_newer_one(home: Home) {
        let takeovers = number("LEASEHOLD_TAKEOVERS").unwrap_or(TAKEOVERS);
        let notes = Notes::new(home.notes());
        let mut keeper = Keeper::start(&home, 0);
        wrote(&notes, &mut keeper, SOME).await;
        for turn in 1..=takeovers {
            let next = take_over(&home, &notes, &mut keeper, turn).await;
            keeper.wake();
            let code = keeper.ended(LONG).await;
            assert_eq!(code, Some(i32::from(FENCED)), "it was told that it is over");
            keeper = next;
        }
        keeper.kill().await;

        let store = Store::open_read_only(home.place()).await.unwrap();
        let facts = store.facts(&FactFilter::default()).await.unwrap();
        let mut turns: Vec<Vec<u64>> = Vec::new();
        let mut last = None;
        for recorded in &facts {
            let (turn, number) = (0..=takeovers)
                .find_map(|turn| Some((turn, number_of(&Keeper::name(turn), &recorded.value)?)))
                .unwrap();
            assert!(
                last <= Some(turn),
                "row {} is of an older turn",
                recorded.seq
            );
            if last != Some(turn) {
                turns.push(Vec::new());
            }
            last = Some(turn);
            turns.last_mut().unwrap().push(number);
        }
        assert_eq!(u64::try_from(turns.len()).unwrap(), takeovers + 1);
        for (turn, numbers) in (0..).zip(turns) {
            let count = u64::try_from(numbers.len()).unwrap();
            assert_eq!(numbers, (0..count).collect::<Vec<u64>>(), "of turn {turn}");
            // whatever it was told is taken is there; the last one may have been taken without its hearing of it
            let noted = notes.read(&Keeper::name(turn)).unwrap();
            assert!([noted, noted + 1].contains(&count), "{count} of {noted}");
        }
        assert_eq!(home.rows_of_older_epochs().await, 0);
        store.integrity().await.unwrap();
        say(&format!("{takeovers} takeovers, {} facts", facts.len()));
    }

    /// Pauses whoever has the ledger, and has another process take it over. Whoever is paused in the middle of a
    /// transaction of SQLite keeps everybody out, as it must; then it is woken for a moment and paused again.
    async fn take_over(home: &Home, notes: &Notes, keeper: &mut Keeper, turn: u64) -> Keeper {
        for _ in 0..20 {
            keeper.pause();
            home.unlock().await;
            let mut next = Keeper::start(home, turn);
            let bound = Duration::from_secs(45);
            let took = eventually("the next one to write", bound, async || {
                if next.has_ended() {
                    return Ok(false);
                }
                let written = notes.read(&Keeper::name(turn)).unwrap();
                if written >= SOME {
                    Ok(true)
                } else {
                    Err(format!("it has written {written}"))
                }
            });
            if took.await.unwrap_or(false) {
                return next;
            }
            next.kill().await;
            keeper.wake();
            let written = notes.read(&Keeper::name(turn - 1)).unwrap();
            wrote(notes, keeper, written + 1).await;
        }
        panic!("it was paused in the middle of a transaction 20 times");
    }

    /// Waits until a keeper has written so many.
    async fn wrote(notes: &Notes, keeper: &mut Keeper, many: u64) {
        let name = Keeper::name(keeper.turn);
        let waited = eventually("a process that writes", LONG, async || {
            assert!(!keeper.has_ended(), "it ended by itself");
            let written = notes.read(&name).unwrap();
            if written >= many {
                Ok(())
            } else {
                Err(format!("it has written {written} of {many}"))
            }
        });
        waited.await.unwrap();
    }

    #[test]
    fn notes_of_workers_have_names_of_their_own() {
        assert_ne!(note_of(1), note_of(2));
        assert_ne!(Keeper::name(1), Keeper::name(2));
    }
}
