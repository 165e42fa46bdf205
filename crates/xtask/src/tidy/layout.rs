//! Manifests, versions, and the numbered decisions.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use crate::workspace::{Member, read};

/// Every package takes the workspace's lints.
pub fn lints(members: &[Member]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for member in members {
        if !inherits_lints(&read(&member.dir.join("Cargo.toml"))?) {
            let message = "does not inherit the lints: add `[lints]` and `workspace = true`";
            findings.push(Finding::new(&member.name, message));
        }
    }
    Ok(findings)
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let inherits = match section {
            "" => line.replace(' ', "") == "lints.workspace=true",
            "[lints]" => line.replace(' ', "") == "workspace=true",
            _ => false,
        };
        if inherits {
            return true;
        }
    }
    false
}

/// One version for every package and the chart.
pub fn versions(root: &Path, members: &[Member]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let Some(first) = members.first() else {
        return Ok(findings);
    };
    for member in members {
        if member.version != first.version {
            let message = format!(
                "has version {}, {} has {}",
                member.version, first.name, first.version
            );
            findings.push(Finding::new(&member.name, message));
        }
    }
    let chart = root.join("charts").join("leasehold").join("Chart.yaml");
    let text = read(&chart)?;
    for field in ["version", "appVersion"] {
        let found = top_level(&text, field);
        if found != Some(first.version.as_str()) {
            let message = format!(
                "{field} is {}, the workspace's version is {}",
                found.unwrap_or("missing"),
                first.version
            );
            findings.push(Finding::new("charts/leasehold/Chart.yaml", message));
        }
    }
    Ok(findings)
}

/// The plain value of a top-level field of a YAML file.
fn top_level<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(field)?.strip_prefix(':')?;
        let value = value.split(" #").next().unwrap_or(value).trim();
        Some(value.trim_matches(['"', '\'']))
    })
}

/// Decisions are numbered without holes or doubles: a number once given stays a decision's name.
pub fn decisions(root: &Path) -> Result<Vec<Finding>> {
    let folder = root.join("docs").join("adr");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(numbering(names))
}

fn numbering(mut names: Vec<String>) -> Vec<Finding> {
    names.retain(|name| {
        name.strip_suffix(".md")
            .is_some_and(|stem| stem != "README")
    });
    names.sort();
    let mut findings = Vec::new();
    let mut expected = 1_u32;
    for name in &names {
        let number = name
            .split_once('-')
            .filter(|(digits, _)| digits.len() == 4)
            .and_then(|(digits, _)| digits.parse::<u32>().ok());
        let place = format!("docs/adr/{name}");
        match number {
            None => findings.push(Finding::new(place, "is not called NNNN-title.md")),
            Some(number) => {
                if number != expected {
                    let message = format!("has number {number:04}, {expected:04} comes next");
                    findings.push(Finding::new(place, message));
                }
                expected = number.saturating_add(1);
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn decisions_without_a_hole_are_in_order() {
        assert!(numbering(names(&["0002-b.md", "0001-a.md", "README.md", "0003-c.md"])).is_empty());
    }

    #[test]
    fn a_hole_a_double_and_a_name_without_number_are_found() {
        assert_eq!(
            numbering(names(&["0001-a.md", "0003-c.md", "0004-d.md"])).len(),
            1
        );
        assert_eq!(numbering(names(&["0001-a.md", "0001-b.md"])).len(), 1);
        assert_eq!(numbering(names(&["0001-a.md", "notes.md"])).len(), 1);
        assert_eq!(numbering(names(&["0002-b.md"])).len(), 1);
    }

    #[test]
    fn lints_are_inherited_in_either_way_of_writing_it() {
        assert!(inherits_lints(
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"
        ));
        assert!(inherits_lints(
            "lints.workspace = true\n[package]\nname = \"a\"\n"
        ));
        assert!(!inherits_lints("[package]\nversion.workspace = true\n"));
        assert!(!inherits_lints(
            "[lints]\n[dependencies]\nworkspace = true\n"
        ));
    }

    #[test]
    fn a_chart_version_may_be_quoted() {
        let chart = "name: leasehold\nversion: 0.1.0\nappVersion: \"0.1.0\" # the image\n";
        assert_eq!(top_level(chart, "version"), Some("0.1.0"));
        assert_eq!(top_level(chart, "appVersion"), Some("0.1.0"));
        assert_eq!(top_level(chart, "type"), None);
    }
}
