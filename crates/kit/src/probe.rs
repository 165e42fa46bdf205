//! Waiting until admission policies are in force.
//!
//! A policy takes about a second from its creation until the API server obeys it. Nothing may be provisioned before:
//! what slips in unchecked stays.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{client::Kit, error::KitError, write::Object};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// The policies are not in force.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Until the deadline the API server would have admitted what the policy forbids.
    #[error(
        "failed to see a policy deny the probe within {0:?}; install the chart's admission policies and their bindings"
    )]
    Admitted(Duration),
    /// Until the deadline the probe failed for another reason than the policy.
    #[error("failed to see a policy deny the probe within {deadline:?}")]
    Other {
        /// How long it was tried.
        deadline: Duration,
        /// The last failure.
        #[source]
        source: Box<KitError>,
    },
}

/// Tries to create the probe, which a policy must deny, without creating it, until it is denied with a message that
/// contains the marker.
///
/// # Errors
///
/// When that does not happen before the deadline.
pub async fn wait_policies_bite<K: Object>(
    kit: &Kit,
    probe: &K,
    marker: &str,
    deadline: Duration,
) -> Result<(), ProbeError> {
    let end = Instant::now() + deadline;
    loop {
        let failure = match kit.create_dry_run(probe).await {
            Ok(_) => None,
            Err(error)
                if error
                    .message()
                    .is_some_and(|message| message.contains(marker)) =>
            {
                return Ok(());
            }
            Err(error) => Some(error),
        };
        if Instant::now() + PAUSE > end {
            return Err(match failure {
                None => ProbeError::Admitted(deadline),
                Some(error) => ProbeError::Other {
                    deadline,
                    source: Box::new(error),
                },
            });
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply};
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn probe() -> Namespace {
        serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap()
    }

    fn denial(message: &str) -> Reply {
        Reply::Json(
            422,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": "Invalid", "code": 422}),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_the_policy_and_nothing_else_denies() {
        let fake = Fake::new(|call| match call.number {
            0 => Reply::Json(201, call.body.clone()),
            1 => Reply::status(403, "Forbidden"),
            _ => denial("denied by leasehold-probe"),
        });
        wait_policies_bite(&fake.kit(), &probe(), "leasehold-probe", DEADLINE)
            .await
            .unwrap();
        assert_eq!(fake.calls().len(), 3);
        assert!(
            fake.calls()
                .iter()
                .all(|call| call.parameter("dryRun") == Some("All"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_never_bites_is_an_error_that_says_what_to_do() {
        let fake = Fake::new(|call| Reply::Json(201, call.body.clone()));
        let outcome = wait_policies_bite(&fake.kit(), &probe(), "leasehold-probe", DEADLINE).await;
        assert!(matches!(outcome, Err(ProbeError::Admitted(DEADLINE))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_right_is_told_from_a_missing_policy() {
        let fake = Fake::new(|_| Reply::status(403, "Forbidden"));
        let outcome = wait_policies_bite(&fake.kit(), &probe(), "leasehold-probe", DEADLINE).await;
        let Err(ProbeError::Other { source, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(source.is_forbidden());
    }
}
