//! What tenancies take of the limits of departments, as the ledger has it.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::document::{
    DecisionDoc, Document, EffectiveDoc, IncarnationDoc, ReleaseDoc, RequestDoc,
};
use leasehold_planner::{
    limits::{Take, take},
    request::LedgerView,
};
use leasehold_store::Batch;

use super::{
    Books,
    ceiling::{decisions_on, life_of},
};
use crate::{error::Error, verdict::told};

/// Of more departments than this a whole kind of documents is read at once: a subtree may have thousands, and reading them
/// one after the other would take as many round trips, while others open requests and make it all be read again.
const FEW: usize = 4;

/// The tenancies of several departments, by code of the department and name.
type Views = BTreeMap<(String, String), LedgerView>;

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
        let takes = self.takes_of(departments).await?;
        Ok(Taken { takes, seen })
    }

    /// What each tenancy of a department takes.
    pub async fn takes(&self, department: &str) -> Result<Vec<Take>, Error> {
        self.takes_of(&BTreeSet::from([department])).await
    }

    async fn takes_of(&self, departments: &BTreeSet<&str>) -> Result<Vec<Take>, Error> {
        let mut takes = Vec::new();
        for view in self.leases(departments).await? {
            let taken = take(&view).map_err(|error| {
                Error::understand(format!("leases of {}", view.department), told(&error))
            })?;
            takes.extend(taken);
        }
        Ok(takes)
    }

    /// What the ledger knows of the newest life of each tenancy of these departments. Requests are read first: of
    /// everything that comes in between, only another request could add to them.
    async fn leases(&self, departments: &BTreeSet<&str>) -> Result<Vec<LedgerView>, Error> {
        let requests: Vec<RequestDoc> = self.documents_of(departments, "").await?;
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut views = Views::new();
        for life in self.documents_of::<IncarnationDoc>(departments, "").await? {
            let key = (life.department.clone(), life.tenancy.clone());
            let view = views.entry(key).or_default();
            if number(view) < life.incarnation {
                view.department.clone_from(&life.department);
                view.tenancy.clone_from(&life.tenancy);
                view.incarnation = Some(life);
            }
        }
        for request in requests {
            let life = request.incarnation;
            if let Some(view) = living(&mut views, &request.department, &request.tenancy, life) {
                view.requests.push(request);
            }
        }
        let of_tenancies = decisions_on("");
        let decisions = self.documents_of::<DecisionDoc>(departments, &of_tenancies);
        for decision in decisions.await? {
            let department = department_of(&decision.subject);
            let request = decision.subject.rsplit('/').next();
            if let (Some((tenancy, life)), Some(request)) = (life_of(&decision), request)
                && let Ok(request) = request.parse()
                && let Some(view) = living(&mut views, department, tenancy, life)
            {
                view.words.entry(request).or_default().push(decision);
            }
        }
        views.values_mut().for_each(LedgerView::settle);
        for document in self.documents_of::<EffectiveDoc>(departments, "").await? {
            let life = document.incarnation;
            if let Some(view) = living(&mut views, &document.department, &document.tenancy, life) {
                view.effective.push(document);
            }
        }
        for document in self.documents_of::<ReleaseDoc>(departments, "").await? {
            let life = document.incarnation;
            if let Some(view) = living(&mut views, &document.department, &document.tenancy, life) {
                view.release.push(document);
            }
        }
        Ok(views.into_values().collect())
    }

    /// The documents of a kind of these departments. Their subjects begin with the prefix, the code and a slash.
    async fn documents_of<D: Document>(
        &self,
        departments: &BTreeSet<&str>,
        prefix: &str,
    ) -> Result<Vec<D>, Error> {
        let mut found = Vec::new();
        if departments.len() > FEW {
            let all = self.store.documents::<D>(None, None).await?;
            let ours = all.into_iter().map(|recorded| recorded.value);
            found.extend(ours.filter(|document| {
                let subject = document.subject();
                let path = subject.strip_prefix(prefix);
                path.is_some_and(|path| departments.contains(department_of(path)))
            }));
            return Ok(found);
        }
        for department in departments {
            let path = format!("{prefix}{department}");
            let theirs = self.store.documents_under::<D>(&path).await?;
            found.extend(theirs.into_iter().map(|recorded| recorded.value));
        }
        Ok(found)
    }
}

