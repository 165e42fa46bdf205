//! Namespaces: made by us, adopted where the platform asks for it, or refused.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::ResourceExt;
use leasehold_api::{
    names::{self, DEPARTMENT_LABEL, INCARNATION_LABEL, MANAGED_LABEL, TENANCY_LABEL},
    tenancy::NamespaceStatus,
};
use leasehold_kit::Kit;
use leasehold_ledger::document::{Document, NamespaceDoc, NamespaceGoneDoc};
use leasehold_planner::objects::{self, NamespacePlan};
use leasehold_store::Record;

use super::{
    super::{
        observe::{Life, State},
        report::Report,
    },
    adoption, label,
};
use crate::{
    Context, Error,
    drift::{self, Owner},
};

/// Labels that make a namespace ours. The API server lets nobody but us write them.
const OWNERSHIP: [&str; 4] = [
    MANAGED_LABEL,
    DEPARTMENT_LABEL,
    TENANCY_LABEL,
    INCARNATION_LABEL,
];

/// What is there of a tenancy's namespaces when a round begins.
#[derive(Default)]
pub struct Standing {
    /// Short names of those that exist.
    pub short: Vec<String>,
    /// Short names of those that are being deleted: until they are gone, what they hold is not free.
    pub ending: Vec<String>,
    /// Short names of those that could not be read: what they hold is not free either.
    pub unsure: Vec<String>,
    /// Why the first of those failed that could not be read, or not be given their labels back.
    pub failed: Option<Error>,
    /// Uids that the ledger knows.
    recorded: BTreeSet<String>,
    /// What was just read because the ledger knows it and the cache does not, by name.
    read: BTreeMap<String, Namespace>,
}

/// A namespace that can be used.
struct Had {
    uid: String,
    adopted: bool,
    /// Made by this round. No cache can have seen it, and what they show under its name was in another.
    made: bool,
}

/// What [`ensure`] came to.
#[derive(Default)]
pub struct Ensured {
    /// Whether every planned namespace is as it is planned.
    pub all: bool,
    /// Short names of those that this round made or adopted.
    pub new: BTreeSet<String>,
    /// Short names of those that are there and ours, and were not brought to what is planned: no more than a quota is
    /// written in them.
    pub failing: BTreeSet<String>,
    /// Short names of those of which nobody knows whose they are.
    pub unsure: BTreeSet<String>,
    /// Why the first of those that failed did.
    pub failed: Option<Error>,
}

impl Ensured {
    fn fails(&mut self, standing: &Standing, short: &str, error: Error) {
        // a conflict says that the name went over to another namespace
        let is_anothers = matches!(&error, Error::Kit(error) if error.is_conflict());
        let is_ours = standing.short.iter().any(|known| known == short) && !is_anothers;
        let place = if is_ours {
            &mut self.failing
        } else {
            &mut self.unsure
        };
        place.insert(short.to_owned());
        self.all = false;
        self.failed.get_or_insert(error);
    }
}

/// Every planned namespace exists, is ours and carries its labels; of those that cannot be made so the others get what
/// is theirs. Fails where what was made cannot be recorded.
///
/// They are made side by side and recorded in one commit before anything is put into them. The operator may die in
/// between: what it made carries the labels of ownership from the first moment, and its next life finds it by them in
/// [`standing`], which records it before anything else happens.
pub async fn ensure(
    state: &State,
    context: &Context,
    report: &mut Report,
    standing: &Standing,
    plans: &[NamespacePlan],
) -> Result<Ensured, Error> {
    // all are waited for: what one of them made must be recorded although another failed
    let each = plans
        .iter()
        .map(|plan| ensure_one(state, context, standing, plan));
    let outcomes = join_all(each).await;
    let usable = plans.iter().zip(&outcomes).filter_map(|(plan, outcome)| {
        let had = outcome.as_ref().ok()?.as_ref().ok()?;
        Some((had.uid.clone(), plan.name.clone()))
    });
    let there: Vec<(String, String)> = usable.collect();
    record(state, context, &standing.recorded, &there).await?;
    let mut ensured = Ensured {
        all: true,
        ..Ensured::default()
    };
    for (plan, outcome) in plans.iter().zip(outcomes) {
        let name = plan.name.clone();
        let status = match outcome {
            Ok(Ok(had)) => {
                if had.adopted {
                    report.happened(state, "leasehold", &adoption::told(&name));
                }
                if had.adopted || had.made {
                    // nothing that is not in it was taken out of it
                    let owner = Owner::tenancy(&state.department, &state.name);
                    context.repairs.forget_in(&owner, &name);
                    ensured.new.insert(plan.short.clone());
                }
                NamespaceStatus {
                    name,
                    uid: Some(had.uid),
                    ready: true,
                    ..NamespaceStatus::default()
                }
            }
            Ok(Err(message)) => {
                ensured.all = false;
                // whoever must do something first does it to objects that nobody here watches
                report.look_again(adoption::AGAIN);
                report.wait(message.clone());
                NamespaceStatus {
                    name,
                    message: Some(message),
                    ..NamespaceStatus::default()
                }
            }
            Err(error) => {
                ensured.fails(standing, &plan.short, error);
                continue;
            }
        };
        report.namespaces.push(status);
    }
    Ok(ensured)
}

