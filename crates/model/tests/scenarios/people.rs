//! People at work on the model: each write is one call of the API server, under a name, and goes through.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use leasehold_model::{Call, Key, Kind, PatchKind, Refusal, Server, Store, Verb};
use serde_json::Value;

/// Makes what no role of ours makes, and breaks glass.
pub const ADMIN: &str = "leasehold:admin";
/// The e-government office.
pub const OFFICE: &str = "chen@office";
/// The data centre.
pub const DATA_CENTRE: &str = "zhao@idc";
/// Finance: who loads prices, and who publishes them.
pub const FINANCE: [&str; 2] = ["sun@finance", "qian@finance"];

/// The staff of a department.
pub fn staff(code: &str) -> String {
    format!("zhang@{code}")
}

/// Creates an object.
pub fn create(server: &Server, user: &str, manifest: &Value) -> Result<(), String> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let (version, kind) = (text("/apiVersion").unwrap(), text("/kind").unwrap());
    let place = text("/metadata/namespace").unwrap_or_default();
    server.with_store(|store, now| {
        let kind = store.kinds().of(version, kind).unwrap();
        let call = Call::new(Verb::Create, &kind, place, "").with_body(manifest.clone());
        carried_out(store, &by(user, call), now)
    })
}

/// Merges a patch into an object.
pub fn patch(
    server: &Server,
    user: &str,
    [resource, place, name]: [&str; 3],
    patch: &Value,
) -> Result<(), String> {
    server.with_store(|store, now| {
        let kind = kind(store, resource);
        let call = Call::new(Verb::Patch(PatchKind::Merge), &kind, place, name);
        carried_out(store, &by(user, call.with_body(patch.clone())), now)
    })
}

/// Deletes an object; gives the version at which it went.
pub fn delete(
    server: &Server,
    user: &str,
    [resource, place, name]: [&str; 3],
) -> Result<u64, String> {
    server.with_store(|store, now| {
        let kind = kind(store, resource);
        let call = Call::new(Verb::Delete, &kind, place, name);
        carried_out(store, &by(user, call), now)?;
        Ok(store.version())
    })
}

/// A node starts a pod.
pub fn runs(server: &Server, namespace: &str, name: &str) {
    server.with_store(|store, now| {
        let key = Key::new(&kind(store, "pods"), namespace, name);
        store.report_pod(&key, "Running", now);
    });
}

fn kind(store: &Store, resource: &str) -> Arc<Kind> {
    store.kinds().resource(resource).unwrap()
}

fn by(user: &str, call: Call) -> Call {
    call.by(user).with("fieldManager", "kubectl")
}

fn carried_out(store: &mut Store, call: &Call, now: Timestamp) -> Result<(), String> {
    let refused = |refusal: Refusal| {
        let (verb, user) = (call.verb, &call.user);
        let (resource, place, name) = (call.kind.resource(), &call.namespace, &call.name);
        format!(
            "{user} may not {verb:?} {resource} {place}/{name}: {}",
            refusal.message
        )
    };
    store.handle(call, now).map(|_| ()).map_err(refused)
}
