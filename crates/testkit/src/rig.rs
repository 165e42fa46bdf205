//! The control plane of a test binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use leasehold_controlplane::{Binaries, ControlPlane, Options};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::audit::{self, Write};
use crate::command::{Ran, run};
use crate::manifests::{self, Contributed};
use crate::proxy::{Upstream, Way};
use crate::{Failure, LONG, Session, User, eventually};

/// The namespace of the chart's release.
pub const NAMESPACE: &str = "leasehold-system";
/// The operator's user, as the API server sees it.
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:leasehold-system:leasehold";
/// How long the operator's token is good for: longer than any test.
const TOKEN: &str = "--duration=8h";

/// How many tokens were made; each has a file of its own.
static TOKENS: AtomicU32 = AtomicU32::new(0);
static SHARED: OnceCell<Result<Rig, String>> = OnceCell::const_new();

/// A control plane; all but an empty one have the chart installed and its policies in force.
pub struct Rig {
    plane: Mutex<ControlPlane>,
    binaries: Binaries,
    dir: PathBuf,
    admin: PathBuf,
    audit: PathBuf,
    etcd: String,
    users: Mutex<BTreeMap<String, PathBuf>>,
}

impl Rig {
    /// The one of this test binary; the first test to ask starts it (about 10 seconds). When it cannot
    /// start, every test that asks fails with the reason.
    pub async fn shared() -> Result<&'static Self, Failure> {
        let started = SHARED.get_or_init(|| async {
            Self::start()
                .await
                .map_err(|failure| format!("{failure:?}"))
        });
        started
            .await
            .as_ref()
            .map_err(|reason| Failure::Shared(reason.clone()))
    }

    async fn start() -> Result<Self, Failure> {
        let rig = Self::empty().await?;
        rig.install().await?;
        Ok(rig)
    }

    /// A control plane with nothing of ours on it, for tests of the installation itself. Every call starts
    /// one (about 5 seconds); it ends when it is dropped.
    pub async fn empty() -> Result<Self, Failure> {
        let starting = tokio::task::spawn_blocking(|| ControlPlane::start(Options::for_tests()));
        let plane = starting
            .await
            .map_err(|error| Failure::Shared(error.to_string()))??;
        let dir = plane.dir().to_owned();
        Ok(Self {
            binaries: plane.binaries().clone(),
            admin: plane.admin_kubeconfig(),
            audit: plane.audit_log().unwrap_or_else(|| dir.join("audit.log")),
            etcd: plane.etcd_address(),
            dir,
            plane: Mutex::new(plane),
            users: Mutex::new(BTreeMap::new()),
        })
    }

    /// Installs the chart as a user would, without the operator's pod: the tests run its process. What is there of it
    /// already is brought up to date, and what is missing is made anew.
    pub async fn install(&self) -> Result<(), Failure> {
        let root = repository();
        let chart = root.join("charts").join("leasehold").display().to_string();
        let values = root
            .join("examples")
            .join("values.yaml")
            .display()
            .to_string();
        self.helm(&[
            "upgrade",
            "--install",
            "leasehold",
            &chart,
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--values",
            &values,
            "--set",
            "operator.enabled=false",
        ])
        .await?
        .ok()?;
        self.in_force().await
    }

    /// Waits until what Helm has just installed is in force: the kinds are served and the policies deny.
    pub async fn in_force(&self) -> Result<(), Failure> {
        let admin = self.user(User::Admin).await?;
        let kinds: Vec<String> = leasehold_api::definitions()
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        let definitions: Vec<String> = kinds.iter().map(|kind| format!("crd/{kind}")).collect();
        let mut arguments = vec!["wait", "--for=condition=Established", "--timeout=150s"];
        arguments.extend(definitions.iter().map(String::as_str));
        admin.kubectl(&arguments, "").await?.ok()?;
        self.await_kinds(&admin, &kinds).await?;
        self.await_policies(&admin).await
    }

    /// A kind that is established need not be served yet: whoever comes first is answered 503.
    async fn await_kinds(&self, admin: &Session, kinds: &[String]) -> Result<(), Failure> {
        let list = ["get", &kinds.join(","), "--all-namespaces", "-o", "name"];
        eventually("kinds that are served", LONG, async || {
            Ran::succeeded(admin.kubectl(&list, "").await)
        })
        .await
    }

    /// A policy that was just installed takes about a second to bite, and one that mutates answers 503
    /// until the API server knows the new kinds.
    async fn await_policies(&self, admin: &Session) -> Result<(), Failure> {
        for (manifest, rule) in probes() {
            eventually(&format!("rule {rule} in force"), LONG, async || {
                let ran = admin
                    .dry_create(&manifest)
                    .await
                    .map_err(|f| format!("{f:?}"))?;
                let in_force = !ran.is_ok() && ran.stderr.contains(&format!("rule {rule}:"));
                if in_force {
                    Ok(())
                } else {
                    Err(format!("{ran:?}"))
                }
            })
            .await?;
        }
        self.await_parameters(admin).await?;
        eventually("stamps on new objects", LONG, async || {
            Ran::succeeded(admin.dry_create(&price_book()).await)
        })
        .await
    }

    /// A policy whose parameters are of a new kind refuses everything until the API server has discovered that kind, which
    /// it does anew every half minute.
    async fn await_parameters(&self, admin: &Session) -> Result<(), Failure> {
        let nothing = Contributed {
            code: "nobody",
            name: "nothing",
            uid: "nothing",
        };
        let mut appraisal = manifests::appraisal(nothing, "probe", &[("SN-PROBE", "1.00")])?;
        if let Some(metadata) = appraisal.get_mut("metadata") {
            *metadata = json!({"name": "probe", "namespace": "default"});
        }
        eventually("parameters of the policies", LONG, async || {
            let ran = admin
                .dry_create(&appraisal)
                .await
                .map_err(|f| format!("{f:?}"))?;
            if ran.stderr.contains("failed to configure policy") {
                Err(format!("{ran:?}"))
            } else {
                Ok(())
            }
        })
        .await
    }

    /// A session of one user, on the runtime of the caller.
    pub async fn user(&self, user: User<'_>) -> Result<Session, Failure> {
        let kubeconfig = match user {
            User::Admin => self.admin.clone(),
            User::Office
            | User::Finance(_)
            | User::DataCentre
            | User::Appraiser
            | User::StrangeAppraiser
            | User::Auditor
            | User::Department(_)
            | User::Outsider(_) => self.certified(user)?,
        };
        Session::open(user.name(), kubeconfig, self.binaries.clone()).await
    }

    /// The kubeconfig of a user with a certificate; written once, because others may be reading it.
    fn certified(&self, user: User<'_>) -> Result<PathBuf, Failure> {
        let name = user.name();
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = users.get(&name) {
            return Ok(known.clone());
        }
        let groups = user.groups();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        let path = plane.user_kubeconfig(&name, &groups)?;
        users.insert(name, path.clone());
        Ok(path)
    }

    /// A session with a token of the chart's `ServiceAccount`: what the operator may do, and no more.
    pub async fn service_account(&self) -> Result<Session, Failure> {
        let path = self.operator_kubeconfig(None).await?;
        Session::open(SERVICE_ACCOUNT.to_owned(), path, self.binaries.clone()).await
    }

    /// A kubeconfig with a fresh token of the chart's `ServiceAccount` and nothing of the administrator. It
    /// leads to the API server, or to the proxy before it.
    pub async fn operator_kubeconfig(&self, through: Option<&Way>) -> Result<PathBuf, Failure> {
        self.account_kubeconfig(NAMESPACE, "leasehold", through)
            .await
    }

    /// The same of another `ServiceAccount`.
    pub(crate) async fn account_kubeconfig(
        &self,
        namespace: &str,
        account: &str,
        through: Option<&Way>,
    ) -> Result<PathBuf, Failure> {
        let admin = self.user(User::Admin).await?;
        let token = ["create", "token", account, "--namespace", namespace, TOKEN];
        let token = admin.kubectl(&token, "").await?.ok()?;
        let view = [
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ];
        let mut config: Value = admin.kubectl(&view, "").await?.ok()?.json()?;
        if let Some(user) = config.pointer_mut("/users/0/user") {
            *user = json!({"token": token.stdout.trim()});
        }
        if let (Some(way), Some(cluster)) = (through, config.pointer_mut("/clusters/0/cluster")) {
            let authority = way.authority.display().to_string();
            *cluster = json!({"server": way.server, "certificate-authority": authority});
        }
        let number = TOKENS.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{account}-{number}.kubeconfig"));
        fs::write(&path, config.to_string()).map_err(Failure::file(&path))?;
        Ok(path)
    }

    /// The API server, for a proxy before it.
    pub fn upstream(&self) -> Upstream {
        let plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        Upstream {
            server: plane.server_url(),
            authority: Some(plane.authority().to_owned()),
        }
    }

    /// Runs Helm as the administrator.
    pub async fn helm(&self, arguments: &[&str]) -> Result<Ran, Failure> {
        run(self.binaries.helm(&self.admin, arguments), "").await
    }

    /// A folder for files of the tests; it goes with the control plane.
    pub fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.dir.join("scratch").join(name);
        fs::create_dir_all(&path).map_err(Failure::file(&path))?;
        Ok(path)
    }

    /// Copies what etcd holds into a folder of this name. The caller's thread waits meanwhile.
    pub fn back_up(&self, name: &str) -> Result<PathBuf, Failure> {
        let to = self.scratch("backups")?.join(name);
        let mut plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        plane.back_up(&to)?;
        Ok(to)
    }

    /// Puts back what was copied, as whoever restores a cluster from a backup: objects and versions are those of then. The
    /// caller's thread waits meanwhile.
    pub fn put_back(&self, backup: &Path) -> Result<(), Failure> {
        let mut plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(plane.put_back(backup)?)
    }

    /// The same, after `read` was called with etcd's address, once nobody writes to it any more: to save what it is about to
    /// forget.
    pub fn put_back_after(&self, backup: &Path, read: impl FnOnce(&str)) -> Result<(), Failure> {
        let mut plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(plane.put_back_after(backup, read)?)
    }

    /// The address of etcd, in plain HTTP: behind the API server, for what it would date itself.
    pub fn etcd(&self) -> &str {
        &self.etcd
    }

    /// The API server's log of who wrote what; what was rotated away from it lies beside it.
    pub fn audit_log(&self) -> &Path {
        &self.audit
    }

    /// Kills the API server and starts it again at the same address; returns when it is ready. Watches break, and it has
    /// forgotten every version but the newest. Stored objects stay.
    pub async fn restart_api_server(&'static self) -> Result<(), Failure> {
        let restarting = tokio::task::spawn_blocking(move || {
            let mut plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
            plane.restart_apiserver()
        });
        restarting
            .await
            .map_err(|error| Failure::Shared(error.to_string()))??;
        Ok(())
    }

    /// Kills the built-in controllers and starts them again, so that they count every quota anew. The caller's thread waits
    /// meanwhile.
    pub fn restart_controllers(&self) -> Result<(), Failure> {
        let mut plane = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(plane.restart_controllers()?)
    }

    /// Every write that the API server has carried out so far, in order.
    pub fn writes(&self) -> Result<Vec<Write>, Failure> {
        let mut writes = self.attempts()?;
        writes.retain(|write| !write.is_unclear());
        Ok(writes)
    }

    /// The same, and in their places those that it may have carried out ([`Write::is_unclear`]).
    pub fn attempts(&self) -> Result<Vec<Write>, Failure> {
        audit::read(&self.audit)
    }
}

