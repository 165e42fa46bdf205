//! `cargo xtask cluster`: control planes that stay until they are taken down.
//!
//! Each lives in `.leasehold/clusters/NAME`. A supervisor (this program again, detached) holds the
//! lock there as long as it lives; the lock, not a process number, says whether a cluster is up.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Subcommand, ValueEnum};
use leasehold_controlplane::{Binaries, cache, processes};
use serde_json::json;

use crate::out::Out;
use crate::supervisor;
use crate::workspace::{read, root, stream};

/// How long a supervisor may take to stop before it is killed (its watchdog then cleans up).
const STOP_BOUND: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Real Kubernetes control planes to try things on.
#[derive(Subcommand)]
pub enum Command {
    /// Starts a control plane that stays until it is taken down; several stand side by side.
    Up {
        /// What to call it.
        #[arg(long, default_value = "dev")]
        name: String,
    },
    /// Stops a control plane and removes its data.
    Down {
        /// Which one.
        #[arg(long, default_value = "dev", conflicts_with = "all")]
        name: String,
        /// Every one of this repository.
        #[arg(long)]
        all: bool,
    },
    /// Lists the control planes of this repository.
    Status {
        /// Print JSON instead of a table.
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Format>,
    },
    /// Runs a control plane until it is told to stop; started by `up`.
    #[command(hide = true)]
    Supervise {
        /// The folder of the cluster.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// How `status` prints.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    /// One JSON array.
    Json,
}

/// Runs a cluster command.
pub fn run(command: &Command, out: &mut Out) -> Result<()> {
    match command {
        Command::Up { name } => up(&Cluster::named(name)?, out),
        Command::Down { all: true, .. } => {
            for cluster in Cluster::all()? {
                down(&cluster, out)?;
            }
            Ok(())
        }
        Command::Down { name, all: false } => down(&Cluster::named(name)?, out),
        Command::Status { output } => status(*output, out),
        Command::Supervise { dir } => supervisor::run(&Cluster::at(dir.clone())),
    }
}

/// The files of one cluster.
pub struct Cluster {
    dir: PathBuf,
}

impl Cluster {
    fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn named(name: &str) -> Result<Self> {
        let plain = name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        ensure!(
            plain && !name.is_empty(),
            "failed to accept `{name}` as a cluster name: use letters, digits and `-`"
        );
        Ok(Self::at(clusters()?.join(name)))
    }

    fn all() -> Result<Vec<Self>> {
        let folder = clusters()?;
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut dirs = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            }
        }
        dirs.sort();
        Ok(dirs.into_iter().map(Self::at).collect())
    }

    fn name(&self) -> String {
        self.dir
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The control plane's own folder.
    pub fn plane(&self) -> PathBuf {
        self.dir.join("plane")
    }

    /// Held by the supervisor as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("supervisor.lock")
    }

    /// The supervisor's process number.
    pub fn pid(&self) -> PathBuf {
        self.dir.join("supervisor.pid")
    }

    /// Asks the supervisor to stop by existing.
    pub fn stop_request(&self) -> PathBuf {
        self.dir.join("stop")
    }

    /// The administrator's kubeconfig; exists once the cluster is ready.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("supervisor.log")
    }

    fn supervised(&self) -> Result<bool> {
        Ok(self.dir.is_dir() && cache::try_lock(&self.lock())?.is_none())
    }
}

fn clusters() -> Result<PathBuf> {
    Ok(root()?.join(".leasehold").join("clusters"))
}

fn up(cluster: &Cluster, out: &mut Out) -> Result<()> {
    let binaries = Binaries::ensure(out)?;
    let name = cluster.name();
    if cluster.supervised()? {
        ensure!(
            cluster.kubeconfig().is_file(),
            "failed to start `{name}`: it is being started"
        );
        out.line(format_args!("cluster `{name}` is up already"))?;
        return explain(cluster, &binaries, out);
    }
    fs::create_dir_all(&cluster.dir)
        .with_context(|| format!("failed to make {}", cluster.dir.display()))?;
    for stale in [cluster.stop_request(), cluster.kubeconfig(), cluster.pid()] {
        remove_file(&stale)?;
    }
    out.line(format_args!("starting cluster `{name}`, about 5 seconds"))?;
    let mut supervisor = spawn_supervisor(cluster)?;
    await_ready(cluster, &mut supervisor)?;
    // until now the end of this process would have ended the supervisor too
    if let Some(mut pipe) = supervisor.stdin.take() {
        pipe.write_all(supervisor::DETACH.as_bytes())
            .context("failed to detach the supervisor")?;
    }
    out.line(format_args!("cluster `{name}` is up"))?;
    explain(cluster, &binaries, out)
}

