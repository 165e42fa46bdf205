//! The command lines of the control plane's programs.

use std::path::{Path, PathBuf};

/// What the command lines depend on.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The folder of this control plane.
    pub dir: PathBuf,
    /// etcd's port for clients.
    pub etcd_port: u16,
    /// etcd's port for peers (there are none).
    pub peer_port: u16,
    /// The API server's port.
    pub port: u16,
    /// Whether etcd may skip fsync.
    pub unsafe_no_fsync: bool,
    /// Whether the API server keeps an audit log.
    pub audit: bool,
}

impl Setting {
    /// The folder of keys and certificates.
    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The kubeconfig of one of the control plane's own users.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir.join(format!("{user}.kubeconfig"))
    }

    /// The log of who wrote what, when [`Setting::audit`] is set.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }
}

/// Who wrote what and when: writing verbs only, without bodies, without what the simulated kubelets
/// and the API server do to keep their leases, and without events.
pub const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [\"system:apiserver\", \"system:node:kwok\"]
  resources: [{group: coordination.k8s.io, resources: [leases]}]
- level: None
  resources:
  - {group: \"\", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

fn flag(name: &str, value: &Path) -> String {
    format!("--{name}={}", value.display())
}

fn words(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

/// etcd. Progress is notified every second, so that watchers get bookmarks in time.
pub fn etcd(setting: &Setting) -> Vec<String> {
    let client = format!("http://127.0.0.1:{}", setting.etcd_port);
    let peer = format!("http://127.0.0.1:{}", setting.peer_port);
    let mut flags = vec![
        "--name=leasehold".to_owned(),
        flag("data-dir", &setting.dir.join("etcd")),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=leasehold={peer}"),
        "--watch-progress-notify-interval=1s".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    if setting.unsafe_no_fsync {
        flags.push("--unsafe-no-fsync".to_owned());
    }
    flags
}

/// The API server. Nothing is compacted: a test may ask for any version that ever was.
/// `MutatingAdmissionPolicy` needs no flag: it is stable and served as v1 from 1.36 on.
pub fn kube_apiserver(setting: &Setting) -> Vec<String> {
    let pki = setting.pki();
    let mut flags = words(&[
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        // for administrators alone; a benchmark asks for it
        "--profiling=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        "--etcd-compaction-interval=0",
        "--storage-media-type=application/json",
    ]);
    flags.extend([
        format!("--secure-port={}", setting.port),
        format!("--etcd-servers=http://127.0.0.1:{}", setting.etcd_port),
        flag("client-ca-file", &pki.join("ca.crt")),
        flag("tls-cert-file", &pki.join("server.crt")),
        flag("tls-private-key-file", &pki.join("server.key")),
        flag("service-account-key-file", &pki.join("sa.pub")),
        flag("service-account-signing-key-file", &pki.join("sa.key")),
    ]);
    if setting.audit {
        flags.push(flag(
            "audit-policy-file",
            &setting.dir.join("audit-policy.yaml"),
        ));
        flags.push(flag("audit-log-path", &setting.audit_log()));
    }
    flags
}

/// The controller manager. It serves nothing itself, so it needs no port.
pub fn kube_controller_manager(setting: &Setting) -> Vec<String> {
    let pki = setting.pki();
    let mut flags = words(&[
        "--secure-port=0",
        "--authentication-tolerate-lookup-failure=true",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--profiling=false",
        "--concurrent-namespace-syncs=20",
        "--concurrent-resource-quota-syncs=10",
        // nodes are played, and on a busy machine their heartbeats come late: no pod shall be unready for that
        "--node-monitor-grace-period=10m",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]);
    flags.extend([
        flag("kubeconfig", &setting.kubeconfig("controller-manager")),
        flag("service-account-private-key-file", &pki.join("sa.key")),
        flag("root-ca-file", &pki.join("ca.crt")),
    ]);
    flags
}

/// The scheduler. It serves nothing itself either.
pub fn kube_scheduler(setting: &Setting) -> Vec<String> {
    let mut flags = words(&[
        "--secure-port=0",
        "--authentication-tolerate-lookup-failure=true",
        "--leader-elect=false",
        "--profiling=false",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]);
    flags.push(flag("kubeconfig", &setting.kubeconfig("scheduler")));
    flags
}

/// kwok, which plays the kubelet of every node. Without stages it exits.
pub fn kwok(setting: &Setting) -> Vec<String> {
    let mut flags = words(&["--manage-all-nodes=true", "--node-ip=127.0.0.1"]);
    flags.push(flag("kubeconfig", &setting.kubeconfig("kwok")));
    flags.push(flag("config", &setting.dir.join("stages.yaml")));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(unsafe_no_fsync: bool, audit: bool) -> Setting {
        let dir = PathBuf::from("/plane");
        Setting {
            dir,
            etcd_port: 1,
            peer_port: 2,
            port: 3,
            unsafe_no_fsync,
            audit,
        }
    }

    #[test]
    fn etcd_skips_fsync_only_when_asked_to() {
        let unsafe_flag = "--unsafe-no-fsync".to_owned();
        assert!(etcd(&setting(true, false)).contains(&unsafe_flag));
        assert!(!etcd(&setting(false, false)).contains(&unsafe_flag));
    }

    #[test]
    fn an_audit_log_is_kept_only_when_asked_for() {
        let audited = |audit| {
            kube_apiserver(&setting(false, audit))
                .iter()
                .any(|flag| flag == "--audit-log-path=/plane/audit.log")
        };
        assert!(audited(true));
        assert!(!audited(false));
    }

    #[test]
    fn the_api_server_talks_to_the_etcd_of_its_own_plane() {
        let flags = kube_apiserver(&setting(false, false));
        assert!(flags.contains(&"--etcd-servers=http://127.0.0.1:1".to_owned()));
        assert!(flags.contains(&"--secure-port=3".to_owned()));
    }
}
