//! Group `platform.leasehold.dev`: what the platform offers and the rules that it plays by.

mod cloud_policy;
mod cloudlet;
mod network_zone;
mod suspension;

pub use cloud_policy::*;
pub use cloudlet::*;
pub use network_zone::*;
pub use suspension::*;
