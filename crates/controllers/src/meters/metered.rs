//! The kinds that are metered, and what tells them apart.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use leasehold_kit::Readable;

use super::{
    claims,
    effective::Uncountable,
    life::Standing,
    pods::{self, Sight},
};

/// A kind that is metered.
pub trait Metered: Readable {
    /// Name of the source in the ledger's cursors.
    const SOURCE: &'static str;
    /// What the names of its meters begin with.
    const METERS: &'static str;
    /// Name of the kind for people.
    const KIND: &'static str;

    /// How the object stands.
    fn standing(&self, sight: &Sight) -> Result<Standing, Uncountable>;
}

impl Metered for Pod {
    const SOURCE: &'static str = "pods";
    const METERS: &'static str = "pod/";
    const KIND: &'static str = "Pod";

    fn standing(&self, sight: &Sight) -> Result<Standing, Uncountable> {
        pods::standing(self, sight)
    }
}

impl Metered for PersistentVolumeClaim {
    const SOURCE: &'static str = "claims";
    const METERS: &'static str = "claim/";
    const KIND: &'static str = "PersistentVolumeClaim";

    fn standing(&self, sight: &Sight) -> Result<Standing, Uncountable> {
        claims::standing(self, sight)
    }
}
