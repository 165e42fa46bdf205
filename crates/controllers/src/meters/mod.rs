//! Meters: what is really used, to the second, across restarts and outages.
//!
//! Each metered kind is followed by one watch that resumes where the ledger's cursor stands ([`sink`]). How an object
//! stands is read from it by pure functions ([`pods`], [`resized`], [`silence`], [`claims`], [`effective`]), and the facts that follow by another
//! ([`life`]). Namespaces belong to tenancies by the ledger alone ([`places`]). A heartbeat says up to when all of this
//! is complete ([`watermark`]); a gap in the watch is bounded and recorded ([`gap`]); an etcd that was restored from a
//! backup is noticed, and begins anew in the ledger ([`restore`]); so is a clock of the API server that is set ([`steps`]).
//! What people declare is metered in the same way ([`declared`]).

pub mod claims;
pub mod declared;
pub mod effective;
#[cfg(test)]
mod fixture;
pub mod gap;
pub mod life;
pub mod metered;
pub mod places;
pub mod pods;
pub mod resized;
pub mod restore;
pub mod silence;
pub mod sink;
pub mod steps;
pub mod watermark;

use std::time::Duration;

use futures::future;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use leasehold_kit::{
    heartbeat,
    shutdown::Shutdown,
    watch::{Ended, ResumableWatch},
};
use leasehold_ledger::{
    policy::Policy,
    time::{PeriodKind, Second},
};

pub use watermark::Watermarks;

use crate::{Context, Error};
use metered::{CLAIMS, Metered, PODS};
use restore::{Before, Sign};
use sink::Sink;
use steps::Reading;

/// Name of the Lease that the heartbeat writes in the operator's namespace.
pub const HEARTBEAT: &str = "leasehold-heartbeat";
/// Seconds between two beats when a month is played in minutes.
const BEAT_IN_REHEARSAL: u64 = 2;
/// Seconds between two beats.
const BEAT: u64 = 5;
/// Seconds between two attempts to read the ledger at the start.
const AGAIN: Duration = Duration::from_secs(2);

/// What was read from the cluster is of a life of its database that is over: everything must be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlived;

/// Meters pods, volume claims and what is declared until the shutdown, and keeps `watermarks`.
///
/// It ends by itself when etcd was restored from a backup while it ran. That is recorded by then, and the operator has to
/// start anew: caches and controllers hold what is not so any more.
pub async fn run(context: Context, watermarks: Watermarks, shutdown: Shutdown) {
    // both sources are announced before the first beat, so that neither is taken for complete
    watermarks.announce(PODS, None);
    watermarks.announce(CLAIMS, None);
    if !look(&context, &shutdown).await {
        return;
    }
    context.measures.etcd(context.books.cluster().etcd);
    Box::pin(declared::announce(&context, &watermarks, &shutdown)).await;
    let outcome = future::try_join4(
        Box::pin(follow::<Pod>(
            (),
            (),
            context.clone(),
            watermarks.clone(),
            shutdown.clone(),
        )),
        Box::pin(follow::<PersistentVolumeClaim>(
            (),
            (),
            context.clone(),
            watermarks.clone(),
            shutdown.clone(),
        )),
        Box::pin(declared::run(
            context.clone(),
            watermarks.clone(),
            shutdown.clone(),
        )),
        Box::pin(beats(context, watermarks, shutdown)),
    )
    .await;
    if outcome == Err(Outlived) {
        tracing::error!(
            "the operator starts anew: what it has read is of a life of etcd that is over"
        );
    }
}

/// Looks whether etcd was restored while nobody watched. Tells whether that is known, and not whether it was.
async fn look(context: &Context, shutdown: &Shutdown) -> bool {
    while !shutdown.is_requested() {
        match restore::look_at_start(context).await {
            Ok(()) => return true,
            Err(error) => report(
                &error,
                "failed to compare etcd with what the ledger has seen",
            ),
        }
        pause(AGAIN, shutdown).await;
    }
    false
}

/// Begins another life of the database; tried until it is written.
async fn outlive(context: &Context, sign: &Sign, shutdown: &Shutdown) -> Result<(), Outlived> {
    while !shutdown.is_requested() {
        match restore::begin(context, sign).await {
            Ok(()) => return Err(Outlived),
            Err(error) => report(&error, "failed to record that etcd was restored"),
        }
        pause(AGAIN, shutdown).await;
    }
    Ok(())
}

/// What follows when a watch found its server behind what it had reached: etcd was restored. Behind a kind that a person
/// declares there may be another server than the cluster's; if that alone went back, only its own source lists anew.
async fn went_back<K: Metered>(
    of: &K::Of,
    context: &Context,
    watermarks: &Watermarks,
    shutdown: &Shutdown,
) -> Result<(), Outlived> {
    while K::DECLARED && !shutdown.is_requested() {
        match restore::is_alone(context, watermarks, K::source(of)).await {
            Ok(true) => return Ok(()),
            Ok(false) => break,
            Err(error) => report(&error, "failed to tell which server went back"),
        }
        pause(AGAIN, shutdown).await;
    }
    outlive(context, &Sign::Watch, shutdown).await
}

