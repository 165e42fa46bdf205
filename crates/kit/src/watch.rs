//! A watch for meters: it resumes from a stored version, and lists only when it must.
//!
//! `kube`'s own watcher always lists first, hides bookmarks and takes no version to start from. Meters need all three:
//! a list makes a gap in which things may have come and gone unseen. This watch opens at the version that the sink
//! stored last, passes on every event in order, and tells the sink about each bookmark. Only when the server no longer
//! has the version (410, as an HTTP error or as an event) does it list, once, and it says so: [`WatchSink::relisted`].
//!
//! A server whose etcd was restored from a backup stands at a version that it had before. It accepts a watch from a
//! version that it has not reached, and stays silent, without bookmarks, until it gets there: what happens meanwhile
//! would be missed, and what happens then be taken for something else. So a connection that ends without having brought
//! anything compares its version with that of a list of one, and the watch ends when the server went back:
//! [`Ended::WentBack`].

use std::{error::Error as StdError, time::Duration};

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Resource,
    api::{ListParams, WatchEvent, WatchParams},
    core::{DeserializeGuard, Status, error_boundary::InvalidObject},
};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::{
    backoff::Backoff,
    call::requests_of,
    client::Kit,
    error,
    pressed::Shelved,
    read::{Followed, Readable},
    shutdown::Shutdown,
};

/// The server ends a watch after so many seconds; two seconds before, it sends a bookmark.
const WATCH_SECONDS: u32 = 10;
/// A connection on which nothing came for so long is dead.
const SILENCE: Duration = Duration::from_secs(25);
/// A connection that brings nothing and ends within this time is a failure.
const BRIEF: Duration = Duration::from_secs(1);
/// Pauses after failures.
const PAUSES: Backoff = Backoff {
    min: Duration::from_millis(200),
    max: Duration::from_secs(10),
};
/// No two lists follow each other sooner.
const LIST_PAUSE: Duration = Duration::from_secs(5);
/// A server that says it is behind our version may catch up; after so many refusals in a row its version is asked for.
const AHEAD_LIMIT: u32 = 5;

/// At which version and time something was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The version that the watch has reached with it. Stored together with what the sink made of the event, the watch
    /// resumes after it.
    pub version: String,
    /// The API server's time when it arrived. It stays the same when the event is offered again.
    pub at: Timestamp,
}

/// A time in which nothing was watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The version up to which all was seen; `None` when the watch was never begun.
    pub version: Option<String>,
    /// The API server's time when this process last heard from the watch; `None` if it never did.
    pub since: Option<Timestamp>,
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop.
    Asked,
    /// The server stands at an earlier version than the watch has reached: its etcd was restored from a backup, or it is
    /// another server. The version is worth nothing any more, and neither is that of any other watch of the server.
    WentBack,
}

/// Why a watch sees nothing at the moment. It goes on by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The status code of the API server's answer: 403 where a right is missing, 404 where the kind is not served; `None`
    /// when there was no answer.
    pub code: Option<u16>,
    /// What the API server said, or a word for what happened.
    pub message: String,
    /// The how many-th time in a row it is, from 1.
    pub times: u32,
}

/// How a watch goes on after it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// From the version that it has reached.
    FromThere,
    /// With a list of all objects: what the version stands for is over.
    Anew,
}

/// Whoever wants to know. What it returns with an error is offered again, after a pause, until it is taken.
pub trait WatchSink<K: Followed>: Send {
    /// Why an event could not be taken, such as a database that is away.
    type Error: StdError + Send + Sync + 'static;

