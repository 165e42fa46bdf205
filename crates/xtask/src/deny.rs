//! Licences, bans and sources of dependencies, by cargo-deny.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use leasehold_controlplane::cache;

use crate::out::Out;
use crate::workspace::{capture, cargo, root, stream};

/// The releases whose configuration format `deny.toml` is written for.
const SERIES: &str = "0.19";

/// Checks the dependencies, installing cargo-deny into the cache folder if need be.
pub fn run(out: &mut Out) -> Result<()> {
    let program = ensure(out)?;
    let mut command = Command::new(program);
    command
        .args(["--locked", "check", "bans", "licenses", "sources"])
        .current_dir(root()?);
    stream(&mut command)
}

fn ensure(out: &mut Out) -> Result<PathBuf> {
    let tools = cache::root()?.join("tools");
    let ours = tools.join("bin").join("cargo-deny");
    for program in [ours.clone(), PathBuf::from("cargo-deny")] {
        let version = capture(Command::new(&program).arg("--version"));
        if version.is_ok_and(|version| version.starts_with(&format!("cargo-deny {SERIES}."))) {
            return Ok(program);
        }
    }
    out.line(format_args!(
        "installing cargo-deny {SERIES} into {} (once, about 2 minutes)",
        tools.display()
    ))?;
    let _lock = cache::lock(&tools.join("install.lock"), out)?;
    let mut install = cargo(["install", "cargo-deny", "--locked", "--quiet"])?;
    install
        .arg("--version")
        .arg(format!("^{SERIES}"))
        .arg("--root")
        .arg(&tools);
    stream(&mut install)?;
    Ok(ours)
}
