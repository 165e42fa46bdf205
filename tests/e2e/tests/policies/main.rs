//! Every branch of every admission policy of the chart, and the rights of every role, asked of the
//! real API server.
//!
//! `cases.yaml` and `workloads.yaml` say who asks for what and what comes of it, `rights.yaml` who
//! may do what, `ground.yaml` what is there; the code knows no rule. The operator has set up a
//! lease and was stopped: what holds here holds without it.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod request;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod table;
#[cfg(test)]
mod whole;
