//! `leasehold tenancies`.

use std::io::Write;

use anyhow::{Result, bail};
use kube::ResourceExt;
use leasehold_api::{names, tenancy::Tenancy};
use leasehold_export::sheet::Sheet;
use leasehold_kit::Kit;
use serde::Serialize;

use super::tree;
use crate::{Outcome, cli::TenanciesArgs, output, session::Session};

/// A tenancy as the list shows it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Row {
    department: String,
    name: String,
    phase: String,
    monthly: Option<String>,
    used: Option<String>,
}

/// What the command prints for programs.
#[derive(Serialize, Debug)]
struct Listed<'a> {
    tenancies: &'a [Row],
    /// What could not be looked at, and why.
    unread: &'a [String],
}

/// Lists the tenancies of a department and of everything below it.
pub fn run(arguments: &TenanciesArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let tree::Tree { seen, mut unread } = tree::under(session, &kit, arguments.under.as_deref())?;
    let codes: Vec<&str> = seen.iter().map(|seen| seen.department.as_str()).collect();
    let (found, closed) = read(session, &kit, &codes)?;
    if closed.len() == codes.len() && !codes.is_empty() {
        bail!(
            "failed to read the tenancies of {}: you have no right to any of them; its administrators and those of the \
             departments above it have",
            codes.join(", ")
        );
    }
    unread.extend(closed.iter().map(|code| {
        format!("department {code}: you may not read its tenancies; they are missing here")
    }));
    for sentence in &unread {
        output::remark(sentence);
    }
    let rows = in_order(&found, &codes);
    let listed = Listed {
        tenancies: &rows,
        unread: &unread,
    };
    output::show(&listed, &sheet(&rows), session.common.output, out)?;
    Ok(Outcome::Done)
}

/// The tenancies of these departments, and the departments of which none may be read. At once for whoever may read all,
/// office by office for everybody else.
fn read<'code>(
    session: &Session,
    kit: &Kit,
    codes: &[&'code str],
) -> Result<(Vec<Tenancy>, Vec<&'code str>)> {
    match session.wait(kit.list::<Tenancy>(None, None)) {
        Ok(all) => return Ok((all, Vec::new())),
        Err(error) if error.is_forbidden() => {}
        Err(error) => return Err(error.into()),
    }
    let (mut found, mut closed) = (Vec::new(), Vec::new());
    for code in codes.iter().copied() {
        let office = names::office_namespace(code);
        match session.wait(kit.list::<Tenancy>(Some(&office), None)) {
            Ok(all) => found.extend(all),
            Err(error) if error.is_forbidden() => closed.push(code),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((found, closed))
}

/// Rows of the tenancies, in the order of the departments and then of their names.
fn in_order(found: &[Tenancy], codes: &[&str]) -> Vec<Row> {
    let mut rows = Vec::new();
    for code in codes {
        let office = names::office_namespace(code);
        let of_office = |tenancy: &&Tenancy| tenancy.metadata.namespace.as_ref() == Some(&office);
        let mut theirs: Vec<Row> = found
            .iter()
            .filter(of_office)
            .map(|tenancy| row(code, tenancy))
            .collect();
        theirs.sort_by(|a, b| a.name.cmp(&b.name));
        rows.extend(theirs);
    }
    rows
}

fn row(code: &str, tenancy: &Tenancy) -> Row {
    let status = tenancy.status.as_ref();
    let quoted = status.and_then(|status| status.quotation.as_ref());
    Row {
        department: code.to_owned(),
        name: tenancy.name_any(),
        phase: status
            .map(|status| format!("{:?}", status.phase))
            .unwrap_or_default(),
        monthly: quoted.map(|quotation| quotation.monthly.clone()),
        used: status.and_then(|status| status.used.clone()),
    }
}

fn sheet(rows: &[Row]) -> Sheet {
    let columns = vec![
        output::text("department", "部门"),
        output::text("name", "租约"),
        output::text("phase", "状态"),
        output::number("monthly", "月租"),
        output::text("used", "已用/已租"),
    ];
    let cells = rows.iter().map(|row| {
        vec![
            row.department.clone(),
            row.name.clone(),
            row.phase.clone(),
            row.monthly.clone().unwrap_or_default(),
            row.used.clone().unwrap_or_default(),
        ]
    });
    output::plain(columns, cells.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{cli::Format, commands::fixture::oa};

    fn tenancy(office: &str, name: &str) -> Tenancy {
        let status = json!({"phase": "Active", "used": "memory 20Gi/64Gi", "quotation": {
            "monthly": "1088.00", "term": "13056.00", "creditMonthly": "0.00",
            "book": "huangshi-2026", "currency": "CNY",
        }});
        let mut tenancy = oa();
        tenancy.metadata.name = Some(name.to_owned());
        tenancy.metadata.namespace = Some(office.to_owned());
        tenancy.status = Some(serde_json::from_value(status).unwrap());
        tenancy
    }

    #[test]
    fn tenancies_stand_below_their_departments_and_those_of_others_are_left_out() {
        let found = [
            tenancy("dept-street", "web"),
            tenancy("dept-daye", "oa"),
            tenancy("dept-street", "mail"),
            tenancy("dept-yangxin", "oa"),
        ];
        let rows = in_order(&found, &["daye", "street"]);
        let shown: Vec<(&str, &str)> = rows
            .iter()
            .map(|row| (row.department.as_str(), row.name.as_str()))
            .collect();
        assert_eq!(
            shown,
            [("daye", "oa"), ("street", "mail"), ("street", "web")]
        );
        let mut out = Vec::new();
        output::show(&rows, &sheet(&rows[..1]), Format::Csv, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.lines().nth(1),
            Some("daye,oa,Active,1088.00,memory 20Gi/64Gi")
        );
    }

    #[test]
    fn programs_read_what_is_missing_beside_what_is_there() {
        let rows = in_order(&[tenancy("dept-daye", "oa")], &["daye"]);
        let unread = ["department street: closed".to_owned()];
        let listed = Listed {
            tenancies: &rows,
            unread: &unread,
        };
        let read = serde_json::to_value(&listed).unwrap();
        assert_eq!(read["tenancies"][0]["monthly"], "1088.00");
        assert_eq!(read["unread"][0], "department street: closed");
    }
}
