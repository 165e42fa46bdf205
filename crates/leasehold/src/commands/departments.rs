//! `leasehold departments`.

use std::io::Write;

use anyhow::Result;
use leasehold_export::sheet::Sheet;
use serde::Serialize;

use super::tree::{self, Seen};
use crate::{Outcome, cli::DepartmentsArgs, output, session::Session};

/// What the command prints for programs.
#[derive(Serialize, Debug)]
struct Listed<'a> {
    departments: &'a [Seen],
    /// What could not be looked at, and why.
    unread: &'a [String],
}

/// Lists departments, from the top down.
pub fn run(arguments: &DepartmentsArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let found = tree::under(session, &kit, arguments.under.as_deref())?;
    for unread in &found.unread {
        output::remark(unread);
    }
    if found.seen.iter().all(|seen| seen.told.is_none()) && !found.seen.is_empty() {
        output::remark(
            "names and sums are left out: you may not read departments; `leasehold tenancies` lists their leases",
        );
    }
    let listed = Listed {
        departments: &found.seen,
        unread: &found.unread,
    };
    output::show(&listed, &sheet(&found.seen), session.common.output, out)?;
    Ok(Outcome::Done)
}

fn sheet(seen: &[Seen]) -> Sheet {
    let columns = vec![
        output::text("department", "部门"),
        output::text("name", "部门名称"),
        output::text("level", "级别"),
        output::text("above", "上级部门"),
        output::text("phase", "状态"),
        output::number("monthly", "月租"),
        output::number("subtree", "含下级月租"),
        output::number("limit", "限额"),
    ];
    let rows = seen.iter().map(|seen| {
        let told = seen.told.clone().unwrap_or_default();
        vec![
            seen.department.clone(),
            told.name,
            told.level,
            seen.above.clone().unwrap_or_default(),
            told.phase,
            told.monthly.unwrap_or_default(),
            told.subtree.unwrap_or_default(),
            told.limit.unwrap_or_default(),
        ]
    });
    output::plain(columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Format, commands::tree::Told};

    #[test]
    fn what_may_not_be_read_is_empty_and_not_made_up() {
        let seen = [
            Seen {
                department: "daye".to_owned(),
                told: Some(Told {
                    name: "大冶市".to_owned(),
                    level: "County".to_owned(),
                    phase: "Active".to_owned(),
                    monthly: Some("320.00".to_owned()),
                    subtree: Some("640.00".to_owned()),
                    limit: None,
                }),
                ..Seen::default()
            },
            Seen {
                department: "street".to_owned(),
                above: Some("daye".to_owned()),
                depth: 1,
                told: None,
            },
        ];
        let mut out = Vec::new();
        output::show(&seen[..], &sheet(&seen), Format::Csv, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            rows,
            [
                "daye,大冶市,County,,Active,320.00,640.00,",
                "street,,,daye,,,,"
            ]
        );
        let listed = Listed {
            departments: &seen[1..],
            unread: &["department street: you may not look below it".to_owned()],
        };
        let expected = serde_json::json!({
            "departments": [{"department": "street", "above": "daye", "depth": 1}],
            "unread": ["department street: you may not look below it"],
        });
        assert_eq!(serde_json::to_value(&listed).unwrap(), expected);
    }
}
