//! A control plane with our definitions, and with nothing of the chart.

use http::Request;
use kube::{Client, ResourceExt as _};
use leasehold_testkit::{Failure, LONG, Rig, Session, User, eventually};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static PLANE: OnceCell<Result<Rig, String>> = OnceCell::const_new();

/// The administrator of the one control plane of this test binary; the first test to ask starts it.
pub async fn administrator() -> Session {
    let started = PLANE.get_or_init(|| async {
        let started = start().await;
        started.map_err(|failure| format!("{failure:?}"))
    });
    let rig = started.await.as_ref().unwrap();
    rig.user(User::Admin).await.unwrap()
}

async fn start() -> Result<Rig, Failure> {
    let rig = Rig::empty().await?;
    let client = rig.user(User::Admin).await?.client();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for definition in leasehold_api::definitions() {
        post(&client, path, &definition).await;
        let one = format!("{path}/{}", definition.name_any());
        eventually(&format!("{one} established"), LONG, async || {
            let found = get(&client, &one).await?;
            let conditions = found["status"]["conditions"].as_array();
            let is_established = |condition: &Value| {
                condition["type"] == "Established" && condition["status"] == "True"
            };
            if conditions.is_some_and(|all| all.iter().any(is_established)) {
                Ok(())
            } else {
                Err(found["status"].to_string())
            }
        })
        .await?;
    }
    quotas_are_counted(&client).await?;
    Ok(rig)
}

/// Waits until the cluster's controllers count what comes, and what goes: they take their time after a start.
async fn quotas_are_counted(client: &Client) -> Result<(), Failure> {
    let within = "/api/v1/namespaces/cf-first";
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cf-first"}});
    post(client, "/api/v1/namespaces", &namespace).await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "first"},
        "spec": {"hard": {"secrets": "9", "count/rolebindings.rbac.authorization.k8s.io": "9"}}});
    post(client, &format!("{within}/resourcequotas"), &quota).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "first"}});
    counts(client, within, "0").await?;
    post(client, &format!("{within}/secrets"), &secret).await;
    counts(client, within, "1").await?;
    // What goes before the controllers look is counted at their next full round, minutes later: something goes again and
    // again until they do look.
    let quota = format!("{within}/resourcequotas/first");
    eventually("secrets counted as they go", LONG, async || {
        let found = get(client, &quota).await?;
        if found["status"]["used"]["secrets"] == "0" {
            return Ok(());
        }
        let body = serde_json::to_vec(&secret).unwrap();
        let again = Request::post(format!("{within}/secrets"))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        // it is there at the first attempt
        drop(client.request_text(again).await);
        let gone = Request::delete(format!("{within}/secrets/first"))
            .body(Vec::new())
            .unwrap();
        client
            .request_text(gone)
            .await
            .map_err(|error| error.to_string())?;
        Err(found["status"].to_string())
    })
    .await
}

async fn counts(client: &Client, within: &str, number: &str) -> Result<(), Failure> {
    let what = format!("{number} secrets counted in {within}");
    eventually(&what, LONG, async || {
        let quota = get(client, &format!("{within}/resourcequotas/first")).await?;
        if quota["status"]["used"]["secrets"] == number {
            Ok(())
        } else {
            Err(quota["status"].to_string())
        }
    })
    .await
}

async fn post(client: &Client, path: &str, body: &impl Serialize) {
    let body = serde_json::to_vec(body).unwrap();
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    let made = client.request_text(request).await;
    made.unwrap_or_else(|error| panic!("{path}: {error}"));
}

async fn get(client: &Client, path: &str) -> Result<Value, String> {
    let request = Request::get(path).body(Vec::new()).unwrap();
    let found = client.request(request).await;
    found.map_err(|error| error.to_string())
}
