//! What can be typed about the life of a tenancy from its lease to its release.

use clap::Args;
use leasehold_ledger::time::LocalDate;

use super::day;

/// `leasehold renew`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Example:
  leasehold renew oa -n dept-gov-office --through 2028-08-31

Asks for a later last day of the term; the office decides, and until then everything stands as it is. The same day belongs
into your manifest: applying it with the old day takes the request back. Another contract or budget for the new term is
changed in the manifest as well. It asks you first, and without a terminal needs --yes.")]
pub struct RenewArgs {
    /// Name of the tenancy.
    pub name: String,
    /// New last day of the term, included.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub through: LocalDate,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}

/// `leasehold suspend`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold suspend oa -n dept-gov-office --reason 'security audit' --authority '市政府办 黄政办〔2026〕12号'
  leasehold suspend oa -n dept-gov-office --reason 'security audit' --authority '…' --until 2026-10-31
  leasehold resume oa -n dept-gov-office

For the office. Pods are ended and none starts any more; volumes, objects and the lease stay, and the lease is billed on.
It writes a Suspension named as the tenancy, with a number behind it where that name is taken by one that has ended or is
another tenancy's. It asks you first, and without a terminal needs --yes.")]
pub struct SuspendArgs {
    /// Name of the tenancy.
    pub name: String,
    /// Why; the department reads it.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who ordered it, and the number of the paper.
    #[arg(long, value_name = "TEXT")]
    pub authority: String,
    /// Last day, included, today or later. Without it until it is lifted.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub until: Option<LocalDate>,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}

/// `leasehold resume`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Example:
  leasehold resume oa -n dept-gov-office

For the office. Deletes every Suspension of the tenancy that holds, whatever its name, and names them; the quotas let pods
start again, and their controllers start them within a quarter of an hour, usually sooner. What the policy has suspended
because the term is over goes on once the term is extended. It asks you first, and without a terminal needs --yes.")]
pub struct ResumeArgs {
    /// Name of the tenancy.
    pub name: String,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Cli;

    fn accepts(words: &[&str]) -> bool {
        Cli::try_parse_from(["leasehold"].iter().chain(words)).is_ok()
    }

    #[test]
    fn an_order_to_stop_gives_its_reason_and_who_ordered_it_and_a_last_day_that_exists() {
        let whole = ["suspend", "oa", "--reason", "audit", "--authority", "12"];
        assert!(accepts(&whole));
        assert!(!accepts(&whole[..4]));
        assert!(!accepts(&[&whole[..2], &whole[4..]].concat()));
        assert!(accepts(&[&whole[..], &["--until", "2028-02-29"]].concat()));
        assert!(!accepts(&[&whole[..], &["--until", "2027-02-29"]].concat()));
    }

    #[test]
    fn a_release_says_where_the_data_went_or_why_nowhere_and_not_both() {
        let whole = ["release", "oa", "--reason", "retired"];
        let with = |more: &[&str]| accepts(&[&whole[..], more].concat());
        assert!(with(&[]));
        assert!(with(&["--backup", "s3://a/b", "--sha256", "sha256:0"]));
        assert!(with(&["--no-backup", "test data"]));
        assert!(!with(&["--backup", "s3://a/b", "--no-backup", "x"]));
        assert!(!with(&["--sha256", "sha256:0"]));
    }

    #[test]
    fn a_renewal_names_its_new_last_day() {
        assert!(accepts(&["renew", "oa", "--through", "2028-08-31"]));
        assert!(!accepts(&["renew", "oa", "--through", "2028-08-32"]));
        assert!(!accepts(&["renew", "oa"]));
    }
}

/// `leasehold release`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold release oa -n dept-gov-office --reason 'system retired'
  leasehold release oa -n dept-gov-office --reason 'system retired' --backup s3://archive/oa-2027
  leasehold release oa -n dept-gov-office --reason 'system retired' --no-backup 'test data only'

Nothing new starts. Compute is billed until nothing runs any more: at once, if your workloads are gone. Namespaces and
volumes go after the grace period and an approval, but for volumes with reclaim Retain, and snapshots of those with reclaim
Snapshot, which are kept for a while without charge; storage is billed until the namespaces are gone. A release can be taken
back only after the office has rejected it; it asks you first, and without a terminal needs --yes.")]
pub struct ReleaseArgs {
    /// Name of the tenancy.
    pub name: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Where the data were exported to, as `s3://archive/oa-2027`. The office reads it, and may require it.
    #[arg(long, value_name = "URI", conflicts_with = "no_backup")]
    pub backup: Option<String>,
    /// SHA-256 of what lies there, as sha256: and 64 hexadecimal digits.
    #[arg(long, value_name = "DIGEST", requires = "backup")]
    pub sha256: Option<String>,
    /// Why the data were not exported.
    #[arg(long, value_name = "TEXT")]
    pub no_backup: Option<String>,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}
