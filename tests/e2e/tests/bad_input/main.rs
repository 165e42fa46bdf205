//! Bad input: every leaf of every kind missing, empty, huge, of the wrong type or unit, naming what
//! does not exist, and in other scripts.
//!
//! The leaves come from the definitions of the kinds, so that a new field is spoiled as soon as it
//! is there. First everything is asked of the API server without being stored (`answers`). What it
//! lets through is then really sent while a neighbour leases (`living`), and where the operator alone
//! can judge, a table by hand says which rule it names (`judged`, `proofs`). And because nobody thinks of
//! everything, a flood of manifests that chance has spoiled (`junk`, `flood`).

#[cfg(test)]
mod answers;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod junk;
#[cfg(test)]
mod leaves;
#[cfg(test)]
mod living;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod wire;
