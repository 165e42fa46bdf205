//! One running control plane, from its certificates to its end.

mod backup;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::binaries::{Binaries, BinariesError};
use crate::cache;
use crate::certificates::{self, Authority, CertificateError};
use crate::flags::{self, Setting};
use crate::kubeconfig;
use crate::processes::{self, Group, Process, ProcessError};
use crate::stages;

/// How long the API server may take to be ready, and then the first service account to appear.
const START_BOUND: Duration = Duration::from_mins(1);
/// How long etcd may take to write its last when its data are kept.
const ETCD_GRACE: Duration = Duration::from_secs(10);
/// Ports are free when they are picked, but somebody else may take one before it is used.
const ATTEMPTS: u32 = 3;
const SERVER_NAMES: [&str; 5] = [
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
];
/// The control plane's own users: kubeconfig, user, groups. kwok acts as the kubelets do.
const USERS: [(&str, &str, &[&str]); 4] = [
    ("admin", "leasehold:admin", &["system:masters"]),
    ("controller-manager", "system:kube-controller-manager", &[]),
    ("scheduler", "system:kube-scheduler", &[]),
    (
        "kwok",
        "system:node:kwok",
        &["system:masters", "system:nodes"],
    ),
];

/// Why a control plane did not start, or could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The programs are not there.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A process could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file of the control plane could not be written.
    #[error("failed to prepare {}", .path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// No port on 127.0.0.1 was free.
    #[error("failed to find a free port on 127.0.0.1")]
    Ports(#[source] io::Error),
    /// A program ended while it was needed.
    #[error("failed to keep {program} running ({status}); the last lines of {}:\n{tail}", .log.display())]
    Died {
        /// The program.
        program: Program,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Nothing failed, but it took too long.
    #[error("failed to see {what} within {bound:?}; the last lines of {}:\n{tail}", .log.display())]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        bound: Duration,
        /// The log of the program that should have brought it about.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Whoever asked for the control plane no longer wants it.
    #[error("failed to start the control plane: the start was called off")]
    Cancelled,
}

impl StartError {
    fn is_port_clash(&self) -> bool {
        matches!(self, Self::Died { tail, .. } if tail.contains("address already in use"))
    }
}

/// The programs that make up a control plane, in the order of their start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The built-in controllers: namespaces, quotas, workloads, garbage.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The simulated kubelets.
    Kwok,
}

