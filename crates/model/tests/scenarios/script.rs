//! What people do, drawn by chance: a script per seed.

use leasehold_model::{Chance, Crash, Faults, Moment};

/// Cores, GiB of memory, GiB of storage: the items of every lease here, in this order.
pub type Amounts = [i64; 3];

/// Below this no share falls: every namespace keeps a claim of one GiB, and a quota does not go below what is used.
const LEAST: Amounts = [1, 1, 2];
/// A namespace begins with up to so much more.
const MORE: [u64; 3] = [4, 8, 6];
/// Codes of departments; as many of them take part as the script says.
pub static CODES: [&str; 4] = ["edu", "health", "water", "gov-office"];

/// What a manifest asks for: each namespace's share, and what is leased beyond them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The share of each namespace.
    pub shares: Vec<Amounts>,
    /// Leased and shared out to nobody.
    pub spare: Amounts,
}

impl Wish {
    /// The whole lease.
    pub fn lease(&self) -> Amounts {
        let mut sum = self.spare;
        for share in &self.shares {
            for (total, part) in sum.iter_mut().zip(share) {
                *total += part;
            }
        }
        sum
    }

    fn drawn(chance: &mut Chance, namespaces: usize) -> Self {
        let share = |chance: &mut Chance| {
            let mut share = LEAST;
            for (amount, more) in share.iter_mut().zip(MORE) {
                *amount += up_to(chance, more);
            }
            share
        };
        Self {
            shares: (0..namespaces).map(|_| share(chance)).collect(),
            spare: [2, 2, 2].map(|bound| up_to(chance, bound)),
        }
    }

    /// More of one item or of two.
    fn raised(&self, chance: &mut Chance) -> Self {
        let mut more = self.clone();
        for _ in 0..=chance.below(2) {
            let item = index(chance, 3);
            let amount = 1 + up_to(chance, 4);
            let place = index(chance, more.shares.len() + 1);
            match more.shares.get_mut(place) {
                Some(share) => share[item] += amount,
                None => more.spare[item] += amount,
            }
        }
        more
    }

    /// Less of one item, if there is any to give back.
    fn lowered(&self, chance: &mut Chance) -> Option<Self> {
        let (place, item) = self.source(chance)?;
        let mut less = self.clone();
        *less.at(place, item) -= 1;
        Some(less)
    }

    /// The same lease, split in another way.
    fn shared(&self, chance: &mut Chance) -> Option<Self> {
        let (from, item) = self.source(chance)?;
        let step = 1 + index(chance, self.shares.len());
        let to = (from + step) % (self.shares.len() + 1);
        let mut moved = self.clone();
        let room = *moved.at(from, item) - moved.least(from, item);
        let amount = 1 + up_to(chance, u64::try_from(room).unwrap());
        *moved.at(from, item) -= amount.min(room);
        *moved.at(to, item) += amount.min(room);
        Some(moved)
    }

    /// A place and an item of which something can be taken; the last place is what nobody has.
    fn source(&self, chance: &mut Chance) -> Option<(usize, usize)> {
        let mut found = Vec::new();
        for place in 0..=self.shares.len() {
            for item in 0..3 {
                let held = self.shares.get(place).unwrap_or(&self.spare)[item];
                if held > self.least(place, item) {
                    found.push((place, item));
                }
            }
        }
        chance.pick(&found).copied()
    }

    fn least(&self, place: usize, item: usize) -> i64 {
        if place < self.shares.len() {
            LEAST[item]
        } else {
            0
        }
    }

    fn at(&mut self, place: usize, item: usize) -> &mut i64 {
        match self.shares.get_mut(place) {
            Some(share) => &mut share[item],
            None => &mut self.spare[item],
        }
    }
}

/// A tenancy of the script.
#[derive(Clone, Debug)]
pub struct Lessee {
    /// Code of its department.
    pub code: &'static str,
    /// Its name.
    pub name: String,
    /// Short names of its namespaces.
    pub shorts: Vec<String>,
    /// Whether the first of them has a named volume, which is kept when the tenancy ends.
    pub keeps: bool,
}

/// A managed object that somebody meddles with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Managed {
    /// The quota.
    Quota,
    /// The limit range.
    Limits,
    /// The network policy that denies everything.
    Policy,
    /// The rights of the administrators.
    Rights,
}

const MANAGED: [Managed; 4] = [
    Managed::Quota,
    Managed::Limits,
    Managed::Policy,
    Managed::Rights,
];

