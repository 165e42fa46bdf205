//! HTTP: from requests to calls and from answers to responses.

use std::{collections::BTreeMap, sync::Arc};

use axum::body::Body as Sent;
use http::{HeaderMap, Method, Request, Response, header, request::Parts};
use k8s_openapi::jiff::fmt::rfc2822::DateTimePrinter;
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use leasehold_kit::{Kit, ServerTime};
use serde_json::Value;
use tower::{BoxError, util::BoxCloneService};

use crate::{
    admission::OPERATOR,
    call::{Call, PatchKind, Verb},
    kinds::Kind,
    refusal::Refusal,
    reply::text,
    server::{Caller, Ending, Server},
    watch::Watching,
};

type Service = BoxCloneService<Request<Body>, Response<Sent>, BoxError>;

impl Server {
    /// A client of a person: nothing goes wrong.
    pub fn client(&self, user: &str) -> Client {
        let caller = Caller {
            user: user.to_owned(),
            life: None,
        };
        Client::new(self.service(caller), "default")
    }

    /// The way of the operator to this server, under its faults. After a crash it is silent for ever, and the next call
    /// of this function begins a new life.
    pub fn kit(&self) -> Kit {
        let caller = Caller {
            user: OPERATOR.to_owned(),
            life: Some(self.life()),
        };
        let clock = self.clock();
        let time = ServerTime::new(Arc::clone(clock));
        let client = ClientBuilder::new(self.service(caller), "default")
            .with_layer(&time.layer())
            .build();
        Kit::from_parts(client, Arc::clone(clock), time)
    }

    fn service(&self, caller: Caller) -> Service {
        let server = self.clone();
        BoxCloneService::new(tower::service_fn(move |request: Request<Body>| {
            let (server, caller) = (server.clone(), caller.clone());
            async move { server.answer(request, &caller).await }
        }))
    }

    async fn answer(
        &self,
        request: Request<Body>,
        caller: &Caller,
    ) -> Result<Response<Sent>, BoxError> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await?;
        let is_partial = wants_metadata(&parts.headers);
        if let Some(found) = self.discovered(&parts) {
            if caller.life.is_some_and(|life| life != self.life()) {
                return std::future::pending().await;
            }
            return self.respond(200, text(&found));
        }
        let call = match self.read(&parts, &bytes, caller) {
            Ok(call) => call,
            Err(refusal) => return self.refuse(&refusal),
        };
        if call.verb == Verb::Watch {
            return match Watching::open(self, &call, caller, is_partial) {
                Ok(watching) => Ok(Response::builder()
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(header::DATE, self.date()?)
                    .body(Sent::from_stream(watching.stream()))?),
                Err(refusal) => self.refuse(&refusal),
            };
        }
        match self.call(&call, caller).await {
            Ending::Answered(Ok(reply)) => self.respond(reply.code, reply.content.text(is_partial)),
            Ending::Answered(Err(refusal)) => self.refuse(&refusal),
            Ending::Silence => std::future::pending().await,
        }
    }

    /// What is served of a group, or of a version of one; nothing where that is not asked.
    fn discovered(&self, parts: &Parts) -> Option<Value> {
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        match path.as_slice() {
            ["apis", group] => self.kinds().group(group),
            ["apis", group, version] => self.kinds().version(group, version),
            ["api", version] => self.kinds().version("", version),
            _ => None,
        }
    }

    fn date(&self) -> Result<String, BoxError> {
        Ok(DateTimePrinter::new().timestamp_to_rfc9110_string(&self.now())?)
    }

    fn refuse(&self, refusal: &Refusal) -> Result<Response<Sent>, BoxError> {
        self.respond(refusal.code, text(&refusal.to_status()))
    }

    fn respond(&self, code: u16, body: String) -> Result<Response<Sent>, BoxError> {
        Ok(Response::builder()
            .status(code)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::DATE, self.date()?)
            .body(Sent::from(body))?)
    }

    fn read(&self, parts: &Parts, bytes: &[u8], caller: &Caller) -> Result<Call, Refusal> {
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let (group, version, rest) = match path.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::no_such_path()),
        };
        let place = place(rest).ok_or_else(Refusal::no_such_path)?;
        let kind = self
            .find_kind(group, version, place.plural)
            .ok_or_else(Refusal::no_such_path)?;
        if !is_subresource(&kind, place.subresource) {
            return Err(Refusal::no_such_path());
        }
        let query = query(parts.uri.query().unwrap_or_default());
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(bytes)
                .map_err(|error| Refusal::bad_request(format!("unable to decode: {error}")))?
        };
        let verb = verb(parts, &query, place.name)?;
        if verb == Verb::Create && kind.namespaced == place.namespace.is_empty() {
            return Err(Refusal::method_not_allowed());
        }
        Ok(Call {
            verb,
            kind,
            namespace: place.namespace.to_owned(),
            name: place.name.to_owned(),
            subresource: place.subresource.to_owned(),
            query,
            body,
            user: caller.user.clone(),
        })
    }
}

