//! What anybody can check of a ledger in a server, while an operator writes it.

use std::path::Path;

use leasehold_api::charging::Statement;
use leasehold_e2e::Office;
use leasehold_e2e::recount::recount;
use leasehold_ledger::explain::Explanation;
use leasehold_ledger::fact::Interval;
use leasehold_ledger::verify::Report;
use serde_json::Value;

use crate::ground::{Ground, tables};

/// A bill of a department holds: by the ledger, by its evidence alone, by its intervals, and line by line.
pub async fn bill_holds(ground: &Ground, office: &Office, statement: &Statement) {
    let reader = &ground.database.reader;
    let report = verified(ground, reader, &head_of(statement)).await;
    let period = statement.spec.period.name.as_str();
    let checked = report.periods.iter().find(|found| found.name == period);
    let checked = checked.unwrap_or_else(|| panic!("{period} is not in {report:?}"));
    assert!(checked.ok && !checked.sealed, "{checked:?}");

    is_evident(ground, period, &office.code).await;
    let usage = ["usage", "--db", reader, "--department", &office.code];
    let intervals: Vec<Interval> = json(ground, &usage).await;
    recount(statement, &intervals).unwrap();
    let code = office.code.as_str();
    for line in &statement.spec.lines {
        let id = line.id.as_str();
        let explain = [
            "explain",
            id,
            "--period",
            period,
            "--department",
            code,
            "--db",
            reader,
        ];
        let explained: Explanation = json(ground, &explain).await;
        assert!(explained.holds, "{explained:?}");
        assert_eq!(explained.gross.to_string(), line.gross, "{id}");
    }
}

/// An evidence file of a period is verified by itself.
async fn is_evident(ground: &Ground, period: &str, folder: &str) {
    let folder = ground.stage.rig.scratch(folder).unwrap();
    let file = text(&folder.join("evidence.jsonl"));
    let reader = &ground.database.reader;
    let write = ["evidence", "--period", period, "--db", reader, "-f", &file];
    let ran = ground.auditor.leasehold(&write).await.unwrap();
    ran.ok().unwrap();
    let report: Report = json(ground, &["verify", &file]).await;
    assert_eq!(report.finding, None);
    let last = report.periods.last().unwrap();
    assert_eq!((last.name.as_str(), last.ok), (period, true));
}

/// Verifies a ledger, which must be good and must have had this head.
pub async fn verified(ground: &Ground, ledger: &str, head: &str) -> Report {
    let report: Report = json(ground, &["verify", "--db", ledger, "--head", head]).await;
    assert_eq!(report.finding, None);
    assert!(report.periods.iter().all(|period| period.ok), "{report:?}");
    report
}

/// Backs the ledger up with the reader's role while an operator writes it, and restores it into an empty database with the
/// service's.
pub async fn comes_back(ground: &Ground, statement: &Statement) {
    let folder = ground.stage.rig.scratch("backup").unwrap();
    let file = text(&folder.join("ledger.db"));
    let reader = &ground.database.reader;
    let made: Value = json(ground, &["backup", "--db", reader, "-f", &file]).await;
    let head = made["head"].as_str().unwrap();
    let backup = verified(ground, &file, head).await;
    assert_eq!(backup.head.as_str(), head);
    assert_eq!(made["rows"], backup.rows);

    let empty = tables(ground.stage, ground.server).await;
    let into = empty.service.as_str();
    let restored: Value = json(ground, &["restore", &file, "--into", into]).await;
    assert_eq!(restored["head"], made["head"]);
    let report = verified(ground, &empty.reader, &head_of(statement)).await;
    assert_eq!(report, backup);
    // the operator has gone on in its own ledger, which still has the head of the backup
    verified(ground, reader, head).await;
}

/// The head that a statement is a witness to.
pub fn head_of(statement: &Statement) -> String {
    statement.spec.chain.as_ref().unwrap().head.clone()
}

/// What a command of the auditor's answers, for programs.
async fn json<T: serde::de::DeserializeOwned>(ground: &Ground, command: &[&str]) -> T {
    let words = [command, &["-o", "json"]].concat();
    let ran = ground.auditor.leasehold(&words).await.unwrap();
    ran.ok().unwrap().json().unwrap()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
