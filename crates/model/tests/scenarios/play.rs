//! A script is played: people act, trouble comes and goes, and in the end everything is quiet.
//!
//! Whoever acts on a tenancy waits until what was done to it before has come about. So the end does not depend on how
//! long anything takes, and a run through trouble must end as the undisturbed one did.

use std::{collections::BTreeSet, time::Duration};

use leasehold_model::{EventKind, Faults, Server, Store, Written};
use leasehold_testkit::{
    ends::{difference, state_difference},
    manifests,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    bounds::Bound,
    course::{Course, Outcome},
    expect::{
        APPROVALS, Expected, SUSPENSIONS, TENANCIES, find, is_book_asked_for, is_furnished,
        managed, namespace, release_question, repairable,
    },
    ledger::Ledger,
    operator::Operator,
    people::{self, ADMIN, OFFICE, staff},
    script::{Amounts, Deed, Ending, Lessee, Managed, Parts, Script, Step, Wish},
    state,
    world::{self, BUSY, FILES, WEB, meddled, no, yes},
};

/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_secs(1);
/// Nothing takes longer than so many looks: a reconcile that fails pauses five minutes at the most.
const PATIENCE: u32 = 1800;
/// What was lost is never told again, but to whoever lists: after so many looks in vain the operator is started anew.
const LOST: u32 = 120;
/// After so many looks at which nothing had been done, everything has been done.
const CALM: u32 = 20;
/// The same where billing periods are kept: a draft that is missing is drawn up a minute later.
const CALM_WITH_PERIODS: u32 = 100;
/// The same where reconciles have failed: their pauses are over by then.
const LONG_CALM: u32 = 330;
/// By then every object was looked at again without a reason.
const RESYNC: Duration = Duration::from_secs(660);
/// By then an operator that was started anew has looked at everything.
const FRESH: Duration = Duration::from_secs(40);

/// What is waited for before the next deed on a tenancy.
struct Waiting {
    expected: Expected,
    /// What the tenancy may have from then on, if that is less than before.
    then: Option<Amounts>,
}

/// A script as it is played.
pub struct Play<'play> {
    script: &'play Script,
    course: &'play Course<'play>,
    server: &'play Server,
    operator: &'play Operator,
    ledger: &'play Ledger,
    faults: Faults,
    has_lost: bool,
    waiting: Vec<Option<Waiting>>,
    owns: BTreeSet<usize>,
    /// How often the name of each tenancy was leased again.
    lives: Vec<u32>,
    /// What each tenancy may have.
    pub bounds: Vec<Bound>,
    /// Versions at which people deleted something, or strangers.
    pub by_strangers: BTreeSet<u64>,
}

impl<'play> Play<'play> {
    /// A script before its first step.
    pub fn new(
        script: &'play Script,
        course: &'play Course<'play>,
        server: &'play Server,
        operator: &'play Operator,
        ledger: &'play Ledger,
    ) -> Self {
        Self {
            script,
            course,
            server,
            operator,
            ledger,
            faults: course.faults(),
            has_lost: false,
            waiting: script.lessees.iter().map(|_| None).collect(),
            owns: BTreeSet::new(),
            lives: vec![0; script.lessees.len()],
            bounds: script.lessees.iter().map(Bound::new).collect(),
            by_strangers: BTreeSet::new(),
        }
    }

    /// Plays it to its end, and beyond, until nothing moves any more.
    pub async fn finish(&mut self) -> Result<(), String> {
        self.furnish().await?;
        let script = self.script;
        for step in &script.steps {
            let done = self.step(step).await;
            done.map_err(|why| format!("at the step {step:?}: {why}"))?;
        }
        self.end_trouble();
        for number in 0..script.lessees.len() {
            self.come_about(number).await?;
        }
        self.settle().await?;
        self.rest().await
    }

