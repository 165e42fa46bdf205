//! Follows the meters that are declared, as long as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future};
use kube::core::DynamicObject;
use leasehold_api::platform::Meter as Kind;
use leasehold_kit::shutdown::{Shutdown, Stop};
use leasehold_ledger::{
    document::{ClusterDoc, GapDoc},
    fact::{Fact, Meter, Source},
    policy::EstimateBound,
    time::Second,
};
use leasehold_store::{Batch, Record};
use tokio::task::{JoinError, JoinSet};

use super::{Declared, PROMPT, report, resource, source};
use crate::{
    Context, Error,
    books::Era,
    meters::{
        self, Outlived,
        life::{Life, Moment, Seen},
        metered::{MADE_BY_METERS, PODS},
        sink,
        watermark::Watermarks,
    },
};

/// All meters are looked at this often, whether or not anything changed.
const LOOK: Duration = Duration::from_secs(60);
/// Between two attempts at what could not be done.
const AGAIN: Duration = Duration::from_secs(2);
/// A meter that is not there for so many seconds, while meters are served, was removed. With their definition all go at once,
/// a little before it.
const REMOVED: i64 = 10;

/// What tells one declaration from another: another object of the name, or another version of its kind.
type Declaration = (String, Option<i64>);

/// A meter that is followed.
struct Following {
    declaration: Declaration,
    source: String,
    stop: Stop,
    /// Since when its object is not there.
    missed: Option<Second>,
}

/// A meter that is gone, until its ends are in the ledger.
struct Gone {
    source: String,
    /// Since when its object is not there; `None` where another took its place.
    at: Option<Second>,
}

/// That meters were removed.
struct Removal {
    /// Up to when everything of them is known.
    known: Option<Second>,
    /// When they were found to be gone.
    at: Second,
    /// Whether somebody looked all the time until then: after a start nobody has.
    prompt: bool,
}

/// Announces the source of every meter that has begun, and ends what meters counted that are gone. Before that nothing must
/// be taken for complete.
pub async fn announce(context: &Context, marks: &Watermarks, shutdown: &Shutdown) {
    while !shutdown.is_requested() {
        match announced(context, marks).await {
            Ok(()) => return,
            Err(error) => {
                meters::report(&error, "failed to announce the declared meters");
                meters::pause(AGAIN, shutdown).await;
            }
        }
    }
}

async fn announced(context: &Context, marks: &Watermarks) -> Result<(), Error> {
    let (mut names, mut sources) = (BTreeSet::new(), BTreeSet::new());
    for object in context.world.meters.select(|_| true) {
        if let Some(cursor) = context.books.store().cursor(&source(&object)).await? {
            marks.announce(&source(&object), Some(cursor.observed_at));
        }
        sources.insert(source(&object));
        names.extend(object.metadata.name);
    }
    // the operator has seen everything up to about then, and no meter's end among it
    let pods = context.books.store().cursor(PODS).await?;
    let known = pods.map(|cursor| cursor.observed_at);
    let removal = Removal {
        known,
        at: context.now(),
        prompt: false,
    };
    let is_gone = |source: &str| !sources.contains(source);
    let left_over = left_over(context, removal.at, is_gone).await?;
    end(context, &removal, |name| !names.contains(name), &left_over).await
}

