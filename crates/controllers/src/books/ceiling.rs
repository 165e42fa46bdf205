//! What was approved for a department without a person, up to the policy's ceiling.

use std::collections::BTreeMap;

use leasehold_ledger::{
    document::{Decision, DecisionDoc, IncarnationDoc, ReleaseDoc, ReleaseStage},
    money::Money,
};
use leasehold_store::{Batch, Recorded};

use super::{Books, TENANCY};
use crate::error::Error;

/// What was approved for a department without a person and still stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The amounts together, a month.
    pub monthly: Money,
    department: String,
    /// The row of the latest decision that was seen, whoever made it; 0 when there was none.
    seen: u64,
}

impl Books {
    /// What was approved for the department without a person and still stands.
    ///
    /// The decisions are read first, and until the next decision the sum can only fall: a release takes away what stood
    /// of a life, the next life of a name begins after the release of the one before it, a life is recorded no later
    /// than the first decision on it, and no amount is negative. So whoever decides on the sum need not know of anything
    /// newer but decisions; [`Standing::hold`] sees to those.
    pub async fn standing(&self, department: &str) -> Result<Standing, Error> {
        let decisions = self
            .store
            .documents_under::<DecisionDoc>(&decisions_on(department))
            .await?;
        let lives = self.lives(department).await?;
        Ok(Standing {
            monthly: sum_standing(&decisions, &lives)?,
            department: department.to_owned(),
            seen: decisions.last().map_or(0, |latest| latest.seq),
        })
    }

    /// The newest life of each name among the department's tenancies, unless it was released.
    async fn lives(&self, department: &str) -> Result<BTreeMap<String, u32>, Error> {
        let begun = self.store.documents_under::<IncarnationDoc>(department);
        let mut lives: BTreeMap<String, u32> = BTreeMap::new();
        for life in begun.await?.into_iter().map(|recorded| recorded.value) {
            let newest = lives.entry(life.tenancy).or_default();
            *newest = life.incarnation.max(*newest);
        }
        let released = self.store.documents_under::<ReleaseDoc>(department);
        for release in released.await?.into_iter().map(|recorded| recorded.value) {
            let ended = release.stage == ReleaseStage::Released
                && lives.get(&release.tenancy) == Some(&release.incarnation);
            if ended {
                lives.remove(&release.tenancy);
            }
        }
        Ok(lives)
    }
}

impl Standing {
    /// The batch, refused if there is a later decision on a tenancy of the department.
    ///
    /// The ledger itself looks, in the transaction that writes. A lock among our tasks would not do: a round that is
    /// cancelled lets go of it while its COMMIT may still run.
    #[must_use]
    pub fn hold(&self, batch: Batch) -> Batch {
        batch.expecting_latest::<DecisionDoc>(&decisions_on(&self.department), self.seen)
    }
}

/// The path under which the ledger lists the decisions on a department's requests.
pub(super) fn decisions_on(department: &str) -> String {
    format!("{TENANCY}/{department}")
}

/// The automatic approvals of lives that go on, together.
fn sum_standing(
    decisions: &[Recorded<DecisionDoc>],
    lives: &BTreeMap<String, u32>,
) -> Result<Money, Error> {
    let mut sum = Money::ZERO;
    for decision in decisions.iter().map(|recorded| &recorded.value) {
        let stands = decision.auto
            && decision.decision == Decision::Approved
            && life_of(decision).is_some_and(|(tenancy, life)| lives.get(tenancy) == Some(&life));
        if let (true, Some(amount)) = (stands, decision.amount_monthly) {
            sum = sum
                .checked_add(amount)
                .map_err(|error| Error::understand("the automatic approvals", error))?;
        }
    }
    Ok(sum)
}

