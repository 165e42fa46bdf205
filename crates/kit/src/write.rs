//! Writing: everything carries our field manager, and what would change nothing is not sent.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    call::{Built, Repeat, Subject, requests},
    client::Kit,
    difference,
    error::{Failure, KitError},
    read::Readable,
};

/// A kind that can be written.
pub trait Object: Readable + Serialize {}

impl<K> Object for K where K: Readable + Serialize {}

/// What became of a write that is only sent if it changes something.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<K> {
    /// Nothing had to be written.
    Unchanged,
    /// The object as it is after the write.
    Written(K),
}

impl<K> Outcome<K> {
    /// Whether something was written.
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }

    /// The object after the write, if there was one.
    pub fn written(self) -> Option<K> {
        match self {
            Self::Written(object) => Some(object),
            Self::Unchanged => None,
        }
    }
}

impl Kit {
    /// Server-side apply: makes the object as described, creating it if need be. Takes over fields that others own.
    ///
    /// The object must be complete and built from nothing, never one that was read. Fields that an earlier apply of
    /// ours set and this one leaves out are removed. It does not check who made the object: what must be ours is
    /// created by [`Self::create`].
    pub async fn apply<K: Object>(&self, object: &K) -> Result<K, KitError> {
        let (subject, name) = subject("apply", object)?;
        let params = PatchParams::apply(self.field_manager()).force();
        let request = requests::<K>(object.meta().namespace.as_deref()).patch(
            name,
            &params,
            &Patch::Apply(object),
        );
        self.call(&subject, Repeat::Allowed, request).await
    }

    /// [`Self::apply`], unless the object as last seen already is as described: every field described is there with the
    /// same value (quantities compared by amount, labels and annotations as a part of what is there), and no field that
    /// an earlier apply of ours set is left out now.
    pub async fn apply_if_changed<K: Object>(
        &self,
        desired: &K,
        current: Option<&K>,
    ) -> Result<Outcome<K>, KitError> {
        if let Some(current) = current {
            let (subject, _) = subject("compare", desired)?;
            let desired = json_of(&subject, desired)?;
            let current = json_of(&subject, current)?;
            if difference::is_settled(&desired, &current, self.field_manager()) {
                return Ok(Outcome::Unchanged);
            }
        }
        self.apply(desired).await.map(Outcome::Written)
    }

    /// Creates the object, or applies it if it is there after all or nobody can tell. For the API server a create is less
    /// work than an apply. A field that it was made with stays when a later apply leaves it out: for objects whose
    /// descriptions always name the same fields.
    pub async fn make<K: Object>(&self, object: &K) -> Result<K, KitError> {
        match self.create(object).await {
            Err(error) if error.is_already_exists() || error.is_transient() => {
                self.apply(object).await
            }
            outcome => outcome,
        }
    }

    /// Creates an object. Sent once: after a transient failure the caller looks whether it is there, and takes
    /// `AlreadyExists` as a reason to read and compare, not as success.
    pub async fn create<K: Object>(&self, object: &K) -> Result<K, KitError> {
        self.post("create", object, false).await
    }

    /// Asks whether the object could be created, without creating it.
    pub async fn create_dry_run<K: Object>(&self, object: &K) -> Result<K, KitError> {
        self.post("try to create", object, true).await
    }

    async fn post<K: Object>(
        &self,
        op: &'static str,
        object: &K,
        dry_run: bool,
    ) -> Result<K, KitError> {
        let (subject, _) = subject(op, object)?;
        let body = bytes_of(&subject, object)?;
        let params = PostParams {
            dry_run,
            field_manager: Some(self.field_manager().to_owned()),
        };
        let request = requests::<K>(object.meta().namespace.as_deref()).create(&params, body);
        self.call(&subject, Repeat::Never, request).await
    }

    /// Deletes the object with this uid; its dependents follow in the background. `false` if it was not there.
    /// A conflict if another object has the name by now.
    pub async fn delete<K: Readable>(
        &self,
        namespace: Option<&str>,
        name: &str,
        uid: &str,
    ) -> Result<bool, KitError> {
        let only = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        self.delete_if::<K>(namespace, name, only).await
    }

