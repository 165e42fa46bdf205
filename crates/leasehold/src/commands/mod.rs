//! The commands. Each is a function from its arguments and a [`Session`] to text on `out`.

mod appraise;
mod crds;
mod decide;
mod evidence;
mod explain;
mod export;
mod quote;
mod reference;
mod release;
mod statement;
mod usage;
mod verify;

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Result, bail};

use crate::{
    Outcome,
    cli::{Command, ExportCommand},
    output,
    session::Session,
};

/// Runs a command of the command line.
pub fn run(command: &Command, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    match command {
        Command::Statement(arguments) => statement::run(arguments, session, out),
        Command::Usage(arguments) => usage::run(arguments, session, out),
        Command::Explain(arguments) => explain::run(arguments, session, out),
        Command::Verify(arguments) => verify::run(arguments, session, out),
        Command::Evidence(arguments) => evidence::run(arguments, session, out),
        Command::Quote(arguments) => quote::run(arguments, session, out),
        Command::Approve(arguments) => decide::approve(arguments, session, out),
        Command::Reject(arguments) => decide::reject(arguments, session, out),
        Command::Release(arguments) => release::run(arguments, session, out),
        Command::Appraise(arguments) => appraise::run(arguments, session, out),
        Command::Export(ExportCommand::Focus(arguments)) => export::focus(arguments, session, out),
        Command::Crds(arguments) => crds::run(arguments, out),
        Command::Reference(arguments) => reference::run(arguments, out),
        Command::Operator(_) => {
            bail!("failed to run the operator as a command; it has a loop of its own")
        }
    }
}

/// Asks the person at the terminal, unless told not to. Where nobody can answer, nobody is asked.
fn confirm(question: &str, yes: bool) -> Result<()> {
    let stdin = io::stdin();
    if yes || !stdin.is_terminal() {
        return Ok(());
    }
    output::remark(&format!("{question} Type yes to go on:"));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    bail!("failed to go on: you did not type yes; nothing was changed")
}
