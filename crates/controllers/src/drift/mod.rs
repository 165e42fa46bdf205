//! What the operator keeps as it should be, against whoever changes it.
//!
//! Reconcilers say what an object should be. Whether it is not so because something else is wanted by now, or because
//! somebody changed it, is told apart here: by what is remembered of it (`memory`), and by its managed fields. A change
//! by others is put right and told to the owner (`words`); whoever writes back again and again is met with pauses
//! (`leasehold_planner::repair`). Fields that nobody here describes are never looked at.

mod memory;
mod words;

use std::{borrow::Cow, collections::BTreeMap};

use kube::ResourceExt;
use leasehold_api::{names, tenancy::Phase};
use leasehold_kit::{EventType, KitError, Object, Standing};
use leasehold_ledger::{
    canonical::{Digest, digest_of},
    time::Second,
};
use leasehold_planner::{objects::FORMER_NETWORK_POLICIES, repair::Repair};
use serde_json::{Value, json};

pub(crate) use memory::News;
pub use memory::Repairs;
use memory::{Recall, Told, Ward};
use words::{Drift, Key};
pub(crate) use words::{Owner, Watched, What};

use crate::{Context, Error};

/// Makes the object as described, unless it is so, or somebody changes it again and again and a pause is on.
pub(crate) async fn keep<K: Watched>(
    context: &Context,
    desired: &K,
    current: Option<&K>,
) -> Result<(), Error> {
    let ward = ward(desired, Some(digest_of(desired)?));
    let found = match current {
        Some(current) => Found::There(Cow::Borrowed(current)),
        None => look_for(context, &ward).await?,
    };
    let drift = match &found {
        Found::Unmade => None,
        Found::Awaited => return Ok(()),
        // a wish of our own does not wait for the end of a fight
        Found::Gone if context.repairs.is_new_wish(&ward) => None,
        Found::Gone => Some(Drift::Deleted),
        Found::There(copy) => match judged(context, &ward, desired, copy)? {
            Look::Well => return Ok(()),
            Look::Wanting => None,
            Look::Drifted(drift) => Some(drift),
        },
    };
    let write = async {
        match &found {
            Found::There(copy) => context.kit.apply(&*bound(desired, copy)).await,
            Found::Unmade | Found::Awaited | Found::Gone => context.kit.make(desired).await,
        }
    };
    repaired(context, &ward, drift, write).await
}

/// A namespace under the uid that was found, and no other: what has taken its name by now is not ours. Anything else
/// goes with its namespace.
fn bound<'desired, K: Watched>(desired: &'desired K, copy: &K) -> Cow<'desired, K> {
    match K::WHAT {
        What::Namespace => {
            let mut bound = desired.clone();
            bound.meta_mut().uid.clone_from(&copy.meta().uid);
            Cow::Owned(bound)
        }
        What::Quota
        | What::LimitRange
        | What::NetworkPolicy
        | What::RoleBinding
        | What::Volume
        | What::VolumeClaim
        | What::Snapshot => Cow::Borrowed(desired),
    }
}

/// Takes away what stands under a name of ours and should not be there any more, whoever made it.
pub(crate) async fn remove<K: Watched>(
    context: &Context,
    owner: &Owner,
    standing: Option<K>,
) -> Result<(), Error> {
    let Some(standing) = standing else {
        return Ok(());
    };
    let meta = standing.meta();
    let Some(uid) = meta.uid.as_deref() else {
        return Ok(());
    };
    let ward = Ward {
        key: Key::of(&standing),
        owner: owner.clone(),
        wanted: None,
    };
    let added = context.kit.maker(&standing).map(Drift::Added);
    if added.is_some() && is_awaited(context, &ward) {
        return Ok(());
    }
    let place = meta.namespace.as_deref();
    let was_there = context
        .kit
        .delete::<K>(place, &standing.name_any(), uid)
        .await?;
    match added {
        Some(added) if was_there => note(context, &ward, &added),
        // a late cache shows what is gone already
        Some(_) => {}
        None => context.repairs.forget(&ward.owner, &ward.key),
    }
    Ok(())
}