/// The department that a path of codes and names begins with.
fn department_of(path: &str) -> &str {
    path.split_once('/')
        .map_or(path, |(department, _)| department)
}

/// Which life of its name a view is of; 0 for none.
fn number(view: &LedgerView) -> u32 {
    view.incarnation.as_ref().map_or(0, |life| life.incarnation)
}

/// The view of the tenancy of a department and a name, if this is the newest life of the name.
fn living<'views>(
    views: &'views mut Views,
    department: &str,
    tenancy: &str,
    life: u32,
) -> Option<&'views mut LedgerView> {
    let key = (department.to_owned(), tenancy.to_owned());
    views.get_mut(&key).filter(|view| number(view) == life)
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{
        document::{Decision, ReleaseStage},
        money::Money,
    };
    use leasehold_planner::request::Asked;
    use leasehold_store::Record;
    use serde_json::json;

    use super::{
        super::fixture::{AT, books, decision, life, release},
        *,
    };

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
            funds: None,
        };
        Record::document(&request).unwrap()
    }

    fn decided(subject: &str, outcome: Decision) -> Record {
        Record::document(&decision(subject, outcome)).unwrap()
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
            (vec![release("oa", 1, ReleaseStage::Released)], vec![]),
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
    async fn many_departments_read_at_once_take_what_each_of_them_takes() {
        let books = books().await;
        let codes = ["edu", "edu-school", "gov", "health", "street", "village"];
        let mut records = Vec::new();
        for (code, monthly) in codes
            .iter()
            .zip(["1.00", "2.00", "4.00", "8.00", "16.00", "32.00"])
        {
            let first = format!("{code}/oa/1/1");
            records.push(life(code, "oa", 1));
            records.push(request(&first, monthly));
            records.push(decided(&first, Decision::Approved));
            records.push(life(code, "web", 1));
            records.push(request(&format!("{code}/web/1/1"), "64.00"));
            records.push(decided(&format!("{code}/web/1/1"), Decision::Rejected));
        }
        records.push(release("oa", 1, ReleaseStage::Released));
        // something else that was decided for a department
        records.push(
            Record::document(&DecisionDoc {
                subject_kind: "Release".to_owned(),
                ..decision("gov/oa/1/0", Decision::Approved)
            })
            .unwrap(),
        );
        books.commit(records, AT).await.unwrap();
        let of = async |codes: &[&'static str]| {
            let codes: BTreeSet<&str> = codes.iter().copied().collect();
            books.taken(&codes).await.unwrap().takes
        };
        let many = of(&["edu", "edu-school", "gov", "health", "street"]).await;
        assert!(
            many.iter().all(|take| take.holds && !take.waits),
            "{many:?}"
        );
        let amounts: Vec<(&str, String)> = many
            .iter()
            .map(|take| (take.department.as_str(), take.monthly.to_string()))
            .collect();
        let expected = [
            ("edu-school", "2.00".to_owned()),
            ("gov", "4.00".to_owned()),
            ("health", "8.00".to_owned()),
            ("street", "16.00".to_owned()),
        ];
        assert_eq!(amounts, expected);
        let few = of(&["edu", "edu-school", "gov"]).await;
        assert_eq!(few, many[..2]);
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
        let others = vec![
            decided("edu/oa/1/1", Decision::Approved),
            release("oa", 1, ReleaseStage::Released),
        ];
        books.commit(others, AT).await.unwrap();
        let records = vec![life("edu", "web", 1), request("edu/web/1/1", "1.00")];
        let batch = seen.hold(Batch::of(records));
        assert!(books.commit_held(batch, AT).await.unwrap());
    }
}
