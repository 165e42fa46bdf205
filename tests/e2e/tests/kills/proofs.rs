//! What must hold afterwards, whatever the operator was about when it was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, ResourceQuota};
use leasehold_api::charging::{Approval, DecisionSpec, Statement, StatementState};
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::arithmetic::{Stretch, fen, seam};
use leasehold_e2e::recount::{Credit, Evidence, bounds, burnt, evidence, recount, stretch};
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::document::{
    Document, EffectiveDoc, LotDoc, NamespaceDoc, ReleaseDoc, RequestDoc, SerialDoc,
};
use leasehold_ledger::fact::{Interval, Meter};
use leasehold_ledger::journal::{Entry, EntryKind};
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_store::Store;
use leasehold_testkit::{LONG, User};

use crate::walk::{CODE, CORES, DISK, FILES, MAIL, MAIL_PLACE, PLACE, SERVERS, WORTH};

/// The second after which no lease was begun, changed or given back.
pub fn last_change(intervals: &[Interval]) -> i64 {
    let leases = intervals.iter().filter(|interval| !is_use(interval));
    let changes = leases.map(|lease| {
        let stretch = stretch(lease);
        if lease.open { stretch.from } else { stretch.to }
    });
    changes.max().unwrap()
}

/// All closed statements in the order of time, once one of them ends after an instant and one was
/// paid by credit.
pub async fn closed(office: &Office, after: i64) -> Vec<Statement> {
    let place = Some(office.place.as_str());
    let what = "a closed statement of all that was leased, and one with credit";
    let seen = office.stage.see(what, PERIODS, async || {
        let all = office.staff.list::<Statement>(place).await;
        let mut all = all.map_err(|failure| format!("{failure:?}"))?;
        all.retain(|found| found.spec.state == StatementState::Final);
        let is_late = |found: &Statement| bounds(found).is_ok_and(|(_, end)| end > after);
        let is_paid = |found: &Statement| found.spec.totals.offset != "0.00";
        if all.iter().any(is_late) && all.iter().any(is_paid) {
            Ok(all)
        } else {
            let closed = all
                .iter()
                .map(|found| (&found.spec.number, &found.spec.totals));
            Err(format!("{:?}", closed.collect::<Vec<_>>()))
        }
    });
    let mut closed = seen.await.unwrap();
    closed.sort_by(|a, b| a.spec.period.start.cmp(&b.spec.period.start));
    closed
}

/// The ledger, once it has the end of every pod.
pub async fn recorded(office: &Office, pods: &BTreeSet<String>) -> Evidence {
    let what = "the end of every pod in the ledger";
    let seen = office.stage.see(what, LONG, async || {
        let found = evidence(office.stage, CODE, &office.code).await;
        let found = found.map_err(|failure| format!("{failure:?}"))?;
        let counted = counted(&found.intervals);
        let open =
            |interval: &&Interval| interval.open && matches!(interval.meter, Meter::Pod { .. });
        let open = found.intervals.iter().filter(open).count();
        if open == 0 && counted.keys().eq(expected(pods).keys()) {
            Ok(found)
        } else {
            Err(format!("{open} open, {counted:?}"))
        }
    });
    seen.await.unwrap()
}

/// Each statement, and there are some with charges in at least two periods.
pub fn bills_are_what_the_times_come_to(closed: &[Statement], intervals: &[Interval]) {
    for statement in closed {
        recount(statement, intervals).unwrap();
    }
    let charged = closed.iter().filter(|found| !found.spec.lines.is_empty());
    assert!(charged.count() >= 2, "the walk fits into one period");
}

/// One credit was granted once, and what the bills took of it is by the rule.
pub fn credit_is_used_by_the_rule(closed: &[Statement], journal: &[Entry]) {
    let of = |kind: EntryKind| journal.iter().filter(move |entry| entry.kind == kind);
    let grants: Vec<&Entry> = of(EntryKind::Grant).collect();
    let [grant] = grants[..] else {
        panic!("{grants:?}")
    };
    assert_eq!(
        of(EntryKind::Void).count() + of(EntryKind::Expire).count(),
        0
    );
    let worth = fen(WORTH).unwrap();
    let credit = Credit {
        lot: format!("{CODE}/{SERVERS}"),
        worth,
        granted: grant.at.get(),
    };
    let left = burnt(closed, &[credit]).unwrap();
    let used = closed.iter().flat_map(|found| &found.spec.credits);
    let used: u128 = used.map(|part| fen(&part.applied).unwrap()).sum();
    assert!(used > 0, "no bill was paid by credit");
    assert_eq!(left, [worth - used]);
}

