//! What can be typed: commands, options and their help.
//!
//! The doc comments here and in the modules are the help texts; `leasehold reference` prints them into the manual.

mod accept;
mod adopt;
mod archive;
mod gaps;
mod ledger;
mod life;
mod proof;
mod under;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use leasehold_ledger::time::LocalDate;

pub use accept::AcceptArgs;
pub use adopt::AdoptArgs;
pub use archive::{ArchiveArgs, Archives};
pub use gaps::GapsArgs;
pub use ledger::{At, BackupArgs, Ledger, LedgerCommand, MigrateArgs, RestoreArgs};
pub use life::{ReleaseArgs, RenewArgs, ResumeArgs, SuspendArgs};
pub use proof::{EvidenceArgs, VerifyArgs};
pub use under::{DepartmentsArgs, TenanciesArgs};

const EXAMPLES: &str = "\
Examples:
  A department looks what its next lease would cost, without a cluster:
    leasehold quote -f tenancy.yaml --prices huangshi-2026.yaml
  and prints its statement of September to sign it:
    leasehold statement -n dept-gov-office --period 2026-09 -o html > statement.html

  The office decides a request that `kubectl get approvals -A` shows:
    leasehold approve oa-2-office -n dept-gov-office --order-no 黄政办〔2026〕12号

  Finance exports a closed month:
    leasehold export focus --period 2026-09 -f focus-2026-09.csv

  An auditor verifies a file that was handed over, without access to anything:
    leasehold verify evidence-2026-09.jsonl

Exit codes:
  0  done
  1  failed; the reason and a remedy are on standard error
  2  recomputed by verify or explain, and it differs from what is written";

/// Leases capacity of a government cloud to its departments, and accounts for it.
///
/// One program: `leasehold operator` runs in the cluster; everything else is for people. Commands that read the
/// cluster use your own kubeconfig and see what you may see. With `--db` they read the ledger itself and need no
/// cluster.
#[derive(Parser, Debug)]
#[command(name = "leasehold", version, after_long_help = EXAMPLES)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Kubeconfig file. Without it: $KUBECONFIG, ~/.kube/config, or the service account of the pod.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it the current one.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
    /// Namespace, for a department its office namespace dept-CODE.
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Cluster"
    )]
    pub namespace: Option<String>,
    /// How to print: a table, JSON, CSV for spreadsheets, a page to print and sign, or a chart.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,
}

/// How to print.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
    /// CSV for spreadsheets, in UTF-8 with a byte order mark.
    Csv,
    /// A page to print and sign; statements only.
    Html,
    /// Bars over time for the terminal; usage only, from the ledger.
    Chart,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show statements: all of a period, or the lines of one.
    Statement(StatementArgs),
    /// Show what was leased and used.
    Usage(UsageArgs),
    /// List the times in which use was not observed, and who accepted them.
    Gaps(GapsArgs),
    /// List departments, and what they lease with everything below them.
    Departments(DepartmentsArgs),
    /// List the tenancies of a department and of everything below it.
    Tenancies(TenanciesArgs),
    /// Explain a line of a statement: stretches × price, rounding, credit.
    Explain(ExplainArgs),
    /// Recompute a ledger or an evidence file from its first row; needs no cluster.
    Verify(VerifyArgs),
    /// Write the evidence of a closed period into one file, for `verify`.
    Evidence(EvidenceArgs),
    /// Say what a tenancy would cost; needs no cluster.
    Quote(QuoteArgs),
    /// Approve a request.
    Approve(DecideArgs),
    /// Reject a request.
    Reject(RejectArgs),
    /// Accept what is in place of a tenancy, or give it back.
    Accept(AcceptArgs),
    /// Ask to extend the term of a tenancy.
    Renew(RenewArgs),
    /// Stop what runs in a tenancy, by order of the office. The lease and all data stay.
    Suspend(SuspendArgs),
    /// Lift a suspension.
    Resume(ResumeArgs),
    /// Ask to end a tenancy. Nothing is deleted before the grace period and an approval.
    Release(ReleaseArgs),
    /// Offer an existing namespace to a tenancy, with all that runs in it.
    Adopt(AdoptArgs),
    /// Write the skeleton of an appraisal for a contribution of hardware.
    Appraise(AppraiseArgs),
    /// Export closed periods to other programs.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  leasehold export focus --period 2026-09 -f focus-2026-09.csv"
    )]
    Export(ExportCommand),
    /// Write a ledger into one file; needs no cluster.
    Backup(BackupArgs),
    /// Fill an empty ledger from a backup; needs no cluster.
    Restore(RestoreArgs),
    /// Move the use of closed periods out of a ledger into files; needs no cluster.
    Archive(ArchiveArgs),
    /// Make the tables of a ledger on a server.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Run the operator.
    Operator(OperatorArgs),
    /// Write the custom resource definitions.
    #[command(hide = true)]
    Crds(CrdsArgs),
    /// Write the reference manual.
    #[command(hide = true)]
    Reference(ReferenceArgs),
}

