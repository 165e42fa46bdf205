//! `cargo xtask bench provision`: how fast tenancies become active, how fast they could, and what a new start of the
//! operator takes.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leasehold_e2e::bench::{Load, Output, grow, provision};
use leasehold_testkit::Failure;
use tokio::runtime::Runtime;

/// Provisions tenancies on a control plane of its own, kills the operator and starts it again, then creates the same
/// objects without leasehold.
#[derive(Parser)]
#[command(name = "bench-provision", bin_name = "cargo xtask bench provision")]
struct Arguments {
    /// Tenancies, each of a department of its own.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=9999))]
    tenancies: u32,
    /// Measures so many tenancies, one number after the other, each on a control plane of its own, and how the figures
    /// grow with their number: 100,300,1200.
    #[arg(
        long,
        value_name = "TENANCIES",
        value_delimiter = ',',
        conflicts_with_all = ["tenancies", "profile"],
        value_parser = clap::value_parser!(u32).range(1..=9999)
    )]
    sizes: Vec<u32>,
    /// Namespaces of each tenancy.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=32))]
    namespaces: u32,
    /// Tenancies that are applied a second, so that latencies are not those of a queue. Without, all are applied as
    /// fast as eight at a time can be.
    #[arg(
        long,
        value_name = "PER_SECOND",
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    arrivals: Option<u32>,
    /// Leaves the floors out, where only the restart and memory matter.
    #[arg(long)]
    no_floor: bool,
    /// Has the API server profile itself for the first 15 seconds, into this file; for `go tool pprof`.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// How to print the figures.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
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
    if !arguments.sizes.is_empty() {
        return sizes(arguments);
    }
    let load = Load {
        tenancies: arguments.tenancies,
        namespaces: arguments.namespaces,
        arrivals: arguments.arrivals,
        floors: !arguments.no_floor,
    };
    let runtime = Runtime::new().map_err(Failure::file("the runtime"))?;
    let mut progress = io::stderr();
    let report = runtime.block_on(Box::pin(provision(
        load,
        arguments.profile.as_deref(),
        &mut progress,
    )))?;
    let mut out = io::stdout().lock();
    match arguments.output {
        Output::Table => report.table(&mut out),
        Output::Json => writeln!(out, "{:#}", report.json()),
    }
    .map_err(Failure::file("the standard output"))
}

/// Measures every size in a process of its own.
fn sizes(arguments: &Arguments) -> Result<(), Failure> {
    let mut others = vec!["--namespaces".to_owned(), arguments.namespaces.to_string()];
    if let Some(rate) = arguments.arrivals {
        others.extend(["--arrivals".to_owned(), rate.to_string()]);
    }
    if arguments.no_floor {
        others.push("--no-floor".to_owned());
    }
    let growth = grow(&arguments.sizes, &others, &mut io::stderr())?;
    let mut out = io::stdout().lock();
    match arguments.output {
        Output::Table => growth.table(&mut out),
        Output::Json => writeln!(out, "{:#}", growth.json()),
    }
    .map_err(Failure::file("the standard output"))
}