impl Program {
    /// All of them, in the order of their start.
    pub const ALL: [Self; 5] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
    ];

    /// The name, which is also that of its log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
        }
    }

    fn path(self, binaries: &Binaries) -> PathBuf {
        match self {
            Self::Etcd => binaries.etcd(),
            Self::ApiServer => binaries.kube_apiserver(),
            Self::ControllerManager => binaries.kube_controller_manager(),
            Self::Scheduler => binaries.kube_scheduler(),
            Self::Kwok => binaries.kwok(),
        }
    }

    fn arguments(self, setting: &Setting) -> Vec<String> {
        match self {
            Self::Etcd => flags::etcd(setting),
            Self::ApiServer => flags::kube_apiserver(setting),
            Self::ControllerManager => flags::kube_controller_manager(setting),
            Self::Scheduler => flags::kube_scheduler(setting),
            Self::Kwok => flags::kwok(setting),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a control plane is started with.
pub struct Options {
    /// Where it keeps its files. `None` is a temporary folder that goes with it. A folder that was
    /// used before is continued: same data, same authority, another port.
    pub dir: Option<PathBuf>,
    /// Lets etcd skip fsync: faster, and no data are lost by killing processes, only by a crash of
    /// the machine.
    pub unsafe_no_fsync: bool,
    /// Keeps a log of who wrote what: [`ControlPlane::audit_log`].
    pub audit: bool,
    /// Is told what takes long.
    pub progress: Box<dyn Write + Send>,
    /// When it becomes true, a start in progress gives up.
    pub cancelled: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    /// A temporary folder, durable, without an audit log, silent.
    fn default() -> Self {
        Self {
            dir: None,
            unsafe_no_fsync: false,
            audit: false,
            progress: Box::new(io::sink()),
            cancelled: None,
        }
    }
}

impl Options {
    /// What tests want: a temporary folder, no fsync, with an audit log.
    pub fn for_tests() -> Self {
        Self {
            unsafe_no_fsync: true,
            audit: true,
            ..Self::default()
        }
    }
}

/// A running control plane. Dropping it stops every program and removes a temporary folder.
pub struct ControlPlane {
    setting: Setting,
    temporary: bool,
    binaries: Binaries,
    authority: Authority,
    processes: BTreeMap<Program, Process>,
    cancelled: Option<Arc<AtomicBool>>,
    group: Group,
}

impl ControlPlane {
    /// Builds the programs if need be, starts them, and waits until the API server is ready and the
    /// `default` service account exists (about 4 seconds).
    pub fn start(mut options: Options) -> Result<Self, StartError> {
        let binaries = Binaries::ensure(&mut *options.progress)?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&binaries, &options) {
                Err(error) if attempt < ATTEMPTS && error.is_port_clash() => attempt += 1,
                other => return other,
            }
        }
    }

    fn start_once(binaries: &Binaries, options: &Options) -> Result<Self, StartError> {
        let mut plane = Self::prepare(binaries, options)?;
        plane.launch(Program::Etcd)?;
        plane.launch(Program::ApiServer)?;
        // started earlier, these would exit: their bootstrap roles are not written yet
        for program in [
            Program::ControllerManager,
            Program::Scheduler,
            Program::Kwok,
        ] {
            plane.launch(program)?;
        }
        plane.wait_for(
            "the default service account",
            Program::ControllerManager,
            |plane| plane.succeeds(&["get", "serviceaccount", "default", "--namespace=default"]),
        )?;
        Ok(plane)
    }

    /// Everything that is needed before the first program runs.
    fn prepare(binaries: &Binaries, options: &Options) -> Result<Self, StartError> {
        let (dir, group) = open_folder(options.dir.as_deref())?;
        let [etcd_port, peer_port, port] = free_ports().map_err(StartError::Ports)?;
        let setting = Setting {
            dir,
            etcd_port,
            peer_port,
            port,
            unsafe_no_fsync: options.unsafe_no_fsync,
            audit: options.audit,
        };
        let authority = Authority::open(&setting.pki())?;
        let plane = Self {
            setting,
            temporary: options.dir.is_none(),
            binaries: binaries.clone(),
            authority,
            processes: BTreeMap::new(),
            cancelled: options.cancelled.clone(),
            group,
        };
        plane.write_files()?;
        Ok(plane)
    }

    fn write_files(&self) -> Result<(), StartError> {
        for folder in ["logs", "users"] {
            let path = self.dir().join(folder);
            fs::create_dir_all(&path).map_err(files(&path))?;
        }
        let pki = self.setting.pki();
        certificates::service_account_key(&pki)?;
        let server = self.authority.serving(&SERVER_NAMES)?;
        certificates::write_private(&pki.join("server.crt"), &server.certificate)?;
        certificates::write_private(&pki.join("server.key"), &server.key)?;
        for (file, user, groups) in USERS {
            self.write_kubeconfig(&self.setting.kubeconfig(file), user, groups)?;
        }
        for (name, text) in [
            ("stages.yaml", stages::config()),
            ("audit-policy.yaml", flags::AUDIT_POLICY.to_owned()),
        ] {
            let path = self.dir().join(name);
            fs::write(&path, text).map_err(files(&path))?;
        }
        Ok(())
    }

    fn write_kubeconfig(&self, path: &Path, user: &str, groups: &[&str]) -> Result<(), StartError> {
        let pair = self.authority.client(user, groups)?;
        let authority = self.authority.certificate();
        let text = kubeconfig::render(&self.server_url(), authority, user, &pair);
        Ok(certificates::write_private(path, &text)?)
    }

    /// The folder with kubeconfigs, logs (`logs/*.log`), certificates and etcd's data.
    pub fn dir(&self) -> &Path {
        &self.setting.dir
    }

    /// The kubeconfig of the administrator (group `system:masters`).
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.setting.kubeconfig("admin")
    }

    /// The API server's address.
    pub fn server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.setting.port)
    }

    /// The certificate of the authority that signed the API server's, PEM.
    pub fn authority(&self) -> &str {
        self.authority.certificate()
    }

    /// The address of etcd, which speaks plain HTTP and asks for no password: for tests of objects
    /// that no client could make, as one that is older than the control plane.
    pub fn etcd_address(&self) -> String {
        format!("127.0.0.1:{}", self.setting.etcd_port)
    }

    /// The programs that it runs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The audit log, one JSON event a line; it exists when [`Options::audit`] was set.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.setting.audit.then(|| self.setting.audit_log())
    }

    /// The log of one program.
    pub fn log(&self, program: Program) -> PathBuf {
        self.dir().join("logs").join(format!("{program}.log"))
    }

    /// A kubeconfig for a user with a client certificate of its own, in at most two groups. The user
    /// has no rights until a role is bound to it.
    pub fn user_kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf, StartError> {
        let mut identity = vec![user];
        identity.extend_from_slice(groups);
        let readable: String = user
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        let name = format!("{readable}-{}.kubeconfig", cache::key(&identity));
        let path = self.dir().join("users").join(name);
        self.write_kubeconfig(&path, user, groups)?;
        Ok(path)
    }

    /// A `kubectl` command as the administrator.
    pub fn kubectl<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.binaries.kubectl(&self.admin_kubeconfig(), args)
    }

    /// A `helm` command as the administrator.
    pub fn helm<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.binaries.helm(&self.admin_kubeconfig(), args)
    }

    /// Starts a program that is not running; for the API server, waits until it is ready. Does
    /// nothing for one that runs.
    pub fn launch(&mut self, program: Program) -> Result<(), StartError> {
        let running = self
            .processes
            .get_mut(&program)
            .is_some_and(|p| p.ended().is_none());
        if !running {
            let process = Process::spawn(
                &self.group,
                &program.path(&self.binaries),
                &program.arguments(&self.setting),
                &self.log(program),
            )?;
            self.processes.insert(program, process);
        }
        if program == Program::ApiServer {
            self.wait_for("a ready API server", program, |plane| {
                plane.succeeds(&["get", "--raw=/readyz"])
            })?;
        }
        Ok(())
    }

    /// Kills a program and waits for its end, as a crash would. [`ControlPlane::launch`] brings it
    /// back, at the same address.
    pub fn kill(&mut self, program: Program) {
        if let Some(mut process) = self.processes.remove(&program) {
            process.kill();
        }
    }

    /// Kills the API server and starts it again at the same address; returns when it is ready.
    /// Watches break, stored objects stay.
    pub fn restart_apiserver(&mut self) -> Result<(), StartError> {
        self.kill(Program::ApiServer);
        self.launch(Program::ApiServer)?;
        // one that was starting itself may have given up meanwhile
        Program::ALL
            .into_iter()
            .try_for_each(|program| self.launch(program))
    }

    /// Kills the built-in controllers and starts them again. They count every quota anew, also what it bounds of kinds that were
    /// defined since; by themselves they do that every five minutes. More often would let more in than a quota has room for:
    /// they write what they had counted over what was let in meanwhile.
    pub fn restart_controllers(&mut self) -> Result<(), StartError> {
        self.kill(Program::ControllerManager);
        self.launch(Program::ControllerManager)
    }

    /// Says which program has ended by itself, with the last lines of its log.
    pub fn check(&mut self) -> Result<(), StartError> {
        self.check_for(Program::Kwok)
    }

    /// The same of those that a program needs, and of itself. Others may end while they wait for it.
    fn check_for(&mut self, last: Program) -> Result<(), StartError> {
        for (program, process) in self.processes.range_mut(..=last) {
            if let Some(status) = process.ended() {
                return Err(StartError::Died {
                    program: *program,
                    status: status.to_string(),
                    log: process.log().to_owned(),
                    tail: processes::tail(process.log()),
                });
            }
        }
        Ok(())
    }

    /// Stops everything and waits for it; the same as dropping.
    pub fn stop(self) {
        drop(self);
    }

    fn succeeds(&self, args: &[&str]) -> bool {
        self.kubectl(args)
            .arg("--request-timeout=2s")
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| output.status.success())
    }

    fn wait_for(
        &mut self,
        what: &'static str,
        program: Program,
        probe: impl Fn(&Self) -> bool,
    ) -> Result<(), StartError> {
        let started = Instant::now();
        while !probe(self) {
            self.check_for(program)?;
            if self
                .cancelled
                .as_ref()
                .is_some_and(|flag| flag.load(Ordering::Relaxed))
            {
                return Err(StartError::Cancelled);
            }
            if started.elapsed() > START_BOUND {
                let log = self.log(program);
                let tail = processes::tail(&log);
                return Err(StartError::Late {
                    what,
                    bound: START_BOUND,
                    log,
                    tail,
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // Last started, first stopped. Asked politely, an API server waits a minute for its watchers;
        // it keeps nothing itself, so it is killed.
        while let Some((program, mut process)) = self.processes.pop_last() {
            if program == Program::Etcd && !self.temporary {
                process.terminate(ETCD_GRACE);
            } else {
                process.kill();
            }
        }
        self.group.close();
        if self.temporary {
            // the watchdog has done it already, unless somebody killed the watchdog
            fs::remove_dir_all(self.dir()).ok();
        }
    }
}

/// The folder, and the process group that removes it in the end if it is a temporary one.
fn open_folder(wanted: Option<&Path>) -> Result<(PathBuf, Group), StartError> {
    let Some(wanted) = wanted else {
        let folder = tempfile::Builder::new()
            .prefix("leasehold-")
            .tempdir()
            .map_err(files(&std::env::temp_dir()))?;
        let group = Group::new(Some(folder.path()))?;
        return Ok((folder.keep(), group));
    };
    let dir = std::path::absolute(wanted).map_err(files(wanted))?;
    fs::create_dir_all(&dir).map_err(files(&dir))?;
    Ok((dir, Group::new(None)?))
}

fn files(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Files { path, source }
}

/// Ports that nobody uses now, all different because they are all held until the last is found.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port can be taken between being picked and being listened on: for a moment even by a child that another test of
    /// this program forks, which holds the listener until it becomes another program. A start tries again then, and so
    /// does this.
    #[test]
    fn ports_picked_together_differ_and_can_be_listened_on() {
        let listened = (0..ATTEMPTS).any(|_| {
            let ports: [u16; 3] = free_ports().unwrap();
            let distinct: std::collections::BTreeSet<u16> = ports.into_iter().collect();
            assert_eq!(distinct.len(), 3);
            let listeners = ports.map(|port| TcpListener::bind(("127.0.0.1", port)));
            listeners.iter().all(Result::is_ok)
        });
        assert!(listened, "no {ATTEMPTS} picks could be listened on");
    }

    #[test]
    fn only_a_port_that_was_taken_meanwhile_is_worth_another_attempt() {
        let died = |tail: &str| StartError::Died {
            program: Program::Etcd,
            status: "exit status: 1".to_owned(),
            log: PathBuf::from("etcd.log"),
            tail: tail.to_owned(),
        };
        assert!(died("listen tcp 127.0.0.1:2379: bind: address already in use").is_port_clash());
        assert!(!died("no space left on device").is_port_clash());
        assert!(!StartError::Cancelled.is_port_clash());
    }

    #[test]
    fn the_programs_are_ordered_as_they_start() {
        assert!(Program::ALL.is_sorted());
        assert_eq!(Program::ALL.first(), Some(&Program::Etcd));
    }
}