fn spawn_supervisor(cluster: &Cluster) -> Result<Child> {
    let log = File::create(cluster.log())?;
    let program = std::env::current_exe().context("failed to find this program")?;
    Process::new(program)
        .args(["cluster", "supervise", "--dir"])
        .arg(&cluster.dir)
        .current_dir(&cluster.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("failed to start the supervisor")
}

fn await_ready(cluster: &Cluster, supervisor: &mut Child) -> Result<()> {
    while !cluster.kubeconfig().is_file() {
        if let Some(status) = supervisor.try_wait()? {
            bail!(
                "failed to start the cluster ({status}):\n{}",
                processes::tail(&cluster.log())
            );
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn explain(cluster: &Cluster, binaries: &Binaries, out: &mut Out) -> Result<()> {
    out.line("")?;
    out.line(format_args!(
        "  export KUBECONFIG={}",
        cluster.kubeconfig().display()
    ))?;
    out.line(format_args!(
        "  export PATH={}:$PATH",
        binaries.dir.display()
    ))?;
    out.line("")?;
    out.line("try:  kubectl get namespaces")?;
    // without the operator's pod, in which nothing would run here
    out.line(
        "      helm install leasehold charts/leasehold -n leasehold-system --create-namespace \\",
    )?;
    out.line("        --set operator.enabled=false")?;
    out.line(format_args!(
        "then: cargo xtask cluster down --name {}",
        cluster.name()
    ))?;
    Ok(())
}

fn down(cluster: &Cluster, out: &mut Out) -> Result<()> {
    let name = cluster.name();
    if !cluster.dir.is_dir() {
        out.line(format_args!("there is no cluster `{name}`"))?;
        return Ok(());
    }
    if cluster.supervised()? {
        fs::write(cluster.stop_request(), "").context("failed to ask the supervisor to stop")?;
        if !released(cluster, STOP_BOUND)? {
            let pid = read(&cluster.pid())?;
            let mut kill = Process::new("/bin/sh");
            stream(kill.args(["-c", "kill -s KILL -- \"$0\"", pid.trim()]))?;
            ensure!(
                released(cluster, STOP_BOUND)?,
                "failed to stop the supervisor {}",
                pid.trim()
            );
        }
    }
    remove_dir(&cluster.dir)?;
    out.line(format_args!("cluster `{name}` is down"))?;
    Ok(())
}

/// Waits until nobody holds the lock.
fn released(cluster: &Cluster, bound: Duration) -> Result<bool> {
    let asked = Instant::now();
    while cluster.supervised()? {
        if asked.elapsed() > bound {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
    Ok(true)
}

/// Removes a folder. A watchdog may be killing processes that still write there, so it is tried for
/// some seconds.
fn remove_dir(dir: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(_) if !dir.exists() => return Ok(()),
            Err(error) if started.elapsed() > Duration::from_secs(5) => {
                return Err(error).with_context(|| format!("failed to remove {}", dir.display()));
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if path.exists() => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn status(format: Option<Format>, out: &mut Out) -> Result<()> {
    let mut rows = Vec::new();
    for cluster in Cluster::all()? {
        let ready = cluster.kubeconfig().is_file();
        let state = match (cluster.supervised()?, ready) {
            (true, true) => "up",
            (true, false) => "starting",
            (false, _) => "dead",
        };
        let config = if ready {
            read(&cluster.kubeconfig())?
        } else {
            String::new()
        };
        let server = server_of(&config).to_owned();
        rows.push((
            cluster.name(),
            state,
            server,
            cluster.kubeconfig().display().to_string(),
        ));
    }
    match format {
        Some(Format::Json) => {
            let list: Vec<_> = rows
                .iter()
                .map(|(name, state, server, kubeconfig)| {
                    json!({"name": name, "state": state, "server": server, "kubeconfig": kubeconfig})
                })
                .collect();
            out.line(serde_json::to_string_pretty(&list)?)?;
        }
        None if rows.is_empty() => {
            out.line("no clusters; start one with: cargo xtask cluster up")?;
        }
        None => {
            out.line(format_args!(
                "{:<16} {:<9} {:<24} KUBECONFIG",
                "NAME", "STATE", "SERVER"
            ))?;
            for (name, state, server, kubeconfig) in &rows {
                out.line(format_args!(
                    "{name:<16} {state:<9} {server:<24} {kubeconfig}"
                ))?;
            }
        }
    }
    Ok(())
}

/// The server's address in a kubeconfig of ours; empty when there is none.
fn server_of(kubeconfig: &str) -> &str {
    kubeconfig
        .lines()
        .find_map(|line| line.trim().strip_prefix("server: "))
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_leave_the_folder_is_refused() {
        assert!(Cluster::named("../elsewhere").is_err());
        assert!(Cluster::named("").is_err());
        assert_eq!(Cluster::named("dev-2").unwrap().name(), "dev-2");
    }

    #[test]
    fn a_cluster_is_supervised_exactly_while_its_lock_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::at(dir.path().to_owned());
        assert!(!cluster.supervised().unwrap());
        let held = cache::try_lock(&cluster.lock()).unwrap();
        assert!(cluster.supervised().unwrap());
        drop(held);
        assert!(!cluster.supervised().unwrap());
    }

    #[test]
    fn the_server_is_read_from_the_kubeconfig() {
        let text = "clusters:\n- name: a\n  cluster:\n    server: https://127.0.0.1:1\n";
        assert_eq!(server_of(text), "https://127.0.0.1:1");
        assert_eq!(server_of(""), "");
    }
}
