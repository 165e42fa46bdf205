//! One user at work.

use std::path::{Path, PathBuf};
use std::pin::pin;

use futures::TryStreamExt as _;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, Resource};
use leasehold_controlplane::Binaries;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::command::{Ran, run};
use crate::{Failure, rig};

/// One user at work: writes with kubectl and with leasehold's command line as people do, and reads
/// with a client, which is cheap enough to poll with.
///
/// A client lives on the runtime that made it, so a session belongs to one test.
#[derive(Clone)]
pub struct Session {
    name: String,
    kubeconfig: PathBuf,
    binaries: Binaries,
    client: Client,
}

impl Session {
    /// A session with the credentials in a kubeconfig.
    pub(crate) async fn open(
        name: String,
        kubeconfig: PathBuf,
        binaries: Binaries,
    ) -> Result<Self, Failure> {
        let wrong = |source| Failure::Kubeconfig {
            path: kubeconfig.clone(),
            source: Box::new(source),
        };
        let file = Kubeconfig::read_from(&kubeconfig).map_err(wrong)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(wrong)?;
        let client = Client::try_from(config).map_err(call("make a client"))?;
        Ok(Self {
            name,
            kubeconfig,
            binaries,
            client,
        })
    }

    /// The user's name, as the API server sees it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with the user's credentials.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs kubectl; whether it succeeded is for the caller to look at.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Ran, Failure> {
        run(self.binaries.kubectl(&self.kubeconfig, arguments), input).await
    }

    /// Tries `kubectl apply` of one manifest.
    pub async fn try_apply(&self, manifest: &Value) -> Result<Ran, Failure> {
        self.kubectl(&["apply", "-f", "-"], &manifest.to_string())
            .await
    }

    /// `kubectl apply` of one manifest, which must succeed.
    pub async fn apply(&self, manifest: &Value) -> Result<Ran, Failure> {
        self.try_apply(manifest).await?.ok()
    }

    /// Tries `kubectl create` of one manifest.
    pub async fn try_create(&self, manifest: &Value) -> Result<Ran, Failure> {
        self.kubectl(&["create", "-f", "-"], &manifest.to_string())
            .await
    }

    /// `kubectl create` of one manifest, which must succeed.
    pub async fn create(&self, manifest: &Value) -> Result<Ran, Failure> {
        self.try_create(manifest).await?.ok()
    }

    /// Asks the API server whether it would create the manifest; nothing is stored.
    pub async fn dry_create(&self, manifest: &Value) -> Result<Ran, Failure> {
        let arguments = ["create", "--dry-run=server", "-o", "name", "-f", "-"];
        self.kubectl(&arguments, &manifest.to_string()).await
    }

    /// Tries a merge patch. `target` is what kubectl calls an object, as `tcy/oa`; `more` are further
    /// arguments, as `-n dept-edu` or `--subresource=status`.
    pub async fn try_patch(
        &self,
        target: &str,
        more: &[&str],
        patch: &Value,
    ) -> Result<Ran, Failure> {
        let text = patch.to_string();
        let mut arguments = vec!["patch", target, "--type=merge", "-p", &text];
        arguments.extend_from_slice(more);
        self.kubectl(&arguments, "").await
    }

    /// Runs leasehold's command line; whether it succeeded is for the caller to look at.
    pub async fn leasehold(&self, arguments: &[&str]) -> Result<Ran, Failure> {
        let mut command = std::process::Command::new(rig::program()?);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments);
        run(command, "").await
    }

    /// Reads one object; `place` is its namespace, if its kind has one.
    pub async fn find<K>(&self, place: Option<&str>, name: &str) -> Result<Option<K>, Failure>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let what = format!("read {} {name}", K::kind(&()));
        let found = self
            .api::<K>(place)
            .get_opt(name)
            .await
            .map_err(call(what))?;
        found.map(typed::<K>).transpose()
    }

    /// Reads one object that must be there; otherwise says so in words that a poll can show.
    pub async fn get<K>(&self, place: Option<&str>, name: &str) -> Result<K, String>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        match self.find::<K>(place, name).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(format!("there is no {} {name}", K::kind(&()))),
            Err(failure) => Err(format!("{failure:?}")),
        }
    }

    /// Reads all objects of a kind, of one namespace or of all.
    pub async fn list<K>(&self, place: Option<&str>) -> Result<Vec<K>, Failure>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let what = format!("list {}", K::plural(&()));
        let list = self
            .api::<K>(place)
            .list(&Default::default())
            .await
            .map_err(call(what))?;
        list.items.into_iter().map(typed::<K>).collect()
    }

    /// Creates one object with the client, for whoever creates so many that kubectl would be what is
    /// measured.
    pub async fn post<K>(&self, manifest: &Value) -> Result<(), Failure>
    where
        K: Resource<DynamicType = ()>,
    {
        let object: DynamicObject =
            serde_json::from_value(manifest.clone()).map_err(Failure::json("a manifest"))?;
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let what = format!("create {} {name}", K::kind(&()));
        self.api::<K>(object.metadata.namespace.as_deref())
            .create(&PostParams::default(), &object)
            .await
            .map_err(call(what))?;
        Ok(())
    }

    /// Watches all objects of a kind: shows each as it is and after every change, until `enough` says
    /// that it has seen enough. Whoever calls it bounds the time.
    pub async fn follow<K>(&self, mut enough: impl FnMut(K) -> bool) -> Result<(), Failure>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let what = format!("watch {}", K::plural(&()));
        let api = self.api::<K>(None);
        loop {
            // version 0 begins with every object as it is, so that nothing is missed when the server
            // ends a watch and the next one begins
            let watching = api.watch(&WatchParams::default(), "0").await;
            let mut events = pin!(watching.map_err(call(what.as_str()))?);
            while let Some(event) = events.try_next().await.map_err(call(what.as_str()))? {
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        if enough(typed::<K>(object)?) {
                            return Ok(());
                        }
                    }
                    WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(status) => {
                        return Err(call(what)(kube::Error::Api(status)));
                    }
                }
            }
        }
    }

    fn api<K: Resource<DynamicType = ()>>(&self, place: Option<&str>) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<K>(&());
        match place {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        }
    }
}

fn typed<K: Resource<DynamicType = ()> + DeserializeOwned>(
    object: DynamicObject,
) -> Result<K, Failure> {
    let what = format!(
        "{} {}",
        K::kind(&()),
        object.metadata.name.as_deref().unwrap_or_default()
    );
    serde_json::to_value(object)
        .and_then(serde_json::from_value)
        .map_err(Failure::json(what))
}

fn call(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Failure {
    let what = what.into();
    move |source| Failure::Call {
        what,
        source: Box::new(source),
    }
}
