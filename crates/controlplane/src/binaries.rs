//! Builds the control plane's programs from Go modules, once per machine and version.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::{self, CacheError};
use crate::processes;

/// The Kubernetes version that is built, as the API server reports it.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// Programs that are built from one list of modules.
struct Source {
    /// What they are, for people.
    what: &'static str,
    /// How long their build takes on two cores.
    takes: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    ldflags: &'static str,
    /// File names as Go gives them.
    programs: &'static [&'static str],
}

/// The control plane.
const PLANE: Source = Source {
    what: "the control plane (Kubernetes v1.36.3, etcd, kwok, Helm)",
    takes: "7 minutes",
    go_mod: include_str!("../go/go.mod"),
    go_sum: include_str!("../go/go.sum"),
    // without these the server calls itself v0.0.0-master, which breaks every version check
    ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
     -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
    programs: &PROGRAMS,
};
/// What a cluster has beside it. Its own list, because it is of another version of Kubernetes' libraries.
const SNAPSHOTS: Source = Source {
    what: "the snapshot controller",
    takes: "2 minutes",
    go_mod: include_str!("../go/snapshots/go.mod"),
    go_sum: include_str!("../go/snapshots/go.sum"),
    ldflags: "-s -w",
    programs: &[SNAPSHOT_CONTROLLER],
};
const SNAPSHOT_CONTROLLER: &str = "snapshot-controller";
/// The oldest Go that builds them, as (major, minor): what `go.mod` asks for.
const OLDEST_GO: (u32, u32) = (1, 26);
/// How often a running build says how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// File names as Go gives them; etcd's program is called `server`.
const PROGRAMS: [&str; 8] = [
    "helm",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeconform",
    "kubectl",
    "kwok",
    "server",
];

/// Why the programs are not there.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// The cache folder cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file or folder of the build could not be written or moved.
    #[error("failed to prepare {}", .path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// There is no usable `go` on the PATH.
    #[error(
        "failed to run `go version`: the control plane is built with Go {}.{} or newer; install it and put `go` on the PATH",
        OLDEST_GO.0, OLDEST_GO.1
    )]
    GoMissing {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The `go` on the PATH is too old, or does not say its version.
    #[error(
        "failed to accept `{found}`: the control plane is built with Go {}.{} or newer; update Go",
        OLDEST_GO.0, OLDEST_GO.1
    )]
    GoTooOld {
        /// What `go version` printed.
        found: String,
    },
    /// `go build` failed.
    #[error("failed to build {what} ({status}); the last lines of its output:\n{tail}")]
    Build {
        /// What was built.
        what: &'static str,
        /// How the compiler ended.
        status: String,
        /// The last lines that it wrote.
        tail: String,
    },
    /// `go build` succeeded without making one of the programs.
    #[error(
        "failed to find `{program}` among what `go build` made; is go.mod's tool list complete?"
    )]
    Incomplete {
        /// The program that is missing.
        program: &'static str,
    },
}

/// The controller that makes snapshots of volumes in a cluster, which is no part of Kubernetes: found in the cache or built
/// there (about 2 minutes on two cores), as [`Binaries::ensure`] does it.
pub fn snapshot_controller(progress: &mut dyn Write) -> Result<PathBuf, BinariesError> {
    Ok(ensure(&SNAPSHOTS, progress)?.join(SNAPSHOT_CONTROLLER))
}

/// The folder with the programs of a source, built unless they are there.
fn ensure(source: &Source, progress: &mut dyn Write) -> Result<PathBuf, BinariesError> {
    let root = cache::root()?.join("controlplane");
    let key = cache::key(&[source.go_mod, source.go_sum, source.ldflags]);
    let folder = root.join(key);
    if missing(source, &folder).is_none() {
        return Ok(folder);
    }
    let _lock = cache::lock(&root.join("build.lock"), progress)?;
    if missing(source, &folder).is_some() {
        check_go(&root)?;
        build(source, &root, &folder, progress)?;
    }
    Ok(folder)
}