    /// The platform, published prices, departments with their offices and systems.
    async fn furnish(&self) -> Result<(), String> {
        let codes = self.script.codes;
        let mut policy = world::policy();
        if self.script.accepts {
            policy["spec"]["acceptance"] = json!({"billingStarts": "Accepted"});
        }
        world::make(self.server, &policy, codes)?;
        self.until("the question about prices", is_book_asked_for)
            .await?;
        world::publish(self.server)?;
        self.until("prices and offices", |store| is_furnished(store, codes))
            .await?;
        world::register(self.server, codes)
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let is_troubled = matches!(self.course, Course::Troubled(_));
        match step {
            Step::Do(number, deed) => {
                self.come_about(*number).await?;
                self.act(*number, deed)?;
            }
            Step::Restart(ending) if is_troubled => self.restart(*ending),
            Step::Trouble(faults) if is_troubled => {
                self.has_lost |= faults.lost > 0;
                self.faults = faults.clone();
                self.server.set_faults(faults.clone());
            }
            Step::Restart(_) | Step::Trouble(_) => {}
        }
        Ok(())
    }

    fn restart(&self, ending: Ending) {
        match ending {
            Ending::Asked => self.operator.stop(),
            Ending::Killed => self.server.die(),
            Ending::AtWrite(crash) => {
                let faults = self.faults.clone().with_crash(crash);
                self.server.set_faults(faults);
            }
            Ending::AtCommit(crash) => self.ledger.crash_soon(crash),
        }
    }

    /// From now on nothing goes wrong any more.
    fn end_trouble(&mut self) {
        if !matches!(self.course, Course::Troubled(_)) {
            return;
        }
        self.faults = Faults::default();
        self.server.set_faults(Faults::default());
        self.ledger.calm();
        if self.has_lost {
            self.server.die();
        }
    }

    /// Waits until what was done to a tenancy last has come about.
    async fn come_about(&mut self, number: usize) -> Result<(), String> {
        let lessee = &self.script.lessees[number];
        let Some(waiting) = self.waiting[number].take() else {
            return Ok(());
        };
        let Waiting { expected, then } = waiting;
        let what = format!("{} of {}: {expected:?}", lessee.name, lessee.code);
        self.until(&what, |store| expected.is_met(store, lessee))
            .await?;
        if let Some(amounts) = then {
            let version = self.version();
            self.bounds[number].set(version, amounts);
        }
        let is_there = matches!(expected, Expected::Stands(_) | Expected::Delivered(_));
        if is_there && self.owns.insert(number) {
            self.keep_something(lessee)?;
            if lessee.keeps {
                self.bind(lessee, self.lives[number])?;
            }
        }
        Ok(())
    }

    /// The department puts something of its own into each namespace.
    fn keep_something(&self, lessee: &Lessee) -> Result<(), String> {
        for number in 0..lessee.shorts.len() {
            for manifest in world::own(&namespace(lessee, number)) {
                people::create(self.server, &staff(lessee.code), &manifest)?;
            }
        }
        Ok(())
    }

    /// The cluster makes a disk for the named volume.
    fn bind(&self, lessee: &Lessee, life: u32) -> Result<(), String> {
        let place = namespace(lessee, 0);
        let claim = ["persistentvolumeclaims", &place, FILES];
        let uid = self.server.with_store(|store, _| {
            let found = find(store, claim)?;
            found["metadata"]["uid"].as_str().map(str::to_owned)
        });
        let uid = uid.ok_or_else(|| format!("there is no claim {FILES} in {place}"))?;
        let name = format!("disk-{place}-{life}");
        people::create(self.server, ADMIN, &world::disk(&name, &place, &uid))?;
        let bound = json!({"spec": {"volumeName": name}});
        people::patch(self.server, ADMIN, claim, &bound)
    }

    /// The department starts what does not run.
    fn run(&self, lessee: &Lessee) -> Result<(), String> {
        for number in 0..lessee.shorts.len() {
            let place = namespace(lessee, number);
            let pod = ["pods", &place, WEB];
            if self
                .server
                .with_store(|store, _| find(store, pod).is_some())
            {
                continue;
            }
            people::create(self.server, &staff(lessee.code), &world::pod(&place))?;
            people::runs(self.server, &place, WEB);
        }
        Ok(())
    }

