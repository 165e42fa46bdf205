//! Fifty clients at once, before quotas that stand and before quotas that follow use.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use leasehold_api::tenancy::Tenancy;
use leasehold_e2e::Office;
use leasehold_e2e::leases::{self, judge};
use leasehold_ledger::money::{Unit, parse_quantity};
use leasehold_testkit::manifests::{Share, pod};
use leasehold_testkit::{Failure, LONG, Session, User, eventually};
use serde_json::{Value, json};

use crate::ground::ground;

/// Clients, each with a connection of its own.
const CLIENTS: usize = 50;

async fn open(code: &str, name: &str) -> (Office, Vec<Session>) {
    let stage = ground().await;
    let office = stage.office(code, name).await.unwrap();
    let clients = (0..CLIENTS).map(|_| stage.user(User::Department(code)));
    let clients = join_all(clients).await.into_iter();
    let clients: Result<Vec<Session>, Failure> = clients.collect();
    (office, clients.unwrap())
}

/// A tenancy of so many cores and as many GiB, in two namespaces that share them evenly and by use.
fn even(office: &Office, cores: i64, shorts: [&str; 2]) -> Value {
    let (whole, half) = (written(cores), written(cores / 2));
    let (lease, share) = (items(&whole), items(&half));
    let namespaces: Vec<Share<'_>> = shorts
        .iter()
        .map(|short| (*short, share.as_slice()))
        .collect();
    let manifest = office.manifest("oa", &lease, &namespaces);
    let mut manifest = manifest.unwrap();
    manifest["spec"]["rebalance"] = json!({"by": "Use"});
    manifest
}

fn written(cores: i64) -> [String; 2] {
    [cores.to_string(), format!("{cores}Gi")]
}

fn items([cores, memory]: &[String; 2]) -> [(&str, &str); 2] {
    [("vcpu-x86", cores.as_str()), ("memory", memory.as_str())]
}

/// Whether a pod of one core is let in. What is neither a yes nor the quota's no is asked again.
async fn is_let_in(client: &Session, place: &str, name: String) -> bool {
    let manifest = pod(place, &name, "1", "256Mi", None);
    let what = format!("an answer about {name} in {place}");
    let answer = eventually(&what, LONG, async || {
        match client.post::<Pod>(&manifest).await {
            Ok(()) => Ok(true),
            Err(failure) => {
                let told = format!("{failure:?}");
                if told.contains("exceeded quota") {
                    Ok(false)
                } else {
                    Err(told)
                }
            }
        }
    });
    answer.await.unwrap()
}

/// Every client asks for a pod of its own in each of these places, all at once; how many are let in.
async fn rush(clients: &[Session], places: &[&str], round: &str) -> usize {
    let asked = clients
        .iter()
        .enumerate()
        .flat_map(move |(number, client)| {
            places
                .iter()
                .map(move |place| is_let_in(client, place, format!("{round}-{number}")))
        });
    let answers = join_all(asked).await;
    answers.into_iter().filter(|is_in| *is_in).count()
}

/// Waits until the rights of the department's staff have arrived in a namespace.
async fn may_work(office: &Office, place: &str) {
    let seen = eventually("rights in the namespace", LONG, async || {
        let pods = office.staff.list::<Pod>(Some(place)).await;
        pods.map(drop).map_err(|failure| format!("{failure:?}"))
    });
    seen.await.unwrap();
}

async fn count(office: &Office, place: &str) -> usize {
    let pods = office.staff.list::<Pod>(Some(place)).await;
    pods.unwrap().len()
}

/// Thousandths of a core.
fn thousandths(hard: Option<&BTreeMap<String, Quantity>>) -> i64 {
    let cores = hard.and_then(|hard| hard.get("requests.cpu"));
    cores.map_or(0, |cores| parse_quantity(&cores.0, Unit::Core).unwrap())
}

/// Waits until these places have so many cores, in spec and in status, and so many of them are used.
async fn at_rest(office: &Office, places: [&str; 2], cores: [i64; 2], used: [i64; 2]) {
    let what = format!("{cores:?} cores in {places:?}, of which {used:?} are used");
    let seen = office.stage.see(&what, LONG, async || {
        for ((place, cores), used) in places.iter().zip(cores).zip(used) {
            let staff = &office.staff;
            let quota = staff
                .get::<ResourceQuota>(Some(*place), "leasehold")
                .await?;
            let status = quota.status.unwrap_or_default();
            let spec = quota.spec.and_then(|spec| spec.hard);
            let found = [spec, status.hard, status.used].map(|hard| thousandths(hard.as_ref()));
            if found != [cores, cores, used].map(|cores| cores * 1000) {
                return Err(format!("{place} has, counts and uses {found:?}"));
            }
        }
        Ok(())
    });
    seen.await.unwrap();
}