/// The folder of the repository.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// The program under test: `leasehold` in the folder of the profile that the test was built with.
pub fn program() -> Result<PathBuf, Failure> {
    let test = std::env::current_exe().map_err(Failure::file("the running test"))?;
    let mut folder = test.parent().unwrap_or(Path::new("."));
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    let program = folder.join("leasehold");
    if program.is_file() {
        Ok(program)
    } else {
        Err(Failure::NotBuilt(program))
    }
}

/// What each kind of policy must refuse, to the administrator too.
fn probes() -> [(Value, &'static str); 4] {
    let zeros = format!("sha256:{}", "0".repeat(64));
    [
        (
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "probe--policies"}}),
            "N02",
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "ResourceQuota",
                "metadata": {
                    "name": "probe", "namespace": "default",
                    "labels": {"leasehold.dev/managed-by": "leasehold"},
                },
                "spec": {"hard": {"pods": "1"}},
            }),
            "N01",
        ),
        (
            json!({
                "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Approval",
                "metadata": {"name": "probe", "namespace": "default"},
                "spec": {
                    "role": "office", "title": "probe", "snapshot": "probe",
                    "subject": {
                        "kind": "Tenancy", "name": "probe", "uid": "probe", "request": 1,
                        "digest": zeros, "requestedBy": "probe",
                    },
                },
            }),
            "A07",
        ),
        (
            json!({
                "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "BillingPeriod",
                "metadata": {"name": "probe"}, "spec": {},
            }),
            "C03",
        ),
    ]
}

fn price_book() -> Value {
    json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "PriceBook",
        "metadata": {"name": "probe"},
        "spec": {
            "provider": "probe", "contract": "probe",
            "validity": {"from": "2026-01-01", "through": "2026-01-01"},
            "items": [{
                "name": "probe", "displayName": "probe", "category": "os", "unit": "Count",
                "per": "Month", "price": "1.00",
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_where_the_chart_is() {
        let chart = repository()
            .join("charts")
            .join("leasehold")
            .join("Chart.yaml");
        assert!(chart.is_file(), "{}", chart.display());
    }
}
