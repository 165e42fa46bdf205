//! The one program of leasehold: the operator, and the command line for departments, the office, finance and auditors.
//!
//! Architecture invariant: nothing is computed here. Commands fetch documents, hand them to `leasehold-ledger`,
//! `leasehold-planner` or `leasehold-export`, and print the result; the operator starts what `leasehold-controllers` has.

mod cli;
mod commands;
mod failure;
mod ledger;
mod manifest;
mod operator;
mod output;
mod session;
mod source;

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    session::Session,
};

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// Something was recomputed and differs from what is written.
    Differs,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // help and version come this way too
            let printed = error.print();
            let failed = error.use_stderr() || printed.is_err();
            return if failed {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::from(2),
        Err(error) => failure::report(&error, &mut io::stderr().lock()),
    }
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    // an error says that a provider is installed already, which is as good
    drop(rustls::crypto::ring::default_provider().install_default());
    let session = Session::new(cli.common)?;
    let outcome = execute(&cli.command, &session);
    session.end();
    outcome
}

fn execute(command: &Command, session: &Session) -> anyhow::Result<Outcome> {
    if let Command::Operator(arguments) = command {
        session.wait(Box::pin(operator::run(arguments, &session.common)))?;
        return Ok(Outcome::Done);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = commands::run(command, session, &mut out)?;
    out.flush()?;
    Ok(outcome)
}
