//! `cargo xtask codegen`: files that are generated from the code and committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::out::Out;
use crate::workspace::{cargo, files, read, root, stream};

const KEEP: &str = "helm.sh/resource-policy: keep";

/// Writes what is generated from the code.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail when a committed file is not what the code generates.
    #[arg(long)]
    pub check: bool,
}

/// What a committed folder must contain: text by file name.
struct Folder {
    path: PathBuf,
    extension: &'static str,
    texts: BTreeMap<String, String>,
    /// Whether every file of this extension in it is generated; then a surplus one is wrong.
    exclusive: bool,
}

/// Generates everything, then compares or writes.
pub fn run(args: &Args, out: &mut Out) -> Result<()> {
    let folders = generate()?;
    let mut wrong = Vec::new();
    for folder in &folders {
        wrong.extend(differences(folder)?);
    }
    if args.check {
        for path in &wrong {
            out.line(format_args!("not as generated: {}", path.display()))?;
        }
        ensure!(
            wrong.is_empty(),
            "{} generated files are out of date; run: cargo xtask codegen",
            wrong.len()
        );
        return Ok(());
    }
    for folder in &folders {
        write(folder)?;
    }
    for path in &wrong {
        out.line(format_args!("wrote {}", path.display()))?;
    }
    out.line(format_args!("{} files changed", wrong.len()))?;
    Ok(())
}

fn generate() -> Result<Vec<Folder>> {
    let root = root()?;
    let scratch = root.join("target").join("codegen");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context("failed to empty the scratch folder")?;
    }
    let crds = call("crds", &scratch.join("crds"), "yaml")?;
    let reference = call("reference", &scratch.join("reference"), "md")?;
    let templates = crds
        .iter()
        .map(|(name, text)| Ok((name.clone(), template(name, text)?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let chart = root
        .join("charts")
        .join("leasehold")
        .join("templates")
        .join("crds");
    Ok(vec![
        Folder {
            path: root.join("crds"),
            extension: "yaml",
            texts: crds,
            exclusive: true,
        },
        Folder {
            path: chart,
            extension: "yaml",
            texts: templates,
            exclusive: true,
        },
        Folder {
            path: root.join("docs").join("reference"),
            extension: "md",
            texts: reference,
            exclusive: false,
        },
    ])
}

/// Lets the program write its files to `dir`, and reads them.
fn call(command: &str, dir: &Path, extension: &str) -> Result<BTreeMap<String, String>> {
    fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
    let mut run = cargo(["run", "--quiet", "--locked", "--package", "leasehold", "--"])?;
    stream(run.arg(command).arg("--dir").arg(dir))?;
    let mut texts = BTreeMap::new();
    for path in files(dir, extension)? {
        let name = path.strip_prefix(dir)?.to_string_lossy().into_owned();
        texts.insert(name, read(&path)?);
    }
    ensure!(
        !texts.is_empty(),
        "failed to generate anything with `leasehold {command}`"
    );
    Ok(texts)
}

/// The chart's copy of a CRD: kept when the release is uninstalled, because removing it would remove
/// every object of its kind. Helm must find nothing in it to expand.
fn template(name: &str, crd: &str) -> Result<String> {
    ensure!(
        !crd.contains("{{"),
        "failed to make a template of {name}: it contains `{{{{`, which Helm would expand"
    );
    let mut lines = Vec::new();
    let mut metadata = false;
    let mut annotated = false;
    for line in crd.lines() {
        if metadata && !annotated {
            if line.trim_end() == "  annotations:" {
                lines.push(line.to_owned());
                lines.push(format!("    {KEEP}"));
                annotated = true;
                continue;
            }
            if !line.starts_with(' ') {
                lines.extend(["  annotations:".to_owned(), format!("    {KEEP}")]);
                annotated = true;
            }
        }
        metadata |= line.trim_end() == "metadata:";
        lines.push(line.to_owned());
    }
    if !annotated {
        bail!(
            "failed to annotate {name}: it has no `metadata:` followed by another top-level field"
        );
    }
    Ok(lines.join("\n") + "\n")
}

/// Files that are missing, different, or should not be there.
fn differences(folder: &Folder) -> Result<Vec<PathBuf>> {
    let mut wrong = Vec::new();
    for (name, text) in &folder.texts {
        let path = folder.path.join(name);
        if !path.is_file() || read(&path)? != *text {
            wrong.push(path);
        }
    }
    wrong.extend(surplus(folder)?);
    Ok(wrong)
}

fn surplus(folder: &Folder) -> Result<Vec<PathBuf>> {
    if !folder.exclusive {
        return Ok(Vec::new());
    }
    let mut found = files(&folder.path, folder.extension)?;
    found.retain(|path| {
        !folder
            .texts
            .keys()
            .any(|name| folder.path.join(name) == *path)
    });
    Ok(found)
}

fn write(folder: &Folder) -> Result<()> {
    for path in surplus(folder)? {
        fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    }
    for (name, text) in &folder.texts {
        let path = folder.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("failed to make {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crd_without_annotations_gets_the_one_that_keeps_it() {
        let crd = "kind: CustomResourceDefinition\nmetadata:\n  name: a.b\nspec:\n  group: b\n";
        let wanted = "kind: CustomResourceDefinition\nmetadata:\n  name: a.b\n  annotations:\n    \
                      helm.sh/resource-policy: keep\nspec:\n  group: b\n";
        assert_eq!(template("a", crd).unwrap(), wanted);
    }

    #[test]
    fn annotations_that_a_crd_has_already_stay() {
        let crd = "metadata:\n  annotations:\n    own: x\n  name: a.b\nspec: {}\n";
        let wanted = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n    own: x\n  \
                      name: a.b\nspec: {}\n";
        assert_eq!(template("a", crd).unwrap(), wanted);
    }

    #[test]
    fn a_crd_that_helm_would_expand_is_refused() {
        let crd = "metadata:\n  name: a.b\nspec:\n  description: use {{ x }}\n";
        assert!(template("a", crd).is_err());
    }

    #[test]
    fn writing_makes_a_folder_equal_to_what_was_generated() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("old.yaml"), "old").unwrap();
        fs::write(dir.path().join("notes.md"), "by hand").unwrap();
        let texts = BTreeMap::from([("new.yaml".to_owned(), "new".to_owned())]);
        let path = dir.path().to_owned();
        let folder = Folder {
            path,
            extension: "yaml",
            texts,
            exclusive: true,
        };
        assert_eq!(differences(&folder).unwrap().len(), 2);
        write(&folder).unwrap();
        assert!(differences(&folder).unwrap().is_empty());
        assert!(!dir.path().join("old.yaml").exists());
        assert!(dir.path().join("notes.md").exists());
    }
}
