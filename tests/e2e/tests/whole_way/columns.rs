//! What `kubectl` tells: columns, events, and the meaning of a field.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use leasehold_api::charging::{Statement, StatementState};
use leasehold_api::conditions::types;
use leasehold_api::tenancy::{PeriodSoFar, Phase, Tenancy};
use leasehold_e2e::arithmetic::fen;
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_testkit::manifests::example;
use leasehold_testkit::{LONG, Session, User};
use serde_json::{Value, json};

use crate::story::{CODE, apply};

/// The department's lease in `examples/`.
const LEASE: &str = "05-tenancy.yaml";
/// What the lease costs in a whole period, in fen.
const MONTHLY: u128 = 399_360;
/// The half of it that credit pays.
const HALF: u128 = 199_680;
/// Seconds of a period of the examples.
const PERIOD: u64 = 60;
/// What the lease holds of each item, with its unit, in the order in which they are shown.
const LEASED: [(&str, u64, &str); 3] = [
    ("block-ssd", 2_048, "GiB·Month"),
    ("memory", 64, "GiB·Month"),
    ("vcpu-x86", 32, "Core·Month"),
];
/// The credit that finance granted.
const GRANTED: u128 = 2_747_222;

/// A table as `kubectl get` prints it: each cell begins below the beginning of its heading.
struct Table {
    text: String,
    /// The headings and where they begin.
    headings: Vec<(String, usize)>,
}

impl Table {
    /// What `kubectl get` prints for somebody.
    async fn get(who: &Session, what: &[&str]) -> Self {
        let arguments = [&["get"][..], what].concat();
        let ran = who.kubectl(&arguments, "").await.unwrap().ok().unwrap();
        let text = ran.stdout;
        let mut headings: Vec<(String, usize)> = Vec::new();
        let mut at = 0;
        // a heading may consist of two words; two spaces or more are between two headings
        for words in text.lines().next().unwrap_or_default().split("  ") {
            let heading = words.trim_start();
            if !heading.is_empty() {
                let begins = at + words.len() - heading.len();
                headings.push((heading.trim_end().to_owned(), begins));
            }
            at += words.len() + 2;
        }
        Self { text, headings }
    }

    /// The cell below a heading, in the row that has `value` below `key`.
    fn cell(&self, (key, value): (&str, &str), heading: &str) -> String {
        let row = self
            .text
            .lines()
            .skip(1)
            .find(|row| self.within(row, key) == value);
        let row = row.unwrap_or_else(|| panic!("no {value} below {key} in\n{}", self.text));
        self.within(row, heading)
    }

    /// The part of a row below a heading.
    fn within(&self, row: &str, heading: &str) -> String {
        let mut headings = self.headings.iter();
        let found = headings.find(|(name, _)| name == heading);
        let (_, from) = found.unwrap_or_else(|| panic!("no {heading} in\n{}", self.text));
        let width = headings.next().map_or(usize::MAX, |(_, to)| to - from);
        let cell: String = row.chars().skip(*from).take(width).collect();
        cell.trim().to_owned()
    }
}

/// The papers of all departments are one inbox: what is asked, of whom, by whom, for how much, and
/// what was said to it.
pub async fn the_office_finds_the_question(stage: &Stage, decision: &str) {
    let auditor = stage.user(User::Auditor).await.unwrap();
    let table = Table::get(&auditor, &["apv", "-A"]).await;
    let question = ("NAME", "oa-1-office");
    let cell = |heading: &str| table.cell(question, heading);
    assert_eq!(cell("NAMESPACE"), "dept-gov-office");
    assert_eq!(cell("ROLE"), "office");
    let title = cell("WHAT");
    for asked in ["vcpu-x86", "32", "memory", "64Gi", "block-ssd", "2Ti"] {
        assert!(title.contains(asked), "{asked} is not in {title}");
    }
    assert_eq!(cell("MONTHLY"), "3993.60");
    assert_eq!(cell("ASKED BY"), "zhang@gov-office");
    assert_eq!(cell("DECISION"), decision);
    if decision.is_empty() {
        return;
    }
    assert_eq!(cell("BY"), "chen@office");
    let credit = ("NAME", "hwc-servers-2024-finance");
    assert_eq!(table.cell(credit, "ROLE"), "finance");
    let title = table.cell(credit, "WHAT");
    assert!(title.contains("27472.22"), "{title}");
    assert_eq!(table.cell(credit, "DECISION"), decision);
}

