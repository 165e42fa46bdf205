//! The ledger as reconcilers use it: identity of the cluster, a tenancy's record, the catalogue of published prices.

mod ceiling;
mod era;
#[cfg(test)]
mod fixture;
mod taken;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use leasehold_ledger::{
    book::{Book, Catalogue},
    close::lot_states,
    document::{
        AcceptanceDoc, BookDoc, DecisionDoc, DeliveredDoc, Document, EffectiveDoc, IncarnationDoc,
        LotDoc, NamespaceDoc, NamespaceGoneDoc, PolicyDoc, ReleaseDoc, RequestDoc, SuspensionDoc,
    },
    fact::{Fact, FactKind, Meter},
    lot::LotState,
    policy::Policy,
    time::{Second, Zone},
};
use leasehold_planner::{lease_facts::OpenLease, request::LedgerView};
use leasehold_store::{Batch, Committed, FactFilter, Record, Recorded, Store, StoreError};

pub use ceiling::Standing;
pub use era::Era;
pub use taken::Taken;

use crate::error::Error;

/// The role that decides tenancies and their release.
pub const OFFICE: &str = "office";
/// The role that decides prices and credit.
pub const FINANCE: &str = "finance";
/// What a decision on a request speaks of.
const TENANCY: &str = "Tenancy";

/// The ledger as reconcilers use it.
#[derive(Clone)]
pub struct Books {
    store: Store,
    era: Arc<RwLock<Arc<Era>>>,
    prices: Arc<RwLock<Arc<Prices>>>,
}

/// Published price books and what they make together.
pub struct Prices {
    /// The books, the latest document of each name, in the order of their names.
    pub books: Vec<Book>,
    /// The catalogue; none when the books contradict each other.
    pub catalogue: Option<Catalogue>,
}

