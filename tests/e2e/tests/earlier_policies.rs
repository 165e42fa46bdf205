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
    use leasehold_testkit::{LONG, NAMESPACE, Session, User, eventually, repository};
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

    /// The administrator, once the policies let him in.
    async fn breaking_glass(stage: &Stage) -> Session {
        let chart = repository().join("charts").join("leasehold");
        let (chart, admin) = (chart.display().to_string(), User::Admin.name());
        let users = format!("breakGlassUsers={{{admin}}}");
        let mut upgrade = vec!["upgrade", "leasehold", &chart, "--namespace", NAMESPACE];
        upgrade.extend(["--reuse-values", "--set", &users]);
        stage.rig.helm(&upgrade).await.unwrap().ok().unwrap();
        let admin = stage.user(User::Admin).await.unwrap();
        eventually("an administrator who may break glass", LONG, async || {
            let more = ["-n", PLACE, "--dry-run=server"];
            let note = json!({"metadata": {"annotations": {"note": "probe"}}});
            let ran = admin.try_patch(POLICY, &more, &note).await;
            let ran = ran.map_err(|failure| format!("{failure:?}"))?;
            if ran.is_ok() {
                Ok(())
            } else {
                Err(format!("{ran:?}"))
            }
        })
        .await
        .unwrap();
        admin
    }

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

    /// Rounds of the operator over tenancies, since it was started.
    async fn rounds(stage: &Stage) -> Result<u64, String> {
        let operator = stage.operator.lock().await;
        let controller = "controller=\"tenancy\"";
        operator
            .counted("leasehold_reconcile_total", controller)
            .await
    }

    /// Has the tenancy looked at again: its object changes in a way that means nothing.
    async fn look_again(office: &Office) {
        let before = rounds(office.stage).await.unwrap();
        let place = office.place.as_str();
        let annotate = ["annotate", "tcy/oa", "-n", place, "example.dev/round=1"];
        let ran = office.staff.kubectl(&annotate, "").await.unwrap();
        ran.ok().unwrap();
        let again = eventually("another round of the operator", LONG, async || {
            let now = rounds(office.stage).await?;
            if now > before {
                Ok(())
            } else {
                Err(format!("{now} rounds"))
            }
        });
        again.await.unwrap();
    }

    #[tokio::test]
    async fn the_five_policies_of_before_go_once_the_one_stands_and_nobody_is_accused() {
        let stage = Stage::shared().await.unwrap();
        let office: Office = stage.office(CODE, "档案局").await.unwrap();
        let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&manifest).await.unwrap();
        let admin = breaking_glass(stage).await;

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
        look_again(&office).await;
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
