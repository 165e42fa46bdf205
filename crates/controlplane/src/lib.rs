//! A real Kubernetes control plane for development, demo and tests.
//!
//! The programs (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok as the
//! kubelets, and kubectl, Helm, kubeconform) are built unmodified from Go modules, once per
//! machine ([`Binaries::ensure`]). [`ControlPlane::start`] runs them as plain processes on
//! 127.0.0.1: no root, no container engine, no ports of its own choosing, several side by side.
//!
//! Invariants:
//! - Nothing outlives the process that started it, not even when that process is killed with
//!   `kill -9`: see [`processes`].
//! - Nothing is read from or written to the user's own kubeconfig, kubectl or Helm folders.
//! - An interrupted build is never taken for a finished one.
//!
//! This crate must not know the kinds of this project, a Kubernetes client, or an async runtime.

pub mod binaries;
pub mod cache;
pub mod certificates;
mod flags;
pub mod kubeconfig;
mod plane;
pub mod processes;
pub mod stages;

pub use binaries::{Binaries, BinariesError};
pub use plane::{ControlPlane, Options, Program, StartError};
