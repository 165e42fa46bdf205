//! Group `platform.leasehold.dev`: what the platform offers and the rules that it plays by.

mod acceptance;
mod cloud_policy;
mod cloudlet;
mod meter;
mod network_zone;
mod review;
mod suspension;

pub use acceptance::*;
pub use cloud_policy::*;
pub use cloudlet::*;
pub use meter::*;
pub use network_zone::*;
pub use review::*;
pub use suspension::*;
