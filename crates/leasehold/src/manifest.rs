//! Manifests from files: the same YAML that `kubectl apply` takes.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A manifest of one kind.
#[derive(Clone, Debug)]
pub struct Manifest<S> {
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub spec: S,
}

/// The manifests of a kind in a file; `-` is standard input. What cannot be read is told with the file and the field.
pub fn read<S: DeserializeOwned>(path: &Path, kind: &str) -> Result<Vec<Manifest<S>>> {
    let mut text = String::new();
    if is_stdin(path) {
        io::stdin()
            .read_to_string(&mut text)
            .context("failed to read standard input")?;
    } else {
        text = fs::read_to_string(path)
            .with_context(|| format!("failed to read {}; check the path", path.display()))?;
    }
    let documents =
        documents(&text).with_context(|| format!("failed to read {} as YAML", named(path)))?;
    of_kind(&documents, kind).with_context(|| format!("failed to read {}", named(path)))
}

/// What people call the file.
pub fn named(path: &Path) -> String {
    if is_stdin(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The documents of a text. Lists, as `kubectl get -o yaml` writes them, are taken apart.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let found: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| anyhow!("{error}"))?;
    let mut documents = Vec::new();
    for document in found {
        let listed = document.get("items").and_then(Value::as_array);
        match listed {
            Some(items) if kind_of(&document).is_some_and(|kind| kind.ends_with("List")) => {
                documents.extend(items.iter().cloned());
            }
            _ => documents.push(document),
        }
    }
    Ok(documents)
}

/// The manifests of a kind, in their order. Other kinds are passed over.
pub fn of_kind<S: DeserializeOwned>(documents: &[Value], kind: &str) -> Result<Vec<Manifest<S>>> {
    documents
        .iter()
        .filter(|document| kind_of(document) == Some(kind))
        .map(|document| manifest(document, kind))
        .collect()
}

fn kind_of(document: &Value) -> Option<&str> {
    document.get("kind").and_then(Value::as_str)
}

fn manifest<S: DeserializeOwned>(document: &Value, kind: &str) -> Result<Manifest<S>> {
    let Some(name) = document.pointer("/metadata/name").and_then(Value::as_str) else {
        bail!("failed to read a {kind}: it has no metadata.name; give it one");
    };
    let asked = document.get("spec").cloned().unwrap_or_default();
    let spec = serde_path_to_error::deserialize(asked).map_err(|error| {
        let field = match error.path().to_string().as_str() {
            "." => "spec".to_owned(),
            path => format!("spec.{path}"),
        };
        anyhow!(error.into_inner()).context(format!(
            "failed to read {field} of {kind} {name}; `kubectl explain {kind}.spec` shows its fields"
        ))
    })?;
    Ok(Manifest {
        name: name.to_owned(),
        spec,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Spec = BTreeMap<String, String>;

    #[test]
    fn kinds_are_picked_out_of_several_documents_and_of_lists() {
        let text = "\
kind: Tenancy\nmetadata: {name: oa}\nspec: {zone: gov}\n---\n\
kind: PriceBook\nmetadata: {name: hs}\nspec: {provider: x}\n---\n\
kind: TenancyList\nitems:\n- {kind: Tenancy, metadata: {name: mail}, spec: {zone: net}}\n";
        let documents = documents(text).unwrap();
        let tenancies = of_kind::<Spec>(&documents, "Tenancy").unwrap();
        let names: Vec<&str> = tenancies.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["oa", "mail"]);
        assert_eq!(tenancies[1].spec["zone"], "net");
        assert_eq!(of_kind::<Spec>(&documents, "PriceBook").unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_name_of_the_object_and_the_field() {
        let of = |text: &str| of_kind::<Spec>(&documents(text).unwrap(), "Tenancy").unwrap_err();
        let nameless = of("kind: Tenancy\nspec: {}\n").to_string();
        assert!(nameless.contains("metadata.name"), "{nameless}");
        let wrong = of("kind: Tenancy\nmetadata: {name: oa}\nspec: {zone: [1]}\n").to_string();
        assert!(wrong.contains("spec.zone of Tenancy oa"), "{wrong}");
        assert!(documents("a: [").is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tenancy.yaml");
        for wrong in ["a: [", "kind: Tenancy\nmetadata: {name: oa}\nspec: 7\n"] {
            fs::write(&file, wrong).unwrap();
            let told = read::<Spec>(&file, "Tenancy").unwrap_err().to_string();
            assert!(told.contains("tenancy.yaml"), "{told}");
        }
        fs::remove_file(&file).unwrap();
        let told = read::<Spec>(&file, "Tenancy").unwrap_err().to_string();
        assert!(told.contains("tenancy.yaml; check the path"), "{told}");
        assert_eq!(named(Path::new("-")), "standard input");
    }
}