/// The tenancy's namespaces that exist. What was made and not yet recorded, because the operator died in between, is
/// recorded; what is gone, or has become another's, is recorded as gone. Fails where the ledger does: one that cannot be
/// read is no reason to leave the others alone.
pub async fn standing(state: &Life, context: &Context) -> Result<Standing, Error> {
    let prefix = names::tenancy_namespace(&state.department, "");
    let incarnation = state.incarnation().to_string();
    let is_its = |found: &ObjectMeta| {
        label(found, DEPARTMENT_LABEL) == Some(&state.department)
            && label(found, TENANCY_LABEL) == Some(&state.name)
            && label(found, INCARNATION_LABEL) == Some(&incarnation)
    };
    let ours = context.world.namespaces.select(is_its);
    let known = context
        .books
        .namespaces(&state.department, &state.name, state.incarnation())
        .await?;
    let mut recorded: BTreeSet<String> = known.keys().cloned().collect();
    let cached: Vec<(String, String)> = ours
        .iter()
        .map(|found| (found.uid().unwrap_or_default(), found.name_any()))
        .collect();
    record(state, context, &recorded, &cached).await?;
    recorded.extend(cached.iter().map(|(uid, _)| uid.clone()));
    let unseen: Vec<&NamespaceDoc> = known
        .values()
        .filter(|document| !cached.iter().any(|(uid, _)| *uid == document.uid))
        .collect();
    let Unseen {
        read,
        unread,
        failed,
    } = unseen_now(state, context, &unseen).await?;
    // what the cache does not show yet, or no longer by its labels, is there all the same: its quota counts, and what
    // runs in it is billed
    let late: Vec<&Namespace> = unseen
        .iter()
        .filter_map(|document| {
            let found = read.get(&document.name)?;
            (found.metadata.uid.as_ref() == Some(&document.uid)).then_some(found)
        })
        .collect();
    let unmarked = give_back(state, context, &late).await;
    let those = |standing: bool| {
        let all = ours.iter().chain(late.iter().copied());
        let those = all.filter(|found| is_standing(found) == standing);
        short_of(&prefix, those.map(ResourceExt::name_any))
    };
    Ok(Standing {
        short: those(true),
        ending: those(false),
        unsure: short_of(&prefix, unread.iter().cloned()),
        failed: failed.or(unmarked),
        recorded,
        read,
    })
}

/// Short names, in order.
fn short_of(prefix: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let short = names.filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned()));
    let mut short: Vec<String> = short.collect();
    short.sort();
    short
}

/// Gives those that stand back the labels that make them this tenancy's. Gives why the first of those failed that could
/// not get them.
async fn give_back(state: &Life, context: &Context, found: &[&Namespace]) -> Option<Error> {
    let labels = ownership(state);
    let mut failed = None;
    for found in found.iter().filter(|found| is_standing(found)) {
        if let Err(error) = drift::relabel(context, *found, &labels).await {
            failed.get_or_insert(error);
        }
    }
    failed
}

/// How those stand that the ledger knows and the cache does not.
#[derive(Default)]
struct Unseen {
    /// Those that are there, by name.
    read: BTreeMap<String, Namespace>,
    /// Names of those of which nobody knows.
    unread: BTreeSet<String>,
    failed: Option<Error>,
}

