//! Two operators on one ledger in a PostgreSQL server, with the restricted role of the service: one writes, the other
//! stands by and goes on where it ended.
//!
//! The first is paused until the server has not heard of it for a minute and the second has taken over, and is woken then:
//! it must write nothing more. The second is killed, and the first, started again, goes on. Meanwhile departments lease, pods
//! run and periods close (`story`), and anybody can check it by the addresses of the reader's role (`proofs`). `ground` has the
//! operators and what is looked at in the database.

#[cfg(test)]
mod ground;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod story;