    /// An object appeared or changed.
    fn applied(
        &mut self,
        object: &K,
        seen: &Seen,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// An object was removed; this is how it was last.
    fn deleted(
        &mut self,
        object: &K,
        seen: &Seen,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// All up to this version has been seen.
    fn bookmark(&mut self, seen: &Seen) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// These are all objects there are, after a gap or at the very first. What is not among them is gone, and things
    /// may have come and gone in between. They may be many, so each takes little room until it is read.
    fn relisted(
        &mut self,
        gap: &Gap,
        objects: &[Shelved<K>],
        seen: &Seen,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The watch was lost and is tried again after a pause.
    fn lost(&mut self, lost: &Lost) -> impl Future<Output = GoOn> + Send {
        tracing::debug!(?lost, "a watch was lost");
        async { GoOn::FromThere }
    }

    /// An object that does not fit its definition appeared, changed or was removed. It is passed over; by default that
    /// is logged as an error.
    fn undecodable(
        &mut self,
        object: &InvalidObject,
        seen: &Seen,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        tracing::error!(
            namespace = object.metadata.namespace,
            name = object.metadata.name,
            version = seen.version,
            error = %object,
            "an object does not fit its definition and is passed over"
        );
        async { Ok(()) }
    }
}

/// A watch that resumes.
pub struct ResumableWatch<K: Followed> {
    kit: Kit,
    kind: K::DynamicType,
    namespace: Option<String>,
    labels: Option<String>,
    fields: Option<String>,
    version: Option<String>,
    heard: Option<Timestamp>,
    listed: Option<Duration>,
    ahead: u32,
    /// What the API server answered when it was last lost.
    answer: Option<(u16, String)>,
}

/// What the server sent, as it is offered to the sink.
enum Offer<K> {
    Applied(K),
    Deleted(K),
    Bookmark,
    Relisted(Gap, Vec<Shelved<K>>),
    Undecodable(Box<InvalidObject>),
}

/// An object of a list that is looked at later, or why it does not fit its definition.
fn shelved<K: Followed + Serialize>(
    guard: DeserializeGuard<K>,
) -> Result<Shelved<K>, Box<InvalidObject>> {
    guard.0.map(Shelved::of).map_err(Box::new)
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The server closed it in its time, or after having brought something.
    Closed,
    /// The server no longer has our version.
    Expired,
    /// The server says again and again that it has not reached our version.
    Ahead,
    /// The server went back to an earlier version.
    WentBack,
    /// Something failed; the version is still good.
    Failed(&'static str),
}

impl<K: Readable + Serialize> ResumableWatch<K> {
    /// Watches all objects of the kind from the version stored last; without one it lists first.
    pub fn new(kit: Kit, version: Option<String>) -> Self {
        Self::of((), kit, version)
    }
}

impl<K: Followed + Serialize> ResumableWatch<K> {
    /// [`Self::new`] of a kind that may be known by name alone.
    pub fn of(kind: K::DynamicType, kit: Kit, version: Option<String>) -> Self {
        Self {
            kit,
            kind,
            namespace: None,
            labels: None,
            fields: None,
            version: version.filter(|version| !version.is_empty()),
            heard: None,
            listed: None,
            ahead: 0,
            answer: None,
        }
    }

    /// Watches one namespace only.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Watches objects that carry these labels only.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        self.labels = Some(selector.to_owned());
        self
    }

    /// Watches objects with these fields only.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        self.fields = Some(selector.to_owned());
        self
    }

    /// Watches until asked to stop, or until the server went back. An event that the sink is busy with when it is asked
    /// to stop is dropped with the sink's future: what the sink has not stored comes again after the restart.
    pub async fn run<S: WatchSink<K>>(mut self, mut sink: S, shutdown: Shutdown) -> Ended {
        tokio::select! {
            biased;
            () = shutdown.wait() => Ended::Asked,
            ended = self.watch_on(&mut sink) => ended,
        }
    }

    async fn watch_on<S: WatchSink<K>>(&mut self, sink: &mut S) -> Ended {
        let mut failures = 0_u32;
        loop {
            let end = match self.version.clone() {
                None => self.relist(sink).await,
                Some(version) => match self.connect(sink, &version).await {
                    End::Expired => self.relist(sink).await,
                    end @ (End::Closed | End::Ahead | End::WentBack | End::Failed(_)) => {
                        self.placed(end, &version).await
                    }
                },
            };
            let reason = match end {
                End::Closed => {
                    failures = 0;
                    continue;
                }
                End::WentBack => return Ended::WentBack,
                End::Expired => "Expired",
                End::Ahead => "Refused",
                End::Failed(reason) => reason,
            };
            self.kit
                .metrics()
                .watch_restarted(&K::kind(&self.kind), reason);
            let (code, message) = self.answer.take().unzip();
            let lost = Lost {
                code,
                message: message.unwrap_or_else(|| reason.to_owned()),
                times: failures.saturating_add(1),
            };
            if sink.lost(&lost).await == GoOn::Anew {
                self.version = None;
            }
            sleep(PAUSES.pause(failures, self.kit.jitter())).await;
            failures = failures.saturating_add(1);
        }
    }

    /// The end of a connection, or that the server went back. A connection that did not get beyond the version at which it
    /// was opened may be waiting for one that the server has yet to reach.
    async fn placed(&self, end: End, opened_at: &str) -> End {
        let may_wait = match end {
            End::Ahead => true,
            End::Closed | End::Failed("Silent" | "Empty") => {
                self.version.as_deref() == Some(opened_at)
            }
            End::Expired | End::WentBack | End::Failed(_) => false,
        };
        if !may_wait {
            return end;
        }
        match self
            .kit
            .newest_version_of::<K>(&self.kind, self.namespace.as_deref())
            .await
        {
            Ok(newest) if version_behind(&newest, opened_at) => {
                tracing::error!(kind = %K::kind(&self.kind), reached = opened_at, newest, "the API server went back");
                End::WentBack
            }
            Ok(_) => end,
            Err(error) => {
                let error: &dyn StdError = &error;
                tracing::debug!(kind = %K::kind(&self.kind), error, "failed to ask for the newest version");
                end
            }
        }
    }

    /// Lists once and hands all to the sink, with the gap since the version reached so far.
    async fn relist<S: WatchSink<K>>(&mut self, sink: &mut S) -> End {
        if let Some(before) = self.listed {
            let passed = self.kit.clock().monotonic().saturating_sub(before);
            sleep(LIST_PAUSE.saturating_sub(passed)).await;
        }
        self.listed = Some(self.kit.clock().monotonic());
        let params = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            ..ListParams::default()
        };
        let listed = match self
            .kit
            .list_as(&self.kind, self.namespace.as_deref(), &params, shelved::<K>)
            .await
        {
            Ok(listed) => listed,
            Err(error) => {
                let said = error.message().map(str::to_owned);
                self.answer = error.code().zip(said);
                let error: &dyn StdError = &error;
                tracing::warn!(kind = %K::kind(&self.kind), error, "failed to list for a watch");
                return End::Failed("ListFailed");
            }
        };
        if let Some(reached) = &self.version
            && version_behind(&listed.resource_version, reached)
        {
            tracing::error!(kind = %K::kind(&self.kind), reached, newest = listed.resource_version, "the API server went back");
            return End::WentBack;
        }
        let gap = Gap {
            version: self.version.clone(),
            since: self.heard,
        };
        tracing::warn!(kind = %K::kind(&self.kind), ?gap, version = listed.resource_version, "listed anew");
        let seen = self.seen(listed.resource_version);
        let mut objects = Vec::new();
        for object in listed.items {
            match object {
                Ok(object) => objects.push(object),
                Err(invalid) => {
                    self.offer(sink, &Offer::Undecodable(invalid), &seen).await;
                }
            }
        }
        self.offer(sink, &Offer::Relisted(gap, objects), &seen)
            .await;
        self.reached(seen);
        End::Closed
    }

    /// One connection: opens it at the version and passes on what comes.
    async fn connect<S: WatchSink<K>>(&mut self, sink: &mut S, version: &str) -> End {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            ..WatchParams::default()
        };
        let Ok(request) =
            requests_of::<K>(&self.kind, self.namespace.as_deref()).watch(&params, version)
        else {
            return End::Failed("NotSendable");
        };
        let client = self.kit.client();
        let opening = client.request_events::<DeserializeGuard<K>>(request);
        let events = match timeout(self.kit.deadline(), opening).await {
            Ok(Ok(events)) => events,
            Ok(Err(failure)) => return self.failed(&failure),
            Err(_) => return End::Failed("Timeout"),
        };
        let mut events = Box::pin(events);
        let start = self.kit.clock().monotonic();
        loop {
            match timeout(SILENCE, events.next()).await {
                Ok(Some(Ok(event))) => {
                    if let Some(end) = self.take(sink, event).await {
                        return end;
                    }
                }
                Ok(Some(Err(failure))) => return self.failed(&failure),
                Ok(None) => {
                    let lasted = self.kit.clock().monotonic().saturating_sub(start);
                    let is_advanced = self.version.as_deref() != Some(version);
                    // one that closes at once and brings nothing must not be opened at once for ever
                    let is_useful = is_advanced || lasted >= BRIEF;
                    return if is_useful {
                        End::Closed
                    } else {
                        End::Failed("Empty")
                    };
                }
                Err(_) => return End::Failed("Silent"),
            }
        }
    }