/// Reads those that the ledger knows and the cache does not. Those that are gone are recorded as gone.
async fn unseen_now(
    state: &Life,
    context: &Context,
    unseen: &[&NamespaceDoc],
) -> Result<Unseen, Error> {
    let live = join_all(unseen.iter().map(async |document| {
        let kit = &context.kit;
        kit.get::<Namespace>(None, &document.name).await
    }))
    .await;
    let mut found = Unseen::default();
    for (document, live) in unseen.iter().zip(live) {
        let live = match live {
            Ok(live) => live,
            Err(error) => {
                found.unread.insert(document.name.clone());
                found.failed.get_or_insert(error.into());
                continue;
            }
        };
        let uid = live.as_ref().and_then(|found| found.metadata.uid.as_ref());
        if uid != Some(&document.uid) {
            record_gone(state, context, &document.uid).await?;
            let owner = Owner::tenancy(&state.department, &state.name);
            context.repairs.forget_in(&owner, &document.name);
        }
        if let Some(live) = live {
            found.read.insert(document.name.clone(), live);
        }
    }
    Ok(found)
}

/// Records in one commit those that the ledger does not know yet, given by uid and name.
async fn record(
    state: &Life,
    context: &Context,
    recorded: &BTreeSet<String>,
    there: &[(String, String)],
) -> Result<(), Error> {
    let unrecorded: Vec<NamespaceDoc> = there
        .iter()
        .filter(|(uid, _)| !recorded.contains(uid))
        .map(|(uid, name)| NamespaceDoc {
            cluster: context.books.cluster().uid.clone(),
            uid: uid.clone(),
            name: name.clone(),
            department: state.department.clone(),
            tenancy: state.name.clone(),
            incarnation: state.incarnation(),
            at: state.now,
        })
        .collect();
    let mut records = Vec::new();
    for document in &unrecorded {
        // a cache that lags shows some that are recorded as gone: a second document of theirs would be a contradiction
        let store = context.books.store();
        let known = store.document::<NamespaceDoc>(&document.key()).await?;
        if known.is_none() {
            records.push(Record::document(document)?);
        }
    }
    if !records.is_empty() {
        context.books.commit(records, state.now).await?;
    }
    Ok(())
}

/// The labels that make a namespace, and what is in it, this tenancy's.
pub(super) fn ownership(state: &Life) -> BTreeMap<String, String> {
    let incarnation = state.incarnation().to_string();
    let values = [
        names::MANAGED_VALUE,
        &state.department,
        &state.name,
        &incarnation,
    ];
    let labels = OWNERSHIP.iter().zip(values);
    labels
        .map(|(label, value)| ((*label).to_owned(), value.to_owned()))
        .collect()
}

fn is_standing(found: &Namespace) -> bool {
    found.metadata.deletion_timestamp.is_none()
}

/// Tells that somebody deleted a namespace that was in use. Told once: the status that is written after this round does
/// not know it any more.
fn tell_lost(state: &State, context: &Context, name: &str, there: Option<&Namespace>) {
    let status = state.tenancy.status.iter();
    let mut known = status.flat_map(|status| &status.namespaces);
    let known = known.find(|known| known.name == name && known.ready);
    let Some(uid) = known.and_then(|known| known.uid.as_ref()) else {
        return;
    };
    let stands =
        there.is_some_and(|there| is_standing(there) && there.metadata.uid.as_ref() == Some(uid));
    if !stands {
        let owner = Owner::tenancy(&state.department, &state.name);
        drift::lost_namespace(context, &owner, name);
    }
}

