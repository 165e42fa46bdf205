//! A real PostgreSQL server for tests: Debian's package, run as a plain process on 127.0.0.1.
//!
//! Where `DATABASE_URL` names a server, as `postgres://postgres@127.0.0.1:5432/postgres`, that one is used, with the rights
//! of a superuser. Otherwise [`PostgresServer::shared`] starts one for the test program. PostgreSQL refuses to run as root,
//! which continuous integration is; then it runs as the user `postgres` that the package makes, in a folder of that user's.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use leasehold_controlplane::processes::{Group, Process, tail};

use crate::Failure;

/// Where Debian and its relatives keep the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The oldest version that leasehold runs on.
const OLDEST: u32 = 15;
/// The user of the package, and the superuser of the server.
const SUPERUSER: &str = "postgres";
/// The password of the roles of a database; a server of a test program asks for none.
const PASSWORD: &str = "leasehold";
/// How long a server may take to answer.
const START: Duration = Duration::from_mins(3);
/// A port can be taken between being picked and being listened on.
const ATTEMPTS: u32 = 3;
/// How long the processes of a server that was killed may go on: they look whether it lives whenever they wait.
const FAREWELL: Duration = Duration::from_secs(30);
/// Between two looks whether it answers.
const AGAIN: Duration = Duration::from_millis(50);

static SHARED: OnceLock<Result<PostgresServer, String>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A server of PostgreSQL. It ends with the test's process, if it was started for it.
#[derive(Debug)]
pub struct PostgresServer {
    psql: PathBuf,
    scheme: String,
    /// User and password of a superuser.
    person: String,
    host: String,
    query: String,
    running: Option<Running>,
}

/// The process of a server that was started for the tests.
#[derive(Debug)]
struct Running {
    group: Group,
    process: Mutex<Process>,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
}

/// A database with the roles of a ledger. Its tables are still to be made.
#[derive(Clone, Debug)]
pub struct PostgresDatabase {
    /// The address for the role that owns it, and makes the tables.
    pub owner: String,
    /// The address for the role that the operator would use.
    pub service: String,
    /// The address for a role that only reads.
    pub reader: String,
    /// The name of the operator's role.
    pub service_role: String,
    /// The name of the role that only reads.
    pub reader_role: String,
}

