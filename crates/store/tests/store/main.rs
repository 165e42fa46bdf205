//! The store from outside: what it takes, what it refuses, and what survives, on both databases.

#[cfg(test)]
mod append_only;
#[cfg(test)]
mod archives;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod corruption;
#[cfg(test)]
mod cursors;
#[cfg(test)]
mod drilled;
#[cfg(test)]
mod exactly_once;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod leaders;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod periods;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod server;
