//! The example city: many departments at once, each of which writes for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::scene::{Scene, text};
use super::site::{OFFICE, Person};
use crate::workspace::{capture, read, root};

/// The folder of the city in `examples`.
pub const CITY: &str = "huangshi";
/// How long all departments or all tenancies together may take.
const ALL: Duration = Duration::from_secs(120);
/// How many commands of a kind are shown; the rest is counted.
const SHOWN: usize = 3;

/// Waits until every department of the city is ready.
pub fn departments(scene: &mut Scene) -> Result<()> {
    let wanted = of_kind(&city("04-departments.yaml")?, "Department");
    scene.wait("all departments ready", ALL, |scene| {
        let all = scene.json(OFFICE, &["get", "departments"])?;
        let ready = items(&all).filter(|found| is_ready(found)).count();
        Ok((ready >= wanted).then_some(()))
    })?;
    scene.say(format_args!("   {wanted} departments are ready"))
}

/// The staff of each department registers its systems and asks for its tenancies.
pub fn ask(scene: &mut Scene) -> Result<usize> {
    let (systems, tenancies) = (city("05-systems.yaml")?, city("06-tenancies.yaml")?);
    let batches = by_department(&[&systems, &tenancies])?;
    let wanted = of_kind(&tenancies, "Tenancy");
    for (count, (code, batch)) in batches.iter().enumerate() {
        apply(scene, code, "systems", batch, count < SHOWN)?;
    }
    scene.say(format_args!(
        "   {} departments asked: {} systems, {wanted} tenancies",
        batches.len(),
        of_kind(&systems, "InformationSystem"),
    ))?;
    Ok(wanted)
}

/// The staff of each department offers its hardware.
pub fn offer(scene: &mut Scene) -> Result<()> {
    let contributions = city("07-contributions.yaml")?;
    for (code, batch) in by_department(&[&contributions])? {
        apply(scene, &code, "contributions", &batch, true)?;
    }
    Ok(())
}

/// Approves whatever waits for a decision, until `count` objects are in a phase.
pub fn decide_all(
    scene: &mut Scene,
    person: Person,
    (kind, resource): (&str, &str),
    order: &str,
    (count, wanted): (usize, &str),
) -> Result<()> {
    let mut decided = BTreeSet::new();
    let what = format!("{count} {resource} {wanted}");
    scene.wait(&what, ALL, |scene| {
        for (name, place) in undecided(scene, person, kind)? {
            if decided.insert((name.clone(), place.clone())) {
                approve(scene, person, [&name, &place, order], decided.len())?;
            }
        }
        let all = scene.json(person, &["get", resource, "-A"])?;
        if let Some(refused) = items(&all).find(|found| text(found, "/status/phase") == "Refused") {
            bail!("failed: {} is refused: {}", key(refused), message(refused));
        }
        let there = items(&all).filter(|found| text(found, "/status/phase") == wanted);
        Ok((there.count() >= count).then_some(()))
    })?;
    scene.say(format_args!(
        "   {} decisions, {count} {resource} {wanted}",
        decided.len()
    ))
}

/// The staff member who writes for a department.
pub fn staff(code: &str) -> String {
    format!("zhang@{code}")
}

fn apply(scene: &mut Scene, code: &str, what: &str, batch: &[String], shown: bool) -> Result<()> {
    let path = scene.site().folder().join(format!("{code}-{what}.yaml"));
    fs::write(&path, batch.join("---\n"))
        .with_context(|| format!("failed to write {}", path.display()))?;
    let (user, file) = (staff(code), path.display().to_string());
    let arguments = ["apply", "-f", &file];
    if shown {
        scene.say(format_args!(
            "   {user} $ kubectl apply -f - # {what} of {code} in examples/{CITY}"
        ))?;
    }
    let waited = format!("the rights of {code}'s staff");
    let told = scene.wait(&waited, ALL, |scene| {
        let output = scene.site().kubectl_as(&user, &arguments)?.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        } else if errors.contains("\" cannot ") {
            // a role that was just bound takes a moment to count
            Ok(None)
        } else {
            bail!("failed to apply {what} of {code}: {}", errors.trim())
        }
    })?;
    if shown {
        scene.indented(&told)?;
    }
    Ok(())
}