/// A program of the source that is not in its folder.
fn missing(source: &Source, folder: &Path) -> Option<&'static str> {
    let mut programs = source.programs.iter().copied();
    programs.find(|program| !folder.join(program).is_file())
}

/// A folder that holds every program of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder; its name is a digest of what it was built from.
    pub dir: PathBuf,
}

impl Binaries {
    /// Finds the programs in the cache or builds them there (about 7 minutes on two cores, and 3 GB
    /// of Go's build cache). Two processes that ask at once build once.
    ///
    /// `progress` is told what is built and how long it has taken.
    pub fn ensure(progress: &mut dyn Write) -> Result<Self, BinariesError> {
        Ok(Self {
            dir: ensure(&PLANE, progress)?,
        })
    }

    /// etcd's server.
    pub fn etcd(&self) -> PathBuf {
        self.dir.join("server")
    }

    /// The API server.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.dir.join("kube-apiserver")
    }

    /// The controller manager.
    pub fn kube_controller_manager(&self) -> PathBuf {
        self.dir.join("kube-controller-manager")
    }

    /// The scheduler.
    pub fn kube_scheduler(&self) -> PathBuf {
        self.dir.join("kube-scheduler")
    }

    /// The simulator of kubelets.
    pub fn kwok(&self) -> PathBuf {
        self.dir.join("kwok")
    }

    /// The validator of manifests against JSON schemas.
    pub fn kubeconform(&self) -> PathBuf {
        self.dir.join("kubeconform")
    }

    /// A `kubectl` command of the right version, as the user of `kubeconfig`. Caches lie beside the
    /// kubeconfig; the user's own settings are neither read nor written.
    pub fn kubectl<I, S>(&self, kubeconfig: &Path, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(self.dir.join("kubectl"));
        command
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", beside(kubeconfig, "kubectl-cache"))
            .env("KUBERC", "off");
        command
    }

    /// A `helm` command, as the user of `kubeconfig`, with folders of its own beside it.
    pub fn helm<I, S>(&self, kubeconfig: &Path, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(self.dir.join("helm"));
        command
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env("HELM_CACHE_HOME", beside(kubeconfig, "helm-cache"))
            .env("HELM_CONFIG_HOME", beside(kubeconfig, "helm-config"))
            .env("HELM_DATA_HOME", beside(kubeconfig, "helm-data"));
        command
    }
}

fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent()
        .map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

fn files(path: &Path) -> impl FnOnce(io::Error) -> BinariesError {
    let path = path.to_owned();
    move |source| BinariesError::Files { path, source }
}

/// Asks the installed Go itself (`GOTOOLCHAIN=local`), so that a missing version is an error here
/// and not a download in the middle of the build.
fn check_go(folder: &Path) -> Result<(), BinariesError> {
    let output = Command::new("go")
        .arg("version")
        .current_dir(folder)
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BinariesError::GoMissing { source })?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match parse_go_version(&found) {
        Some(version) if version >= OLDEST_GO => Ok(()),
        Some(_) | None => Err(BinariesError::GoTooOld { found }),
    }
}

