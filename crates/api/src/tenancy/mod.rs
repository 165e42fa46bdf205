//! Group `tenancy.leasehold.dev`: what departments are, have, ask for and hand over.

mod acceptance;
mod department;
mod hardware;
mod information_system;
mod lease;
mod papers;

pub use acceptance::*;
pub use department::*;
pub use hardware::*;
pub use information_system::*;
pub use lease::*;
pub use papers::*;
