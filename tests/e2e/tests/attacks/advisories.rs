//! What others were broken by, and which cells try the same here.
//!
//! An advisory stands here with what happened there, in a few words; the cells are those of the
//! matrix that do what its attacker did.

use crate::cells::{Cell, Expected};
use crate::table::Way;

/// An advisory.
struct Advisory {
    /// Its identifiers.
    ids: &'static str,
    /// What happened.
    what: &'static str,
    /// Whether a cell tries it.
    tries: fn(&Cell) -> bool,
}

const ADVISORIES: [Advisory; 30] = [
    Advisory {
        ids: "CVE-2022-46167",
        what: "Capsule: an account of a tenant took owner and labels off its namespace, and with them every restraint",
        tries: |cell| {
            is_on(cell, "namespaces", "own") && (says(cell, ":null") || says(cell, "pod-security"))
        },
    },
    Advisory {
        ids: "CVE-2024-39690 GHSA-mq69-4j5w-3qwp",
        what: "Capsule: tenants put their owner on namespaces that had none",
        tries: |cell| is_on(cell, "namespaces", "plain") && says(cell, "ownerReferences"),
    },
    Advisory {
        ids: "CVE-2025-55205 GHSA-fcpm-6mxq-m5vv",
        what: "Capsule: tenants put their labels on namespaces of the system",
        tries: |cell| is_on(cell, "namespaces", "system") && says(cell, "leasehold.dev/"),
    },
    Advisory {
        ids: "CVE-2026-30963",
        what: "Capsule: the same through the status of a namespace, where nobody looked",
        tries: |cell| is_forged(cell) && cell.door == "status",
    },
    Advisory {
        ids: "GO-2026-5406",
        what: "Capsule: the same through finalize, because one letter was missing in the rule",
        tries: |cell| is_forged(cell) && cell.door == "finalize",
    },
    Advisory {
        ids: "GHSA-p8j8-x28r-3c9v",
        what: "Capsule: the gate stood in the mutation alone, and what the mutation left alone went through",
        tries: |cell| matches!(&cell.expected, Expected::Rule(rule) if rule == "N06"),
    },
    Advisory {
        ids: "GO-2026-5043",
        what: "Capsule: named among the ways into another tenant's namespace",
        tries: |cell| is_on(cell, "namespaces", "other") && is_forged(cell),
    },
    Advisory {
        ids: "CVE-2026-22872 GHSA-qjjm-7j9w-pw72",
        what: "Capsule: raw manifests of a tenant, carried out with the rights of the operator",
        tries: |cell| says(cell, "rawItems"),
    },
    Advisory {
        ids: "CVE-2026-65835",
        what: "Capsule: the same again, into namespaces that the manifest names",
        tries: |cell| says(cell, "../victim--prod") || says(cell, "kube-system/prod"),
    },
    Advisory {
        ids: "CVE-2026-67567",
        what: "a subscription operator: a tenant's chart made objects elsewhere and of the whole cluster",
        tries: |cell| says(cell, "namespaces:kube-system") || says(cell, "../dept-victim/oa"),
    },
    Advisory {
        ids: "CVE-2026-73137 CVE-2026-66878",
        what: "a subscription operator: references reached Secrets of other namespaces",
        tries: |cell| says(cell, "secretRef") || says(cell, "kubeconfigSecretRef"),
    },
    Advisory {
        ids: "CVE-2026-22039 CVE-2026-41068",
        what: "Kyverno: a policy of a tenant asked the API server with the rights of the engine",
        tries: |cell| cell.kind.starts_with("validatingadmissionpolic") && cell.way == Way::Create,
    },
    Advisory {
        ids: "CVE-2026-4789",
        what: "Kyverno: a policy of a tenant called addresses inside, those of the metadata among them",
        tries: |cell| says(cell, "169.254.169.254"),
    },
    Advisory {
        ids: "CVE-2020-8555 CVE-2025-13281",
        what: "Kubernetes: storage classes and volumes made the control plane call addresses inside",
        tries: |cell| cell.kind.starts_with("storageclasses") || says(cell, "\"nfs\""),
    },
    Advisory {
        ids: "CVE-2022-24817",
        what: "Flux: a kubeconfig of a tenant ran a command in the operator",
        tries: |cell| says(cell, "\"exec\""),
    },
    Advisory {
        ids: "CVE-2026-23990",
        what: "Flux Operator: an empty name left the operator's own rights in force",
        tries: |cell| {
            cell.claims
                .get("Impersonate-User")
                .is_some_and(String::is_empty)
        },
    },
    Advisory {
        ids: "CVE-2026-61682",
        what: "kcp: a proxy passed on the headers in which clients said who they were",
        tries: |cell| cell.claims.contains_key("X-Remote-Group"),
    },
    Advisory {
        ids: "CVE-2026-17107",
        what: "headers of impersonation were smuggled in beside those that were allowed",
        tries: |cell| cell.claims.contains_key("Impersonate-Extra-Scopes"),
    },
    Advisory {
        ids: "CVE-2022-23652",
        what: "capsule-proxy: a request that named groups of its own was passed on with them",
        tries: |cell| cell.claims.contains_key("Impersonate-Group"),
    },
    Advisory {
        ids: "CVE-2023-48312",
        what: "capsule-proxy: an empty token passed for the proxy itself",
        tries: |cell| {
            let token = cell.claims.get("Authorization");
            token.is_some_and(|token| token == "Bearer ")
        },
    },
    Advisory {
        ids: "CVE-2023-46254",
        what: "capsule-proxy: an account of the same name in another namespace passed for the owner",
        tries: |cell| cell.who == "namesake",
    },
    Advisory {
        ids: "CVE-2022-3162 CVE-2026-44426",
        what: "Kubernetes, ShellHub: who could read one kind of a group, or knew an identifier, read others'",
        tries: |cell| {
            let reads = matches!(cell.way, Way::Get | Way::List | Way::Watch);
            reads && cell.kind.ends_with("leasehold.dev") && cell.place == "other-office"
        },
    },
    Advisory {
        ids: "CVE-2023-33190",
        what: "Sealos: tenants bound themselves to roles of the whole cluster",
        tries: |cell| cell.kind.starts_with("rolebindings") && says(cell, "cluster-admin"),
    },
    Advisory {
        ids: "CVE-2023-36815",
        what: "Sealos: tenants wrote the object that says what they have paid",
        tries: |cell| {
            says(cell, "granted") || (cell.kind.starts_with("approvals") && says(cell, "Approved"))
        },
    },
    Advisory {
        ids: "GHSA-wpv2",
        what: "a policy that skipped whatever bore a label, which anybody could write",
        tries: |cell| says(cell, "leasehold.dev/managed-by"),
    },
    Advisory {
        ids: "CVE-2026-66786",
        what: "Submariner: the end of a line in a name wrote more lines into a file",
        tries: |cell| says(cell, "\\n"),
    },
    Advisory {
        ids: "CVE-2026-61672",
        what: "Capsule: a list of what is forbidden was sorted without regard to capitals and searched with it",
        tries: |cell| says(cell, "SSD"),
    },
    Advisory {
        ids: "CVE-2026-61794 CVE-2026-61795",
        what: "Capsule: a check of a change looked at the object before it",
        tries: |cell| {
            let changed = cell.way == Way::Update && cell.kind == "services";
            changed && matches!(cell.expected, Expected::Rule(_))
        },
    },
    Advisory {
        ids: "GHSA-68cj GHSA-jc72 GHSA-793w",
        what: "Capsule: what a tenant wrote was taken for a pattern, and a bad one ended the webhook",
        tries: |cell| says(cell, "$(reboot)") || says(cell, "1e999"),
    },
    Advisory {
        ids: "CVE-2019-11250",
        what: "Kubernetes: tokens stood in logs, which others could read",
        tries: |cell| cell.place == "operator" && (cell.door == "log" || cell.kind == "secrets"),
    },
];

