//! `leasehold crds`: the custom resource definitions as files.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::{Number, Value};

use crate::{Outcome, cli::CrdsArgs};

/// Writes one file per kind, or compares.
pub fn run(arguments: &CrdsArgs, out: &mut dyn Write) -> Result<Outcome> {
    let files = files()?;
    if arguments.check {
        check(&files, &arguments.dir)?;
        writeln!(out, "{} definitions are as generated", files.len())?;
    } else {
        write(&files, &arguments.dir)?;
        writeln!(
            out,
            "{} definitions written to {}",
            files.len(),
            arguments.dir.display()
        )?;
    }
    Ok(Outcome::Done)
}

/// The definitions by the name of their file. The same kinds give the same bytes.
fn files() -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for definition in leasehold_api::definitions() {
        let name = definition
            .metadata
            .name
            .clone()
            .context("failed to name a definition: it has no name")?;
        let value = sorted(serde_json::to_value(&definition)?);
        // long texts on one line: what a block scalar does to spaces is a matter of the reader
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        let text = serde_saphyr::to_string_with_options(&value, options)
            .with_context(|| format!("failed to write {name} as YAML"))?;
        files.insert(format!("{name}.yaml"), format!("{}\n", text.trim_end()));
    }
    Ok(files)
}

/// The same value with the keys of every object in order, whatever the features of the JSON library are, and whole
/// numbers without a point.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Number(number) => Value::Number(whole(number)),
        plain @ (Value::Null | Value::Bool(_) | Value::String(_)) => plain,
    }
}

/// Bounds of a schema are floats in Rust, and `1000.0` there is `1000` in a file that people read.
fn whole(number: Number) -> Number {
    let text = number.to_string();
    let whole: Option<i64> = text.strip_suffix(".0").and_then(|text| text.parse().ok());
    whole.map_or(number, Number::from)
}

fn write(files: &BTreeMap<String, String>, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

fn check(files: &BTreeMap<String, String>, dir: &Path) -> Result<()> {
    let differs = |(name, text): &(&String, &String)| {
        fs::read_to_string(dir.join(name)).ok().as_ref() != Some(*text)
    };
    let wrong: Vec<&str> = files
        .iter()
        .filter(differs)
        .map(|(name, _)| name.as_str())
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(
        "failed to find the definitions as generated in {}: {}; write them with `leasehold crds --dir`",
        dir.display(),
        wrong.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_file_by_its_plural_and_group() {
        let files = files().unwrap();
        assert_eq!(files.len(), leasehold_api::definitions().len());
        let tenancies = &files["tenancies.tenancy.leasehold.dev.yaml"];
        assert!(
            tenancies.starts_with("apiVersion: apiextensions.k8s.io/v1\n"),
            "{tenancies}"
        );
        assert!(!tenancies.contains(".0\n"), "a float as a bound");
        assert!(
            tenancies.contains("\nmetadata:\n  name: tenancies.tenancy.leasehold.dev\nspec:\n")
        );
    }

    #[test]
    fn a_file_read_back_is_the_definition() {
        for definition in leasehold_api::definitions() {
            let name = format!("{}.yaml", definition.metadata.name.clone().unwrap());
            let read: Value = serde_saphyr::from_str(&files().unwrap()[&name]).unwrap();
            assert_eq!(
                read,
                sorted(serde_json::to_value(&definition).unwrap()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_that_was_edited_or_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = files().unwrap();
        write(&files, dir.path()).unwrap();
        assert!(check(&files, dir.path()).is_ok());
        fs::write(dir.path().join("tenancies.tenancy.leasehold.dev.yaml"), "x").unwrap();
        fs::remove_file(dir.path().join("statements.charging.leasehold.dev.yaml")).unwrap();
        let error = check(&files, dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("statements.charging.leasehold.dev.yaml, tenancies.tenancy"),
            "{error}"
        );
    }
}