impl PostgresServer {
    /// The server of this test program; started with the first call, within a few seconds.
    pub fn shared() -> Result<&'static Self, Failure> {
        let started = SHARED.get_or_init(|| Self::find().map_err(|failure| format!("{failure:?}")));
        started
            .as_ref()
            .map_err(|told| Failure::Postgres(told.clone()))
    }

    /// A server of its own, which may be stopped. It has nothing to do with `DATABASE_URL`.
    pub fn start() -> Result<Self, Failure> {
        let programs = programs()?;
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            match launch(&programs, attempt) {
                Ok(server) => return Ok(server),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| failed("start PostgreSQL")))
    }

    fn find() -> Result<Self, Failure> {
        match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => Self::at(&url),
            Ok(_) | Err(_) => Self::start(),
        }
    }

    /// The server that somebody named.
    fn at(url: &str) -> Result<Self, Failure> {
        let odd =
            || failed("understand DATABASE_URL; write postgres://USER:PASSWORD@HOST:PORT/NAME");
        let (scheme, rest) = url.split_once("://").ok_or_else(odd)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = address.split_once('/').map_or(address, |(first, _)| first);
        let (person, host) = authority.rsplit_once('@').ok_or_else(odd)?;
        let psql = programs().map_or_else(|_| PathBuf::from("psql"), |found| found.join("psql"));
        Ok(Self {
            psql,
            scheme: scheme.to_owned(),
            person: person.to_owned(),
            host: host.to_owned(),
            query: query.to_owned(),
            running: None,
        })
    }

    /// A fresh database with three roles of its own.
    pub fn database(&self) -> Result<PostgresDatabase, Failure> {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("leasehold_{}_{number}", std::process::id());
        let [owner, service, reader] =
            ["owner", "service", "reader"].map(|role| format!("{name}_{role}"));
        self.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        for role in [&owner, &service, &reader] {
            self.run(&format!("DROP ROLE IF EXISTS {role}"))?;
            self.run(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"))?;
        }
        self.run(&format!("GRANT {owner} TO CURRENT_USER"))?;
        self.run(&format!("CREATE DATABASE {name} OWNER {owner}"))?;
        Ok(PostgresDatabase {
            owner: self.url(&format!("{owner}:{PASSWORD}"), &name),
            service: self.url(&format!("{service}:{PASSWORD}"), &name),
            reader: self.url(&format!("{reader}:{PASSWORD}"), &name),
            service_role: service,
            reader_role: reader,
        })
    }

    /// Carries out a statement as a superuser, in the server's own database.
    pub fn run(&self, sql: &str) -> Result<(), Failure> {
        let mut psql = Command::new(&self.psql);
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "--command",
            sql,
        ])
        .arg(self.url(&self.person, "postgres"));
        output(&mut psql, sql).map(drop)
    }

    /// The address of a database for a role.
    fn url(&self, person: &str, database: &str) -> String {
        let Self {
            scheme,
            host,
            query,
            ..
        } = self;
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{scheme}://{person}@{host}/{database}{mark}{query}")
    }

    /// Kills the process, as a power cut would, if it was started for the tests, and waits until nobody is connected any
    /// more: the processes that it had started may each answer once before they notice.
    pub fn kill(&self) {
        let Some(running) = &self.running else { return };
        let started = children_of(running.process().id());
        running.process().kill();
        let began = Instant::now();
        while started.iter().any(|pid| is_alive(*pid)) && began.elapsed() < FAREWELL {
            thread::sleep(AGAIN);
        }
    }

    /// Starts the process again after [`PostgresServer::kill`], on the same files, and waits until it answers.
    pub fn revive(&self) -> Result<(), Failure> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let began = Instant::now();
        loop {
            running.spawn()?;
            // what is left of its predecessor may hold the memory for a moment
            match self.await_answer() {
                Err(_) if began.elapsed() < START => thread::sleep(AGAIN),
                answer => return answer,
            }
        }
    }

    fn await_answer(&self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let Err(silent) = self.run("SELECT 1") else {
                return Ok(());
            };
            let Some(running) = &self.running else {
                return Err(silent);
            };
            if running.process().ended().is_some() || began.elapsed() > START {
                let log = tail(&running.log);
                return Err(Failure::Postgres(format!(
                    "{silent}; its log ends with:\n{log}"
                )));
            }
            thread::sleep(AGAIN);
        }
    }
}

impl Running {
    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> Result<(), Failure> {
        let process = Process::spawn(&self.group, &self.program, &self.arguments, &self.log)?;
        *self.process() = process;
        Ok(())
    }
}

/// The folder of the newest programs there are.
fn programs() -> Result<PathBuf, Failure> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(version, bin)| *version >= OLDEST && is_complete(bin))
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, bin)| bin);
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .or_else(|| std::env::split_paths(&path).find(|bin| is_complete(bin)))
        .ok_or_else(|| {
            failed(
                "find PostgreSQL 15 or newer, which tests of the ledger need: `apt-get install postgresql`, or \
                 `cargo xtask test --only postgres` as root, or name a server in DATABASE_URL",
            )
        })
}

fn is_complete(bin: &Path) -> bool {
    ["initdb", "postgres", "psql"]
        .iter()
        .all(|program| bin.join(program).is_file())
}

