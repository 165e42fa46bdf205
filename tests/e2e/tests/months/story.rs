//! Two months that are over, and one that runs.

use std::fs;

use leasehold_api::charging::{
    Approval, BillingPeriod, PeriodPhase, Statement, StatementGapTreatment, StatementState,
    SubjectOfDecision,
};
use leasehold_api::conditions::types;
use leasehold_e2e::PERIODS;
use leasehold_e2e::arithmetic::fen;
use leasehold_ledger::explain::Explanation;
use leasehold_ledger::verify::Report;
use leasehold_testkit::{NAMESPACE, User};

use crate::bill::{Bill, asks_for, bill, sum, yuan};
use crate::calendar::{Moment, Month, Months};
use crate::past;
use crate::scene::{Story, close, phase, said, second, text};

/// Type of the condition that use was not observed for a while.
const GAPS: &str = "Gaps";
/// The paper behind finance's decision on a gap.
const ORDER: &str = "黄财资〔2026〕51号";
/// When a month begins.
const FIRST: Moment = (1, "00:00:00");

#[tokio::test]
async fn a_month_closes_on_finances_word_after_the_one_before_and_anybody_can_recount_it() {
    let story = Box::pin(Story::begin()).await;
    what_is_over_says_what_it_waits_for(&story).await;
    drafts_ask_for_what_counts_so_far(&story).await;
    nobody_but_finance_gives_the_word(&story).await;
    the_word_waits_for_the_month_before(&story).await;
    nobody_but_finance_decides_the_gap(&story).await;
    both_months_close_in_order(&story).await;
    statements_are_final(&story).await;
    the_running_month_goes_on(&story).await;
    a_newcomer_has_a_draft_before_the_hour_is_over(&story).await;
    finance_exports(&story).await;
    an_auditor_verifies(&story).await;
    the_department_understands(&story).await;
}

/// The month before last would close by itself, were it not for its gap. The last one comes after
/// it, and never closes by itself.
async fn what_is_over_says_what_it_waits_for(story: &Story) {
    let Months { older, last, .. } = &story.months;
    let waits = |period: &BillingPeriod, reason: &str| {
        said(period, types::WAITING).is_some_and(|(found, _)| found == reason)
    };
    let gapped = story
        .period(older, "a month that waits for finance", |period| {
            waits(period, "WaitsForFinance")
        })
        .await;
    assert_eq!(phase(&gapped), Some(PeriodPhase::Closing));
    let (_, asks) = said(&gapped, types::WAITING).unwrap();
    let (name, gaps) = (&older.name, "finance looks through the drafts and the gaps");
    let words = format!("{gaps} and sets spec.close: true of BillingPeriod {name}");
    assert_eq!(asks, words);
    let (_, gap) = said(&gapped, GAPS).unwrap();
    let [from, to] = past::GAP.map(|moment| older.text(moment));
    let words = format!("1 gap in which use was not observed: pods from {from} to {to}. ");
    assert!(gap.starts_with(&words), "{gap}");
    assert!(gap.ends_with("closing the period accepts this"), "{gap}");

    let behind = story
        .period(last, "a month that waits for the one before", |period| {
            waits(period, "WaitsForEarlier")
        })
        .await;
    assert_eq!(phase(&behind), Some(PeriodPhase::Closing));
    let (_, asks) = said(&behind, types::WAITING).unwrap();
    assert_eq!(asks, format!("period {name} must be closed first"));
    assert_eq!(said(&behind, GAPS), None);
}

/// A draft says up to when it counts, and counts up to then. Everybody reads their own.
async fn drafts_ask_for_what_counts_so_far(story: &Story) {
    let months = &story.months;
    for month in [&months.older, &months.last, &months.running] {
        let draft = story
            .statement(&story.water, month, StatementState::Draft)
            .await;
        let until = second(draft.as_of.as_deref().unwrap());
        assert!(until <= month.to, "{:?} in {}", draft.as_of, month.name);
        asks_for(&draft, &bill(months, month, until));
        let zero = story
            .statement(&story.sports, month, StatementState::Draft)
            .await;
        asks_for(&zero, &Bill::new());
    }
    let foreign = Some(story.sports.place.as_str());
    let stranger = &story.water.staff;
    let name = &months.last.name;
    let refused = stranger.find::<Statement>(foreign, name).await;
    assert!(refused.is_err(), "{refused:?}");
}

