//! What others do to what leasehold keeps: changes and deletions are put right and told by whom, a fight is noticed and
//! fought with pauses, and a namespace that was there before is taken only where the platform offers it.
//!
//! The cluster's administrator is a break-glass user here: rule N01 refuses everybody else.

#[cfg(test)]
mod adopted;
#[cfg(test)]
mod fights;
#[cfg(test)]
mod repaired;

#[cfg(test)]
mod ground {
    //! The stage of these stories, and how they look at it.

    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use leasehold_api::tenancy::Tenancy;
    use leasehold_e2e::{Office, Stage};
    use leasehold_testkit::{LONG, Session};
    use serde_json::Value;

    /// The lease of every story: four cores and eight GiB in `prod`.
    pub const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];
    /// A network policy that every leased namespace has.
    pub const FENCE: &str = "leasehold";

    /// The platform of the examples, where the administrator may break glass.
    pub async fn stage() -> &'static Stage {
        let stage = Stage::shared().await.unwrap();
        stage.break_glass().await.unwrap();
        stage
    }

    /// A department with a lease that stands, and the administrator, whom the policies let in by now.
    pub async fn leased(code: &str, name: &str) -> (Office, Session) {
        let office = stage().await.office(code, name).await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        let admin = office.stage.breaking_glass(&prod(&office)).await.unwrap();
        (office, admin)
    }

    /// The leased namespace.
    pub fn prod(office: &Office) -> String {
        format!("{}--prod", office.code)
    }

    /// Changes a managed object under a name of one's own.
    pub async fn meddle(admin: &Session, place: &str, target: &str, manager: &str, patch: &Value) {
        let manager = format!("--field-manager={manager}");
        let ran = admin
            .try_patch(target, &["-n", place, &manager], patch)
            .await;
        ran.unwrap().ok().unwrap();
    }

    /// Whether the fence keeps everything out but whom it names.
    pub fn is_whole(fence: &NetworkPolicy) -> bool {
        let spec = fence.spec.clone().unwrap_or_default();
        let rules = spec.ingress.unwrap_or_default();
        let names = |peers: &Vec<_>| !peers.is_empty();
        let bounded = rules
            .iter()
            .all(|rule| rule.from.as_ref().is_some_and(names));
        bounded && spec.policy_types.is_some_and(|types| types.len() == 2)
    }

    /// Waits until the fence keeps everybody else out again.
    pub async fn fence_is_whole(office: &Office) {
        let place = prod(office);
        let repaired = office.stage.see("the fence put right", LONG, async || {
            let fence: NetworkPolicy = office.staff.get(Some(&place), FENCE).await?;
            if is_whole(&fence) {
                Ok(())
            } else {
                Err(format!("{:?}", fence.spec))
            }
        });
        repaired.await.unwrap();
    }

    /// Waits until the tenancy's history tells this.
    pub async fn told(office: &Office, sentence: &str) -> Tenancy {
        let what = format!("a history that tells {sentence:?}");
        let told = office.when("oa", &what, |tenancy| {
            let mut history = tenancy.status.iter().flat_map(|status| &status.history);
            history.any(|entry| entry.what.starts_with(sentence))
        });
        told.await.unwrap()
    }
}
