//! What a tenancy goes through: changes, rebalancing, restarts of the operator, release.

#[cfg(test)]
mod billing;
#[cfg(test)]
mod changes;
