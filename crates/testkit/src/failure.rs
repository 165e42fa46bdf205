//! Why a test cannot go on.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_controlplane::StartError;
use leasehold_controlplane::processes::ProcessError;

/// Why a test cannot go on. `Debug`, which `unwrap` prints, tells everything in plain lines.
#[derive(thiserror::Error)]
pub enum Failure {
    /// The control plane did not start, or did not do what it was asked for.
    #[error("failed to run the control plane")]
    Plane(#[from] Box<StartError>),
    /// The shared control plane of this binary did not start; told to every test that needs it.
    #[error("failed to share the control plane of this test binary:\n{0}")]
    Shared(String),
    /// The program under test was not built.
    #[error(
        "failed to find {}: build it with `cargo build --package leasehold`, or run `cargo xtask test`", .0.display()
    )]
    NotBuilt(PathBuf),
    /// A process could not be run.
    #[error("failed to run the operator")]
    Process(#[from] ProcessError),
    /// The operator ended by itself.
    #[error("failed to keep the operator running; the last lines of its log:\n{0}")]
    OperatorEnded(String),
    /// The operator's own port does not show a page; the text names it and says why.
    #[error("failed to ask the operator for a page: {0}; is it running?")]
    Page(String),
    /// A file could not be read or written.
    #[error("failed to use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A command could not be started or fed.
    #[error("failed to start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A command did not end in time.
    #[error("failed to see `{command}` end within {bound:?}")]
    Hung {
        /// The command line.
        command: String,
        /// How long it had.
        bound: Duration,
    },
    /// A command failed that should succeed, or the other way round.
    #[error(
        "failed: {expected}, but `{command}` ended with {code:?}\nstdout: {stdout}\nstderr: {stderr}"
    )]
    Command {
        /// What should have happened.
        expected: String,
        /// The command line.
        command: String,
        /// Its exit code; none when it was killed.
        code: Option<i32>,
        /// What it printed.
        stdout: String,
        /// What it complained about.
        stderr: String,
    },
    /// A call of the API server failed.
    #[error("failed to {what}")]
    Call {
        /// What was asked for.
        what: String,
        /// What the client said.
        #[source]
        source: Box<kube::Error>,
    },
    /// A kubeconfig could not be used.
    #[error("failed to use the kubeconfig {}", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// Text that should be JSON of a known shape is not.
    #[error("failed to read {what}")]
    Json {
        /// What was read.
        what: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A manifest in `examples/` cannot be read.
    #[error("failed to read the manifests in {}: {message}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A condition did not come about.
    #[error("failed to see {what} within {bound:?}; the last state was:\n{last}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        bound: Duration,
        /// What was seen last.
        last: String,
    },
    /// The proxy before the API server could not be set up.
    #[error("failed to set up the proxy before the API server")]
    Proxy(#[source] Box<dyn Error + Send + Sync>),
    /// PostgreSQL cannot be had; the text says why and what to do.
    #[error("{0}")]
    Postgres(String),
    /// A clock that can be set cannot be had; the text says why and what to do.
    #[error("{0}")]
    Clock(String),
    /// The clock or the calendar cannot be used.
    #[error("failed to tell today's date: {0}")]
    Calendar(String),
}

impl Failure {
    /// A file that cannot be used.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// A proxy that cannot be set up.
    pub fn proxy(source: Box<dyn Error + Send + Sync>) -> Self {
        Self::Proxy(source)
    }

    /// JSON that cannot be read.
    pub fn json(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.into();
        move |source| Self::Json { what, source }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Plane(Box::new(error))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "\n  because: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