/// The department sees what it pays so far, what it uses of what it leases, and what is left of its
/// credit.
pub async fn the_department_reads_its_figures(office: &Office) {
    charged(office).await;
    let mine = ["tcy", "-n", office.place.as_str()];
    let oa = ("NAME", "oa");
    let shown = office
        .stage
        .see("figures below headings", PERIODS, async || {
            // a status that changes anyway brings its figures up to date
            ask_for_too_much(office).await;
            let table = Table::get(&office.staff, &mine).await;
            let figures = ["SO FAR", "USED", "CREDIT LEFT"];
            let missing = figures.map(|heading| table.cell(oa, heading).is_empty());
            if missing == [false; 3] {
                Ok(table)
            } else {
                Err(table.text)
            }
        });
    let table = shown.await.unwrap();
    assert_eq!(table.cell(oa, "PHASE"), "Active");
    assert_eq!(table.cell(oa, "MONTHLY"), "3993.60");
    let so_far = fen(&table.cell(oa, "SO FAR")).unwrap();
    assert!((1..=MONTHLY).contains(&so_far), "{}", table.text);
    // three pods of 2 cores and 4 GiB, one of 18 cores and 1 GiB, one volume of 1 TiB
    let used = table.cell(oa, "USED");
    let used: BTreeSet<&str> = used.split(", ").collect();
    let expected = ["vcpu-x86 24/32", "memory 13Gi/64Gi", "block-ssd 1Ti/2Ti"];
    assert_eq!(used, BTreeSet::from(expected));
    // every period so far took the same half of a month
    let left = fen(&table.cell(oa, "CREDIT LEFT")).unwrap();
    let gone = GRANTED.checked_sub(left).unwrap();
    assert!(gone > 0 && gone.is_multiple_of(HALF), "{}", table.text);
}

/// With `-o wide` the department sees what is charged of the running period, item by item: of what it leases the part that
/// the seconds so far are of the period.
pub async fn the_department_reads_the_use_of_the_period(office: &Office) {
    let place = Some(office.place.as_str());
    let wide = ["tcy", "-n", office.place.as_str(), "-o", "wide"];
    let seen = office
        .stage
        .see("the use of the running period", PERIODS, async || {
            // as above: a status that changes anyway brings its figures up to date
            ask_for_too_much(office).await;
            let before = so_far(&office.staff.get::<Tenancy>(place, "oa").await?);
            let table = Table::get(&office.staff, &wide).await;
            let after = so_far(&office.staff.get::<Tenancy>(place, "oa").await?);
            match (before, after) {
                // what the table shows was reckoned at this instant, and not before the period began
                (Some(before), Some(after)) if before == after && has_begun(&after) => {
                    Ok((after, table.cell(("NAME", "oa"), "PERIOD USE")))
                }
                other => Err(format!("{other:?} around\n{}", table.text)),
            }
        });
    let (so_far, shown) = seen.await.unwrap();
    let at: Timestamp = so_far.as_of.parse().unwrap();
    let passed = u64::try_from(at.as_second()).unwrap() % PERIOD;
    let expected = LEASED.map(|(item, quantity, unit)| {
        let part = thousandths(quantity * 1_000 * passed / PERIOD);
        format!("{item} {part} {unit}")
    });
    assert_eq!(shown, expected.join(", "), "{so_far:?}");
}

fn so_far(tenancy: &Tenancy) -> Option<PeriodSoFar> {
    tenancy.status.as_ref()?.period.clone()
}

/// Whether it was reckoned after the first second of its period. A period begins with a minute, and is called by it.
fn has_begun(so_far: &PeriodSoFar) -> bool {
    let time = so_far.as_of.split('+').next().unwrap_or_default();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let Some((minute, second)) = digits.split_at_checked(12) else {
        return false;
    };
    let name = format!("r{}-{}00", &minute[..8], &minute[8..]);
    so_far.usage.is_some() && so_far.name == name && second != "00"
}

