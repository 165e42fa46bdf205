//! The in-process model of the API server (`crates/model`) beside the API server itself: the same calls go to both, and
//! answers, objects, field owners, lists and events must be the same.
//!
//! The plane has our definitions and nothing of the chart: the model leaves the chart's policies out. What differs by
//! nature is put into words that are the same on both sides (`plain`): uids, versions and times. What controllers do
//! beside the API server is waited for, until both sides stand alike.
//!
//! `seeds` has plays of random calls (`draw`), each from one seed, in names of its own and against a fresh model. `sharp`
//! goes through a table by hand (`cases`, `cases_around`, `cases_of_ours`).

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod book;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod cases_around;
#[cfg(test)]
mod cases_of_ours;
#[cfg(test)]
mod deed;
#[cfg(test)]
mod differ;
#[cfg(test)]
mod draw;
#[cfg(test)]
mod events;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod place;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod plane;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod sharp;
