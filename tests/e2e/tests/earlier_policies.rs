//! An operator of this version takes over namespaces that still have the five network policies of before (ADR 0034): they go
//! once the one stands, and nobody is accused of anything.
//!
//! The cluster's administrator is a break-glass user here: rule N01 refuses everybody else.

#[cfg(test)]
mod earlier {
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use leasehold_api::conditions::{self, types};
    use leasehold_api::tenancy::Phase;
    use leasehold_e2e::{Office, Stage};
    use leasehold_testkit::{LONG, Session, eventually};
    use serde_json::json;

    const CODE: &str = "earlier";
    const PLACE: &str = "earlier--prod";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];
    const POLICY: &str = "networkpolicy/leasehold";
    /// What stood in a namespace before.
    const FORMER: [&str; 5] = [
        "default-deny",
        "allow-dns",
        "allow-same-system",
        "allow-egress-gateway",
        "allow-ingress-gateway",
    ];

    /// The namespace as the version before leaves it.
    async fn turn_back(admin: &Session) {
        let standing: NetworkPolicy = admin.get(Some(PLACE), "leasehold").await.unwrap();
        let labels = standing.metadata.labels.unwrap();
        assert!(labels.contains_key("leasehold.dev/managed-by"));
        for name in FORMER {
            let policy = json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": PLACE, "labels": labels},
                "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
            });
            let create = ["create", "--field-manager=leasehold", "-f", "-"];
            let ran = admin.kubectl(&create, &policy.to_string()).await.unwrap();
            ran.ok().unwrap();
        }
        let delete = ["delete", POLICY, "-n", PLACE];
        admin.kubectl(&delete, "").await.unwrap().ok().unwrap();
    }

    /// Names of the network policies of the namespace.
    async fn names(admin: &Session) -> Result<Vec<String>, String> {
        let list = ["get", "networkpolicies", "-n", PLACE, "-o", "name"];
        let ran = admin.kubectl(&list, "").await;
        let ran = ran.map_err(|failure| format!("{failure:?}"))?;
        let prefix = "networkpolicy.networking.k8s.io/";
        let names = ran.stdout.lines();
        Ok(names
            .map(|name| name.trim_start_matches(prefix).to_owned())
            .collect())
    }

    #[tokio::test]
    async fn the_five_policies_of_before_go_once_the_one_stands_and_nobody_is_accused() {
        let stage = Stage::shared().await.unwrap();
        let office: Office = stage.office(CODE, "档案局").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        let admin = stage.breaking_glass(PLACE).await.unwrap();

        stage.operator.lock().await.kill();
        turn_back(&admin).await;
        let mut before = names(&admin).await.unwrap();
        before.sort();
        let mut former = FORMER.map(str::to_owned);
        former.sort();
        assert_eq!(before, former);

        stage.operator.lock().await.restart().await.unwrap();
        let only_one = eventually("the one policy alone", LONG, async || {
            let names = names(&admin).await?;
            if names == ["leasehold"] {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            }
        });
        only_one.await.unwrap();
        let fence: NetworkPolicy = admin.get(Some(PLACE), "leasehold").await.unwrap();
        let directions = fence.spec.unwrap().policy_types.unwrap();
        assert_eq!(directions, ["Ingress", "Egress"]);

        // in the next round it is seen that they are gone
        office.look_again("oa", 1).await.unwrap();
        let tenancy = office.phase("oa", Phase::Active).await.unwrap();
        let status = tenancy.status.unwrap();
        assert!(!conditions::holds(&status.conditions, types::CONTESTED));
        let told = status
            .history
            .iter()
            .filter(|entry| entry.what.contains("network policy"));
        assert_eq!(told.count(), 0, "{:?}", status.history);
    }
}