    /// [`Self::delete`] of an object as it was read, refused with a conflict also if it has changed since. For what must
    /// not go when somebody has written meanwhile that it shall stay.
    pub async fn delete_as_read<K: Readable>(&self, read: &K) -> Result<bool, KitError> {
        let meta = read.meta();
        let only = Preconditions {
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
        };
        let name = meta.name.as_deref().unwrap_or_default();
        self.delete_if::<K>(meta.namespace.as_deref(), name, only)
            .await
    }

    async fn delete_if<K: Readable>(
        &self,
        namespace: Option<&str>,
        name: &str,
        only: Preconditions,
    ) -> Result<bool, KitError> {
        let subject = Subject::new::<K>("delete", namespace, Some(name));
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(only),
            ..DeleteParams::default()
        };
        let request = requests::<K>(namespace).delete(name, &params);
        match self.call::<Value>(&subject, Repeat::Allowed, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the status of an object, unless it is as it was. Refused with a conflict if another object has taken the
    /// name of this one.
    pub async fn patch_status<K: Object, S: Serialize + Sync>(
        &self,
        object: &K,
        old: Option<&S>,
        new: &S,
    ) -> Result<Outcome<K>, KitError> {
        self.write_status(object, old, new, None).await
    }

    /// [`Self::patch_status`], refused with a conflict also if the object has changed since it was read. For a status to
    /// which several of us add: who starts from an old one would take away what another has added meanwhile.
    pub async fn patch_status_as_read<K: Object, S: Serialize + Sync>(
        &self,
        object: &K,
        old: Option<&S>,
        new: &S,
    ) -> Result<Outcome<K>, KitError> {
        let version = object.resource_version();
        self.write_status(object, old, new, version).await
    }

    async fn write_status<K: Object, S: Serialize + Sync>(
        &self,
        object: &K,
        old: Option<&S>,
        new: &S,
        version: Option<String>,
    ) -> Result<Outcome<K>, KitError> {
        let (subject, name) = subject("write the status of", object)?;
        let status = json_of(&subject, new)?;
        if let Some(old) = old
            && json_of(&subject, old)? == status
        {
            return Ok(Outcome::Unchanged);
        }
        let mut envelope = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {},
            "status": status,
        });
        if let Some(Value::Object(metadata)) = envelope.get_mut("metadata") {
            let marks = [("uid", object.uid()), ("resourceVersion", version)];
            for (field, mark) in marks {
                if let Some(mark) = mark {
                    metadata.insert(field.to_owned(), Value::String(mark));
                }
            }
        }
        let params = PatchParams::apply(self.field_manager()).force();
        let request = requests::<K>(object.meta().namespace.as_deref()).patch_subresource(
            "status",
            name,
            &params,
            &Patch::Apply(envelope),
        );
        self.call(&subject, Repeat::Allowed, request)
            .await
            .map(Outcome::Written)
    }

    /// Merges the patch (RFC 7386) into an object. With `metadata.resourceVersion` in it, it is refused with a conflict
    /// if the object has changed.
    pub async fn merge_patch<K: Readable>(
        &self,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<K, KitError> {
        let subject = Subject::new::<K>("patch", namespace, Some(name));
        let params = PatchParams::apply(self.field_manager());
        let request = requests::<K>(namespace).patch(name, &params, &Patch::Merge(patch));
        self.call(&subject, Repeat::Allowed, request).await
    }

    /// Evicts the pod with this uid. `false` if it was not there. `TooManyRequests` if a disruption budget forbids it
    /// now; sent once, for the caller comes round again.
    pub async fn evict(&self, namespace: &str, name: &str, uid: &str) -> Result<bool, KitError> {
        let subject = Subject::new::<Pod>("evict", Some(namespace), Some(name));
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let body = bytes_of(&subject, &eviction)?;
        let request: Built = requests::<Pod>(Some(namespace)).create_subresource(
            "eviction",
            name,
            &PostParams::default(),
            body,
        );
        match self.call::<Value>(&subject, Repeat::Never, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(crate) fn subject<'object, K: Object>(
    op: &'static str,
    object: &'object K,
) -> Result<(Subject, &'object str), KitError> {
    let meta = object.meta();
    let subject = Subject::new::<K>(op, meta.namespace.as_deref(), meta.name.as_deref());
    match meta.name.as_deref() {
        Some(name) => Ok((subject, name)),
        None => Err(subject.error(Failure::Missing("metadata.name"))),
    }
}

pub(crate) fn json_of(subject: &Subject, object: &impl Serialize) -> Result<Value, KitError> {
    serde_json::to_value(object).map_err(|error| subject.error(Failure::Encode(error)))
}

fn bytes_of(subject: &Subject, object: &impl Serialize) -> Result<Vec<u8>, KitError> {
    serde_json::to_vec(object).map_err(|error| subject.error(Failure::Encode(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply};
    use http::Method;
    use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};

    fn quota(cpu: &str) -> ResourceQuota {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "lease", "namespace": "sfb--archive", "uid": "u1"},
            "spec": {"hard": {"requests.cpu": cpu}},
        }))
        .unwrap()
    }

    fn echo() -> Fake {
        Fake::new(|call| match call.uri.split_once("/status?") {
            Some(_) => Reply::Json(200, serde_json::to_value(quota("1")).unwrap()),
            None => Reply::Json(200, call.body.clone()),
        })
    }

    #[tokio::test]
    async fn an_apply_goes_to_the_scope_of_the_kind_and_is_forced() {
        let fake = echo();
        let kit = fake.kit().with_field_manager("tester");
        kit.apply(&quota("2")).await.unwrap();
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "sfb--archive"}})).unwrap();
        kit.apply(&namespace).await.unwrap();
        let calls = fake.calls();
        assert!(
            calls[0]
                .uri
                .starts_with("/api/v1/namespaces/sfb--archive/resourcequotas/lease?")
        );
        assert!(calls[1].uri.starts_with("/api/v1/namespaces/sfb--archive?"));
        for call in calls {
            assert_eq!(call.content_type, "application/apply-patch+yaml");
            assert_eq!(call.parameter("force"), Some("true"));
            assert_eq!(call.parameter("fieldManager"), Some("tester"));
        }
    }

    #[tokio::test]
    async fn an_object_that_is_as_described_is_not_written() {
        let fake = echo();
        let kit = fake.kit();
        let outcome = kit
            .apply_if_changed(&quota("2"), Some(&quota("2000m")))
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Unchanged);
        assert_eq!(fake.calls().len(), 0);
        assert!(
            kit.apply_if_changed(&quota("3"), Some(&quota("2")))
                .await
                .unwrap()
                .is_written()
        );
        assert!(
            kit.apply_if_changed(&quota("2"), None)
                .await
                .unwrap()
                .is_written()
        );
        assert_eq!(fake.count(&Method::PATCH), 2);
    }

    #[tokio::test]
    async fn what_was_not_seen_is_made_and_applied_if_it_is_there_after_all_or_nobody_can_tell() {
        let methods = |fake: &Fake| -> Vec<Method> {
            let calls = fake.calls();
            calls.into_iter().map(|call| call.method).collect()
        };
        let fake = echo();
        let kit = fake.kit();
        kit.make(&quota("2")).await.unwrap();
        assert_eq!(methods(&fake), [Method::POST]);
        assert!(fake.calls()[0].parameter("fieldManager").is_some());
        for (code, reason) in [(409, "AlreadyExists"), (504, "Timeout")] {
            let fake = Fake::new(move |call| match call.number {
                0 => Reply::status(code, reason),
                _ => Reply::Json(200, call.body.clone()),
            });
            fake.kit().make(&quota("2")).await.unwrap();
            assert_eq!(methods(&fake), [Method::POST, Method::PATCH], "{reason}");
        }
        let fake = Fake::new(|_| Reply::status(403, "Forbidden"));
        let refused = fake.kit().make(&quota("2")).await.unwrap_err();
        assert!(refused.is_forbidden());
        assert_eq!(methods(&fake), [Method::POST]);
    }

    #[tokio::test]
    async fn a_status_is_written_once_under_the_uid_of_its_object() {
        let fake = echo();
        let kit = fake.kit();
        let (old, new) = (json!({"phase": "Waiting"}), json!({"phase": "Ready"}));
        assert!(
            !kit.patch_status(&quota("1"), Some(&new), &new)
                .await
                .unwrap()
                .is_written()
        );
        assert!(
            kit.patch_status(&quota("1"), Some(&old), &new)
                .await
                .unwrap()
                .is_written()
        );
        let calls = fake.calls();
        assert_eq!(calls.len(), 1);
        assert!(calls[0].uri.contains("/resourcequotas/lease/status?"));
        assert_eq!(
            calls[0].body,
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"uid": "u1"},
                "status": {"phase": "Ready"}})
        );
    }

    #[tokio::test]
    async fn a_status_to_which_others_add_is_written_on_the_version_that_was_read() {
        let fake = echo();
        let kit = fake.kit();
        let mut read = quota("1");
        read.metadata.resource_version = Some("7".to_owned());
        let (old, new) = (json!({"phase": "Waiting"}), json!({"phase": "Ready"}));
        for status in [&old, &new] {
            let outcome = kit.patch_status_as_read(&read, Some(&old), status).await;
            outcome.unwrap();
        }
        let calls = fake.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(
            calls[0].body["metadata"],
            json!({"uid": "u1", "resourceVersion": "7"})
        );
    }

    #[tokio::test]
    async fn a_delete_names_the_uid_and_says_whether_there_was_anything() {
        let fake = Fake::new(|call| match call.number {
            0 => Reply::Json(200, json!({"kind": "Status", "status": "Success"})),
            1 => Reply::status(404, "NotFound"),
            _ => Reply::status(409, "Conflict"),
        });
        let kit = fake.kit();
        assert!(kit.delete::<Namespace>(None, "x", "u1").await.unwrap());
        assert!(!kit.delete::<Namespace>(None, "x", "u1").await.unwrap());
        assert!(
            kit.delete::<Namespace>(None, "x", "u1")
                .await
                .unwrap_err()
                .is_conflict()
        );
        assert_eq!(fake.calls()[0].body["preconditions"], json!({"uid": "u1"}));
    }

    #[tokio::test]
    async fn a_delete_of_what_was_read_names_its_version_as_well() {
        let fake = Fake::new(|_| Reply::status(409, "Conflict"));
        let read: Namespace = serde_json::from_value(json!({
            "metadata": {"name": "x", "uid": "u1", "resourceVersion": "7"},
        }))
        .unwrap();
        let refused = fake.kit().delete_as_read(&read).await.unwrap_err();
        assert!(refused.is_conflict());
        let call = &fake.calls()[0];
        assert!(call.uri.starts_with("/api/v1/namespaces/x"), "{}", call.uri);
        assert_eq!(
            call.body["preconditions"],
            json!({"uid": "u1", "resourceVersion": "7"})
        );
    }

    #[tokio::test]
    async fn an_eviction_names_the_uid_of_the_pod() {
        let fake = Fake::new(|_| Reply::Json(201, json!({"kind": "Status", "status": "Success"})));
        assert!(fake.kit().evict("a", "web", "u7").await.unwrap());
        let call = &fake.calls()[0];
        assert!(
            call.uri
                .starts_with("/api/v1/namespaces/a/pods/web/eviction?")
        );
        assert_eq!(
            call.body["deleteOptions"],
            json!({"preconditions": {"uid": "u7"}})
        );
    }

    #[tokio::test]
    async fn a_trial_creates_nothing() {
        let fake = echo();
        fake.kit().create_dry_run(&quota("1")).await.unwrap();
        assert_eq!(fake.calls()[0].parameter("dryRun"), Some("All"));
    }

    #[tokio::test]
    async fn an_object_without_a_name_is_not_sent() {
        let fake = echo();
        let error = fake.kit().apply(&Namespace::default()).await.unwrap_err();
        assert_eq!(error.reason(), "NotSendable");
        assert_eq!(fake.calls().len(), 0);
    }
}
