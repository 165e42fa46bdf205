//! Volumes that people rely on: they grow or say why not, and what is kept after a release, as a volume or as a snapshot, is
//! nobody else's.
//!
//! The volume binder is the cluster's own, and the snapshot controller is the real one. Disks are made by hand, as there is no
//! provisioner; whatever a provisioner, a resizer or a driver would do is done by the administrator.

#[cfg(test)]
mod ground;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod snapshots;