/// Follows one kind for one meter until the shutdown.
async fn follow<K: Metered>(
    kind: K::DynamicType,
    of: K::Of,
    context: Context,
    watermarks: Watermarks,
    shutdown: Shutdown,
) -> Result<(), Outlived> {
    while !shutdown.is_requested() {
        match Sink::<K>::resume(of.clone(), &context, &watermarks).await {
            Ok((sink, version)) => {
                let kit = context.kit.clone();
                let watch = ResumableWatch::<K>::of(kind.clone(), kit, version);
                match watch.run(sink, shutdown.clone()).await {
                    Ended::Asked => {}
                    Ended::WentBack => {
                        went_back::<K>(&of, &context, &watermarks, &shutdown).await?;
                    }
                }
            }
            Err(error) => {
                report(&error, "failed to resume a meter");
                pause(AGAIN, &shutdown).await;
            }
        }
    }
    Ok(())
}

/// Writes the Lease again and again, and remembers its versions and times.
async fn beats(
    context: Context,
    watermarks: Watermarks,
    shutdown: Shutdown,
) -> Result<(), Outlived> {
    while !shutdown.is_requested() {
        let policy = match context.books.policy().await {
            Ok(policy) => policy,
            Err(error) => {
                report(&error, "failed to read the policy for a heartbeat");
                None
            }
        };
        if let Some(policy) = &policy {
            match beat(&context, &watermarks, policy).await {
                Ok(Beaten::On) => {}
                Ok(Beaten::WentBack(sign)) => outlive(&context, &sign, &shutdown).await?,
                Ok(Beaten::Overtaken) => return Err(Outlived),
                Err(error) => report(&error, "failed to write the heartbeat"),
            }
        }
        pause(interval(policy.as_ref()), &shutdown).await;
    }
    Ok(())
}

/// What came of a beat.
enum Beaten {
    /// It counts.
    On,
    /// It shows that etcd was restored.
    WentBack(Sign),
    /// The life of the database that this process reads is over already, or the cluster is another one.
    Overtaken,
}

async fn beat(
    context: &Context,
    watermarks: &Watermarks,
    policy: &Policy,
) -> Result<Beaten, Error> {
    if restore::is_overtaken(context).await? {
        return Ok(Beaten::Overtaken);
    }
    let before = Before::read(context, watermarks).await?;
    if let Some(sign) = before.sign() {
        return Ok(Beaten::WentBack(sign));
    }
    if before.is_another_cluster(context).await? {
        return Ok(Beaten::Overtaken);
    }
    let (beat, version) = written(context, watermarks).await?;
    let sign = before.sign_after(context, &version).await?;
    if let Some(sign) = sign {
        return Ok(Beaten::WentBack(sign));
    }
    if !beat.is_server_time_known {
        tracing::warn!("the API server has not told its time; nothing is complete yet");
        return Ok(Beaten::On);
    }
    let at = Second::from_timestamp(beat.server_time);
    mind_steps(context, watermarks, at).await?;
    let beat = watermark::Beat {
        version,
        lease: beat.resource_version,
        at,
    };
    watermarks.beat(beat, policy.late_allowance_seconds);
    for source in [PODS, CLAIMS] {
        let complete = watermarks.source_complete_to(source);
        context.measures.metered_to(source, complete);
    }
    Ok(Beaten::On)
}

/// Writes the Lease. Also gives a version of the cluster that is not before the write: its own, unless Leases have an etcd of
/// their own, which counts otherwise. That is asked once.
async fn written(
    context: &Context,
    watermarks: &Watermarks,
) -> Result<(heartbeat::Beat, String), Error> {
    let (kit, settings) = (&context.kit, &context.settings);
    let apart = watermarks.is_apart();
    let before = match apart {
        Some(_) => String::new(),
        None => kit.newest_version::<Namespace>(None).await?,
    };
    let beat = heartbeat::beat(kit, &settings.namespace, HEARTBEAT, &settings.holder).await?;
    if apart == Some(false) {
        let version = beat.resource_version.clone();
        return Ok((beat, version));
    }
    let after = kit.newest_version::<Namespace>(None).await?;
    if apart.is_none() {
        let is_apart = !watermark::is_between(&before, &beat.resource_version, &after);
        watermarks.tell_apart(is_apart);
        tracing::info!(is_apart, "knows where Leases are stored");
    }
    Ok((beat, after))
}

/// Records a gap where the API server's clock was set since the last beat.
async fn mind_steps(context: &Context, marks: &Watermarks, at: Second) -> Result<(), Error> {
    let clock = context.kit.clock();
    let now = Reading {
        server: at,
        wall: Second::from_timestamp(clock.now()),
        monotonic: i64::try_from(clock.monotonic().as_secs()).unwrap_or(i64::MAX),
    };
    let step = match marks.reading() {
        Some(before) => steps::step(&before, &now),
        None => steps::step_back(marks.furthest(), at),
    };
    if let Some(step) = step {
        let gap = steps::gap(step, at);
        tracing::error!(from = %gap.from, to = %gap.to, reason = gap.reason, "the API server's clock was set");
        context.books.ensure(&gap, at).await?;
        if at == step.from {
            marks.set_back(at);
        }
    }
    marks.clocks(now);
    Ok(())
}

fn interval(policy: Option<&Policy>) -> Duration {
    let seconds = match policy.map(|policy| policy.period) {
        Some(PeriodKind::Rehearsal { .. }) | None => BEAT_IN_REHEARSAL,
        Some(PeriodKind::Month | PeriodKind::Day) => BEAT,
    };
    Duration::from_secs(seconds)
}

async fn pause(length: Duration, shutdown: &Shutdown) {
    tokio::select! {
        biased;
        () = shutdown.wait() => {}
        () = tokio::time::sleep(length) => {}
    }
}

fn report(error: &Error, what: &'static str) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "{what}");
}
