//! `cargo xtask bench meter`: how fast use is recorded, and what the operator takes for it.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use leasehold_e2e::bench::Output;
use leasehold_e2e::bench::meter::{Size, measure};
use tokio::runtime::Runtime;

/// Writes facts into a ledger and the same rows without one; then runs pods on a control plane of its own, has all of them
/// replaced while the operator is away, and starts it again.
#[derive(Parser)]
#[command(name = "bench-meter", bin_name = "cargo xtask bench meter")]
struct Arguments {
    /// Facts that are written in each of three rounds.
    #[arg(
        long,
        default_value_t = 50_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    facts: u32,
    /// Pods that run at once. With 0 no control plane is started.
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    pods: u32,
    /// Writes facts into PostgreSQL as well, which must be installed.
    #[arg(long)]
    server: bool,
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
        facts: arguments.facts,
        pods: arguments.pods,
        server: arguments.server,
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
