//! What the simulated kubelets do to nodes and pods, as kwok stages.
//!
//! Annotations of a pod that steer it (whole seconds as text):
//! - `kwok.leasehold.dev/lifetime`: it ends by itself so long after its start;
//! - `kwok.leasehold.dev/exit-code`: with which exit code it ends then (0 if absent);
//! - `kwok.leasehold.dev/termination`: how long its containers take to end after a deletion;
//! - `kwok.leasehold.dev/abrupt`: its object vanishes without ever showing terminated containers;
//! - `kwok.leasehold.dev/resize-delay`: how long an in-place resize stays half done.

/// Every stage: its name and its manifest.
pub const STAGES: [(&str, &str); 8] = [
    (
        "node-initialize",
        include_str!("../stages/node-initialize.yaml"),
    ),
    (
        "node-heartbeat",
        include_str!("../stages/node-heartbeat.yaml"),
    ),
    ("pod-ready", include_str!("../stages/pod-ready.yaml")),
    ("pod-complete", include_str!("../stages/pod-complete.yaml")),
    (
        "pod-terminate",
        include_str!("../stages/pod-terminate.yaml"),
    ),
    ("pod-remove", include_str!("../stages/pod-remove.yaml")),
    (
        "pod-resize-allocate",
        include_str!("../stages/pod-resize-allocate.yaml"),
    ),
    (
        "pod-resize-actuate",
        include_str!("../stages/pod-resize-actuate.yaml"),
    ),
];

/// All stages as one file for kwok's `--config`.
pub fn config() -> String {
    STAGES
        .iter()
        .map(|(_, manifest)| *manifest)
        .collect::<Vec<_>>()
        .join("---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_manifest_bears_the_name_of_its_file() {
        for (name, manifest) in STAGES {
            assert!(manifest.contains(&format!("\n  name: {name}\n")), "{name}");
            assert!(manifest.contains("\nkind: Stage\n"), "{name}");
        }
    }

    #[test]
    fn the_joined_file_has_one_document_for_each_stage() {
        assert_eq!(config().split("\n---\n").count(), STAGES.len());
    }
}
