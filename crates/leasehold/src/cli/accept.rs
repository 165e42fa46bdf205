//! What can be typed after `leasehold accept`.

use clap::Args;

/// `leasehold accept`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold accept oa -n dept-gov-office
  leasehold accept oa -n dept-gov-office --reject --reason 'volumes are slower than agreed'

Where the office bills a first lease from its acceptance, kubectl shows the phase Provisioned until then. What nobody
rejects counts as accepted on the day that the tenancy's status names, also if its release was asked for. Rejected, it
costs nothing: what runs is ended, and nothing starts until you accept it or a changed lease is in place. An acceptance
cannot be taken back; it asks you first, and without a terminal needs --yes.")]
pub struct AcceptArgs {
    /// Name of the tenancy.
    pub name: String,
    /// Give it back instead.
    #[arg(long, requires = "reason")]
    pub reject: bool,
    /// Why; needed to reject.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Cli, Command};

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["leasehold", "accept", "oa"].iter().chain(words))
    }

    #[test]
    fn what_is_given_back_needs_a_reason_and_what_is_accepted_may_have_one() {
        let said = |words: &[&str]| {
            let Command::Accept(accept) = parse(words).unwrap().command else {
                panic!("not accept")
            };
            (accept.reject, accept.reason)
        };
        assert_eq!(said(&[]), (false, None));
        let reason = Some("slow".to_owned());
        assert_eq!(said(&["--reason", "slow"]), (false, reason.clone()));
        assert_eq!(said(&["--reject", "--reason", "slow"]), (true, reason));
        assert!(parse(&["--reject"]).is_err());
    }
}
