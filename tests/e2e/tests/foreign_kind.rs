//! A kind whose objects the cluster does not store has no versions that tell when everything was seen: it is not metered.

#[cfg(test)]
mod foreign {
    use leasehold_api::{conditions::types, platform::Meter};
    use leasehold_e2e::Stage;
    use leasehold_testkit::{LONG, User};
    use serde_json::{Value, json};

    fn meter(name: &str, kind: &str, resource: &str) -> Value {
        json!({
            "apiVersion": "platform.leasehold.dev/v1alpha1", "kind": "Meter",
            "metadata": {"name": name},
            "spec": {
                "displayName": "服务", "group": "", "version": "v1",
                "kind": kind, "resource": resource, "unit": "Count",
            },
        })
    }

    fn rights() -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {
                "name": "meters-of-the-core-group",
                "labels": {"leasehold.dev/aggregate-to-meters": "true"},
            },
            "rules": [{
                "apiGroups": [""], "resources": ["componentstatuses", "podtemplates"],
                "verbs": ["get", "list", "watch"],
            }],
        })
    }

    /// Waits until a condition of a meter begins so.
    async fn says(stage: &Stage, name: &str, type_: &str, words: &str) {
        let auditor = stage.user(User::Auditor).await.unwrap();
        let what = format!("a meter {name} whose {type_} says {words:?}");
        let seen = stage.see(&what, LONG, async || {
            let meter = auditor.get::<Meter>(None, name).await?;
            let status = meter.status.clone().unwrap_or_default();
            let mut all = status.conditions.iter();
            let found = all.find(|condition| condition.type_ == type_);
            if found.is_some_and(|found| found.message.contains(words)) {
                Ok(())
            } else {
                Err(format!("{status:#?}"))
            }
        });
        seen.await.unwrap();
    }

    /// The states of the control plane's parts are asked for when somebody lists them, and have no version.
    #[tokio::test]
    async fn a_kind_without_versions_of_the_cluster_is_refused_and_one_with_them_counts_e10() {
        let stage = Stage::shared().await.unwrap();
        let admin = stage.user(User::Admin).await.unwrap();
        let data_centre = stage.user(User::DataCentre).await.unwrap();
        admin.create(&rights()).await.unwrap();
        let components = meter("components", "ComponentStatus", "componentstatuses");
        data_centre.apply(&components).await.unwrap();
        let templates = meter("templates", "PodTemplate", "podtemplates");
        data_centre.apply(&templates).await.unwrap();
        let refused =
            "rule E10: asked a meter of componentstatuses (v1), which another server stores";
        says(stage, "components", types::BLIND, refused).await;
        says(stage, "templates", types::READY, "counts one each").await;
    }
}
