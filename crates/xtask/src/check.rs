//! `cargo xtask check`: what to run before a commit.

use anyhow::Result;

use crate::out::Out;
use crate::steps::{self, Step};
use crate::workspace::{cargo, stream};

/// A step that is one cargo command.
pub fn cargo_step(name: &'static str, args: &'static [&'static str]) -> Step<'static> {
    let repeat = format!("cargo {}", args.join(" "));
    Step::new(name, repeat, move |_: &mut Out| stream(&mut cargo(args)?))
}

/// The format of every file.
pub fn format() -> Step<'static> {
    cargo_step("format", &["fmt", "--all", "--check"])
}

/// Every lint, denied.
pub fn lints() -> Step<'static> {
    cargo_step(
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    )
}

/// Runs format, lints and unit tests.
pub fn run(out: &mut Out) -> Result<()> {
    let unit = cargo_step(
        "unit tests",
        &["test", "--workspace", "--lib", "--bins", "--locked"],
    );
    let next = ["next: cargo xtask test   (everything, with a real control plane)"];
    steps::run(vec![format(), lints(), unit], &next, out)
}