/// What is done to one tenancy.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The department asks for what the office must decide.
    Ask(Wish),
    /// The department asks for less, which nobody must decide, or splits its lease anew.
    Settle(Wish),
    /// The department asks again for what it has: whatever waits is withdrawn.
    TakeBack(Wish),
    /// The office says yes.
    Approve(Wish),
    /// The office says no.
    Reject,
    /// The department accepts its first lease.
    Accept(Wish),
    /// The department gives its first lease back.
    GiveBack,
    /// The department starts a pod in each namespace that has none.
    Run(Wish),
    /// The department starts one more pod in the first namespace, and what is leased moves there, to this split.
    Crowd(Wish),
    /// The office stops whatever runs.
    Suspend(Wish),
    /// The office lets it run again.
    Lift(Wish),
    /// A stranger deletes a managed object in the namespace with this number.
    Delete(Managed, usize),
    /// A stranger changes a managed object in the namespace with this number.
    Edit(Managed, usize),
    /// The department asks to end it.
    Release,
    /// The office lets it end, and the grace passes.
    LetGo,
    /// The department leases under the name of what has ended.
    Again(Wish),
}

/// How the operator ends, to be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is asked to.
    Asked,
    /// It is killed where it stands.
    Killed,
    /// It dies around the write to the API server that comes so many after this moment.
    AtWrite(Crash),
    /// It dies around the commit to the ledger that comes so many after this moment.
    AtCommit(Crash),
}

/// One step of a script. What befalls the operator is left out when the script runs undisturbed.
#[derive(Clone, Debug)]
pub enum Step {
    /// Something is done to the tenancy with this number.
    Do(usize, Deed),
    /// The operator ends and is started again.
    Restart(Ending),
    /// From now on other trouble, or none.
    Trouble(Faults),
}

/// Which parts of the operator run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The reconcilers of policy, departments, prices and tenancies.
    Reconcilers,
    /// Everything that the program runs: hardware, meters and periods too, which take most of the time.
    Everything,
}

/// What happens, and to whom.
#[derive(Clone, Debug)]
pub struct Script {
    /// Which parts of the operator run.
    pub parts: Parts,
    /// Codes of the departments.
    pub codes: &'static [&'static str],
    /// The tenancies.
    pub lessees: Vec<Lessee>,
    /// Whether a first lease is billed only once its department has accepted it.
    pub accepts: bool,
    /// Whether leases move with their use.
    pub by_use: bool,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Whether the last check waits until every object was looked at again without a reason.
    pub waits_for_resync: bool,
}

/// Where a tenancy stands while its script is drawn.
#[derive(Clone, Debug)]
enum Stage {
    Absent,
    Asked { had: Option<Wish>, wish: Wish },
    Refused { had: Option<Wish>, wish: Wish },
    Delivered(Wish),
    GivenBack(Wish),
    Stands(Wish),
    Suspended(Wish),
    Leaves,
    Gone,
}

/// One in so many scripts runs every part of the operator, and waits at its end for a resync.
const WHOLE: u64 = 8;

impl Script {
    /// The script of a seed.
    pub fn drawn(seed: u64) -> Self {
        let mut chance = Chance::new(seed).branch();
        let departments = 1 + index(&mut chance, CODES.len());
        let codes = &CODES[..departments];
        let lessees: Vec<Lessee> = (0..=chance.below(4))
            .map(|number| lessee(&mut chance, codes, number))
            .collect();
        let accepts = chance.happens(350);
        let mut drawing = Drawing {
            stages: vec![Stage::Absent; lessees.len()],
            steps: vec![Step::Trouble(Faults::rough(seed))],
            lessees: &lessees,
            accepts,
        };
        // everybody asks, most are answered, and then anything may happen
        for number in 0..lessees.len() {
            drawing.next(&mut chance, number);
        }
        for number in 0..lessees.len() {
            if chance.happens(850) {
                drawing.next(&mut chance, number);
            }
        }
        for _ in 0..4 + chance.below(7) {
            match chance.below(20) {
                0..=2 => drawing.steps.push(Step::Restart(ending(&mut chance))),
                3..=5 => drawing.steps.push(Step::Trouble(trouble(&mut chance))),
                _ => {
                    let number = index(&mut chance, lessees.len());
                    drawing.next(&mut chance, number);
                }
            }
        }
        let steps = drawing.steps;
        let is_whole = seed.is_multiple_of(WHOLE);
        Self {
            parts: if is_whole {
                Parts::Everything
            } else {
                Parts::Reconcilers
            },
            codes,
            lessees,
            accepts,
            by_use: false,
            steps,
            waits_for_resync: is_whole,
        }
    }

