//! Group `charging.leasehold.dev`: prices, decisions, proofs and statements. Departments read it and never write it.

mod approval;
mod evidence;
mod period;
mod price_book;
mod statement;

pub use approval::*;
pub use evidence::*;
pub use period::*;
pub use price_book::*;
pub use statement::*;