    /// The department starts one more in the first namespace, which takes up what is left there.
    fn crowd(&self, lessee: &Lessee) -> Result<(), String> {
        let place = namespace(lessee, 0);
        people::create(self.server, &staff(lessee.code), &world::busy(&place))?;
        people::runs(self.server, &place, BUSY);
        Ok(())
    }

    /// What has ended goes, and the department leases anew under its name.
    fn again(&mut self, number: usize, wish: &Wish) -> Result<(), String> {
        let lessee = &self.script.lessees[number];
        let office = manifests::office(lessee.code);
        self.remove(&staff(lessee.code), [TENANCIES, &office, &lessee.name])?;
        let order = [SUSPENSIONS, &office, &lessee.name];
        if self
            .server
            .with_store(|store, _| find(store, order).is_some())
        {
            self.remove(OFFICE, order)?;
        }
        self.owns.remove(&number);
        self.lives[number] += 1;
        self.apply(lessee, wish)
    }

    /// Somebody deletes an object, and may.
    fn remove(&mut self, user: &str, place: [&str; 3]) -> Result<(), String> {
        let version = people::delete(self.server, user, place)?;
        self.by_strangers.insert(version);
        Ok(())
    }

    fn act(&mut self, number: usize, deed: &Deed) -> Result<(), String> {
        let script = self.script;
        let lessee = &script.lessees[number];
        let (expected, then) = match deed {
            Deed::Ask(wish) => {
                self.apply(lessee, wish)?;
                (Expected::Asked, None)
            }
            Deed::Settle(wish) => {
                self.apply(lessee, wish)?;
                (Expected::Stands(wish.clone()), Some(wish.lease()))
            }
            Deed::TakeBack(wish) => {
                self.apply(lessee, wish)?;
                (Expected::Stands(wish.clone()), None)
            }
            Deed::Approve(wish) => (self.approve(number, wish)?, None),
            Deed::Accept(_)
            | Deed::GiveBack
            | Deed::Run(_)
            | Deed::Crowd(_)
            | Deed::Suspend(_)
            | Deed::Lift(_)
            | Deed::Again(_) => (self.live(number, deed)?, None),
            Deed::Reject => {
                self.decide(lessee, &self.question(lessee), &no())?;
                (Expected::Refused, None)
            }
            Deed::Delete(what, place) => (self.delete(lessee, *what, *place)?, None),
            Deed::Edit(what, place) => (self.edit(lessee, *what, *place)?, None),
            Deed::Release => {
                let patch = json!({"spec": {"release": {"reason": "系统下线"}}});
                self.change(lessee, &patch)?;
                (Expected::Leaves, None)
            }
            Deed::LetGo => {
                let question = self
                    .server
                    .with_store(|store, _| release_question(store, lessee))?;
                self.decide(lessee, &question, &yes())?;
                (Expected::Gone, Some([0; 3]))
            }
        };
        self.waiting[number] = Some(Waiting { expected, then });
        Ok(())
    }

    /// The office says yes.
    fn approve(&mut self, number: usize, wish: &Wish) -> Result<Expected, String> {
        let lessee = &self.script.lessees[number];
        let version = self.version();
        self.bounds[number].set(version, wish.lease());
        self.decide(lessee, &self.question(lessee), &yes())?;
        // what stands for the first time waits for a word of its department
        let is_first = !self.owns.contains(&number);
        Ok(if is_first && self.script.accepts {
            Expected::Delivered(wish.clone())
        } else {
            Expected::Stands(wish.clone())
        })
    }

