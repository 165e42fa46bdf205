//! `cargo xtask test`: every test there is.

mod together;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use leasehold_controlplane::{Binaries, binaries::snapshot_controller};

use crate::check::{format, lints};
use crate::codegen;
use crate::deny;
use crate::faketime;
use crate::focus::{self, Focus};
use crate::out::Out;
use crate::postgres;
use crate::steps::{self, Step};
use crate::tidy;
use crate::workspace::{cargo, root, stream};

/// Every test there is: format, lints, generated files, invariants, dependencies, documentation, and
/// all tests, those against a real control plane and the FOCUS validators included.
#[derive(clap::Args)]
pub struct Args {
    /// Run only the step of this name; may be given several times.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
}

const NEXT: [&str; 3] = [
    "next: cargo xtask demo          the whole system on a control plane of its own",
    "      cargo xtask cluster up    a control plane to try things on",
    "      docs/                     how it works and why",
];

/// Runs the steps.
pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    // made by one step, used by another; a test without it says what is missing
    let environment = RefCell::new(None);
    let mut steps = steps(&environment);
    if !args.only.is_empty() {
        let wanted: BTreeSet<&str> = args.only.iter().map(String::as_str).collect();
        let known: Vec<&str> = steps.iter().map(Step::name).collect();
        let unknown = wanted.iter().find(|name| !known.contains(*name));
        ensure!(
            unknown.is_none(),
            "failed to find the step `{}`; steps are: {}",
            unknown.unwrap_or(&""),
            known.join(", ")
        );
        steps.retain(|step| wanted.contains(step.name()));
    }
    steps::run(steps, &NEXT, out)
}

fn steps(environment: &RefCell<Option<Focus>>) -> Vec<Step<'_>> {
    vec![
        format(),
        lints(),
        Step::new("codegen", "cargo xtask codegen --check", |out: &mut Out| {
            codegen::run(&codegen::Args { check: true }, out)
        }),
        Step::new("tidy", "cargo xtask tidy", tidy::run),
        Step::new("deny", "cargo xtask test --only deny", deny::run),
        Step::new(
            "doc",
            "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps",
            doc,
        ),
        Step::new(
            "control-plane",
            "cargo xtask test --only control-plane",
            |out: &mut Out| {
                let binaries = Binaries::ensure(out)?;
                out.line(format_args!("control plane: {}", binaries.dir.display()))?;
                let controller = snapshot_controller(out)?;
                Ok(out.line(format_args!(
                    "snapshot controller: {}",
                    controller.display()
                ))?)
            },
        ),
        Step::new(
            "focus",
            "cargo xtask test --only focus",
            move |out: &mut Out| {
                *environment.borrow_mut() = Some(focus::ensure(out)?);
                Ok(())
            },
        ),
        Step::new(
            "oracle",
            "cargo xtask test --only oracle",
            move |out: &mut Out| {
                if environment.borrow().is_none() {
                    *environment.borrow_mut() = Some(focus::ensure(out)?);
                }
                oracle(environment.borrow().as_ref())
            },
        ),
        Step::new(
            "postgres",
            "cargo xtask test --only postgres",
            postgres::ensure,
        ),
        Step::new(
            "faketime",
            "cargo xtask test --only faketime",
            faketime::ensure,
        ),
        Step::new(
            "tests",
            "cargo xtask test --only tests",
            move |out: &mut Out| {
                if environment.borrow().is_none() {
                    *environment.borrow_mut() = Some(focus::ensure(out)?);
                }
                tests(environment.borrow().as_ref(), out)
            },
        ),
    ]
}

fn doc(_: &mut Out) -> Result<()> {
    let mut command = cargo(["doc", "--workspace", "--no-deps", "--locked"])?;
    stream(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The tests of the oracle itself. It needs no package, and any Python from 3.11 on would do.
fn oracle(environment: Option<&Focus>) -> Result<()> {
    let python = environment.context("failed to find a Python for the oracle")?;
    let mut command = Command::new(&python.python);
    // what is compiled is not left in the repository
    command.args(["-B", "-m", "unittest", "discover", "--start-directory"]);
    stream(command.arg(root()?.join("tests").join("oracle")))
}

/// Unit tests first, then every test program, two at a time.
fn tests(environment: Option<&Focus>, out: &mut Out) -> Result<()> {
    // the end-to-end tests run the program itself, which `cargo test` does not build for them
    stream(&mut cargo(["build", "--locked", "--package", "leasehold"])?)?;
    stream(&mut cargo(["test", "--workspace", "--locked", "--no-run"])?)?;
    for unit in [&["--lib", "--bins"][..], &["--doc"][..]] {
        let mut command = cargo(["test", "--workspace", "--locked"])?;
        stream(command.args(unit))?;
    }
    let command = |name: &str| {
        let mut command = together::one(name)?;
        if let Some(focus) = environment {
            command.env("LEASEHOLD_FOCUS_PYTHON", &focus.python);
            command.env("LEASEHOLD_FOCUS_GATE", &focus.gate);
        }
        Ok(command)
    };
    together::run(together::programs()?, command, out)
}
