//! Departments under departments, as far as the caller may see them.
//!
//! Whoever may list departments sees them as they are. Whoever oversees some of them may not: what a neighbour leases
//! stands in its object. They find the way down by the office namespaces, each of which names those directly below.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use leasehold_api::{names, tenancy::Department};
use leasehold_kit::{Kit, KitError};
use leasehold_planner::hierarchy::Hierarchy;
use serde::Serialize;

use crate::session::Session;

/// A department in its place.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its code.
    pub department: String,
    /// The department above it.
    pub above: Option<String>,
    /// How far below the top of the list.
    pub depth: usize,
    /// Its name, level, phase and sums, for whoever may read departments.
    #[serde(flatten)]
    pub told: Option<Told>,
}

/// What a department says of itself.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its name.
    pub name: String,
    /// Its level in the administration.
    pub level: String,
    /// Where it stands in its life.
    pub phase: String,
    /// Yuan a month that it leases itself.
    pub monthly: Option<String>,
    /// Yuan a month that it leases with everything below it.
    pub subtree: Option<String>,
    /// Most that this may be.
    pub limit: Option<String>,
}

/// Departments from the top down, each before those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The departments.
    pub seen: Vec<Seen>,
    /// What could not be looked at, and why.
    pub unread: Vec<String>,
}