async fn nobody_but_finance_gives_the_word(story: &Story) {
    let office = story.stage.user(User::Office).await.unwrap();
    for session in [&story.water.staff, &office, &story.auditor] {
        let ran = close(session, &story.months.last).await;
        ran.refused("forbidden").unwrap();
    }
}

/// The last month is over, complete and told to close, and still waits its turn.
async fn the_word_waits_for_the_month_before(story: &Story) {
    let last = &story.months.last;
    story.word(last).await;
    let heard = story
        .period(last, "finance's word heard", |period| {
            let status = period.status.as_ref();
            let heard = status.and_then(|status| status.observed_generation);
            period.spec.close && heard == period.metadata.generation
        })
        .await;
    assert_eq!(phase(&heard), Some(PeriodPhase::Closing));
    let (reason, _) = said(&heard, types::WAITING).unwrap();
    assert_eq!(reason, "WaitsForEarlier");
    let closes = story.closes().await;
    assert!(closes.is_empty(), "{closes:?}");
}

/// The operator asks finance about the gap. Neither the department nor the office may answer.
async fn nobody_but_finance_decides_the_gap(story: &Story) {
    let name = question(&story.months.older);
    let what = format!("the question {name}");
    let seen = story.stage.see(&what, PERIODS, async || {
        story.auditor.get::<Approval>(Some(NAMESPACE), &name).await
    });
    let asked = seen.await.unwrap().spec;
    assert_eq!(asked.subject.kind, SubjectOfDecision::Gap);
    assert_eq!(asked.decision, None);
    let estimate = decision(&name);
    let office = story.stage.user(User::Office).await.unwrap();
    let right = r#"resource "approvals""#;
    for (session, why) in [
        (&story.water.staff, right),
        (&story.auditor, right),
        (&office, "rule A05:"),
    ] {
        let ran = session.leasehold(&estimate).await.unwrap();
        ran.refused(why).unwrap();
    }
    let unheard = story.auditor.get::<Approval>(Some(NAMESPACE), &name).await;
    assert_eq!(unheard.unwrap().spec, asked);
    let closes = story.closes().await;
    assert!(closes.is_empty(), "{closes:?}");
}

/// The question about the gaps of a month.
fn question(month: &Month) -> String {
    format!("gap-{}-1-finance", month.name)
}

/// How it is answered: what ended unseen is billed as the policy says.
fn decision(name: &str) -> [&str; 8] {
    [
        "approve",
        name,
        "-n",
        NAMESPACE,
        "--order-no",
        ORDER,
        "--estimate",
        "--yes",
    ]
}

/// Finance decides the gap of the month before last, which then closes by itself, and with it the way is free.
async fn both_months_close_in_order(story: &Story) {
    let Months {
        older,
        last,
        running,
    } = &story.months;
    let finance = story.stage.user(User::QIAN).await.unwrap();
    let ran = finance.leasehold(&decision(&question(older))).await;
    ran.unwrap().ok().unwrap();
    for (month, next) in [(older, last), (last, running)] {
        let closed = story
            .period(month, "a closed month", |period| {
                phase(period) == Some(PeriodPhase::Closed)
            })
            .await;
        let accepted = said(&closed, GAPS).map(|(_, gap)| {
            gap.contains(&format!(
                "accepted by qian@finance ({ORDER}), billed up to the policy's bound"
            ))
        });
        let status = closed.status.unwrap();
        let bounds = (status.from, status.end);
        assert_eq!(bounds, (month.text(FIRST), next.text(FIRST)));
        assert_eq!(status.time_zone, "Asia/Shanghai");
        assert!(!status.rehearsal);
        assert_eq!((status.statements, status.uncorrected), (Some(2), Some(0)));
        let totals = status.totals.unwrap();
        let due = sum(&story.due(month));
        assert_eq!((totals.gross, totals.net), (due.clone(), due));
        // only the month before last has a gap
        assert_eq!(accepted, (month.name == older.name).then_some(true));
    }
    let by = |month: &Month, whose: &str| (month.name.clone(), whose.to_owned());
    let closes = story.closes().await;
    let policy = by(older, "policy, 0 days after the end");
    assert_eq!(closes, [policy, by(last, "sun@finance")]);
}

