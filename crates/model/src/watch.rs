//! Watches: events in order from a version on, a bookmark before the end, and an error when the version is gone. From a
//! version that is not reached yet nothing comes, not even a bookmark.

use std::{collections::VecDeque, convert::Infallible, mem, pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

use crate::{
    bell::Listener,
    call::Call,
    chance::Chance,
    faults::Delivery,
    kinds::Kind,
    object::set,
    refusal::Refusal,
    reply::{partial, text},
    selector::Selector,
    server::{Caller, Server},
    store::{Event, EventKind, Store},
};

/// A watch that does not say how long it wants to last.
const LONGEST: u64 = 1800;
/// So long before its end a watch gets a bookmark.
const BOOKMARK_BEFORE_END: u64 = 2;

/// The bookmark before the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bookmark {
    /// It is not wanted, or was given.
    None,
    /// Its time will come.
    Ahead,
    /// Its time has come.
    Due,
}

/// One open watch.
pub(crate) struct Watching {
    server: Server,
    caller: Caller,
    kind: Arc<Kind>,
    namespace: String,
    selector: Selector,
    is_partial: bool,
    /// Up to this version everything was looked at.
    reached: u64,
    /// Whether nothing was looked at yet.
    is_fresh: bool,
    ready: VecDeque<String>,
    /// Changes of the kind.
    changes: Listener,
    end: Pin<Box<Sleep>>,
    mark: Pin<Box<Sleep>>,
    bookmark: Bookmark,
    /// How often a former state had been put back when it was opened.
    restores: u64,
    is_over: bool,
    chance: Chance,
}

impl Watching {
    /// Opens a watch; of metadata alone, if `is_partial`.
    pub(crate) fn open(
        server: &Server,
        call: &Call,
        caller: &Caller,
        is_partial: bool,
    ) -> Result<Self, Refusal> {
        let selector = Selector::of(call)?;
        let seconds = call.parameter("timeoutSeconds").parse().unwrap_or(LONGEST);
        let asked = call.parameter("resourceVersion");
        let wants_all = call.parameter("sendInitialEvents") == "true";
        // whoever names no version gets everything that is there first
        let from_scratch = wants_all || matches!(asked, "" | "0");
        // listens before it looks, so that nothing falls in between
        let changes = server.changes_of(&call.kind);
        let mut watching = Self {
            changes,
            caller: caller.clone(),
            kind: Arc::clone(&call.kind),
            namespace: call.namespace.clone(),
            selector,
            is_partial,
            reached: 0,
            is_fresh: true,
            ready: VecDeque::new(),
            end: Box::pin(sleep(Duration::from_secs(seconds))),
            mark: Box::pin(sleep(Duration::from_secs(
                seconds.saturating_sub(BOOKMARK_BEFORE_END),
            ))),
            bookmark: if call.parameter("allowWatchBookmarks") == "true"
                && seconds > BOOKMARK_BEFORE_END
            {
                Bookmark::Ahead
            } else {
                Bookmark::None
            },
            restores: server.look(Store::restores),
            is_over: false,
            chance: if caller.life.is_some() {
                server.branch()
            } else {
                Chance::new(0)
            },
            server: server.clone(),
        };
        if from_scratch {
            watching.look_around(wants_all);
            return Ok(watching);
        }
        let asked = asked
            .parse()
            .map_err(|_| Refusal::bad_request(format!("invalid resource version {asked:?}")))?;
        let current = server.look(Store::version);
        if asked > current {
            watching.bookmark = Bookmark::None;
        }
        watching.reached = asked;
        Ok(watching)
    }

    /// Tells everything that is there.
    fn look_around(&mut self, with_end: bool) {
        let (objects, version) = self.server.look(|store| {
            let objects: Vec<Arc<Value>> = store
                .of_kind(&self.kind, &self.namespace)
                .filter(|(_, object)| self.selector.matches(object))
                .map(|(_, object)| Arc::clone(object))
                .collect();
            (objects, store.version())
        });
        self.reached = version;
        for object in objects {
            let line = self.line("ADDED", &object);
            self.ready.push_back(line);
        }
        if with_end {
            let line = self.bookmark(true);
            self.ready.push_back(line);
        }
    }

