//! `cargo xtask demo`.

use anyhow::{Result, bail};

/// Shows the whole system on a control plane of its own.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the demo.
pub fn run(_args: &Args) -> Result<()> {
    bail!("demo is not wired yet")
}
