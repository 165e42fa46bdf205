//! A county that moves among two hundred departments, or as many as `LEASEHOLD_DEPARTMENTS` says.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use super::{BINDINGS, DEPARTMENTS, bindings_written, change, department, office, overseers};
use crate::{
    people::OFFICE,
    stories::{Stage, tell},
};

/// So many departments, unless `LEASEHOLD_DEPARTMENTS` wants others.
const DEPARTMENTS_IN_ALL: usize = 202;

fn wanted() -> usize {
    let Ok(text) = std::env::var("LEASEHOLD_DEPARTMENTS") else {
        return DEPARTMENTS_IN_ALL;
    };
    let number = text.parse::<usize>().ok();
    let number = number.filter(|number| *number >= 10);
    number.unwrap_or_else(|| {
        panic!("LEASEHOLD_DEPARTMENTS is {text:?}, which is no number from 10 on");
    })
}

/// So many departments at depth 6: a city, as many counties as it takes, as many streets in each, and so on, and one below
/// each of the fifth level. 202 are 1, 3, 9, 27, 81 and 81. Those above come first.
fn crowd(number: usize) -> Vec<(String, Option<String>)> {
    // a digit for each level
    let width = (2..=9_usize)
        .find(|width| {
            let level = |depth: u32| width.pow(depth);
            1 + level(1) + level(2) + level(3) + 2 * level(4) >= number
        })
        .unwrap_or(9);
    let mut all = vec![("c".to_owned(), None)];
    let mut above = vec!["c".to_owned()];
    for width in [width, width, width, width, 1] {
        let mut level = Vec::new();
        for parent in &above {
            for number in 0..width {
                level.push((format!("{parent}{number}"), Some(parent.clone())));
            }
        }
        above = level.iter().map(|(code, _)| code.clone()).collect();
        all.extend(level);
    }
    all.truncate(number);
    all
}

/// The codes that begin so: a department and all below it.
fn below(all: &[(String, Option<String>)], code: &str) -> BTreeSet<String> {
    all.iter()
        .filter(|(found, _)| found.starts_with(code))
        .map(|(found, _)| found.clone())
        .collect()
}

#[test]
fn two_hundred_and_two_departments_are_at_depth_six_and_a_county_of_them_is_a_third() {
    let all = crowd(202);
    assert_eq!(all.len(), 202);
    // 1 + 3 + 9 + 27 + 27
    assert_eq!(below(&all, "c0").len(), 67);
    assert_eq!(all.iter().map(|(code, _)| code.len()).max(), Some(6));
    assert_eq!(crowd(2000).len(), 2000);
}

#[test]
fn a_county_that_moves_among_its_neighbours_changes_the_rights_of_its_subtree_alone_and_a_restart_nothing()
 {
    let all = crowd(wanted());
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
                counted(stage, "c") == all.len()
            })
            .await?;
        stage.pass(Duration::from_secs(60)).await;
        let before = stage.server.written().len();

        change(stage, "c0", &json!({"parent": "c1"})).await?;
        let moved = below(&all, "c0");
        let in_all = below(&all, "c1").len() + moved.len();
        stage
            .until("the county below its neighbour", |stage| {
                moved
                    .iter()
                    .all(|code| overseers(stage, code).contains(&"c1-admins".to_owned()))
                    && counted(stage, "c1") == in_all
            })
            .await?;
        stage.pass(Duration::from_secs(60)).await;
        let offices: BTreeSet<String> = moved.iter().map(|code| office(code)).collect();
        assert_eq!(bindings_written(before, stage), offices);
        let written = stage.server.written();
        let since = &written[before..];
        let of = |resource: &str| since.iter().filter(|one| one.resource == resource).count();
        // each once; a round that does not see yet what the last one wrote may write it again
        let most = moved.len() + (moved.len() / 20).max(3);
        assert!(of(BINDINGS) <= most, "{} bindings", of(BINDINGS));
        // beside them, what says who is directly below the city and the neighbour
        let told: BTreeSet<&str> = since
            .iter()
            .filter(|one| one.resource == "namespaces")
            .map(|one| one.place.trim_start_matches('/'))
            .collect();
        assert_eq!(told, BTreeSet::from(["dept-c", "dept-c1"]));
        assert!(of(DEPARTMENTS) <= 4, "{} statuses", of(DEPARTMENTS));

        let before = stage.server.written().len();
        stage.operator().stop();
        stage.pass(Duration::from_secs(60)).await;
        let written = stage.server.written();
        let anew = &written[before..];
        assert!(anew.is_empty(), "after a restart: {anew:?}");
        Ok(())
    });
}