/// Every period was closed once, and took from the credit what its bill says.
pub fn the_journal_says_what_the_bills_say(closed: &[Statement], journal: &[Entry]) {
    let account = format!("credit/{CODE}/{SERVERS}");
    let mut taken: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in journal
        .iter()
        .filter(|entry| entry.kind == EntryKind::Close)
    {
        let period = entry.period.as_deref().unwrap();
        let postings = entry.postings.iter();
        let of_credit = postings.filter(|posting| posting.account == account);
        let sum: i64 = of_credit.map(|posting| posting.amount.minor()).sum();
        assert_eq!(taken.insert(period, sum), None, "{period} was closed twice");
    }
    for statement in closed {
        let spec = &statement.spec;
        let charged = spec.totals.gross != "0.00";
        let offset = i64::try_from(fen(&spec.totals.offset).unwrap()).unwrap();
        let expected = charged.then_some(offset);
        let period = spec.period.name.as_str();
        assert_eq!(taken.get(period).copied(), expected, "{period}");
    }
}

/// From its first second to its last, or to the end of the last bill, each second of a lease counts
/// once.
pub fn leases_have_no_seam(closed: &[Statement], intervals: &[Interval]) {
    let end = closed.iter().map(|found| bounds(found).unwrap().1).max();
    let end = end.unwrap();
    let mut leases: BTreeMap<(&str, &str), Vec<Stretch>> = BTreeMap::new();
    for interval in intervals {
        if let Meter::Lease { item } = &interval.meter {
            let tenancy = interval.subject.tenancy.as_str();
            let known = leases.entry((tenancy, item.as_str())).or_default();
            known.push(stretch(interval));
            assert!(!interval.open || tenancy != MAIL, "{interval:?}");
        }
    }
    let mut quantities: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for ((tenancy, item), mut stretches) in leases {
        assert_eq!(seam(&stretches), None, "{item} of {tenancy}");
        stretches.sort_by_key(|stretch| stretch.from);
        let last = stretches.last().unwrap().to;
        // what was given back has its last second on one of these bills, what was kept goes on
        assert_eq!(last < end, tenancy == MAIL, "{item} of {tenancy} to {last}");
        // so has the change of the lease
        assert!(stretches.iter().all(|stretch| stretch.from < end));
        stretches.dedup_by_key(|stretch| stretch.quantity);
        let found = stretches.iter().map(|stretch| stretch.quantity);
        quantities.insert((tenancy, item), found.collect());
    }
    let expected = BTreeMap::from([
        (
            ("oa", "vcpu-x86"),
            CORES.map(|(_, counted)| counted).to_vec(),
        ),
        (("oa", "memory"), vec![32 << 30]),
        (("oa", "block-ssd"), vec![1 << 40]),
        ((MAIL, "vcpu-x86"), vec![2_000]),
        ((MAIL, "memory"), vec![4 << 30]),
    ]);
    assert_eq!(quantities, expected);
}

/// How many intervals each pod and each volume has of each meter.
fn counted(intervals: &[Interval]) -> BTreeMap<(String, String), usize> {
    let mut counted: BTreeMap<(String, String), usize> = BTreeMap::new();
    for interval in intervals.iter().filter(|interval| is_use(interval)) {
        let key = (interval.subject.object.clone(), interval.meter.to_string());
        *counted.entry(key).or_default() += 1;
    }
    counted
}

fn is_use(interval: &Interval) -> bool {
    !matches!(interval.meter, Meter::Lease { .. })
}

/// One interval for each pod and meter, and one for the volume.
fn expected(pods: &BTreeSet<String>) -> BTreeMap<(String, String), usize> {
    let of = |name: &String| {
        let object = format!("Pod {PLACE}/{name}");
        ["pod/cpu", "pod/memory"].map(|meter| ((object.clone(), meter.to_owned()), 1))
    };
    let mut expected: BTreeMap<(String, String), usize> = pods.iter().flat_map(of).collect();
    let volume = format!("PersistentVolumeClaim {PLACE}/{FILES}");
    expected.insert((volume, "claim/ssd".to_owned()), 1);
    expected
}

/// The pods and the volume are in the ledger once, by their true times: each is still there.
pub fn use_is_counted_once(pods: &BTreeSet<String>, intervals: &[Interval]) {
    assert_eq!(counted(intervals), expected(pods));
    for interval in intervals.iter().filter(|interval| is_use(interval)) {
        assert!(!interval.estimated, "{interval:?}");
        if matches!(interval.meter, Meter::Claim { .. }) {
            // what it got, not what it asked for
            assert_eq!((interval.quantity, interval.open), (DISK.1, true));
        }
    }
}

/// How many documents of a kind the ledger has about something.
async fn documents<D: Document>(store: &Store, about: &str) -> usize {
    let found = store.documents::<D>(Some(about), None).await.unwrap();
    found.len()
}