/// Follows every declared meter until the shutdown, or until etcd was restored.
pub async fn run(context: Context, marks: Watermarks, shutdown: Shutdown) -> Result<(), Outlived> {
    let mut changes = Box::pin(context.world.meters.changes());
    let mut following: BTreeMap<String, Following> = BTreeMap::new();
    let mut tasks: JoinSet<Result<String, Outlived>> = JoinSet::new();
    let mut gone: BTreeMap<String, Gone> = BTreeMap::new();
    loop {
        let declared = declared(&context);
        stop_others(&context, &declared, &mut following).await;
        settle(&context, &marks, &mut gone).await;
        for (name, object) in declared {
            if following.contains_key(&name) || gone.contains_key(&name) {
                continue;
            }
            let (stop, own) = Shutdown::manual();
            let known = Following {
                declaration: declaration(&object),
                source: source(&object),
                stop,
                missed: None,
            };
            tasks.spawn(follow(object, context.clone(), marks.clone(), own));
            following.insert(name, known);
        }
        let is_settled = gone.is_empty() && following.values().all(|known| known.missed.is_none());
        let pause = if is_settled { LOOK } else { AGAIN };
        tokio::select! {
            biased;
            () = shutdown.wait() => break,
            Some(ended) = tasks.join_next() => {
                ended_one(ended, &context, &mut following, &mut gone)?;
            }
            Some(_) = changes.next() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    following.values().for_each(|known| known.stop.request());
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// A meter is no longer followed: its object is gone or has changed.
fn ended_one(
    ended: Result<Result<String, Outlived>, JoinError>,
    context: &Context,
    following: &mut BTreeMap<String, Following>,
    gone: &mut BTreeMap<String, Gone>,
) -> Result<(), Outlived> {
    let name = match ended {
        Ok(name) => name?,
        // nobody aborts them; what breaks one breaks the operator, as with any other part of it
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let Some(known) = following.remove(&name) else {
        return Ok(());
    };
    let there = context.world.meters.get(None, &name);
    if there.is_none_or(|object| source(&object) != known.source) {
        let (source, at) = (known.source, known.missed);
        gone.insert(name, Gone { source, at });
    }
    Ok(())
}

/// Stops whoever follows what is no longer declared, or is declared otherwise.
async fn stop_others(
    context: &Context,
    declared: &BTreeMap<String, Kind>,
    following: &mut BTreeMap<String, Following>,
) {
    let misses = following.keys().any(|name| !declared.contains_key(name));
    // with the definition of Meter they all go, and nobody has ended one
    let is_served = misses && context.kit.list::<Kind>(None, None).await.is_ok();
    let now = context.now();
    for (name, known) in following {
        match declared.get(name).map(declaration) {
            Some(is) if is == known.declaration => known.missed = None,
            Some(_) => known.stop.request(),
            None if is_served => {
                let since = *known.missed.get_or_insert(now);
                if now.since(since) >= REMOVED {
                    known.stop.request();
                }
            }
            None => known.missed = None,
        }
    }
}

/// The meters that are declared, by name.
fn declared(context: &Context) -> BTreeMap<String, Kind> {
    let all = context.world.meters.select(|object| {
        // one that is being deleted counts until it is gone
        object.metadata.name.is_some()
    });
    all.into_iter()
        .filter_map(|object| Some((object.metadata.name.clone()?, object)))
        .collect()
}

fn declaration(object: &Kind) -> Declaration {
    let uid = object.metadata.uid.clone().unwrap_or_default();
    (uid, object.metadata.generation)
}

/// Follows one meter until it is asked to stop; gives its name. It ends before if etcd was restored.
async fn follow(
    object: Kind,
    context: Context,
    marks: Watermarks,
    shutdown: Shutdown,
) -> Result<String, Outlived> {
    let name = object.metadata.name.clone().unwrap_or_default();
    match Declared::of(&object) {
        Ok(declared) => {
            let declared = Arc::new(declared);
            let report = report::keep(
                object.clone(),
                Arc::clone(&declared),
                context.clone(),
                shutdown.clone(),
            );
            future::try_join(
                Box::pin(meters::follow::<DynamicObject>(
                    resource(&object.spec),
                    declared,
                    context,
                    marks,
                    shutdown,
                )),
                Box::pin(report.map(Ok)),
            )
            .await?;
        }
        Err(sentence) => {
            Box::pin(report::unreadable(object, sentence, context, shutdown)).await;
        }
    }
    Ok(name)
}

/// Ends what meters counted that are gone, and lets nothing wait for them any more.
async fn settle(context: &Context, marks: &Watermarks, gone: &mut BTreeMap<String, Gone>) {
    let mut settled = Vec::new();
    for (name, Gone { source, at }) in gone.iter() {
        let known = marks.known_to(source);
        let removal = Removal {
            known,
            at: at.unwrap_or_else(|| context.now()),
            prompt: true,
        };
        match end_one(context, &removal, name, source).await {
            Ok(()) => {
                marks.withdraw(source);
                let label = Meter::Declared { name: name.clone() }.to_string();
                marks.sees(&label);
                context.measures.forget(&label);
                settled.push(name.clone());
            }
            Err(error) => meters::report(&error, "failed to end what a meter counted"),
        }
    }
    gone.retain(|name, _| !settled.contains(name));
}

/// Ends what one meter counted, and what it could not count.
async fn end_one(
    context: &Context,
    removal: &Removal,
    name: &str,
    source: &str,
) -> Result<(), Error> {
    let left_over = left_over(context, removal.at, |of| of == source).await?;
    end(context, removal, |counted| counted == name, &left_over).await
}

/// The last gaps of whatever the sources that are meant could not count.
async fn left_over(
    context: &Context,
    at: Second,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<GapDoc>, Error> {
    let store = context.books.store();
    let meters = MADE_BY_METERS.trim_end_matches('/');
    let recorded = store.documents_under::<GapDoc>(meters).await?;
    // meter/NAME/UID of the source, and behind it the uid of the object
    let sources: BTreeSet<&str> = recorded
        .iter()
        .filter_map(|gap| Some(gap.value.source.rsplit_once('/')?.0))
        .filter(|source| source.matches('/').count() == 2 && is_meant(source))
        .collect();
    let last = sources.into_iter().flat_map(|source| {
        let gaps = recorded.iter().map(|gap| &gap.value);
        sink::left_over(source, gaps, at)
    });
    Ok(last.collect())
}

/// Ends whatever is open of the declared meters that are meant. A meter's own end is the end of all that it counts, and the end
/// of the gaps of what it could not count.
async fn end(
    context: &Context,
    removal: &Removal,
    is_meant: impl Fn(&str) -> bool,
    left_over: &[GapDoc],
) -> Result<(), Error> {
    let era = context.books.cluster();
    let mut lives: BTreeMap<(String, String), Life> = BTreeMap::new();
    for recorded in context.books.store().open_objects("meter/").await? {
        let fact = recorded.value;
        if let Some(name) = meant(&era, &fact, &is_meant) {
            let uid = fact.source.uid.clone();
            lives.entry((name, uid)).or_default().note(&fact);
        }
    }
    if lives.is_empty() && left_over.is_empty() {
        return Ok(());
    }
    let policy = context.books.policy().await?;
    let billed = policy.map_or(EstimateBound::Lower, |policy| policy.estimate_bound);
    let mut records: Vec<Record> = lives
        .iter()
        .flat_map(|((_, uid), life)| ends(&era, uid, life, &removal.moment(life, billed)))
        .map(Record::from)
        .collect();
    let (facts, gaps) = (records.len(), left_over.len());
    tracing::info!(facts, gaps, "ends what removed meters counted");
    for gap in left_over {
        records.push(Record::document(gap)?);
    }
    let batch = Batch::of(records).expecting_latest_of_kind::<ClusterDoc>(era.row);
    context.books.store().commit(&batch, context.now()).await?;
    Ok(())
}

/// The name of the meter of a fact, if it is one of those that are meant and of this cluster, in whichever life of its
/// database.
fn meant(era: &Era, fact: &Fact, is_meant: impl Fn(&str) -> bool) -> Option<String> {
    let is_ours = era.knows(&fact.source);
    match &fact.meter {
        Meter::Declared { name } if is_ours && is_meant(name) => Some(name.clone()),
        Meter::Declared { .. } | Meter::Lease { .. } | Meter::Pod { .. } | Meter::Claim { .. } => {
            None
        }
    }
}

impl Removal {
    /// When it was: at the instant at which it was found, unless that is old news.
    fn moment(&self, life: &Life, billed: EstimateBound) -> Moment {
        let evidence = "the meter was removed";
        let latest = life.latest().unwrap_or(self.at);
        let known = self.known.map_or(latest, |known| known.max(latest));
        let known = known.min(self.at);
        if self.prompt && self.at.since(known) <= PROMPT {
            return Moment::exact(self.at, evidence);
        }
        Moment::ended(known, self.at, billed, evidence)
    }
}

fn ends(era: &Era, uid: &str, life: &Life, end: &Moment) -> Vec<Fact> {
    let object = life.subject().map(|subject| subject.object.clone());
    let seen = Seen {
        source: Source {
            cluster: era.uid.clone(),
            etcd: era.etcd,
            uid: uid.to_owned(),
            version: String::new(),
        },
        object: object.unwrap_or_default(),
    };
    life.ended_for("removed", &seen, end)
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::fact::{Bounds, FactKind};

    use super::*;
    use crate::meters::life::fixture::{seen, subject};

    fn open_since(at: i64) -> Life {
        Life::of(&[Fact {
            source: seen(7).source,
            meter: "meter/buckets".parse().unwrap(),
            kind: FactKind::Opened,
            at: Second::new(at),
            quantity: 5,
            subject: subject(),
            estimated: false,
            bounds: None,
            evidence: String::new(),
        }])
    }

    #[test]
    fn a_meters_removal_is_now_when_it_is_news_and_bounded_when_it_is_not() {
        let life = open_since(100);
        let found = |known: Option<i64>, prompt, billed| {
            let removal = Removal {
                known: known.map(Second::new),
                at: Second::new(1000),
                prompt,
            };
            removal.moment(&life, billed)
        };
        let at = |known: Option<i64>, billed| found(known, true, billed);
        let prompt = at(Some(970), EstimateBound::Lower);
        assert_eq!((prompt.at, prompt.bounds), (Second::new(1000), None));
        // while the operator was away it may have been any time since
        let away = found(Some(970), false, EstimateBound::Lower);
        let bounds = Bounds {
            lower: Second::new(970),
            upper: Second::new(1000),
        };
        assert_eq!((away.at, away.bounds), (Second::new(970), Some(bounds)));
        let late = at(Some(400), EstimateBound::Lower);
        let bounds = Bounds {
            lower: Second::new(400),
            upper: Second::new(1000),
        };
        assert_eq!((late.at, late.bounds), (Second::new(400), Some(bounds)));
        assert_eq!(at(Some(400), EstimateBound::Upper).at, Second::new(1000));
        assert_eq!(at(None, EstimateBound::Lower).at, Second::new(100));
    }
}
