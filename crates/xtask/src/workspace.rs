//! Where the repository is, and how its tools are called.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

/// The folder of the workspace. Cargo says at run time where this package lies.
pub fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .context("failed to find the repository: run this as `cargo xtask`")?;
    let package = PathBuf::from(package);
    let root = package.parent().and_then(Path::parent);
    Ok(root
        .context("failed to find the workspace above this package")?
        .to_owned())
}

/// A cargo command in the workspace, with the cargo that runs this program.
pub fn cargo<I, S>(args: I) -> Result<Command>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root()?);
    Ok(command)
}

/// Runs a command whose output goes to the terminal.
pub fn stream(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("failed to start {command:?}"))?;
    ensure!(status.success(), "failed to run {command:?} ({status})");
    Ok(())
}

/// Runs a command and returns what it printed.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "failed to run {command:?} ({}): {}",
            output.status,
            errors.trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// One dependency that a member declares on another member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The member that is depended on.
    pub name: String,
    /// Whether only tests, examples and benchmarks see it.
    pub dev: bool,
}

/// One package of the workspace.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub dir: PathBuf,
    /// What it depends on within the workspace.
    pub dependencies: Vec<Dependency>,
}

/// What cargo knows of the workspace.
fn metadata() -> Result<Value> {
    let text = capture(&mut cargo([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--locked",
    ])?)?;
    Ok(serde_json::from_str(&text)?)
}

/// Where cargo puts what it builds.
pub fn target() -> Result<PathBuf> {
    Ok(PathBuf::from(text(&metadata()?, "target_directory")?))
}

/// All packages of the workspace, by name.
pub fn members() -> Result<Vec<Member>> {
    let metadata = metadata()?;
    let mut members = list(&metadata, "packages")
        .map(member)
        .collect::<Result<Vec<_>>>()?;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

fn member(package: &Value) -> Result<Member> {
    let manifest = PathBuf::from(text(package, "manifest_path")?);
    let dependencies = list(package, "dependencies")
        .filter(|dependency| dependency.get("path").is_some_and(Value::is_string))
        .map(|dependency| {
            let dev = dependency.get("kind").and_then(Value::as_str) == Some("dev");
            Ok(Dependency {
                name: text(dependency, "name")?,
                dev,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let dir = manifest
        .parent()
        .context("failed to find the folder of a package")?
        .to_owned();
    Ok(Member {
        name: text(package, "name")?,
        version: text(package, "version")?,
        dir,
        dependencies,
    })
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text(value: &Value, field: &str) -> Result<String> {
    let found = value.get(field).and_then(Value::as_str);
    Ok(found
        .ok_or_else(|| anyhow!("failed to find `{field}` in cargo's metadata"))?
        .to_owned())
}

/// Every file below `dir` whose name ends in `.extension`, sorted by path. A folder that is not
/// there has none.
pub fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("failed to list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(OsStr::new(extension)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a file; the error names it.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}