    /// What changes nothing of what is leased.
    fn live(&mut self, number: usize, deed: &Deed) -> Result<Expected, String> {
        let lessee = &self.script.lessees[number];
        Ok(match deed {
            Deed::Accept(wish) => {
                self.say(lessee, &json!({"accepted": true, "reason": null}))?;
                Expected::Stands(wish.clone())
            }
            Deed::GiveBack => {
                self.say(lessee, &json!({"accepted": false, "reason": "磁盘太慢"}))?;
                Expected::GivenBack
            }
            Deed::Run(wish) => {
                self.run(lessee)?;
                Expected::Stands(wish.clone())
            }
            Deed::Crowd(wish) => {
                self.crowd(lessee)?;
                Expected::Stands(wish.clone())
            }
            Deed::Suspend(wish) => {
                people::create(self.server, OFFICE, &world::order(lessee))?;
                Expected::Suspended(wish.clone())
            }
            Deed::Lift(wish) => {
                let office = manifests::office(lessee.code);
                self.remove(OFFICE, [SUSPENSIONS, &office, &lessee.name])?;
                Expected::Stands(wish.clone())
            }
            Deed::Again(wish) => {
                self.again(number, wish)?;
                Expected::Asked
            }
            Deed::Ask(_)
            | Deed::Settle(_)
            | Deed::TakeBack(_)
            | Deed::Approve(_)
            | Deed::Reject
            | Deed::Delete(..)
            | Deed::Edit(..)
            | Deed::Release
            | Deed::LetGo => return Err(format!("{deed:?} is done elsewhere")),
        })
    }

    /// The department says what it thinks of what is in place.
    fn say(&self, lessee: &Lessee, word: &Value) -> Result<(), String> {
        let tenancy = self.tenancy(lessee).unwrap_or_default();
        let mut word = word.clone();
        word["request"] = tenancy["status"]["acceptance"]["request"].clone();
        word["incarnation"] = tenancy["status"]["incarnation"].clone();
        self.change(lessee, &json!({"spec": {"acceptance": word}}))
    }

    /// The department applies its manifest.
    fn apply(&self, lessee: &Lessee, wish: &Wish) -> Result<(), String> {
        if self.tenancy(lessee).is_some() {
            return self.change(lessee, &world::change(lessee, wish));
        }
        let mut manifest = world::tenancy(lessee, wish);
        if self.script.by_use {
            manifest["spec"]["rebalance"] = json!({"by": "Use"});
        }
        people::create(self.server, &staff(lessee.code), &manifest)
    }

    fn change(&self, lessee: &Lessee, patch: &Value) -> Result<(), String> {
        let office = manifests::office(lessee.code);
        let place = [TENANCIES, &office, &lessee.name];
        people::patch(self.server, &staff(lessee.code), place, patch)
    }

    fn decide(&self, lessee: &Lessee, question: &str, answer: &Value) -> Result<(), String> {
        let office = manifests::office(lessee.code);
        let place = [APPROVALS, &office, question];
        people::patch(self.server, OFFICE, place, answer)
    }

