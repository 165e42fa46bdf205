//! What a watch does beside bringing one event after the other: it lists, it is lost, and its kind may be gone.

use std::collections::BTreeSet;

use kube::ResourceExt;
use leasehold_kit::watch::{self, Gap, GoOn, Lost, WatchSink};
use leasehold_ledger::{
    document::{Document, GapDoc},
    fact::Fact,
    time::Second,
};
use leasehold_planner::quota;
use leasehold_store::Record;

use super::{
    super::{
        gap,
        life::{Moment, Standing},
        metered::{Metered, Note},
        places::may_count,
    },
    Look, News, Sink,
};
use crate::Error;

/// The answer where a right is missing.
const FORBIDDEN: u16 = 403;
/// The answer where a kind is not served.
const NOT_FOUND: u16 = 404;
/// Why there is a gap, when changes are gone.
const FORGOTTEN: &str = "the API server no longer had the changes since the last one seen";
/// Why there is a gap, when the kind was gone.
const NOT_SERVED: &str = "the API server did not serve the kind for a while";
/// A watch that was lost so many times in a row sees nothing.
const PATIENT: u32 = 3;
/// A kind that was not served for so many seconds is gone. An API server that starts may not know it for a moment.
const VANISHED: i64 = 10;

/// For how long a kind is not served.
pub(super) struct Missing {
    /// When that was answered first.
    first: Second,
    /// When it was answered last.
    asked: Second,
}

impl<K: Metered> Sink<K> {
    /// Ends what is open in the ledger and not among what exists.
    async fn absent(
        &mut self,
        present: &BTreeSet<String>,
        seen: &watch::Seen,
    ) -> Result<(Vec<Fact>, BTreeSet<String>), Error> {
        let sight = self
            .sight(Second::from_timestamp(seen.at), true, true)
            .await?;
        let mut facts = Vec::new();
        let mut absent = BTreeSet::new();
        for (uid, life) in self.lives.iter().flatten() {
            if present.contains(uid) {
                continue;
            }
            absent.insert(uid.clone());
            let (Some(subject), Some(latest)) = (life.subject(), life.latest()) else {
                continue;
            };
            let lower = sight.known_to.unwrap_or(latest).max(latest);
            let end = Moment::ended(lower, sight.now, sight.billed, "absent after a gap");
            let version = format!("relist-{}", seen.version);
            let object = self.seen_as(uid.clone(), version, subject.object.clone());
            facts.extend(life.facts(&object, &Standing::over_at(end), None));
        }
        Ok((facts, absent))
    }

    /// The gap before a list, unless it is recorded or there was none.
    async fn gap(&self, now: Second, reason: &str) -> Result<Option<Record>, Error> {
        let Some(from) = self.known_to().filter(|from| *from < now) else {
            return Ok(None);
        };
        let quotas: Vec<quota::Hard> = self
            .context
            .world
            .quotas
            .select(|_| true)
            .iter()
            .filter_map(|quota| quota.status.as_ref()?.hard.as_ref().map(quota::parse))
            .collect();
        let document = GapDoc {
            source: K::source(&self.of).to_owned(),
            from,
            to: now,
            reason: reason.to_owned(),
            upper: gap::upper_bounds(K::meters(&self.of), &quotas, now.since(from)),
            at: now,
        };
        let known = self
            .context
            .books
            .store()
            .document::<GapDoc>(&document.key())
            .await?;
        Ok(if known.is_some() {
            None
        } else {
            Some(Record::document(&document)?)
        })
    }

    async fn list(
        &mut self,
        since: Second,
        reason: &str,
        objects: &[K],
        seen: &watch::Seen,
    ) -> Result<(), Error> {
        self.load().await?;
        self.taking.clone_from(&seen.version);
        let now = Second::from_timestamp(seen.at);
        let present: BTreeSet<String> = objects.iter().filter_map(ResourceExt::uid).collect();
        let counted: BTreeSet<String> = objects
            .iter()
            .filter(|object| may_count(&object.namespace().unwrap_or_default()))
            .filter_map(ResourceExt::uid)
            .collect();
        self.histories(&counted).await?;
        self.waiting.retain(|uid, _| present.contains(uid));
        let sight = self.sight(now, false, true).await?;
        let (facts, absent) = self.absent(&present, seen).await?;
        let mut news = News {
            facts,
            gaps: self.gap(now, reason).await?.into_iter().collect(),
            settled: BTreeSet::new(),
        };
        for object in objects {
            match self.look(object, &sight).await? {
                Look::Facts(facts) => {
                    news.facts.extend(facts);
                    news.settled.extend(object.uid());
                }
                Look::Unknown => self.keep(object, &sight),
            }
        }
        self.saved = Second::MIN;
        self.commit(news, seen).await?;
        // the list was asked for after the last event was taken, so it shows how things stood then
        if self.waiting.is_empty() {
            self.marks.known(K::source(&self.of), since);
        }
        if let Some(lives) = &mut self.lives {
            lives.retain(|uid, _| !absent.contains(uid));
        }
        K::note(&self.of, &Note::Begun(Some(now)));
        Ok(())
    }