    /// The life of one tenancy of two namespaces from its first request to its end, with what is asked for and decided:
    /// what a crash may meet.
    pub fn of_a_life() -> Self {
        let first = Wish {
            shares: vec![[2, 4, 4], [1, 2, 2]],
            spare: [0, 0, 0],
        };
        let moved = Wish {
            shares: vec![[1, 2, 4], [2, 4, 2]],
            spare: [0, 0, 0],
        };
        let more = Wish {
            shares: vec![[1, 2, 4], [4, 8, 2]],
            spare: [0, 0, 1],
        };
        let less = Wish {
            shares: vec![[1, 2, 3], [3, 8, 2]],
            spare: [0, 0, 0],
        };
        let deeds = [
            Deed::Ask(first.clone()),
            Deed::Approve(first),
            Deed::Settle(moved),
            Deed::Ask(more.clone()),
            Deed::Approve(more),
            Deed::Settle(less),
            Deed::Release,
            Deed::LetGo,
        ];
        Self::alone(false, deeds)
    }

    /// Another such life, in which a lease is accepted and lived in: it is given back and accepted after all, pods run,
    /// it moves with its use and is stopped for a while, and a volume of it is kept.
    pub fn of_a_busy_life() -> Self {
        let split = |shares: [Amounts; 2]| Wish {
            shares: shares.to_vec(),
            spare: [0; 3],
        };
        let first = split([[4, 8, 4], [4, 8, 4]]);
        // four cores of four are used: twice a head-room of one more goes there, and the other can spare it
        let moved = split([[6, 8, 4], [2, 8, 4]]);
        let anew = split([[3, 8, 4], [5, 8, 4]]);
        let deeds = [
            Deed::Ask(first.clone()),
            Deed::Approve(first.clone()),
            Deed::GiveBack,
            Deed::Accept(first.clone()),
            Deed::Run(first),
            Deed::Crowd(moved.clone()),
            Deed::Suspend(moved.clone()),
            Deed::Lift(moved.clone()),
            Deed::Run(moved),
            Deed::Settle(anew),
            Deed::Release,
            Deed::LetGo,
        ];
        Self {
            accepts: true,
            by_use: true,
            ..Self::alone(true, deeds)
        }
    }

    /// What is done to one tenancy of two namespaces, with or without a volume that is kept.
    fn alone(keeps: bool, deeds: impl IntoIterator<Item = Deed>) -> Self {
        let lessee = Lessee {
            code: CODES[0],
            name: "oa".to_owned(),
            shorts: vec!["prod".to_owned(), "test".to_owned()],
            keeps,
        };
        Self {
            parts: Parts::Reconcilers,
            codes: &CODES[..1],
            lessees: vec![lessee],
            accepts: false,
            by_use: false,
            steps: deeds.into_iter().map(|deed| Step::Do(0, deed)).collect(),
            waits_for_resync: false,
        }
    }
}

fn lessee(chance: &mut Chance, codes: &'static [&'static str], number: u64) -> Lessee {
    let namespaces = 1 + chance.below(3);
    Lessee {
        code: chance.pick(codes).copied().unwrap(),
        name: format!("oa-{number}"),
        shorts: (0..namespaces)
            .map(|place| format!("n{number}-{place}"))
            .collect(),
        keeps: chance.happens(400),
    }
}

/// A script that is being drawn.
struct Drawing<'script> {
    lessees: &'script [Lessee],
    accepts: bool,
    stages: Vec<Stage>,
    steps: Vec<Step>,
}

impl Drawing<'_> {
    /// Draws what happens next to a tenancy; nothing, when it is gone for good.
    fn next(&mut self, chance: &mut Chance, number: usize) {
        let namespaces = self.lessees[number].shorts.len();
        let drawn = deed(chance, &self.stages[number], namespaces);
        let Some((deed, stage)) = drawn else { return };
        if let Stage::Stands(wish) = &self.stages[number]
            && matches!(deed, Deed::Suspend(_) | Deed::Release)
            && chance.happens(500)
        {
            // something runs that has to end
            let run = Deed::Run(wish.clone());
            self.steps.push(Step::Do(number, run));
        }
        let is_first = matches!(self.stages[number], Stage::Asked { had: None, .. });
        self.stages[number] = match (&deed, is_first && self.accepts) {
            // what would stand for the first time waits for a word of its department
            (Deed::Approve(wish), true) => Stage::Delivered(wish.clone()),
            (_, _) => stage,
        };
        self.steps.push(Step::Do(number, deed));
    }
}

