//! The page of all rules.

use std::fmt::{self, Write};

use leasehold_planner::rules::{Held, RULES};

use super::cell;

const HEAD: &str = "\
# Rules

Every refusal names its rule. A rule keeps its identifier for ever.

| rule | what it demands | held by |
|---|---|---|
";

/// The rules with where each is held.
pub(super) fn page() -> Result<String, fmt::Error> {
    let mut text = HEAD.to_owned();
    for rule in RULES {
        let held = match rule.held_by {
            Held::Crd => "schema of the kind, in the API server",
            Held::Policy => "admission policy, in the API server",
            Held::Rights => "rights (RBAC)",
            Held::Operator => "operator",
        };
        writeln!(text, "| {} | {} | {held} |", rule.id, cell(rule.title))?;
    }
    Ok(text)
}