    fn known_to(&self) -> Option<Second> {
        self.marks.known_to(K::source(&self.of))
    }

    /// The watch brought something.
    fn heard(&mut self) {
        self.missing = None;
        K::note(&self.of, &Note::Heard);
        let blind = K::is_blind(&self.of);
        self.context.measures.blind(K::label(&self.of), blind);
    }

    /// The kind is not served. Once that is so for a while, everything of it is gone: what is open ends, and nothing is
    /// missing up to the last time at which it was asked for. Whatever comes later is listed anew.
    async fn not_served(&mut self) -> Result<GoOn, Error> {
        let now = self.context.now();
        let Some(missing) = &mut self.missing else {
            self.missing = Some(Missing {
                first: now,
                asked: now,
            });
            return Ok(GoOn::FromThere);
        };
        // the answer that just came was asked for after the one before it had come
        let Missing { first, asked } = *missing;
        missing.asked = now;
        if asked.since(first) < VANISHED {
            return Ok(GoOn::FromThere);
        }
        K::note(&self.of, &Note::Absent);
        let Some((version, at)) = self.marks.beat_between(first, asked) else {
            return Ok(GoOn::Anew);
        };
        self.load().await?;
        let seen = watch::Seen {
            version,
            at: at.timestamp(),
        };
        let sight = self.sight(at, true, true).await?;
        let (facts, absent) = self.absent(&BTreeSet::new(), &seen).await?;
        let mut news = News {
            facts,
            ..News::default()
        };
        let waiting: Vec<K> = self.waiting.values().map(|w| w.object.clone()).collect();
        for object in waiting {
            news.gaps.extend(self.gone_unknown(&object, &sight).await?);
            news.settled.extend(object.uid());
        }
        // a version from before would tell nothing of what comes back
        let nowhere = watch::Seen {
            version: String::new(),
            ..seen
        };
        self.commit(news, &nowhere).await?;
        self.marks.known(K::source(&self.of), at);
        if let Some(lives) = &mut self.lives {
            lives.retain(|uid, _| !absent.contains(uid));
        }
        Ok(GoOn::Anew)
    }
}

impl<K: Metered> WatchSink<K> for Sink<K> {
    type Error = Error;

    async fn applied(&mut self, object: &K, seen: &watch::Seen) -> Result<(), Error> {
        self.heard();
        self.take(object, seen, false).await
    }

    async fn deleted(&mut self, object: &K, seen: &watch::Seen) -> Result<(), Error> {
        self.heard();
        self.take(object, seen, true).await
    }

    async fn bookmark(&mut self, seen: &watch::Seen) -> Result<(), Error> {
        self.heard();
        self.load().await?;
        self.taking.clone_from(&seen.version);
        let news = self.revisit(Second::from_timestamp(seen.at), "").await?;
        self.commit(news, seen).await
    }

    async fn relisted(
        &mut self,
        gap: &Gap,
        objects: &[K],
        seen: &watch::Seen,
    ) -> Result<(), Error> {
        let reason = if self.missing.is_some() {
            NOT_SERVED
        } else {
            FORGOTTEN
        };
        let since = gap.since.map_or(self.begun, Second::from_timestamp);
        self.list(since, reason, objects, seen).await?;
        self.heard();
        Ok(())
    }

    async fn lost(&mut self, lost: &Lost) -> GoOn {
        let not_served = K::DECLARED && lost.code == Some(NOT_FOUND);
        let unseen = !not_served && (lost.code == Some(FORBIDDEN) || lost.times >= PATIENT);
        if unseen {
            K::note(&self.of, &Note::Lost(lost));
        }
        let goes_on = if not_served {
            self.not_served().await.unwrap_or_else(|error| {
                let error: &dyn std::error::Error = &error;
                let meter = K::label(&self.of);
                tracing::warn!(
                    meter,
                    error,
                    "failed to take down that a kind is not served"
                );
                GoOn::FromThere
            })
        } else {
            // whether it is still missing is to be seen anew
            let now = self.context.now();
            self.missing = self.missing.take().map(|_| Missing {
                first: now,
                asked: now,
            });
            GoOn::FromThere
        };
        let blind = unseen || K::is_blind(&self.of);
        self.context.measures.blind(K::label(&self.of), blind);
        goes_on
    }
}
