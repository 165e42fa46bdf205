//! What the tests need of the operating system, installed where that can be done without asking.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::out::Out;
use crate::workspace::{capture, stream};

/// Installs a package of Debian, as root on Debian and its relatives; elsewhere the error says what is `missing`.
pub fn install(package: &str, missing: &str, out: &mut Out) -> Result<()> {
    let root = capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root || !exists("apt-get") {
        bail!("{missing}");
    }
    out.line(format_args!("installing the package {package}"))?;
    stream(Command::new("apt-get").args(["update", "--quiet"]))?;
    stream(
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .arg(package)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
