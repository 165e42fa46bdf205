//! A model of the API server, the quota controller, tenants and a mortal operator.
//!
//! The operator reads everything at once, plans, and writes one quota after the other; at any
//! moment a status follows its spec, a tenant starts or stops something, the operator dies, the
//! department divides anew or its lease changes. After every single one of these the invariant is
//! checked.

use proptest::prelude::*;

use super::*;

const KEYS: [&str; 2] = ["requests.cpu", "requests.memory"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn hard(cpu: i64, memory: i64) -> Hard {
    Hard::from([(KEYS[0].to_owned(), cpu), (KEYS[1].to_owned(), memory)])
}

fn quota(spec: Hard, status: Option<Hard>, used: Hard) -> ObservedQuota {
    ObservedQuota {
        spec_hard: spec,
        status_hard: status,
        used,
    }
}

fn standing(amounts: &Hard, used: Hard) -> ObservedQuota {
    quota(amounts.clone(), Some(amounts.clone()), used)
}

fn by_name<T>(entries: impl IntoIterator<Item = (&'static str, T)>) -> BTreeMap<String, T> {
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[test]
fn a_donor_shrinks_first_and_the_receiver_grows_only_when_the_donors_status_came_down() {
    let lease = hard(10, 0);
    let desired = by_name([("a", hard(2, 0)), ("b", hard(8, 0))]);
    let (six, four) = (hard(6, 0), hard(4, 0));
    let mut seen = by_name([
        ("a", standing(&six, Hard::new())),
        ("b", standing(&four, Hard::new())),
    ]);
    let first = quota_step(&lease, &desired, &seen, false);
    assert_eq!(first.writes, [("a".to_owned(), hard(2, 0))]);
    assert!(!first.settled);

    seen.insert("a".to_owned(), quota(hard(2, 0), Some(six), Hard::new()));
    let waits = quota_step(&lease, &desired, &seen, false);
    assert!(waits.writes.is_empty(), "{waits:?}");
    assert!(!waits.settled);
    assert_eq!(
        waits.waiting,
        [
            "a waits until its written quota counts",
            "b waits for 4m of requests.cpu until other namespaces have given it up",
        ]
    );

    seen.insert("a".to_owned(), standing(&hard(2, 0), Hard::new()));
    let second = quota_step(&lease, &desired, &seen, false);
    assert_eq!(second.writes, [("b".to_owned(), hard(8, 0))]);

    seen.insert("b".to_owned(), standing(&hard(8, 0), Hard::new()));
    let done = quota_step(&lease, &desired, &seen, false);
    assert!(
        done.settled && done.writes.is_empty() && done.waiting.is_empty(),
        "{done:?}"
    );
}

#[test]
fn a_receiver_does_not_get_what_the_donor_still_uses() {
    let lease = hard(10, 0);
    let desired = by_name([("a", hard(2, 0)), ("b", hard(8, 0))]);
    let seen = by_name([
        ("a", standing(&hard(6, 0), hard(5, 0))),
        ("b", standing(&hard(4, 0), Hard::new())),
    ]);
    let step = quota_step(&lease, &desired, &seen, false);
    assert_eq!(step.writes, [("a".to_owned(), hard(5, 0))]);
    assert_eq!(
        step.refused[0].to_string(),
        "rule T31: asked 2m of requests.cpu in a, allowed 5m or more, which is in use; \
         remove workloads or claims there, or share it more"
    );
    // the tenant used more before the status came down: the excess counts as taken
    let raced = by_name([
        ("a", standing(&hard(5, 0), hard(6, 0))),
        ("b", standing(&hard(4, 0), Hard::new())),
    ]);
    let step = quota_step(&lease, &desired, &raced, false);
    assert!(step.writes.is_empty(), "{step:?}");
}

#[test]
fn compute_goes_to_zero_below_use_only_when_forced() {
    let lease = hard(10, 10);
    let desired = by_name([("a", hard(0, 4))]);
    let seen = by_name([("a", standing(&hard(6, 6), hard(5, 5)))]);
    assert_eq!(
        quota_step(&lease, &desired, &seen, false).writes[0].1,
        hard(5, 5)
    );
    let forced = quota_step(&lease, &desired, &seen, true);
    assert_eq!(forced.writes[0].1, hard(0, 5));
    assert_eq!(forced.refused.len(), 1);
}

#[test]
fn a_missing_quota_is_written_even_if_nothing_is_free() {
    let seen = by_name([("a", standing(&hard(10, 0), Hard::new()))]);
    let desired = by_name([("a", hard(10, 0)), ("b", hard(0, 0))]);
    let step = quota_step(&hard(10, 0), &desired, &seen, false);
    assert_eq!(step.writes, [("b".to_owned(), hard(0, 0))]);
}

#[test]
fn a_namespace_that_is_not_desired_gives_up_its_share_and_keeps_its_counts() {
    let mut amounts = hard(6, 0);
    amounts.insert("pods".to_owned(), 48);
    let seen = by_name([("gone", standing(&amounts, Hard::new()))]);
    let step = quota_step(&hard(10, 0), &BTreeMap::new(), &seen, false);
    amounts.insert(KEYS[0].to_owned(), 0);
    assert_eq!(step.writes, [("gone".to_owned(), amounts)]);
}

#[test]
fn a_key_that_left_the_lease_goes_to_zero_and_does_not_disappear() {
    let mut amounts = hard(6, 0);
    amounts.insert("requests.nvidia.com/gpu".to_owned(), 2);
    let seen = by_name([("a", standing(&amounts, Hard::new()))]);
    let step = quota_step(&hard(10, 0), &by_name([("a", hard(6, 0))]), &seen, false);
    assert_eq!(step.writes[0].1.get("requests.nvidia.com/gpu"), Some(&0));
}

#[test]
fn counts_are_written_as_desired_whatever_is_free() {
    let mut wanted = hard(6, 0);
    wanted.insert("pods".to_owned(), 0);
    let mut amounts = hard(6, 0);
    amounts.insert("pods".to_owned(), 48);
    let seen = by_name([(
        "a",
        standing(&amounts, Hard::from([("pods".to_owned(), 7)])),
    )]);
    let step = quota_step(&hard(6, 0), &by_name([("a", wanted.clone())]), &seen, false);
    assert_eq!(step.writes, [("a".to_owned(), wanted)]);
    assert!(step.refused.is_empty());
}

#[test]
fn a_smaller_lease_is_not_reached_before_quotas_hold_no_more_than_it() {
    // as much is wanted as there is: nothing is left to write, and more is held than is leased
    let desired = by_name([("a", hard(6, 0)), ("b", hard(4, 0))]);
    let mut seen = by_name([
        ("a", standing(&hard(6, 0), hard(6, 0))),
        ("b", standing(&hard(4, 0), hard(4, 0))),
    ]);
    let step = quota_step(&hard(8, 0), &desired, &seen, false);
    assert!(step.writes.is_empty(), "{step:?}");
    assert!(!step.settled && !step.leased_settled, "{step:?}");
    // a release keeps what stands, and asks for no lease
    assert!(quota_step(&hard(8, 0), &desired, &seen, true).settled);

    let desired = by_name([("a", hard(6, 0)), ("b", hard(2, 0))]);
    let (four, two) = (hard(4, 0), hard(2, 0));
    seen.insert("b".to_owned(), quota(two.clone(), Some(four), Hard::new()));
    assert!(!quota_step(&hard(8, 0), &desired, &seen, false).settled);
    seen.insert("b".to_owned(), standing(&two, Hard::new()));
    assert!(quota_step(&hard(8, 0), &desired, &seen, false).settled);
}

#[test]
fn what_is_leased_is_settled_whatever_becomes_of_counts() {
    let with_pods = |cpu: i64, pods: i64| {
        let mut amounts = hard(cpu, 0);
        amounts.insert("pods".to_owned(), pods);
        amounts
    };
    let desired = by_name([("a", with_pods(6, 48))]);
    let step = |amounts: &Hard| {
        let seen = by_name([("a", standing(amounts, Hard::new()))]);
        let step = quota_step(&hard(6, 0), &desired, &seen, false);
        (step.leased_settled, step.settled)
    };
    assert_eq!(step(&with_pods(6, 48)), (true, true));
    assert_eq!(step(&with_pods(6, 1)), (true, false), "somebody's count");
    assert_eq!(step(&with_pods(5, 48)), (false, false));
    assert_eq!(step(&Hard::from([("pods".to_owned(), 48)])), (false, false));
}

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    /// The operator (maybe a new process) reads and plans; an unfinished plan is forgotten.
    Plan,
    /// The operator writes the next quota of its plan.
    Write,
    /// A status follows its spec.
    Follow(usize),
    /// A tenant starts something, as far as admission lets it.
    Use(usize, usize, i64),
    /// A tenant stops something.
    Stop(usize, usize, i64),
    /// The department divides its lease anew.
    Divide(Vec<Option<(i64, i64)>>),
    /// Another lease is approved.
    Lease(i64, i64),
}

fn division() -> impl Strategy<Value = Vec<Option<(i64, i64)>>> {
    prop::collection::vec(prop::option::of((0..30_i64, 0..30_i64)), NAMES.len())
}

fn event(with_leases: bool) -> impl Strategy<Value = Event> {
    let namespace = 0..NAMES.len();
    let key = 0..KEYS.len();
    prop_oneof![
        3 => Just(Event::Plan),
        6 => Just(Event::Write),
        4 => namespace.clone().prop_map(Event::Follow),
        3 => (namespace.clone(), key.clone(), 1..20_i64).prop_map(|(n, k, q)| Event::Use(n, k, q)),
        2 => (namespace, key, 1..20_i64).prop_map(|(n, k, q)| Event::Stop(n, k, q)),
        2 => division().prop_map(Event::Divide),
        1 => (10..40_i64, 10..40_i64).prop_map(move |(cpu, memory)| {
            if with_leases { Event::Lease(cpu, memory) } else { Event::Plan }
        }),
    ]
}

struct World {
    lease: Hard,
    /// The largest lease so far: what may be in use.
    largest: Hard,
    desired: BTreeMap<String, Hard>,
    quotas: BTreeMap<String, ObservedQuota>,
    plan: Vec<(String, Hard)>,
}

impl World {
    fn new() -> Self {
        let lease = hard(30, 30);
        Self {
            largest: lease.clone(),
            lease,
            desired: BTreeMap::new(),
            quotas: BTreeMap::new(),
            plan: Vec::new(),
        }
    }

    fn step(&self) -> QuotaStep {
        quota_step(&self.lease, &self.desired, &self.quotas, false)
    }

    fn write(&mut self, name: String, amounts: Hard) {
        self.quotas.entry(name).or_default().spec_hard = amounts;
    }

    fn follow(&mut self, name: &str) {
        if let Some(quota) = self.quotas.get_mut(name) {
            quota.status_hard = Some(quota.spec_hard.clone());
        }
    }

    /// Divides so that no more than the lease is shared out, as `split` makes sure.
    fn divide(&mut self, shares: &[Option<(i64, i64)>]) {
        let (mut cpu, mut memory) = (self.lease[KEYS[0]], self.lease[KEYS[1]]);
        self.desired.clear();
        for (name, share) in NAMES.iter().zip(shares) {
            let Some((c, m)) = share else { continue };
            let (c, m) = ((*c).min(cpu), (*m).min(memory));
            cpu -= c;
            memory -= m;
            self.desired.insert((*name).to_owned(), hard(c, m));
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Plan => {
                self.plan = self.step().writes;
                self.plan.reverse();
            }
            Event::Write => {
                if let Some((name, amounts)) = self.plan.pop() {
                    self.write(name, amounts);
                }
            }
            Event::Follow(n) => self.follow(NAMES[*n]),
            Event::Use(n, k, amount) => {
                let Some(quota) = self.quotas.get_mut(NAMES[*n]) else {
                    return;
                };
                // people get their rights only when the status stands
                if quota.status_hard.is_some() && quota.used(KEYS[*k]) < quota.status(KEYS[*k]) {
                    let used = (quota.used(KEYS[*k]) + amount).min(quota.status(KEYS[*k]));
                    quota.used.insert(KEYS[*k].to_owned(), used);
                }
            }
            Event::Stop(n, k, amount) => {
                if let Some(quota) = self.quotas.get_mut(NAMES[*n]) {
                    let used = (quota.used(KEYS[*k]) - amount).max(0);
                    quota.used.insert(KEYS[*k].to_owned(), used);
                }
            }
            Event::Divide(shares) => self.divide(shares),
            Event::Lease(cpu, memory) => {
                self.lease = hard(*cpu, *memory);
                for key in KEYS {
                    let most = self.largest[key].max(self.lease[key]);
                    self.largest.insert(key.to_owned(), most);
                }
                // a plan is made for one lease; the operator plans again for another
                self.plan.clear();
            }
        }
    }

    /// Σ max(spec.hard, status.hard), computed apart from the code under test.
    fn held(&self) -> Hard {
        let sum = |key: &str| {
            self.quotas
                .values()
                .map(|quota| {
                    let spec = quota.spec_hard.get(key).copied().unwrap_or(0);
                    let status = quota.status_hard.as_ref().map_or(0, |hard| hard[key]);
                    spec.max(status)
                })
                .sum::<i64>()
        };
        hard(sum(KEYS[0]), sum(KEYS[1]))
    }

    fn used(&self) -> Hard {
        let sum = |key: &str| {
            self.quotas
                .values()
                .map(|q| q.used.get(key).copied().unwrap_or(0))
                .sum::<i64>()
        };
        hard(sum(KEYS[0]), sum(KEYS[1]))
    }

    /// Tenants make room for what is desired.
    fn settle_down(&mut self) {
        for (name, quota) in &mut self.quotas {
            for key in KEYS {
                let want = self.desired.get(name).map_or(0, |hard| hard[key]);
                let used = quota.used(key).min(want);
                quota.used.insert(key.to_owned(), used);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn quotas_and_use_stay_within_the_lease_after_every_single_event(
        start in division(),
        events in prop::collection::vec(event(false), 1..80),
    ) {
        let mut world = World::new();
        world.divide(&start);
        for event in &events {
            world.apply(event);
            for key in KEYS {
                let (held, used) = (world.held()[key], world.used()[key]);
                prop_assert!(held <= world.lease[key], "{event:?}: {held} of {key} held");
                prop_assert!(used <= world.lease[key], "{event:?}: {used} of {key} used");
            }
        }
    }

    #[test]
    fn above_a_smaller_lease_quotas_only_shrink(
        start in division(),
        events in prop::collection::vec(event(true), 1..80),
    ) {
        let mut world = World::new();
        world.divide(&start);
        for event in &events {
            let before = world.held();
            world.apply(event);
            for key in KEYS {
                let held = world.held()[key];
                prop_assert!(
                    held <= world.lease[key].max(before[key]),
                    "{event:?}: {held} of {key} held, {} before", before[key]
                );
                prop_assert!(world.used()[key] <= world.largest[key]);
            }
        }
    }

    #[test]
    fn nothing_is_settled_while_more_is_held_than_leased(
        start in division(),
        events in prop::collection::vec(event(true), 1..80),
    ) {
        let mut world = World::new();
        world.divide(&start);
        for event in &events {
            world.apply(event);
            let step = world.step();
            if step.settled || step.leased_settled {
                for key in KEYS {
                    let held = world.held()[key];
                    prop_assert!(held <= world.lease[key], "{event:?}: {held} of {key} held");
                }
            }
            prop_assert!(step.leased_settled || !step.settled, "{step:?}");
        }
    }

    #[test]
    fn every_division_is_reached_from_anywhere_and_then_nothing_is_written(
        start in division(),
        events in prop::collection::vec(event(true), 0..60),
        last in division(),
    ) {
        let mut world = World::new();
        world.divide(&start);
        for event in &events {
            world.apply(event);
        }
        world.divide(&last);
        world.settle_down();
        for _ in 0..3 {
            for (name, amounts) in world.step().writes {
                world.write(name, amounts);
            }
            for name in NAMES {
                world.follow(name);
            }
        }
        let step = world.step();
        prop_assert!(step.settled, "{step:?}");
        prop_assert!(step.writes.is_empty() && step.refused.is_empty() && step.waiting.is_empty());
        for (name, wanted) in &world.desired {
            prop_assert_eq!(&world.quotas[name].spec_hard, wanted);
            prop_assert_eq!(world.quotas[name].status_hard.as_ref(), Some(wanted));
        }
        for (name, quota) in &world.quotas {
            if !world.desired.contains_key(name) {
                prop_assert_eq!(&quota.spec_hard, &hard(0, 0));
            }
        }
    }

    #[test]
    fn nothing_that_runs_is_cut_off_unless_forced(
        start in division(),
        events in prop::collection::vec(event(true), 1..60),
    ) {
        let mut world = World::new();
        world.divide(&start);
        for event in &events {
            world.apply(event);
            for (name, amounts) in world.step().writes {
                let Some(quota) = world.quotas.get(&name) else { continue };
                for key in KEYS {
                    let kept = amounts[key] >= quota.used(key).min(quota.spec(key));
                    prop_assert!(kept, "{name}: {} of {key}", amounts[key]);
                }
            }
        }
    }
}
