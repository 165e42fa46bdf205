//! `cargo xtask bench close`: how long a billing period takes to close, and a ledger to verify.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use leasehold_e2e::bench::Output;
use leasehold_e2e::bench::close::{Size, measure};
use tokio::runtime::Runtime;

/// Writes a ledger of one month, closes the month as the operator does, and verifies the whole ledger.
#[derive(Parser)]
#[command(name = "bench-close", bin_name = "cargo xtask bench close")]
struct Arguments {
    /// Departments; each gets a statement.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=9999))]
    departments: u32,
    /// Tenancies, dealt out to the departments in turn.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=99_999))]
    tenancies: u32,
    /// Intervals of metered use, dealt out to the tenancies in turn; each is two facts.
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u32).range(0..=100_000_000)
    )]
    intervals: u32,
    /// How to print the figures.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(failure.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong and why, a line for each cause.
fn complain(failure: &dyn Error) {
    let mut err = io::stderr().lock();
    writeln!(err, "error: {failure}").ok();
    let mut cause = failure.source();
    while let Some(error) = cause {
        writeln!(err, "  because: {error}").ok();
        cause = error.source();
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let size = Size {
        departments: arguments.departments,
        tenancies: arguments.tenancies,
        intervals: arguments.intervals,
    };
    let runtime = Runtime::new()?;
    let mut progress = io::stderr();
    let outcome = runtime.block_on(Box::pin(measure(size, &mut progress)))?;
    let mut out = io::stdout().lock();
    match arguments.output {
        Output::Table => outcome.table(&mut out)?,
        Output::Json => writeln!(out, "{:#}", outcome.json())?,
    }
    Ok(())
}
