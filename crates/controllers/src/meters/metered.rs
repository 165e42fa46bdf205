//! The kinds that are metered, and what tells them apart.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::core::ApiResource;
use leasehold_kit::{Followed, watch::Lost};
use leasehold_ledger::{fact::Meter, time::Second};
use leasehold_planner::quota::Hard;
use serde::Serialize;

use super::{
    claims,
    effective::Uncountable,
    gap,
    life::Standing,
    pods::{self, Sight},
};

/// The source of facts about pods.
pub const PODS: &str = "pods";
/// The source of facts about volume claims.
pub const CLAIMS: &str = "claims";
/// What the names of the sources of declared meters begin with.
pub const MADE_BY_METERS: &str = "meter/";

/// Whether the versions of a source are those of the cluster's etcd, whatever it is. Of the kinds that people declare some
/// may come from another server, which counts in its own way.
pub fn is_of_the_cluster(source: &str) -> bool {
    !source.starts_with(MADE_BY_METERS)
}

/// What a meter is told of how it stands.
#[derive(Clone, Copy, Debug)]
pub enum Note<'a> {
    /// It goes on where it stopped; with an instant: all there is was listed then.
    Begun(Option<Second>),
    /// Its watch brought something.
    Heard,
    /// Its watch was lost.
    Lost(&'a Lost),
    /// Its kind is not served, for long enough that there is nothing of it.
    Absent,
    /// An object lives in no namespace, and so in no tenancy's.
    Homeless,
    /// Whether the cluster itself stores the kind.
    Stored(bool),
    /// The object with this uid can be counted, or is gone.
    Counted(&'a str),
    /// The object with this uid cannot be counted; a sentence says why.
    Uncountable(&'a str, &'a str),
}

/// A kind that is metered.
pub trait Metered: Followed + Serialize {
    /// What tells the meters of this kind apart; nothing where there is one.
    type Of: Clone + Send + Sync + 'static;
    /// Whether a person declares the meter. Then its kind may be absent, nothing waits for it before its first list, and
    /// objects that have ended may count anew.
    const DECLARED: bool = false;

    /// Name of the source in the ledger's cursors.
    fn source(of: &Self::Of) -> &str;
    /// What the names of its meters begin with.
    fn meters(of: &Self::Of) -> &str;
    /// Name of the source for people and monitors.
    fn label(of: &Self::Of) -> &str {
        Self::source(of)
    }
    /// Name of the kind for people.
    fn called(of: &Self::Of) -> &str;
    /// Whether facts of this meter come from here.
    fn counts(of: &Self::Of, meter: &Meter) -> bool;

    /// How the object stands.
    fn standing(&self, of: &Self::Of, sight: &Sight) -> Result<Standing, Uncountable>;

    /// The kind as the API server is asked for it.
    fn asked_as(of: &Self::Of) -> Self::DynamicType;

    /// The kind as the meter names it; `None` where every cluster serves and stores it.
    fn named(_of: &Self::Of) -> Option<&ApiResource> {
        None
    }

    /// What can have lived unseen at most in so many seconds under these quotas, by meter, in base units times seconds.
    fn at_most(of: &Self::Of, quotas: &[Hard], seconds: i64) -> BTreeMap<String, i64> {
        gap::upper_bounds(Self::meters(of), quotas, seconds)
    }

    /// Takes a note of how the meter stands; by default nothing is made of it.
    fn note(_of: &Self::Of, _note: &Note<'_>) {}
    /// Whether use may go on unseen although the watch brings something.
    fn is_blind(_of: &Self::Of) -> bool {
        false
    }
}

impl Metered for Pod {
    type Of = ();

    fn source((): &()) -> &'static str {
        PODS
    }

    fn meters((): &()) -> &'static str {
        "pod/"
    }

    fn called((): &()) -> &'static str {
        "Pod"
    }

    fn counts((): &(), meter: &Meter) -> bool {
        matches!(meter, Meter::Pod { .. })
    }

    fn standing(&self, (): &(), sight: &Sight) -> Result<Standing, Uncountable> {
        pods::standing(self, sight)
    }

    fn asked_as((): &()) {}
}

impl Metered for PersistentVolumeClaim {
    type Of = ();

    fn source((): &()) -> &'static str {
        CLAIMS
    }

    fn meters((): &()) -> &'static str {
        "claim/"
    }

    fn called((): &()) -> &'static str {
        "PersistentVolumeClaim"
    }

    fn counts((): &(), meter: &Meter) -> bool {
        matches!(meter, Meter::Claim { .. })
    }

    fn standing(&self, (): &(), sight: &Sight) -> Result<Standing, Uncountable> {
        claims::standing(self, sight)
    }

    fn asked_as((): &()) {}
}
