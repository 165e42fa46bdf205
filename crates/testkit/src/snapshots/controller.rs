//! The snapshot controller itself. The driver's part, which makes the data, is played: there is no storage here.

use std::io;
use std::path::PathBuf;

use leasehold_controlplane::binaries;
use leasehold_controlplane::processes::{self, Group, Process};
use serde_json::Value;

use crate::{Failure, LONG, Rig, Session, eventually};

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
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            // its kinds are not there, and it would wait half a minute for them
            "--feature-gates=CSIVolumeGroupSnapshot=false".to_owned(),
            "--kube-api-qps=50".to_owned(),
            "--kube-api-burst=100".to_owned(),
        ];
        let group = Group::new(None)?;
        let process = Process::spawn(&group, &program, &arguments, &log)?;
        Ok(Self {
            process,
            _group: group,
        })
    }

    /// [`eventually`] for what it brings about: if it ended or nothing comes of it, the failure has the last lines of its log.
    pub async fn see<T>(
        &mut self,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T, Failure> {
        let seen = eventually(what, LONG, async || {
            if self.process.ended().is_some() {
                return Ok(None);
            }
            probe().await.map(Some)
        });
        let last = match seen.await {
            Ok(Some(seen)) => return Ok(seen),
            Ok(None) => "the snapshot controller ended".to_owned(),
            Err(Failure::Late { last, .. }) => last,
            Err(other) => return Err(other),
        };
        let log = processes::tail(self.process.log());
        Err(Failure::Late {
            what: what.to_owned(),
            bound: LONG,
            last: format!("{last}\nthe snapshot controller's last lines:\n{log}"),
        })
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.process.kill();
    }
}
