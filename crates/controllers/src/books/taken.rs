//! What tenancies take of the limits of departments, as the ledger has it.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::document::{
    DecisionDoc, EffectiveDoc, IncarnationDoc, ReleaseDoc, RequestDoc,
};
use leasehold_planner::{
    limits::{Take, take},
    request::LedgerView,
};
use leasehold_store::Batch;

use super::{
    Books, OFFICE,
    ceiling::{decisions_on, life_of},
};
use crate::{error::Error, verdict::told};

/// What the tenancies of several departments take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What each takes; tenancies that take nothing are not among them.
    pub takes: Vec<Take>,
    /// The row of the latest request in the ledger before they were read; 0 when there was none.
    seen: u64,
}

impl Taken {
    /// The batch, refused if anybody asked for anything since this was read.
    ///
    /// A request is all that can raise what is taken: a decision only says whether what was asked for is kept, a lease
    /// becomes effective only after it was approved, a life begins with its first request, and a release takes away. A
    /// lock among our tasks would not do, for the reason that [`Standing`](super::Standing) has.
    #[must_use]
    pub fn hold(&self, batch: Batch) -> Batch {
        batch.expecting_latest_of_kind::<RequestDoc>(self.seen)
    }
}

impl Books {
    /// What the tenancies of these departments take, for whoever adds to it with [`Taken::hold`].
    pub async fn taken(&self, departments: &BTreeSet<&str>) -> Result<Taken, Error> {
        // first, so that what comes in between is taken for news
        let seen = self.store.latest::<RequestDoc>().await?;
        let mut takes = Vec::new();
        for department in departments {
            takes.extend(self.takes(department).await?);
        }
        Ok(Taken { takes, seen })
    }

    /// What each tenancy of a department takes.
    pub async fn takes(&self, department: &str) -> Result<Vec<Take>, Error> {
        let mut takes = Vec::new();
        for view in self.leases(department).await? {
            let taken = take(&view).map_err(|error| {
                Error::understand(format!("leases of {department}"), told(&error))
            })?;
            takes.extend(taken);
        }
        Ok(takes)
    }

    /// What the ledger knows of the newest life of each tenancy of a department. Requests are read first: of everything
    /// that comes in between, only another request could add to them.
    async fn leases(&self, department: &str) -> Result<Vec<LedgerView>, Error> {
        let store = &self.store;
        let requests = store.documents_under::<RequestDoc>(department).await?;
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut views: BTreeMap<String, LedgerView> = BTreeMap::new();
        for recorded in store.documents_under::<IncarnationDoc>(department).await? {
            let life = recorded.value;
            let view = views.entry(life.tenancy.clone()).or_default();
            if number(view) < life.incarnation {
                view.department.clone_from(&life.department);
                view.tenancy.clone_from(&life.tenancy);
                view.incarnation = Some(life);
            }
        }
        for request in requests.into_iter().map(|recorded| recorded.value) {
            if let Some(view) = living(&mut views, &request.tenancy, request.incarnation) {
                view.requests.push(request);
            }
        }
        let path = decisions_on(department);
        for recorded in store.documents_under::<DecisionDoc>(&path).await? {
            let decision = recorded.value;
            let request = decision.subject.rsplit('/').next();
            if let (Some((tenancy, life)), Some(request)) = (life_of(&decision), request)
                && let Ok(request) = request.parse()
                && let Some(view) = living(&mut views, tenancy, life)
                && decision.role == OFFICE
            {
                view.decisions.insert(request, decision);
            }
        }
        for recorded in store.documents_under::<EffectiveDoc>(department).await? {
            let document = recorded.value;
            if let Some(view) = living(&mut views, &document.tenancy, document.incarnation) {
                view.effective.push(document);
            }
        }
        for recorded in store.documents_under::<ReleaseDoc>(department).await? {
            let document = recorded.value;
            if let Some(view) = living(&mut views, &document.tenancy, document.incarnation) {
                view.release.push(document);
            }
        }
        Ok(views.into_values().collect())
    }
}

/// Which life of its name a view is of; 0 for none.
fn number(view: &LedgerView) -> u32 {
    view.incarnation.as_ref().map_or(0, |life| life.incarnation)
}