/// Formats of export.
#[derive(Subcommand, Debug)]
pub enum ExportCommand {
    /// FOCUS 1.2 Cost and Usage, as CSV, from final statements alone.
    Focus(FocusArgs),
}

/// `leasehold statement`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold statement --period 2026-09
  leasehold statement --period 2026-09 --department gov-office
  leasehold statement -n dept-gov-office --period 2026-09 -o html > statement.html
  leasehold statement --period 2026-09 -o csv > charges-2026-09.csv

Finance and auditors see all departments; a department names its office namespace with -n.
-o csv gives one row per line with everything that is booked by.")]
pub struct StatementArgs {
    /// Billing period, as 2026-09. Without it, all periods are listed.
    #[arg(long, value_name = "NAME")]
    pub period: Option<String>,
    /// Code of the department, as gov-office.
    #[arg(long, value_name = "CODE")]
    pub department: Option<String>,
    /// Where statements come from.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// `leasehold usage`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold usage -n dept-gov-office
  leasehold usage --db ledger.db --department gov-office --tenancy oa --from 2026-09-01 --to 2026-09-10
  leasehold usage --db ledger.db --tenancy oa --from 2026-09-01 --to 2026-09-10 -o chart
  leasehold usage --db ledger.db --tenancy oa --evidence -o csv
  leasehold usage --db ledger.db --archive /srv/archive --tenancy oa --from 2024-01-01 --to 2024-03-31

From the cluster: what is leased and requested now, of every tenancy that you may see; a department names its office
namespace with -n. From the ledger: every stretch of time with its quantity, billed or not; what is still open ends now.")]
pub struct UsageArgs {
    /// Code of the department.
    #[arg(long, value_name = "CODE")]
    pub department: Option<String>,
    /// Name of the tenancy.
    #[arg(long, value_name = "NAME")]
    pub tenancy: Option<String>,
    /// First day, in the office's time zone. Needs --db.
    #[arg(long, value_name = "DAY", requires = "db", value_parser = day)]
    pub from: Option<LocalDate>,
    /// Last day, included. Needs --db.
    #[arg(long, visible_alias = "through", value_name = "DAY", requires = "db", value_parser = day)]
    pub to: Option<LocalDate>,
    /// Name the facts with which each stretch begins and ends: what told them, when, and within which bounds. Needs --db.
    #[arg(long, requires = "db")]
    pub evidence: bool,
    /// Where usage comes from.
    #[command(flatten)]
    pub ledger: Ledger,
    /// Where archived use is.
    #[command(flatten)]
    pub archives: Archives,
}

/// `leasehold explain`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold explain oa/vcpu-x86/1 --period 2026-09 -n dept-gov-office
  leasehold explain oa/vcpu-x86/1 --period 2026-09 --department gov-office --db ledger.db

The arithmetic is done again; exit code 2 says that it does not give the amounts of the statement.")]
pub struct ExplainArgs {
    /// Identifier of the line, as the statement shows it.
    pub line: String,
    /// Billing period, as 2026-09.
    #[arg(long, value_name = "NAME")]
    pub period: String,
    /// Code of the department, as gov-office.
    #[arg(long, value_name = "CODE")]
    pub department: Option<String>,
    /// Where the statement comes from.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// `leasehold quote`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold quote -f tenancy.yaml --prices huangshi-2026.yaml
  kubectl get tenancy oa -n dept-gov-office -o yaml | leasehold quote -f - --prices huangshi-2026.yaml

Files may hold several documents; only tenancies, price books and the cloud policy are read. Credit is not foreseen
here: it is in the tenancy's status once the request is applied.

Exit code 1 says that a tenancy cannot be leased like this: it breaks a rule, as T21 of an item that is not on sale or T28
of a term above budget.ceiling. What has a price is printed all the same.")]
pub struct QuoteArgs {
    /// File with tenancies; - is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// File with price books; may be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    pub prices: Vec<PathBuf>,
    /// Provider whose prices count; needed when the files hold books of several.
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// File with the cloud policy, if it is not the default one.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// `leasehold approve`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl get approvals -A
  leasehold approve oa-2-office -n dept-gov-office --order-no 黄政办〔2026〕12号
  leasehold approve oa-2-office -n dept-gov-office --order-no 黄政办〔2026〕12号 --yes
  leasehold approve gap-2026-09-1-finance -n leasehold-system --order-no 黄财资〔2026〕51号 --estimate

Shows what is asked for before it asks you; without a terminal, add --yes. A decision is made once; who asked cannot
decide, and what was withdrawn or superseded is not decided.")]
pub struct DecideArgs {
    /// Name of the Approval.
    pub name: String,
    /// Number of the order or paper on which the decision rests.
    #[arg(long, value_name = "TEXT")]
    pub order_no: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// For gaps: bill what ended unseen up to the bound that the policy names, and not only what is known.
    #[arg(long)]
    pub estimate: bool,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}

/// `leasehold reject`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Example:
  leasehold reject oa-2-office -n dept-gov-office --reason 'no budget this year'

Shows what is asked for before it asks you; without a terminal, add --yes. A decision is made once. The department asks
again by raising spec.request.attempt or by changing what it asks for.")]
pub struct RejectArgs {
    /// Name of the Approval.
    pub name: String,
    /// Why; the applicant reads it.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Number of the order or paper on which the decision rests.
    #[arg(long, value_name = "TEXT")]
    pub order_no: Option<String>,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}

/// `leasehold appraise`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Example:
  leasehold appraise servers-2024 -n dept-gov-office > appraisal.yaml

Fill in what is empty; then, as a user of the accredited agency:
  kubectl create -f appraisal.yaml

It cannot change once it is created, so `kubectl apply` cannot mend it: a better appraisal is a new object.")]
pub struct AppraiseArgs {
    /// Name of the contribution of hardware.
    pub name: String,
}

/// `leasehold export focus`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold export focus --period 2026-09 -f focus-2026-09.csv
  leasehold export focus --period 2026-09 --db ledger.db -f focus-2026-09.csv

Both give the same bytes. Names are ASCII, as validators of FOCUS ask; the names of departments and systems stand in
columns that begin with x_.")]
pub struct FocusArgs {
    /// Closed billing period, as 2026-09.
    #[arg(long, value_name = "NAME")]
    pub period: String,
    /// File to write; without it standard output.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Code of the department, if not all are wanted.
    #[arg(long, value_name = "CODE")]
    pub department: Option<String>,
    /// Code of the account that pays all invoices.
    #[arg(long, value_name = "CODE", default_value = "finance")]
    pub billing_account: String,
    /// Name of that account; without it the code.
    #[arg(long, value_name = "TEXT")]
    pub billing_account_name: Option<String>,
    /// Where the capacity stands, as hs-core=Huangshi.
    #[arg(long, value_name = "ID=NAME", value_parser = pair)]
    pub region: Option<(String, String)>,
    /// Name of a provider in ASCII, as hs-bigdata=Huangshi-Bigdata; may be repeated.
    #[arg(long, value_name = "CODE=NAME", value_parser = pair)]
    pub provider: Vec<(String, String)>,
    /// Where statements come from.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// `leasehold operator`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Example:
  leasehold operator --db /var/lib/leasehold/ledger.db --namespace leasehold-system --holder leasehold-0

Its Lease and the approvals of price books are in --namespace; without it in $POD_NAMESPACE, or leasehold-system. It ends
within 20 seconds after SIGTERM, and with exit code 1 when a part of it ends by itself.")]
pub struct OperatorArgs {
    /// Ledger: a SQLite file on a local volume, made if it is not there, or postgres://… of a database with its tables.
    #[arg(
        long,
        value_name = "LEDGER",
        env = "LEASEHOLD_DB",
        hide_env_values = true
    )]
    pub db: At,
    /// Name of this process, for its Lease and its events.
    #[arg(
        long,
        value_name = "NAME",
        env = "POD_NAME",
        hide_env_values = true,
        default_value = "leasehold-0"
    )]
    pub holder: String,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How the log is written to standard error.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What is logged, in the notation of `RUST_LOG`.
    #[arg(
        long,
        value_name = "FILTER",
        env = "RUST_LOG",
        hide_env_values = true,
        default_value = "info"
    )]
    pub log: String,
}

