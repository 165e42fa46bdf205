//! While a binding of the chart's policies is away no namespace is opened, and everybody reads why; what is open goes on. One
//! that is of fewer objects than the chart says is as good as away.

#[cfg(test)]
mod fenced {
    use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
    use leasehold_api::conditions::types;
    use leasehold_api::tenancy::{Department, Phase, Tenancy};
    use leasehold_e2e::{Office, Stage};
    use leasehold_ledger::money::{Unit, parse_quantity};
    use leasehold_testkit::manifests;
    use leasehold_testkit::{LONG, Session, User};
    use serde_json::{Value, json};

    const CODE: &str = "fenced";
    const LATER: &str = "latecomer";
    const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];
    /// What pods may take.
    const BINDING: &str = "leasehold-n05-pods";
    const BINDINGS: &str = "validatingadmissionpolicybinding";
    const MISSING: &str = "binding leasehold-n05-pods is not there";
    const NARROWED: &str = "binding leasehold-n05-pods is of other objects than it should be";
    /// What marks an address that a service chose.
    const MARKS: &str = "leasehold-n07-mark-chosen-address";
    const UNMARKED: &str = "binding leasehold-n07-mark-chosen-address is not there";

    /// Takes a binding of the chart away, and gives what brings it back.
    async fn taken_away(admin: &Session, resource: &str, name: &str) -> Value {
        let get = ["get", resource, name, "-o", "json"];
        let found = admin.kubectl(&get, "").await.unwrap().ok().unwrap();
        let found: Value = found.json().unwrap();
        let gone = ["delete", resource, name];
        admin.kubectl(&gone, "").await.unwrap().ok().unwrap();
        json!({
            "apiVersion": found["apiVersion"], "kind": found["kind"],
            "metadata": {
                "name": name,
                "labels": found["metadata"]["labels"],
                "annotations": found["metadata"]["annotations"],
            },
            "spec": found["spec"],
        })
    }

    /// Waits until the operator's pages say that this is missing and nothing else.
    async fn told(stage: &Stage, missing: &[&str]) {
        let what = format!("{missing:?} missing on the operator's pages");
        let seen = stage.see(&what, LONG, async || {
            let operator = stage.operator.lock().await;
            let counted = operator.counted("leasehold_policies_missing", "").await?;
            let page = operator.fetch("/readyz").await?;
            let closed = page.contains("ready, but no namespace is opened");
            let fits = closed != missing.is_empty() && missing.iter().all(|m| page.contains(m));
            if usize::try_from(counted) == Ok(missing.len()) && fits {
                Ok(())
            } else {
                Err(format!("{counted}: {page}"))
            }
        });
        seen.await.unwrap();
    }

    /// A binding that is of fewer objects than the chart says, and one that fills in, are missed as well.
    async fn narrowed_and_unstamped(stage: &Stage, admin: &Session) {
        let target = format!("{BINDINGS}/{BINDING}");
        let some = json!({"namespaceSelector": {"matchLabels": {"team": "oa"}}});
        let narrowed = json!({"spec": {"matchResources": some}});
        let ran = admin.try_patch(&target, &[], &narrowed).await;
        ran.unwrap().ok().unwrap();
        taken_away(admin, "mutatingadmissionpolicybinding", MARKS).await;
        told(stage, &[NARROWED, UNMARKED]).await;
        // as the message says
        let gone = ["delete", BINDINGS, BINDING];
        admin.kubectl(&gone, "").await.unwrap().ok().unwrap();
        stage.rig.install().await.unwrap();
        told(stage, &[]).await;
    }

    fn waits_for(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> bool {
        conditions.iter().any(|condition| {
            condition.type_ == types::WAITING
                && condition.status == "True"
                && condition.message.contains(MISSING)
        })
    }

    /// The department asks for more, and the office agrees: it is opened for nobody.
    async fn asked_meanwhile(stage: &Stage, office: &Office, admin: &Session) {
        let staff = &office.staff;
        staff.apply(&manifests::system(CODE, "mail")).await.unwrap();
        let mut wanted = office
            .manifest("mail", &LEASE, &[("mail", &LEASE)])
            .unwrap();
        wanted["spec"]["system"] = json!("mail");
        staff.apply(&wanted).await.unwrap();
        office.approve("mail", 1).await.unwrap();
        let waits = |tenancy: &Tenancy| {
            let status = tenancy.status.as_ref();
            status.is_some_and(|status| waits_for(&status.conditions))
        };
        let what = "a tenancy that waits for the policies";
        office.when("mail", what, waits).await.unwrap();
        // nor an office
        let later = manifests::department(LATER, "后来局");
        let chen = stage.user(User::Office).await.unwrap();
        chen.apply(&later).await.unwrap();
        let seen = stage.see("an office that waits for the policies", LONG, async || {
            let department = admin.get::<Department>(None, LATER).await?;
            let status = department.status.unwrap_or_default();
            if waits_for(&status.conditions) {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        });
        seen.await.unwrap();
        for name in ["fenced--mail".to_owned(), manifests::office(LATER)] {
            let opened = admin.find::<Namespace>(None, &name).await.unwrap();
            assert!(opened.is_none(), "{opened:?}");
        }
    }

    /// What was open before is changed as ever: half of the processors go.
    async fn goes_on(office: &Office, admin: &Session) {
        let less = json!({"spec": {"namespaces": [
            {"name": "prod", "share": {"vcpu-x86": "2", "memory": "8Gi"}},
        ]}});
        let more = ["-n", office.place.as_str()];
        let ran = office
            .staff
            .try_patch("tcy/oa", &more, &less)
            .await
            .unwrap();
        ran.ok().unwrap();
        let place = Some("fenced--prod");
        let seen = office.stage.see("the smaller quota", LONG, async || {
            let quota = admin.get::<ResourceQuota>(place, "leasehold").await?;
            let hard = quota.spec.and_then(|spec| spec.hard).unwrap_or_default();
            let cores = hard.get("requests.cpu");
            let cores = cores.and_then(|cores| parse_quantity(&cores.0, Unit::Core).ok());
            // thousandths of a core
            if cores == Some(2_000) {
                Ok(())
            } else {
                Err(format!("{hard:?}"))
            }
        });
        seen.await.unwrap();
    }

    #[tokio::test]
    async fn while_a_binding_is_away_no_namespace_is_opened_and_what_is_open_goes_on() {
        let stage = Stage::shared().await.unwrap();
        let admin = stage.user(User::Admin).await.unwrap();
        let office = stage.office(CODE, "城管局").await.unwrap();
        let first = office.manifest("oa", &LEASE, &[("prod", &LEASE)]).unwrap();
        office.lease(&first).await.unwrap();
        told(stage, &[]).await;
        narrowed_and_unstamped(stage, &admin).await;

        let binding = taken_away(&admin, BINDINGS, BINDING).await;
        told(stage, &[MISSING]).await;
        asked_meanwhile(stage, &office, &admin).await;
        goes_on(&office, &admin).await;

        admin.create(&binding).await.unwrap();
        office.phase("mail", Phase::Active).await.unwrap();
        Office::open(stage, LATER).await.unwrap();
        told(stage, &[]).await;
    }
}
