//! Reading: one object, its metadata, or all of a kind.

use std::fmt::Debug;

use kube::{
    Resource,
    api::{GetParams, ListParams, ObjectList, ObjectMeta},
    core::{DeserializeGuard, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

use crate::{
    call::{Repeat, Subject, requests, requests_of},
    client::Kit,
    error::KitError,
    owned,
};

/// Objects per page of a list.
const PAGE: u32 = 500;
/// A list whose pages expire half-way is begun anew so many times.
const RESTARTS: u32 = 2;

/// A kind that can be read: what every generated or built-in kind is.
pub trait Readable:
    Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
}

impl<K> Readable for K where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
}

/// A kind that can be followed: one that can be read, or one whose name is known only while the program runs.
pub trait Followed:
    Resource<DynamicType: Clone + Debug + Send + Sync + 'static>
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Followed for K
where
    K: Resource + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Send + Sync + 'static,
{
}

/// All objects of a kind at one version.
#[derive(Clone, Debug)]
pub struct Listed<K> {
    /// The objects.
    pub items: Vec<K>,
    /// The version at which they were listed; a watch from it misses nothing.
    pub resource_version: String,
}

impl Kit {
    /// Reads an object; `None` if it is not there. Without a namespace: of a cluster-scoped kind.
    pub async fn get<K: Readable>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<K>, KitError> {
        self.get_of(&(), namespace, name).await
    }

    /// [`Self::get`] of a kind that may be known by name alone.
    pub async fn get_of<K: Followed>(
        &self,
        kind: &K::DynamicType,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<K>, KitError> {
        let subject = Subject::of::<K>(kind, "get", namespace, Some(name));
        let request = requests_of::<K>(kind, namespace).get(name, &GetParams::default());
        found(self.call(&subject, Repeat::Allowed, request).await)
    }

    /// Reads an object's metadata alone; `None` if it is not there.
    pub async fn get_meta<K: Readable>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<ObjectMeta>, KitError> {
        let subject = Subject::new::<K>("get metadata of", namespace, Some(name));
        let request = requests::<K>(namespace).get_metadata(name, &GetParams::default());
        let answer: Result<PartialObjectMeta<K>, _> =
            self.call(&subject, Repeat::Allowed, request).await;
        Ok(found(answer)?.map(|object| object.metadata))
    }

    /// Lists the objects of a kind, of one namespace or of all, that carry the labels of the selector.
    pub async fn list<K: Readable>(
        &self,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<K>, KitError> {
        let params = ListParams {
            label_selector: labels.map(str::to_owned),
            ..ListParams::default()
        };
        Ok(self.list_at(namespace, &params).await?.items)
    }

    /// Lists the objects of a kind together with the version of the list, page by page: what an etcd quorum holds.
    pub async fn list_at<K: Readable>(
        &self,
        namespace: Option<&str>,
        params: &ListParams,
    ) -> Result<Listed<K>, KitError> {
        self.list_of(&(), namespace, params).await
    }

    /// [`Self::list_at`] of a kind that may be known by name alone.
    pub async fn list_of<K: Followed>(
        &self,
        kind: &K::DynamicType,
        namespace: Option<&str>,
        params: &ListParams,
    ) -> Result<Listed<K>, KitError> {
        self.list_as(kind, namespace, params, |object: K| object)
            .await
    }

    /// [`Self::list_of`], with what is made of each object as soon as its page is there.
    pub(crate) async fn list_as<K: Followed, T>(
        &self,
        kind: &K::DynamicType,
        namespace: Option<&str>,
        params: &ListParams,
        make: impl Fn(K) -> T,
    ) -> Result<Listed<T>, KitError> {
        let mut restarts = 0_u32;
        loop {
            match self.pages(kind, namespace, params, &make).await {
                // the rest of the pages is of a version that the server no longer has
                Err(error) if error.is_gone() && restarts < RESTARTS => {
                    restarts = restarts.saturating_add(1);
                }
                outcome => return outcome,
            }
        }
    }

    /// The version at which the API server stands: that of a list of at most one object of the kind, as an etcd quorum
    /// holds it.
    pub async fn newest_version<K: Readable>(
        &self,
        namespace: Option<&str>,
    ) -> Result<String, KitError> {
        self.newest_version_of::<K>(&(), namespace).await
    }

    /// [`Self::newest_version`] of a kind that may be known by name alone.
    pub async fn newest_version_of<K: Followed>(
        &self,
        kind: &K::DynamicType,
        namespace: Option<&str>,
    ) -> Result<String, KitError> {
        let subject = Subject::of::<K>(kind, "list", namespace, None);
        let request = requests_of::<K>(kind, namespace).list(&ListParams::default().limit(1));
        let page: ObjectList<DeserializeGuard<K>> =
            self.call(&subject, Repeat::Allowed, request).await?;
        Ok(page.metadata.resource_version.unwrap_or_default())
    }

    async fn pages<K: Followed, T>(
        &self,
        kind: &K::DynamicType,
        namespace: Option<&str>,
        params: &ListParams,
        make: impl Fn(K) -> T,
    ) -> Result<Listed<T>, KitError> {
        let subject = Subject::of::<K>(kind, "list", namespace, None);
        let mut params = params.clone().limit(PAGE);
        let mut items = Vec::new();
        loop {
            let request = requests_of::<K>(kind, namespace).list(&params);
            let page: ObjectList<K> = self.call(&subject, Repeat::Allowed, request).await?;
            // many are held at once, and what little is read of these sets is read as well from text
            items.extend(page.items.into_iter().map(packed).map(&make));
            let more = page.metadata.continue_.filter(|token| !token.is_empty());
            if more.is_none() {
                let resource_version = page.metadata.resource_version.unwrap_or_default();
                return Ok(Listed {
                    items,
                    resource_version,
                });
            }
            params.continue_token = more;
        }
    }
}

fn packed<K: Followed>(mut object: K) -> K {
    owned::pack(object.meta_mut());
    object
}

fn found<T>(answer: Result<T, KitError>) -> Result<Option<T>, KitError> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply};
    use http::Method;
    use k8s_openapi::api::core::v1::{Namespace, Pod};
    use kube::ResourceExt;
    use serde_json::{Value, json};

