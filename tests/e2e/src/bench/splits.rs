//! How soon departments are answered that divide their leases anew, at a steady rate, while many have one.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Api, Patch, PatchParams};
use leasehold_api::names;
use leasehold_api::tenancy::Tenancy;
use leasehold_testkit::{Failure, Session, User, manifests};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{say, spread};
use crate::Stage;

/// No more departments than these divide anew.
pub(super) const MOST: usize = 50;
/// So many a second.
const RATE: u32 = 5;
/// How often is looked whether the watches show everything as it is before anybody divides.
const LOOK: Duration = Duration::from_millis(20);
/// Where a manifest says how many cores its first two namespaces have, and how many they get: one moves.
const CORES: [(&str, &str); 2] = [("/0/share/vcpu-x86", "3"), ("/1/share/vcpu-x86", "5")];

/// A department that is about to move a core from its first namespace to its second.
pub(super) struct Mover {
    place: String,
    tenancy: String,
    /// The two namespaces.
    namespaces: [String; 2],
    staff: Session,
    patch: Value,
}

impl Mover {
    /// The department of this code, which has applied this manifest; none where that has one namespace only.
    pub(super) fn new(code: &str, staff: &Session, manifest: &Value) -> Option<Self> {
        let name = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
        let namespace = |pointer| Some(names::tenancy_namespace(code, name(pointer)?));
        Some(Self {
            place: manifests::office(code),
            tenancy: name("/metadata/name")?.to_owned(),
            namespaces: [
                namespace("/spec/namespaces/0/name")?,
                namespace("/spec/namespaces/1/name")?,
            ],
            staff: staff.clone(),
            patch: split(manifest)?,
        })
    }
}

/// What is changed of a manifest so that a core moves; none where there is nowhere to move it.
fn split(manifest: &Value) -> Option<Value> {
    let mut namespaces = manifest.pointer("/spec/namespaces")?.clone();
    for (pointer, cores) in CORES {
        *namespaces.pointer_mut(pointer)? = json!(cores);
    }
    Some(json!({"spec": {"namespaces": namespaces}}))
}

/// When a department divided anew.
#[derive(Clone, Debug)]
struct Asked {
    place: String,
    namespaces: [String; 2],
    at: Instant,
}

/// What a watch has shown of what is asked for.
#[derive(Debug, Default)]
struct Seen {
    /// How each was shown first.
    first: BTreeMap<String, String>,
    /// When each was first shown in another way.
    changed: BTreeMap<String, Instant>,
}

