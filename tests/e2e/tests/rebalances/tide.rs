//! Use that comes and goes like a tide: in turn one namespace of a tenancy fills with pods and claims, and the others run
//! dry; and a lease that goes up and down with it.

use std::cell::Cell;

use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Resource;
use kube::api::{Api, DeleteParams};
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::{Office, Stage};
use leasehold_model::Chance;
use leasehold_testkit::LONG;
use leasehold_testkit::manifests::{Share, pod};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Cores, GiB of memory and GiB of disk.
type Size = [i64; 3];

/// Short names of the namespaces.
const SHORTS: [&str; 3] = ["a", "b", "c"];
/// What is leased, and what is leased for a while.
const LEASE: Size = [32, 64, 128];
const LARGER: Size = [40, 80, 160];
/// Ways to divide the smaller lease.
const SPLITS: [[Size; 3]; 2] = [
    [[12, 24, 48], [10, 20, 40], [10, 20, 40]],
    [[8, 16, 32], [12, 24, 48], [12, 24, 48]],
];
/// A pod: so that ten of them fit beside the head-room of two namespaces that run one each, and into no share.
const POD: (&str, &str) = ("2", "4Gi");
const FLOOD: usize = 10;
/// A claim: so that one fits into the least head-room, and seven of them into no share.
const CLAIM: &str = "8Gi";
const CLAIMS: usize = 7;
/// So many turns each of them takes at least.
const TURNS: u32 = 4;
/// After so many turns the lease changes again.
const CHANGES: u32 = 2;
/// Which of them gives its lease back, and after which turn.
const BEGINS_ANEW: u32 = 0;
const ANEW: u32 = 3;

/// A department whose tenancy is rebalanced by use.
pub struct Tide {
    office: Office,
    number: u32,
    chance: Chance,
    /// Pods that run, by namespace.
    pods: [Vec<String>; 3],
    /// Claims that are there, by namespace.
    claims: [Vec<String>; 3],
    /// How many pods and claims there have been.
    made: u32,
    flooded: usize,
    /// What was asked for last.
    lease: Size,
    split: usize,
    turns: u32,
    /// The last request.
    request: u32,
}

impl Tide {
    /// A department with its lease in force.
    pub async fn open(stage: &'static Stage, number: u32, chance: Chance) -> Self {
        let code = format!("tide-{number}");
        let tide = Self {
            office: stage.office(&code, "水文局").await.unwrap(),
            number,
            chance,
            pods: [const { Vec::new() }; 3],
            claims: [const { Vec::new() }; 3],
            made: 0,
            flooded: 0,
            lease: LEASE,
            split: 0,
            turns: 0,
            request: 1,
        };
        let manifest = tide.manifest();
        tide.office.lease(&manifest).await.unwrap();
        tide
    }

    /// Its code.
    pub fn code(&self) -> &str {
        &self.office.code
    }

    fn namespace(&self, place: usize) -> String {
        format!("{}--{}", self.office.code, SHORTS[place])
    }

    fn manifest(&self) -> Value {
        let written = |[cores, memory, disk]: Size| {
            [
                cores.to_string(),
                format!("{memory}Gi"),
                format!("{disk}Gi"),
            ]
        };
        let lease = written(self.lease);
        let shares = SPLITS[self.split].map(written);
        let lease = items(&lease);
        let shares: Vec<[(&str, &str); 3]> = shares.iter().map(items).collect();
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
            if self.number == BEGINS_ANEW && self.turns == ANEW {
                Box::pin(self.begin_anew()).await;
            } else if (self.turns + self.number).is_multiple_of(CHANGES) {
                Box::pin(self.change()).await;
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
            let (pods, claims) = if place == flooded {
                (FLOOD, CLAIMS)
            } else {
                (1, 0)
            };
            while self.pods[place].len() < pods {
                let name = self.run_one(place).await;
                self.pods[place].push(name);
            }
            while self.claims[place].len() < claims {
                let name = self.claim_one(place).await;
                self.claims[place].push(name);
            }
        }
        self.turns += 1;
    }

