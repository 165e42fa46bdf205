//! What a tenancy's round starts from.

use std::{
    collections::BTreeSet,
    ops::{Deref, DerefMut},
};

use kube::ResourceExt;
use leasehold_api::{
    names,
    platform::{CloudPolicy, Cloudlet, NetworkZone},
    tenancy::{Department, InformationSystem, Tenancy},
};
use leasehold_ledger::{
    book::Catalogue,
    document::{Decision, ReleaseStage, RequestDoc},
    policy::Policy,
    time::{LocalDate, Second},
};
use leasehold_planner::{
    convert::ledger_policy,
    papers,
    request::{ApprovedPart, Asked, Items, LedgerView, Prices, items_of},
    rules::Refusal,
};

use crate::{Context, Error, organisation::life as ages};

/// What is known of a tenancy's life, also where something is missing that its lease refers to: enough to stop what
/// runs.
pub struct Life {
    /// The object.
    pub tenancy: Tenancy,
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub name: String,
    /// The policy as written.
    pub policy_object: CloudPolicy,
    /// The part of the policy that bills depend on.
    pub policy: Policy,
    /// The department's object.
    pub organisation: Department,
    /// What the ledger knows of the tenancy's life that is alive.
    pub view: LedgerView,
    /// The life that has ended, where this object is not the one that began it and was there before its end: an object that
    /// was made anew meanwhile still shows it. Nothing that counts follows from this, because clocks can be set back.
    pub ended: Option<LedgerView>,
    /// Number of the incarnation that would be the next.
    pub next: u32,
    /// Now, by the API server's clock.
    pub now: Second,
}

/// Everything that a round may need, read once.
pub struct State {
    /// The life, whose parts are read as if they were here.
    pub life: Life,
    /// The domains that the department has.
    pub domains: BTreeSet<String>,
    /// The information system; needed for a new request only.
    pub system: Option<InformationSystem>,
    /// The zone.
    pub zone: NetworkZone,
    /// The cloudlet.
    pub cloudlet: Cloudlet,
    /// Published prices.
    pub catalogue: Catalogue,
    /// What is asked for.
    pub asked: Asked,
}

impl Deref for State {
    type Target = Life;

    fn deref(&self) -> &Life {
        &self.life
    }
}

impl DerefMut for State {
    fn deref_mut(&mut self) -> &mut Life {
        &mut self.life
    }
}

/// Whether a round can go on.
pub enum Outcome {
    /// Everything is there.
    Complete(Box<State>),
    /// Something is not there yet.
    Waits {
        /// Names each thing and says what to do.
        missing: Vec<String>,
        /// What is known all the same; nothing without the policy and the department.
        life: Option<Box<Life>>,
    },
}

impl Life {
    /// The life that this object shows.
    pub fn shown(&self) -> &LedgerView {
        self.ended.as_ref().unwrap_or(&self.view)
    }

    /// Number of the life that this object shows.
    pub fn shown_incarnation(&self) -> u32 {
        let shown = self.shown().incarnation.as_ref();
        shown.map_or(self.next, |doc| doc.incarnation)
    }

    /// Whether this object's tenancy has ended. Another object of the same name is a new tenancy.
    pub fn gone(&self) -> bool {
        self.view.released()
            && self.view.incarnation.as_ref().map(|doc| doc.uid.as_str())
                == self.tenancy.metadata.uid.as_deref()
    }

    /// Whether the tenancy is to end: its manifest says so with everything that is needed for it, or it said so and that
    /// was not taken back.
    pub fn releasing(&self) -> bool {
        (self.tenancy.spec.release.is_some() && self.withheld().is_none())
            || (self.view.releasing() && !self.view.released())
    }

    /// Why the release that the manifest asks for has not begun.
    pub fn withheld(&self) -> Option<Refusal> {
        let policy = &self.policy_object.spec.release;
        papers::lacks(&self.view, self.tenancy.spec.release.as_ref(), policy)
    }

    /// Number of the incarnation that is alive, or would be the next.
    pub fn incarnation(&self) -> u32 {
        self.view
            .incarnation
            .as_ref()
            .map_or(self.next, |doc| doc.incarnation)
    }

    /// Who asked, as the API server stamped it.
    pub fn requested_by(&self) -> String {
        self.tenancy
            .annotations()
            .get(names::REQUESTED_BY_ANNOTATION)
            .cloned()
            .unwrap_or_else(|| "unknown".to_owned())
    }

