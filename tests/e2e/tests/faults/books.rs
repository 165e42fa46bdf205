//! What the ledger says, in a form in which two departments can be compared.

use leasehold_e2e::Stage;
use leasehold_ledger::verify::Row;
use leasehold_store::Store;
use leasehold_testkit::User;
use leasehold_testkit::ends::Books;

use crate::course::told;
use crate::kept::without_last_day;

/// More rows than any run writes.
const ROWS: u32 = 1_000_000;

/// A copy of the ledger as it stands: proven by `leasehold verify`, and its rows.
pub async fn rows(stage: &Stage) -> Result<Vec<Row>, String> {
    let folder = stage.rig.scratch("faults-copy").map_err(told)?;
    let copied = stage.operator.lock().await.copy_ledger(&folder);
    let copy = copied.map_err(told)?;
    let auditor = stage.user(User::Auditor).await.map_err(told)?;
    let path = copy.display().to_string();
    let verify = ["verify", "--db", &path];
    let ran = auditor.leasehold(&verify).await.map_err(told)?;
    ran.ok().map_err(told)?;
    let store = Store::open_read_only(&copy).await;
    let store = store.map_err(|error| error.to_string())?;
    let rows = store.rows(0, ROWS).await;
    store.close().await.map_err(|error| error.to_string())?;
    rows.map_err(|error| error.to_string())
}

/// What they say of one department, use that was metered aside: how much of a claim's life is seen when the operator is
/// killed is a matter of chance.
pub fn of(rows: &[Row], code: &str) -> Result<Books, String> {
    let its = rows.iter().filter(|row| row.body.contains(code));
    let its = its.map(|row| {
        let body = without_last_day(&row.body)?;
        let chain = row.chain.clone();
        Ok::<_, String>(Row { chain, body })
    });
    let its = its.collect::<Result<Vec<Row>, String>>()?;
    Ok(Books::of(&its, Some(code))?.of_leases_alone())
}