impl Books {
    /// Opens the books of a cluster: records it when it is seen for the first time.
    pub async fn open(store: Store, cluster_uid: &str, now: Second) -> Result<Self, Error> {
        let era = era::enter(&store, cluster_uid, now).await?;
        let empty = Prices {
            books: Vec::new(),
            catalogue: None,
        };
        Ok(Self {
            store,
            era: Arc::new(RwLock::new(Arc::new(era))),
            prices: Arc::new(RwLock::new(Arc::new(empty))),
        })
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Which cluster, and which life of its database, facts come from.
    pub fn cluster(&self) -> Arc<Era> {
        Arc::clone(&self.era.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins another life of the cluster's database, because its etcd was restored: every watch lists anew. What was
    /// read from the cluster before is worth nothing any more, so whoever calls this has the operator started anew,
    /// unless nothing was read yet.
    pub async fn begin_era(&self, now: Second) -> Result<Arc<Era>, Error> {
        let era = Arc::new(era::again(&self.store, &self.cluster(), now).await?);
        *self.era.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&era);
        Ok(era)
    }

    /// Writes records in one transaction.
    pub async fn commit(&self, records: Vec<Record>, now: Second) -> Result<Committed, Error> {
        Ok(self.store.commit(&Batch::of(records), now).await?)
    }

    /// Writes a batch that holds for what it was computed from, unless that has grown since; see [`Standing::hold`] and
    /// [`Taken::hold`]. Tells whether it was written.
    pub async fn commit_held(&self, batch: Batch, now: Second) -> Result<bool, Error> {
        match self.store.commit(&batch, now).await {
            Ok(_) => Ok(true),
            Err(StoreError::Overtaken { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a document unless one of its key is there already, which is then returned. The time of writing is part
    /// of most documents, so that a second attempt after a lost answer must not be taken for a contradiction.
    pub async fn ensure<D: Document + Clone>(&self, document: &D, now: Second) -> Result<D, Error> {
        if let Some(known) = self.store.document::<D>(&document.key()).await? {
            return Ok(known.value);
        }
        self.commit(vec![Record::document(document)?], now).await?;
        Ok(document.clone())
    }

    /// Writes a document unless the last one of its subject is the `same`: what changes back to what it was earlier
    /// is news. Tells whether it was written.
    pub async fn follow<D: Document>(
        &self,
        document: &D,
        same: impl Fn(&D) -> bool,
        now: Second,
    ) -> Result<bool, Error> {
        let known = self
            .store
            .documents::<D>(Some(&document.subject()), None)
            .await?;
        if known.last().is_some_and(|last| same(&last.value)) {
            return Ok(false);
        }
        self.commit(vec![Record::document(document)?], now).await?;
        Ok(true)
    }

    /// The last policy that the ledger saw.
    pub async fn policy(&self) -> Result<Option<Policy>, Error> {
        let all = self.store.documents::<PolicyDoc>(None, None).await?;
        Ok(all
            .into_iter()
            .next_back()
            .map(|recorded| recorded.value.policy))
    }

    /// Published prices, as last loaded.
    pub fn prices(&self) -> Arc<Prices> {
        Arc::clone(&self.prices.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads the published price books anew. Called at the start and after a book was published or ended.
    pub async fn reload_prices(&self, zone: &Zone) -> Result<(), Error> {
        let books = self.published_books().await?;
        let catalogue = Catalogue::new(books.clone(), zone.clone())
            .map_err(|error| Error::understand("the published price books", error))?;
        *self.prices.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Prices {
            books,
            catalogue: Some(catalogue),
        });
        Ok(())
    }

    /// Published books: of each name, the latest document.
    pub async fn published_books(&self) -> Result<Vec<Book>, Error> {
        let mut latest = BTreeMap::new();
        for recorded in self.store.documents::<BookDoc>(None, None).await? {
            latest.insert(recorded.value.book.name.clone(), recorded.value.book);
        }
        Ok(latest.into_values().collect())
    }

    /// What the ledger knows of a tenancy's last incarnation.
    pub async fn view(&self, department: &str, tenancy: &str) -> Result<LedgerView, Error> {
        let subject = format!("{department}/{tenancy}");
        let incarnation = self
            .store
            .documents::<IncarnationDoc>(Some(&subject), None)
            .await?
            .into_iter()
            .map(|recorded| recorded.value)
            .max_by_key(|document| document.incarnation);
        let mut view = LedgerView {
            department: department.to_owned(),
            tenancy: tenancy.to_owned(),
            incarnation: incarnation.clone(),
            requests: Vec::new(),
            decisions: BTreeMap::new(),
            words: BTreeMap::new(),
            effective: Vec::new(),
            delivered: Vec::new(),
            acceptance: Vec::new(),
            release: Vec::new(),
        };
        let Some(incarnation) = incarnation else {
            return Ok(view);
        };
        let number = incarnation.incarnation;
        view.requests = self
            .of::<RequestDoc>(&subject, |d| d.incarnation == number)
            .await?;
        view.requests.sort_by_key(|document| document.request);
        view.effective = self
            .of::<EffectiveDoc>(&subject, |d| d.incarnation == number)
            .await?;
        view.delivered = self
            .of::<DeliveredDoc>(&subject, |d| d.incarnation == number)
            .await?;
        if !view.delivered.is_empty() {
            view.acceptance = self
                .of::<AcceptanceDoc>(&subject, |d| d.incarnation == number)
                .await?;
        }
        view.release = self
            .of::<ReleaseDoc>(&subject, |d| d.incarnation == number)
            .await?;
        for request in &view.requests {
            let words = self.words(request).await?;
            view.words.insert(request.request, words);
        }
        view.settle();
        Ok(view)
    }

    /// What whoever has to decide on a request has said.
    async fn words(&self, request: &RequestDoc) -> Result<Vec<DecisionDoc>, Error> {
        let subject = request_subject(request);
        let mut words = Vec::new();
        words.extend(self.decision(TENANCY, &subject, OFFICE).await?);
        if request.funds.is_some() {
            words.extend(self.decision(TENANCY, &subject, FINANCE).await?);
        }
        Ok(words)
    }

    /// What the ledger has of suspensions of a tenancy, in all lives of its name.
    pub async fn suspensions(
        &self,
        department: &str,
        tenancy: &str,
    ) -> Result<Vec<SuspensionDoc>, Error> {
        self.of(&format!("{department}/{tenancy}"), |_| true).await
    }

    async fn of<D: Document>(
        &self,
        subject: &str,
        keep: impl Fn(&D) -> bool,
    ) -> Result<Vec<D>, Error> {
        let all = self.store.documents::<D>(Some(subject), None).await?;
        Ok(all
            .into_iter()
            .map(|recorded| recorded.value)
            .filter(keep)
            .collect())
    }

    /// The decision of a role on a subject, if it was recorded.
    pub async fn decision(
        &self,
        subject_kind: &str,
        subject: &str,
        role: &str,
    ) -> Result<Option<DecisionDoc>, Error> {
        let key = decision_key(subject_kind, subject, role);
        Ok(self
            .store
            .document::<DecisionDoc>(&key)
            .await?
            .map(|recorded| recorded.value))
    }

    /// Namespaces that the ledger knows for a tenancy's incarnation and that are not gone, by uid.
    pub async fn namespaces(
        &self,
        department: &str,
        tenancy: &str,
        incarnation: u32,
    ) -> Result<BTreeMap<String, NamespaceDoc>, Error> {
        let subject = format!("{department}/{tenancy}");
        let mut known = BTreeMap::new();
        for document in self
            .of::<NamespaceDoc>(&subject, |d| d.incarnation == incarnation)
            .await?
        {
            if document.cluster == self.cluster().uid && !self.is_gone(&document.uid).await? {
                known.insert(document.uid.clone(), document);
            }
        }
        Ok(known)
    }

    /// Whether the ledger has recorded that the namespace of this uid is gone.
    pub async fn is_gone(&self, uid: &str) -> Result<bool, Error> {
        let key = format!("{}/{uid}", self.cluster().uid);
        Ok(self
            .store
            .document::<NamespaceGoneDoc>(&key)
            .await?
            .is_some())
    }

    /// The department's credit lots with what is left of each.
    pub async fn lots(&self, department: &str) -> Result<Vec<LotState>, Error> {
        let lots: Vec<_> = self
            .store
            .documents::<LotDoc>(Some(department), None)
            .await?
            .into_iter()
            .map(|recorded| recorded.value.lot)
            .collect();
        if lots.is_empty() {
            return Ok(Vec::new());
        }
        let entries: Vec<_> = self
            .store
            .entries(None)
            .await?
            .into_iter()
            .map(|recorded| recorded.value)
            .collect();
        lot_states(&lots, &entries).map_err(|error| Error::understand("the credit lots", error))
    }

    /// What is billed of a tenancy's lease right now, by item.
    pub async fn open_lease(
        &self,
        department: &str,
        tenancy: &str,
        incarnation: u32,
    ) -> Result<BTreeMap<String, OpenLease>, Error> {
        let facts = self.lease(department, tenancy, incarnation).await?;
        Ok(open_items(facts.iter().map(|recorded| &recorded.value)))
    }

    /// The last instant for which the ledger has anything of a tenancy's lease; none where it has nothing.
    pub async fn leased_until(
        &self,
        department: &str,
        tenancy: &str,
        incarnation: u32,
    ) -> Result<Option<Second>, Error> {
        let facts = self.lease(department, tenancy, incarnation).await?;
        Ok(facts.iter().map(|recorded| recorded.value.at).max())
    }

    /// The facts of a tenancy's lease, in the order of the ledger.
    async fn lease(
        &self,
        department: &str,
        tenancy: &str,
        incarnation: u32,
    ) -> Result<Vec<Recorded<Fact>>, Error> {
        let filter = FactFilter {
            department: Some(department.to_owned()),
            tenancy: Some(tenancy.to_owned()),
            uid: Some(lease_uid(department, tenancy, incarnation)),
            ..FactFilter::default()
        };
        Ok(self.store.facts(&filter).await?)
    }

    /// Cluster and life of its database under which a tenancy's lease is recorded: those in which it was opened, for one
    /// that is not, those of now. A lease outlives a restored etcd, because the ledger says what is leased.
    pub async fn lease_era(
        &self,
        department: &str,
        tenancy: &str,
        incarnation: u32,
    ) -> Result<(String, u32), Error> {
        let facts = self.lease(department, tenancy, incarnation).await?;
        let first = facts.into_iter().next().map(|found| found.value.source);
        Ok(first.map_or_else(
            || {
                let now = self.cluster();
                (now.uid.clone(), now.etcd)
            },
            |source| (source.cluster, source.etcd),
        ))
    }
}

fn open_items<'a>(facts: impl Iterator<Item = &'a Fact>) -> BTreeMap<String, OpenLease> {
    let mut open = BTreeMap::new();
    for fact in facts {
        let Meter::Lease { item } = &fact.meter else {
            continue;
        };
        match fact.kind {
            FactKind::Opened | FactKind::Changed => {
                let lease = OpenLease {
                    quantity: fact.quantity,
                    contract: fact.subject.contract.clone(),
                    budget: fact.subject.budget.clone(),
                };
                open.insert(item.clone(), lease);
            }
            FactKind::Closed | FactKind::Superseded => {
                open.remove(item);
            }
        }
    }
    open
}

/// The identifier under which lease facts of a tenancy's incarnation are recorded.
pub fn lease_uid(department: &str, tenancy: &str, incarnation: u32) -> String {
    format!("{department}/{tenancy}/{incarnation}")
}

/// The subject under which a request is decided.
pub fn request_subject(request: &RequestDoc) -> String {
    format!(
        "{}/{}/{}/{}",
        request.department, request.tenancy, request.incarnation, request.request
    )
}

fn decision_key(subject_kind: &str, subject: &str, role: &str) -> String {
    format!("{subject_kind}/{subject}/{role}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_ledger::document::DepartmentDoc;

    #[tokio::test]
    async fn a_name_that_comes_back_is_recorded_again_and_one_that_stays_is_not() {
        let store = Store::in_memory().await.unwrap();
        let books = Books::open(store, "cluster", Second::new(0)).await.unwrap();
        let mut written = Vec::new();
        for (at, name) in [(1, "A"), (2, "A"), (3, "B"), (4, "A"), (5, "A")] {
            let document = DepartmentDoc {
                code: "gov-office".to_owned(),
                display_name: name.to_owned(),
                budget_unit: None,
                parent: None,
                at: Second::new(at),
            };
            let same = |last: &DepartmentDoc| last.digest() == document.digest();
            written.push(books.follow(&document, same, document.at).await.unwrap());
        }
        assert_eq!(written, [true, false, true, true, false]);
        let all = books.store().documents::<DepartmentDoc>(None, None).await;
        let names: Vec<String> = all
            .unwrap()
            .into_iter()
            .map(|recorded| recorded.value.display_name)
            .collect();
        assert_eq!(names, ["A", "B", "A"]);
    }
}
