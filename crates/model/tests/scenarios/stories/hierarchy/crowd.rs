//! A county that moves among two hundred departments.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use super::{BINDINGS, DEPARTMENTS, bindings_written, change, department, office, overseers};
use crate::{
    people::OFFICE,
    stories::{Stage, tell},
};

/// 1 city, 3 counties, 9 streets, 27, 81 and 81 departments below them: 202 at depth 6.
fn two_hundred() -> Vec<(String, Option<String>)> {
    let mut all = vec![("c".to_owned(), None)];
    let mut above = vec!["c".to_owned()];
    for width in [3, 3, 3, 3, 1] {
        let mut level = Vec::new();
        for parent in &above {
            for number in 0..width {
                level.push((format!("{parent}{number}"), Some(parent.clone())));
            }
        }
        above = level.iter().map(|(code, _)| code.clone()).collect();
        all.extend(level);
    }
    all
}

#[test]
fn a_county_that_moves_among_two_hundred_departments_changes_the_rights_of_its_subtree_alone() {
    let all = two_hundred();
    assert_eq!(all.len(), 202);
    tell(async |stage| {
        stage.furnish(&json!({}), &["c", "c0", "c1"]).await?;
        change(stage, "c0", &json!({"parent": "c"})).await?;
        change(stage, "c1", &json!({"parent": "c"})).await?;
        for (code, parent) in &all {
            if ["c", "c0", "c1"].contains(&code.as_str()) {
                continue;
            }
            let manifest = json!({
                "apiVersion": "tenancy.leasehold.dev/v1alpha1", "kind": "Department",
                "metadata": {"name": code},
                "spec": {
                    "displayName": "委办局", "parent": parent,
                    "administrators": [{"kind": "Group", "name": format!("{code}-admins")}],
                },
            });
            stage.create(OFFICE, &manifest)?;
        }
        let above = |code: &str| -> Vec<String> {
            (1..code.len())
                .map(|length| format!("{}-admins", &code[..length]))
                .collect()
        };
        stage
            .until("everybody overseen by those above", |stage| {
                all.iter()
                    .all(|(code, _)| overseers(stage, code) == above(code))
            })
            .await?;
        let counted = |stage: &Stage<'_>, code: &str| {
            department(stage, code)["status"]["subtree"]["departments"].clone()
        };
        stage
            .until("the city's departments counted", |stage| {
                counted(stage, "c") == 202
            })
            .await?;
        stage.pass(Duration::from_secs(60)).await;
        let before = stage.server.written().len();

        change(stage, "c0", &json!({"parent": "c1"})).await?;
        let moved: BTreeSet<String> = all
            .iter()
            .filter(|(code, _)| code.starts_with("c0"))
            .map(|(code, _)| code.clone())
            .collect();
        // 1 + 3 + 9 + 27 + 27
        assert_eq!(moved.len(), 67);
        stage
            .until("the county below its neighbour", |stage| {
                moved
                    .iter()
                    .all(|code| overseers(stage, code).contains(&"c1-admins".to_owned()))
                    && counted(stage, "c1") == 134
            })
            .await?;
        stage.pass(Duration::from_secs(60)).await;
        let offices: BTreeSet<String> = moved.iter().map(|code| office(code)).collect();
        assert_eq!(bindings_written(before, stage), offices);
        let written = stage.server.written();
        let since = &written[before..];
        let of = |resource: &str| since.iter().filter(|one| one.resource == resource).count();
        // each once; a round that does not see yet what the last one wrote may write it again
        assert!(of(BINDINGS) <= 67 + 3, "{} bindings", of(BINDINGS));
        // beside them, what says who is directly below the city and the neighbour
        let told: BTreeSet<&str> = since
            .iter()
            .filter(|one| one.resource == "namespaces")
            .map(|one| one.place.trim_start_matches('/'))
            .collect();
        assert_eq!(told, BTreeSet::from(["dept-c", "dept-c1"]));
        assert!(of(DEPARTMENTS) <= 4, "{} statuses", of(DEPARTMENTS));
        Ok(())
    });
}
