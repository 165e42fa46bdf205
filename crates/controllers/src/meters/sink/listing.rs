//! What a list means: what is not on it is gone, and what came and went before it was not seen.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_kit::{pressed::Shelved, watch};
use leasehold_ledger::{
    document::{Document, GapDoc},
    fact::Fact,
    time::Second,
};
use leasehold_planner::quota;
use leasehold_store::{Cursor, Record};

use super::{
    super::{
        gap,
        life::Moment,
        metered::{Metered, Note},
        places::may_count,
        pods::Sight,
        restore,
    },
    News, Sink,
};
use crate::Error;

/// Why there is a gap, when the kind was gone.
pub(super) const NOT_SERVED: &str = "the API server did not serve the kind for a while";
/// Where the cursor of a source stands while its kind is not served: no watch goes on from there.
pub(super) const NOWHERE: &str = "not-served";

/// Where the cursor of a source stands while what a list means is half recorded: no watch goes on from there.
const HALF_LISTED: &str = "half-listed";

/// Whether a watch goes on from where a cursor stands.
pub(super) fn goes_on(version: &str) -> bool {
    ![NOWHERE, HALF_LISTED].contains(&version)
}

/// Why a list makes a gap when a source goes on from where its cursor stands.
pub(super) fn reason(cursor: Option<&Cursor>) -> &'static str {
    match cursor {
        Some(cursor) if restore::is_lost(cursor) => restore::REASON,
        Some(cursor) if cursor.resource_version == NOWHERE => NOT_SERVED,
        Some(_) | None => gap::FORGOTTEN,
    }
}

impl<K: Metered> Sink<K> {
    /// Ends what is open in the ledger and not among what exists. Returns what is not among it. The cursor stands `half_way`
    /// until the news are committed.
    pub(super) async fn absent(
        &mut self,
        present: &BTreeSet<String>,
        seen: &watch::Seen,
        news: &mut News,
        half_way: &str,
    ) -> Result<BTreeSet<String>, Error> {
        let sight = self
            .sight(Second::from_timestamp(seen.at), true, true)
            .await?;
        let known = self.lives.iter().flat_map(BTreeMap::keys);
        let absent: BTreeSet<String> = known
            .filter(|uid| !present.contains(*uid))
            .cloned()
            .collect();
        for uid in &absent {
            news.facts.extend(self.ended_unseen(uid, &sight, seen));
            self.record_many(news, half_way, sight.now).await?;
        }
        Ok(absent)
    }

    /// How an object ends that a list does not have any more.
    fn ended_unseen(&self, uid: &str, sight: &Sight, seen: &watch::Seen) -> Vec<Fact> {
        let Some(life) = self.life(uid) else {
            return Vec::new();
        };
        let (Some(subject), Some(latest)) = (life.subject(), life.latest()) else {
            return Vec::new();
        };
        let lower = sight.known_to.unwrap_or(latest).max(latest);
        let end = Moment::ended(lower, sight.now, sight.billed, "absent after a gap");
        let version = format!("relist-{}", seen.version);
        let object = self.seen_as(uid.to_owned(), version, subject.object.clone());
        // not by its version, which an earlier life of the database may have passed
        life.cut(&object, &end)
    }

    /// The gap before a list, unless it is recorded or there was none.
    async fn gap(&self, now: Second) -> Result<Option<Record>, Error> {
        let Some(known) = self.known_to().filter(|known| *known != now) else {
            return Ok(None);
        };
        // the server's clock may have been set back meanwhile: what happens until it is there again is not known either
        let (from, now) = (known.min(now), known.max(now));
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
            reason: self.reason.to_owned(),
            upper: K::at_most(&self.of, &quotas, now.since(from)),
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

    pub(super) async fn list(
        &mut self,
        since: Second,
        objects: &[Shelved<K>],
        seen: &watch::Seen,
    ) -> Result<(), Error> {
        self.load().await?;
        self.taking.clone_from(&seen.version);
        let now = Second::from_timestamp(seen.at);
        let uid_of = |object: &Shelved<K>| object.uid().to_owned();
        let present: BTreeSet<String> = objects.iter().map(uid_of).collect();
        let counted: BTreeSet<String> = objects
            .iter()
            .filter(|object| may_count(object.namespace()))
            .map(uid_of)
            .collect();
        self.histories(&counted).await?;
        // after these: what left the ledger meanwhile is in an archive that it knows
        self.look_into_archives().await?;
        self.waiting.retain(|uid, _| present.contains(uid));
        let sight = self.sight(now, false, true).await?;
        let mut news = News {
            gaps: self.gap(now).await?.into_iter().collect(),
            ..News::default()
        };
        let absent = self.absent(&present, seen, &mut news, HALF_LISTED).await?;
        self.gone(&present, now, &mut news)?;
        for object in objects {
            let object = read(object)?;
            if !self.see(&object, &sight, &mut news).await? {
                self.keep(&object, &sight);
            }
            self.record_many(&mut news, HALF_LISTED, now).await?;
        }
        self.saved = Second::MIN;
        self.commit(news, seen).await?;
        self.reason = gap::FORGOTTEN;
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
}

/// An object of a list.
fn read<K: Metered>(object: &Shelved<K>) -> Result<K, Error> {
    let what = || format!("an object of the list, of uid {}", object.uid());
    object
        .read()
        .map_err(|error| Error::understand(what(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_whether_changes_were_forgotten_the_kind_was_gone_or_etcd_was_restored() {
        let at = |version: &str| Cursor {
            source: "meter/buckets/u".to_owned(),
            resource_version: version.to_owned(),
            complete_to: None,
            observed_at: Second::new(0),
        };
        assert_eq!(reason(None), gap::FORGOTTEN);
        assert_eq!(reason(Some(&at("4711"))), gap::FORGOTTEN);
        assert_eq!(reason(Some(&at(NOWHERE))), NOT_SERVED);
        assert_eq!(reason(Some(&at(HALF_LISTED))), gap::FORGOTTEN);
        assert_eq!(reason(Some(&at(""))), restore::REASON);
    }
}