    fn page(version: &str, names: &[&str], token: Option<&str>) -> Value {
        let items: Vec<Value> = names
            .iter()
            .map(|name| json!({"metadata": {"name": name, "namespace": "a"}}))
            .collect();
        json!({"apiVersion": "v1", "kind": "PodList", "items": items,
            "metadata": {"resourceVersion": version, "continue": token}})
    }

    #[tokio::test]
    async fn what_is_not_there_is_none_and_what_is_forbidden_is_an_error() {
        let fake = Fake::new(|call| match call.uri.as_str() {
            "/api/v1/namespaces/gone" => Reply::status(404, "NotFound"),
            _ => Reply::status(403, "Forbidden"),
        });
        let kit = fake.kit();
        assert_eq!(kit.get::<Namespace>(None, "gone").await.unwrap(), None);
        assert!(
            kit.get::<Namespace>(None, "secret")
                .await
                .unwrap_err()
                .is_forbidden()
        );
    }

    #[tokio::test]
    async fn who_owns_which_field_of_what_is_listed_is_text_and_can_be_read() {
        let set = json!({"f:spec": {"f:nodeName": {}}});
        let mut list = page("70", &["one"], None);
        list["items"][0]["metadata"]["managedFields"] =
            json!([{"manager": "kubectl", "operation": "Update", "fieldsV1": set}]);
        let fake = Fake::new(move |_| Reply::Json(200, list.clone()));
        let pods = fake.kit().list::<Pod>(Some("a"), None).await.unwrap();
        let entries = pods[0].metadata.managed_fields.as_ref().unwrap();
        let text = &entries[0].fields_v1.as_ref().unwrap().0;
        assert!(text.is_string(), "{text}");
        assert_eq!(owned::fields(text), owned::fields(&set));
    }

    #[tokio::test]
    async fn all_pages_are_listed_with_the_labels_asked_for() {
        let fake = Fake::new(|call| match call.parameter("continue") {
            None => Reply::Json(200, page("70", &["one", "two"], Some("more"))),
            Some(_) => Reply::Json(200, page("70", &["three"], None)),
        });
        let kit = fake.kit();
        let pods = kit.list::<Pod>(Some("a"), Some("app=x")).await.unwrap();
        assert_eq!(
            pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
            ["one", "two", "three"]
        );
        for call in fake.calls() {
            assert!(call.uri.starts_with("/api/v1/namespaces/a/pods?"));
            assert_eq!(call.parameter("labelSelector"), Some("app%3Dx"));
        }
    }

    #[tokio::test]
    async fn pages_that_expire_half_way_are_begun_anew() {
        let fake = Fake::new(|call| match (call.number, call.parameter("continue")) {
            (0, None) => Reply::Json(200, page("70", &["old"], Some("more"))),
            (_, Some(_)) => Reply::status(410, "Expired"),
            (_, None) => Reply::Json(200, page("80", &["new"], None)),
        });
        let listed = fake
            .kit()
            .list_at::<Pod>(None, &ListParams::default())
            .await
            .unwrap();
        assert_eq!(listed.resource_version, "80");
        assert_eq!(
            listed
                .items
                .iter()
                .map(ResourceExt::name_any)
                .collect::<Vec<_>>(),
            ["new"]
        );
        assert_eq!(fake.count(&Method::GET), 3);
    }
}
