//! A lease changes, is divided anew, ends; nothing is written that changes nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use leasehold_api::charging::{Approval, SubjectOfDecision};
use leasehold_api::tenancy::{InformationSystem, Phase, Tenancy};
use leasehold_e2e::{Office, Stage, Timing};
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_testkit::{LONG, SERVICE_ACCOUNT, User};
use serde_json::{Value, json};

pub type Items<'a> = [(&'a str, &'a str)];

pub async fn open(code: &str, name: &str) -> Office {
    Stage::shared()
        .await
        .unwrap()
        .office(code, name)
        .await
        .unwrap()
}

async fn admin(office: &Office) -> leasehold_testkit::Session {
    office.stage.user(User::Admin).await.unwrap()
}

pub fn cores(hard: Option<&BTreeMap<String, Quantity>>) -> i64 {
    let quantity = hard.and_then(|hard| hard.get("requests.cpu"));
    quantity.map_or(0, |quantity| {
        parse_quantity(&quantity.0, Unit::Core).unwrap()
    })
}

/// `(spec.hard, status.hard)` of the processors of a namespace, in thousandths of a core.
pub async fn processors(office: &Office, short: &str) -> Result<(i64, i64), String> {
    let place = format!("{}--{short}", office.code);
    let quota = office
        .staff
        .get::<ResourceQuota>(Some(&place), "leasehold")
        .await?;
    let asked = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let counted = quota
        .status
        .as_ref()
        .and_then(|status| status.hard.as_ref());
    Ok((cores(asked), cores(counted)))
}

fn leased(tenancy: &Tenancy, item: &str) -> String {
    let approved = tenancy.status.iter().flat_map(|status| &status.approved);
    let found = approved
        .filter(|held| &*held.item == item)
        .map(|held| held.quantity.to_string());
    found.collect::<Vec<_>>().join(",")
}

fn number(tenancy: &Tenancy) -> Option<u32> {
    tenancy
        .status
        .as_ref()?
        .request
        .as_ref()
        .map(|request| request.number)
}

/// Decides on a paper for which nobody waits any more. `leasehold` refuses to; the API server cannot know.
async fn late(office: &Office, approval: &Approval) {
    let chen = office.stage.user(User::Office).await.unwrap();
    let name = approval.metadata.name.as_deref().unwrap();
    let place = ["-n", office.place.as_str()];
    let told = [&["approve", name, "--order-no", "1", "--yes"], &place[..]].concat();
    let ran = chen.leasehold(&told).await.unwrap();
    ran.refused("nobody waits for it any more").unwrap();
    let yes = json!({"spec": {"decision": "Approved", "orderNo": "1"}});
    let target = format!("apv/{name}");
    let ran = chen.try_patch(&target, &place, &yes).await.unwrap();
    ran.ok().unwrap();
}

#[tokio::test]
async fn a_changed_lease_is_a_new_request_and_the_approved_part_goes_on_until_it_is_decided() {
    let office = open("change", "发改委").await;
    let before = office
        .manifest(
            "oa",
            &[("vcpu-x86", "8")],
            &[("prod", &[("vcpu-x86", "8")])],
        )
        .unwrap();
    office.lease(&before).await.unwrap();
    let after = office
        .manifest(
            "oa",
            &[("vcpu-x86", "12")],
            &[("prod", &[("vcpu-x86", "12")])],
        )
        .unwrap();
    let told = office.staff.apply(&after).await.unwrap();
    assert!(told.stderr.contains("rule T13"), "no warning: {told:#?}");
    let approval = office.asked("oa", 2).await.unwrap();
    let waiting = office.phase("oa", Phase::Changing).await.unwrap();
    assert_eq!(leased(&waiting, "vcpu-x86"), "8");
    let pending = &waiting.status.as_ref().unwrap().pending[0];
    assert_eq!((pending.from.as_str(), pending.to.as_str()), ("8", "12"));
    assert_eq!(pending.monthly, "+184.00");
    assert_eq!(processors(&office, "prod").await.unwrap(), (8_000, 8_000));

    // applying the approved values again takes the request back
    office.staff.apply(&before).await.unwrap();
    let settled = office.phase("oa", Phase::Active).await.unwrap();
    assert!(settled.status.unwrap().pending.is_empty());
    // a number is never used twice: the same wish is request 3, and the old paper decides nothing
    office.staff.apply(&after).await.unwrap();
    office.asked("oa", 3).await.unwrap();
    late(&office, &approval).await;
    let still = office
        .when("oa", "request 3", |tenancy| number(tenancy) == Some(3))
        .await
        .unwrap();
    assert_eq!(leased(&still, "vcpu-x86"), "8");
    office.approve("oa", 3).await.unwrap();
    let changed = office
        .when("oa", "12 cores", |tenancy| {
            leased(tenancy, "vcpu-x86") == "12"
                && tenancy
                    .status
                    .as_ref()
                    .is_some_and(|status| status.phase == Phase::Active)
        })
        .await
        .unwrap();
    assert_eq!(number(&changed), Some(3));
    assert_eq!(processors(&office, "prod").await.unwrap(), (12_000, 12_000));
}

