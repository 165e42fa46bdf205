//! What a lease would cost, from files alone: without a cluster, a kubeconfig or a home.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use leasehold_testkit::manifests::example;
use leasehold_testkit::repository;
use serde_json::{Value, json};

use crate::openings::{ask, open};

const LEASE: &str = r#"apiVersion: tenancy.leasehold.dev/v1alpha1
kind: Tenancy
metadata: {name: oa, namespace: dept-gov-office}
spec:
  system: oa
  zone: gov-extranet
  term: {from: "2026-09-21", through: "2026-10-31"}
  contract: HS-ZFCG-2026-031
  budget: {code: "30227"}
  lease:
  - {item: vcpu-x86, quantity: "3"}
  - {item: memory, quantity: 7Gi}
  - {item: block-ssd, quantity: 101Gi}
  namespaces:
  - {name: prod}
"#;

/// The program that was built with this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let mut folders = test.ancestors().skip(1);
    let built = folders.find(|folder| !folder.ends_with("deps")).unwrap();
    built.join("leasehold")
}

/// `leasehold quote` with nothing of its caller's but a folder to stand in.
fn quote(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .arg("quote");
    command
}

/// Quotes one file by the prices of the examples.
fn quoted(lease: &str, format: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lease.yaml"), lease).unwrap();
    let prices = repository().join("examples").join("03-prices.yaml");
    quote(folder.path())
        .args(["-f", "lease.yaml", "-o", format, "--prices"])
        .arg(prices)
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a quotation says that fails: nothing but why.
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn two_files_give_the_price_of_a_month_and_of_the_term_to_people_and_programs() {
    // a month: 3 × 46.00 + 7 × 17.00 + 101 × 0.70 = 138.00 + 119.00 + 70.70 = 327.70
    // 10 of September's 30 days, each item rounded: 46.00 + 39.67 + 23.57 = 109.24
    // and the whole of October: 109.24 + 327.70 = 436.94
    let told: Value = serde_json::from_str(&printed(&quoted(LEASE, "json"))).unwrap();
    let line = |item: &str, name: &str, figures: [&str; 4]| {
        let [quantity, unit, price, monthly] = figures;
        json!({
            "item": item, "displayName": name, "quantity": quantity, "unit": unit,
            "unitPrice": price, "monthly": monthly,
        })
    };
    let lines = [
        line(
            "block-ssd",
            "SSD云硬盘",
            ["101.0", "GiB·Month", "0.70", "70.70"],
        ),
        line("memory", "内存", ["7.0", "GiB·Month", "17.00", "119.00"]),
        line(
            "vcpu-x86",
            "云主机CPU",
            ["3.0", "Core·Month", "46.00", "138.00"],
        ),
    ];
    let expected = json!([{
        "tenancy": "oa", "provider": "hs-bigdata",
        "quotation": {
            "currency": "CNY", "monthly": "327.70", "term": "436.94", "creditMonthly": "0.00",
            "books": ["huangshi-2026"], "lines": lines,
        },
    }]);
    assert_eq!(told, expected);
    assert_eq!(
        printed(&quoted(LEASE, "csv")),
        "\u{feff}租约 tenancy,云服务方 provider,起 from,止 through,目录项 item,服务 itemName,数量 quantity,\
         单位 unit,单价 unitPrice,每月 monthly\n\
         oa,hs-bigdata,2026-09-21,2026-10-31,block-ssd,SSD云硬盘,101.0,GiB·Month,0.70,70.70\n\
         oa,hs-bigdata,2026-09-21,2026-10-31,memory,内存,7.0,GiB·Month,17.00,119.00\n\
         oa,hs-bigdata,2026-09-21,2026-10-31,vcpu-x86,云主机CPU,3.0,Core·Month,46.00,138.00\n"
    );
    let table = printed(&quoted(LEASE, "table"));
    assert!(
        table.starts_with("tenancy oa, provider hs-bigdata\n"),
        "{table}"
    );
    for part in ["70.70", "119.00", "138.00", "327.70", "term: 436.94 CNY"] {
        assert!(table.contains(part), "{part} is missing in {table}");
    }
}

#[test]
fn an_item_that_is_not_on_sale_is_refused_with_what_is_t21() {
    let told = complaint(&quoted(&LEASE.replace("memory", "quantum"), "table"));
    let words = "rule T21: asked quantum, allowed block-ssd, memory, vcpu-burst, vcpu-x86; lease an item of the provider's price book";
    assert_eq!(
        told,
        format!("error: failed to quote tenancy oa: {words}\n")
    );
}

#[test]
fn a_term_above_its_ceiling_is_quoted_and_fails_with_what_is_t28() {
    let ceiling = LEASE.replace(r#""30227""#, r#""30227", ceiling: "436.93""#);
    let output = quoted(&ceiling, "json");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told[0]["quotation"]["term"], "436.94");
    let told = String::from_utf8(output.stderr).unwrap();
    let words =
        "error: failed to accept tenancy oa: rule T28: asked 436.94 for the term, allowed 436.93; ";
    assert!(told.starts_with(words), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_place() {
    // the eighth line says again what the sixth said
    let twice = LEASE.replace("  contract:", "  zone: internet\n  contract:");
    let told = complaint(&quoted(&twice, "json"));
    for part in ["failed to read lease.yaml as YAML", "line 8"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    let count = LEASE.replace("quantity: 7Gi", "quantity: {GiB: 7}");
    let told = complaint(&quoted(&count, "json"));
    let words = "failed to read lease.yaml: failed to read spec.lease[1].quantity of Tenancy oa";
    assert!(told.contains(words), "{told}");
    let folder = tempfile::tempdir().unwrap();
    let nowhere = ["-f", "lease.yaml", "--prices", "prices.yaml"];
    let ran = quote(folder.path()).args(nowhere).output().unwrap();
    let told = complaint(&ran);
    assert!(
        told.contains("failed to read prices.yaml; check the path"),
        "{told}"
    );
}

/// What kubectl prints goes in as it is, and the price is that on the office's paper.
#[tokio::test]
async fn a_lease_of_the_cluster_is_quoted_as_the_office_reads_it() {
    let office = open("quoted", "信访局").await;
    let paper = ask(&office).await;
    let amounts = paper.spec.amounts.unwrap();
    // 4 × 46.00 + 8 × 17.00 = 320.00, and a term of twelve whole months is 3840.00
    assert_eq!((&*amounts.monthly, &*amounts.term), ("320.00", "3840.00"));
    let get = ["get", "tenancy", "oa", "-n", &office.place, "-o", "yaml"];
    let ran = office.staff.kubectl(&get, "").await.unwrap().ok().unwrap();
    let folder = office.stage.rig.scratch("quoted").unwrap();
    let lease = folder.join("lease.yaml");
    fs::write(&lease, ran.stdout).unwrap();
    // the book that was published here, whose days move with today
    let book = example("03-prices.yaml", "").unwrap().remove(0);
    fs::write(folder.join("prices.yaml"), book.to_string()).unwrap();
    let output = quote(&folder)
        .args(["-f", "-", "--prices", "prices.yaml", "-o", "json"])
        .stdin(File::open(&lease).unwrap())
        .output()
        .unwrap();
    let told: Value = serde_json::from_str(&printed(&output)).unwrap();
    let found = [
        &told[0]["quotation"]["monthly"],
        &told[0]["quotation"]["term"],
    ];
    assert_eq!(found, [&json!("320.00"), &json!("3840.00")]);
}
