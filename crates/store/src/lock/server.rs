//! The lock of a writer on a server: a courtesy between processes that run. What keeps the ledger whole is the epoch.
//!
//! It is an advisory lock of a session of its own. The server releases it when the session ends: at once when the process
//! dies, and within a minute when it is paused or its network is gone, because then it does not say that it is alive any
//! more. A successor that comes in meanwhile has taken the next epoch, so that whoever was paused writes nothing when it is
//! woken.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::backend::{Pool, Purpose, connect};
use crate::error::failed;
use crate::place::ServerUrl;
use crate::{Place, StoreError, leader};

/// The number of the lock within the database: "leasehol" in ASCII.
const TRY: &str = "SELECT pg_try_advisory_lock(7810756276994469740) AS taken";

/// How often the session says that it is alive, a quarter of what the server waits for it.
const ALIVE: Duration = Duration::from_secs(15);

/// Between two attempts to take the lock.
const AGAIN: Duration = Duration::from_millis(100);

/// A process that just ended may still hold the lock for a moment: 3 seconds.
const ATTEMPTS: u32 = 30;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct ServerLock {
    keeper: JoinHandle<()>,
}

impl Drop for ServerLock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl ServerLock {
    /// Takes the lock. Waits three seconds for another process to release it, then refuses with [`StoreError::Locked`].
    pub(crate) async fn take(server: &ServerUrl, writer: &Pool) -> Result<Self, StoreError> {
        let mut session = connect(server, Purpose::Lock).await?;
        let mut attempts = 1;
        while !attempt(&mut session).await? {
            if attempts >= ATTEMPTS {
                return Err(StoreError::Locked {
                    place: Place::Server(server.clone()),
                    holder: leader::seen(writer).await?.holder,
                });
            }
            attempts = attempts.saturating_add(1);
            sleep(AGAIN).await;
        }
        let keeper = tokio::spawn(keep(server.clone(), session));
        Ok(Self { keeper })
    }
}

async fn attempt(session: &mut PgConnection) -> Result<bool, StoreError> {
    const DOING: &str = "take the lock of the writer";
    let row = sqlx::query(TRY)
        .fetch_one(session)
        .await
        .map_err(failed(DOING))?;
    row.try_get("taken").map_err(failed(DOING))
}

/// Keeps the session alive, and makes another one when it is lost. If somebody else has the lock then, this process will
/// learn it from the epoch with its next batch.
async fn keep(server: ServerUrl, session: PgConnection) {
    let mut held = Some(session);
    loop {
        sleep(ALIVE).await;
        held = match held {
            Some(mut session) => match timeout(ALIVE, session.ping()).await {
                Ok(Ok(())) => Some(session),
                Ok(Err(_)) | Err(_) => None,
            },
            None => anew(&server).await.ok().flatten(),
        };
    }
}

/// A new session with the lock, if nobody has it.
async fn anew(server: &ServerUrl) -> Result<Option<PgConnection>, StoreError> {
    let mut session = connect(server, Purpose::Lock).await?;
    Ok(attempt(&mut session).await?.then_some(session))
}
