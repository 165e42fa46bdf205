//! Somebody who sends requests as they are, with no typed client that would know better.

use std::collections::BTreeMap;
use std::fmt::Display;

use http::Method;
use kube::Client;
use kube::client::Body;
use leasehold_testkit::Failure;
use serde_json::Value;

/// The form of whole objects.
pub const JSON: &str = "application/json";

/// Somebody who asks.
pub struct Person {
    client: Client,
    impersonated: bool,
    /// The name, as the API server sees it.
    pub user: String,
    /// The groups, beyond those that every user has.
    pub groups: Vec<String>,
}

/// One call of the API server.
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: String,
    /// The form of the body.
    pub content: &'static str,
    /// Headers beyond the usual ones.
    pub claims: BTreeMap<String, String>,
    /// What is sent along; nothing for null.
    pub body: Value,
}

/// What the API server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP code.
    pub code: u16,
    /// Its warnings.
    pub warnings: Vec<String>,
    /// What it sent: an object, a status, or plain text.
    pub body: Value,
}

impl Answer {
    /// Whether the request went through.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The words of a refusal.
    pub fn message(&self) -> &str {
        let said = self.body.get("message").or(Some(&self.body));
        said.and_then(Value::as_str).unwrap_or_default()
    }

    /// What people need to know of it.
    pub fn brief(&self) -> String {
        format!("{} {:?} {:?}", self.code, self.message(), self.warnings)
    }
}

impl Call {
    /// A call that sends a whole object, or nothing.
    pub fn plain(method: Method, uri: &str, body: Value) -> Self {
        Self {
            method,
            uri: uri.to_owned(),
            content: JSON,
            claims: BTreeMap::new(),
            body,
        }
    }
}

impl Person {
    /// Somebody with credentials of their own.
    pub fn new(client: Client, user: String, groups: Vec<String>) -> Self {
        Self {
            client,
            impersonated: false,
            user,
            groups,
        }
    }

    /// Somebody in whose name the administrator acts, whose client this is.
    pub fn impersonated(client: Client, user: String, groups: Vec<String>) -> Self {
        Self {
            client,
            impersonated: true,
            user,
            groups,
        }
    }

    /// Calls, and reads the answer to its end.
    pub async fn call(&self, call: Call) -> Result<Answer, String> {
        let failed = |error: &dyn Display| format!("{}: {error}", call.uri);
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(call.uri.as_str())
            .header("accept", JSON)
            .header("content-type", call.content);
        if self.impersonated {
            request = request.header("impersonate-user", self.user.as_str());
            for group in &self.groups {
                request = request.header("impersonate-group", group.as_str());
            }
        }
        for (header, value) in &call.claims {
            request = request.header(header.as_str(), value.as_str());
        }
        let body = if call.body.is_null() {
            Vec::new()
        } else {
            call.body.to_string().into_bytes()
        };
        let request = request
            .body(Body::from(body))
            .map_err(|error| failed(&error))?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| failed(&error))?;
        let code = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .map(|warning| String::from_utf8_lossy(warning.as_bytes()).into_owned())
            .collect();
        let bytes = response
            .into_body()
            .collect_bytes()
            .await
            .map_err(|error| failed(&error))?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer {
            code,
            warnings,
            body,
        })
    }

    /// What is at a path.
    pub async fn look(&self, path: &str) -> Result<Value, String> {
        let answer = self
            .call(Call::plain(Method::GET, path, Value::Null))
            .await?;
        if answer.is_ok() {
            Ok(answer.body)
        } else {
            Err(format!("{path}: {}", answer.brief()))
        }
    }
}

/// A failure in the words of whoever sends such requests.
pub fn said(failure: &Failure) -> String {
    format!("{failure:?}")
}
