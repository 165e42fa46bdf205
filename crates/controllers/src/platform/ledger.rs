//! Whether anything can be recorded, as a condition of the policy: for whoever looks with `kubectl` and reads no metrics.

use jiff::Timestamp;
use leasehold_api::{
    conditions::{self, NewCondition, types},
    platform::{CloudPolicy, CloudPolicyStatus},
};
use leasehold_kit::Kit;
use leasehold_store::Troubles;

use crate::{Error, World};

/// Says on the policy whether the ledger is in trouble, and takes it back once it is well. Writes only what is new: what the
/// database says in detail changes with every call, and stands in the log and at `/readyz`.
///
/// It reads nothing of the ledger, which may be away.
pub async fn tell_of_ledger(kit: &Kit, world: &World, troubles: &Troubles) -> Result<(), Error> {
    let Some(policy) = world.policy() else {
        return Ok(());
    };
    let trouble = Trouble::of(troubles);
    let now = kit.server_time().now();
    let old = policy.status.clone().unwrap_or_default();
    let new = shown(&old, trouble, policy.metadata.generation, now);
    if new != old {
        write(kit, &policy, &new).await?;
    }
    Ok(())
}

/// The policy's own reconciler writes the status as well, so that this one is refused if it has changed.
async fn write(kit: &Kit, policy: &CloudPolicy, new: &CloudPolicyStatus) -> Result<(), Error> {
    kit.patch_status_as_read(policy, policy.status.as_ref(), new)
        .await?;
    Ok(())
}

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The database is away, full or failing.
    Unavailable,
    /// Something in it is not what was written.
    Damaged,
}

impl Trouble {
    fn of(troubles: &Troubles) -> Option<Self> {
        if troubles.is_damaged() {
            return Some(Self::Damaged);
        }
        troubles.now().map(|_| Self::Unavailable)
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Unavailable => "NotRecorded",
            Self::Damaged => "Damaged",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Unavailable => {
                "nothing can be recorded: the ledger's database is away, its disk is full, or it fails; no request is taken \
                 and no period closes meanwhile, and what happens is recorded once it is back; the operator's log and \
                 /readyz say what the database says"
            }
            Self::Damaged => {
                "the ledger holds something that was not written so, or that this program cannot read; bill nothing of it, \
                 run leasehold verify, and restore a backup whose head matches a published one; the operator's log and \
                 /readyz name the row, until the operator is started anew"
            }
        }
    }
}

/// The status with what is told of the ledger. Since when it is so is the time at which the condition changed last.
fn shown(
    old: &CloudPolicyStatus,
    trouble: Option<Trouble>,
    generation: Option<i64>,
    now: Timestamp,
) -> CloudPolicyStatus {
    let mut new = old.clone();
    let Some(trouble) = trouble else {
        conditions::clear(&mut new.conditions, types::LEDGER_AVAILABLE);
        return new;
    };
    let reason = trouble.reason();
    let is_told = old
        .conditions
        .iter()
        .any(|found| found.type_ == types::LEDGER_AVAILABLE && found.reason == reason);
    if !is_told {
        let condition = NewCondition {
            type_: types::LEDGER_AVAILABLE,
            holds: false,
            reason,
            message: trouble.message(),
        };
        conditions::set(&mut new.conditions, &condition, generation, now);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn told(status: &CloudPolicyStatus) -> Option<(&str, &str, Timestamp)> {
        let mut all = status.conditions.iter();
        let found = all.find(|found| found.type_ == "LedgerAvailable")?;
        let since = found.last_transition_time.0;
        Some((found.status.as_str(), found.reason.as_str(), since))
    }

    #[test]
    fn trouble_is_told_once_with_its_beginning_and_taken_back() {
        let (first, later) = (at("2026-09-05T12:00:00Z"), at("2026-09-05T12:00:01Z"));
        let mut fine = CloudPolicyStatus::default();
        let ready = NewCondition {
            type_: types::READY,
            holds: true,
            reason: "InForce",
            message: "m",
        };
        conditions::set(&mut fine.conditions, &ready, Some(1), first);
        assert_eq!(shown(&fine, None, Some(1), later), fine);

        let away = shown(&fine, Some(Trouble::Unavailable), Some(1), first);
        assert_eq!(told(&away), Some(("False", "NotRecorded", first)));
        // a second look has nothing new to say, also under another generation
        assert_eq!(
            shown(&away, Some(Trouble::Unavailable), Some(2), later),
            away
        );

        let damaged = shown(&away, Some(Trouble::Damaged), Some(1), later);
        assert_eq!(told(&damaged), Some(("False", "Damaged", first)));
        assert_eq!(shown(&damaged, None, Some(1), later), fine);
    }
}
