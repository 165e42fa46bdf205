//! What the API server has carried out for the operator, by its audit log.

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
}

impl Written {
    /// Reads the log.
    pub(super) fn so_far(stage: &Stage) -> Result<Self, Failure> {
        Ok(Self::of(&stage.rig.writes()?))
    }

    fn of(log: &[Write]) -> Self {
        let own = || log.iter().filter(|write| write.user == SERVICE_ACCOUNT);
        let leases = own().filter(|write| write.resource == LEASES);
        Self {
            first: log.first().cloned(),
            all: number(own().count()),
            leases: number(leases.count()),
        }
    }

    /// Those that came after `before`; none where the log does not go back that far.
    pub(super) fn since(&self, before: &Self) -> Option<u64> {
        (self.first == before.first).then(|| self.all.saturating_sub(before.all))
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
    }

    #[test]
    fn a_log_that_was_begun_anew_tells_nothing_of_what_was_written_since() {
        let before = Written::of(&log());
        let after = Written::of(&[write(SERVICE_ACCOUNT, "statements")]);
        assert_eq!(after.since(&before), None);
        assert_eq!(after.since_but_leases(&before), None);
    }
}
