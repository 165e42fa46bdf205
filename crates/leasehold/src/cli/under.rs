//! Commands about everything under a department.

use clap::Args;

/// `leasehold departments`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold departments
  leasehold departments --under daye -o json

The office, finance and auditors see every department with what it leases, alone and with everything below it. Whoever
oversees departments sees the codes of those below their own: without --under, below the office namespace that -n or the
kubeconfig names. What you may not read is said on standard error, and in JSON below `unread`.")]
pub struct DepartmentsArgs {
    /// Code of the department at the top; without it all of them, or your own and what is below it.
    #[arg(long, value_name = "CODE")]
    pub under: Option<String>,
}

/// `leasehold tenancies`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  leasehold tenancies --under daye
  leasehold tenancies --under daye -o csv > leases.csv

Lists the leases of a department and of everything below it, office by office, with your own rights. What you may not
read is said on standard error, and in JSON below `unread`.")]
pub struct TenanciesArgs {
    /// Code of the department at the top; without it all of them, or your own and what is below it.
    #[arg(long, value_name = "CODE")]
    pub under: Option<String>,
}
