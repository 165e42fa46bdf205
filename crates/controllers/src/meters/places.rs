//! To whom a namespace's objects count.
//!
//! A namespace belongs to a tenancy because the ledger says so of its uid, never because of its name or labels. Who
//! pays, and under which contract, comes from the tenancy's request that is in force.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::ResourceExt;
use leasehold_api::{names, platform::ClaimsCount};
use leasehold_ledger::{
    document::NamespaceDoc,
    fact::Subject,
    policy::EstimateBound,
    time::{PeriodKind, Second},
};
use leasehold_planner::request::Asked;
use leasehold_store::FactFilter;

use super::pods::second;
use crate::{Context, Error, books::lease_uid};

/// What is read from the ledger is good for so many seconds.
const FRESH: i64 = 5;

/// To whom an object counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// To nobody: the namespace is no tenancy's.
    Foreign,
    /// The namespace may be a tenancy's, but the ledger does not say so yet.
    Unknown,
    /// To this tenancy.
    Tenancy(Box<Subject>),
}

/// Whether objects of a namespace may count to a tenancy, as far as its name tells.
pub fn may_count(namespace: &str) -> bool {
    namespace.contains("--")
}

/// Whether the namespace carries the role of a tenancy's, which nobody but the operator can write.
fn is_tenancys(namespace: &ObjectMeta) -> bool {
    let mut labels = namespace.labels.iter().flatten();
    labels.any(|(label, role)| label == names::ROLE_LABEL && role == names::ROLE_TENANCY)
}

/// Whether the namespace carries any mark of ours.
fn is_marked(namespace: &Namespace) -> bool {
    [names::ROLE_LABEL, names::MANAGED_LABEL]
        .iter()
        .any(|label| namespace.labels().contains_key(*label))
}

/// One life of a tenancy's name.
type Tenancy = (String, String, u32);

/// The namespaces of tenancies and to whom they count, as far as was asked.
pub struct Places {
    context: Context,
    namespaces: BTreeMap<String, NamespaceDoc>,
    subjects: BTreeMap<Tenancy, (Second, Option<Subject>)>,
    /// When the policy was read, and what it says; nothing before there is one.
    policy: Option<(Second, Option<(EstimateBound, PeriodKind)>)>,
}

