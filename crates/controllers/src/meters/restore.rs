//! An etcd that was restored from a backup, and how it is noticed.
//!
//! A restored etcd counts versions again that it has counted before. Watches would miss what happens until it gets to
//! where they stood, and take what happens then for something that they know. Three things tell of it:
//!
//! - the server stands at a lower version than was ever seen: at the start against what the ledger has, later with each
//!   beat, and whenever a watch ends without having brought anything;
//! - the operator's own Lease, which nobody else writes, is older than its last beat. The ledger keeps the version of that
//!   beat ([`WITNESS`]), so that a restored etcd that has long counted on is found out as well, and one whose versions
//!   were raised on purpose;
//! - the Lease is gone, and the cluster is another one.
//!
//! Then another life of the database begins in the ledger, in which every source lists anew ([`crate::Books::begin_era`]).
//! Caches and controllers have read from the server too, and would go on from versions that mean something else now:
//! unless nothing runs yet, the operator starts anew.

use k8s_openapi::api::core::v1::Namespace;
use leasehold_kit::{
    heartbeat,
    watch::{version_behind, version_reached},
};
use leasehold_ledger::document::ClusterDoc;
use leasehold_store::{Batch, Cursor};

use super::{
    HEARTBEAT,
    metered::is_of_the_cluster,
    watermark::{Beat, Watermarks, greatest},
};
use crate::{Context, Error};

/// Name of the cursor that keeps the version of the last beat.
pub const WITNESS: &str = "heartbeat";
/// Why there is a gap when etcd was restored.
pub const REASON: &str = "etcd was restored from a backup, or another cluster took its place: what happened since the \
                          last change seen is not known";
/// The namespace whose identifier stands for the cluster.
const KUBE_SYSTEM: &str = "kube-system";

/// The cursor that keeps the version of a beat.
pub fn witness(beat: Beat) -> Cursor {
    Cursor {
        source: WITNESS.to_owned(),
        resource_version: beat.lease,
        complete_to: None,
        observed_at: beat.at,
    }
}

/// Whether a source cannot go on from where it was, because that was in another life of the database.
pub fn is_lost(cursor: &Cursor) -> bool {
    cursor.resource_version.is_empty()
}

/// What shows that etcd went back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The server stands at a lower version than was seen.
    Version {
        /// The greatest version seen.
        seen: String,
        /// Where the server stands.
        stands: String,
    },
    /// The operator's Lease is older than its last beat.
    Lease {
        /// The version of the last beat.
        beat: String,
        /// The version of the Lease.
        stands: String,
    },
    /// A watch found the server behind what it had reached.
    Watch,
}

/// What the cursors of the ledger and the server together show at the start. `newest` is where the server stands, `lease`
/// the version of the operator's Lease, if it is there.
pub fn at_start(cursors: &[Cursor], newest: &str, lease: Option<&str>) -> Option<Sign> {
    let beat = cursors.iter().find(|cursor| cursor.source == WITNESS);
    let beat = beat.map(|cursor| cursor.resource_version.as_str());
    // a Lease may be stored apart from everything else: its version is compared with nothing but its own
    let of_it = cursors
        .iter()
        .filter(|cursor| is_of_the_cluster(&cursor.source) && cursor.source != WITNESS);
    let seen = greatest(of_it.map(|cursor| &cursor.resource_version));
    sign_of_lease(beat, lease).or_else(|| sign_of_version(seen.map(String::as_str), newest))
}

fn sign_of_version(seen: Option<&str>, stands: &str) -> Option<Sign> {
    let seen = seen.filter(|seen| version_behind(stands, seen))?;
    Some(Sign::Version {
        seen: seen.to_owned(),
        stands: stands.to_owned(),
    })
}

fn sign_of_lease(beat: Option<&str>, stands: Option<&str>) -> Option<Sign> {
    let (beat, stands) = beat.zip(stands)?;
    version_behind(stands, beat).then(|| Sign::Lease {
        beat: beat.to_owned(),
        stands: stands.to_owned(),
    })
}

/// Looks whether etcd was restored while the operator was away, and if so, begins another life of it.
pub async fn look_at_start(context: &Context) -> Result<(), Error> {
    let cursors = context.books.store().cursors().await?;
    if cursors.iter().all(is_lost) {
        // nothing was ever seen in this life of the database
        return Ok(());
    }
    let kit = &context.kit;
    let lease = heartbeat::standing(kit, &context.settings.namespace, HEARTBEAT).await?;
    let newest = kit.newest_version::<Namespace>(None).await?;
    if let Some(sign) = at_start(&cursors, &newest, lease.as_deref()) {
        begin(context, &sign).await?;
    }
    Ok(())
}

/// Whether the server behind one source went back alone, and not the cluster's etcd. Then nothing goes on from the version
/// of that source: it lists anew.
pub async fn is_alone(context: &Context, marks: &Watermarks, source: &str) -> Result<bool, Error> {
    let stands = context.kit.newest_version::<Namespace>(None).await?;
    if sign_of_version(marks.newest().as_deref(), &stands).is_some() {
        return Ok(false);
    }
    let store = context.books.store();
    if let Some(cursor) = store.cursor(source).await? {
        tracing::error!(
            source,
            "its server went back to an earlier version; it lists anew"
        );
        let lost = Cursor {
            resource_version: String::new(),
            ..cursor
        };
        let era = context.books.cluster();
        let batch = Batch::default().with_cursor(lost);
        let batch = batch.expecting_latest_of_kind::<ClusterDoc>(era.row);
        store.commit(&batch, context.now()).await?;
    }
    Ok(true)
}

/// What is known before a beat.
pub struct Before {
    last: Option<Beat>,
    newest: Option<String>,
    lease: Option<String>,
}