/// Gives an object back the labels that somebody took or changed, and touches nothing else of it.
pub(crate) async fn relabel<K: Watched>(
    context: &Context,
    found: &K,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let ward = Ward {
        key: Key::of(found),
        owner: Owner::of(labels),
        wanted: None,
    };
    context.repairs.saw(&ward.owner, &ward.key);
    let lost = labels
        .iter()
        .any(|(label, value)| found.labels().get(label) != Some(value));
    let known = context.repairs.recall(&ward, version(found), context.now());
    if !lost || known == Recall::Older {
        return Ok(());
    }
    let part = json!({"metadata": {"labels": labels}});
    let drift = Drift::Changed(context.kit.blame(&part, found)?);
    // labels of another object that has taken the name are none of ours
    let patch = json!({"metadata": {"uid": found.meta().uid, "labels": labels}});
    let (place, name) = (found.namespace(), found.name_any());
    let write = context
        .kit
        .merge_patch::<K>(place.as_deref(), &name, &patch);
    repaired(context, &ward, Some(drift), write).await
}

/// Mends an object of which others changed something, by a patch of just that, which names the version that was found;
/// tells whether it did. Not while they change it again and again and a pause is on: this part of it, where `what` names
/// one that has pauses of its own.
pub(crate) async fn mend<K: Watched>(
    context: &Context,
    owner: &Owner,
    what: What,
    found: &K,
    patch: &Value,
) -> Result<bool, Error> {
    let ward = Ward {
        key: Key {
            what,
            ..Key::of(found)
        },
        owner: owner.clone(),
        wanted: None,
    };
    if is_awaited(context, &ward) {
        return Ok(false);
    }
    let drift = Drift::Changed(context.kit.blame(patch, found)?);
    let (place, name) = (found.namespace(), found.name_any());
    let write = context.kit.merge_patch::<K>(place.as_deref(), &name, patch);
    repaired(context, &ward, Some(drift), write).await?;
    Ok(true)
}

/// A namespace goes, or is gone, although nobody let it: what was in it is made anew with it, and not told one by one.
pub(crate) fn lost_namespace(context: &Context, owner: &Owner, name: &str) {
    let key = Key {
        place: None,
        what: What::Namespace,
        name: name.to_owned(),
    };
    let sentence = format!(
        "namespace {name} was deleted, and not by leasehold (the API server's audit log tells by whom); made anew once it is gone"
    );
    context.repairs.tell(owner, &key, sentence);
    context.repairs.forget_in(owner, name);
    context.measures.repaired(What::Namespace);
}

/// What the owner is told now, with the events sent; the fights that go on are counted.
pub(crate) async fn news<K: Object>(context: &Context, owner: &Owner, object: &K) -> News {
    let news = context.repairs.take(owner, context.now());
    context.measures.contested(context.repairs.contested());
    for Told { sentence, action } in &news.happened {
        let kit = &context.kit;
        kit.event(object, EventType::Warning, "Drift", action, sentence)
            .await;
    }
    news
}

/// Whether an object that no cache shows is there all the same.
enum Found<'copy, K: Clone> {
    /// Nothing is known of it: it was never made.
    Unmade,
    /// It is gone, and a pause is on.
    Awaited,
    /// It was there and is gone.
    Gone,
    /// It is there.
    There(Cow<'copy, K>),
}

/// How an object stands.
enum Look {
    /// As described, or as we have just written it.
    Well,
    /// Something else is wanted of it than before.
    Wanting,
    /// Others changed it.
    Drifted(Drift),
}

fn ward<K: Watched>(desired: &K, wanted: Option<Digest>) -> Ward {
    Ward {
        key: Key::of(desired),
        owner: Owner::of(desired.labels()),
        wanted,
    }
}

/// A copy's place in the order of writes, which is a number.
fn version<K: Object>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

/// Looks for an object that was there and that no cache shows: it may have lost the label by which caches find it, or
/// have been made anew a moment ago.
async fn look_for<K: Watched>(context: &Context, ward: &Ward) -> Result<Found<'static, K>, Error> {
    let was_there = context
        .repairs
        .was_there(ward)
        .unwrap_or_else(|| was_in_place(context, ward));
    if !was_there {
        return Ok(Found::Unmade);
    }
    let is_new = context.repairs.is_new_wish(ward);
    if !is_new && context.repairs.is_pausing(ward, context.now()) {
        return Ok(Found::Awaited);
    }
    let place = ward.key.place.as_deref();
    let live = context.kit.get::<K>(place, &ward.key.name).await?;
    Ok(live.map_or(Found::Gone, |live| Found::There(Cow::Owned(live))))
}

