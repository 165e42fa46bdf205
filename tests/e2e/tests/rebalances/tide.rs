//! Use that comes and goes like a tide: in turn one namespace of a tenancy fills with pods, and the others run dry.

use std::cell::Cell;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::{Office, Stage};
use leasehold_model::Chance;
use leasehold_testkit::LONG;
use leasehold_testkit::manifests::{Share, pod};
use serde_json::{Value, json};

use crate::check::{Bound, amounts};
use crate::history;

/// Cores and GiB of memory.
type Size = (i64, i64);

/// Short names of the namespaces.
const SHORTS: [&str; 3] = ["a", "b", "c"];
/// What is leased, and what is leased for a while.
const LEASE: Size = (32, 64);
const LARGER: Size = (40, 80);
/// Ways to divide the smaller lease.
const SPLITS: [[Size; 3]; 2] = [
    [(12, 24), (10, 20), (10, 20)],
    [(8, 16), (12, 24), (12, 24)],
];
/// A pod: so that ten of them fit beside the head-room of two namespaces that run one each, and into no share.
const POD: (&str, &str) = ("2", "4Gi");
const FLOOD: usize = 10;
/// So many turns each of them takes at least.
const TURNS: u32 = 4;
/// The turns after which some of them lease more, and less again.
const MORE: u32 = 1;
const LESS: u32 = 2;

/// A department whose tenancy is rebalanced by use.
pub struct Tide {
    office: Office,
    chance: Chance,
    /// What it may hold, and after which revision.
    pub bound: Bound,
    /// Pods that run, by namespace.
    pods: [Vec<String>; 3],
    /// How many pods there have been.
    made: u32,
    flooded: usize,
    lease: Size,
    split: usize,
    turns: u32,
    /// Whether it leases more for a while.
    swells: bool,
    /// The last request.
    request: u32,
}

impl Tide {
    /// A department with its lease in force.
    pub async fn open(stage: &'static Stage, number: u32, chance: Chance) -> Self {
        let code = format!("tide-{number}");
        let mut tide = Self {
            office: stage.office(&code, "水文局").await.unwrap(),
            chance,
            bound: Bound::default(),
            pods: [const { Vec::new() }; 3],
            made: 0,
            flooded: 0,
            lease: LEASE,
            split: 0,
            turns: 0,
            swells: number < 2,
            request: 1,
        };
        tide.may_hold(LEASE).await;
        let manifest = tide.manifest();
        tide.office.lease(&manifest).await.unwrap();
        tide
    }

    /// How its namespaces begin.
    pub fn prefix(&self) -> String {
        format!("{}--", self.office.code)
    }

    fn namespace(&self, place: usize) -> String {
        format!("{}{}", self.prefix(), SHORTS[place])
    }

    /// From now on it may hold so much.
    async fn may_hold(&mut self, (cores, gib): Size) {
        let now = history::revision(self.office.stage.rig.etcd()).await;
        self.bound.set(now, amounts(cores, gib));
    }

    fn manifest(&self) -> Value {
        let written = |(cores, gib): Size| [cores.to_string(), format!("{gib}Gi")];
        let lease = written(self.lease);
        let shares = SPLITS[self.split].map(written);
        let lease = items(&lease);
        let shares: Vec<[(&str, &str); 2]> = shares.iter().map(items).collect();
        let namespaces: Vec<Share<'_>> = SHORTS
            .iter()
            .zip(&shares)
            .map(|(short, share)| (*short, share.as_slice()))
            .collect();
        let manifest = self.office.manifest("oa", &lease, &namespaces);
        let mut manifest = manifest.unwrap();
        manifest["spec"]["rebalance"] = json!({"by": "Use"});
        manifest
    }

    async fn apply(&self) {
        self.office.staff.apply(&self.manifest()).await.unwrap();
    }

    /// Takes turns until that is enough, and at least a few.
    pub async fn flow(&mut self, is_enough: &Cell<bool>) {
        while self.turns < TURNS || !is_enough.get() {
            self.turn().await;
            if self.swells && self.turns == MORE {
                self.lease_more().await;
            }
            if self.swells && self.turns == LESS {
                self.lease_less().await;
            }
        }
    }

    /// The flood goes to another namespace. What it needs there it gets, whatever becomes of the operator.
    async fn turn(&mut self) {
        let step = 1 + usize::try_from(self.chance.below(2)).unwrap();
        self.flooded = (self.flooded + step) % SHORTS.len();
        // the department divides anew while everything moves
        if self.chance.happens(300) {
            self.split = (self.split + 1) % SPLITS.len();
            self.apply().await;
        }
        let flooded = self.flooded;
        for place in (0..SHORTS.len()).filter(|place| *place != flooded) {
            self.ebb(place).await;
        }
        for place in 0..SHORTS.len() {
            let pods = if place == flooded { FLOOD } else { 1 };
            while self.pods[place].len() < pods {
                self.run_one(place).await;
            }
        }
        self.turns += 1;
    }

    /// All pods of a namespace but one go.
    async fn ebb(&mut self, place: usize) {
        let all: Api<Pod> = Api::namespaced(self.office.staff.client(), &self.namespace(place));
        let at_once = DeleteParams::default().grace_period(0);
        let kept = self.pods[place].len().min(1);
        let gone = self.pods[place].split_off(kept);
        let deleted = gone.iter().map(|name| all.delete(name, &at_once));
        for deleted in join_all(deleted).await {
            drop(deleted.unwrap());
        }
    }

    /// One more pod in a namespace, as soon as there is room for it.
    async fn run_one(&mut self, place: usize) {
        let namespace = self.namespace(place);
        let name = format!("p{}", self.made);
        let (cpu, memory) = POD;
        let manifest = pod(&namespace, &name, cpu, memory, None);
        let staff = &self.office.staff;
        let what = format!("room for {name} in {namespace}");
        let room = self.office.stage.see(&what, LONG, async || {
            let made = staff.post::<Pod>(&manifest).await;
            made.map_err(|failure| format!("{failure:?}"))
        });
        room.await.unwrap();
        self.made += 1;
        self.pods[place].push(name);
    }

    async fn lease_more(&mut self) {
        self.lease = LARGER;
        self.request += 1;
        self.apply().await;
        self.office.asked("oa", self.request).await.unwrap();
        self.may_hold(LARGER).await;
        self.office.approve("oa", self.request).await.unwrap();
    }

    /// Asks for less, which counts with the next period.
    async fn lease_less(&mut self) {
        self.lease = LEASE;
        self.request += 1;
        self.apply().await;
    }

    /// Waits until no more than the smaller lease is in force, and goes on within it for a turn.
    pub async fn subside(&mut self) {
        if !self.swells {
            return;
        }
        let (cores, number) = (LEASE.0.to_string(), self.request);
        let is_less = |tenancy: &Tenancy| {
            let Some(status) = &tenancy.status else {
                return false;
            };
            let mut held = status.approved.iter();
            let cpu = held.find(|held| &*held.item == "vcpu-x86");
            let is_last = status.request.as_ref().map(|request| request.number) == Some(number);
            let is_less = cpu.is_some_and(|cpu| cpu.quantity.to_string() == cores);
            status.phase == Phase::Active && is_last && is_less
        };
        let what = "the smaller lease in force";
        self.office.when("oa", what, is_less).await.unwrap();
        self.may_hold(LEASE).await;
        self.turn().await;
    }
}

fn items([cores, memory]: &[String; 2]) -> [(&str, &str); 2] {
    [("vcpu-x86", cores.as_str()), ("memory", memory.as_str())]
}