impl Before {
    /// Reads how the Lease stands.
    pub async fn read(context: &Context, marks: &Watermarks) -> Result<Self, Error> {
        let namespace = &context.settings.namespace;
        Ok(Self {
            last: marks.last_beat(),
            newest: marks.newest(),
            lease: heartbeat::standing(&context.kit, namespace, HEARTBEAT).await?,
        })
    }

    /// What the Lease shows as it stood before the beat.
    pub fn sign(&self) -> Option<Sign> {
        let last = self.last.as_ref().map(|beat| beat.lease.as_str());
        sign_of_lease(last, self.lease.as_deref())
    }

    /// What the version of the beat shows. A write that changed nothing would have an old version, so the server is asked
    /// where it stands before it is believed.
    pub async fn sign_after(&self, context: &Context, beat: &str) -> Result<Option<Sign>, Error> {
        let Some(newest) = &self.newest else {
            return Ok(None);
        };
        if version_reached(beat, newest) {
            return Ok(None);
        }
        let stands = context.kit.newest_version::<Namespace>(None).await?;
        Ok(sign_of_version(Some(newest), &stands))
    }

    /// Whether the cluster is another one. Asked when the Lease is gone: another cluster has none.
    pub async fn is_another_cluster(&self, context: &Context) -> Result<bool, Error> {
        if self.last.is_none() || self.lease.is_some() {
            return Ok(false);
        }
        let found = context.kit.get_meta::<Namespace>(None, KUBE_SYSTEM).await?;
        let uid = found.and_then(|meta| meta.uid);
        Ok(uid.is_some_and(|uid| uid != context.books.cluster().uid))
    }
}

/// Whether somebody else has begun another life of the database in this ledger.
pub async fn is_overtaken(context: &Context) -> Result<bool, Error> {
    let latest = context.books.store().latest::<ClusterDoc>().await?;
    Ok(latest != context.books.cluster().row)
}

/// Begins another life of the database.
pub async fn begin(context: &Context, sign: &Sign) -> Result<(), Error> {
    let era = context.books.begin_era(context.now()).await?;
    tracing::error!(
        ?sign,
        etcd = era.etcd,
        "etcd was restored from a backup; every source lists anew, and what happened since the last change seen is a gap"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_ledger::time::Second;

    fn cursor(source: &str, version: &str) -> Cursor {
        Cursor {
            source: source.to_owned(),
            resource_version: version.to_owned(),
            complete_to: None,
            observed_at: Second::new(0),
        }
    }

    #[test]
    fn a_server_at_or_beyond_all_that_was_seen_shows_nothing() {
        let cursors = [
            cursor("claims", "90"),
            cursor(WITNESS, "95"),
            cursor("pods", "100"),
        ];
        assert_eq!(at_start(&cursors, "100", Some("95")), None);
        // somebody else's operator has beaten since, or the Lease was deleted
        assert_eq!(at_start(&cursors, "101", Some("101")), None);
        assert_eq!(at_start(&cursors, "101", None), None);
        assert_eq!(at_start(&[], "1", Some("1")), None);
    }

    #[test]
    fn a_server_behind_the_furthest_source_went_back() {
        let cursors = [cursor("claims", "9"), cursor("pods", "100")];
        let sign = Sign::Version {
            seen: "100".to_owned(),
            stands: "99".to_owned(),
        };
        assert_eq!(at_start(&cursors, "99", None), Some(sign));
    }

    #[test]
    fn a_lease_that_is_stored_apart_shows_nothing_but_what_its_own_version_shows() {
        let cursors = [cursor(WITNESS, "5000"), cursor("pods", "100")];
        assert_eq!(at_start(&cursors, "100", Some("5000")), None);
        assert_eq!(at_start(&cursors, "100", Some("5001")), None);
        assert!(at_start(&cursors, "100", Some("4999")).is_some());
        let fewer = [cursor(WITNESS, "5"), cursor("pods", "100")];
        assert_eq!(at_start(&fewer, "100", Some("5")), None);
    }

    #[test]
    fn versions_of_declared_meters_may_be_of_another_server_and_show_nothing() {
        let cursors = [cursor("pods", "100"), cursor("meter/buckets/u", "7000")];
        assert_eq!(at_start(&cursors, "100", None), None);
    }

    #[test]
    fn an_old_lease_shows_it_although_versions_are_far_beyond() {
        let cursors = [cursor(WITNESS, "95"), cursor("pods", "100")];
        let sign = Sign::Lease {
            beat: "95".to_owned(),
            stands: "60".to_owned(),
        };
        assert_eq!(at_start(&cursors, "1000000060", Some("60")), Some(sign));
    }

    #[test]
    fn what_was_lost_to_an_earlier_restore_shows_nothing_more() {
        let cursors = [cursor(WITNESS, ""), cursor("pods", "")];
        assert!(cursors.iter().all(is_lost));
        assert_eq!(at_start(&cursors, "7", Some("3")), None);
        // a source that has listed since counts again
        let cursors = [cursor(WITNESS, ""), cursor("pods", "50")];
        assert!(at_start(&cursors, "49", None).is_some());
    }

    #[test]
    fn the_lease_is_compared_with_the_last_beat_of_this_process() {
        let before = |last: Option<&str>, lease: Option<&str>| Before {
            last: last.map(|version| Beat {
                version: "7".to_owned(),
                lease: version.to_owned(),
                at: Second::new(0),
            }),
            newest: None,
            lease: lease.map(str::to_owned),
        };
        assert_eq!(before(None, Some("9")).sign(), None);
        assert_eq!(before(Some("9"), Some("9")).sign(), None);
        assert_eq!(before(Some("9"), None).sign(), None);
        assert!(before(Some("10"), Some("9")).sign().is_some());
    }
}
