//! `cargo xtask bench NAME`.

use anyhow::{Result, ensure};

use crate::workspace::{cargo, stream};

/// Measures one thing, in a release build.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure: the part after `bench-` in the name of a program of the end-to-end tests.
    name: String,
    /// Passed on to the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds and runs the program `bench-NAME`.
pub fn run(args: &Args) -> Result<()> {
    let plain = args
        .name
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    ensure!(
        plain && !args.name.is_empty(),
        "failed to accept `{}` as a benchmark",
        args.name
    );
    let program = format!("bench-{}", args.name);
    let mut command = cargo(["run", "--release", "--quiet", "--locked"])?;
    command
        .args(["--package", "leasehold-e2e", "--bin", &program, "--"])
        .args(&args.rest);
    stream(&mut command)
}
