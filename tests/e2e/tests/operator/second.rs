//! Two operators and one ledger.

use std::fs;

use leasehold_e2e::Stage;
use leasehold_e2e::recount::evidence;
use leasehold_testkit::{NAMESPACE, OperatorProcess, User};

use crate::ground::{leased, metered, stage};

#[tokio::test]
async fn a_second_operator_on_a_ledger_is_told_who_writes_it_and_the_first_goes_on() {
    let (stage, _) = stage().await;
    let office = leased(stage, "second", "机关事务局").await;
    {
        // nobody ends or restarts the first one meanwhile
        let mut first = stage.operator.lock().await;
        a_second_one_is_refused(stage, &first).await;
        assert!(first.is_running(), "{}", first.tail());
        assert_eq!(first.fetch("/readyz").await.unwrap(), "ready\n");
    }
    metered(&office, "later").await;
    let ledger = evidence(stage, &office.code, &office.code).await.unwrap();
    let auditor = stage.user(User::Auditor).await.unwrap();
    let verify = ["verify", "--db", &ledger.ledger];
    auditor.leasehold(&verify).await.unwrap().ok().unwrap();
}

/// Starts another operator with the same rights, on the same file and another port. It ends by itself.
async fn a_second_one_is_refused(stage: &Stage, first: &OperatorProcess) {
    let ledger = first.ledger().display().to_string();
    let lock = format!("{ledger}.lock");
    let before = fs::read_to_string(&lock).unwrap();
    let words = [
        "operator",
        "--db",
        &ledger,
        "--namespace",
        NAMESPACE,
        "--holder",
        "leasehold-1",
        "--listen",
        "127.0.0.1:0",
    ];
    let account = stage.rig.service_account().await.unwrap();
    let ran = account.leasehold(&words).await.unwrap();
    let holder = first.id();
    let why = format!("error: failed to open {ledger} for writing: process {holder} ");
    let told = ran.with_code(1).unwrap().refused(&why).unwrap().stderr;
    let remedy = "holds its lock; stop that process first, or open the ledger read-only";
    assert!(told.contains(remedy), "{told}");
    // whoever comes third is told of the first one, too
    assert_eq!(fs::read_to_string(&lock).unwrap(), before);
    assert!(before.starts_with(&format!("process {holder}")), "{before}");
}
