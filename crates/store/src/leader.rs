//! Whose turn it is to write.
//!
//! Whoever opens a ledger for writing takes the next epoch, and every batch is refused when the epoch of its writer is not
//! the newest any more ([`StoreError::Fenced`]). It is looked at in the transaction that writes, under a lock: in SQLite the
//! one that every writing transaction takes, in PostgreSQL the lock of the row that holds the epoch. So there is no moment
//! between the look and the commit in which somebody else could take over, and READ COMMITTED is enough: each statement
//! after the lock sees all that predecessors committed. A stricter level would not help. It fixes what a transaction sees
//! before the lock is granted, and would refuse whoever had to wait for it.

use crate::StoreError;
use crate::backend::{Link, Pool, Row, Value};
use crate::codec::{column, to_integer};
use crate::lock::own_name;

/// The newest epoch, locked until the transaction ends.
const LOCKED: &str = "SELECT epoch, holder FROM leader WHERE one = 1 FOR UPDATE";

/// The newest epoch, where the transaction has locked the whole database.
const READ: &str = "SELECT epoch, holder FROM leader WHERE one = 1";

const TAKE: &str = "UPDATE leader SET epoch = $1, holder = $2 WHERE one = 1";

/// The newest epoch and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) epoch: u64,
    pub(crate) holder: String,
}

/// Takes the next epoch, or one above `above` if that is higher.
pub(crate) async fn take(writer: &Pool, above: u64) -> Result<u64, StoreError> {
    const DOING: &str = "take over the ledger";
    let mut turn = writer.begin(DOING).await?;
    let mut link = turn.link();
    let before = newest(&mut link).await?;
    let epoch = before.epoch.max(above).saturating_add(1);
    let holder = own_name();
    let values = [
        Value::Integer(to_integer("epoch", epoch)?),
        Value::Text(&holder),
    ];
    link.execute(DOING, TAKE, &values).await?;
    turn.commit(DOING).await?;
    Ok(epoch)
}

/// Refuses a writer whose epoch is not the newest.
pub(crate) async fn refuse_older(link: &mut Link<'_>, own: u64) -> Result<(), StoreError> {
    let Leader { epoch, holder } = newest(link).await?;
    if epoch == own {
        return Ok(());
    }
    Err(StoreError::Fenced {
        own,
        newest: epoch,
        holder,
    })
}

/// The newest epoch, which nobody changes before the transaction of the link ends.
pub(crate) async fn newest(link: &mut Link<'_>) -> Result<Leader, StoreError> {
    let sql = match link {
        Link::Sqlite(_) => READ,
        Link::Postgres(_) => LOCKED,
    };
    leader(
        link.fetch_optional("read the newest epoch", sql, &[])
            .await?
            .as_ref(),
    )
}

/// The newest epoch as a reader sees it.
pub(crate) async fn seen(reader: &Pool) -> Result<Leader, StoreError> {
    let row = reader.fetch_optional("read the newest epoch", READ, &[]);
    leader(row.await?.as_ref())
}

fn leader(row: Option<&Row>) -> Result<Leader, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt {
        seq: 0,
        what: what.to_owned(),
    };
    let row = row.ok_or_else(|| corrupt("there is no row of the leader"))?;
    let epoch: i64 = column(row, "epoch")?;
    Ok(Leader {
        epoch: u64::try_from(epoch).map_err(|_| corrupt("the newest epoch is negative"))?,
        holder: column(row, "holder")?,
    })
}