    /// Who wrote what is said of the delivery, as the API server stamped it. A word from before that was stamped is of
    /// whoever wrote the manifest last.
    pub fn accepted_by(&self) -> String {
        let annotations = self.tenancy.annotations();
        let stamped = annotations.get(names::ACCEPTED_BY_ANNOTATION);
        stamped.cloned().unwrap_or_else(|| self.requested_by())
    }

    /// Who wrote the sign-off, as the API server stamped it.
    pub fn signed_off_by(&self) -> String {
        let annotations = self.tenancy.annotations();
        let stamped = annotations.get(names::SIGNED_OFF_BY_ANNOTATION);
        stamped.cloned().unwrap_or_else(|| self.requested_by())
    }

    /// Requests that were approved, by number.
    pub fn approved(&self) -> impl Iterator<Item = &RequestDoc> {
        self.view
            .requests
            .iter()
            .filter(|request| self.view.decision(request.request) == Some(Decision::Approved))
    }

    /// Whether this request's quota stood and was recorded.
    pub fn is_effective(&self, request: u32) -> bool {
        self.view
            .effective
            .iter()
            .any(|document| document.request == request)
    }

    /// The office namespace.
    pub fn office(&self) -> String {
        names::office_namespace(&self.department)
    }

    /// Reads the ledger's record again after something was added to it.
    pub async fn refresh(&mut self, context: &Context) -> Result<(), Error> {
        let view = context.books.view(&self.department, &self.name).await?;
        let (view, next, ended) = living(view, self.tenancy.metadata.uid.as_deref());
        self.ended = ended.filter(|ended| was_there(&self.tenancy, ended));
        (self.view, self.next) = (view, next);
        Ok(())
    }
}

impl State {
    /// Where to look up the items and prices of a lease: today's, else those of the first day of its term, else those of
    /// the day on which it was decided.
    pub fn prices(&self, part: &ApprovedPart) -> Prices<'_> {
        let first = LocalDate::parse(&part.term.from)
            .map_or(self.now, |day| self.policy.time_zone.local_midnight(day));
        Prices {
            catalogue: &self.catalogue,
            provider: self.provider(),
            at: self.now,
            since: first,
            approved: Some(&self.view),
        }
    }

    /// The items of a lease as the provider's books describe them.
    pub fn items(&self, part: &ApprovedPart) -> Result<Items, Vec<Refusal>> {
        items_of(part, &self.prices(part))
    }

    /// The provider whose prices count.
    pub fn provider(&self) -> &str {
        &self.cloudlet.spec.provider
    }
}

/// What counts for this object, with the number of the next life: a name that was released and is used by another object
/// begins anew, heir to nothing. Then the life that has ended comes with it.
fn living(view: LedgerView, uid: Option<&str>) -> (LedgerView, u32, Option<LedgerView>) {
    let next = view
        .incarnation
        .as_ref()
        .map_or(1, |doc| doc.incarnation.saturating_add(1));
    let another = view
        .incarnation
        .as_ref()
        .is_some_and(|doc| Some(doc.uid.as_str()) != uid);
    if view.released() && another {
        let anew = LedgerView {
            department: view.department.clone(),
            tenancy: view.tenancy.clone(),
            ..LedgerView::default()
        };
        return (anew, next, Some(view));
    }
    (view, next, None)
}

/// Whether an object was there before the life of its name had ended.
fn was_there(tenancy: &Tenancy, ended: &LedgerView) -> bool {
    let made = tenancy.metadata.creation_timestamp.as_ref();
    let made = made.map(|made| Second::from_timestamp(made.0));
    let mut stages = ended.release.iter();
    let end = stages.find(|doc| doc.stage == ReleaseStage::Released);
    made.zip(end).is_some_and(|(made, end)| made < end.at)
}

