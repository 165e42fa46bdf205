//! Faults by chance, from one seed.

use std::time::Duration;

use leasehold_kit::backoff::Jitter;

use super::asked::{Asked, Verb};
use super::rule::{Action, Target, is_of};

/// What one request may suffer, and how often.
#[derive(Clone, Debug)]
struct Lot {
    target: Target,
    permille: u16,
    action: Action,
}

/// Faults that chance deals out.
///
/// What befalls a request follows from the seed, from what it asks for, and from how often the same was
/// asked for before, never from what others ask meanwhile: with the same seed the third apply of a quota
/// suffers the same, whatever came in between.
#[derive(Clone, Debug)]
pub struct Plan {
    seed: u64,
    client: String,
    lots: Vec<Lot>,
}

/// Kinds whose lists may be of yesterday: what a cache shows of them is looked at again before anything
/// follows from it. Of the others an API server never lists an older state than it has listed before, and
/// nobody need survive it.
const MAY_BE_OLD: [&str; 5] = [
    "approvals",
    "limitranges",
    "networkpolicies",
    "resourcequotas",
    "rolebindings",
];
/// Longer than anybody waits: whoever has no bound of his own is frozen by it.
const FOR_EVER: Duration = Duration::from_secs(7_200);
/// The longest that a request is held up.
const SLOW: Duration = Duration::from_secs(2);

impl Plan {
    /// No faults yet for clients whose User-Agent begins with `client`.
    pub fn new(seed: u64, client: &str) -> Self {
        Self {
            seed,
            client: client.to_owned(),
            lots: Vec::new(),
        }
    }

    /// The same, and so many in a thousand of these requests suffer this.
    #[must_use]
    pub fn with(mut self, target: Target, permille: u16, action: Action) -> Self {
        self.lots.push(Lot {
            target,
            permille,
            action,
        });
        self
    }

    /// Trouble of every kind for the operator: about one call in twenty fails, and one watch in five.
    pub fn rough(seed: u64) -> Self {
        let calls = || Target::of(&Verb::CALLS, &[]);
        let writes = || Target::of(&Verb::WRITES, &[]);
        let watches = || Target::of(&[Verb::Watch], &[]);
        let status = |code, retry_after| Action::Status { code, retry_after };
        Self::new(seed, "leasehold/")
            .with(calls(), 5, status(429, Some(1)))
            .with(calls(), 5, status(503, None))
            .with(calls(), 5, status(500, None))
            .with(calls(), 8, Action::ResetBefore)
            .with(calls(), 5, Action::Truncate)
            .with(calls(), 2, Action::Hang(FOR_EVER))
            .with(calls(), 15, Action::Delay(SLOW))
            .with(writes(), 14, Action::ForwardThenReset)
            .with(writes(), 14, Action::ForwardThen504)
            .with(
                Target::of(&[Verb::List], &MAY_BE_OLD),
                50,
                Action::StaleList,
            )
            .with(watches(), 70, Action::CutAfter(3))
            .with(watches(), 30, Action::GoneEvent)
            .with(watches(), 20, Action::GoneHttp)
            .with(watches(), 30, Action::NoBookmarks)
            .with(watches(), 15, Action::BlackHole(FOR_EVER))
            .with(watches(), 5, Action::Hang(FOR_EVER))
            .with(watches(), 10, Action::ResetBefore)
            .with(watches(), 10, status(503, None))
    }

    /// The same with events that are lost on the way. No API server does this, and nobody who listens
    /// learns of them: only a start, which lists, makes good for it.
    #[must_use]
    pub fn with_losses(self) -> Self {
        self.with(Target::of(&[Verb::Watch], &[]), 10, Action::DropEvent)
    }

