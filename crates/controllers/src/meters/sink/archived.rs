//! Objects that count anew after they have ended, also where only an archive knows that.
//!
//! A Meter is removed, what it counted ends, the periods are closed and their facts archived; then it is declared again, and
//! a list shows the objects as they always were. The ledger has nothing of them any more. If they began in the version that
//! they have, that would be the very observation that lies in the archive, and the ledger would not verify beside it; and if
//! they began at their creation, all that was billed would be used again.

use leasehold_ledger::{document::ArchiveDoc, time::Second};

use super::{
    super::{
        life::{Holding, Life, Moment, Seen, Standing, again},
        metered::Metered,
        pods::Sight,
    },
    Sink,
};
use crate::Error;

/// What tells since when an object counts that may have counted before.
const FOUND_AGAIN: &str = "found where archives may have what was before";

impl<K: Metered> Sink<K> {
    /// Reads up to when archives have use, for a kind whose objects may count anew.
    pub(super) async fn look_into_archives(&mut self) -> Result<(), Error> {
        if K::DECLARED {
            let store = self.context.books.store();
            let archives = store.documents::<ArchiveDoc>(None, None).await?;
            let untils = archives.iter().map(|archive| archive.value.ended_before);
            self.sealed = untils.max();
        }
        Ok(())
    }

    /// [`anew`] of an object that a list, or a change, shows.
    pub(super) fn anew(
        &self,
        of: (Life, Standing),
        seen: &mut Seen,
        created: Option<Second>,
        sight: &Sight,
    ) -> (Life, Standing) {
        let sealed = self
            .sealed
            .filter(|sealed| may_have(*sealed, created, sight));
        anew(of, seen, &self.taking, sealed, sight)
    }
}

/// Whether archives of use before `sealed` may have the version in which an object is seen. A change has one of its own.
fn may_have(sealed: Second, created: Option<Second>, sight: &Sight) -> bool {
    sight.listed && created.is_none_or(|created| created < sealed)
}

/// What is recorded of an object and how it stands, where it counts anew if it has ended: as the ledger has it, or as archives
/// of use before `sealed` may have it. `taking` is the version at which it was seen.
fn anew(
    (life, standing): (Life, Standing),
    seen: &mut Seen,
    taking: &str,
    sealed: Option<Second>,
    sight: &Sight,
) -> (Life, Standing) {
    if life.begun() {
        let has_ended = !life.is_open() && life.is_of(&seen.source);
        let life = if has_ended {
            life.anew(&mut seen.source.version, taking)
        } else {
            life
        };
        return (life, standing);
    }
    let Some(sealed) = sealed else {
        return (life, standing);
    };
    seen.source.version = again(taking);
    (life, found_again(standing, sealed, sight))
}

/// How an object stands of which archives may have what it used before `sealed`: whatever would begin before that begins when
/// it was found, and not before all was known last.
fn found_again(standing: Standing, sealed: Second, sight: &Sight) -> Standing {
    match standing {
        Standing::Holding(held) if held.start.at < sealed => {
            let lower = sight.known_to.unwrap_or(sight.now).max(sealed);
            Standing::Holding(Holding {
                start: Moment::began(lower, sight.now, sight.billed, FOUND_AGAIN),
                ..held
            })
        }
        other @ (Standing::Idle | Standing::Holding(_) | Standing::Over { .. }) => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leasehold_ledger::fact::{Bounds, Fact, FactKind};

    use super::*;
    use crate::meters::{
        fixture::{at, sight},
        life::fixture::{seen, subject},
    };

    /// A bucket of so much that counts since a second.
    fn holds(start: i64, quantity: i64) -> Standing {
        let start = Moment::exact(at(start), "creationTimestamp");
        Standing::Holding(Holding {
            change: start.clone(),
            start,
            quantities: BTreeMap::from([("meter/buckets".parse().unwrap(), quantity)]),
            resized: BTreeMap::new(),
        })
    }

    fn listed(known_to: Option<i64>, now: i64) -> Sight {
        Sight {
            known_to: known_to.map(at),
            listed: true,
            ..sight(now)
        }
    }

    /// What follows for one of which the ledger has nothing, in version 7, that counts since a second as it says itself; archives
    /// have use before 1000, if they may have its own.
    fn found(start: i64, sealed: Option<i64>, sight: &Sight) -> Vec<Fact> {
        let mut seen = seen(7);
        let of = (Life::default(), holds(start, 5));
        let (life, standing) = anew(of, &mut seen, "900", sealed.map(at), sight);
        life.facts(&seen, &standing, Some(&subject()))
    }

    #[test]
    fn what_an_archive_may_have_begins_in_a_version_of_its_own_when_it_was_found() {
        let archived = found(0, None, &listed(None, 10));
        assert_eq!((archived[0].at, archived[0].bounds), (at(0), None));
        assert_eq!(archived[0].source.version, "7");

        let again = found(0, Some(1000), &listed(None, 5000));
        assert_ne!(again[0].key(), archived[0].key());
        let told = (again[0].kind, again[0].at, again[0].bounds);
        assert_eq!(told, (FactKind::Opened, at(5000), None));
        // whoever tries again tells the same
        assert_eq!(found(0, Some(1000), &listed(None, 5000)), again);
        // it goes on as any other: its version from before the list is old news
        let life = Life::of(&again);
        let subject = subject();
        let old = life.facts(&seen(7), &holds(0, 5), Some(&subject));
        assert_eq!(old, []);
        let grown = life.facts(&seen(901), &holds(6000, 8), Some(&subject));
        assert_eq!((grown[0].kind, grown[0].at), (FactKind::Changed, at(6000)));
    }

    #[test]
    fn what_came_back_after_a_gap_began_somewhere_in_it_and_what_began_behind_the_archives_began_then()
     {
        let gap = listed(Some(4000), 5000);
        let bounds = Bounds {
            lower: at(4000),
            upper: at(5000),
        };
        let came_back = found(0, Some(1000), &gap);
        assert_eq!(came_back[0].at, at(5000));
        assert_eq!(came_back[0].bounds, Some(bounds));
        let later = found(4500, Some(1000), &gap);
        assert_eq!((later[0].at, later[0].bounds), (at(4500), None));
    }

    #[test]
    fn archives_can_only_have_what_was_made_before_their_end_and_only_a_list_shows_it_as_it_was() {
        let list = listed(None, 5000);
        assert!(may_have(at(1000), Some(at(999)), &list));
        assert!(may_have(at(1000), None, &list));
        assert!(!may_have(at(1000), Some(at(1000)), &list));
        assert!(!may_have(at(1000), Some(at(0)), &sight(5000)));
    }

    #[test]
    fn what_the_ledger_knows_to_have_ended_counts_on_from_its_end() {
        let begun = Life::default().facts(&seen(7), &holds(0, 5), Some(&subject()));
        let open = Life::of(&begun);
        let ended = open.ended_for("removed", &seen(7), &Moment::exact(at(100), "removed"));
        let life = Life::of(begun.iter().chain(&ended));
        let mut seen = seen(7);
        let list = listed(None, 5000);
        let of = (life, holds(0, 5));
        let (life, standing) = anew(of, &mut seen, "900", Some(at(1000)), &list);
        let again = life.facts(&seen, &standing, Some(&subject()));
        assert_eq!(again[0].source.version, "again-900");
        assert_eq!(again[0].at, at(100));
    }
}
