//! Departments and the register of their information systems.
//!
//! A department gets its office namespace, where it writes what it asks for, and the rights in it: its own, and those of
//! the departments above it (`kin`). It says what it leases, and together with everything below it (`sums`), and what it
//! still holds when it is to end (`end`), and since when it is known (`life`). What the ledger bills and the cluster no longer shows is told here: an object that vanished ends nothing.

mod department;
mod detached;
mod end;
mod information_system;
mod kin;
pub(crate) mod life;
mod office;
mod sums;

use futures::future;

use leasehold_kit::Shutdown;

use crate::Context;

/// Runs the controllers of departments and information systems until the shutdown.
pub async fn run(context: Context, shutdown: Shutdown) {
    future::join(
        Box::pin(department::run(context.clone(), shutdown.clone())),
        Box::pin(information_system::run(context, shutdown)),
    )
    .await;
}