    /// All pods of a namespace but one go, and all claims.
    async fn ebb(&mut self, place: usize) {
        let kept = self.pods[place].len().min(1);
        let pods = self.pods[place].split_off(kept);
        let claims = std::mem::take(&mut self.claims[place]);
        self.remove::<Pod>(place, &pods).await;
        self.remove::<PersistentVolumeClaim>(place, &claims).await;
    }

    async fn remove<K>(&self, place: usize, names: &[String])
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        let all: Api<K> = Api::namespaced(self.office.staff.client(), &self.namespace(place));
        let at_once = DeleteParams::default().grace_period(0);
        let deleted = names.iter().map(|name| all.delete(name, &at_once));
        for deleted in join_all(deleted).await {
            drop(deleted.unwrap());
        }
    }

    /// One more pod in a namespace, as soon as there is room for it.
    async fn run_one(&mut self, place: usize) -> String {
        let (namespace, name) = (self.namespace(place), format!("p{}", self.made));
        let (cpu, memory) = POD;
        let manifest = pod(&namespace, &name, cpu, memory, None);
        self.make::<Pod>(&manifest, &name).await;
        name
    }

    /// One more claim in a namespace, as soon as there is room for it.
    async fn claim_one(&mut self, place: usize) -> String {
        let (namespace, name) = (self.namespace(place), format!("c{}", self.made));
        let manifest = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "ssd",
                "resources": {"requests": {"storage": CLAIM}},
            },
        });
        self.make::<PersistentVolumeClaim>(&manifest, &name).await;
        name
    }

    async fn make<K>(&mut self, manifest: &Value, name: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let staff = &self.office.staff;
        let what = format!("room for {name} of {}", self.office.code);
        let room = self.office.stage.see(&what, LONG, async || {
            let made = staff.post::<K>(manifest).await;
            made.map_err(|failure| format!("{failure:?}"))
        });
        room.await.unwrap();
        self.made += 1;
    }

    /// Leases more if it leases little, and less if it leases much. What is asked for is granted while the turns go on.
    async fn change(&mut self) {
        self.stands().await;
        self.request += 1;
        if self.lease == LARGER {
            // needs nobody's approval
            self.lease = LEASE;
            self.apply().await;
        } else {
            self.lease = LARGER;
            self.apply().await;
            self.office.approve("oa", self.request).await.unwrap();
        }
    }

    /// Gives the lease back while everything runs, and leases again under the same name.
    async fn begin_anew(&mut self) {
        self.stands().await;
        self.office.give_back("oa").await.unwrap();
        let gone = ["delete", "tcy/oa", "-n", &self.office.place];
        let ran = self.office.staff.kubectl(&gone, "").await.unwrap();
        ran.ok().unwrap();
        self.pods = [const { Vec::new() }; 3];
        self.claims = [const { Vec::new() }; 3];
        self.lease = LEASE;
        self.request = 1;
        let manifest = self.manifest();
        self.office.lease(&manifest).await.unwrap();
    }

    /// Waits until what was asked for last is in force.
    async fn stands(&self) {
        let (cores, number) = (self.lease[0].to_string(), self.request);
        let stands = |tenancy: &Tenancy| {
            let Some(status) = &tenancy.status else {
                return false;
            };
            let mut held = status.approved.iter();
            let cpu = held.find(|held| &*held.item == "vcpu-x86");
            let is_last = status.request.as_ref().map(|request| request.number) == Some(number);
            let is_held = cpu.is_some_and(|cpu| cpu.quantity.to_string() == cores);
            status.phase == Phase::Active && is_last && is_held
        };
        let what = format!("{cores} cores in force by request {number}");
        self.office.when("oa", &what, stands).await.unwrap();
    }

    /// Leases no more than little, and goes on within it for a turn.
    pub async fn subside(&mut self) {
        if self.lease == LARGER {
            Box::pin(self.change()).await;
        }
        self.stands().await;
        self.turn().await;
    }
}

fn items([cores, memory, disk]: &[String; 3]) -> [(&str, &str); 3] {
    [
        ("vcpu-x86", cores.as_str()),
        ("memory", memory.as_str()),
        ("block-ssd", disk.as_str()),
    ]
}