/// Requests, what became of them, namespaces, the release, and the credit.
pub async fn each_step_is_recorded_once(evidence: &Evidence) {
    let store = Store::open_read_only(Path::new(&evidence.ledger));
    let store = store.await.unwrap();
    // requests, and namespaces, of which a second one would have another uid
    for (tenancy, requests) in [("oa", 2), (MAIL, 1)] {
        let about = format!("{CODE}/{tenancy}");
        let found = (
            documents::<RequestDoc>(&store, &about).await,
            documents::<EffectiveDoc>(&store, &about).await,
            documents::<NamespaceDoc>(&store, &about).await,
        );
        assert_eq!(found, (requests, requests, 1), "{about}");
    }
    // asked for, and done
    let about = format!("{CODE}/{MAIL}");
    assert_eq!(documents::<ReleaseDoc>(&store, &about).await, 2);
    assert_eq!(documents::<LotDoc>(&store, CODE).await, 1);
    let claims = store.documents::<SerialDoc>(None, None).await.unwrap();
    let claims = claims.iter().map(|claim| claim.value.contribution.as_str());
    let ours = format!("{CODE}/{SERVERS}");
    assert_eq!(claims.filter(|claim| *claim == ours).count(), 1);
    store.close().await.unwrap();
}

/// There is one paper for each question, and the answer is on it.
pub async fn everybody_was_asked_once(office: &Office) {
    let auditor = office.stage.user(User::Auditor).await.unwrap();
    let all = auditor.list::<Approval>(Some(&office.place)).await;
    let found: BTreeMap<String, Option<DecisionSpec>> = all
        .unwrap()
        .into_iter()
        .map(|paper| (paper.metadata.name.unwrap(), paper.spec.decision))
        .collect();
    let expected = [
        "hwc-servers-finance",
        "mail-1-office",
        "mail-release-office",
        "oa-1-office",
        "oa-2-office",
    ];
    let expected = expected.map(|name| (name.to_owned(), Some(DecisionSpec::Approved)));
    assert_eq!(found, BTreeMap::from(expected));
}

/// The lease in its second size with its volume, and nothing of what was given back.
pub async fn what_was_leased_stands(office: &Office) {
    let (staff, place) = (&office.staff, Some(office.place.as_str()));
    for (name, phase) in [("oa", Phase::Active), (MAIL, Phase::Released)] {
        let tenancy = staff.get::<Tenancy>(place, name).await.unwrap();
        let status = tenancy.status.unwrap();
        assert_eq!(
            (status.phase, status.incarnation),
            (phase, Some(1)),
            "{name}"
        );
    }
    let quota = staff.get::<ResourceQuota>(Some(PLACE), "leasehold").await;
    let quota = quota.unwrap();
    let asked = quota.spec.and_then(|spec| spec.hard).unwrap_or_default();
    let counted = quota
        .status
        .and_then(|status| status.hard)
        .unwrap_or_default();
    for hard in [asked, counted] {
        let cores = parse_quantity(&hard["requests.cpu"].0, Unit::Core).unwrap();
        assert_eq!(cores, CORES[1].1);
    }
    let claim = staff.get::<PersistentVolumeClaim>(Some(PLACE), FILES).await;
    let phase = claim.unwrap().status.and_then(|status| status.phase);
    assert_eq!(phase.as_deref(), Some("Bound"));
    let admin = office.stage.user(User::Admin).await.unwrap();
    let gone = admin.find::<Namespace>(None, MAIL_PLACE).await.unwrap();
    assert!(gone.is_none(), "{gone:?}");
}

/// What was granted is what was used and what is left, as the department reads it.
pub async fn the_credit_adds_up(office: &Office) {
    let what = "a credit of which some was used";
    let found = office.contribution(SERVERS, what, |found| {
        let credit = found
            .status
            .as_ref()
            .and_then(|status| status.credit.as_ref());
        credit.is_some_and(|credit| credit.applied != "0.00")
    });
    let credit = found.await.unwrap().status.unwrap().credit.unwrap();
    assert_eq!(credit.granted, WORTH);
    let parts = [credit.applied, credit.remaining].map(|part| fen(&part).unwrap());
    assert_eq!(parts.iter().sum::<u128>(), fen(WORTH).unwrap());
}

/// Every row is in its chain, every key is there once, and every close can be repeated.
pub async fn the_ledger_verifies(stage: &Stage, evidence: &Evidence) {
    let auditor = stage.user(User::Auditor).await.unwrap();
    let verify = ["verify", "--db", &evidence.ledger];
    auditor.leasehold(&verify).await.unwrap().ok().unwrap();
}
