//! What a watch brings and tells: one event after the other, a list, that it is lost, and that its kind is gone.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::{ResourceExt, core::DynamicObject};
use leasehold_kit::{
    pressed::Shelved,
    watch::{self, Gap, GoOn, Lost, WatchSink},
};
use leasehold_ledger::time::Second;

use super::{
    super::{
        gap,
        metered::{Metered, Note},
        watermark::is_between,
    },
    News, Sink, listing,
};
use crate::Error;

/// The answer where a right is missing.
const FORBIDDEN: u16 = 403;
/// The answer where a kind is not served.
const NOT_FOUND: u16 = 404;
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
    /// Up to when everything of the source is known.
    pub(super) fn known_to(&self) -> Option<Second> {
        self.marks.known_to(K::source(&self.of))
    }

    /// The watch brought something.
    fn heard(&mut self, seen: &watch::Seen) {
        self.missing = None;
        self.awake.get_or_insert(Second::from_timestamp(seen.at));
        K::note(&self.of, &Note::Heard);
        self.tell(None);
    }

    /// Tells monitors and periods whether all is seen that should count; `lost` is why nothing is.
    fn tell(&self, lost: Option<&Lost>) {
        let (called, label) = (K::called(&self.of), K::label(&self.of));
        let why = match lost {
            Some(lost) if lost.code == Some(FORBIDDEN) => Some(format!(
                "leasehold may not read {called}: {}; the platform gives it the right",
                lost.message
            )),
            Some(lost) => Some(format!("{called} cannot be watched: {}", lost.message)),
            None if K::is_blind(&self.of) => Some(format!(
                "some {called} that should count may not be seen; the condition of the Meter says why"
            )),
            None if self.leaves_out() => Some(format!(
                "some {called} cannot be counted; the gaps that they leave say which"
            )),
            None => None,
        };
        self.context.measures.blind(label, why.is_some());
        // nothing waits for a declared meter before its first list
        let waits = !K::DECLARED || self.known_to().is_some();
        match why.filter(|_| waits) {
            Some(why) => self.marks.blind(label, why),
            None => self.marks.sees(label),
        }
    }

    /// Refuses a list of a kind whose versions are not the cluster's: only these can be compared with those of the heartbeat.
    /// It is offered again, until they are.
    async fn expect_stored_here(&self) -> Result<(), Error> {
        let Some(kind) = K::named(&self.of) else {
            return Ok(());
        };
        let kit = &self.context.kit;
        let before = kit.newest_version::<Namespace>(None).await?;
        let own = match kit.newest_version_of::<DynamicObject>(kind, None).await {
            Ok(own) => own,
            // it went, or the right did, while it was listed: the watch will find out
            Err(error) if error.is_not_found() || error.is_forbidden() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let after = kit.newest_version::<Namespace>(None).await?;
        let is_here = is_between(&before, &own, &after);
        K::note(&self.of, &Note::Stored(is_here));
        self.tell(None);
        if is_here {
            return Ok(());
        }
        let why =
            format!("{own:?} is not between {before:?} and {after:?}, which the cluster counted");
        Err(Error::understand(
            format!("the versions of {}", kind.plural),
            why,
        ))
    }

    /// Why the kind is not seen although it is there: it is served in other versions than the one that the meter names, or
    /// nobody can tell. None when it is not served at all.
    async fn elsewhere(&self, lost: &Lost) -> Option<Lost> {
        let named = K::named(&self.of)?;
        let resource = &named.plural;
        let versions = self.context.kit.versions_of(&named.group, resource);
        let message = match versions.await {
            Ok(versions) if versions.is_empty() => return None,
            Ok(versions) => format!(
                "{resource} are served in {}, not in {}; correct spec.version of the Meter",
                versions.join(", "),
                named.version
            ),
            Err(error) => format!(
                "{}, and whether it is served otherwise is not known: {error}",
                lost.message
            ),
        };
        Some(Lost {
            message,
            ..lost.clone()
        })
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
        let mut news = News::default();
        let nobody = BTreeSet::new();
        let absent = self
            .absent(&nobody, &seen, &mut news, listing::NOWHERE)
            .await?;
        self.gone(&nobody, at, &mut news)?;
        let waiting: Vec<K> = self.waiting.values().map(|w| w.object.clone()).collect();
        for object in waiting {
            news.gaps.extend(self.gone_unknown(&object, &sight).await?);
            news.settled.extend(object.uid());
        }
        // a version from before would tell nothing of what comes back
        let nowhere = watch::Seen {
            version: listing::NOWHERE.to_owned(),
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
        self.heard(seen);
        self.take(object, seen, false).await
    }

    async fn deleted(&mut self, object: &K, seen: &watch::Seen) -> Result<(), Error> {
        self.heard(seen);
        self.take(object, seen, true).await
    }

    async fn bookmark(&mut self, seen: &watch::Seen) -> Result<(), Error> {
        self.heard(seen);
        self.load().await?;
        self.taking.clone_from(&seen.version);
        let news = self.revisit(Second::from_timestamp(seen.at), "").await?;
        self.commit(news, seen).await
    }

    async fn relisted(
        &mut self,
        gap: &Gap,
        objects: &[Shelved<K>],
        seen: &watch::Seen,
    ) -> Result<(), Error> {
        self.expect_stored_here().await?;
        if self.missing.is_some() && self.reason == gap::FORGOTTEN {
            self.reason = listing::NOT_SERVED;
        }
        let since = gap.since.map_or(self.begun, Second::from_timestamp);
        self.list(since, objects, seen).await?;
        self.heard(seen);
        Ok(())
    }

    async fn lost(&mut self, lost: &Lost) -> GoOn {
        self.awake = None;
        let is_missing = K::DECLARED && lost.code == Some(NOT_FOUND);
        let elsewhere = if is_missing {
            self.elsewhere(lost).await
        } else {
            None
        };
        let is_elsewhere = elsewhere.is_some();
        let not_served = is_missing && !is_elsewhere;
        let lost = elsewhere.as_ref().unwrap_or(lost);
        let is_lasting = lost.code == Some(FORBIDDEN) || lost.times >= PATIENT;
        let unseen = is_elsewhere || (!not_served && is_lasting);
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
                // some of it may be taken down: what is there again all the same is to be listed
                GoOn::Anew
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
        self.tell(unseen.then_some(lost));
        goes_on
    }
}
