//! A proxy before the API server in which things go wrong, for one client alone.
//!
//! [`Proxy`] is an HTTPS server with a certificate of its own that passes requests on to the API server
//! with the credentials that they bring, watches frame by frame. What goes wrong is said by rules
//! ([`Rule`]: which request, which of them, what is done) and by a plan ([`Plan`]: faults by chance, from
//! one seed). [`Proxy::partition`] parts the network. Every fault is one line of JSON in a file
//! ([`Proxy::journal`]), with the seed.
//!
//! Invariants:
//! - What is not to suffer is passed on as it is, and answered as the API server answers it.
//! - A request that is said to be carried out was answered by the API server before anything else happens.
//! - People never come this way: they go to the API server directly.

mod answer;
mod asked;
mod frames;
mod journal;
mod network;
mod plan;
mod rule;
mod serve;
mod upstream;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use hyper::body::Bytes;
use leasehold_controlplane::certificates::Authority;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::Failure;
use journal::Journal;
use network::Network;
use upstream::Door;

pub use asked::{Asked, Verb};
pub use network::Partition;
pub use plan::Plan;
pub use rule::{Action, Moment, Rule, Target, Turn};
pub use upstream::Upstream;

/// The names that the proxy's certificate is good for.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// The way of a client that goes through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The address that takes the place of the API server's.
    pub server: String,
    /// The certificate of the authority that signed the proxy's own, a PEM file.
    pub authority: PathBuf,
}

/// The client is to be killed now. The request that this is about waits until `done` is used or dropped.
#[derive(Debug)]
pub struct Strike {
    /// To be told that it is dead.
    pub done: oneshot::Sender<()>,
}

/// A rule that was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Armed(u64);

/// A proxy before the API server. It ends when it is dropped, and lives on the runtime that started it.
pub struct Proxy {
    shared: Arc<Shared>,
    way: Way,
    struck: Mutex<Option<mpsc::UnboundedReceiver<Strike>>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Starts one that passes everything on. Its files are in `folder`.
    pub async fn start(upstream: &Upstream, seed: u64, folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(Failure::file(folder))?;
        let (strikes, struck) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            door: Door::new(upstream).map_err(Failure::proxy)?,
            network: Network::new(),
            journal: Journal::open(seed, &folder.join("faults.jsonl"))?,
            choice: Mutex::new(Choice::new(seed)),
            memory: Mutex::default(),
            strikes,
        });
        let authority = Authority::open(folder).map_err(|error| Failure::proxy(error.into()))?;
        let pair = authority.serving(&NAMES);
        let pair = pair.map_err(|error| Failure::proxy(error.into()))?;
        let tls = serve::acceptor(&pair).map_err(Failure::proxy)?;
        let (listener, address) = listen()
            .await
            .map_err(|error| Failure::proxy(error.into()))?;
        Ok(Self {
            way: Way {
                server: format!("https://{address}"),
                authority: folder.join("ca.crt"),
            },
            serving: tokio::spawn(serve::serve(listener, tls, Arc::clone(&shared))),
            shared,
            struck: Mutex::new(Some(struck)),
        })
    }

    /// How a client gets here.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Adds a rule. Rules come before the plan, and of several that a request meets the first counts.
    pub fn arm(&self, rule: Rule) -> Armed {
        self.shared.choice().arm(rule)
    }

    /// Takes a rule away, and tells how many requests it befell.
    pub fn disarm(&self, rule: Armed) -> u32 {
        self.shared.choice().disarm(rule)
    }

    /// How many requests a rule befell so far.
    pub fn fired(&self, rule: Armed) -> u32 {
        self.shared.choice().fired(rule)
    }

    /// From now on faults by chance come from this plan; none ends them. What hangs goes on to hang.
    pub fn follow(&self, plan: Option<Plan>) {
        self.shared.choice().plan = plan;
    }

    /// Parts the network for so long. Whoever drops this half-way leaves it parted.
    pub async fn partition(&self, how: Partition, length: Duration) {
        self.shared.network.part(how, length).await;
    }

    /// What [`Action::Kill`] asks for; to be taken once. Where nobody takes it, such a request waits half a
    /// minute and its connection is cut; where it was dropped, at once.
    pub fn strikes(&self) -> Option<mpsc::UnboundedReceiver<Strike>> {
        lock(&self.struck).take()
    }

    /// How many faults of each name there were.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        self.shared.journal.counts()
    }

    /// The last faults, at most 50, as they stand in the journal.
    pub fn last(&self) -> Vec<String> {
        self.shared.journal.last()
    }

    /// Every fault, one JSON object a line.
    pub fn journal(&self) -> &Path {
        self.shared.journal.path()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), std::io::Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What all requests have in common.
