//! Months leave, and the operator goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_api::charging::{BillingPeriod, PeriodPhase, Statement, StatementState};
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::explain::Explanation;
use leasehold_ledger::fact::{Interval, Meter};
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_ledger::time::Period;
use leasehold_ledger::verify::Report;
use leasehold_store::{Place, Store};
use leasehold_testkit::{
    LONG, OperatorOptions, OperatorProcess, PostgresDatabase, PostgresServer, Ran, Session, User,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::past;

/// 64 × 17.00, and 46.00 for each core: one by the four pods in turn, one by the pod that goes on, and half a core by the
/// pod that lasts from the middle of the first month to the middle of the second.
const DUE: [&str; 4] = ["1203.00", "1203.00", "1180.00", "1180.00"];
/// Beginnings and ends. Of the first month those of three pods: the fourth ends as the next month begins, and leaves with that.
/// Of the second those of that one, of three of its own, and of the pod that ends in its middle.
const ROWS: [u64; 2] = [6, 10];

/// Who and what everything is about.
struct Story {
    stage: &'static Stage,
    database: PostgresDatabase,
    months: [Period; 4],
    water: Office,
    auditor: Session,
    /// Where the files of archives go.
    folder: PathBuf,
    /// The process of the operator, which must stay.
    operator: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn months_leave_for_files_beside_a_running_operator_which_goes_on() {
    let story = Box::pin(Story::begin()).await;
    let oldest = story.statement(0).await;
    nothing_leaves_before_the_office_allows_it(&story).await;
    what_would_leave_is_told(&story).await;
    the_owner_alone_archives(&story).await;
    story.is_well().await;
    sealed_months_are_proven(&story, &oldest).await;
    with_the_files_every_month_is_computed_again(&story, &oldest).await;
    use_of_an_archived_month_is_found_in_its_file(&story).await;
    every_line_of_an_archived_month_is_explained_without_a_file(&story).await;
    Box::pin(the_next_month_closes(&story)).await;
    story.is_well().await;
}

impl Story {
    /// The months on record, and the operator at work.
    async fn begin() -> Self {
        let stage = Stage::bare().await.unwrap();
        let server = PostgresServer::shared().unwrap();
        let database = server.database().unwrap();
        let admin = stage.user(User::Admin).await.unwrap();
        let (owner, service) = (&database.owner, &database.service_role);
        let mut migrate = vec!["ledger", "migrate", "--db", owner, "--service", service];
        migrate.extend(["--reader", &database.reader_role]);
        admin.leasehold(&migrate).await.unwrap().ok().unwrap();
        in_database(stage, &database).await;
        // the office comes first: statements are written into its namespace
        let office = stage.office(past::DEPARTMENT, past::NAME).await;
        let water = office.unwrap();
        let months = past::months();
        write_past(stage, &database, &months).await;
        stage.published(past::BOOK).await.unwrap();
        let operator = stage.operator.lock().await.id();
        Self {
            stage,
            database,
            months,
            water,
            auditor: stage.user(User::Auditor).await.unwrap(),
            folder: stage.rig.scratch("archives").unwrap(),
            operator,
        }
    }

    /// The final statement of a month.
    async fn statement(&self, month: usize) -> Statement {
        let name = self.months[month].name.as_str();
        let place = Some(self.water.place.as_str());
        let what = format!("the final statement of {name}");
        let seen = self.stage.see(&what, PERIODS, async || {
            let found = self.water.staff.get::<Statement>(place, name).await?;
            if found.spec.state == StatementState::Final {
                Ok(found)
            } else {
                Err(format!("{:?}", found.spec.state))
            }
        });
        let found = seen.await.unwrap();
        assert_eq!(found.spec.totals.gross, DUE[month], "{name}");
        found
    }

    /// Waits until a month is in a phase.
    async fn period(&self, month: usize, phase: PeriodPhase) -> BillingPeriod {
        let name = self.months[month].name.as_str();
        let what = format!("{name}, {phase:?}");
        let seen = self.stage.see(&what, PERIODS, async || {
            let found = self.auditor.get::<BillingPeriod>(None, name).await?;
            let status = found.status.as_ref();
            if status.is_some_and(|status| status.phase == phase) {
                Ok(found)
            } else {
                Err(format!("{status:#?}"))
            }
        });
        seen.await.unwrap()
    }

    /// Runs `leasehold archive` into the folder by the address of a role.
    async fn archive(&self, role: &str, more: &[&str]) -> Ran {
        let folder = text(&self.folder);
        let mut words = vec!["archive", "--db", role, "--to", &folder];
        words.extend_from_slice(more);
        let admin = self.stage.user(User::Admin).await.unwrap();
        admin.leasehold(&words).await.unwrap()
    }

    /// Verifies the ledger, with these words more.
    async fn verified(&self, head: &str, more: &[&str]) -> Report {
        let reader = self.database.reader.as_str();
        let mut words = vec!["verify", "--db", reader, "--head", head, "-o", "json"];
        words.extend_from_slice(more);
        let ran = self.auditor.leasehold(&words).await.unwrap();
        let report: Report = ran.ok().unwrap().json().unwrap();
        assert_eq!(report.finding, None);
        report
    }

    /// Waits until the operator is not ready.
    async fn trouble(&self) -> String {
        let operator = self.stage.operator.lock().await;
        loop {
            if let Err(said) = operator.fetch("/readyz").await {
                return said;
            }
            // the pace of the looks, not a wait for anything
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The operator is the same process as before, and ready.
    async fn is_well(&self) {
        let mut operator = self.stage.operator.lock().await;
        let running = operator.is_running();
        assert!(running, "{}", operator.tail());
        assert_eq!(operator.id(), self.operator);
        let ready = operator.fetch("/readyz").await;
        assert_eq!(ready.as_deref(), Ok("ready\n"), "{}", operator.tail());
    }
}

/// The operator goes on in a database.
async fn in_database(stage: &Stage, database: &PostgresDatabase) {
    let mut operator = stage.operator.lock().await;
    operator.terminate();
    let options = OperatorOptions::with_ledger(operator.ledger().to_owned());
    let options = options.in_database(&database.service);
    *operator = OperatorProcess::start(stage.rig, options).await.unwrap();
}

/// Puts the months on record and the rules into the cluster, while the operator is away.
async fn write_past(stage: &Stage, database: &PostgresDatabase, months: &[Period; 4]) {
    let mut operator = stage.operator.lock().await;
    operator.terminate();
    let place: Place = database.service.parse().unwrap();
    let store = Store::open(place).await.unwrap();
    Box::pin(past::write(&store, months)).await;
    store.close().await.unwrap();
    let office = stage.user(User::Office).await.unwrap();
    office.apply(&past::policy()).await.unwrap();
    let finance = stage.user(User::SUN).await.unwrap();
    finance.apply(&past::prices()).await.unwrap();
    operator.restart().await.unwrap();
}

async fn nothing_leaves_before_the_office_allows_it(story: &Story) {
    let ran = story.archive(&story.database.owner, &[]).await;
    ran.refused("spec.closing.archiveAfterDays").unwrap();
    let office = story.stage.user(User::Office).await.unwrap();
    let allowed = json!({"spec": {"closing": {"archiveAfterDays": 30}}});
    let ran = office.try_patch("cloudpolicy/default", &[], &allowed).await;
    ran.unwrap().ok().unwrap();
}

/// As soon as the operator has recorded what the office allows. The third month was closed yesterday, the fourth not at all.
async fn what_would_leave_is_told(story: &Story) {
    let seen = story.stage.see("what would leave", LONG, async || {
        let dry = ["--dry-run", "-o", "json"];
        let ran = story.archive(&story.database.owner, &dry).await;
        if ran.is_ok() {
            Ok(ran)
        } else {
            Err(ran.stderr)
        }
    });
    let told: Vec<Value> = seen.await.unwrap().json().unwrap();
    assert_eq!(moved(&told), expected(story));
    assert!(told.iter().all(|one| one["digest"].is_null()), "{told:?}");
    let files = std::fs::read_dir(&story.folder).unwrap();
    assert_eq!(files.count(), 0, "a file was written");
}

/// The role of the operator may not take anything out, and the reader's neither.
async fn the_owner_alone_archives(story: &Story) {
    for role in [&story.database.service, &story.database.reader] {
        let ran = story.archive(role, &[]).await;
        ran.refused("may not take rows out").unwrap();
    }
    let archiving = story.archive(&story.database.owner, &["-o", "json"]);
    let ran = tokio::select! {
        ran = archiving => ran,
        trouble = story.trouble() => panic!("{trouble}"),
    };
    let told: Vec<Value> = ran.ok().unwrap().json().unwrap();
    assert_eq!(moved(&told), expected(story));
    for one in &told {
        assert!(one["digest"].is_string(), "{one}");
        assert!(Path::new(one["file"].as_str().unwrap()).exists(), "{one}");
    }
    let again = story.archive(&story.database.owner, &[]).await;
    let said = again.ok().unwrap().stdout;
    assert!(said.starts_with("nothing is to be moved"), "{said}");
}

/// Period and rows of each line.
fn moved(told: &[Value]) -> Vec<(String, u64)> {
    told.iter()
        .map(|one| {
            let period = one["period"].as_str().unwrap().to_owned();
            (period, one["rows"].as_u64().unwrap())
        })
        .collect()
}

fn expected(story: &Story) -> Vec<(String, u64)> {
    let names = story.months.iter().map(|month| month.name.clone());
    names.zip(ROWS).collect()
}

/// Name, sum and proof of each closed month.
fn periods(report: &Report) -> Vec<(String, String, bool, bool)> {
    let told = report.periods.iter();
    told.map(|found| {
        let gross = found.gross.to_string();
        (found.name.clone(), gross, found.ok, found.sealed)
    })
    .collect()
}

/// What is expected of so many closed months, of which the first ones are sealed.
fn proven(story: &Story, closed: usize, sealed: usize) -> Vec<(String, String, bool, bool)> {
    let names = story.months.iter().zip(DUE).enumerate().take(closed);
    names
        .map(|(n, (month, due))| (month.name.clone(), due.to_owned(), true, n < sealed))
        .collect()
}

async fn sealed_months_are_proven(story: &Story, oldest: &Statement) {
    let report = story.verified(&head_of(oldest), &[]).await;
    assert_eq!(periods(&report), proven(story, 3, 2));
    assert_eq!(report.archived, ROWS.iter().sum::<u64>());
}

async fn with_the_files_every_month_is_computed_again(story: &Story, oldest: &Statement) {
    let folder = text(&story.folder);
    let report = story
        .verified(&head_of(oldest), &["--archive", &folder])
        .await;
    assert_eq!(periods(&report), proven(story, 3, 0));
    assert_eq!(report.archived, 0);
}

/// Two and a half cores all month, with the file; without it, the pod that goes on, and a remark.
async fn use_of_an_archived_month_is_found_in_its_file(story: &Story) {
    let month = &story.months[0];
    let zone = &month.time_zone;
    let from = zone.date_of(month.span.from).to_string();
    let to = zone.date_of(month.span.to.plus(-1)).to_string();
    let mut usage = vec!["usage", "--db", &story.database.reader];
    usage.extend(["--department", past::DEPARTMENT, "--tenancy", "river"]);
    usage.extend(["--from", &from, "--to", &to, "-o", "json"]);
    let ran = story.auditor.leasehold(&usage).await.unwrap().ok().unwrap();
    let complete = zone.date_of(story.months[2].span.from);
    let remark = format!("use that had ended before {complete} may lie in archives");
    assert!(ran.stderr.contains(&remark), "{}", ran.stderr);
    let length = month.span.seconds();
    assert_eq!(of_cpu(&ran), (1, 1_000 * length));

    let folder = text(&story.folder);
    usage.extend(["--archive", &folder]);
    let ran = story.auditor.leasehold(&usage).await.unwrap().ok().unwrap();
    assert!(!ran.stderr.contains("may lie in archives"), "{ran:?}");
    // four, the one that goes on, and the one from the middle on
    assert_eq!(of_cpu(&ran), (6, 2_500 * length));
}

/// A final statement in the ledger has the stretches of each of its lines: two and a half cores all month, and the memory.
async fn every_line_of_an_archived_month_is_explained_without_a_file(story: &Story) {
    let reader = story.database.reader.as_str();
    for (number, month) in story.months.iter().take(2).enumerate() {
        let length = month.span.seconds();
        let lines = story.statement(number).await.spec.lines;
        let items: Vec<&str> = lines.iter().map(|line| line.item.as_str()).collect();
        assert_eq!(items, ["memory", "vcpu-burst"], "{}", month.name);
        for line in &lines {
            let mut explain = vec!["explain", &line.id, "--period", &month.name];
            explain.extend([
                "--department",
                past::DEPARTMENT,
                "--db",
                reader,
                "-o",
                "json",
            ]);
            let ran = story.auditor.leasehold(&explain).await.unwrap();
            let told: Explanation = ran.ok().unwrap().json().unwrap();
            assert!(told.holds, "{told:?}");
            assert_eq!(told.more_segments, 0, "{told:?}");
            assert_eq!(told.gross.to_string(), line.gross);
            let seconds: i64 = told.segments.iter().map(|part| part.seconds).sum();
            if line.item == "memory" {
                assert_eq!(seconds, length, "{told:?}");
                continue;
            }
            let cores = told.segments.iter().map(|part| {
                let millicores = parse_quantity(&part.quantity, Unit::Core).unwrap();
                millicores * part.seconds
            });
            assert_eq!(cores.sum::<i64>(), 2_500 * length, "{told:?}");
        }
    }
}

/// How many stretches pods used cores for, and the sum of thousandths of a core, each times its seconds.
fn of_cpu(ran: &Ran) -> (usize, i64) {
    let all: Vec<Interval> = ran.json().unwrap();
    let of_pods: Vec<&Interval> = all
        .iter()
        .filter(|found| matches!(found.meter, Meter::Pod { .. }))
        .collect();
    let each = of_pods
        .iter()
        .map(|found| found.quantity * found.span.seconds());
    (of_pods.len(), each.sum())
}

/// Finance closes the fourth month; the operator reckons it from what it has left, and it is proven like any other.
async fn the_next_month_closes(story: &Story) {
    let name = story.months[3].name.as_str();
    story.period(3, PeriodPhase::Closing).await;
    let finance = story.stage.user(User::SUN).await.unwrap();
    let word = json!({"spec": {"close": true}});
    let ran = finance.try_patch(&format!("bp/{name}"), &[], &word).await;
    ran.unwrap().ok().unwrap();
    let closed = story.period(3, PeriodPhase::Closed).await;
    let totals = closed.status.unwrap().totals.unwrap();
    assert_eq!(totals.gross, DUE[3]);
    let newest = story.statement(3).await;
    let head = head_of(&newest);
    let folder = text(&story.folder);
    let report = story.verified(&head, &[]).await;
    assert_eq!(periods(&report), proven(story, 4, 2));
    let report = story.verified(&head, &["--archive", &folder]).await;
    assert_eq!(periods(&report), proven(story, 4, 0));

    // whoever gets evidence gets all of it
    let file = text(
        &story
            .stage
            .rig
            .scratch("evidence")
            .unwrap()
            .join("rows.jsonl"),
    );
    let reader = story.database.reader.as_str();
    let mut evidence = vec!["evidence", "--period", name, "--db", reader, "-f", &file];
    let ran = story.auditor.leasehold(&evidence).await.unwrap();
    ran.refused("they lie in archives").unwrap();
    evidence.extend(["--archive", &folder]);
    let ran = story.auditor.leasehold(&evidence).await.unwrap();
    ran.ok().unwrap();
    let verify = ["verify", &file, "--head", &head, "-o", "json"];
    let ran = story.auditor.leasehold(&verify).await.unwrap();
    let report: Report = ran.ok().unwrap().json().unwrap();
    assert_eq!(periods(&report), proven(story, 4, 0));
}

/// The head that a statement is a witness to.
fn head_of(statement: &Statement) -> String {
    statement.spec.chain.as_ref().unwrap().head.clone()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
