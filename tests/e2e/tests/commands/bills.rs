//! A department's use, bill and explanation in every form, by its own rights, which end at its door.

use leasehold_api::charging::{Statement, StatementState};
use leasehold_e2e::{Office, PERIODS};
use leasehold_testkit::Ran;
use serde_json::{Value, json};

use crate::openings::{LEASE, fails, open};

/// A name that would be markup on a page and a quotation mark in a spreadsheet, if nobody took care.
const NAME: &str = "市<b>&\"监察委";
/// The same on a page.
const ON_A_PAGE: &str = "市&lt;b&gt;&amp;&quot;监察委";
/// The same in a row.
const IN_A_ROW: &str = "\"市<b>&\"\"监察委\"";

/// What a command shows the department in its own office.
async fn shown(office: &Office, words: &[&str]) -> Ran {
    let own = ["-n", office.place.as_str()];
    let words = [words, &own[..]].concat();
    office.staff.leasehold(&words).await.unwrap().ok().unwrap()
}

fn period(bill: &Statement) -> &str {
    &bill.spec.period.name
}

/// The line of an item.
fn line<'a>(bill: &'a Statement, item: &str) -> &'a str {
    let mut lines = bill.spec.lines.iter();
    &lines.find(|line| line.item == item).unwrap().id
}

/// The first closed bill of a period in which the lease stood from beginning to end.
async fn full_period(office: &Office) -> Statement {
    let what = "a closed period of the whole lease";
    let seen = office.stage.see(what, PERIODS, async || {
        let all = office.staff.list::<Statement>(Some(&office.place)).await;
        let all = all.map_err(|failure| format!("{failure:?}"))?;
        let whole = |bill: &&Statement| {
            let mut lines = bill.spec.lines.iter();
            bill.spec.state == StatementState::Final && lines.any(|line| line.quantity == "4.0")
        };
        all.iter().find(whole).cloned().ok_or_else(|| {
            let states = all.iter().map(|bill| {
                let spec = &bill.spec;
                format!("{} {:?} {:?}", spec.number, spec.state, spec.totals)
            });
            states.collect::<Vec<_>>().join("\n")
        })
    });
    seen.await.unwrap()
}

/// What is leased, and requested by pods: there are none.
async fn usage_is_what_is_leased(office: &Office) {
    let ran = shown(office, &["usage", "-o", "json"]).await;
    let rows: Vec<Value> = ran.json().unwrap();
    let keys = ["department", "tenancy", "item", "leased", "requested"];
    let found: Vec<Value> = rows
        .iter()
        .map(|row| json!(keys.map(|key| row[key].clone())))
        .collect();
    let expected = [
        json!(["bills", "oa", "memory", "8Gi", "0"]),
        json!(["bills", "oa", "vcpu-x86", "4", "0"]),
    ];
    assert_eq!(found, expected);
    let csv = shown(office, &["usage", "-o", "csv"]).await.stdout;
    let head =
        "\u{feff}部门 department,租约 tenancy,目录项 item,已租 leased,已用 requested,截至 asOf\n";
    let rows = csv.strip_prefix(head).unwrap();
    assert!(rows.starts_with("bills,oa,memory,8Gi,0,"), "{csv}");
}

/// 4 × 46.00 + 8 × 17.00 = 184.00 + 136.00 = 320.00, of which no credit pays anything.
async fn programs_read_it(office: &Office, bill: &Statement) {
    let words = ["statement", "--period", period(bill), "-o", "json"];
    let all: Vec<Value> = shown(office, &words).await.json().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    let one = &all[0];
    let found = json!({
        "number": one["number"], "state": one["state"], "department": one["department"],
        "totals": one["totals"], "gross": [one["lines"][0]["gross"], one["lines"][1]["gross"]],
    });
    let expected = json!({
        "number": bill.spec.number, "state": "Final",
        "department": {"name": "bills", "displayName": NAME},
        "totals": {
            "gross": "320.00", "offset": "0.00", "adjustments": "0.00", "net": "320.00",
        },
        "gross": ["136.00", "184.00"],
    });
    assert_eq!(found, expected);
}

