//! What can be typed after `leasehold adopt`.

use clap::Args;

/// `leasehold adopt`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Example:
  leasehold adopt gov-office--prod --tenancy gov-office/oa

Shows what is in the namespace and whether anything in it goes past a lease, and asks you before it writes the annotation
leasehold.dev/adopt on it; without a terminal, add --yes. The operator then looks through it again, and takes it with all
that runs in it, or says in the tenancy's conditions what stands in the way (rule T56). Nothing in it is changed or
deleted. It takes the right to write the namespace and the right to adopt for the department (rule N11).

The tenancy must name the namespace in spec.namespaces; one of another name cannot be adopted.")]
pub struct AdoptArgs {
    /// Name of the namespace, as gov-office--prod.
    #[arg(value_name = "NAMESPACE")]
    pub target: String,
    /// Code of the department and name of the tenancy, as gov-office/oa.
    #[arg(long, value_name = "DEPARTMENT/NAME", value_parser = tenancy)]
    pub tenancy: (String, String),
    /// Do not ask. Needed where standard input is no terminal.
    #[arg(short, long)]
    pub yes: bool,
}

fn tenancy(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((department, name))
            if !department.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok((department.to_owned(), name.to_owned()))
        }
        Some(_) | None => Err("write DEPARTMENT/NAME, as gov-office/oa".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenancy_is_a_department_and_a_name() {
        let pair = tenancy("gov-office/oa").unwrap();
        assert_eq!(pair, ("gov-office".to_owned(), "oa".to_owned()));
        for wrong in ["oa", "/oa", "gov-office/", "gov-office/oa/prod", ""] {
            assert!(tenancy(wrong).is_err(), "{wrong}");
        }
    }
}
