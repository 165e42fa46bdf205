//! The campaign, once for all tests of this binary: the matrix while the operator runs, the matrix
//! after it was killed, then the access reviews, and the policies without one piece after the other.

use tokio::sync::OnceCell;

use crate::cells::Tables;
use crate::judge::{flaws, try_all};
use crate::reviews::{Reviewed, discover, review, unattacked};
use crate::scene::lay;
use crate::weakening::{Weakened, weaken};

/// What came of it.
pub struct Campaign {
    /// How many attacks the matrix has.
    pub attacks: usize,
    /// How many of them are about ownership and are stopped by no missing right.
    pub ownership: usize,
    /// What went wrong while the operator ran.
    pub alive: Vec<String>,
    /// What went wrong after it was killed.
    pub dead: Vec<String>,
    /// What somebody could not do although it is their job.
    pub hindered: Vec<String>,
    /// What is known to be open and is not any more.
    pub closed: Vec<String>,
    /// Doors that no attack goes through.
    pub unattacked: Vec<String>,
    /// The access reviews.
    pub reviewed: Reviewed,
    /// The policies, without a piece.
    pub weakened: Weakened,
}

static CAMPAIGN: OnceCell<Result<Campaign, String>> = OnceCell::const_new();

/// The one campaign; the first test to ask carries it out.
pub async fn campaign() -> &'static Campaign {
    let carried_out = CAMPAIGN.get_or_init(|| async { Box::pin(carry_out()).await });
    match carried_out.await {
        Ok(campaign) => campaign,
        Err(reason) => panic!("{reason}"),
    }
}

async fn carry_out() -> Result<Campaign, String> {
    let tables = Tables::read()?;
    let (stage, crowd) = Box::pin(lay(&tables.ground)).await?;
    let (attacks, jobs, open) = (tables.attacks()?, tables.jobs()?, tables.open()?);

    let hindered = flaws(&try_all(&crowd, &jobs).await);
    let alive = flaws(&try_all(&crowd, &attacks).await);

    // nobody is there any more but the API server
    stage.operator.lock().await.kill();
    let tried = try_all(&crowd, &attacks).await;
    let closed = flaws(&try_all(&crowd, &open).await);
    let resources = discover(&crowd).await?;
    let reviewed = review(&crowd, &tables, &resources).await;
    let weakened = Box::pin(weaken(&crowd, &tried)).await?;
    Ok(Campaign {
        attacks: attacks.len(),
        ownership: attacks
            .iter()
            .filter(|cell| cell.is_about_ownership())
            .count(),
        alive,
        dead: flaws(&tried),
        hindered,
        closed,
        unattacked: unattacked(&resources, &attacks),
        reviewed,
        weakened,
    })
}