    /// What comes, line by line, until the end.
    pub(crate) fn stream(self) -> impl Stream<Item = Result<String, Infallible>> + Send + 'static {
        stream::unfold(self, |mut watching| async move {
            let line = watching.next().await?;
            Some((Ok(line), watching))
        })
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if self.server.is_dead(&self.caller) {
                // a dead process hears nothing, not even that the connection broke
                std::future::pending::<()>().await;
            }
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.is_over || self.is_cut() {
                return None;
            }
            match self.next_event() {
                Err(refusal) => {
                    self.is_over = true;
                    return Some(error(&refusal));
                }
                Ok(Some(line)) => {
                    if let Some(line) = self.deliver(line).await {
                        return Some(line);
                    }
                }
                // it was not woken for changes of other kinds, and has only now gone past them
                Ok(None) if self.bookmark == Bookmark::Due => {
                    self.bookmark = Bookmark::None;
                    return Some(self.bookmark(false));
                }
                Ok(None) => {
                    tokio::select! {
                        biased;
                        () = self.end.as_mut() => return None,
                        () = self.mark.as_mut(), if self.bookmark == Bookmark::Ahead => {
                            self.bookmark = Bookmark::Due;
                        }
                        () = self.changes.hear() => {}
                    }
                }
            }
        }
    }

    /// Whether a former state was put back since it was opened, for which the API server is started anew, or the kind is
    /// not served any more.
    fn is_cut(&self) -> bool {
        self.server.look(Store::restores) != self.restores || !self.server.serves(&self.kind)
    }

    /// The next event that is asked for, if there is one already.
    fn next_event(&mut self) -> Result<Option<String>, Refusal> {
        let reached = self.reached;
        let is_fresh = mem::take(&mut self.is_fresh);
        let (found, reached) = self.server.look(|store| -> Result<_, Refusal> {
            // what was forgotten meanwhile is none of its business, if nothing of it was of its kind
            if !is_fresh && store.latest_of(&self.kind) <= reached {
                return Ok((None, reached.max(store.version())));
            }
            let mut last = reached;
            for event in store.events_after(reached)? {
                last = event.version;
                if let Some(told) = self.told(event) {
                    return Ok((Some(told), last));
                }
            }
            Ok((None, last))
        })?;
        self.reached = reached;
        Ok(found.map(|(type_, object)| self.line(type_, &object)))
    }

    /// What an event is to this watch: objects come and go by its selector, too.
    fn told(&self, event: &Event) -> Option<(&'static str, Arc<Value>)> {
        let is_meant = event.key.resource == self.kind.resource()
            && (self.namespace.is_empty() || event.key.namespace == self.namespace);
        if !is_meant {
            return None;
        }
        let before = event
            .before
            .as_ref()
            .filter(|before| self.selector.matches(before));
        let is_there = event.kind != EventKind::Deleted && self.selector.matches(&event.object);
        match (before, is_there) {
            (None, false) => None,
            (None, true) => Some(("ADDED", Arc::clone(&event.object))),
            (Some(_), true) => Some(("MODIFIED", Arc::clone(&event.object))),
            (Some(_), false) if event.kind == EventKind::Deleted => {
                Some(("DELETED", Arc::clone(&event.object)))
            }
            (Some(before), false) => {
                let mut last = Value::clone(before);
                let version = Value::String(event.version.to_string());
                set(&mut last, &["metadata", "resourceVersion"], version);
                Some(("DELETED", Arc::new(last)))
            }
        }
    }

    /// Lets an event arrive, late or not at all.
    async fn deliver(&mut self, line: String) -> Option<String> {
        if self.caller.life.is_none() {
            return Some(line);
        }
        let lateness = self.server.lateness(&mut self.chance);
        if !lateness.is_zero() {
            sleep(lateness).await;
        }
        match self.server.delivery(&mut self.chance) {
            Delivery::Arrives => Some(line),
            Delivery::Lost => None,
            Delivery::Cut => {
                self.is_over = true;
                Some(line)
            }
            Delivery::Expired => {
                self.is_over = true;
                Some(error(&Refusal::gone(self.reached, self.reached)))
            }
        }
    }

    fn line(&self, type_: &str, object: &Value) -> String {
        let object = if self.is_partial {
            partial(object)
        } else {
            text(object)
        };
        format!("{{\"type\":\"{type_}\",\"object\":{object}}}\n")
    }

    fn bookmark(&self, ends_first_list: bool) -> String {
        let mut metadata = json!({"resourceVersion": self.reached.to_string()});
        if ends_first_list {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            set(&mut metadata, &["annotations"], annotations);
        }
        let (api_version, kind) = (self.kind.api_version(), &self.kind.kind);
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
    }
}

fn error(refusal: &Refusal) -> String {
    let object = refusal.to_status();
    format!("{}\n", json!({"type": "ERROR", "object": object}))
}
