//! The attack matrix: whoever could gain by it tries to take, keep, forge or read what is not theirs, in
//! every way that the API server offers, on everything that leasehold keeps; with the operator
//! running and after it was killed.
//!
//! The tables say what is attacked (`namespaces.yaml`, `documents.yaml`, `workloads.yaml`) by whom and
//! where (`people.yaml`), what everybody must be able to do all the same (`jobs.yaml`), and what goes
//! through today (`open.yaml`). `cells` multiplies them out, `crowd` sends each as a dry run, `judge`
//! looks at the answer: it is not enough that an attack is refused, it must be refused for the right
//! reason. Then `weakening` takes the policies away piece by piece, and each time an attack must
//! succeed: a matrix that misses nothing would prove nothing.

#[cfg(test)]
mod advisories;
#[cfg(test)]
mod campaign;
#[cfg(test)]
mod cells;
#[cfg(test)]
mod change;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod judge;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod reviews;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod table;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod weakening;