    /// The approval that the tenancy waits for.
    fn question(&self, lessee: &Lessee) -> String {
        let tenancy = self.tenancy(lessee).unwrap_or_default();
        let name = tenancy.pointer("/status/request/approval");
        name.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn tenancy(&self, lessee: &Lessee) -> Option<Value> {
        let office = manifests::office(lessee.code);
        let place = [TENANCIES, &office, &lessee.name];
        self.server
            .with_store(|store, _| find(store, place).cloned())
    }

    fn delete(
        &mut self,
        lessee: &Lessee,
        what: Managed,
        number: usize,
    ) -> Result<Expected, String> {
        let (place, before) = self.standing(lessee, what, number)?;
        let [resource, namespace, name] = &place;
        let version = people::delete(self.server, ADMIN, [resource, namespace, name])?;
        self.by_strangers.insert(version);
        Ok(Expected::Repaired(place, before))
    }

    fn edit(&self, lessee: &Lessee, what: Managed, number: usize) -> Result<Expected, String> {
        let (place, before) = self.standing(lessee, what, number)?;
        let [resource, namespace, name] = &place;
        people::patch(
            self.server,
            ADMIN,
            [resource, namespace, name],
            &meddled(what),
        )?;
        Ok(Expected::Repaired(place, before))
    }

    /// Where a managed object is, and how it stands.
    fn standing(
        &self,
        lessee: &Lessee,
        what: Managed,
        number: usize,
    ) -> Result<([String; 3], Box<Value>), String> {
        let place = managed(what, &namespace(lessee, number));
        let [resource, namespace, name] = &place;
        let found = self.server.with_store(|store, _| {
            let found = find(store, [resource, namespace, name]);
            found.map(repairable)
        });
        let before = found.ok_or_else(|| format!("there is no {place:?}"))?;
        Ok((place, Box::new(before)))
    }

    fn version(&self) -> u64 {
        self.server.with_store(|store, _| store.version())
    }

    async fn until(
        &self,
        what: &str,
        holds: impl Fn(&Store) -> Result<(), String>,
    ) -> Result<(), String> {
        let (mut looked, mut missing) = (None, String::new());
        for look in 1..=PATIENCE {
            let version = self.version();
            if looked.replace(version) != Some(version) {
                match self.server.with_store(|store, _| holds(store)) {
                    Ok(()) => return Ok(()),
                    Err(why) => missing = why,
                }
            }
            if self.has_lost && look.is_multiple_of(LOST) {
                self.server.die();
            }
            sleep(LOOK).await;
        }
        Err(self.in_vain(what, &missing))
    }

    fn in_vain(&self, what: &str, missing: &str) -> String {
        let done = self.done();
        let last = done.len().saturating_sub(5);
        format!(
            "waited in vain for {what}: {missing}; the operator could not start: {:?}; its last writes: {:?}",
            self.operator.unready(),
            &done[last..],
        )
    }

    /// What the operator has written, its heartbeat aside.
    fn done(&self) -> Vec<Written> {
        let mut done = self.server.written();
        done.retain(is_done);
        done
    }

    /// How much that is.
    fn count_done(&self) -> usize {
        self.server.count_written(is_done)
    }

    /// Waits until everything has been done; in the end all is as it was in the undisturbed run.
    async fn settle(&self) -> Result<(), String> {
        let (mut calm, mut before) = (0_u32, self.count_done());
        let mut differs = String::new();
        let least = match self.script.parts {
            Parts::Reconcilers => CALM,
            Parts::Everything => CALM_WITH_PERIODS,
        };
        for _ in 0..PATIENCE {
            sleep(LOOK).await;
            let done = self.count_done();
            let is_due = self
                .server
                .with_store(|store, _| !store.chores().is_empty());
            calm = if done == before && !is_due {
                calm + 1
            } else {
                0
            };
            before = done;
            if calm < least || !calm.is_multiple_of(CALM) {
                continue;
            }
            match self.course.reference().map(|known| self.difference(known)) {
                None | Some(None) => return Ok(()),
                Some(Some(difference)) => differs = difference,
            }
            if calm > LONG_CALM {
                return Err(format!("it ends in another way: {differs}"));
            }
        }
        Err(format!("it never comes to rest; {differs}"))
    }

    /// The first difference to the end of the undisturbed run.
    fn difference(&self, known: &Outcome) -> Option<String> {
        let (state, lives) = self
            .server
            .with_store(|store, _| (state::of(store), state::lives(store)));
        state_difference(&known.state, &state).or_else(|| {
            let show = |life: &Vec<EventKind>| format!("{life:?}");
            difference(&known.lives, &lives, show, |expected, found| {
                format!("came and went as {found:?} instead of {expected:?}")
            })
        })
    }

    /// Once everything has been done, nothing is written any more: not when everything is looked at again, and not by
    /// an operator that was started anew.
    async fn rest(&self) -> Result<(), String> {
        let (before, commits) = (self.count_done(), self.ledger.commits());
        if self.script.waits_for_resync {
            sleep(RESYNC).await;
        }
        if matches!(self.course, Course::Troubled(_)) {
            self.server.die();
            sleep(FRESH).await;
        }
        let done = self.done();
        if done.len() > before {
            return Err(format!("it is not quiet: {:?}", &done[before..]));
        }
        // meters note how far they have come
        let is_quiet = self.ledger.commits() == commits || self.script.parts == Parts::Everything;
        if is_quiet {
            Ok(())
        } else {
            Err("the ledger was written although nothing happened".to_owned())
        }
    }
}

/// Whether a write is no heartbeat.
fn is_done(written: &Written) -> bool {
    !written.resource.starts_with("leases.")
}