async fn spreadsheets_read_it(office: &Office, bill: &Statement) {
    let words = ["statement", "--period", period(bill), "-o", "csv"];
    let csv = shown(office, &words).await.stdout;
    let mut rows = csv.lines();
    let head = "\u{feff}账单编号 number,状态 state,账期 period,部门 department,部门名称 departmentName,明细 line,";
    assert!(rows.next().unwrap().starts_with(head), "{csv}");
    let (number, period) = (&bill.spec.number, period(bill));
    let expected = [
        ("memory", ",8.0,GiB·Month,17.00,", ",136.00,0.00,136.00,no,"),
        (
            "vcpu-x86",
            ",4.0,Core·Month,46.00,",
            ",184.00,0.00,184.00,no,",
        ),
    ];
    for (item, priced, billed) in expected {
        let row = rows.next().unwrap();
        let line = line(bill, item);
        let begins = format!("{number},Final,{period},bills,{IN_A_ROW},{line},oa,oa,");
        assert!(row.starts_with(&begins), "{row}");
        assert!(row.contains(priced) && row.contains(billed), "{row}");
    }
    assert_eq!(rows.next(), None);
}

/// The page has room for three seals, and the name on it is a name, not markup.
async fn people_sign_it(office: &Office, bill: &Statement) {
    let words = ["statement", "--period", period(bill), "-o", "html"];
    let page = shown(office, &words).await.stdout;
    let chain = bill.spec.chain.as_ref().unwrap();
    let parts = [
        ON_A_PAGE,
        &bill.spec.number,
        "320.00",
        "演练 REHEARSAL",
        "使用单位（盖章）",
        "主管单位（盖章）",
        "云服务方（盖章）",
        &chain.head,
    ];
    for part in parts {
        assert!(page.contains(part), "{part} is not on the page:\n{page}");
    }
    assert_eq!(page.matches("class=\"signature\"").count(), 3);
    assert!(!page.contains("<b>"), "{page}");
    // there are two bills by now, and a page is of one
    let several = ["statement", "-n", &office.place, "-o", "html"];
    let why = "statements are meant; name one with --period and --department";
    fails(&office.staff, &several, why).await;
}

/// 4 cores × 60 s of the 60 s of the period × 46.00 = 184.00.
async fn anybody_reckons_it_again(office: &Office, bill: &Statement) {
    let (id, period) = (line(bill, "vcpu-x86"), period(bill));
    let words = ["explain", id, "--period", period, "-o", "json"];
    let told: Value = shown(office, &words).await.json().unwrap();
    let stretches = told["segments"].as_array().unwrap();
    let keys = ["quantity", "seconds", "ofSeconds", "share"];
    let shares: Vec<Value> = stretches
        .iter()
        .map(|stretch| json!(keys.map(|key| stretch[key].clone())))
        .collect();
    assert_eq!(shares, [json!(["4.0", 60, 60, "4.0"])]);
    let keys = ["line", "unitPrice", "gross", "offset", "net", "holds"];
    let found = json!(keys.map(|key| told[key].clone()));
    let expected = json!([id, "46.00", "184.00", "0.00", "184.00", true]);
    assert_eq!(found, expected);
    let place = office.place.as_str();
    let unknown = ["explain", "oa/gpu/1", "--period", period, "-n", place];
    let why = format!("its lines are {}, {id}", line(bill, "memory"));
    fails(&office.staff, &unknown, &why).await;
}

/// Another department gets a refusal and a remedy, and not a word of the bill.
async fn nobody_else_reads_it(other: &Office, office: &Office, bill: &Statement) {
    let (place, code) = (office.place.as_str(), office.code.as_str());
    let (id, period) = (line(bill, "vcpu-x86"), period(bill));
    let commands = [
        vec!["statement"],
        vec!["statement", "-n", place],
        vec![
            "statement",
            "--department",
            code,
            "--period",
            period,
            "-o",
            "html",
        ],
        vec!["statement", "-n", place, "--period", period, "-o", "csv"],
        vec!["explain", id, "--period", period, "-n", place],
        vec!["usage"],
        vec!["usage", "-n", place, "-o", "json"],
        vec!["usage", "--department", code],
    ];
    let why = "remedy: departments name their office namespace with -n dept-CODE";
    for words in commands {
        let told = fails(&other.staff, &words, why).await;
        assert_eq!(told.stdout, "", "{words:?}");
        assert!(told.stderr.contains("is forbidden"), "{told:#?}");
    }
}

#[tokio::test]
async fn a_department_reads_its_bill_in_every_form_and_nobody_elses() {
    let office = open("bills", NAME).await;
    let other = open("bills-other", "教育局").await;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
    office.lease(&manifest).await.unwrap();
    usage_is_what_is_leased(&office).await;
    let bill = full_period(&office).await;
    programs_read_it(&office, &bill).await;
    spreadsheets_read_it(&office, &bill).await;
    people_sign_it(&office, &bill).await;
    anybody_reckons_it_again(&office, &bill).await;
    nobody_else_reads_it(&other, &office, &bill).await;
}