/// The namespace, or in plain words why it cannot be used.
async fn ensure_one(
    state: &State,
    context: &Context,
    standing: &Standing,
    plan: &NamespacePlan,
) -> Result<Result<Had, String>, Error> {
    let desired = objects::namespace(plan);
    let name = &plan.name;
    let seen = match standing.read.get(name) {
        Some(read) => Some(read.clone()),
        None => context.world.namespaces.get(None, name),
    };
    let (found, made) = match seen {
        Some(found) => (Some(found), false),
        None => match context.fences.closed(&context.kit).await {
            None => found_or_made(&context.kit, &desired, was_in_the_way(state, name)).await?,
            Some(why) => {
                // what is there already is not opened anew
                let found = context.kit.get::<Namespace>(None, name).await?;
                if found.is_none() {
                    tell_lost(state, context, name, None);
                    return Ok(Err(format!("namespace {name}: {why}")));
                }
                (found, false)
            }
        },
    };
    tell_lost(state, context, name, found.as_ref());
    let Some(found) = found else {
        return Ok(Err(format!(
            "namespace {name} was there and is gone; looked at again"
        )));
    };
    if !is_standing(&found) {
        return Ok(Err(format!(
            "namespace {name} is being deleted; made anew when it is gone"
        )));
    }
    let uid = found.metadata.uid.as_ref();
    // the ledger knows ours by their uids, whatever became of their labels
    let is_known = uid.is_some_and(|uid| standing.recorded.contains(uid));
    if !is_known && !is_ours(&found, &desired) {
        let adopted = adoption::consider(state, context, plan, &found).await?;
        return Ok(adopted.map(|uid| Had {
            uid,
            adopted: true,
            made: false,
        }));
    }
    drift::keep(context, &desired, Some(&found)).await?;
    Ok(Ok(Had {
        uid: found.metadata.uid.unwrap_or_default(),
        adopted: false,
        made,
    }))
}

/// The namespace of this name, made if there is none, and whether it was. None if it went while it was looked at.
///
/// A name that nothing is known of is most likely free, so it is made at once; what the API server then says is there
/// already is read like any other, and is no more ours for it.
async fn found_or_made(
    kit: &Kit,
    desired: &Namespace,
    look_first: bool,
) -> Result<(Option<Namespace>, bool), Error> {
    let name = desired.name_any();
    if look_first && let Some(found) = kit.get::<Namespace>(None, &name).await? {
        return Ok((Some(found), false));
    }
    match kit.create(desired).await {
        Ok(made) => Ok((Some(made), true)),
        Err(error) if error.is_already_exists() => {
            Ok((kit.get::<Namespace>(None, &name).await?, false))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the last round could not use the namespace of this name. Then it is looked for before it is made: a round
/// that finds everything as it was sends no write.
fn was_in_the_way(state: &State, name: &str) -> bool {
    let status = state.tenancy.status.iter();
    let mut told = status.flat_map(|status| &status.namespaces);
    told.any(|namespace| namespace.name == name && !namespace.ready)
}

fn is_ours(found: &Namespace, desired: &Namespace) -> bool {
    OWNERSHIP.iter().all(|label| {
        desired.labels().get(*label).is_some()
            && found.labels().get(*label) == desired.labels().get(*label)
    })
}

/// Records that a namespace of this uid is gone.
pub async fn record_gone(state: &Life, context: &Context, uid: &str) -> Result<(), Error> {
    let document = NamespaceGoneDoc {
        cluster: context.books.cluster().uid.clone(),
        uid: uid.to_owned(),
        at: state.now,
    };
    context.books.ensure(&document, state.now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(pairs: &[(&str, &str)]) -> Namespace {
        let mut namespace = Namespace::default();
        for (key, value) in pairs {
            namespace
                .labels_mut()
                .insert((*key).to_owned(), (*value).to_owned());
        }
        namespace
    }

    #[test]
    fn a_namespace_is_ours_only_with_every_label_of_ownership() {
        let all = [
            (MANAGED_LABEL, "leasehold"),
            (DEPARTMENT_LABEL, "edu"),
            (TENANCY_LABEL, "oa"),
            (INCARNATION_LABEL, "1"),
        ];
        assert!(is_ours(&labelled(&all), &labelled(&all)));
        assert!(!is_ours(&labelled(&[]), &labelled(&all)));
        assert!(!is_ours(&labelled(&[]), &labelled(&[])));
        for left_out in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(left_out);
            assert!(
                !is_ours(&labelled(&some), &labelled(&all)),
                "without {left_out}"
            );
        }
        let mut older = all;
        older[3].1 = "2";
        assert!(
            !is_ours(&labelled(&older), &labelled(&all)),
            "another incarnation"
        );
    }
}
