//! An administrator who may break glass: rules N01 to N05 refuse everybody else what is the operator's.

use leasehold_testkit::{Failure, LONG, NAMESPACE, Session, User, eventually, repository};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::Stage;

static GLASS: OnceCell<Result<(), String>> = OnceCell::const_new();

impl Stage {
    /// The cluster's administrator as a user whom the chart lists, once the policies let him change the network policy of a
    /// leased namespace.
    pub async fn breaking_glass(&self, place: &str) -> Result<Session, Failure> {
        self.break_glass().await?;
        let admin = self.user(User::Admin).await?;
        eventually("an administrator who may break glass", LONG, async || {
            let more = ["-n", place, "--dry-run=server"];
            let note = json!({"metadata": {"annotations": {"note": "probe"}}});
            let ran = admin.try_patch("networkpolicy/leasehold", &more, &note);
            let ran = ran.await.map_err(|failure| format!("{failure:?}"))?;
            if ran.is_ok() {
                Ok(())
            } else {
                Err(format!("{ran:?}"))
            }
        })
        .await?;
        Ok(admin)
    }

    /// Has the chart list the cluster's administrator; once on a control plane. Policies that are changed take a moment.
    pub async fn break_glass(&self) -> Result<(), Failure> {
        let listed = GLASS.get_or_init(|| async {
            let listed = self.list_administrator().await;
            listed.map_err(|failure| format!("{failure:?}"))
        });
        listed.await.clone().map_err(Failure::Shared)
    }

    async fn list_administrator(&self) -> Result<(), Failure> {
        let chart = repository().join("charts").join("leasehold");
        let (chart, admin) = (chart.display().to_string(), User::Admin.name());
        let users = format!("breakGlassUsers={{{admin}}}");
        let mut upgrade = vec!["upgrade", "leasehold", &chart, "--namespace", NAMESPACE];
        upgrade.extend(["--reuse-values", "--set", &users]);
        self.rig.helm(&upgrade).await?.ok()?;
        Ok(())
    }
}