impl Places {
    /// Knows nothing yet.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            namespaces: BTreeMap::new(),
            subjects: BTreeMap::new(),
            policy: None,
        }
    }

    /// To whom an object counts that was created in a namespace at an instant.
    pub async fn find(&mut self, namespace: &str, created: Option<Second>) -> Result<Place, Error> {
        if !may_count(namespace) {
            return Ok(Place::Foreign);
        }
        let Some(found) = self.context.world.namespaces.meta(None, namespace) else {
            return Ok(Place::Unknown);
        };
        let begun = found.creation_timestamp.as_ref().map(second);
        if created.is_some() && created < begun {
            // it lives in an earlier namespace of this name, which is gone from the cache already
            return Ok(Place::Unknown);
        }
        let uid = found.uid.as_deref().unwrap_or_default();
        let Some(document) = self.document(uid).await? else {
            return Ok(if is_tenancys(&found) {
                Place::Unknown
            } else {
                Place::Foreign
            });
        };
        let tenancy = (document.department, document.tenancy, document.incarnation);
        Ok(match self.subject(&tenancy).await? {
            Some(subject) => Place::Tenancy(Box::new(subject)),
            None => Place::Unknown,
        })
    }

    /// Whether a namespace is certainly a tenancy's, whether or not the ledger knows of it yet.
    pub fn is_ours(&self, namespace: &str) -> bool {
        let found = self.context.world.namespaces.meta(None, namespace);
        found.is_some_and(|found| is_tenancys(&found))
    }

    /// Whether a namespace is certainly no tenancy's: it exists without our marks, and the ledger does not know it. Asks
    /// the API server, because the cache holds only what carries our marks, and may be late.
    pub async fn is_foreign(&mut self, namespace: &str) -> Result<bool, Error> {
        let Some(found) = self.context.kit.get::<Namespace>(None, namespace).await? else {
            return Ok(false);
        };
        let known = self
            .document(&found.metadata.uid.clone().unwrap_or_default())
            .await?;
        Ok(known.is_none() && !is_marked(&found))
    }

    /// What the ledger says of the namespace with this uid.
    async fn document(&mut self, uid: &str) -> Result<Option<NamespaceDoc>, Error> {
        if let Some(known) = self.namespaces.get(uid) {
            return Ok(Some(known.clone()));
        }
        let key = format!("{}/{uid}", self.context.books.cluster().uid);
        let found = self
            .context
            .books
            .store()
            .document::<NamespaceDoc>(&key)
            .await?;
        let found = found.map(|recorded| recorded.value);
        if let Some(document) = &found {
            self.namespaces.insert(uid.to_owned(), document.clone());
        }
        Ok(found)
    }

    /// Reads all namespaces of this cluster from the ledger.
    pub async fn load(&mut self) -> Result<(), Error> {
        let cluster = self.context.books.cluster().uid.clone();
        for recorded in self
            .context
            .books
            .store()
            .documents::<NamespaceDoc>(None, None)
            .await?
        {
            let document = recorded.value;
            if document.cluster == cluster {
                self.namespaces.insert(document.uid.clone(), document);
            }
        }
        Ok(())
    }

    /// To whom new use of a tenancy counts now.
    pub async fn now(&mut self, known: &Subject) -> Result<Option<Subject>, Error> {
        let tenancy = (
            known.department.clone(),
            known.tenancy.clone(),
            known.incarnation,
        );
        self.subject(&tenancy).await
    }

    async fn subject(&mut self, tenancy: &Tenancy) -> Result<Option<Subject>, Error> {
        let now = self.context.now();
        if let Some((read, subject)) = self.subjects.get(tenancy)
            && (0..FRESH).contains(&now.since(*read))
            && subject.is_some()
        {
            return Ok(subject.clone());
        }
        let mut found = self.by_request(tenancy).await?;
        if found.is_none() {
            found = self.by_lease(tenancy).await?;
        }
        self.subjects.insert(tenancy.clone(), (now, found.clone()));
        Ok(found)
    }

    /// As the request says that is in force, or else the one that is approved.
    async fn by_request(&self, tenancy: &Tenancy) -> Result<Option<Subject>, Error> {
        let (department, name, incarnation) = tenancy;
        let view = self.context.books.view(department, name).await?;
        if view
            .incarnation
            .as_ref()
            .map(|document| document.incarnation)
            != Some(*incarnation)
        {
            return Ok(None);
        }
        let Some(request) = view.effective().or_else(|| view.approved()) else {
            return Ok(None);
        };
        let part = Asked::read(request)
            .map_err(|error| Error::understand("the snapshot of a request", error))?
            .part;
        let Some(cloudlet) = self.context.world.cloudlets.get(None, &part.cloudlet) else {
            return Ok(None);
        };
        Ok(Some(Subject {
            department: department.clone(),
            tenancy: name.clone(),
            incarnation: *incarnation,
            system: part.system.to_string(),
            provider: cloudlet.spec.provider.to_string(),
            contract: part.contract.to_string(),
            budget: part.budget.code.to_string(),
            request: request.request,
            object: String::new(),
        }))
    }

    /// As the newest fact of the lease says.
    async fn by_lease(&self, tenancy: &Tenancy) -> Result<Option<Subject>, Error> {
        let (department, name, incarnation) = tenancy;
        let filter = FactFilter {
            department: Some(department.clone()),
            tenancy: Some(name.clone()),
            uid: Some(lease_uid(department, name, *incarnation)),
            ..FactFilter::default()
        };
        let facts = self.context.books.store().facts(&filter).await?;
        Ok(facts
            .into_iter()
            .next_back()
            .map(|recorded| recorded.value.subject))
    }

    /// Whether volume claims count before they are bound.
    pub fn counts_unbound(&self) -> bool {
        let policy = self.context.world.policy();
        policy.is_some_and(|policy| policy.spec.metering.claims == ClaimsCount::Made)
    }

    /// Which end of an estimate is billed.
    pub async fn billed(&mut self) -> Result<EstimateBound, Error> {
        let policy = self.policy().await?;
        Ok(policy.map_or(EstimateBound::Lower, |(billed, _)| billed))
    }

    /// How long the periods are; nothing before there is a policy.
    pub async fn period(&mut self) -> Result<Option<PeriodKind>, Error> {
        Ok(self.policy().await?.map(|(_, period)| period))
    }

    async fn policy(&mut self) -> Result<Option<(EstimateBound, PeriodKind)>, Error> {
        let now = self.context.now();
        if let Some((read, policy)) = self.policy
            && (0..FRESH).contains(&now.since(read))
        {
            return Ok(policy);
        }
        let policy = self.context.books.policy().await?;
        let policy = policy.map(|policy| (policy.estimate_bound, policy.period));
        self.policy = Some((now, policy));
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(pairs: &[(&str, &str)]) -> Namespace {
        let mut namespace = Namespace::default();
        for (key, value) in pairs {
            namespace
                .labels_mut()
                .insert((*key).to_owned(), (*value).to_owned());
        }
        namespace
    }

    #[test]
    fn the_role_tells_a_tenancys_namespace_and_any_mark_that_it_may_be_ours() {
        let bare = labelled(&[("app", "x")]);
        assert!(!is_tenancys(&bare.metadata) && !is_marked(&bare));
        let tenancy = labelled(&[(names::ROLE_LABEL, names::ROLE_TENANCY)]);
        assert!(is_tenancys(&tenancy.metadata) && is_marked(&tenancy));
        let office = labelled(&[(names::ROLE_LABEL, names::ROLE_OFFICE)]);
        assert!(!is_tenancys(&office.metadata) && is_marked(&office));
        let managed = labelled(&[(names::MANAGED_LABEL, names::MANAGED_VALUE)]);
        assert!(!is_tenancys(&managed.metadata) && is_marked(&managed));
    }

    #[test]
    fn names_with_two_dashes_may_be_a_tenancys() {
        assert!(may_count("gov-office--oa"));
        assert!(!may_count("dept-gov-office"));
    }
}
