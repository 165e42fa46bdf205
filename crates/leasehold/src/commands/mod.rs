//! The commands. Each is a function from its arguments and a [`Session`] to text on `out`.

mod accept;
mod adopt;
mod appraise;
mod archive;
mod crds;
mod decide;
mod departments;
mod evidence;
mod explain;
mod export;
#[cfg(test)]
mod fixture;
mod gaps;
mod ledger;
mod quote;
mod reference;
mod release;
mod renew;
mod statement;
mod suspend;
mod tenancies;
mod tree;
mod usage;
mod verify;

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use leasehold_api::tenancy::Tenancy;
use leasehold_kit::Kit;

use crate::{
    Outcome,
    cli::{Command, ExportCommand, Format, LedgerCommand},
    output,
    session::Session,
};

/// Runs a command of the command line.
pub fn run(command: &Command, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    if !matches!(command, Command::Statement(_)) {
        output::refuse_page(session.common.output)?;
    }
    if !matches!(command, Command::Usage(_)) {
        output::refuse_chart(session.common.output)?;
    }
    match command {
        Command::Statement(arguments) => statement::run(arguments, session, out),
        Command::Usage(arguments) => usage::run(arguments, session, out),
        Command::Gaps(arguments) => gaps::run(arguments, session, out),
        Command::Departments(arguments) => departments::run(arguments, session, out),
        Command::Tenancies(arguments) => tenancies::run(arguments, session, out),
        Command::Explain(arguments) => explain::run(arguments, session, out),
        Command::Verify(arguments) => verify::run(arguments, session, out),
        Command::Evidence(arguments) => evidence::run(arguments, session, out),
        Command::Quote(arguments) => quote::run(arguments, session, out),
        Command::Approve(arguments) => decide::approve(arguments, session, out),
        Command::Reject(arguments) => decide::reject(arguments, session, out),
        Command::Accept(arguments) => accept::run(arguments, session, out),
        Command::Renew(arguments) => renew::run(arguments, session, out),
        Command::Suspend(arguments) => suspend::suspend(arguments, session, out),
        Command::Resume(arguments) => suspend::resume(arguments, session, out),
        Command::Release(arguments) => release::run(arguments, session, out),
        Command::Adopt(arguments) => adopt::run(arguments, session, out),
        Command::Appraise(arguments) => appraise::run(arguments, session, out),
        Command::Export(ExportCommand::Focus(arguments)) => export::focus(arguments, session, out),
        Command::Backup(arguments) => ledger::backup(arguments, session, out),
        Command::Restore(arguments) => ledger::restore(arguments, session, out),
        Command::Archive(arguments) => archive::run(arguments, session, out),
        Command::Ledger(LedgerCommand::Migrate(arguments)) => {
            ledger::migrate(arguments, session, out)
        }
        Command::Crds(arguments) => crds::run(arguments, out),
        Command::Reference(arguments) => reference::run(arguments, out),
        Command::Operator(_) => {
            bail!("failed to run the operator as a command; it has a loop of its own")
        }
    }
}

/// The tenancy of this name, which must be there.
fn tenancy(session: &Session, kit: &Kit, namespace: &str, name: &str) -> Result<Tenancy> {
    let found: Option<Tenancy> = session.wait(kit.get(Some(namespace), name))?;
    found.with_context(|| {
        format!("failed to find tenancy {name} in namespace {namespace}; `kubectl get tenancies -A` lists them, -n names the namespace")
    })
}

/// Where a person reads what they are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// With what is printed.
    Out,
    /// On standard error, because a program reads what is printed.
    Beside,
    /// Nowhere: a program reads, and nobody is asked.
    Nowhere,
}

const fn place(format: Format, yes: bool) -> Place {
    match (format, yes) {
        (Format::Table, _) => Place::Out,
        (Format::Json | Format::Csv | Format::Html | Format::Chart, false) => Place::Beside,
        (Format::Json | Format::Csv | Format::Html | Format::Chart, true) => Place::Nowhere,
    }
}

/// Shows what a person must know before they answer. What programs read stays free of it.
fn before_asking(text: &str, format: Format, yes: bool, out: &mut dyn Write) -> Result<()> {
    match place(format, yes) {
        Place::Out => {
            writeln!(out, "{text}")?;
            out.flush()?;
        }
        Place::Beside => output::remark(text),
        Place::Nowhere => {}
    }
    Ok(())
}

/// Asks the person at the terminal, unless told not to.
fn confirm(question: &str, yes: bool) -> Result<()> {
    let stdin = io::stdin();
    if !must_ask(yes, stdin.is_terminal())? {
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

/// Whether somebody must say yes first. Where nobody can, what cannot be taken back is not done.
fn must_ask(yes: bool, terminal: bool) -> Result<bool> {
    if !yes && !terminal {
        bail!(
            "failed to ask you: standard input is no terminal; nothing was changed, add --yes to go on without a \
             question"
        );
    }
    Ok(!yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{AppraiseArgs, Common};

    #[test]
    fn what_is_asked_about_is_printed_for_people_alone() {
        let mut out = Vec::new();
        before_asking("oa: 48 cores", Format::Table, true, &mut out).unwrap();
        assert_eq!(out, b"oa: 48 cores\n");
        for format in [Format::Json, Format::Csv] {
            let mut out = Vec::new();
            before_asking("oa: 48 cores", format, false, &mut out).unwrap();
            before_asking("oa: 48 cores", format, true, &mut out).unwrap();
            assert!(out.is_empty(), "{format:?}");
            assert_eq!(place(format, false), Place::Beside);
            assert_eq!(place(format, true), Place::Nowhere);
        }
    }

    #[test]
    fn without_a_terminal_only_yes_goes_on() {
        assert!(must_ask(false, true).unwrap());
        assert!(!must_ask(true, true).unwrap() && !must_ask(true, false).unwrap());
        let error = must_ask(false, false).unwrap_err().to_string();
        for part in ["no terminal", "nothing was changed", "--yes"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }

    #[test]
    fn a_page_is_refused_before_the_cluster_is_looked_for() {
        let common = Common {
            kubeconfig: Some("no-such-file".into()),
            output: Format::Html,
            ..Common::default()
        };
        let session = Session::new(common).unwrap();
        let command = Command::Appraise(AppraiseArgs {
            name: "servers-2024".to_owned(),
        });
        let mut out = Vec::new();
        let error = run(&command, &session, &mut out).unwrap_err().to_string();
        assert!(error.contains("only `leasehold statement`"), "{error}");
    }
}
