//! The snapshot controller itself. The driver's part, which makes the data, is played: there is no storage here.

use std::io;
use std::path::PathBuf;

use leasehold_controlplane::binaries;
use leasehold_controlplane::processes::{self, Group, Process};
use serde_json::Value;

use crate::{Failure, Rig, Session};

/// Its namespace and account.
const ACCOUNT: (&str, &str) = ("kube-system", "snapshot-controller");

/// A running snapshot controller with the rights that its project asks for. It ends when this is dropped.
pub struct Controller {
    process: Process,
    _group: Group,
}

impl Controller {
    /// Starts it on a control plane that has its kinds. It takes a moment until it does anything.
    pub async fn start(rig: &Rig, admin: &Session) -> Result<Self, Failure> {
        let rights: Vec<Value> = serde_saphyr::from_multiple(include_str!("controller.yaml"))
            .map_err(|error| Failure::Manifest {
                path: PathBuf::from("crates/testkit/src/snapshots/controller.yaml"),
                message: error.to_string(),
            })?;
        for manifest in rights {
            admin.apply(&manifest).await?;
        }
        let building =
            tokio::task::spawn_blocking(|| binaries::snapshot_controller(&mut io::stderr()));
        let program = building
            .await
            .map_err(|error| Failure::Shared(error.to_string()))?
            .map_err(|error| Failure::Shared(format!("{error:?}")))?;
        let (namespace, account) = ACCOUNT;
        let kubeconfig = rig.account_kubeconfig(namespace, account, None).await?;
        let log = rig.scratch(account)?.join("controller.log");
        let arguments = [format!("--kubeconfig={}", kubeconfig.display())];
        let group = Group::new(None)?;
        let process = Process::spawn(&group, &program, &arguments, &log)?;
        Ok(Self {
            process,
            _group: group,
        })
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        processes::tail(self.process.log())
    }
}