/// Makes a server in a folder of its own and waits until it answers.
fn launch(bin: &Path, attempt: u32) -> Result<PostgresServer, Failure> {
    let own = format!("leasehold-postgres-{}-{attempt}", std::process::id());
    let started = DATABASES.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("{own}-{started}"));
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    let group = Group::new(Some(&folder))?;
    let user = other_user()?;
    if let Some(user) = user {
        let mut chown = Command::new("chown");
        output(
            chown.arg(format!("{user}:")).arg(&folder),
            "give the folder away",
        )?;
    }
    let data = folder.join("data");
    initialise(bin, &data, user)?;
    let port = free_port()?;
    let (program, arguments) = as_user(user, &bin.join("postgres"), serve(&data, port));
    let log = folder.join("log");
    let process = Process::spawn(&group, &program, &arguments, &log)?;
    let server = PostgresServer {
        psql: bin.join("psql"),
        scheme: "postgres".to_owned(),
        person: SUPERUSER.to_owned(),
        host: format!("127.0.0.1:{port}"),
        query: String::new(),
        running: Some(Running {
            group,
            process: Mutex::new(process),
            program,
            arguments,
            log,
        }),
    };
    server.await_answer()?;
    Ok(server)
}

/// Makes the files. The order of texts is that of a language, as on servers of people who never thought of it: the ledger
/// must not depend on it.
fn initialise(bin: &Path, data: &Path, user: Option<&str>) -> Result<(), Failure> {
    let arguments = [
        "--pgdata".to_owned(),
        data.display().to_string(),
        format!("--username={SUPERUSER}"),
        "--auth=trust".to_owned(),
        "--no-sync".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--locale=C.UTF-8".to_owned(),
        "--locale-provider=icu".to_owned(),
        "--icu-locale=en".to_owned(),
    ];
    let (program, arguments) = as_user(user, &bin.join("initdb"), arguments.to_vec());
    output(
        Command::new(program).args(arguments),
        "make the files of PostgreSQL",
    )
    .map(drop)
}

/// How the server is run. Nothing of it has to outlive the power, and nothing of its memory may outlive it.
fn serve(data: &Path, port: u16) -> Vec<String> {
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "max_connections=1000",
        "dynamic_shared_memory_type=mmap",
    ];
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    arguments.extend(["-p".to_owned(), port.to_string()]);
    for setting in settings {
        arguments.extend(["-c".to_owned(), setting.to_owned()]);
    }
    arguments
}

/// Whom the server runs as, when this process is root.
fn other_user() -> Result<Option<&'static str>, Failure> {
    let own = output(Command::new("id").arg("-u"), "tell whose process this is")?;
    if own.trim() != "0" {
        return Ok(None);
    }
    let exists = |user: &&str| output(Command::new("id").args(["-u", user]), "find a user").is_ok();
    [SUPERUSER, "nobody"]
        .into_iter()
        .find(exists)
        .map(Some)
        .ok_or_else(|| failed("find the user `postgres`; PostgreSQL does not run as root"))
}

/// A command line, run as another user if there is one.
fn as_user(user: Option<&str>, program: &Path, arguments: Vec<String>) -> (PathBuf, Vec<String>) {
    let Some(user) = user else {
        return (program.to_owned(), arguments);
    };
    let mut all = vec![
        format!("--reuid={user}"),
        "--clear-groups".to_owned(),
        program.display().to_string(),
    ];
    all.extend(arguments);
    (PathBuf::from("setpriv"), all)
}

/// State and parent of a process (`proc_pid_stat(5)`); nothing of one that is gone.
fn state_of(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // its name stands in brackets before, and may hold anything
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| state_of(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Whether a process does anything any more; a zombie does not.
fn is_alive(pid: u32) -> bool {
    state_of(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    listener
        .and_then(|listener| Ok(listener.local_addr()?.port()))
        .map_err(|error| Failure::Postgres(format!("failed to find a free port: {error}")))
}

/// What a command printed. It must succeed.
fn output(command: &mut Command, doing: &str) -> Result<String, Failure> {
    let program = command.get_program().display().to_string();
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::Postgres(format!("failed to start {program}: {error}")))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&stderr);
    Err(Failure::Postgres(format!(
        "failed to {doing} with {program} ({status}): {}",
        errors.trim()
    )))
}

fn failed(what: &str) -> Failure {
    Failure::Postgres(format!("failed to {what}"))
}
