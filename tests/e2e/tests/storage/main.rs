//! Volumes that people rely on: they grow or say why not, and what is kept after a release is nobody else's.
//!
//! The volume binder is the cluster's own. Disks are made by hand, as there is no provisioner; whatever a provisioner
//! or a resizer would do is done by the administrator.

#[cfg(test)]
mod ground;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod kept;
