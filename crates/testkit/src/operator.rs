//! The operator as a process, as it is built and as it runs in a cluster.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use leasehold_controlplane::processes::{self, Group, Process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::proxy::Way;
use crate::rig::{NAMESPACE, program};
use crate::{Failure, LONG, Rig, SettableClock, eventually};

/// How long the operator has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(70);
/// How long one answer of its own port may take.
const ANSWER: Duration = Duration::from_secs(30);

/// What the operator is started with. Periods and ceilings are not among it: they are the
/// `CloudPolicy`'s.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// The ledger; made if it is not there.
    pub db: PathBuf,
    /// What is logged, in the notation of `RUST_LOG`.
    pub log: String,
    /// How it is logged.
    pub format: LogFormat,
    /// The way to the API server, where it is not the direct one.
    pub through: Option<Way>,
    /// The address of a database for the ledger, instead of the file at `db`.
    pub database: Option<String>,
    /// How it signs its Lease and its events: the name of its pod in a cluster.
    pub holder: String,
    /// The wall clock that it goes by, instead of the machine's.
    pub clock: Option<SettableClock>,
}

impl OperatorOptions {
    /// With a ledger at `db`, logging what matters in a test, for people.
    pub fn with_ledger(db: PathBuf) -> Self {
        Self {
            db,
            log: "info,leasehold=debug".to_owned(),
            format: LogFormat::Text,
            through: None,
            database: None,
            holder: "leasehold-0".to_owned(),
            clock: None,
        }
    }

    /// The same as another pod.
    #[must_use]
    pub fn held_by(self, holder: &str) -> Self {
        Self {
            holder: holder.to_owned(),
            ..self
        }
    }

    /// The same with the ledger in a database of a server. Its log stays beside `db`.
    #[must_use]
    pub fn in_database(self, address: &str) -> Self {
        Self {
            database: Some(address.to_owned()),
            ..self
        }
    }

    /// The same by a clock that may be set.
    #[must_use]
    pub fn by(self, clock: &SettableClock) -> Self {
        Self {
            clock: Some(clock.clone()),
            ..self
        }
    }

    /// The same through a proxy.
    #[must_use]
    pub fn through(self, way: &Way) -> Self {
        Self {
            through: Some(way.clone()),
            ..self
        }
    }
}

/// How the operator writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, who read its end in the failure of a test.
    Text,
    /// One JSON object a line, as in a cluster.
    Json,
}

/// What the chart says to the operator's allocator, so that its memory here is what it is there.
pub const HEAP: [&str; 2] = ["MALLOC_ARENA_MAX", "1"];

impl LogFormat {
    /// The value of the operator's `--log-format`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// A running operator with the rights of the chart's `ServiceAccount`. It ends with the test's process.
pub struct OperatorProcess {
    group: Group,
    process: Process,
    program: PathBuf,
    kubeconfig: PathBuf,
    options: OperatorOptions,
    log: PathBuf,
    address: SocketAddr,
}

impl OperatorProcess {
    /// Starts it and waits until it is ready.
    pub async fn start(rig: &Rig, options: OperatorOptions) -> Result<Self, Failure> {
        let mut operator = Self::launch(rig, options).await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts it and waits for nothing: where another operator has the ledger's database open, it stands by.
    pub async fn launch(rig: &Rig, options: OperatorOptions) -> Result<Self, Failure> {
        let program = program()?;
        let kubeconfig = rig.operator_kubeconfig(options.through.as_ref()).await?;
        let log = options.db.with_extension("log");
        let group = Group::new(None)?;
        let address = free_address()?;
        let process = spawn(&group, &program, &kubeconfig, &options, &log, address)?;
        Ok(Self {
            group,
            process,
            program,
            kubeconfig,
            options,
            log,
            address,
        })
    }

    /// Kills it as a power cut would (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self) {
        self.process.terminate(GRACE);
    }

    /// Starts it again on the same ledger, after [`OperatorProcess::kill`] or
    /// [`OperatorProcess::terminate`], and waits until it is ready.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.respawn()?;
        self.ready().await
    }

    /// Starts it again as [`OperatorProcess::restart`] does and waits for nothing, so that whatever
    /// comes next may find it on its way up. [`OperatorProcess::ready`] waits for it.
    pub fn respawn(&mut self) -> Result<(), Failure> {
        self.terminate();
        self.address = free_address()?;
        self.process = spawn(
            &self.group,
            &self.program,
            &self.kubeconfig,
            &self.options,
            &self.log,
            self.address,
        )?;
        Ok(())
    }

