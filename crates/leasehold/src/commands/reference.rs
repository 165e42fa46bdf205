//! `leasehold reference`: the pages of the manual that follow from the code.

mod command_line;
mod kinds;
mod rules;

use std::{collections::BTreeMap, fs, io::Write};

use anyhow::{Context, Result};

use crate::{Outcome, cli::ReferenceArgs};

/// First line of every page.
const GENERATED: &str =
    "<!-- Generated from the code by `cargo xtask codegen`; do not edit. -->\n\n";

/// Writes the pages.
pub fn run(arguments: &ReferenceArgs, out: &mut dyn Write) -> Result<Outcome> {
    let dir = &arguments.dir;
    fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
    let pages = pages()?;
    for (name, text) in &pages {
        let path = dir.join(name);
        fs::write(&path, format!("{GENERATED}{text}"))
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    writeln!(out, "{} pages written to {}", pages.len(), dir.display())?;
    Ok(Outcome::Done)
}

/// The pages by the name of their file.
fn pages() -> Result<BTreeMap<String, String>> {
    let mut pages = kinds::pages()?;
    pages.insert("command-line.md".to_owned(), command_line::page()?);
    pages.insert("rules.md".to_owned(), rules::page()?);
    Ok(pages)
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Text as code in a cell of a table.
fn code(text: &str) -> String {
    let fence = if text.contains('`') { "``" } else { "`" };
    format!("{fence}{}{fence}", cell(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_command_and_rule_is_on_a_page() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "charging.md",
                "command-line.md",
                "platform.md",
                "rules.md",
                "tenancy.md"
            ]
        );
        let tenancy = &pages["tenancy.md"];
        for part in [
            "## Tenancy",
            "`spec.lease[].quantity`",
            "at most 24 characters",
            "rule T05",
        ] {
            assert!(tenancy.contains(part), "{part} is missing");
        }
        let commands = &pages["command-line.md"];
        for part in ["## leasehold export focus", "--order-no", "Exit codes:"] {
            assert!(commands.contains(part), "{part} is missing");
        }
        assert!(
            !commands.contains("crds"),
            "hidden commands are not for people"
        );
        assert!(pages["rules.md"].contains("| T20 |"));
    }

    #[test]
    fn a_pipe_does_not_end_a_cell() {
        assert_eq!(code("^(a|b)$"), "`^(a\\|b)$`");
        assert_eq!(cell("a\nb"), "a b");
    }
}