#[tokio::test]
async fn a_department_moves_its_share_by_itself_and_never_holds_more_than_it_leases() {
    let office = open("split", "住建局").await;
    let lease: &Items<'_> = &[("vcpu-x86", "10")];
    let with = |prod: &str, test: &str| {
        let (prod, test) = ([("vcpu-x86", prod)], [("vcpu-x86", test)]);
        office
            .manifest("oa", lease, &[("prod", &prod), ("test", &test)])
            .unwrap()
    };
    office.lease(&with("8", "2")).await.unwrap();
    let answer = Timing::begin();
    let told = office.staff.apply(&with("1", "9")).await.unwrap();
    assert!(!told.stderr.contains("rule T13"), "{told:#?}");
    let given = office.stage.see("the donor's quota", LONG, async || {
        match processors(&office, "prod").await? {
            (1_000, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    given.await.unwrap();
    answer.tell("provisioning: the first write of a new split");
    office
        .stage
        .see("the split that was asked for", LONG, async || {
            let (prod, test) = (
                processors(&office, "prod").await?,
                processors(&office, "test").await?,
            );
            if (prod, test) == ((1_000, 1_000), (9_000, 9_000)) {
                return Ok(());
            }
            Err(format!("{prod:?} {test:?}"))
        })
        .await
        .unwrap();
    answer.tell("provisioning: all of a new split");
    let tenancy = office.phase("oa", Phase::Active).await.unwrap();
    assert_eq!(number(&tenancy), Some(1), "a split is no request");
    order_of_quota_writes(&office);
}

/// The donor was written before the receiver.
fn order_of_quota_writes(office: &Office) {
    let writes = office.stage.rig.writes().unwrap();
    let last = |place: &str| {
        writes
            .iter()
            .rposition(|write| {
                write.resource == "resourcequotas"
                    && write.namespace == place
                    && write.user == SERVICE_ACCOUNT
            })
            .unwrap()
    };
    assert!(last("split--prod") < last("split--test"));
}

#[tokio::test]
async fn a_share_does_not_shrink_below_what_runs() {
    let office = open("shrink", "应急局").await;
    let lease: &Items<'_> = &[("vcpu-x86", "8"), ("memory", "8Gi")];
    let with = |prod: &str, test: &str| {
        let prod = [("vcpu-x86", prod), ("memory", "8Gi")];
        let test = [("vcpu-x86", test)];
        office
            .manifest("oa", lease, &[("prod", &prod), ("test", &test)])
            .unwrap()
    };
    office.lease(&with("7", "1")).await.unwrap();
    let pod = leasehold_testkit::manifests::pod("shrink--prod", "busy", "5", "1Gi", None);
    office.staff.create(&pod).await.unwrap();
    office
        .stage
        .see("the pod counted", LONG, async || {
            let place = Some("shrink--prod");
            let quota = office
                .staff
                .get::<ResourceQuota>(place, "leasehold")
                .await?;
            let used = quota
                .status
                .as_ref()
                .and_then(|status| status.used.as_ref());
            if cores(used) == 5_000 {
                Ok(())
            } else {
                Err(format!("{used:?}"))
            }
        })
        .await
        .unwrap();
    let answer = Timing::begin();
    office.staff.apply(&with("2", "6")).await.unwrap();
    let sentence = office.refused("oa", "T31").await.unwrap();
    answer.tell("provisioning: the refusal of a new split");
    assert!(
        sentence.contains('5') && sentence.contains('2'),
        "{sentence}"
    );
    let (_, counted) = processors(&office, "prod").await.unwrap();
    assert!(counted >= 5_000, "{counted}");
}

#[tokio::test]
async fn a_namespace_that_is_no_longer_named_gets_nothing_more_and_keeps_its_bounds() {
    let office = open("dropped", "民政局").await;
    let lease: &Items<'_> = &[("vcpu-x86", "4"), ("memory", "4Gi")];
    let prod: &Items<'_> = &[("vcpu-x86", "2"), ("memory", "2Gi")];
    let both = office
        .manifest("oa", lease, &[("prod", prod), ("test", prod)])
        .unwrap();
    office.lease(&both).await.unwrap();
    let whole = office.manifest("oa", lease, &[("prod", lease)]).unwrap();
    office.staff.apply(&whole).await.unwrap();
    let grown = office.stage.see("all of it in prod", LONG, async || {
        let found = processors(&office, "prod").await?;
        if found == (4_000, 4_000) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    grown.await.unwrap();
    let place = Some("dropped--test");
    let quota = office
        .staff
        .get::<ResourceQuota>(place, "leasehold")
        .await
        .unwrap();
    let hard = quota.spec.unwrap().hard.unwrap();
    assert_eq!(cores(Some(&hard)), 0);
    for bound in [
        "pods",
        "services.nodeports",
        "services.loadbalancers",
        "secrets",
    ] {
        assert!(hard.contains_key(bound), "{bound} is unbounded: {hard:?}");
    }
}

#[tokio::test]
async fn a_release_is_approved_ends_the_namespaces_and_frees_the_name() {
    let office = open("release", "商务局").await;
    let manifest = office
        .manifest(
            "oa",
            &[("vcpu-x86", "2")],
            &[("prod", &[("vcpu-x86", "2")])],
        )
        .unwrap();
    office.lease(&manifest).await.unwrap();
    let words = [
        "release",
        "oa",
        "-n",
        &office.place,
        "--reason",
        "系统下线",
        "--yes",
    ];
    office.staff.leasehold(&words).await.unwrap().ok().unwrap();
    office.phase("oa", Phase::Reclaiming).await.unwrap();
    let admin = admin(&office).await;
    assert!(
        admin
            .find::<Namespace>(None, "release--prod")
            .await
            .unwrap()
            .is_some()
    );
    let (kind, place) = (SubjectOfDecision::Release, Some(office.place.as_str()));
    let approval = office
        .stage
        .see("the approval of the release", LONG, async || {
            let all = admin.list::<leasehold_api::charging::Approval>(place).await;
            let all = all.map_err(|failure| format!("{failure:?}"))?;
            let found = all
                .iter()
                .find(|approval| approval.spec.subject.kind == kind);
            found
                .cloned()
                .ok_or_else(|| format!("{} approvals", all.len()))
        });
    let approval = approval.await.unwrap();
    assert!(
        admin
            .find::<Namespace>(None, "release--prod")
            .await
            .unwrap()
            .is_some()
    );
    office.stage.approve(User::Office, &approval).await.unwrap();
    office.phase("oa", Phase::Released).await.unwrap();
    assert!(
        admin
            .find::<Namespace>(None, "release--prod")
            .await
            .unwrap()
            .is_none()
    );
    // now the object may go, and the name begins a new life
    let gone = ["delete", "tcy/oa", "-n", &office.place];
    office.staff.kubectl(&gone, "").await.unwrap().ok().unwrap();
    office.staff.apply(&manifest).await.unwrap();
    office.approve("oa", 1).await.unwrap();
    let again = office.phase("oa", Phase::Active).await.unwrap();
    assert_eq!(again.status.unwrap().incarnation, Some(2));
}

fn versions(of: impl IntoIterator<Item = ObjectMeta>) -> BTreeMap<String, String> {
    of.into_iter()
        .map(|metadata| {
            let version = metadata.resource_version.unwrap_or_default();
            (metadata.name.unwrap_or_default(), version)
        })
        .collect()
}

/// The version of every object that the operator manages in a namespace.
async fn managed(office: &Office, place: &str) -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let admin = admin(office).await;
    let at = Some(place);
    let quotas = admin.list::<ResourceQuota>(at).await.unwrap();
    let ranges = admin.list::<LimitRange>(at).await.unwrap();
    let policies = admin.list::<NetworkPolicy>(at).await.unwrap();
    let bindings = admin.list::<RoleBinding>(at).await.unwrap();
    let namespace = admin.find::<Namespace>(None, place).await.unwrap();
    BTreeMap::from([
        ("namespace", versions(namespace.map(|found| found.metadata))),
        (
            "quotas",
            versions(quotas.into_iter().map(|found| found.metadata)),
        ),
        (
            "ranges",
            versions(ranges.into_iter().map(|found| found.metadata)),
        ),
        (
            "policies",
            versions(policies.into_iter().map(|found| found.metadata)),
        ),
        (
            "bindings",
            versions(bindings.into_iter().map(|found| found.metadata)),
        ),
    ])
}

/// Has the tenancy looked at again: its object changes in a way that means nothing.
async fn look_again(office: &Office, round: u32) {
    let count = async || {
        let operator = office.stage.operator.lock().await;
        operator
            .counted("leasehold_reconcile_total", "controller=\"tenancy\"")
            .await
    };
    let before = count().await.unwrap();
    let note = format!("example.dev/round={round}");
    let annotate = [
        "annotate",
        "tcy/oa",
        "-n",
        &office.place,
        &note,
        "--overwrite",
    ];
    office
        .staff
        .kubectl(&annotate, "")
        .await
        .unwrap()
        .ok()
        .unwrap();
    leasehold_testkit::eventually("another round of the operator", LONG, async || {
        let now = count().await?;
        // fewer after a restart of the operator, which looks at everything again too
        if now == before {
            Err(format!("{now} rounds"))
        } else {
            Ok(())
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_round_over_unchanged_input_writes_nothing() {
    let office = open("quiet", "人社局").await;
    let lease: &Items<'_> = &[("vcpu-x86", "4"), ("memory", "8Gi")];
    let manifest = office.manifest("oa", lease, &[("prod", lease)]).unwrap();
    office.lease(&manifest).await.unwrap();
    let counted = office.stage.see("the sums of the system", LONG, async || {
        let place = Some(office.place.as_str());
        let system: InformationSystem = office.staff.get(place, "oa").await?;
        let status = system.status.unwrap_or_default();
        if status.leased.is_empty() {
            Err(format!("{status:?}"))
        } else {
            Ok(())
        }
    });
    counted.await.unwrap();
    look_again(&office, 0).await;
    let (before, from) = (
        managed(&office, "quiet--prod").await,
        written(&office).len(),
    );
    assert!(before.values().all(|found| !found.is_empty()), "{before:?}");
    for round in 1..=3 {
        look_again(&office, round).await;
    }
    assert_eq!(managed(&office, "quiet--prod").await, before);
    let all = written(&office);
    assert!(all[from..].is_empty(), "{:?}", &all[from..]);
}

/// What the operator wrote into the department's namespaces, other than figures that grow with time:
/// statements and what a status shows of them.
fn written(office: &Office) -> Vec<leasehold_testkit::Write> {
    let mut writes = office.stage.rig.writes().unwrap();
    writes.retain(|write| {
        let ours = write.namespace.starts_with("quiet--") || write.namespace == office.place;
        let figures = ["statements", "tenancies/status"].contains(&write.resource.as_str());
        write.user == SERVICE_ACCOUNT && ours && !figures
    });
    writes
}

#[tokio::test]
async fn manifests_in_any_order_converge_and_say_what_they_wait_for() {
    let office = open("order", "林业局").await;
    let manifest: Value = office
        .manifest(
            "oa",
            &[("vcpu-x86", "1")],
            &[("prod", &[("vcpu-x86", "1")])],
        )
        .unwrap();
    office.staff.apply(&manifest).await.unwrap();
    let waits = |tenancy: &Tenancy| {
        let conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| condition.status == "False" || condition.type_ == "Waiting")
            .any(|condition| condition.message.contains("InformationSystem oa"))
    };
    office
        .when("oa", "a tenancy that waits for its system", waits)
        .await
        .unwrap();
    office.system().await.unwrap();
    office.approve("oa", 1).await.unwrap();
    office.phase("oa", Phase::Active).await.unwrap();
    // somebody with every right removes what we manage: refused, and what is missing comes back
    let admin = admin(&office).await;
    let quota = ["delete", "resourcequota/leasehold", "-n", "order--prod"];
    admin
        .kubectl(&quota, "")
        .await
        .unwrap()
        .refused("rule N01:")
        .unwrap();
    let operator = office.stage.rig.service_account().await.unwrap();
    operator.kubectl(&quota, "").await.unwrap().ok().unwrap();
    office
        .stage
        .see("the quota repaired", LONG, async || {
            let found = processors(&office, "prod").await?;
            if found == (1_000, 1_000) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await
        .unwrap();
    fence_stays(&office, &operator).await;
    let more = ["-n", office.place.as_str()];
    let touched = json!({"metadata": {"annotations": {"example.dev/note": "x"}}});
    office
        .staff
        .try_patch("tcy/oa", &more, &touched)
        .await
        .unwrap()
        .ok()
        .unwrap();
}

/// A hole in the fence that shuts a namespace off is closed, also one that only adds something.
async fn fence_stays(office: &Office, operator: &leasehold_testkit::Session) {
    for hole in [
        json!({"spec": {"ingress": [{}]}}),
        json!({"spec": {"podSelector": {"matchLabels": {"app": "nothing"}}}}),
    ] {
        let hole = hole.to_string();
        let patch = ["patch", "networkpolicy/leasehold", "-n", "order--prod"];
        let patch: Vec<&str> = patch
            .into_iter()
            .chain(["--type=merge", "-p", &hole])
            .collect();
        operator.kubectl(&patch, "").await.unwrap().ok().unwrap();
        office
            .stage
            .see("the fence repaired", LONG, async || {
                let found = office
                    .staff
                    .get::<NetworkPolicy>(Some("order--prod"), "leasehold")
                    .await?;
                let spec = found.spec.unwrap_or_default();
                let all = spec.pod_selector.clone().unwrap_or_default() == LabelSelector::default();
                let mut rules = spec.ingress.iter().flatten();
                if all && rules.all(|rule| rule.from.is_some()) {
                    Ok(())
                } else {
                    Err(format!("{hole} is still there"))
                }
            })
            .await
            .unwrap();
    }
}
