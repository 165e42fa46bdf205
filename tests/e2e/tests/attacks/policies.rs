//! What the chart's admission policies are on the API server, and how a piece of them is taken away
//! for a while.

use http::Method;
use serde_json::{Value, json};

use crate::crowd::Crowd;

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const OURS: &str = "labelSelector=app.kubernetes.io%2Fname%3Dleasehold";
const POLICIES: &str = "validatingadmissionpolicies";
/// Where bindings are, and of what kind they are there.
const BINDINGS: [(&str, &str); 2] = [
    (
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
    ),
    (
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
    ),
];

/// A binding of the chart.
#[derive(Clone)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// The policy that it puts in force.
    pub policy: String,
    /// Whether it refuses; others warn or write.
    pub denies: bool,
    folder: String,
    object: Value,
}

/// A validation of a policy of the chart.
#[derive(Clone)]
pub struct Validation {
    /// The policy.
    pub policy: String,
    /// Its number in the policy.
    pub number: usize,
    /// What it says.
    pub message: String,
    expression: Value,
}

/// A piece that can be taken away.
#[derive(Clone)]
pub enum Piece {
    /// A binding, without which its policy is not in force.
    Binding(Binding),
    /// A validation, which then lets everything through.
    Validation(Validation),
}

impl Piece {
    /// Takes it away.
    pub async fn take(&self, crowd: &Crowd) -> Result<(), String> {
        match self {
            Self::Binding(binding) => {
                let path = format!("{}/{}", binding.folder, binding.name);
                carried_out(crowd, Method::DELETE, &path, Value::Null).await
            }
            Self::Validation(validation) => validation.write(crowd, &json!("true")).await,
        }
    }

    /// Gives it back as it was.
    pub async fn give_back(&self, crowd: &Crowd) -> Result<(), String> {
        match self {
            Self::Binding(binding) => {
                let object = binding.object.clone();
                carried_out(crowd, Method::POST, &binding.folder, object).await
            }
            Self::Validation(validation) => validation.write(crowd, &validation.expression).await,
        }
    }
}

impl Validation {
    async fn write(&self, crowd: &Crowd, expression: &Value) -> Result<(), String> {
        let path = format!("{REGISTRATION}/{POLICIES}/{}", self.policy);
        let place = format!("/spec/validations/{}/expression", self.number);
        let operations = json!([{"op": "replace", "path": place, "value": expression}]);
        crowd.operate(&path, operations).await
    }
}

async fn carried_out(crowd: &Crowd, method: Method, path: &str, body: Value) -> Result<(), String> {
    let answer = crowd.admin(method, path, body).await?;
    if answer.is_ok() {
        Ok(())
    } else {
        Err(format!("{path}: {}", answer.brief()))
    }
}

/// Every binding of the chart.
pub async fn bindings(crowd: &Crowd) -> Result<Vec<Binding>, String> {
    let mut bindings = Vec::new();
    for (plural, kind) in BINDINGS {
        let folder = format!("{REGISTRATION}/{plural}");
        for found in held(crowd, &folder).await? {
            let actions = found.pointer("/spec/validationActions");
            bindings.push(Binding {
                name: text(&found, "/metadata/name"),
                policy: text(&found, "/spec/policyName"),
                denies: actions == Some(&json!(["Deny"])),
                object: json!({
                    "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                    "metadata": {
                        "name": found.pointer("/metadata/name"),
                        "labels": found.pointer("/metadata/labels"),
                        "annotations": found.pointer("/metadata/annotations"),
                    },
                    "spec": found.get("spec"),
                }),
                folder: folder.clone(),
            });
        }
    }
    Ok(bindings)
}

/// The validations of each policy of the chart.
pub async fn validations(crowd: &Crowd) -> Result<Vec<Vec<Validation>>, String> {
    let found = held(crowd, &format!("{REGISTRATION}/{POLICIES}")).await?;
    let each = found.iter().map(|policy| -> Vec<Validation> {
        let name = text(policy, "/metadata/name");
        let all = policy
            .pointer("/spec/validations")
            .and_then(Value::as_array);
        let all = all.into_iter().flatten().enumerate();
        all.map(|(number, validation)| Validation {
            policy: name.clone(),
            number,
            message: text(validation, "/message"),
            expression: validation.get("expression").cloned().unwrap_or_default(),
        })
        .collect()
    });
    Ok(each.collect())
}

async fn held(crowd: &Crowd, folder: &str) -> Result<Vec<Value>, String> {
    let found = crowd.look(&format!("{folder}?{OURS}")).await?;
    let items = found.get("items").and_then(Value::as_array);
    Ok(items.cloned().unwrap_or_default())
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