struct Shared {
    door: Door,
    network: Network,
    journal: Journal,
    choice: Mutex<Choice>,
    memory: Mutex<Memory>,
    strikes: mpsc::UnboundedSender<Strike>,
}

/// How the API server says that a version is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Event,
    Http,
}

/// A list as it was answered.
#[derive(Clone)]
struct Kept {
    headers: HeaderMap,
    body: Bytes,
}

/// What was answered before, and binds what is answered now.
#[derive(Default)]
struct Memory {
    /// Lists, by path and query.
    lists: BTreeMap<String, Kept>,
    /// The version that is gone, by scope.
    gone: BTreeMap<String, (String, Gone)>,
}

impl Shared {
    fn choice(&self) -> MutexGuard<'_, Choice> {
        lock(&self.choice)
    }

    /// What befalls a request.
    fn choose(&self, asked: &Asked) -> Option<Action> {
        self.choice().choose(asked)
    }

    fn kept(&self, uri: &str) -> Option<Kept> {
        lock(&self.memory).lists.get(uri).cloned()
    }

    /// Somebody has listed: versions from before are no longer asked for.
    fn listed(&self, uri: String, kept: Kept, scope: &str) {
        let mut memory = lock(&self.memory);
        memory.lists.insert(uri, kept);
        memory.gone.remove(scope);
    }

    fn lose(&self, scope: String, version: String, how: Gone) {
        lock(&self.memory).gone.insert(scope, (version, how));
    }

    fn lost(&self, scope: &str, version: &str) -> Option<Gone> {
        let memory = lock(&self.memory);
        let (lost, how) = memory.gone.get(scope)?;
        (lost == version).then_some(*how)
    }
}

/// What befalls whom.
struct Choice {
    seed: u64,
    rules: BTreeMap<Armed, Standing>,
    armed: u64,
    plan: Option<Plan>,
    /// How often the same was asked for.
    asked: BTreeMap<String, u64>,
}

/// A rule and what has come of it.
struct Standing {
    rule: Rule,
    met: u32,
    fired: u32,
}

impl Choice {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rules: BTreeMap::new(),
            armed: 0,
            plan: None,
            asked: BTreeMap::new(),
        }
    }

    fn arm(&mut self, rule: Rule) -> Armed {
        self.armed = self.armed.saturating_add(1);
        let standing = Standing {
            rule,
            met: 0,
            fired: 0,
        };
        self.rules.insert(Armed(self.armed), standing);
        Armed(self.armed)
    }

    fn fired(&self, rule: Armed) -> u32 {
        self.rules.get(&rule).map_or(0, |standing| standing.fired)
    }

    fn disarm(&mut self, rule: Armed) -> u32 {
        let standing = self.rules.remove(&rule);
        standing.map_or(0, |standing| standing.fired)
    }

    fn choose(&mut self, asked: &Asked) -> Option<Action> {
        let occurrence = self.asked.entry(asked.to_string()).or_default();
        *occurrence = occurrence.saturating_add(1);
        let occurrence = *occurrence;
        for (Armed(number), standing) in &mut self.rules {
            let Rule {
                target,
                turn,
                action,
            } = &standing.rule;
            if !target.holds(asked) || !action.suits(asked.verb) {
                continue;
            }
            standing.met = standing.met.saturating_add(1);
            let is_due = match turn {
                Turn::Nth(count) => standing.met == *count,
                Turn::First(count) => standing.met <= *count,
                Turn::Permille(share) => {
                    let about = format!("{number} {asked} {occurrence}");
                    plan::chance(self.seed, &about).draw() % 1000 < u64::from(*share)
                }
            };
            if is_due {
                standing.fired = standing.fired.saturating_add(1);
                return Some(*action);
            }
        }
        self.plan.as_ref()?.draw(asked, occurrence)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