/// `(1, 26)` of `go version go1.26.8 linux/amd64`.
fn parse_go_version(text: &str) -> Option<(u32, u32)> {
    let version = text.split_whitespace().nth(2)?.strip_prefix("go")?;
    let (major, rest) = version.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Builds beside the target and renames at the end. The caller holds the build lock, so what other
/// builds left behind is rubbish.
fn build(
    source: &Source,
    root: &Path,
    target: &Path,
    progress: &mut dyn Write,
) -> Result<(), BinariesError> {
    remove_leftovers(root)?;
    let work = tempfile::Builder::new()
        .prefix("building-")
        .tempdir_in(root)
        .map_err(files(root))?;
    fs::write(work.path().join("go.mod"), source.go_mod).map_err(files(work.path()))?;
    fs::write(work.path().join("go.sum"), source.go_sum).map_err(files(work.path()))?;
    let made = work.path().join("bin");
    fs::create_dir(&made).map_err(files(&made))?;
    let log_path = work.path().join("build.log");
    let log = File::create(&log_path).map_err(files(&log_path))?;

    writeln!(
        progress,
        "building {} into {}\nthis happens once and takes about {} on two cores",
        source.what,
        target.display(),
        source.takes
    )
    .ok();
    let child = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", source.ldflags, "-o"])
        .arg(format!("{}/", made.display()))
        .arg("tool")
        .current_dir(work.path())
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|source| BinariesError::GoMissing { source })?;
    watch(source, child, &made, &log_path, progress)?;

    if let Some(program) = missing(source, &made) {
        return Err(BinariesError::Incomplete { program });
    }
    if target.exists() {
        fs::remove_dir_all(target).map_err(files(target))?;
    }
    fs::rename(&made, target).map_err(files(target))
}

fn remove_leftovers(root: &Path) -> Result<(), BinariesError> {
    for entry in fs::read_dir(root).map_err(files(root))? {
        let entry = entry.map_err(files(root))?;
        if entry.file_name().to_string_lossy().starts_with("building-") {
            fs::remove_dir_all(entry.path()).map_err(files(&entry.path()))?;
        }
    }
    Ok(())
}

fn watch(
    source: &Source,
    mut child: Child,
    made: &Path,
    log: &Path,
    progress: &mut dyn Write,
) -> Result<(), BinariesError> {
    let started = Instant::now();
    let mut reported = started;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(files(log))? {
            break status;
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            let done = fs::read_dir(made).map_or(0, Iterator::count);
            writeln!(
                progress,
                "  {} s: {done} of {} programs are built",
                started.elapsed().as_secs(),
                source.programs.len()
            )
            .ok();
        }
        thread::sleep(Duration::from_millis(200));
    };
    if !status.success() {
        return Err(BinariesError::Build {
            what: source.what,
            status: status.to_string(),
            tail: processes::tail(log),
        });
    }
    writeln!(
        progress,
        "built {} in {} s",
        source.what,
        started.elapsed().as_secs()
    )
    .ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_go_is_read_from_what_it_prints() {
        assert_eq!(
            parse_go_version("go version go1.26.8 linux/amd64"),
            Some((1, 26))
        );
        assert_eq!(
            parse_go_version("go version go1.27rc1 linux/amd64"),
            Some((1, 27))
        );
        assert_eq!(parse_go_version("go version devel +abc linux/amd64"), None);
        assert_eq!(parse_go_version(""), None);
    }

    #[test]
    fn the_version_told_to_the_linker_is_the_version_in_go_mod() {
        let required = format!("k8s.io/kubernetes {KUBERNETES_VERSION}");
        assert!(
            PLANE.go_mod.contains(&required),
            "go.mod does not require {required}"
        );
        let version = format!("gitVersion={KUBERNETES_VERSION} ");
        assert!(PLANE.ldflags.contains(&version));
        assert!(PLANE.what.contains(KUBERNETES_VERSION));
    }

    #[test]
    fn the_oldest_go_is_the_one_that_go_mod_asks_for() {
        for source in [PLANE, SNAPSHOTS] {
            let mut lines = source.go_mod.lines();
            let asked = lines.find_map(|line| line.strip_prefix("go ")).unwrap();
            assert_eq!(
                parse_go_version(&format!("go version go{asked} linux/amd64")),
                Some(OLDEST_GO),
                "{}",
                source.what
            );
        }
    }

    #[test]
    fn a_folder_that_lacks_one_program_is_not_a_finished_build() {
        let dir = tempfile::tempdir().unwrap();
        for program in PROGRAMS.iter().filter(|program| **program != "kwok") {
            fs::write(dir.path().join(program), "").unwrap();
        }
        assert_eq!(missing(&PLANE, dir.path()), Some("kwok"));
    }
}
