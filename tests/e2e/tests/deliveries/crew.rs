//! The processes that deliver, and how they are killed, paused and started again.

use std::process::{Command as Plain, Stdio};
use std::time::Duration;

use leasehold_e2e::deliveries::{Notes, TURN, WORKERS};
use leasehold_model::Chance;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::home::Home;

/// The program of a process.
fn command(home: &Home) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deliver"));
    command
        .arg("--db")
        .arg(home.text())
        .arg("--notes")
        .arg(home.notes())
        // the process ends with this one, which holds the other end
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Workers, each with a share of the facts.
pub struct Crew {
    workers: Vec<Worker>,
    notes: Notes,
    /// How many were killed.
    pub kills: u64,
    /// How many of them had the ledger open.
    pub kills_at_work: u64,
}

struct Worker {
    command: Command,
    child: Option<Child>,
}

impl Crew {
    /// Starts them.
    pub fn of(home: &Home, facts: u64) -> Self {
        let worker = |number: u64| {
            let mut command = command(home);
            command
                .arg("share")
                .arg(format!("--worker={number}"))
                .arg(format!("--facts={facts}"));
            let child = Some(command.spawn().unwrap());
            Worker { command, child }
        };
        Self {
            workers: (0..WORKERS).map(worker).collect(),
            notes: Notes::new(home.notes()),
            kills: 0,
            kills_at_work: 0,
        }
    }

    /// Whether all have delivered their shares. Whoever failed is told.
    pub fn are_done(&mut self) -> bool {
        for worker in &mut self.workers {
            let Some(child) = &mut worker.child else {
                continue;
            };
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "a worker ended by itself with {status}");
                worker.child = None;
            }
        }
        self.workers.iter().all(|worker| worker.child.is_none())
    }

    /// Kills one: as often as not whoever has the ledger, otherwise anyone; and starts it again.
    pub async fn kill_one(&mut self, chance: &mut Chance) {
        let turn = self.notes.read(TURN).unwrap();
        let alive: Vec<usize> = (0..self.workers.len())
            .filter(|number| self.workers[*number].child.is_some())
            .collect();
        let at_work = alive
            .iter()
            .copied()
            .find(|number| self.workers[*number].id() == Some(turn));
        let anyone = chance.pick(&alive).copied();
        let picked = if chance.happens(500) {
            at_work.or(anyone)
        } else {
            anyone
        };
        let Some(number) = picked else { return };
        let worker = &mut self.workers[number];
        let Some(mut child) = worker.child.take() else {
            return;
        };
        child.start_kill().unwrap();
        let status = child.wait().await.unwrap();
        if status.success() {
            // it was done before the signal came
            return;
        }
        self.kills += 1;
        self.kills_at_work += u64::from(at_work == Some(number));
        worker.child = Some(worker.command.spawn().unwrap());
    }

    /// How far they are.
    pub fn tell(&self) -> String {
        let busy = self.workers.iter().filter(|worker| worker.child.is_some());
        format!(
            "{} kills, {} of them at work; {} of {WORKERS} workers are not done",
            self.kills,
            self.kills_at_work,
            busy.count()
        )
    }
}

impl Worker {
    fn id(&self) -> Option<u64> {
        self.child.as_ref()?.id().map(u64::from)
    }
}

/// A process that keeps the ledger to itself.
pub struct Keeper {
    /// Which one, from 0.
    pub turn: u64,
    child: Child,
    /// Waiting for a child closes its standard input, which tells it to end; so it is held here.
    _pipe: Option<ChildStdin>,
}

impl Keeper {
    /// Starts the keeper of a turn.
    pub fn start(home: &Home, turn: u64) -> Self {
        let mut command = command(home);
        command
            .arg("keep")
            .arg(format!("--name={}", Self::name(turn)));
        let mut child = command.spawn().unwrap();
        let pipe = child.stdin.take();
        Self {
            turn,
            child,
            _pipe: pipe,
        }
    }

    /// The name of its facts.
    pub fn name(turn: u64) -> String {
        format!("keeper-{turn}")
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Stops it, wherever it is.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn wake(&self) {
        self.signal("CONT");
    }

    /// Its exit code, once it has ended by itself.
    pub async fn ended(&mut self, bound: Duration) -> Option<i32> {
        let ended = timeout(bound, self.child.wait()).await;
        ended.expect("it ends by itself").unwrap().code()
    }

    /// Kills it, if it has not ended by itself.
    pub async fn kill(&mut self) {
        self.child.kill().await.ok();
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let status = Plain::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, &id])
            .status();
        assert!(status.unwrap().success(), "signal {signal}");
    }
}
