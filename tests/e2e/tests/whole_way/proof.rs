//! How everybody can check the bill.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use leasehold_api::charging::{BillingPeriod, PeriodPhase, Statement, StatementState};
use leasehold_e2e::recount::{Credit, burnt, evidence, journal, recount};
use leasehold_e2e::{Office, Stage};
use leasehold_ledger::journal::{Entry, EntryKind};
use leasehold_ledger::verify::Report;
use leasehold_testkit::{LONG, Ran, User, repository};

pub fn lines_are_the_month_prices(statement: &Statement) {
    let lines: BTreeMap<&str, (&str, &str, &str)> = statement
        .spec
        .lines
        .iter()
        .map(|line| {
            let figures = (&*line.quantity, &*line.unit_price, &*line.gross);
            (line.item.as_str(), figures)
        })
        .collect();
    let expected = BTreeMap::from([
        ("vcpu-x86", ("32.0", "46.00", "1472.00")),
        ("memory", ("64.0", "17.00", "1088.00")),
        ("block-ssd", ("2048.0", "0.70", "1433.60")),
    ]);
    assert_eq!(lines, expected);
    for line in &statement.spec.lines {
        assert_eq!(
            (line.tenancy.as_str(), line.budget.as_str()),
            ("oa", "30227")
        );
        assert_eq!(line.segments.len(), 1, "{:?}", line.segments);
        assert!(!line.estimated);
    }
    assert!(statement.spec.period.rehearsal);
    assert!(
        statement.spec.number.starts_with("HS-") && statement.spec.number.ends_with("-gov-office")
    );
    assert_eq!(statement.spec.department.display_name, "市政府办");
}

pub fn half_is_paid_by_credit(statement: &Statement) {
    let totals = &statement.spec.totals;
    // the lot pays at most 50 % of 3993.60
    let expected = ("3993.60", "1996.80", "0.00", "1996.80");
    let found = (
        &*totals.gross,
        &*totals.offset,
        &*totals.adjustments,
        &*totals.net,
    );
    assert_eq!(found, expected);
    let credit = &statement.spec.credits[0];
    assert_eq!(credit.opening, "27472.22");
    assert_eq!(credit.applied, "1996.80");
    assert_eq!(credit.closing, "25475.42");
}