/// The department of this code and everything below it; without a code everything, or what is below the caller's own.
pub fn under(session: &Session, kit: &Kit, code: Option<&str>) -> Result<Tree> {
    match session.wait(kit.list::<Department>(None, None)) {
        Ok(all) => of_objects(&all, code),
        Err(error) if error.is_forbidden() => {
            let home = session.namespace(kit);
            let own = names::department_of_office(&home);
            let top = code.or(own).context(
                "failed to find where to begin: you may not list departments; name the one at the top with --under CODE",
            )?;
            of_offices(top, |office| {
                session.wait(kit.get::<Namespace>(None, office))
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// The tree by the departments themselves.
fn of_objects(all: &[Department], code: Option<&str>) -> Result<Tree> {
    let links = all.iter().map(|department| {
        let parent = department.spec.parent.as_ref();
        (department.name_any(), parent.map(ToString::to_string))
    });
    let hierarchy = Hierarchy::new(links);
    let tops: Vec<&str> = match code {
        Some(code) if !hierarchy.has(code) => {
            bail!("failed to find department {code}; `leasehold departments` lists what there is")
        }
        Some(code) => vec![code],
        None => {
            let parents = hierarchy.parents();
            let without =
                parents.filter(|(_, parent)| parent.is_none_or(|above| !hierarchy.has(above)));
            without.map(|(code, _)| code).collect()
        }
    };
    let mut tree = Tree::default();
    let mut passed = BTreeSet::new();
    tree.seen = downwards(&hierarchy, tops, &mut passed);
    if code.is_none() {
        // what goes round in a circle hangs below nothing
        let rest: Vec<&str> = hierarchy.parents().map(|(code, _)| code).collect();
        for code in rest {
            tree.seen
                .extend(downwards(&hierarchy, vec![code], &mut passed));
        }
    }
    let by_code: BTreeMap<String, &Department> =
        all.iter().map(|found| (found.name_any(), found)).collect();
    for seen in &mut tree.seen {
        seen.told = by_code.get(&seen.department).copied().map(told);
    }
    Ok(tree)
}

/// Departments from the tops down that were not passed yet.
fn downwards<'tree>(
    hierarchy: &'tree Hierarchy,
    tops: Vec<&'tree str>,
    passed: &mut BTreeSet<&'tree str>,
) -> Vec<Seen> {
    let mut waiting: Vec<(&str, usize)> = tops.into_iter().rev().map(|code| (code, 0)).collect();
    let mut seen = Vec::new();
    while let Some((code, depth)) = waiting.pop() {
        if !passed.insert(code) {
            continue;
        }
        seen.push(Seen {
            department: code.to_owned(),
            above: hierarchy.parent(code).map(str::to_owned),
            depth,
            told: None,
        });
        let mut below: Vec<&str> = hierarchy.below(code).collect();
        below.reverse();
        waiting.extend(
            below
                .into_iter()
                .map(|code| (code, depth.saturating_add(1))),
        );
    }
    seen
}

fn told(department: &Department) -> Told {
    let (spec, status) = (&department.spec, department.status.as_ref());
    let subtree = status.and_then(|status| status.subtree.as_ref());
    Told {
        name: spec.display_name.to_string(),
        level: format!("{:?}", spec.level),
        phase: status
            .map(|status| format!("{:?}", status.phase))
            .unwrap_or_default(),
        monthly: status
            .and_then(|status| status.leased.as_ref())
            .map(|leased| leased.monthly.clone()),
        subtree: subtree.map(|subtree| subtree.monthly.clone()),
        limit: subtree.and_then(|subtree| subtree.limit.clone()),
    }
}

/// The tree by the office namespaces, from the top down. Without the right to the first there is nothing to show; what is
/// further down and may not be looked at is told.
fn of_offices(
    top: &str,
    look: impl Fn(&str) -> Result<Option<Namespace>, KitError>,
) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut passed = BTreeSet::new();
    let mut waiting = vec![(top.to_owned(), None::<String>, 0_usize)];
    while let Some((code, above, depth)) = waiting.pop() {
        if !passed.insert(code.clone()) {
            continue;
        }
        let mut below = Vec::new();
        match look(&names::office_namespace(&code)) {
            Ok(Some(office)) => below = named(&office),
            Ok(None) => tree
                .unread
                .push(format!("department {code}: it has no office namespace yet")),
            Err(error) if error.is_forbidden() && depth > 0 => {
                tree.unread
                    .push(format!("department {code}: you may not look below it"));
            }
            Err(error) => return Err(error.into()),
        }
        below.reverse();
        waiting.extend(
            below
                .into_iter()
                .map(|child| (child, Some(code.clone()), depth.saturating_add(1))),
        );
        tree.seen.push(Seen {
            department: code,
            above,
            depth,
            told: None,
        });
    }
    Ok(tree)
}

/// Codes of the departments directly below, as an office namespace names them.
fn named(office: &Namespace) -> Vec<String> {
    let listed = office.annotations().get(names::BELOW_ANNOTATION);
    let codes = listed.map_or("", String::as_str).split(',');
    codes
        .filter(|code| !code.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use leasehold_kit::Failure;
    use serde_json::{Value, json};

    use super::*;

    fn department(code: &str, parent: Option<&str>) -> Department {
        let mut object: Value = json!({
            "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Department",
            "metadata": {"name": code},
            "spec": {
                "displayName": code, "level": "County",
                "administrators": [{"kind": "Group", "name": format!("{code}-admins")}],
            },
            "status": {
                "phase": "Active", "leased": {"monthly": "1.00", "tenancies": 1},
                "subtree": {"departments": 1, "tenancies": 1, "monthly": "9.00", "limit": "10.00"},
            },
        });
        if let Some(parent) = parent {
            object["spec"]["parent"] = json!(parent);
        }
        serde_json::from_value(object).unwrap()
    }

    fn shown(tree: &Tree) -> Vec<(usize, &str)> {
        let seen = tree.seen.iter();
        seen.map(|seen| (seen.depth, seen.department.as_str()))
            .collect()
    }

    #[test]
    fn departments_are_listed_from_the_top_down_each_before_those_below_it() {
        let all = [
            department("city", None),
            department("yangxin", Some("city")),
            department("daye", Some("city")),
            department("street", Some("daye")),
            department("lost", Some("nowhere")),
            department("a", Some("b")),
            department("b", Some("a")),
        ];
        let tree = of_objects(&all, None).unwrap();
        assert_eq!(
            shown(&tree),
            [
                (0, "city"),
                (1, "daye"),
                (2, "street"),
                (1, "yangxin"),
                (0, "lost"),
                (0, "a"),
                (1, "b"),
            ]
        );
        let told = tree.seen[1].told.clone().unwrap();
        assert_eq!(
            (
                told.monthly.as_deref(),
                told.subtree.as_deref(),
                told.limit.as_deref()
            ),
            (Some("1.00"), Some("9.00"), Some("10.00"))
        );
        let county = of_objects(&all, Some("daye")).unwrap();
        assert_eq!(shown(&county), [(0, "daye"), (1, "street")]);
        let circle = of_objects(&all, Some("b")).unwrap();
        assert_eq!(shown(&circle), [(0, "b"), (1, "a")]);
        let unknown = of_objects(&all, Some("huangzhou")).unwrap_err().to_string();
        assert!(unknown.contains("huangzhou") && unknown.contains("leasehold departments"));
    }

    fn office(below: &str) -> Namespace {
        serde_json::from_value(json!({
            "metadata": {"name": "x", "annotations": {"leasehold.dev/below": below}},
        }))
        .unwrap()
    }

    fn forbidden() -> KitError {
        let status = Status::failure("no", "Forbidden").with_code(403);
        KitError {
            op: "get",
            kind: "Namespace".to_owned(),
            name: "x".to_owned(),
            source: Failure::Refused(status.boxed()),
        }
    }

    #[test]
    fn whoever_oversees_departments_finds_them_by_their_offices_and_is_told_where_the_way_ends() {
        let look = |place: &str| match place {
            "dept-daye" => Ok(Some(office("street,town,closed"))),
            "dept-street" => Ok(Some(office("village"))),
            "dept-village" => Ok(Some(office(""))),
            // round in a circle by an annotation that is old
            "dept-town" => Ok(Some(office("daye"))),
            "dept-closed" => Err(forbidden()),
            _ => Ok(None),
        };
        let tree = of_offices("daye", look).unwrap();
        assert_eq!(
            shown(&tree),
            [
                (0, "daye"),
                (1, "street"),
                (2, "village"),
                (1, "town"),
                (1, "closed"),
            ]
        );
        assert_eq!(tree.seen[2].above.as_deref(), Some("street"));
        assert_eq!(
            tree.unread,
            ["department closed: you may not look below it"]
        );
        let refused = of_offices("closed", look).unwrap_err();
        assert!(refused.downcast_ref::<KitError>().unwrap().is_forbidden());
        let missing = of_offices("nobody", look).unwrap();
        assert_eq!(missing.unread.len(), 1);
    }
}
