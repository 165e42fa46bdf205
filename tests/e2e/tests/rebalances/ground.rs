//! The platform of the examples, on which a smaller lease counts at once.

use leasehold_e2e::Stage;
use serde_json::json;
use tokio::sync::OnceCell;

static FURNISHED: OnceCell<()> = OnceCell::const_new();

/// The one stage of all tests of this binary.
pub async fn ground() -> &'static Stage {
    let stage = Stage::bare().await.unwrap();
    let furnishing = FURNISHED.get_or_init(|| async {
        let mut policy = Stage::policy().unwrap();
        // leases go up and down every few turns, which no period is short enough for
        policy["spec"]["decreaseEffective"] = json!("AtOnce");
        stage.furnish(&policy).await.unwrap();
    });
    furnishing.await;
    stage
}