/// The view of a tenancy, if this is the newest life of its name.
fn living<'views>(
    views: &'views mut BTreeMap<String, LedgerView>,
    tenancy: &str,
    life: u32,
) -> Option<&'views mut LedgerView> {
    views.get_mut(tenancy).filter(|view| number(view) == life)
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        document::{Decision, ReleaseStage},
        money::Money,
        time::Second,
    };
    use leasehold_planner::request::Asked;
    use leasehold_store::{Record, Store};
    use serde_json::json;

    use super::*;

    const AT: Second = Second::new(0);

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

    /// A request, by department, tenancy, life and number, for so much a month.
    fn request(subject: &str, monthly: &str) -> Record {
        let parts: Vec<&str> = subject.split('/').collect();
        let asked: Asked = serde_json::from_value(json!({
            "system": "oa", "zone": "gov-extranet", "cloudlet": "self",
            "term": {"from": "2026-09-01", "through": "2027-08-31"},
            "contract": "HS-1", "budget": {"code": "30227"},
            "lease": [{"item": "vcpu-x86", "quantity": "4"}],
        }))
        .unwrap();
        let quotation = json!({
            "currency": "CNY", "monthly": monthly, "term": "0.00", "creditMonthly": "0.00",
            "books": [], "lines": [],
        });
        let request = RequestDoc {
            department: parts[0].to_owned(),
            tenancy: parts[1].to_owned(),
            incarnation: parts[2].parse().unwrap(),
            request: parts[3].parse().unwrap(),
            snapshot: asked.snapshot().unwrap(),
            digest: asked.digest().unwrap(),
            requested_by: "zhang".to_owned(),
            at: AT,
            quotation: Some(quotation),
        };
        Record::document(&request).unwrap()
    }

    fn decided(subject: &str, decision: Decision) -> Record {
        let document = DecisionDoc {
            subject_kind: "Tenancy".to_owned(),
            subject: subject.to_owned(),
            role: OFFICE.to_owned(),
            approval_uid: None,
            decision,
            decided_by: "wang".to_owned(),
            order_no: String::new(),
            reason: String::new(),
            auto: false,
            amount_monthly: None,
            department: None,
            at: AT,
        };
        Record::document(&document).unwrap()
    }

    fn release(tenancy: &str, incarnation: u32) -> Record {
        let release = ReleaseDoc {
            department: "edu".to_owned(),
            tenancy: tenancy.to_owned(),
            incarnation,
            stage: ReleaseStage::Released,
            requested_by: "zhang".to_owned(),
            at: AT,
        };
        Record::document(&release).unwrap()
    }

    fn amounts(takes: &[Take]) -> Vec<(&str, String)> {
        takes
            .iter()
            .map(|take| (take.tenancy.as_str(), take.monthly.to_string()))
            .collect()
    }

    #[tokio::test]
    async fn of_each_name_the_newest_life_takes_what_was_asked_and_not_refused() {
        let books = books().await;
        for (records, expected) in [
            (
                vec![life("edu", "oa", 1), request("edu/oa/1/1", "80.00")],
                vec![("oa", "80.00")],
            ),
            (
                vec![decided("edu/oa/1/1", Decision::Approved)],
                vec![("oa", "80.00")],
            ),
            (
                vec![life("edu", "web", 1), request("edu/web/1/1", "7.00")],
                vec![("oa", "80.00"), ("web", "7.00")],
            ),
            (
                vec![decided("edu/web/1/1", Decision::Rejected)],
                vec![("oa", "80.00")],
            ),
            // a neighbour whose code begins alike
            (
                vec![
                    life("edu-school", "oa", 1),
                    request("edu-school/oa/1/1", "9.00"),
                ],
                vec![("oa", "80.00")],
            ),
            (vec![release("oa", 1)], vec![]),
            (
                vec![life("edu", "oa", 2), request("edu/oa/2/1", "5.00")],
                vec![("oa", "5.00")],
            ),
        ] {
            books.commit(records, AT).await.unwrap();
            let takes = books.takes("edu").await.unwrap();
            let found = amounts(&takes);
            let found: Vec<(&str, &str)> = found.iter().map(|(t, m)| (*t, m.as_str())).collect();
            assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn of_two_openings_that_saw_the_same_room_under_a_limit_one_is_written() {
        let books = books().await;
        let county = BTreeSet::from(["edu", "health"]);
        let first = books.taken(&county).await.unwrap();
        let second = books.taken(&county).await.unwrap();
        let open = async |taken: &Taken, subject: &str| {
            let department = subject.split('/').next().unwrap();
            let records = vec![life(department, "oa", 1), request(subject, "60.00")];
            let batch = taken.hold(Batch::of(records));
            books.commit_held(batch, AT).await.unwrap()
        };
        assert!(open(&first, "edu/oa/1/1").await);
        assert!(!open(&second, "health/oa/1/1").await);

        let again = books.taken(&county).await.unwrap();
        assert_eq!(amounts(&again.takes), [("oa", "60.00".to_owned())]);
        assert!(open(&again, "health/oa/1/1").await);
        let both = books.taken(&county).await.unwrap();
        let sum = Money::sum(both.takes.iter().map(|take| take.monthly));
        assert_eq!(sum.unwrap().to_string(), "120.00");
    }

    #[tokio::test]
    async fn decisions_and_releases_in_between_let_an_opening_through() {
        let books = books().await;
        let start = vec![life("edu", "oa", 1), request("edu/oa/1/1", "80.00")];
        books.commit(start, AT).await.unwrap();
        let seen = books.taken(&BTreeSet::from(["edu"])).await.unwrap();
        let others = vec![decided("edu/oa/1/1", Decision::Approved), release("oa", 1)];
        books.commit(others, AT).await.unwrap();
        let records = vec![life("edu", "web", 1), request("edu/web/1/1", "1.00")];
        let batch = seen.hold(Batch::of(records));
        assert!(books.commit_held(batch, AT).await.unwrap());
    }
}