fn approve(
    scene: &mut Scene,
    person: Person,
    [name, place, order]: [&str; 3],
    nth: usize,
) -> Result<()> {
    let mut arguments = vec!["approve", name, "--order-no", order, "--yes"];
    if !place.is_empty() {
        arguments.extend(["-n", place]);
    }
    if nth <= SHOWN {
        return scene.leasehold(person, &arguments).map(drop);
    }
    capture(&mut scene.site().leasehold(person, &arguments)?)?;
    if nth.is_multiple_of(10) {
        scene.say(format_args!("   … {nth} approved"))?;
    }
    Ok(())
}

/// Names and namespaces of the approvals of a kind that nobody has decided.
fn undecided(scene: &Scene, person: Person, kind: &str) -> Result<Vec<(String, String)>> {
    let all = scene.json(person, &["get", "approvals", "-A"])?;
    let waiting = |found: &&Value| {
        text(found, "/spec/subject/kind") == kind && found.pointer("/spec/decision").is_none()
    };
    let names = items(&all).filter(waiting).map(|found| {
        let of = |path: &str| text(found, path).to_owned();
        (of("/metadata/name"), of("/metadata/namespace"))
    });
    Ok(names.collect())
}

fn city(name: &str) -> Result<String> {
    read(&root()?.join("examples").join(CITY).join(name))
}

/// The objects of a list.
pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn key(found: &Value) -> String {
    let (place, name) = (
        text(found, "/metadata/namespace"),
        text(found, "/metadata/name"),
    );
    format!("{place}/{name}")
}

fn ready_condition(found: &Value) -> Option<&Value> {
    found
        .pointer("/status/conditions")
        .and_then(Value::as_array)?
        .iter()
        .find(|condition| text(condition, "/type") == "Ready")
}

fn is_ready(found: &Value) -> bool {
    ready_condition(found).is_some_and(|condition| text(condition, "/status") == "True")
}

fn message(found: &Value) -> &str {
    ready_condition(found).map_or("", |condition| text(condition, "/message"))
}

/// The documents of a YAML file, without those that are only comments.
fn documents(yaml: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in yaml.lines() {
        if line.trim_end() == "---" {
            found.push(String::new());
        } else if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    found.retain(|document| document.lines().any(|line| line.starts_with("kind:")));
    found
}

/// How many documents are of a kind.
fn of_kind(yaml: &str, kind: &str) -> usize {
    let line = format!("kind: {kind}");
    let is = |document: &&String| document.lines().any(|found| found.trim_end() == line);
    documents(yaml).iter().filter(is).count()
}

/// The documents by the code of the department in whose office namespace they lie, in file order.
fn by_department(yamls: &[&str]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut batches: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for document in yamls.iter().flat_map(|yaml| documents(yaml)) {
        let (_, rest) = document
            .split_once("namespace: dept-")
            .with_context(|| format!("failed to find the office namespace in:\n{document}"))?;
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        let code = end
            .and_then(|end| rest.get(..end))
            .unwrap_or(rest)
            .to_owned();
        batches.entry(code).or_default().push(document);
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# a remark\n---\nkind: Tenancy\nmetadata: {name: a, namespace: dept-police}\n\
                       ---\nkind: Tenancy\nmetadata:\n  namespace: dept-gov-office\n  name: b\n";

    #[test]
    fn documents_are_sorted_by_the_department_that_writes_them() {
        let batches = by_department(&[TWO, TWO]).unwrap();
        let codes: Vec<&str> = batches.keys().map(String::as_str).collect();
        assert_eq!(codes, ["gov-office", "police"]);
        assert_eq!(batches["police"].len(), 2);
        assert!(batches["gov-office"][0].contains("name: b"));
        assert!(by_department(&["kind: Department\n"]).is_err());
    }

    #[test]
    fn documents_of_a_kind_are_counted_and_remarks_are_not() {
        assert_eq!(of_kind(TWO, "Tenancy"), 2);
        assert_eq!(of_kind(TWO, "Ten"), 0);
    }
}