/// The tenancy that a decision speaks of, and which life of it.
pub(super) fn life_of(decision: &DecisionDoc) -> Option<(&str, u32)> {
    let mut parts = decision.subject.split('/').skip(1);
    let tenancy = parts.next()?;
    let incarnation = parts.next()?.parse().ok()?;
    Some((tenancy, incarnation))
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::time::Second;
    use leasehold_planner::request::{Direction, auto_approval};
    use leasehold_store::{Record, Store};

    use super::{super::OFFICE, *};

    const AT: Second = Second::new(0);
    const CEILING: Money = Money::from_minor(100);
    const AMOUNT: Money = Money::from_minor(60);

    async fn books() -> Books {
        let store = Store::in_memory().await.unwrap();
        Books::open(store, "cluster", AT).await.unwrap()
    }

    fn life(department: &str, tenancy: &str, incarnation: u32) -> Record {
        let life = IncarnationDoc {
            department: department.to_owned(),
            tenancy: tenancy.to_owned(),
            incarnation,
            uid: format!("{tenancy}-{incarnation}"),
            at: AT,
        };
        Record::document(&life).unwrap()
    }

    fn release(tenancy: &str, incarnation: u32, stage: ReleaseStage) -> Record {
        let release = ReleaseDoc {
            department: "edu".to_owned(),
            tenancy: tenancy.to_owned(),
            incarnation,
            stage,
            round: 0,
            requested_by: "zhang".to_owned(),
            at: AT,
        };
        Record::document(&release).unwrap()
    }

    /// The policy's approval of a request, e.g. `edu/oa/1/2`.
    fn approval(subject: &str) -> DecisionDoc {
        let (department, _) = subject.split_once('/').unwrap();
        DecisionDoc {
            subject_kind: "Tenancy".to_owned(),
            subject: subject.to_owned(),
            role: OFFICE.to_owned(),
            approval_uid: None,
            decision: Decision::Approved,
            decided_by: "CloudPolicy default".to_owned(),
            order_no: String::new(),
            reason: String::new(),
            auto: true,
            amount_monthly: Some(AMOUNT),
            department: Some(department.to_owned()),
            at: AT,
        }
    }

    fn approved(subject: &str) -> Record {
        Record::document(&approval(subject)).unwrap()
    }

    /// A rejection by a person.
    fn rejected(subject: &str) -> Record {
        let rejection = DecisionDoc {
            decision: Decision::Rejected,
            auto: false,
            amount_monthly: None,
            ..approval(subject)
        };
        Record::document(&rejection).unwrap()
    }

    /// Whether the policy approves one more request of the usual amount.
    fn has_room(standing: &Standing) -> bool {
        auto_approval(CEILING, standing.monthly, AMOUNT, Direction::Increase).is_some()
    }

    async fn commit_on(books: &Books, standing: &Standing, record: Record) -> bool {
        let batch = standing.hold(Batch::of(vec![record]));
        books.commit_held(batch, AT).await.unwrap()
    }

    #[tokio::test]
    async fn of_two_requests_that_saw_the_same_room_under_the_ceiling_one_is_written() {
        let books = books().await;
        let lives = vec![life("edu", "oa", 1), life("edu", "web", 1)];
        books.commit(lives, AT).await.unwrap();
        let first = books.standing("edu").await.unwrap();
        let second = books.standing("edu").await.unwrap();
        assert!(has_room(&first) && has_room(&second));

        assert!(commit_on(&books, &first, approved("edu/oa/1/1")).await);
        assert!(!commit_on(&books, &second, approved("edu/web/1/1")).await);

        let refused = books.decision("Tenancy", "edu/web/1/1", OFFICE).await;
        assert_eq!(refused.unwrap(), None, "nothing of it is written");
        let again = books.standing("edu").await.unwrap();
        assert_eq!(again.monthly, AMOUNT);
        assert!(!has_room(&again));
    }

    #[tokio::test]
    async fn only_decisions_on_tenancies_of_the_department_make_a_request_be_decided_anew() {
        let books = books().await;
        let lives = vec![life("edu", "oa", 1), life("edu-school", "oa", 1)];
        books.commit(lives, AT).await.unwrap();
        let seen = books.standing("edu").await.unwrap();
        let others = vec![
            approved("edu-school/oa/1/1"),
            life("edu", "web", 1),
            release("web", 1, ReleaseStage::Released),
        ];
        books.commit(others, AT).await.unwrap();
        assert!(commit_on(&books, &seen, approved("edu/oa/1/1")).await);

        let seen = books.standing("edu").await.unwrap();
        let by_a_person = vec![rejected("edu/oa/1/2")];
        books.commit(by_a_person, AT).await.unwrap();
        assert!(!commit_on(&books, &seen, approved("edu/oa/1/3")).await);
        let seen = books.standing("edu").await.unwrap();
        assert!(commit_on(&books, &seen, approved("edu/oa/1/3")).await);
    }

    #[tokio::test]
    async fn what_stands_are_the_departments_automatic_approvals_of_lives_that_go_on() {
        let books = books().await;
        let standing = async || books.standing("edu").await.unwrap().monthly.minor();
        let by_a_person = DecisionDoc {
            auto: false,
            ..approval("edu/oa/1/2")
        };
        let taken_back = DecisionDoc {
            decision: Decision::Withdrawn,
            ..approval("edu/oa/1/3")
        };
        for (records, expected) in [
            (vec![life("edu", "oa", 1), approved("edu/oa/1/1")], 60),
            (vec![Record::document(&by_a_person).unwrap()], 60),
            (vec![Record::document(&taken_back).unwrap()], 60),
            (vec![life("edu", "web", 1), approved("edu/web/1/1")], 120),
            (
                vec![life("edu-school", "a", 1), approved("edu-school/a/1/1")],
                120,
            ),
            (vec![release("web", 1, ReleaseStage::Requested)], 120),
            (vec![release("web", 1, ReleaseStage::Released)], 60),
            // the name is used again, and what its earlier life was given stays gone
            (vec![life("edu", "web", 2)], 60),
            (vec![approved("edu/web/2/1"), approved("edu/web/2/2")], 180),
        ] {
            books.commit(records.clone(), AT).await.unwrap();
            assert_eq!(standing().await, expected, "{records:?}");
        }
    }

    #[test]
    fn a_decision_names_its_tenancy_and_which_life_of_it() {
        let named = |subject| life_of(&approval(subject)).map(|(name, n)| (name.to_owned(), n));
        assert_eq!(named("gov-office/oa/2/7"), Some(("oa".to_owned(), 2)));
        assert_eq!(named("gov-office/oa"), None);
        assert_eq!(named("gov-office/oa/x/7"), None);
    }
}