async fn statements_are_final(story: &Story) {
    let Months { older, last, .. } = &story.months;
    let [from, to] = past::GAP.map(|moment| older.text(moment));
    for month in [older, last] {
        let state = StatementState::Final;
        let statement = story.statement(&story.water, month, state).await;
        let gaps = statement.gaps.iter();
        let told: Vec<_> = gaps
            .map(|gap| {
                (
                    gap.source.as_str(),
                    &gap.from,
                    &gap.to,
                    gap.accepted
                        .as_ref()
                        .map(|word| (word.treatment, word.by.as_str(), word.order_no.as_str())),
                )
            })
            .collect();
        // only the month before last has one, which finance has accepted by its approval
        let word = (StatementGapTreatment::Estimated, "qian@finance", ORDER);
        let gap = (month.name == older.name).then_some(("pods", &from, &to, Some(word)));
        assert_eq!(told, Vec::from_iter(gap));
        asks_for(&statement, &story.due(month));
        assert_eq!(statement.number, format!("HS-{}-water", month.name));
        assert_eq!(statement.as_of, None);
        let nothing = story.statement(&story.sports, month, state).await;
        asks_for(&nothing, &Bill::new());
    }
    // whatever the length of the month: 64 × 17.00; 3 for one half and 5 for the other, × 133.37,
    // where rounding each half by itself would give 533.49; and 888.885, half a fen up
    let due = story.due(last);
    let whole = [due["memory"], due["db-mysql"], due["migration"]];
    assert_eq!(whole, [108_800, 53_348, 88_889]);
}

async fn the_running_month_goes_on(story: &Story) {
    let newest = story.stage.see("an open month", PERIODS, async || {
        let all = story.auditor.list::<BillingPeriod>(None).await;
        let all = all.map_err(|failure| format!("{failure:?}"))?;
        // the one that runs now, should a month have begun since this test did
        let newest = all
            .into_iter()
            .max_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let newest = newest.ok_or_else(|| "there is none".to_owned())?;
        if phase(&newest) == Some(PeriodPhase::Open) {
            Ok(newest)
        } else {
            Err(format!("{:#?}", newest.status))
        }
    });
    let newest = newest.await.unwrap();
    assert!(!newest.spec.close);
    assert_eq!(newest.status.unwrap().totals, None);
    let running = &story.months.running;
    let state = StatementState::Draft;
    story.statement(&story.water, running, state).await;
    story.statement(&story.sports, running, state).await;
}

/// Drafts of a month are drawn up once an hour, but nobody waits an hour for the first one.
async fn a_newcomer_has_a_draft_before_the_hour_is_over(story: &Story) {
    let newcomer = story.stage.office("newcomer", "医保局").await.unwrap();
    let running = &story.months.running;
    let state = StatementState::Draft;
    let draft = story.statement(&newcomer, running, state).await;
    assert_eq!(draft.number, format!("HS-{}-newcomer", running.name));
    assert!(draft.lines.is_empty(), "{:?}", draft.lines);
}

