//! The chart's roles: every right has a reason above it.

use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::workspace::{files, read};

/// Where the roles are, below the root.
const ROLES: &str = "charts/leasehold/templates/rbac";

/// How a rule of a role begins.
const RULE: &str = "- apiGroups:";

/// Every rule of every role says why it is there: whoever reviews rights must not have to guess.
pub fn reasons(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut rules = 0_usize;
    for path in files(&root.join(ROLES), "yaml")? {
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let text = read(&path)?;
        rules = rules.saturating_add(text.lines().filter(|line| is_rule(line)).count());
        findings.extend(unexplained(&name, &text));
    }
    if rules == 0 {
        // the roles moved, and a check of nothing would pass for ever
        let message = "holds no rule of a role; tell tidy (tidy/rights.rs) where the roles are";
        findings.push(Finding::new(ROLES, message));
    }
    Ok(findings)
}

fn is_rule(line: &str) -> bool {
    line.trim_start().starts_with(RULE)
}

/// The rules of a file without a comment directly above.
fn unexplained(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut above = "";
    for (index, line) in text.lines().enumerate() {
        if is_rule(line) && !says_something(above) {
            let place = format!("{name}:{}", index.saturating_add(1));
            let message = "this rule has no comment directly above it: say why the role has it";
            findings.push(Finding::new(place, message));
        }
        above = line;
    }
    findings
}

/// Whether the line is a comment with a word in it.
fn says_something(line: &str) -> bool {
    line.trim_start()
        .strip_prefix('#')
        .is_some_and(|text| text.chars().any(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn places(text: &str) -> Vec<String> {
        unexplained("roles.yaml", text)
            .into_iter()
            .map(|finding| finding.place)
            .collect()
    }

    #[test]
    fn a_rule_without_a_reason_directly_above_is_found_on_its_line() {
        let text = concat!(
            "rules:\n",
            "  # Runs jobs.\n",
            "  - apiGroups: [batch]\n",
            "    verbs: [get]\n",
            "  - apiGroups: [apps]\n",
            "  # Scales them.\n",
            "\n",
            "  - apiGroups: [apps]\n",
            "  #\n",
            "  - apiGroups: [policy]\n",
        );
        assert_eq!(
            places(text),
            ["roles.yaml:5", "roles.yaml:8", "roles.yaml:10"]
        );
    }

    #[test]
    fn rules_with_reasons_and_subjects_of_bindings_are_fine() {
        let text = concat!(
            "rules:\n",
            "# Sees what happened.\n",
            "- apiGroups: [\"\", events.k8s.io]\n",
            "subjects:\n",
            "  - apiGroup: rbac.authorization.k8s.io\n",
        );
        assert_eq!(places(text), Vec::<String>::new());
    }

    #[test]
    fn roles_that_are_not_where_they_are_looked_for_are_a_finding() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(reasons(root.path()).unwrap().len(), 1);
        let folder = root.path().join(ROLES);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.yaml"), "  # Why.\n  - apiGroups: [a]\n").unwrap();
        assert!(reasons(root.path()).unwrap().is_empty());
    }
}