/// How the log is written.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// `leasehold crds`.
#[derive(Args, Debug)]
pub struct CrdsArgs {
    /// Folder for one file per kind.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// Write nothing; fail when a file is not as it would be written.
    #[arg(long)]
    pub check: bool,
}

/// `leasehold reference`.
#[derive(Args, Debug)]
pub struct ReferenceArgs {
    /// Folder for the pages.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
}

fn day(text: &str) -> Result<LocalDate, String> {
    LocalDate::parse(text).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err("write CODE=NAME".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"leasehold").chain(words))
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_may_stand_before_and_after_it() {
        let before = parse(&["-n", "dept-a", "-o", "json", "statement"])
            .unwrap()
            .common;
        let after = parse(&["statement", "-n", "dept-a", "-o", "json"])
            .unwrap()
            .common;
        assert_eq!(before.namespace.as_deref(), Some("dept-a"));
        assert_eq!(before.namespace, after.namespace);
        assert_eq!((before.output, after.output), (Format::Json, Format::Json));
    }

    #[test]
    fn verify_takes_a_file_or_a_ledger_and_not_both_or_none() {
        assert!(parse(&["verify", "a.jsonl"]).is_ok());
        assert!(parse(&["verify", "--db", "ledger.db"]).is_ok());
        assert!(parse(&["verify"]).is_err());
        assert!(parse(&["verify", "a.jsonl", "--db", "ledger.db"]).is_err());
    }

    #[test]
    fn archives_are_of_a_ledger() {
        assert!(parse(&["verify", "--db", "ledger.db", "--archive", "a"]).is_ok());
        assert!(parse(&["usage", "--db", "ledger.db", "--archive", "a"]).is_ok());
        assert!(parse(&["verify", "a.jsonl", "--archive", "a"]).is_err());
        assert!(parse(&["usage", "--archive", "a"]).is_err());
        assert!(parse(&["archive", "--db", "ledger.db"]).is_err());
    }

    #[test]
    fn a_head_that_is_no_digest_is_refused() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert!(parse(&["verify", "a.jsonl", "--head", &good]).is_ok());
        assert!(parse(&["verify", "a.jsonl", "--head", "0a0a"]).is_err());
    }

    #[test]
    fn days_need_the_ledger_and_must_exist() {
        let with = |day: &str| {
            parse(&[
                "usage",
                "--db",
                "ledger.db",
                "--from",
                day,
                "--through",
                "2026-09-30",
            ])
        };
        let Command::Usage(usage) = with("2026-09-01").unwrap().command else {
            panic!("not usage")
        };
        assert_eq!(usage.from, Some(LocalDate::parse("2026-09-01").unwrap()));
        assert_eq!(usage.to, Some(LocalDate::parse("2026-09-30").unwrap()));
        assert!(with("2026-09-31").is_err());
        assert!(parse(&["usage", "--from", "2026-09-01"]).is_err());
    }

    #[test]
    fn an_approval_needs_its_order_and_a_rejection_its_reason() {
        assert!(parse(&["approve", "oa-2-office"]).is_err());
        assert!(parse(&["approve", "oa-2-office", "--order-no", "12"]).is_ok());
        assert!(parse(&["reject", "oa-2-office", "--order-no", "12"]).is_err());
        assert!(parse(&["reject", "oa-2-office", "--reason", "no budget"]).is_ok());
    }

    #[test]
    fn names_of_providers_are_pairs() {
        let words = ["export", "focus", "--period", "2026-09", "--provider"];
        let with = |pair: &str| parse(&[&words[..], &[pair]].concat());
        let Command::Export(ExportCommand::Focus(focus)) =
            with("hs-bigdata=Huangshi=Bigdata").unwrap().command
        else {
            panic!("not focus")
        };
        let expected = ("hs-bigdata".to_owned(), "Huangshi=Bigdata".to_owned());
        assert_eq!(focus.provider, [expected]);
        assert!(with("hs-bigdata").is_err());
        assert!(with("=x").is_err());
    }
}