/// Reads what a round starts from.
pub async fn observe(tenancy: &Tenancy, context: &Context) -> Result<Outcome, Error> {
    let namespace = tenancy.namespace().unwrap_or_default();
    let Some(department) = names::department_of_office(&namespace).map(str::to_owned) else {
        let refusal = Refusal::new(
            "T02",
            format!("a tenancy in namespace {namespace}"),
            "the department's office namespace",
            "apply it in dept-CODE",
        );
        return Ok(Outcome::Waits {
            missing: vec![refusal.to_string()],
            life: None,
        });
    };
    let (world, spec) = (&context.world, &tenancy.spec);
    let mut missing = Vec::new();
    let mut need = |is_there: bool, what: &str, name: &str, who: &str| {
        if !is_there {
            missing.push(format!("{what} {name} does not exist yet; {who}"));
        }
    };
    let office = "the e-government office applies it";
    let policy = world.policy();
    need(policy.is_some(), "CloudPolicy", names::POLICY_NAME, office);
    let organisation = world.departments.get(None, &department);
    need(organisation.is_some(), "Department", &department, office);
    let centre = "the data centre applies it";
    let zone = world.zones.get(None, &spec.zone);
    need(zone.is_some(), "NetworkZone", &spec.zone, centre);
    let cloudlet = world.cloudlets.get(None, &spec.cloudlet);
    need(cloudlet.is_some(), "Cloudlet", &spec.cloudlet, centre);
    let (Some(policy), Some(organisation)) = (policy, organisation) else {
        return Ok(Outcome::Waits {
            missing,
            life: None,
        });
    };
    let life = life(tenancy, department, (policy, organisation), context).await?;
    let (Some(zone), Some(cloudlet)) = (zone, cloudlet) else {
        return Ok(Outcome::Waits {
            missing,
            life: Some(Box::new(life)),
        });
    };
    let prices = context.books.prices();
    let provider = cloudlet.spec.provider.as_str();
    let published = prices.books.iter().any(|book| book.provider == provider);
    let Some(catalogue) = prices.catalogue.clone().filter(|_| published) else {
        let missing = format!(
            "no price book of provider {provider} is published; finance loads one and a second person publishes it"
        );
        return Ok(Outcome::Waits {
            missing: vec![missing],
            life: Some(Box::new(life)),
        });
    };
    let granted = ages::granted(&life.organisation, context).await?;
    Ok(Outcome::Complete(Box::new(State {
        asked: Asked::of(spec),
        domains: granted.domains,
        system: world.systems.get(Some(&namespace), &spec.system),
        zone,
        cloudlet,
        catalogue,
        life,
    })))
}

/// Reads what the ledger has of a tenancy's life, by the policy and for the department.
async fn life(
    tenancy: &Tenancy,
    department: String,
    (policy_object, organisation): (CloudPolicy, Department),
    context: &Context,
) -> Result<Life, Error> {
    let policy = ledger_policy(&policy_object.spec)
        .map_err(|error| Error::understand("CloudPolicy default", error))?;
    let name = tenancy.name_any();
    let now = context.now();
    let view = context.books.view(&department, &name).await?;
    let (view, next, ended) = living(view, tenancy.metadata.uid.as_deref());
    Ok(Life {
        tenancy: tenancy.clone(),
        department,
        name,
        policy_object,
        policy,
        organisation,
        view,
        next,
        ended: ended.filter(|ended| was_there(tenancy, ended)),
        now,
    })
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::document::{IncarnationDoc, ReleaseDoc};

    use super::*;

    fn view(released: bool) -> LedgerView {
        let at = Second::new(0);
        let release = ReleaseDoc {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 3,
            stage: ReleaseStage::Released,
            round: 0,
            requested_by: "zhang".to_owned(),
            at,
            kept: Vec::new(),
            backup: None,
        };
        LedgerView {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: Some(IncarnationDoc {
                department: "edu".to_owned(),
                tenancy: "oa".to_owned(),
                incarnation: 3,
                uid: "first".to_owned(),
                at,
            }),
            release: if released { vec![release] } else { Vec::new() },
            ..LedgerView::default()
        }
    }

    #[test]
    fn a_released_name_begins_anew_with_another_object_only() {
        let (known, next, ended) = living(view(true), Some("second"));
        assert_eq!((known.incarnation, known.release.len(), next), (None, 0, 4));
        assert_eq!(ended, Some(view(true)));
        let (known, _, ended) = living(view(true), Some("first"));
        assert!(known.released() && ended.is_none());
    }

    #[test]
    fn an_object_applied_again_takes_up_the_life_that_was_not_released() {
        let (known, _, ended) = living(view(false), Some("second"));
        assert_eq!(known.incarnation.map(|doc| doc.incarnation), Some(3));
        assert_eq!(ended, None);
    }
}
