//! One process of the tests of deliveries: it writes facts into a ledger, is killed, paused and started again.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::{Parser, Subcommand};
use leasehold_e2e::deliveries::{DeliveryFailure, FENCED, Notes, deliver, keep};
use leasehold_store::StoreError;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Writes facts into a ledger, for tests. Ends when its standard input does.
#[derive(Parser)]
struct Arguments {
    /// The ledger.
    #[arg(long)]
    db: String,
    /// The folder of the notes of how far it is.
    #[arg(long)]
    notes: PathBuf,
    /// What to do.
    #[command(subcommand)]
    deed: Deed,
}

/// What to do.
#[derive(Subcommand)]
enum Deed {
    /// Deliver a share of the facts, in turns with others.
    Share {
        /// Whose share.
        #[arg(long)]
        worker: u64,
        /// How many facts there are.
        #[arg(long)]
        facts: u64,
    },
    /// Keep the ledger open and write one fact after the other.
    Keep {
        /// The name of the facts.
        #[arg(long)]
        name: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = Runtime::new()
        .map_err(Box::<dyn Error>::from)
        .and_then(|runtime| runtime.block_on(run(&arguments)).map_err(Box::from));
    let Err(failure) = ended else {
        return ExitCode::SUCCESS;
    };
    complain(failure.as_ref());
    match failure.downcast_ref::<DeliveryFailure>() {
        Some(DeliveryFailure::Store(StoreError::Fenced { .. })) => ExitCode::from(FENCED),
        _ => ExitCode::FAILURE,
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

async fn run(arguments: &Arguments) -> Result<(), DeliveryFailure> {
    let notes = Notes::new(&arguments.notes);
    let work = async {
        match &arguments.deed {
            Deed::Share { worker, facts } => deliver(&arguments.db, *worker, *facts, &notes).await,
            Deed::Keep { name } => keep(&arguments.db, name, &notes).await,
        }
    };
    tokio::select! {
        done = Box::pin(work) => done,
        _ = nobody_waits() => Ok(()),
    }
}

/// Whoever started this has ended: the pipe from it is closed.
fn nobody_waits() -> oneshot::Receiver<()> {
    let (closed, told) = oneshot::channel();
    thread::spawn(move || {
        io::stdin().read_to_end(&mut Vec::new()).ok();
        closed.send(()).ok();
    });
    told
}
