//! What people do.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    LimitRange, Namespace, PersistentVolumeClaim, Pod, ResourceQuota,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use leasehold_api::charging::{Statement, StatementState, SubjectOfDecision};
use leasehold_api::tenancy::{ContributionPhase, Phase};
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_testkit::manifests::{example, pod};
use leasehold_testkit::{LONG, User};

use crate::{columns, proof};

/// Code of the department.
pub const CODE: &str = "gov-office";
const PROD: &str = "gov-office--prod";
const TEST: &str = "gov-office--test";

/// Applies the documents of an example as one user.
pub async fn apply(stage: &Stage, user: User<'_>, file: &str, uid: &str) {
    let session = stage.user(user).await.unwrap();
    for manifest in example(file, uid).unwrap() {
        // an appraiser may file, not change; everybody else applies
        if user == User::Appraiser {
            session.create(&manifest).await.unwrap();
        } else {
            session.apply(&manifest).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_department_leases_pays_half_with_its_hardware_and_everybody_can_check_the_bill() {
    let stage = Stage::shared().await.unwrap();
    apply(stage, User::Office, "04-department.yaml", "").await;
    let office = Office::open(stage, CODE).await.unwrap();
    request(&office).await;
    columns::the_office_finds_the_question(stage, "").await;
    office.approve("oa", 1).await.unwrap();
    office.phase("oa", Phase::Active).await.unwrap();
    provisioned(&office).await;
    workload(&office).await;
    credit(&office).await;
    let statement = full_period(&office).await;
    proof::lines_are_the_month_prices(&statement);
    proof::half_is_paid_by_credit(&statement);
    proof::period_is_closed_with_the_same_totals(stage, &statement).await;
    proof::department_reads_and_understands(&office, &statement).await;
    proof::finance_exports(stage, &statement).await;
    proof::anybody_verifies(stage, &statement).await;
    proof::anybody_recounts(&office).await;
    columns::the_office_finds_the_question(stage, "Approved").await;
    columns::the_department_reads_its_figures(&office).await;
    columns::the_department_reads_the_use_of_the_period(&office).await;
    columns::the_department_is_told_what_happened(&office).await;
    columns::everybody_reads_totals(stage, &statement).await;
    columns::a_clerk_reads_what_a_field_means(&office).await;
}

/// Nothing stands before the office has decided, but the price is known.
async fn request(office: &Office) {
    apply(office.stage, User::Department(CODE), "05-tenancy.yaml", "").await;
    let approval = office.asked("oa", 1).await.unwrap();
    assert_eq!(&*approval.spec.subject.requested_by, "zhang@gov-office");
    // 32 × 46.00 + 64 × 17.00 + 2048 × 0.70 = 1472.00 + 1088.00 + 1433.60
    assert_eq!(&*approval.spec.amounts.unwrap().monthly, "3993.60");
    assert!(
        approval.spec.snapshot.contains("vcpu-x86"),
        "{}",
        approval.spec.snapshot
    );
    let tenancy = office
        .when("oa", "a quoted request", |tenancy| {
            tenancy
                .status
                .as_ref()
                .is_some_and(|status| status.quotation.is_some())
        })
        .await
        .unwrap();
    let status = tenancy.status.unwrap();
    assert_eq!(status.phase, Phase::Requested);
    assert_eq!(status.quotation.unwrap().monthly, "3993.60");
    assert_eq!(status.request.unwrap().waiting_for, ["office"]);
    let admin = office.stage.user(User::Admin).await.unwrap();
    assert!(admin.find::<Namespace>(None, PROD).await.unwrap().is_none());
}

/// Everything that was leased is there, and the department can see it.
async fn provisioned(office: &Office) {
    let staff = &office.staff;
    let namespace = staff.get::<Namespace>(None, PROD).await.unwrap();
    let labels = namespace.metadata.labels.unwrap();
    assert_eq!(labels["leasehold.dev/department"], "gov-office");
    assert_eq!(labels["leasehold.dev/zone"], "gov-extranet");
    assert_eq!(labels["leasehold.dev/protection-level"], "3");
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    quota(office, PROD, "24", "48Gi", "2Ti").await;
    quota(office, TEST, "8", "16Gi", "0").await;
    for place in [PROD, TEST] {
        staff
            .get::<LimitRange>(Some(place), "leasehold")
            .await
            .unwrap();
        let policies = staff.list::<NetworkPolicy>(Some(place)).await.unwrap();
        let names: BTreeSet<String> = policies
            .into_iter()
            .filter_map(|policy| policy.metadata.name)
            .collect();
        assert_eq!(names, BTreeSet::from(["leasehold".to_owned()]));
        let binding = staff
            .get::<RoleBinding>(Some(place), "leasehold-admins")
            .await
            .unwrap();
        assert_eq!(binding.role_ref.name, "leasehold-tenant-admin");
        assert_eq!(binding.subjects.unwrap()[0].name, "gov-office-admins");
    }
    let claim = staff
        .get::<PersistentVolumeClaim>(Some(PROD), "files")
        .await
        .unwrap();
    let spec = claim.spec.unwrap();
    assert_eq!(spec.storage_class_name.as_deref(), Some("ssd"));
    let size = spec.resources.unwrap().requests.unwrap()["storage"]
        .0
        .clone();
    assert_eq!(parse_quantity(&size, Unit::GiB).unwrap(), 1 << 40);
}

async fn quota(office: &Office, place: &str, cpu: &str, memory: &str, ssd: &str) {
    let quota = office
        .staff
        .get::<ResourceQuota>(Some(place), "leasehold")
        .await
        .unwrap();
    let hard = quota.spec.unwrap().hard.unwrap();
    let expected = [
        ("requests.cpu", cpu, Unit::Core),
        ("limits.cpu", cpu, Unit::Core),
        ("requests.memory", memory, Unit::GiB),
        ("limits.memory", memory, Unit::GiB),
        (
            "ssd.storageclass.storage.k8s.io/requests.storage",
            ssd,
            Unit::GiB,
        ),
        ("services.loadbalancers", "0", Unit::Count),
        ("services.nodeports", "0", Unit::Count),
    ];
    for (key, amount, unit) in expected {
        let found = parse_quantity(&hard[key].0, unit).unwrap();
        assert_eq!(
            found,
            parse_quantity(amount, unit).unwrap(),
            "{key} in {place}"
        );
    }
}

/// The department's pods run; what is beyond the lease is refused with the numbers.
async fn workload(office: &Office) {
    apply(office.stage, User::Department(CODE), "09-workload.yaml", "").await;
    let staff = &office.staff;
    office
        .stage
        .see("three running pods", LONG, async || {
            let web = staff.get::<Deployment>(Some(PROD), "web").await?;
            let ready = web.status.as_ref().and_then(|status| status.ready_replicas);
            if ready == Some(3) {
                Ok(())
            } else {
                Err(format!("{:?}", web.status))
            }
        })
        .await
        .unwrap();
    let pods = staff.list::<Pod>(Some(PROD)).await.unwrap();
    assert!(pods.iter().all(|pod| {
        pod.status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            == Some("Running")
    }));
    // 3 × 2 of 24 cores are used: 18 are left
    let greedy = pod(PROD, "greedy", "19", "1Gi", None);
    staff
        .try_create(&greedy)
        .await
        .unwrap()
        .refused("exceeded quota: leasehold")
        .unwrap();
    let fitting = pod(PROD, "fitting", "18", "1Gi", None);
    staff.create(&fitting).await.unwrap();
    let other = pod("default", "elsewhere", "1", "1Gi", None);
    staff
        .try_create(&other)
        .await
        .unwrap()
        .refused("forbidden")
        .unwrap();
}

/// The department's server becomes credit: offered, valued, received, decided.
async fn credit(office: &Office) {
    let stage = office.stage;
    let offer = example("06-hardware.yaml", "").unwrap();
    let uid = office.offer(&offer[0]).await.unwrap();
    apply(stage, User::Appraiser, "07-appraisal.yaml", &uid).await;
    apply(stage, User::DataCentre, "08-receipt.yaml", &uid).await;
    let kind = SubjectOfDecision::HardwareContribution;
    let approval = stage
        .decide(User::SUN, kind, "servers-2024", &office.place)
        .await
        .unwrap();
    let grants = approval.spec.grants.unwrap();
    assert_eq!(
        (&*grants.amount, grants.devices, grants.cap_percent),
        ("27472.22", 1, 50)
    );
    let evidence: BTreeSet<String> = approval
        .spec
        .evidence
        .iter()
        .map(|proof| proof.kind.to_string())
        .collect();
    let expected = ["Appraisal", "HandoverReceipt"].map(str::to_owned);
    assert_eq!(evidence, BTreeSet::from(expected));
    let found = office
        .contribution("servers-2024", "the credit", |found| {
            let phase = found.status.as_ref().map(|status| status.phase);
            phase == Some(ContributionPhase::Credited)
        })
        .await
        .unwrap();
    assert_eq!(found.status.unwrap().credit.unwrap().granted, "27472.22");
}

/// The first period for which lease and credit stood from its beginning to its end.
async fn full_period(office: &Office) -> Statement {
    office
        .stage
        .see("a final statement with credit", PERIODS, async || {
            let all = office.staff.list::<Statement>(Some(&office.place)).await;
            let mut all = all.map_err(|failure| format!("{failure:?}"))?;
            all.sort_by(|a, b| a.spec.period.start.cmp(&b.spec.period.start));
            let full = |statement: &&Statement| {
                let spec = &statement.spec;
                spec.state == StatementState::Final && !spec.credits.is_empty()
            };
            all.iter().find(full).cloned().ok_or_else(|| {
                let states = all.iter().map(|found| {
                    format!(
                        "{} {:?} {:?}",
                        found.spec.number, found.spec.state, found.spec.totals
                    )
                });
                states.collect::<Vec<_>>().join("\n")
            })
        })
        .await
        .unwrap()
}