fn is_on(cell: &Cell, kind: &str, place: &str) -> bool {
    cell.kind == kind && cell.place == place
}

/// Whether it writes what a namespace is to leasehold.
fn is_forged(cell: &Cell) -> bool {
    cell.kind == "namespaces" && says(cell, "leasehold.dev/")
}

/// Whether its field has these words.
fn says(cell: &Cell, words: &str) -> bool {
    cell.change.to_string().contains(words)
}

#[test]
fn every_advisory_is_tried_by_somebody() {
    let cells = crate::cells::Tables::read().unwrap().attacks().unwrap();
    let mut table = Vec::new();
    let mut untried = Vec::new();
    for advisory in &ADVISORIES {
        let tries = cells.iter().filter(|cell| (advisory.tries)(cell)).count();
        table.push(format!("{:>5}  {}: {}", tries, advisory.ids, advisory.what));
        if tries == 0 {
            untried.push(advisory.ids);
        }
    }
    assert!(
        untried.is_empty(),
        "nobody tries {untried:?}; of the matrix, so many cells try each:\n{}",
        table.join("\n")
    );
}

#[test]
fn no_advisory_stands_in_the_table_twice() {
    let ids: Vec<&str> = ADVISORIES
        .iter()
        .flat_map(|advisory| advisory.ids.split_whitespace())
        .collect();
    let distinct: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}
