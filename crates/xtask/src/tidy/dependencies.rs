//! Who may depend on whom, and what the pure crates must not contain.

use anyhow::Result;

use super::Finding;
use crate::workspace::{Member, capture, cargo};

/// Dependencies point downwards: each package with the packages that it may name. A package that is
/// not listed is a finding, so that a new one gets its place on purpose.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("leasehold-api", &[]),
    ("leasehold-ledger", &[]),
    ("leasehold-planner", &["leasehold-api", "leasehold-ledger"]),
    ("leasehold-store", &["leasehold-api", "leasehold-ledger"]),
    ("leasehold-kit", &["leasehold-api", "leasehold-ledger"]),
    ("leasehold-export", &["leasehold-api", "leasehold-ledger"]),
    (
        "leasehold-controllers",
        &[
            "leasehold-api",
            "leasehold-export",
            "leasehold-kit",
            "leasehold-ledger",
            "leasehold-planner",
            "leasehold-store",
        ],
    ),
    (
        "leasehold",
        &[
            "leasehold-api",
            "leasehold-controllers",
            "leasehold-export",
            "leasehold-kit",
            "leasehold-ledger",
            "leasehold-planner",
            "leasehold-store",
        ],
    ),
    ("leasehold-controlplane", &[]),
    (
        "leasehold-testkit",
        &[
            "leasehold-api",
            "leasehold-controlplane",
            "leasehold-kit",
            "leasehold-ledger",
            "leasehold-planner",
            "leasehold-store",
        ],
    ),
    ("leasehold-model", &["leasehold-api", "leasehold-kit"]),
    ("xtask", &["leasehold-controlplane"]),
    ("leasehold-e2e", ANYTHING),
];

/// The end-to-end tests see everything.
const ANYTHING: &[&str] = &["*"];

/// What a pure crate must not contain, directly or through others.
const IMPURE: [&str; 3] = ["tokio", "kube-client", "reqwest"];
const PURE: [(&str, &[&str]); 3] = [
    ("leasehold-api", &[]),
    ("leasehold-ledger", &["k8s-openapi"]),
    ("leasehold-planner", &[]),
];

/// Checks every member's dependencies, those of tests excepted, against the table.
pub fn direction(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == member.name) else {
            let message = "has no place in the table of dependencies (xtask, tidy/dependencies.rs)";
            findings.push(Finding::new(&member.name, message));
            continue;
        };
        for dependency in member
            .dependencies
            .iter()
            .filter(|dependency| !dependency.dev)
        {
            if *allowed != ANYTHING && !allowed.contains(&dependency.name.as_str()) {
                let message = format!("must not depend on {}", dependency.name);
                findings.push(Finding::new(&member.name, message));
            }
        }
    }
    findings
}

/// Checks what cargo really resolves for the pure crates.
pub fn purity() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (package, more) in PURE {
        let tree = capture(&mut cargo([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--locked",
        ])?)?;
        for forbidden in IMPURE.iter().chain(more) {
            if contains(&tree, forbidden) {
                let message = format!(
                    "contains {forbidden}; see: cargo tree -p {package} -e normal -i {forbidden}"
                );
                findings.push(Finding::new(package, message));
            }
        }
    }
    Ok(findings)
}

/// Whether a package is in what `cargo tree --prefix none` printed: `name v1.2.3 (..)` a line.
fn contains(tree: &str, package: &str) -> bool {
    tree.lines()
        .any(|line| line.split_whitespace().next() == Some(package))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::workspace::Dependency;

    fn member(name: &str, depends_on: &str, dev: bool) -> Member {
        let dependencies = vec![Dependency {
            name: depends_on.to_owned(),
            dev,
        }];
        let version = "0.1.0".to_owned();
        Member {
            name: name.to_owned(),
            version,
            dir: PathBuf::new(),
            dependencies,
        }
    }

    #[test]
    fn a_dependency_that_points_upwards_is_found() {
        assert_eq!(
            direction(&[member("leasehold-ledger", "leasehold-api", false)]).len(),
            1
        );
        assert_eq!(
            direction(&[member("leasehold-kit", "leasehold-controllers", false)]).len(),
            1
        );
        assert!(direction(&[member("leasehold-kit", "leasehold-api", false)]).is_empty());
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        assert!(direction(&[member("leasehold-kit", "leasehold-testkit", true)]).is_empty());
        assert_eq!(
            direction(&[member("leasehold-kit", "leasehold-testkit", false)]).len(),
            1
        );
        assert!(direction(&[member("leasehold-e2e", "leasehold-testkit", false)]).is_empty());
    }

    #[test]
    fn a_package_without_a_place_is_found() {
        assert_eq!(
            direction(&[member("leasehold-utils", "leasehold-api", false)]).len(),
            1
        );
    }

    #[test]
    fn a_package_is_recognised_by_its_whole_name() {
        let tree = "leasehold-api v0.1.0\ntokio-macros v2.5.0 (proc-macro)\nkube-core v5.0.0\n";
        assert!(!contains(tree, "tokio"));
        assert!(contains(tree, "kube-core"));
    }
}