/// Whether the tenancy said, before this process began, that everything in the namespace was in place. Only of what
/// every namespace has from the beginning; what comes with a member or a gateway may be new.
fn was_in_place(context: &Context, ward: &Ward) -> bool {
    let always = match ward.key.what {
        What::Quota | What::LimitRange => true,
        What::NetworkPolicy => !has_former(context, ward.key.place.as_deref()),
        What::RoleBinding | What::Namespace | What::Volume | What::VolumeClaim | What::Snapshot => {
            false
        }
    };
    let (Some((department, name)), Some(place), true) =
        (ward.owner.names(), &ward.key.place, always)
    else {
        return false;
    };
    let world = &context.world;
    let office = names::office_namespace(department);
    let Some(status) = world
        .tenancies
        .get(Some(&office), name)
        .and_then(|tenancy| tenancy.status)
    else {
        return false;
    };
    let uid = world
        .namespaces
        .meta(None, place)
        .and_then(|namespace| namespace.uid);
    let mut told = status.namespaces.iter();
    is_set_up(status.phase)
        && told.any(|told| {
            let is_it = told.name == *place && told.uid.is_some() && told.uid == uid;
            // while a lease changes, a namespace may be new: it shows figures once its quota has stood
            let stood = status.phase != Phase::Changing || told.quota.is_some();
            is_it && told.ready && stood
        })
}

/// Whether policies still stand in the namespace that an earlier version of ours had instead of the one.
fn has_former(context: &Context, place: Option<&str>) -> bool {
    let policies = &context.world.network_policies;
    let mut former = FORMER_NETWORK_POLICIES.iter();
    former.any(|name| policies.has(place, name))
}

/// Whether everything is in place that a tenancy in this phase leases, but for what it leases anew.
fn is_set_up(phase: Phase) -> bool {
    match phase {
        Phase::Provisioned
        | Phase::Active
        | Phase::Changing
        | Phase::Expiring
        | Phase::Suspended => true,
        Phase::Requested
        | Phase::Refused
        | Phase::Approved
        | Phase::Reclaiming
        | Phase::Released => false,
    }
}

/// Compares a copy with what the object should be, and tells a change by others from a wish of our own.
fn judged<K: Watched>(
    context: &Context,
    ward: &Ward,
    desired: &K,
    copy: &K,
) -> Result<Look, Error> {
    let repairs = &context.repairs;
    let (version, now) = (version(copy), context.now());
    let recall = repairs.recall(ward, version, now);
    repairs.saw(&ward.owner, &ward.key);
    match recall {
        Recall::Same | Recall::Late => return Ok(Look::Well),
        // whatever an older copy shows, what stands is what we wrote last
        Recall::Older => return Ok(Look::Wanting),
        Recall::Stood | Recall::Other | Recall::Unknown => {}
    }
    Ok(match context.kit.compare(desired, copy)? {
        Standing::AsDescribed => {
            repairs.agreed(ward, version, now);
            Look::Well
        }
        Standing::Differs(by) if recall == Recall::Stood => Look::Drifted(Drift::Changed(by)),
        Standing::Differs(Some(by)) if recall == Recall::Unknown => {
            Look::Drifted(Drift::Changed(Some(by)))
        }
        // whatever others made of it meanwhile, a wish of our own does not wait for the end of a fight
        Standing::Differs(_) => Look::Wanting,
    })
}

/// Whether what became of the object without us waits for the end of a pause.
fn is_awaited(context: &Context, ward: &Ward) -> bool {
    matches!(context.repairs.judge(ward, context.now()), Repair::Wait(_))
}

/// Writes, unless others changed the object and a pause is on; remembers it.
async fn repaired<K: Watched>(
    context: &Context,
    ward: &Ward,
    drift: Option<Drift>,
    write: impl Future<Output = Result<K, KitError>>,
) -> Result<(), Error> {
    if drift.is_some() && is_awaited(context, ward) {
        return Ok(());
    }
    match write.await {
        Ok(written) => {
            let now: Second = context.now();
            context.repairs.wrote(ward, version(&written), now);
            if let Some(drift) = &drift {
                note(context, ward, drift);
            }
            Ok(())
        }
        Err(error) => {
            context.repairs.unsure(ward);
            Err(error.into())
        }
    }
}

/// Remembers and counts that something was put right.
fn note(context: &Context, ward: &Ward, drift: &Drift) {
    context.repairs.repaired(ward, drift, context.now());
    context.measures.repaired(ward.key.what);
    let (object, who) = (ward.key.to_string(), drift.who());
    tracing::info!(object, who, "put right what others changed");
}
