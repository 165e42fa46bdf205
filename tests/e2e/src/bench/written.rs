//! What the API server has carried out for the operator, by its audit log.

use std::collections::BTreeMap;

use leasehold_testkit::{Failure, SERVICE_ACCOUNT, Write};

use crate::Stage;

/// What writes a Lease and nothing else.
const LEASES: &str = "leases";

/// Writes of the operator up to one moment. Events are not in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// What the log begins with, whoever wrote it. The API server begins another log when one is full.
    first: Option<Write>,
    /// All of the operator.
    all: u64,
    /// Of these, those of its Lease, which it renews every few seconds whatever else it does.
    leases: u64,
    /// All of the operator, by verb and resource.
    kinds: BTreeMap<String, u64>,
}

impl Written {
    /// Reads the log.
    pub(super) fn so_far(stage: &Stage) -> Result<Self, Failure> {
        Ok(Self::of(&stage.rig.writes()?))
    }

    fn of(log: &[Write]) -> Self {
        let own = || log.iter().filter(|write| write.user == SERVICE_ACCOUNT);
        let leases = own().filter(|write| write.resource == LEASES);
        let mut kinds = BTreeMap::new();
        for write in own() {
            let kind = format!("{} {}", write.verb, write.resource);
            *kinds.entry(kind).or_default() += 1;
        }
        Self {
            first: log.first().cloned(),
            all: number(own().count()),
            leases: number(leases.count()),
            kinds,
        }
    }

    /// Those that came after `before`; none where the log does not go back that far.
    pub(super) fn since(&self, before: &Self) -> Option<u64> {
        (self.first == before.first).then(|| self.all.saturating_sub(before.all))
    }

    /// The same by verb and resource, without those of which there were none.
    pub(super) fn kinds_since(&self, before: &Self) -> Option<BTreeMap<String, u64>> {
        let more = |(kind, all): (&String, &u64)| {
            let known = before.kinds.get(kind).copied().unwrap_or(0);
            let more = all.saturating_sub(known);
            (more > 0).then(|| (kind.clone(), more))
        };
        (self.first == before.first).then(|| self.kinds.iter().filter_map(more).collect())
    }

    /// The same without those of its Lease.
    pub(super) fn since_but_leases(&self, before: &Self) -> Option<u64> {
        let leases = self.leases.saturating_sub(before.leases);
        Some(self.since(before)?.saturating_sub(leases))
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(user: &str, resource: &str) -> Write {
        Write {
            user: user.to_owned(),
            verb: "patch".to_owned(),
            resource: resource.to_owned(),
            namespace: "leasehold-system".to_owned(),
            name: String::new(),
            code: 200,
        }
    }

    fn log() -> Vec<Write> {
        vec![
            write("system:apiserver", "namespaces"),
            write(SERVICE_ACCOUNT, "tenancies/status"),
            write(SERVICE_ACCOUNT, "leases"),
        ]
    }

    #[test]
    fn writes_of_others_do_not_count_and_those_of_the_lease_only_where_they_are_asked_for() {
        let before = Written::of(&log());
        let mut log = log();
        log.extend([
            write(SERVICE_ACCOUNT, "leases"),
            write(SERVICE_ACCOUNT, "statements"),
            write("chen@office", "departments"),
            write(SERVICE_ACCOUNT, "leases"),
        ]);
        let after = Written::of(&log);
        assert_eq!(after.since(&before), Some(3));
        assert_eq!(after.since_but_leases(&before), Some(1));
        let kinds = [("patch leases", 2), ("patch statements", 1)];
        let kinds = kinds.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(after.kinds_since(&before), Some(BTreeMap::from(kinds)));
    }

    #[test]
    fn a_log_that_was_begun_anew_tells_nothing_of_what_was_written_since() {
        let before = Written::of(&log());
        let after = Written::of(&[write(SERVICE_ACCOUNT, "statements")]);
        assert_eq!(after.since(&before), None);
        assert_eq!(after.since_but_leases(&before), None);
        assert_eq!(after.kinds_since(&before), None);
    }
}