impl Seen {
    fn note(&mut self, name: &str, shown: String, at: Instant) {
        match self.first.get(name) {
            None => {
                self.first.insert(name.to_owned(), shown);
            }
            Some(first) if *first != shown => {
                self.changed.entry(name.to_owned()).or_insert(at);
            }
            Some(_) => {}
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets each of these move a core, and tells how long each waited until a watch showed the first answer: the status of its
/// tenancy, or the quota of one of the two namespaces. Says on `progress` what it is doing.
pub(super) async fn splits(
    stage: &Stage,
    movers: Vec<Mover>,
    bound: Duration,
    progress: &mut impl Write,
) -> Result<Vec<Duration>, Failure> {
    if movers.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = movers.len();
    say(
        progress,
        &format!("{wanted} departments divide their leases anew, {RATE} a second"),
    )?;
    let admin = stage.user(User::Admin).await?;
    let offices: Vec<String> = movers.iter().map(|mover| mover.place.clone()).collect();
    let places: Vec<String> = movers
        .iter()
        .flat_map(|mover| mover.namespaces.clone())
        .collect();
    let (statuses, quotas) = (Mutex::<Seen>::default(), Mutex::<Seen>::default());
    let watching_statuses = Box::pin(admin.follow::<Tenancy>(|tenancy| {
        note_status(&mut lock(&statuses), &offices, tenancy) >= offices.len()
    }));
    let watching_quotas = Box::pin(admin.follow::<ResourceQuota>(|quota| {
        note_quota(&mut lock(&quotas), &places, quota) >= places.len()
    }));
    let dividing = async {
        while lock(&statuses).first.len() < offices.len()
            || lock(&quotas).first.len() < places.len()
        {
            sleep(LOOK).await;
        }
        divide(movers).await
    };
    let all = async { tokio::try_join!(watching_statuses, watching_quotas, dividing) };
    if let Ok(ended) = timeout(bound, all).await {
        let ((), (), asked) = ended?;
        return Ok(answers(&asked, &lock(&statuses), &lock(&quotas)));
    }
    let (told, moved) = (lock(&statuses).changed.len(), lock(&quotas).changed.len());
    let log = stage.operator.lock().await.tail();
    Err(Failure::Late {
        what: format!("{wanted} leases divided anew"),
        bound,
        last: format!(
            "{told} tenancies say so and {moved} quotas have changed\nthe operator's last lines:\n{log}"
        ),
    })
}

/// Remembers of which version of its manifest the status of a tenancy speaks; gives how many have changed.
fn note_status(seen: &mut Seen, offices: &[String], tenancy: Tenancy) -> usize {
    let place = tenancy.metadata.namespace.unwrap_or_default();
    if offices.contains(&place) {
        let status = tenancy.status.unwrap_or_default();
        let shown = format!("{:?}", status.observed_generation);
        seen.note(&place, shown, Instant::now());
    }
    seen.changed.len()
}

/// Remembers what a quota is to allow; gives how many have changed.
fn note_quota(seen: &mut Seen, places: &[String], quota: ResourceQuota) -> usize {
    let place = quota.metadata.namespace.unwrap_or_default();
    let is_ours = quota.metadata.name.as_deref() == Some(names::QUOTA_NAME);
    if is_ours && places.contains(&place) {
        let hard = quota.spec.and_then(|spec| spec.hard);
        seen.note(&place, format!("{hard:?}"), Instant::now());
    }
    seen.changed.len()
}

/// Divides every lease at its time.
async fn divide(movers: Vec<Mover>) -> Result<Vec<Asked>, Failure> {
    let (workers, began) = (movers.len(), Instant::now());
    let jobs = (0_u32..).zip(movers);
    spread(
        workers,
        jobs,
        move |(number, mover): (u32, Mover)| async move {
            sleep(turn(number).saturating_sub(began.elapsed())).await;
            let at = Instant::now();
            let api = Api::<Tenancy>::namespaced(mover.staff.client(), &mover.place);
            let patch = Patch::Merge(&mover.patch);
            api.patch(&mover.tenancy, &PatchParams::default(), &patch)
                .await
                .map_err(|error| Failure::Call {
                    what: format!("divide the lease in {} anew", mover.place),
                    source: Box::new(error),
                })?;
            Ok::<_, Failure>(Asked {
                place: mover.place,
                namespaces: mover.namespaces,
                at,
            })
        },
    )
    .await
}

/// How long after the first the one with this number, from 0, divides its lease.
fn turn(number: u32) -> Duration {
    let seconds = Duration::from_secs(number.into());
    seconds.checked_div(RATE).unwrap_or_default()
}

/// What each waited for its first answer.
fn answers(asked: &[Asked], statuses: &Seen, quotas: &Seen) -> Vec<Duration> {
    asked
        .iter()
        .filter_map(|asked| {
            let [one, other] = &asked.namespaces;
            let shown = [
                statuses.changed.get(&asked.place),
                quotas.changed.get(one),
                quotas.changed.get(other),
            ];
            let first = shown.into_iter().flatten().min()?;
            Some(first.saturating_duration_since(asked.at))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_departments_a_second_divide_anew() {
        let turns = [0, 1, 5, 49].map(|number| turn(number).as_millis());
        assert_eq!(turns, [0, 200, 1_000, 9_800]);
    }

    #[test]
    fn one_core_moves_and_nothing_else_and_of_one_namespace_nothing_can_move() {
        let share = |cores: &str| json!({"vcpu-x86": cores, "memory": "8Gi"});
        let namespace = |name: &str, cores: &str| json!({"name": name, "share": share(cores)});
        let of = |namespaces: Value| json!({"spec": {"lease": [], "namespaces": namespaces}});
        let before = json!([
            namespace("n1", "4"),
            namespace("n2", "4"),
            namespace("n3", "4")
        ]);
        let after = json!([
            namespace("n1", "3"),
            namespace("n2", "5"),
            namespace("n3", "4")
        ]);
        assert_eq!(
            split(&of(before)),
            Some(json!({"spec": {"namespaces": after}}))
        );
        assert_eq!(split(&of(json!([namespace("n1", "4")]))), None);
    }

    #[test]
    fn the_first_answer_counts_be_it_a_status_or_a_quota() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut statuses = Seen::default();
        // shown as it was, changed, and changed again
        for (name, shown, when) in [
            ("dept-a", "1", 0),
            ("dept-b", "1", 0),
            ("dept-a", "1", 150),
            ("dept-a", "2", 400),
            ("dept-a", "3", 500),
            ("dept-b", "2", 350),
        ] {
            statuses.note(name, shown.to_owned(), at(when));
        }
        let mut quotas = Seen::default();
        for (name, shown, when) in [
            ("a--n1", "4", 0),
            ("a--n2", "4", 0),
            ("a--n2", "5", 450),
            ("a--n1", "3", 320),
        ] {
            quotas.note(name, shown.to_owned(), at(when));
        }
        let asked = [("a", 100), ("b", 300), ("c", 500)].map(|(code, when)| Asked {
            place: format!("dept-{code}"),
            namespaces: ["n1", "n2"].map(|short| format!("{code}--{short}")),
            at: at(when),
        });
        // the first one's quota at 320 comes before its status at 400; of the last one nothing was seen
        let waited = [220, 50].map(Duration::from_millis);
        assert_eq!(answers(&asked, &statuses, &quotas), waited);
    }
}