/// From the objects with finance's own rights, and from a copy of the ledger: the same bytes, whose
/// rows add up to what is payable.
async fn finance_exports(story: &Story) {
    let last = &story.months.last;
    let folder = story.stage.rig.scratch("months-exports").unwrap();
    let copy = story.copy("months-exported").await;
    let finance = story.stage.user(User::SUN).await.unwrap();
    let seen = text(&folder.join("cluster.csv"));
    let read = text(&folder.join("ledger.csv"));
    let export = ["export", "focus", "--period", last.name.as_str(), "-f"];
    let mut of_cluster = export.to_vec();
    of_cluster.push(&seen);
    let mut of_ledger = export.to_vec();
    of_ledger.extend([read.as_str(), "--db", copy.as_str()]);
    for arguments in [of_cluster, of_ledger] {
        finance.leasehold(&arguments).await.unwrap().ok().unwrap();
    }
    let bytes = fs::read_to_string(&seen).unwrap();
    let same = bytes == fs::read_to_string(&read).unwrap();
    assert!(same, "{seen} and {read} differ");
    let mut rows = bytes.lines();
    assert!(rows.next().unwrap().starts_with("BilledCost,"));
    let mut billed: Vec<u128> = rows
        .map(|row| fen(row.split(',').next().unwrap()).unwrap())
        .collect();
    billed.sort_unstable();
    let mut due: Vec<u128> = story.due(last).into_values().collect();
    due.sort_unstable();
    assert_eq!(billed, due);
    let state = StatementState::Final;
    let statement = story.statement(&story.water, last, state).await;
    assert_eq!(yuan(billed.iter().sum()), statement.totals.net);
}

async fn an_auditor_verifies(story: &Story) {
    let Months { older, last, .. } = &story.months;
    let copy = story.copy("months-verified").await;
    let state = StatementState::Final;
    let statement = story.statement(&story.sports, last, state).await;
    // a department that paid nothing is a witness to the ledger, too
    let head = statement.chain.unwrap().head;
    let verify = ["verify", "--db", &copy, "--head", &head, "-o", "json"];
    let ran = story.auditor.leasehold(&verify).await.unwrap();
    let report: Report = ran.ok().unwrap().json().unwrap();
    assert_eq!(report.finding, None);
    let found: Vec<(String, u32, String, bool)> = report
        .periods
        .into_iter()
        .map(|checked| {
            let gross = checked.gross.to_string();
            (checked.name, checked.statements, gross, checked.ok)
        })
        .collect();
    let whole = |month: &Month| (month.name.clone(), 2_u32, sum(&story.due(month)), true);
    assert_eq!(found, [whole(older), whole(last)]);
}

/// The line of the pods tells both, to the second, and of how many seconds the month consists.
async fn the_department_understands(story: &Story) {
    let (last, place) = (&story.months.last, story.water.place.as_str());
    let name = last.name.as_str();
    let line = "river/vcpu-burst/1";
    let explain = ["explain", line, "--period", name, "-n", place, "-o", "json"];
    let ran = story.water.staff.leasehold(&explain).await.unwrap();
    let explained: Explanation = ran.ok().unwrap().json().unwrap();
    assert!(explained.holds, "{explained:?}");
    let due = yuan(story.due(last)["vcpu-burst"]);
    assert_eq!(explained.gross.to_string(), due);
    let found: Vec<(String, String, &str, i64, Option<i64>)> = explained
        .segments
        .iter()
        .map(|part| {
            let (from, to) = (part.from.clone(), part.to.clone());
            let quantity = part.quantity.as_str();
            (from, to, quantity, part.seconds, part.of_seconds)
        })
        .collect();
    let [earlier, later] = past::PODS.map(|pod| (last.text(pod.from), last.text(pod.to)));
    let month = Some(last.length());
    let expected = [
        // 19:13:20 less 08:00:07
        (earlier.0, earlier.1, "2.5", 40_393_i64, month),
        // 16:20:00 to midnight, two days, and 03:04:05
        (later.0, later.1, "1.5", 27_600 + 172_800 + 11_045, month),
    ];
    assert_eq!(found, expected);
}
