//! Meters: what is really used, to the second, across restarts and outages.
//!
//! Each metered kind is followed by one watch that resumes where the ledger's cursor stands ([`sink`]). How an object
//! stands is read from it by pure functions ([`pods`], [`claims`], [`effective`]), and the facts that follow by another
//! ([`life`]). Namespaces belong to tenancies by the ledger alone ([`places`]). A heartbeat says up to when all of this
//! is complete ([`watermark`]); a gap in the watch is bounded and recorded ([`gap`]). What people declare is metered in the
//! same way ([`declared`]).

pub mod claims;
pub mod declared;
pub mod effective;
pub mod gap;
pub mod life;
pub mod metered;
pub mod places;
pub mod pods;
pub mod sink;
pub mod watermark;

use std::time::Duration;

use futures::future;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use leasehold_kit::{heartbeat, shutdown::Shutdown, watch::ResumableWatch};
use leasehold_ledger::{
    policy::Policy,
    time::{PeriodKind, Second},
};

pub use watermark::Watermarks;

use crate::{Context, Error};
use metered::{CLAIMS, Metered, PODS};
use sink::Sink;

/// Name of the Lease that the heartbeat writes in the operator's namespace.
pub const HEARTBEAT: &str = "leasehold-heartbeat";
/// Seconds between two beats when a month is played in minutes.
const BEAT_IN_REHEARSAL: u64 = 2;
/// Seconds between two beats.
const BEAT: u64 = 5;
/// Seconds between two attempts to read the ledger at the start.
const AGAIN: Duration = Duration::from_secs(2);

/// Meters pods, volume claims and what is declared until the shutdown, and keeps `watermarks`.
pub async fn run(context: Context, watermarks: Watermarks, shutdown: Shutdown) {
    // both sources are announced before the first beat, so that neither is taken for complete
    watermarks.announce(PODS, None);
    watermarks.announce(CLAIMS, None);
    Box::pin(declared::announce(&context, &watermarks, &shutdown)).await;
    future::join4(
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
}

/// Follows one kind for one meter until the shutdown.
async fn follow<K: Metered>(
    kind: K::DynamicType,
    of: K::Of,
    context: Context,
    watermarks: Watermarks,
    shutdown: Shutdown,
) {
    while !shutdown.is_requested() {
        match Sink::<K>::resume(of.clone(), &context, &watermarks).await {
            Ok((sink, version)) => {
                let kit = context.kit.clone();
                let watch = ResumableWatch::<K>::of(kind.clone(), kit, version);
                watch.run(sink, shutdown.clone()).await;
            }
            Err(error) => {
                report(&error, "failed to resume a meter");
                pause(AGAIN, &shutdown).await;
            }
        }
    }
}

/// Writes the Lease again and again, and remembers its versions and times.
async fn beats(context: Context, watermarks: Watermarks, shutdown: Shutdown) {
    while !shutdown.is_requested() {
        let policy = match context.books.policy().await {
            Ok(policy) => policy,
            Err(error) => {
                report(&error, "failed to read the policy for a heartbeat");
                None
            }
        };
        if let Some(policy) = &policy {
            beat(&context, &watermarks, policy).await;
        }
        pause(interval(policy.as_ref()), &shutdown).await;
    }
}

async fn beat(context: &Context, watermarks: &Watermarks, policy: &Policy) {
    let settings = &context.settings;
    let beat = heartbeat::beat(
        &context.kit,
        &settings.namespace,
        HEARTBEAT,
        &settings.holder,
    )
    .await;
    match beat {
        Ok(beat) if beat.is_server_time_known => {
            let at = Second::from_timestamp(beat.server_time);
            watermarks.beat(&beat.resource_version, at, policy.late_allowance_seconds);
            for source in [PODS, CLAIMS] {
                let complete = watermarks.source_complete_to(source);
                context.measures.metered_to(source, complete);
            }
        }
        Ok(_) => tracing::warn!("the API server has not told its time; nothing is complete yet"),
        Err(error) => report(&error.into(), "failed to write the heartbeat"),
    }
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
        () = shutdown.wait() => {}
        () = tokio::time::sleep(length) => {}
    }
}

fn report(error: &Error, what: &'static str) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, "{what}");
}