    /// Passes one event on; an event that ends the connection is returned as its end.
    async fn take<S: WatchSink<K>>(
        &mut self,
        sink: &mut S,
        event: WatchEvent<DeserializeGuard<K>>,
    ) -> Option<End> {
        let (version, offer) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                (version_of(&object), decoded(object, Offer::Applied))
            }
            WatchEvent::Deleted(object) => (version_of(&object), decoded(object, Offer::Deleted)),
            WatchEvent::Bookmark(bookmark) => {
                (Some(bookmark.metadata.resource_version), Offer::Bookmark)
            }
            WatchEvent::Error(status) => return Some(self.refused(&status)),
        };
        let Some(version) = version else {
            return Some(End::Failed("NoVersion"));
        };
        let seen = self.seen(version);
        self.offer(sink, &offer, &seen).await;
        self.reached(seen);
        None
    }

    /// Offers something to the sink until it is taken.
    async fn offer<S: WatchSink<K>>(&self, sink: &mut S, offer: &Offer<K>, seen: &Seen) {
        let mut failures = 0_u32;
        loop {
            let taken = match offer {
                Offer::Applied(object) => sink.applied(object, seen).await,
                Offer::Deleted(object) => sink.deleted(object, seen).await,
                Offer::Bookmark => sink.bookmark(seen).await,
                Offer::Relisted(gap, objects) => sink.relisted(gap, objects, seen).await,
                Offer::Undecodable(invalid) => sink.undecodable(invalid, seen).await,
            };
            let Err(error) = taken else { return };
            {
                let error: &dyn StdError = &error;
                tracing::warn!(kind = %K::kind(&self.kind), ?seen, error, "an event was not taken, it is offered again");
            }
            let pause = PAUSES.pause(failures, self.kit.jitter());
            sleep(pause).await;
            failures = failures.saturating_add(1);
        }
    }

    fn seen(&self, version: String) -> Seen {
        Seen {
            version,
            at: self.kit.server_time().now(),
        }
    }

    fn reached(&mut self, seen: Seen) {
        let at = seen.at.as_second();
        self.kit.metrics().watch_heard(&K::kind(&self.kind), at);
        self.version = Some(seen.version);
        self.heard = Some(seen.at);
        self.ahead = 0;
    }

    fn failed(&mut self, failure: &kube::Error) -> End {
        if let kube::Error::Api(status) = failure {
            return self.refused(status);
        }
        tracing::debug!(kind = %K::kind(&self.kind), error = %failure, "watch failed");
        End::Failed("Disconnected")
    }

    fn refused(&mut self, status: &Status) -> End {
        if error::is_gone(status) {
            return End::Expired;
        }
        self.answer = Some((status.code, status.message.clone()));
        if error::is_ahead(status) {
            self.ahead = self.ahead.saturating_add(1);
            if self.ahead >= AHEAD_LIMIT {
                self.ahead = 0;
                return End::Ahead;
            }
        }
        tracing::warn!(kind = %K::kind(&self.kind), %status, "watch was refused");
        End::Failed("Refused")
    }
}

fn version_of<K: Resource>(object: &K) -> Option<String> {
    object.meta().resource_version.clone()
}

fn decoded<K>(object: DeserializeGuard<K>, offer: fn(K) -> Offer<K>) -> Offer<K> {
    match object.0 {
        Ok(object) => offer(object),
        Err(invalid) => Offer::Undecodable(Box::new(invalid)),
    }
}

/// Whether a version is at or beyond another. Versions of one cluster are decimal numbers that grow; anything else is
/// beyond nothing but itself.
pub fn version_reached(version: &str, target: &str) -> bool {
    let number = |text: &str| text.parse::<u128>().ok();
    match (number(version), number(target)) {
        (Some(version), Some(target)) => version >= target,
        (None, _) | (_, None) => version == target,
    }
}

/// Whether a version is certainly before another: both are numbers, and it is the lower one.
pub fn version_behind(version: &str, target: &str) -> bool {
    let number = |text: &str| text.parse::<u128>().ok();
    number(version)
        .zip(number(target))
        .is_some_and(|(version, target)| version < target)
}

#[cfg(test)]
mod tests;
