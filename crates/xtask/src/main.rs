//! `cargo xtask`: the tasks of this repository.
//!
//! A plain program instead of make or a shell script, so that nothing has to be installed. It is
//! kept small (no Kubernetes client, no async runtime), because everyone compiles it first.

mod bench;
mod check;
mod cluster;
mod codegen;
mod demo;
mod deny;
mod faketime;
mod focus;
mod out;
mod packages;
mod postgres;
mod steps;
mod supervisor;
mod test;
mod tidy;
mod workspace;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::out::Out;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Real Kubernetes control planes to try things on.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// What to run before a commit: format, lints, unit tests.
    Check,
    /// Every test there is; what continuous integration runs.
    Test(test::Args),
    /// Writes what is generated from the code: CRDs, the chart's copy of them, reference pages.
    Codegen(codegen::Args),
    /// Proves the invariants of the workspace that the compiler does not.
    Tidy,
    /// Shows the whole system on a control plane of its own.
    Demo(demo::Args),
    /// Measures one thing.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let mut out = Out::stdout();
    let result = match Cli::parse().task {
        Task::Cluster(command) => cluster::run(&command, &mut out),
        Task::Check => check::run(&mut out),
        Task::Test(args) => test::run(&args, &mut out),
        Task::Codegen(args) => codegen::run(&args, &mut out),
        Task::Tidy => tidy::run(&mut out),
        Task::Demo(args) => demo::run(&args),
        Task::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}