/// A number of thousandths as it is shown: three places, and no idle zeros.
fn thousandths(number: u64) -> String {
    let text = format!("{}.{:03}", number / 1_000, number % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Waits until the running period has charges.
async fn charged(office: &Office) {
    let place = Some(office.place.as_str());
    let seen = office.stage.see("a draft with charges", PERIODS, async || {
        let all = office.staff.list::<Statement>(place).await;
        let all = all.map_err(|failure| format!("{failure:?}"))?;
        let mut drafts = all.iter().filter(|found| {
            found.spec.state == StatementState::Draft && found.spec.totals.gross != "0.00"
        });
        if drafts.next().is_some() {
            Ok(())
        } else {
            Err(format!("{} statements, none of them", all.len()))
        }
    });
    seen.await.unwrap();
}

/// Asks for 64 cores, which is refused, and then for the approved 32 again. The approved lease goes on.
async fn ask_for_too_much(office: &Office) {
    let mut documents = example(LEASE, "").unwrap();
    let mut greedy = documents.pop().unwrap();
    assert_eq!(greedy["spec"]["lease"][0]["item"], "vcpu-x86");
    greedy["spec"]["lease"][0]["quantity"] = json!("64");
    office.staff.apply(&greedy).await.unwrap();
    // 64 × 46.00 + 1088.00 + 1433.60 = 5465.60, and twelve months are 65587.20
    let told = office.refused("oa", "T28").await.unwrap();
    assert!(
        told.contains("65587.20") && told.contains("60000.00"),
        "{told}"
    );
    let place = Some(office.place.as_str());
    let tenancy = office.staff.get::<Tenancy>(place, "oa").await.unwrap();
    assert_eq!(tenancy.status.unwrap().phase, Phase::Active);
    apply(office.stage, User::Department(CODE), LEASE, "").await;
    let content = |tenancy: &Tenancy| {
        let conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
        conditions
            .clone()
            .all(|condition| condition.type_ != types::REFUSED)
            && conditions
                .filter(|condition| condition.type_ == types::READY)
                .all(|condition| condition.status == "True")
    };
    office
        .when("oa", "the approved lease again", content)
        .await
        .unwrap();
}

/// A new phase is told, and a refusal with its rule as a warning.
pub async fn the_department_is_told_what_happened(office: &Office) {
    let events = ["get", "events", "-n", &office.place, "-o", "json"];
    let told = office.stage.see("events of the tenancy", LONG, async || {
        let ran = office.staff.kubectl(&events, "").await;
        let ran = ran.and_then(leasehold_testkit::Ran::ok);
        let list: Value = ran
            .and_then(|ran| ran.json())
            .map_err(|f| format!("{f:?}"))?;
        let found: Vec<Value> = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| {
                let about = &event["involvedObject"];
                about["kind"] == "Tenancy" && about["name"] == "oa"
            })
            .map(|event| json!([event["type"], event["reason"], event["message"]]))
            .collect();
        let has = |type_: &str, reason: &str, words: &str| {
            found.iter().any(|event| {
                let message = event[2].as_str().unwrap_or_default();
                event[0] == type_ && event[1] == reason && message.contains(words)
            })
        };
        if has("Normal", "Active", "") && has("Warning", "Refused", "rule T28:") {
            Ok(())
        } else {
            Err(format!("{found:#?}"))
        }
    });
    told.await.unwrap();
}

/// Finance reads what a period comes to, and an auditor what each statement does.
pub async fn everybody_reads_totals(stage: &Stage, statement: &Statement) {
    let spec = &statement.spec;
    let finance = stage.user(User::QIAN).await.unwrap();
    let auditor = stage.user(User::Auditor).await.unwrap();
    let periods = Table::get(&finance, &["bp"]).await;
    let statements = Table::get(&auditor, &["stm", "-A"]).await;
    let tables = [
        (periods, ("NAME", spec.period.name.as_str())),
        (statements, ("NUMBER", spec.number.as_str())),
    ];
    // 3993.60, of which the server pays half
    let totals = [
        ("GROSS", "3993.60"),
        ("OFFSET", "1996.80"),
        ("NET", "1996.80"),
    ];
    for (table, row) in tables {
        for (heading, amount) in totals {
            assert_eq!(
                table.cell(row, heading),
                amount,
                "{heading} in\n{}",
                table.text
            );
        }
    }
}

/// `kubectl explain` says in a sentence what a field is for.
pub async fn a_clerk_reads_what_a_field_means(office: &Office) {
    let explain = ["explain", "tenancy.spec.lease"];
    let ran = office.staff.kubectl(&explain, "").await.unwrap();
    let page = ran.ok().unwrap().stdout;
    let (_, rest) = page.split_once("DESCRIPTION:").unwrap();
    let (sentence, _) = rest.split_once("FIELDS:").unwrap();
    let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        sentence.contains("price book") && sentence.ends_with('.'),
        "{page}"
    );
}