pub async fn period_is_closed_with_the_same_totals(stage: &Stage, statement: &Statement) {
    let finance = stage.user(User::QIAN).await.unwrap();
    let name = &statement.spec.period.name;
    let status = stage
        .see("the closed period", LONG, async || {
            let found = finance.get::<BillingPeriod>(None, name).await?;
            let status = found.status.unwrap_or_default();
            if status.phase == PeriodPhase::Closed {
                Ok(status)
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await
        .unwrap();
    assert!(status.rehearsal);
    assert_eq!(status.statements, Some(1));
    assert_eq!(status.totals.unwrap(), statement.spec.totals);
    // whoever keeps the statement is a witness to the ledger
    assert!(
        statement
            .spec
            .chain
            .as_ref()
            .unwrap()
            .head
            .starts_with("sha256:")
    );
}

pub async fn department_reads_and_understands(office: &Office, statement: &Statement) {
    let (period, place) = (statement.spec.period.name.as_str(), office.place.as_str());
    let page = office
        .staff
        .leasehold(&["statement", "-n", place, "--period", period, "-o", "html"])
        .await
        .unwrap()
        .ok()
        .unwrap();
    for text in [statement.spec.number.as_str(), "市政府办", "1996.80"] {
        assert!(page.stdout.contains(text), "{text} is not on the page");
    }
    let line = statement
        .spec
        .lines
        .iter()
        .find(|line| line.item == "vcpu-x86")
        .unwrap();
    let explained = office
        .staff
        .leasehold(&["explain", &line.id, "--period", period, "-n", place])
        .await
        .unwrap()
        .ok()
        .unwrap();
    for text in ["46.00", "1472.00"] {
        assert!(explained.stdout.contains(text), "{}", explained.stdout);
    }
}

/// From the objects with finance's own rights, and from a copy of the ledger: the same bytes.
pub async fn finance_exports(stage: &Stage, statement: &Statement) {
    let folder = stage.rig.scratch("exports").unwrap();
    let copy = stage
        .operator
        .lock()
        .await
        .copy_ledger(&folder.join("copy"))
        .unwrap();
    let finance = stage.user(User::SUN).await.unwrap();
    let (seen, read) = (folder.join("cluster.csv"), folder.join("ledger.csv"));
    let export = [
        "export",
        "focus",
        "--period",
        &statement.spec.period.name,
        "-f",
    ];
    for (file, db) in [(&seen, None), (&read, Some(&copy))] {
        let (file, db) = (text(file), db.map(|path| text(path)));
        let mut arguments = export.to_vec();
        arguments.push(&file);
        if let Some(db) = &db {
            arguments.extend(["--db", db.as_str()]);
        }
        finance.leasehold(&arguments).await.unwrap().ok().unwrap();
    }
    let bytes = fs::read(&seen).unwrap();
    assert!(!bytes.is_empty());
    assert!(
        bytes == fs::read(&read).unwrap(),
        "{} and {} differ",
        text(&seen),
        text(&read)
    );
    tokio::task::spawn_blocking(move || validate(&seen))
        .await
        .unwrap();
}

/// Runs the validators of FOCUS that are not ours.
fn validate(file: &Path) {
    let python = std::env::var_os("LEASEHOLD_FOCUS_PYTHON").expect(
        "LEASEHOLD_FOCUS_PYTHON names the Python with the FOCUS validators; \
         `cargo xtask test` makes it and sets this",
    );
    let gate = repository().join("tests").join("focus").join("gate.py");
    let ran = Command::new(python).arg(gate).arg(file).output().unwrap();
    let told = format!(
        "{}\n{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(ran.status.success(), "{told}");
}

/// The ledger, and a file of evidence that needs nothing else; and a change in it is found.
pub async fn anybody_verifies(stage: &Stage, statement: &Statement) {
    let auditor = stage.user(User::Auditor).await.unwrap();
    let folder = stage.rig.scratch("evidence").unwrap();
    let copy = text(&stage.operator.lock().await.copy_ledger(&folder).unwrap());
    let head = statement.spec.chain.as_ref().unwrap().head.clone();
    let whole = ["verify", "--db", &copy, "--head", &head, "-o", "json"];
    let report = auditor.leasehold(&whole).await.unwrap().ok().unwrap();
    let report: Report = report.json().unwrap();
    let period = &statement.spec.period.name;
    assert!(
        report.periods.iter().any(|checked| checked.name == *period),
        "{report:?}"
    );
    assert_eq!(report.finding, None);

    let file = folder.join("evidence.jsonl");
    let name = text(&file);
    let evidence = ["evidence", "--period", period, "--db", &copy, "-f", &name];
    auditor.leasehold(&evidence).await.unwrap().ok().unwrap();
    auditor
        .leasehold(&["verify", &name])
        .await
        .unwrap()
        .ok()
        .unwrap();

    let (forged, row) = forge(&fs::read_to_string(&file).unwrap());
    fs::write(&file, forged).unwrap();
    let found: Ran = auditor
        .leasehold(&["verify", &name, "-o", "json"])
        .await
        .unwrap();
    let report: Report = found.with_code(2).unwrap().json().unwrap();
    assert_eq!(report.finding.unwrap().seq, row);
}

/// Every closed statement again, from the recorded times and by other arithmetic, and what the server
/// pays of it.
pub async fn anybody_recounts(office: &Office) {
    let all = office.staff.list::<Statement>(Some(&office.place)).await;
    let mut closed = all.unwrap();
    closed.retain(|statement| statement.spec.state == StatementState::Final);
    closed.sort_by(|a, b| a.spec.period.start.cmp(&b.spec.period.start));
    let evidence = evidence(office.stage, "recount", &office.code)
        .await
        .unwrap();
    for statement in &closed {
        recount(statement, &evidence.intervals).unwrap();
    }
    let journal = journal(&evidence, &office.code).await.unwrap();
    let grants = journal
        .iter()
        .filter(|entry| entry.kind == EntryKind::Grant);
    let grants: Vec<&Entry> = grants.collect();
    let [grant] = grants[..] else {
        panic!("{grants:?}")
    };
    let credit = Credit {
        lot: "gov-office/servers-2024".to_owned(),
        worth: 2_747_222,
        granted: grant.at.get(),
    };
    burnt(&closed, &[credit]).unwrap();
    let mut credits = closed.iter().flat_map(|found| &found.spec.credits);
    assert!(credits.next().is_some(), "no statement with credit");
}

/// Changes one digit of an amount, and says in which row.
fn forge(evidence: &str) -> (String, u64) {
    let at = evidence.find("1472.00").unwrap();
    let line = evidence[..at].rsplit('\n').next().unwrap().len();
    let row = evidence[at - line..].lines().next().unwrap();
    let row: serde_json::Value = serde_json::from_str(row).unwrap();
    let forged = format!("{}1473.00{}", &evidence[..at], &evidence[at + 7..]);
    (forged, row["seq"].as_u64().unwrap())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
