//! What the API server serves.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::core::request;
use serde::de::DeserializeOwned;

use crate::{
    call::{Repeat, Subject},
    client::Kit,
    error::KitError,
};

const NOT_FOUND: u16 = 404;

impl Kit {
    /// The versions of a group in which a resource is served, in the server's order; none when it is not served at all. The
    /// core group, whose name is empty, has one version.
    pub async fn versions_of(&self, group: &str, resource: &str) -> Result<Vec<String>, KitError> {
        let versions: Vec<(String, String)> = if group.is_empty() {
            vec![("v1".to_owned(), "/api/v1".to_owned())]
        } else {
            let found: Option<APIGroup> = self.discover(&format!("/apis/{group}")).await?;
            let versions = found.into_iter().flat_map(|found| found.versions);
            versions
                .map(|found| (found.version, format!("/apis/{}", found.group_version)))
                .collect()
        };
        let mut serving = Vec::new();
        for (version, path) in versions {
            let found: Option<APIResourceList> = self.discover(&path).await?;
            let mut resources = found.into_iter().flat_map(|found| found.resources);
            if resources.any(|found| found.name == resource) {
                serving.push(version);
            }
        }
        Ok(serving)
    }

    /// What stands under a path; `None` where there is nothing.
    async fn discover<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, KitError> {
        let subject = Subject::path("discover", path);
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(request::Error::BuildRequest);
        match self.call(&subject, Repeat::Allowed, request).await {
            Ok(found) => Ok(Some(found)),
            // the answer is plain text where no group is of that name, and says no reason
            Err(error) if error.code() == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        client::Kit,
        fake::{Fake, Reply},
    };

    fn kit() -> Kit {
        let fake = Fake::new(|call| match call.uri.as_str() {
            "/apis/storage.example.com" => Reply::Json(
                200,
                json!({"kind": "APIGroup", "apiVersion": "v1", "name": "storage.example.com", "versions": [
                    {"groupVersion": "storage.example.com/v2", "version": "v2"},
                    {"groupVersion": "storage.example.com/v1", "version": "v1"},
                    {"groupVersion": "storage.example.com/v0", "version": "v0"},
                ]}),
            ),
            "/apis/storage.example.com/v2" | "/api/v1" => Reply::Json(
                200,
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "g/v", "resources": [
                    {"name": "buckets", "singularName": "bucket", "namespaced": true, "kind": "Bucket", "verbs": ["list"]},
                    {"name": "buckets/status", "singularName": "", "namespaced": true, "kind": "Bucket", "verbs": ["get"]},
                ]}),
            ),
            "/apis/storage.example.com/v1" => Reply::Json(
                200,
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "g/v", "resources": []}),
            ),
            "/apis/broken.example.com" => Reply::status(403, "Forbidden"),
            // what the client makes of a page of plain text
            _ => Reply::status(404, "Failed to parse error data"),
        });
        fake.kit()
    }

    #[tokio::test]
    async fn a_resource_is_served_in_the_versions_that_list_it() {
        let kit = kit();
        let served = kit.versions_of("storage.example.com", "buckets").await;
        assert_eq!(served.unwrap(), ["v2"]);
        let served = kit.versions_of("storage.example.com", "disks").await;
        assert!(served.unwrap().is_empty());
        assert_eq!(kit.versions_of("", "buckets").await.unwrap(), ["v1"]);
    }

    #[tokio::test]
    async fn a_group_that_is_not_there_serves_nothing_and_one_that_may_not_be_seen_is_no_answer() {
        let kit = kit();
        let served = kit.versions_of("gone.example.com", "buckets").await;
        assert!(served.unwrap().is_empty());
        let refused = kit.versions_of("broken.example.com", "buckets").await;
        assert!(refused.unwrap_err().is_forbidden());
    }
}