#[tokio::test]
async fn of_fifty_clients_at_once_as_many_are_let_in_as_the_quota_has_cores_and_not_one_more() {
    let (office, clients) = open("crowd", "交通局").await;
    let place = "crowd--prod";
    let whole = written(20);
    let lease = items(&whole);
    let manifest = office.manifest("oa", &lease, &[("prod", &lease)]);
    office.lease(&manifest.unwrap()).await.unwrap();
    may_work(&office, place).await;
    assert_eq!(rush(&clients, &[place], "first").await, 20);
    assert_eq!(count(&office, place).await, 20);
    // and nobody after them
    assert_eq!(rush(&clients, &[place], "second").await, 0);
}

#[tokio::test]
async fn two_namespaces_that_share_by_use_fill_their_lease_to_the_last_core_and_not_beyond() {
    let (office, clients) = open("rush", "体育局").await;
    let etcd = office.stage.rig.etcd();
    let places = ["rush--left", "rush--right"];
    let [left, right] = places;
    let manifest = even(&office, 64, ["left", "right"]);
    office.lease(&manifest).await.unwrap();
    for place in places {
        may_work(&office, place).await;
    }
    // more than its share on the left, and less on the right; whoever asks now finds room
    for (round, place, pods, cores, used) in [
        ("a", left, 32, None, [32, 0]),
        ("b", left, 8, Some([56, 8]), [40, 0]),
        ("c", right, 8, Some([48, 16]), [40, 8]),
        ("d", right, 8, Some([40, 24]), [40, 16]),
    ] {
        let let_in = rush(&clients[..pods], &[place], round).await;
        assert_eq!(let_in, pods, "{round}");
        match cores {
            Some(cores) => at_rest(&office, places, cores, used).await,
            None => has_grown(&office, left, 40).await,
        }
    }
    // the left is full and beyond its share, and the right has its head-room: nothing can move any more
    assert_eq!(rush(&clients, &places, "last").await, 8);
    at_rest(&office, places, [40, 24], [40, 24]).await;
    let pods = [count(&office, left).await, count(&office, right).await];
    assert_eq!(pods, [40, 24], "64 cores are leased");
    let history = leases::of(etcd).await.unwrap();
    let found = judge(&history, "rush").unwrap();
    assert!(found.moves >= 6, "{found:?}");
}

/// Waits until a place has so many cores or more.
async fn has_grown(office: &Office, place: &str, cores: i64) {
    let what = format!("{cores} cores in {place}");
    let seen = office.stage.see(&what, LONG, async || {
        let staff = &office.staff;
        let quota = staff.get::<ResourceQuota>(Some(place), "leasehold").await?;
        let status = quota.status.and_then(|status| status.hard);
        let counted = thousandths(status.as_ref());
        if counted >= cores * 1000 {
            Ok(())
        } else {
            Err(format!("{counted} thousandths"))
        }
    });
    seen.await.unwrap();
}

#[tokio::test]
async fn what_a_namespace_keeps_at_least_is_left_to_it_while_the_rest_follows_use_t53() {
    let (office, clients) = open("floors", "民政局").await;
    let places = ["floors--busy", "floors--idle"];
    let mut manifest = even(&office, 32, ["busy", "idle"]);
    manifest["spec"]["namespaces"][1]["floor"] = json!({"vcpu-x86": "14"});
    office.lease(&manifest).await.unwrap();
    may_work(&office, places[0]).await;
    assert_eq!(rush(&clients[..16], &places[..1], "a").await, 16);
    // twice its head-room would be eight more
    at_rest(&office, places, [18, 14], [16, 0]).await;

    // more than the lease cannot be kept: it stays as it was, and is told
    manifest["spec"]["namespaces"][0]["floor"] = json!({"vcpu-x86": "20"});
    office.staff.apply(&manifest).await.unwrap();
    let words = "rule T53: asked floors of 34 of vcpu-x86, allowed 32";
    let is_told = |tenancy: &Tenancy| {
        let conditions = tenancy.status.iter().flat_map(|status| &status.conditions);
        let mut messages = conditions.map(|condition| condition.message.as_str());
        messages.any(|message| message.contains(words))
    };
    office
        .when("oa", "floors above the lease", is_told)
        .await
        .unwrap();
    at_rest(&office, places, [18, 14], [16, 0]).await;

    // what can be kept is filled up
    manifest["spec"]["namespaces"][0]["floor"] = json!({"vcpu-x86": "17"});
    manifest["spec"]["namespaces"][1]["floor"] = json!({"vcpu-x86": "15"});
    office.staff.apply(&manifest).await.unwrap();
    at_rest(&office, places, [17, 15], [16, 0]).await;
}