fn deed(chance: &mut Chance, stage: &Stage, namespaces: usize) -> Option<(Deed, Stage)> {
    let ask = |had: Option<Wish>, wish: Wish| {
        let stage = Stage::Asked {
            had,
            wish: wish.clone(),
        };
        Some((Deed::Ask(wish), stage))
    };
    match stage {
        Stage::Absent => ask(None, Wish::drawn(chance, namespaces)),
        Stage::Asked { had, wish } => Some(match (chance.below(20), had) {
            (0..=2, _) => {
                let (had, wish) = (had.clone(), wish.clone());
                (Deed::Reject, Stage::Refused { had, wish })
            }
            (3..=4, Some(had)) => (Deed::TakeBack(had.clone()), Stage::Stands(had.clone())),
            _ => (Deed::Approve(wish.clone()), Stage::Stands(wish.clone())),
        }),
        Stage::Refused { had, wish } => match had {
            Some(had) if chance.happens(500) => {
                Some((Deed::TakeBack(had.clone()), Stage::Stands(had.clone())))
            }
            _ => ask(had.clone(), wish.raised(chance)),
        },
        Stage::Delivered(wish) => Some(match chance.below(20) {
            0..=11 => (Deed::Accept(wish.clone()), Stage::Stands(wish.clone())),
            12..=16 => (Deed::GiveBack, Stage::GivenBack(wish.clone())),
            _ => (Deed::Release, Stage::Leaves),
        }),
        Stage::GivenBack(wish) => Some(match chance.below(20) {
            0..=14 => (Deed::Accept(wish.clone()), Stage::Stands(wish.clone())),
            _ => (Deed::Release, Stage::Leaves),
        }),
        Stage::Stands(wish) => standing_deed(chance, wish, namespaces),
        Stage::Suspended(wish) => Some(match chance.below(20) {
            0..=14 => (Deed::Lift(wish.clone()), Stage::Stands(wish.clone())),
            _ => (Deed::Release, Stage::Leaves),
        }),
        Stage::Leaves => Some((Deed::LetGo, Stage::Gone)),
        Stage::Gone if chance.happens(600) => {
            let wish = Wish::drawn(chance, namespaces);
            let stage = Stage::Asked {
                had: None,
                wish: wish.clone(),
            };
            Some((Deed::Again(wish), stage))
        }
        Stage::Gone => None,
    }
}

fn standing_deed(chance: &mut Chance, wish: &Wish, namespaces: usize) -> Option<(Deed, Stage)> {
    let settle = |wish: Wish| (Deed::Settle(wish.clone()), Stage::Stands(wish));
    let stands = || Stage::Stands(wish.clone());
    match chance.below(25) {
        0..=4 => {
            let more = wish.raised(chance);
            let stage = Stage::Asked {
                had: Some(wish.clone()),
                wish: more.clone(),
            };
            Some((Deed::Ask(more), stage))
        }
        5..=7 => wish.lowered(chance).map(settle),
        8..=10 => wish.shared(chance).map(settle),
        11..=12 => {
            let what = chance.pick(&MANAGED).copied()?;
            let place = index(chance, namespaces);
            Some((Deed::Delete(what, place), stands()))
        }
        13..=14 => {
            let what = chance.pick(&MANAGED).copied()?;
            let place = index(chance, namespaces);
            Some((Deed::Edit(what, place), stands()))
        }
        15..=17 => Some((Deed::Run(wish.clone()), stands())),
        18..=20 => Some((Deed::Suspend(wish.clone()), Stage::Suspended(wish.clone()))),
        _ => Some((Deed::Release, Stage::Leaves)),
    }
}

fn ending(chance: &mut Chance) -> Ending {
    let crash = |chance: &mut Chance, within: u64| Crash {
        write: chance.below(within),
        moment: chance.pick(&Moment::ALL).copied().unwrap(),
    };
    match chance.below(6) {
        0 => Ending::Asked,
        1 => Ending::Killed,
        2..=3 => Ending::AtWrite(crash(chance, 8)),
        _ => Ending::AtCommit(crash(chance, 4)),
    }
}

/// Trouble of one kind, or none.
fn trouble(chance: &mut Chance) -> Faults {
    let seed = chance.draw();
    let calm = Faults {
        seed,
        ..Faults::default()
    };
    match chance.below(7) {
        // caches that are seconds behind
        0 => Faults {
            late_ms: 3_000 + chance.below(7_000),
            slow_ms: 100,
            ..calm
        },
        // watches that break, and whose versions are gone
        1 => Faults {
            cut: 300,
            expired: 150,
            ..calm
        },
        // events that never arrive
        2 => Faults { lost: 150, ..calm },
        // a server that refuses, and that does not say what it did
        3 => Faults {
            refused: 250,
            unanswered: 150,
            ..calm
        },
        // the cluster's own controllers are slow, and kinds overtake each other
        4 => Faults {
            housekeeping_ms: 3_000,
            late_ms: 1_500,
            ..calm
        },
        5 => calm,
        _ => Faults::rough(seed),
    }
}

/// A number from 0 up to, and with, the bound.
fn up_to(chance: &mut Chance, bound: u64) -> i64 {
    i64::try_from(chance.below(bound + 1)).unwrap()
}

fn index(chance: &mut Chance, length: usize) -> usize {
    usize::try_from(chance.below(u64::try_from(length).unwrap())).unwrap()
}
