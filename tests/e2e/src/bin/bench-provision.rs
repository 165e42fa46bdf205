//! `cargo xtask bench provision`: how fast tenancies become active, and how fast they could.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use leasehold_e2e::bench::{Load, provision};
use leasehold_testkit::Failure;
use tokio::runtime::Runtime;

/// Provisions tenancies on a control plane of its own, then creates the same objects without leasehold.
#[derive(Parser)]
#[command(name = "bench-provision", bin_name = "cargo xtask bench provision")]
struct Arguments {
    /// Tenancies, each of a department of its own.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=999))]
    tenancies: u32,
    /// Namespaces of each tenancy.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=32))]
    namespaces: u32,
    /// How to print the figures.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How to print the figures.
#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            writeln!(io::stderr(), "error: {failure:?}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let load = Load {
        tenancies: arguments.tenancies,
        namespaces: arguments.namespaces,
    };
    let runtime = Runtime::new().map_err(Failure::file("the runtime"))?;
    let mut progress = io::stderr();
    let report = runtime.block_on(Box::pin(provision(load, &mut progress)))?;
    let mut out = io::stdout().lock();
    match arguments.output {
        Output::Table => report.table(&mut out),
        Output::Json => writeln!(out, "{:#}", report.json()),
    }
    .map_err(Failure::file("the standard output"))
}
