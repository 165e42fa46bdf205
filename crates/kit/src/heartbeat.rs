//! A version and a time that belong together.
//!
//! A bookmark of a watch has a version and no time. So the operator writes its own Lease every few seconds: a watch of
//! any kind that has passed the Lease's version has brought everything that happened before the time of the beat.

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::api::ObjectMeta;

use crate::{client::Kit, error::KitError};

/// One beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The version that the write was given.
    pub resource_version: String,
    /// What the server's clock had certainly reached when the write was sent: whatever happened before this time has a
    /// lower version.
    pub server_time: Timestamp,
    /// Whether the server has told its time. If not, the time is this machine's wall clock and proves nothing.
    pub is_server_time_known: bool,
}

/// Writes the Lease of this operator, creating it if need be.
///
/// # Errors
///
/// When the write fails; then there is no beat, and nothing is known to be complete.
pub async fn beat(kit: &Kit, namespace: &str, name: &str, holder: &str) -> Result<Beat, KitError> {
    let sent = kit.clock().monotonic();
    let fallback = kit.clock().now();
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(kit.server_time().now())),
            ..LeaseSpec::default()
        }),
    };
    // it must not wait behind a burst of other calls: nothing would count as complete meanwhile
    let written = kit.apart().apply(&lease).await?;
    // by now the answer itself has narrowed what the server's clock showed when the request left
    let earliest = kit.server_time().at(sent).map(|(earliest, _)| earliest);
    Ok(Beat {
        resource_version: written.metadata.resource_version.unwrap_or_default(),
        server_time: earliest.unwrap_or(fallback),
        is_server_time_known: earliest.is_some(),
    })
}

/// The version of the Lease as it stands; `None` if it is not there. Nobody but this operator writes it, so one that is
/// older than its last beat comes from a backup.
///
/// # Errors
///
/// When it cannot be read.
pub async fn standing(kit: &Kit, namespace: &str, name: &str) -> Result<Option<String>, KitError> {
    let found = kit.apart().get_meta::<Lease>(Some(namespace), name).await?;
    Ok(found.and_then(|meta| meta.resource_version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock, ManualClock},
        fake::{Fake, Reply, new_year},
        server_time::ServerTime,
    };
    use serde_json::json;
    use std::{sync::Arc, time::Duration};

    fn server() -> Fake {
        Fake::new(|call| {
            let mut lease = call.body.clone();
            lease["metadata"]["resourceVersion"] = json!("4711");
            Reply::Json(200, lease)
        })
    }

    #[tokio::test]
    async fn a_beat_carries_the_version_of_the_write_and_a_time_before_it() {
        let clock = Arc::new(ManualClock::new(new_year()));
        let time = ServerTime::new(Arc::<ManualClock>::clone(&clock));
        let dynamic: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let fake = server();
        let kit = Kit::from_parts(fake.client(), dynamic, time.clone());
        // the server said 1000 s when our monotonic clock stood at 0: it is between 1000 and 1001 s ahead of it
        time.observe(
            Timestamp::from_second(1_000).unwrap(),
            Duration::ZERO,
            Duration::ZERO,
        );
        clock.advance(Duration::from_secs(10));
        let beat = beat(&kit, "leasehold", "operator", "pod-1").await.unwrap();
        assert_eq!(beat.resource_version, "4711");
        assert!(beat.is_server_time_known);
        // the earliest, less 10 s / 10 000 of drift
        assert_eq!(
            beat.server_time,
            Timestamp::from_millisecond(1_009_999).unwrap()
        );
        let call = &fake.calls()[0];
        assert!(
            call.uri
                .starts_with("/apis/coordination.k8s.io/v1/namespaces/leasehold/leases/operator?")
        );
        assert_eq!(call.body["spec"]["holderIdentity"], "pod-1");
    }

    #[tokio::test]
    async fn the_lease_stands_at_the_version_of_its_last_write_or_is_not_there() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(new_year()));
        let there = Fake::new(|_| {
            Reply::Json(
                200,
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                    "metadata": {"name": "operator", "resourceVersion": "17"}}),
            )
        });
        let kit = Kit::from_client(there.client(), Arc::clone(&clock));
        let found = standing(&kit, "leasehold", "operator").await.unwrap();
        assert_eq!(found.as_deref(), Some("17"));
        let gone = Fake::new(|_| Reply::status(404, "NotFound"));
        let kit = Kit::from_client(gone.client(), clock);
        assert_eq!(standing(&kit, "leasehold", "operator").await.unwrap(), None);
    }

    #[tokio::test]
    async fn without_a_word_from_the_server_the_time_proves_nothing() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(new_year()));
        let kit = Kit::from_client(server().client(), clock);
        let beat = beat(&kit, "leasehold", "operator", "pod-1").await.unwrap();
        assert!(!beat.is_server_time_known);
        assert_eq!(beat.server_time, new_year());
    }
}
