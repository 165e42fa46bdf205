//! The first operator works, is paused and is woken too late; the second is killed; the first goes on.

use std::collections::BTreeMap;
use std::fs;

use leasehold_api::tenancy::Phase;
use leasehold_e2e::Office;
use leasehold_ledger::fact::{FactKind, Meter};
use leasehold_store::FactFilter;
use leasehold_testkit::{LONG, OperatorProcess, User, eventually};

use crate::ground::{Epoch, Ground, LEASE, PODS, manifest, runs_and_ends, stands_by};
use crate::proofs::{bill_holds, comes_back, head_of, verified};

/// Departments: one for each time in which somebody else writes.
const CODES: [&str; 3] = ["civil", "forest", "harbour"];

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_operators_writes_and_the_other_goes_on_where_it_ended() {
    let ground = Box::pin(Ground::begin()).await;
    let civil = Box::pin(ground.leased(CODES[0], "市民政局")).await;
    let alone = runs_and_ends(&civil, "alone").await;
    let mut second = Box::pin(ground.second()).await;
    let bill = Box::pin(ground.billed(&civil)).await;
    Box::pin(bill_holds(&ground, &civil, &bill)).await;
    ground.is_recorded(&alone).await;

    let paused = Box::pin(paused_and_woken_too_late(&ground, &civil, &mut second)).await;
    Box::pin(comes_back(&ground, &bill)).await;
    let (harbour, killed) = Box::pin(killed(&ground, &civil, &mut second)).await;

    let last = Box::pin(ground.billed(&harbour)).await;
    Box::pin(bill_holds(&ground, &harbour, &last)).await;
    for uid in [alone, paused, killed] {
        ground.is_recorded(&uid).await;
    }
    everybody_wrote_in_turn(&ground).await;
    every_lease_was_opened_once(&ground).await;
    verified(&ground, &ground.database.reader, &head_of(&bill)).await;
    let first = ground.stage.operator.lock().await;
    assert_eq!(first.fetch("/readyz").await.unwrap(), "ready\n");
}

/// The first stands still, the second takes over and works, and the first writes nothing when it is woken. Gives the uid of
/// a pod that nobody saw while it ran.
async fn paused_and_woken_too_late(
    ground: &Ground,
    civil: &Office,
    second: &mut OperatorProcess,
) -> String {
    ground.stage.operator.lock().await.pause().unwrap();
    let unseen = runs_and_ends(civil, "paused").await;
    // from the rights of the staff to the quota all of it is the second one's work
    let forest = Box::pin(ground.leased(CODES[1], "市林业局")).await;
    second.ready().await.unwrap();
    ground.heart_beats_in(PODS[1]).await;
    let seen = runs_and_ends(&forest, "seen").await;
    for uid in [&unseen, &seen] {
        ground.is_recorded(uid).await;
    }
    let before = ground.epochs().await;
    assert_eq!(numbers(&before), [1, 2], "{before:?}");

    {
        let mut first = ground.stage.operator.lock().await;
        let running = first.is_running();
        assert!(running, "it ended while it was paused: {}", first.tail());
        first.wake().unwrap();
        let code = end_of(&mut first).await;
        assert_eq!(code, Some(1), "{}", first.tail());
        let log = fs::read_to_string(first.log()).unwrap();
        let why = "failed to go on: another process has taken over the ledger";
        assert!(log.contains(why), "{}", first.tail());
    }
    let after = ground.epochs().await;
    assert_eq!(after[0], before[0], "the first wrote after the second");
    assert!(second.is_running(), "{}", second.tail());
    // whatever the first did to its Lease in its last moment, the second goes on with it
    ground.heart_beats_in(PODS[1]).await;
    assert_eq!(second.fetch("/readyz").await.unwrap(), "ready\n");
    unseen
}

/// The first is started again, as a kubelet does, and stands by; the second is killed while a request waits for the office;
/// the first goes on with it. Gives the department, and the uid of a pod that nobody saw while it ran.
async fn killed(ground: &Ground, civil: &Office, second: &mut OperatorProcess) -> (Office, String) {
    {
        let mut first = ground.stage.operator.lock().await;
        first.respawn().unwrap();
        stands_by(&first).await;
    }
    let harbour = ground.stage.office(CODES[2], "市港航局").await.unwrap();
    harbour.system().await.unwrap();
    harbour.staff.apply(&manifest(&harbour)).await.unwrap();
    let approval = harbour.asked("oa", 1).await.unwrap();

    second.kill();
    let unseen = runs_and_ends(civil, "killed").await;
    ground.stage.approve(User::Office, &approval).await.unwrap();
    harbour.phase("oa", Phase::Active).await.unwrap();
    ground.stage.operator.lock().await.ready().await.unwrap();
    ground.heart_beats_in(PODS[0]).await;
    (harbour, unseen)
}

/// The exit code of an operator that ends by itself.
async fn end_of(operator: &mut OperatorProcess) -> Option<i32> {
    let ended = eventually("the end of an operator", LONG, async || {
        let status = operator.ended();
        status.ok_or_else(|| format!("it runs:\n{}", operator.tail()))
    });
    ended.await.unwrap().code()
}

fn numbers(epochs: &[Epoch]) -> Vec<i64> {
    epochs.iter().map(|epoch| epoch.number).collect()
}

/// The first, the second, and the first again: each from where the one before ended.
async fn everybody_wrote_in_turn(ground: &Ground) {
    let epochs = ground.epochs().await;
    assert_eq!(numbers(&epochs), [1, 2, 3], "{epochs:?}");
    let mut next = 1;
    for epoch in &epochs {
        assert_eq!(epoch.first, next, "{epochs:?}");
        assert_eq!(epoch.rows, epoch.last - epoch.first + 1, "{epochs:?}");
        next = epoch.last + 1;
    }
    assert_eq!(ground.rows_of_older_epochs().await, 0);
}

/// Nothing that one operator had begun was done a second time by the other.
async fn every_lease_was_opened_once(ground: &Ground) {
    let facts = ground.facts(&FactFilter::default()).await.unwrap();
    let mut opened: BTreeMap<(String, String), usize> = BTreeMap::new();
    for fact in facts {
        if let (Meter::Lease { item }, FactKind::Opened) = (fact.meter, fact.kind) {
            *opened.entry((fact.subject.department, item)).or_default() += 1;
        }
    }
    let of = |code: &str| LEASE.map(|(item, _)| ((code.to_owned(), item.to_owned()), 1));
    let expected: BTreeMap<(String, String), usize> = CODES.iter().copied().flat_map(of).collect();
    assert_eq!(opened, expected);
}