    /// Waits until it is ready.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        let (address, log) = (self.address, self.log.clone());
        let process = &mut self.process;
        let mut ended = false;
        let ready = eventually("a ready operator", LONG, async || {
            ended = process.ended().is_some();
            if ended {
                return Ok(());
            }
            match fetch(address, "/readyz").await {
                Ok(_) => Ok(()),
                Err(state) => Err(format!("{state}\n{}", processes::tail(&log))),
            }
        })
        .await;
        if ended {
            Err(Failure::OperatorEnded(self.tail()))
        } else {
            ready
        }
    }

    /// Whether its process runs: nobody has ended it, and it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// How its process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Stops it wherever it is (SIGSTOP), as a machine that stands still does.
    pub fn pause(&self) -> Result<(), Failure> {
        self.signal("STOP")
    }

    /// Lets it go on (SIGCONT), after [`OperatorProcess::pause`].
    pub fn wake(&self) -> Result<(), Failure> {
        self.signal("CONT")
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The kubeconfig that it acts with: a token of the chart's `ServiceAccount`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        processes::tail(&self.log)
    }

    /// Its ledger, which may be read beside it.
    pub fn ledger(&self) -> &Path {
        &self.options.db
    }

    /// Copies the ledger into `folder` as it stands at one instant: the process is halted meanwhile,
    /// and SQLite's log is copied with the database.
    pub fn copy_ledger(&self, folder: &Path) -> Result<PathBuf, Failure> {
        self.signal("STOP")?;
        let copied = copy_all(&self.options.db, folder);
        self.signal("CONT")?;
        copied
    }

    /// Reads a page of its own port: `/readyz`, `/metrics`.
    pub async fn fetch(&self, page: &str) -> Result<String, String> {
        fetch(self.address, page).await
    }

    /// Sum of a counter of `/metrics` over the series whose labels contain `labels`.
    pub async fn counted(&self, metric: &str, labels: &str) -> Result<u64, String> {
        Ok(sum(&self.fetch("/metrics").await?, metric, labels))
    }

    /// Lets it write no byte more into any file, as where a disk is full, or lets it write again. Its log is a file too.
    pub fn may_write(&self, may: bool) -> Result<(), Failure> {
        let bytes = if may { "unlimited" } else { "0" };
        let command = format!("prlimit --pid {} --fsize={bytes}:", self.process.id());
        let failed = |source| Failure::Start {
            command: command.clone(),
            source,
        };
        let ended = Command::new("/bin/sh")
            .args(["-c", &command])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(failed)?;
        if ended.success() {
            Ok(())
        } else {
            Err(Failure::OperatorEnded(self.tail()))
        }
    }

    fn signal(&self, signal: &str) -> Result<(), Failure> {
        let process = self.process.id().to_string();
        let script = "kill -s \"$0\" -- \"$1\"";
        let failed = |source| Failure::Start {
            command: format!("kill -s {signal}"),
            source,
        };
        let ended = Command::new("/bin/sh")
            .args(["-c", script, signal, &process])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(failed)?;
        if ended.success() {
            Ok(())
        } else {
            Err(Failure::OperatorEnded(self.tail()))
        }
    }
}

fn spawn(
    group: &Group,
    program: &Path,
    kubeconfig: &Path,
    options: &OperatorOptions,
    log: &Path,
    address: SocketAddr,
) -> Result<Process, Failure> {
    let file = || options.db.display().to_string();
    let mut arguments = vec![
        // a write beyond the limit of `may_write` shall fail, as on a full disk, and not end the process
        "-c".to_owned(),
        "trap '' XFSZ; exec env \"$0\" \"$@\"".to_owned(),
    ];
    arguments.push(HEAP.join("="));
    arguments.extend(options.clock.iter().flat_map(SettableClock::environment));
    arguments.extend([
        program.display().to_string(),
        "--kubeconfig".to_owned(),
        kubeconfig.display().to_string(),
        "operator".to_owned(),
        "--db".to_owned(),
        options.database.clone().unwrap_or_else(file),
        "--namespace".to_owned(),
        NAMESPACE.to_owned(),
        "--holder".to_owned(),
        options.holder.clone(),
        "--listen".to_owned(),
        address.to_string(),
        "--log-format".to_owned(),
        options.format.as_str().to_owned(),
        "--log".to_owned(),
        options.log.clone(),
    ]);
    Ok(Process::spawn(
        group,
        Path::new("/bin/sh"),
        &arguments,
        log,
    )?)
}

/// A port that nobody uses now; each start takes another, because the old one may be held for a while.
fn free_address() -> Result<SocketAddr, Failure> {
    let failed = Failure::file("a port of 127.0.0.1");
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|held| held.local_addr())
        .map_err(failed)
}

async fn fetch(address: SocketAddr, page: &str) -> Result<String, String> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = match tokio::time::timeout(ANSWER, asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(format!("{page}: {error}")),
        Err(_) => return Err(format!("{page}: no answer within {ANSWER:?}")),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        Ok(body.to_owned())
    } else {
        Err(format!("{page}: {status} {body}"))
    }
}

fn copy_all(db: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    let name = db
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for suffix in ["", "-wal"] {
        let from = db.with_file_name(format!("{name}{suffix}"));
        if from.exists() {
            fs::copy(&from, folder.join(format!("{name}{suffix}")))
                .map_err(Failure::file(&from))?;
        }
    }
    Ok(folder.join(name))
}

/// Adds up the whole numbers of a metric in the text format of Prometheus.
fn sum(page: &str, metric: &str, labels: &str) -> u64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(metric))
        .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_added_up_over_the_series_that_are_asked_for() {
        let page = "# HELP a_total x\na_total{c=\"t\",r=\"ok\"} 3\na_total{c=\"t\",r=\"no\"} 4\n\
                    a_total{c=\"u\"} 5\na_total_more{c=\"t\"} 100\n";
        assert_eq!(sum(page, "a_total", "c=\"t\""), 7);
        assert_eq!(sum(page, "a_total", ""), 12);
        assert_eq!(sum(page, "b_total", ""), 0);
    }

    #[test]
    fn a_copy_of_a_ledger_has_the_log_of_the_database_beside_it() {
        let folder = std::env::temp_dir().join(format!("leasehold-copy-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let db = folder.join("ledger.db");
        fs::write(&db, "a").unwrap();
        fs::write(folder.join("ledger.db-wal"), "b").unwrap();
        let copy = copy_all(&db, &folder.join("copy")).unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), "a");
        assert_eq!(
            fs::read_to_string(copy.with_file_name("ledger.db-wal")).unwrap(),
            "b"
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