/// What a path names behind group and version.
struct Place<'path> {
    namespace: &'path str,
    plural: &'path str,
    name: &'path str,
    subresource: &'path str,
}

fn place<'path>(rest: &[&'path str]) -> Option<Place<'path>> {
    let (namespace, rest) = match rest {
        // subresources of namespaces look like kinds in them
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, within @ ..] if !within.is_empty() => (*namespace, within),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return None,
    };
    Some(Place {
        namespace,
        plural,
        name,
        subresource,
    })
}

fn is_subresource(kind: &Kind, subresource: &str) -> bool {
    match subresource {
        "" => true,
        "status" => kind.status,
        "finalize" => kind.is_core("Namespace"),
        "eviction" => kind.is_core("Pod"),
        _ => false,
    }
}

fn verb(parts: &Parts, query: &BTreeMap<String, String>, name: &str) -> Result<Verb, Refusal> {
    let method = &parts.method;
    let is_watch = query
        .get("watch")
        .is_some_and(|watch| matches!(watch.as_str(), "true" | "1"));
    if method == Method::GET {
        return Ok(match (is_watch, name) {
            (true, _) => Verb::Watch,
            (false, "") => Verb::List,
            (false, _) => Verb::Get,
        });
    }
    if method == Method::POST {
        return Ok(Verb::Create);
    }
    if method == Method::DELETE {
        return Ok(Verb::Delete);
    }
    if name.is_empty() {
        return Err(Refusal::method_not_allowed());
    }
    if method == Method::PUT {
        return Ok(Verb::Update);
    }
    let type_ = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let patch = match type_ {
        "application/merge-patch+json" => PatchKind::Merge,
        "application/json-patch+json" => PatchKind::Json,
        "application/apply-patch+yaml" => PatchKind::Apply,
        other => return Err(Refusal::unsupported_media_type(other)),
    };
    Ok(Verb::Patch(patch))
}

fn wants_metadata(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("as=PartialObjectMetadata"))
}

/// The parameters of a query, with what is escaped in them.
fn query(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(key), unescaped(value))
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .unwrap_or(b'%')
            }
            plain => plain,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str) -> Option<(String, String, String, String)> {
        let rest: Vec<&str> = path.split('/').collect();
        place(&rest).map(|place| {
            let texts = [place.namespace, place.plural, place.name, place.subresource];
            let [a, b, c, d] = texts.map(str::to_owned);
            (a, b, c, d)
        })
    }

    #[test]
    fn paths_name_kinds_in_namespaces_and_namespaces_themselves() {
        let table = [
            ("pods", ("", "pods", "", "")),
            ("namespaces/a/pods", ("a", "pods", "", "")),
            ("namespaces/a/pods/b", ("a", "pods", "b", "")),
            (
                "namespaces/a/pods/b/eviction",
                ("a", "pods", "b", "eviction"),
            ),
            ("namespaces", ("", "namespaces", "", "")),
            ("namespaces/a", ("", "namespaces", "a", "")),
            ("namespaces/a/finalize", ("", "namespaces", "a", "finalize")),
            ("nodes/n1/status", ("", "nodes", "n1", "status")),
        ];
        for (path, (namespace, plural, name, subresource)) in table {
            let (a, b, c, d) = placed(path).unwrap();
            assert_eq!(
                (a.as_str(), b.as_str(), c.as_str(), d.as_str()),
                (namespace, plural, name, subresource),
                "{path}"
            );
        }
        assert!(placed("a/b/c/d/e").is_none());
    }

    #[test]
    fn parameters_are_unescaped() {
        let found =
            query("&labelSelector=leasehold.dev%2Fmanaged-by%3Dleasehold&limit=500&a+b=%E7%A7%9F");
        assert_eq!(found["labelSelector"], "leasehold.dev/managed-by=leasehold");
        assert_eq!(found["limit"], "500");
        assert_eq!(found["a b"], "租");
    }
}