    /// What befalls the request, which is the n-th of its kind.
    pub(super) fn draw(&self, asked: &Asked, occurrence: u64) -> Option<Action> {
        if !is_of(Some(&self.client), asked) {
            return None;
        }
        let chance = chance(self.seed, &format!("{asked} {occurrence}"));
        let mut drawn = chance.draw() % 1000;
        for lot in &self.lots {
            if !lot.action.suits(asked.verb) || !lot.target.holds(asked) {
                continue;
            }
            let share = u64::from(lot.permille);
            if drawn < share {
                return Some(varied(lot.action, &chance));
            }
            drawn = drawn.saturating_sub(share);
        }
        None
    }
}

/// Chance that follows from the seed and from what it decides on.
pub(super) fn chance(seed: u64, about: &str) -> Jitter {
    // FNV-1a
    let print = about
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |print, byte| {
            (print ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Jitter::seeded(seed ^ print)
}

/// The action as it happens this time: no two delays are alike, and watches end after more or fewer frames.
fn varied(action: Action, chance: &Jitter) -> Action {
    match action {
        Action::Delay(longest) => {
            let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
            let drawn = chance.draw() % longest.max(1);
            Action::Delay(Duration::from_millis(drawn))
        }
        Action::CutAfter(most) => {
            let drawn = chance.draw() % u64::from(most).saturating_add(1);
            Action::CutAfter(u32::try_from(drawn).unwrap_or(most))
        }
        Action::Hang(_)
        | Action::ResetBefore
        | Action::ForwardThenReset
        | Action::ForwardThen504
        | Action::Status { .. }
        | Action::Truncate
        | Action::GoneEvent
        | Action::GoneHttp
        | Action::DropEvent
        | Action::NoBookmarks
        | Action::BlackHole(_)
        | Action::StaleList
        | Action::Kill(_) => action,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn request(verb: Verb, name: &str, client: &str) -> Asked {
        Asked {
            verb,
            resource: "resourcequotas".to_owned(),
            namespace: "a".to_owned(),
            name: name.to_owned(),
            client: client.to_owned(),
        }
    }

    /// What befalls a thousand names, each asked for five times.
    fn course(plan: &Plan, verb: Verb, client: &str) -> Vec<Option<Action>> {
        let names: Vec<String> = (0..1_000).map(|number| format!("q-{number}")).collect();
        let requests = names.iter().map(|name| request(verb, name, client));
        requests
            .flat_map(|asked| (1..=5).map(move |n| plan.draw(&asked, n)))
            .collect()
    }

    #[test]
    fn the_same_seed_deals_the_same_and_another_seed_something_else() {
        let course = |seed| course(&Plan::rough(seed), Verb::Patch, "leasehold/0.1.0");
        assert_eq!(course(7), course(7));
        assert_ne!(course(7), course(8));
    }

    #[test]
    fn about_one_write_in_fifteen_suffers_and_it_suffers_everything_in_the_end() {
        let dealt = course(&Plan::rough(7), Verb::Patch, "leasehold/0.1.0");
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for action in dealt.iter().flatten() {
            *counts.entry(action.name()).or_default() += 1;
        }
        // 5 + 5 + 5 + 8 + 5 + 2 + 15 + 14 + 14 in a thousand, of 5000
        let all: usize = counts.values().sum();
        assert!((310..=420).contains(&all), "{all}");
        let names = [
            "delay",
            "forward-then-504",
            "forward-then-reset",
            "hang",
            "reset-before",
            "status",
            "truncate",
        ];
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), names);
    }

    #[test]
    fn the_requests_of_other_clients_suffer_nothing() {
        for client in ["kubectl/v1.36.3", "", "leasehold-cli/0.1.0"] {
            let dealt = course(&Plan::rough(7), Verb::Patch, client);
            assert!(dealt.iter().all(Option::is_none), "{client}");
        }
    }

    #[test]
    fn events_are_lost_only_where_that_is_asked_for() {
        let plan = Plan::rough(7);
        let lost = |plan: &Plan| {
            let dealt = course(plan, Verb::Watch, "leasehold/0.1.0");
            dealt.contains(&Some(Action::DropEvent))
        };
        assert!(!lost(&plan));
        assert!(lost(&plan.with_losses()));
    }
}
