//! The Python environment of the FOCUS validators.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use leasehold_controlplane::cache;

use crate::out::Out;
use crate::workspace::{read, root, stream};

/// The oldest Python that the validators run on, as (major, minor).
const OLDEST: (u32, u32) = (3, 12);
/// Packages that take a compiler and a quarter of an hour to build: only ready-made ones will do. A
/// Python too new for the locked versions fails here at once, and the next one is tried.
const READY_MADE: &str =
    "numpy,pandas,pyarrow,duckdb,polars,polars-runtime-32,pydantic-core,rpds-py";

/// Where the environment is, for the tests that need it.
pub struct Focus {
    /// The interpreter of the environment.
    pub python: PathBuf,
    /// The script that runs the validators on a file.
    pub gate: PathBuf,
}

/// Makes the environment in the cache folder (once, about 30 seconds) and returns it.
pub fn ensure(out: &mut Out) -> Result<Focus> {
    let folder = root()?.join("tests").join("focus");
    let requirements = folder.join("requirements.lock");
    let gate = folder.join("gate.py");
    ensure!(gate.is_file(), "failed to find {}", gate.display());
    let base = cache::root()?.join("focus");
    // scripts in an environment name its path, so it is made in place and marked when complete
    let dir = base.join(cache::key(&[&read(&requirements)?]));
    let python = dir.join("bin").join("python");
    let complete = dir.join("complete");

    let _lock = cache::lock(&base.join("focus.lock"), out)?;
    if !complete.is_file() {
        make(&dir, &requirements, out)?;
        fs::write(&complete, "").with_context(|| format!("failed to mark {}", dir.display()))?;
    }
    out.line(format_args!("FOCUS validators: {}", python.display()))?;
    Ok(Focus { python, gate })
}

fn make(dir: &Path, requirements: &Path, out: &mut Out) -> Result<()> {
    let mut refused = Vec::new();
    for interpreter in candidates() {
        let Some(version) = version(&interpreter).filter(|version| *version >= OLDEST) else {
            continue;
        };
        let name = interpreter.display();
        out.line(format_args!(
            "making the FOCUS environment with {name}, about 30 seconds"
        ))?;
        match install(&interpreter, dir, requirements) {
            Ok(()) => return Ok(()),
            Err(error) => refused.push(format!("{name} ({}.{}): {error:#}", version.0, version.1)),
        }
    }
    let (major, minor) = OLDEST;
    if refused.is_empty() {
        bail!(
            "failed to find Python {major}.{minor} or newer: install the packages \
             python{major}.{minor} and python{major}.{minor}-venv (or `pyenv install {major}.{minor}`)"
        );
    }
    bail!(
        "failed to make the FOCUS environment; install Python {major}.{minor}. Tried:\n{}",
        refused.join("\n")
    )
}

fn install(interpreter: &Path, dir: &Path, requirements: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("failed to empty {}", dir.display()))?;
    }
    stream(Command::new(interpreter).args(["-m", "venv"]).arg(dir))?;
    stream(
        Command::new(dir.join("bin").join("python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ])
            // the lock file lists everything
            .arg("--no-deps")
            .args(["--only-binary", READY_MADE, "--requirement"])
            .arg(requirements),
    )
}

/// Interpreters in the order in which they are tried: the version that the locked packages were
/// made for, newer ones, and what pyenv has installed. A name may be a shim that exists and fails.
fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["python3.12", "python3.13", "python3"]
        .into_iter()
        .map(PathBuf::from)
        .collect();
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")));
    if let Some(entries) = pyenv.and_then(|pyenv| fs::read_dir(pyenv.join("versions")).ok()) {
        let mut installed: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path().join("bin").join("python")))
            .collect();
        installed.sort();
        found.extend(installed);
    }
    found
}

fn version(interpreter: &Path) -> Option<(u32, u32)> {
    let output = Command::new(interpreter)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())
        .flatten()?;
    parse_version(&text)
}

/// `(3, 12)` of `Python 3.12.1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("Python ")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("Python 3.12.1\n"), Some((3, 12)));
        assert!(parse_version("Python 3.9.18").unwrap() < OLDEST);
        assert!(parse_version("Python 4.0.0").unwrap() > OLDEST);
        assert_eq!(parse_version("pyenv: command not found"), None);
    }
}
