//! The detached process that keeps one cluster.
//!
//! It is told three things and nothing else: its standard input ends before [`DETACH`] was read
//! (whoever started it is gone: give up), the stop request appears (stop in order), or it is killed
//! (the control plane's own watchdog cleans up).

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use leasehold_controlplane::cache::{self, Lock};
use leasehold_controlplane::{ControlPlane, Options};

use crate::cluster::Cluster;

/// The line after which the supervisor stays even when its standard input ends.
pub const DETACH: &str = "detach\n";
const POLL: Duration = Duration::from_millis(200);

/// Runs the control plane of a cluster until it is told to stop.
pub fn run(cluster: &Cluster) -> Result<()> {
    let _lock = acquire(cluster)?;
    fs::write(cluster.pid(), std::process::id().to_string()).context("failed to write the pid")?;
    let abandoned = Arc::new(AtomicBool::new(false));
    watch_stdin(Arc::clone(&abandoned));

    let mut plane = ControlPlane::start(Options {
        dir: Some(cluster.plane()),
        // safe against everything but a crash of the machine
        unsafe_no_fsync: true,
        audit: true,
        progress: Box::new(io::stderr()),
        cancelled: Some(Arc::clone(&abandoned)),
    })?;
    publish(cluster, &plane)?;
    let ended = loop {
        if abandoned.load(Ordering::Relaxed) || cluster.stop_request().exists() {
            break Ok(());
        }
        if let Err(error) = plane.check() {
            break Err(error);
        }
        thread::sleep(POLL);
    };
    fs::remove_file(cluster.kubeconfig()).ok();
    plane.stop();
    Ok(ended?)
}

/// Takes the lock. `status` holds it for an instant to see whether it is free, so one failure says
/// nothing.
fn acquire(cluster: &Cluster) -> Result<Lock> {
    for _ in 0..20 {
        if let Some(lock) = cache::try_lock(&cluster.lock())? {
            return Ok(lock);
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!(
        "failed to take {}: another supervisor runs",
        cluster.lock().display()
    )
}

fn watch_stdin(abandoned: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        if read.is_err() || line != DETACH {
            abandoned.store(true, Ordering::Relaxed);
        }
    });
}

/// Shows that the cluster is ready: the kubeconfig appears, complete from the first moment.
fn publish(cluster: &Cluster, plane: &ControlPlane) -> Result<()> {
    let ready = cluster.kubeconfig();
    let draft = ready.with_extension("draft");
    fs::copy(plane.admin_kubeconfig(), &draft).context("failed to copy the kubeconfig")?;
    fs::rename(&draft, &ready).context("failed to publish the kubeconfig")
}
