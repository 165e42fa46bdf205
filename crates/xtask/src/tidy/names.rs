//! Names of ours in the chart: each is a constant, so that whoever changes one finds the other.

use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::workspace::{files, read};

/// Where they are used, below the root.
const TEMPLATES: &str = "charts/leasehold/templates";
/// What is generated from the constants' own crate.
const GENERATED: &str = "charts/leasehold/templates/crds";
/// Where they are declared.
const NAMES: &str = "crates/api/src/names.rs";
/// How labels and annotations of ours begin.
const OURS: &str = "leasehold.dev/";
/// The version of our kinds, which follows their group.
const VERSION: &str = "v1alpha1";

/// Every label and annotation `leasehold.dev/…` of the chart's templates is a constant of the API.
pub fn known(root: &Path) -> Result<Vec<Finding>> {
    let declared = read(&root.join(NAMES))?;
    let mut findings = Vec::new();
    let mut found = 0_usize;
    for extension in ["yaml", "tpl"] {
        for path in files(&root.join(TEMPLATES), extension)? {
            if path.starts_with(root.join(GENERATED)) {
                continue;
            }
            let place = path.strip_prefix(root)?.to_string_lossy().into_owned();
            let text = read(&path)?;
            for (number, name) in names(&text) {
                found = found.saturating_add(1);
                if !declared.contains(&format!("\"{OURS}{name}\"")) {
                    let place = format!("{place}:{number}");
                    let message = format!("{OURS}{name} is no constant of {NAMES}; declare it");
                    findings.push(Finding::new(place, message));
                }
            }
        }
    }
    if found == 0 {
        // the templates moved, and a check of nothing would pass for ever
        let message = "names nothing of ours; tell tidy (tidy/names.rs) where the templates are";
        findings.push(Finding::new(TEMPLATES, message));
    }
    Ok(findings)
}

/// The names that follow our prefix, with their lines, from 1.
fn names(text: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for after in line.split(OURS).skip(1) {
            let name: String = after
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
                .collect();
            // the prefix alone stands for all of them
            if !name.is_empty() && name != VERSION {
                names.push((index.saturating_add(1), name));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_are_found_with_their_lines_and_neither_prefixes_nor_versions() {
        let text = concat!(
            "# leasehold.dev/… are ours\n",
            "k.startsWith('leasehold.dev/') || 'leasehold.dev/zone' in labels || \"leasehold.dev/adopt\"\n",
            "apiVersion: platform.leasehold.dev/v1alpha1\n",
            "  leasehold.dev/managed-by: leasehold\n",
        );
        let expected = [(2, "zone"), (2, "adopt"), (4, "managed-by")];
        let expected = expected.map(|(line, name)| (line, name.to_owned()));
        assert_eq!(names(text), expected);
    }

    #[test]
    fn a_name_that_is_no_constant_and_templates_that_are_not_there_are_findings() {
        let root = tempfile::tempdir().unwrap();
        let (names, templates) = (root.path().join(NAMES), root.path().join(TEMPLATES));
        fs::create_dir_all(names.parent().unwrap()).unwrap();
        fs::write(&names, "pub const ZONE: &str = \"leasehold.dev/zone\";\n").unwrap();
        let places = || {
            let found = known(root.path()).unwrap().into_iter();
            found.map(|finding| finding.place).collect::<Vec<_>>()
        };
        assert_eq!(places(), [TEMPLATES]);
        fs::create_dir_all(root.path().join(GENERATED)).unwrap();
        fs::write(templates.join("a.yaml"), "leasehold.dev/zone: a\n").unwrap();
        fs::write(
            root.path().join(GENERATED).join("b.yaml"),
            "leasehold.dev/other: a\n",
        )
        .unwrap();
        assert!(places().is_empty());
        fs::write(templates.join("c.tpl"), "\nleasehold.dev/zon\n").unwrap();
        assert_eq!(places(), [format!("{TEMPLATES}/c.tpl:2")]);
    }
}
