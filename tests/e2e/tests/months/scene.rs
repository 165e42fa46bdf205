//! Who acts, how the past is put on record, and how the story looks at what is there.

use std::path::Path;

use leasehold_api::charging::{
    BillingPeriod, PeriodPhase, Statement, StatementSpec, StatementState,
};
use leasehold_e2e::{Office, PERIODS, Stage};
use leasehold_ledger::document::PeriodCloseDoc;
use leasehold_ledger::time::Second;
use leasehold_store::{Batch, Store};
use leasehold_testkit::manifests::Days;
use leasehold_testkit::{Ran, Session, User};
use serde_json::json;

use crate::bill::{Bill, bill};
use crate::calendar::{Month, Months};
use crate::past;

/// Who and what everything is about.
pub struct Story {
    /// The control plane and its operator.
    pub stage: &'static Stage,
    /// The three months.
    pub months: Months,
    /// The department that leases.
    pub water: Office,
    /// A department that leases nothing.
    pub sports: Office,
    /// An auditor, who reads everything.
    pub auditor: Session,
}

impl Story {
    /// Two offices, two months on record, and the operator back at work.
    pub async fn begin() -> Self {
        let stage = Stage::bare().await.unwrap();
        // the offices come first: drafts are written once the ledger knows of months, then hourly
        let water = stage.office(past::DEPARTMENT, "市水利局").await.unwrap();
        let sports = stage.office("sports", "市体育局").await.unwrap();
        let months = Months::of(Days::now().unwrap().today);
        write_past(stage, &months).await;
        stage.published(past::BOOK).await.unwrap();
        Self {
            stage,
            months,
            water,
            sports,
            auditor: stage.user(User::Auditor).await.unwrap(),
        }
    }

    /// Waits until a month's object is as `holds` says.
    pub async fn period(
        &self,
        month: &Month,
        what: &str,
        holds: impl Fn(&BillingPeriod) -> bool,
    ) -> BillingPeriod {
        let what = format!("{what}, {}", month.name);
        let seen = self.stage.see(&what, PERIODS, async || {
            let found = self.auditor.get::<BillingPeriod>(None, &month.name).await?;
            if holds(&found) {
                Ok(found)
            } else {
                Err(format!("{:#?}", found.status))
            }
        });
        seen.await.unwrap()
    }

    /// Waits until a department reads its statement in this state.
    pub async fn statement(
        &self,
        office: &Office,
        month: &Month,
        state: StatementState,
    ) -> StatementSpec {
        let what = format!("statement of {} in {}, {state:?}", month.name, office.place);
        let place = Some(office.place.as_str());
        let seen = self.stage.see(&what, PERIODS, async || {
            let found = office.staff.get::<Statement>(place, &month.name).await?;
            if found.spec.state == state {
                Ok(found.spec)
            } else {
                Err(format!("{:?}", found.spec.state))
            }
        });
        seen.await.unwrap()
    }

    /// Finance says that a month shall close.
    pub async fn word(&self, month: &Month) {
        let finance = self.stage.user(User::SUN).await.unwrap();
        let ran = close(&finance, month).await;
        ran.ok().unwrap();
    }

    /// What the ledger has closed and on whose word, in order.
    pub async fn closes(&self) -> Vec<(String, String)> {
        let path = self.stage.operator.lock().await.ledger().to_owned();
        let store = Store::open_read_only(&path).await.unwrap();
        let all = store.documents::<PeriodCloseDoc>(None, None).await.unwrap();
        all.into_iter()
            .map(|recorded| (recorded.value.name, recorded.value.closed_by))
            .collect()
    }

    /// The path of a copy of the ledger.
    pub async fn copy(&self, folder: &str) -> String {
        let folder = self.stage.rig.scratch(folder).unwrap();
        let copied = self.stage.operator.lock().await.copy_ledger(&folder);
        text(&copied.unwrap())
    }

    /// What the department with the tenancy owes for a whole month.
    pub fn due(&self, month: &Month) -> Bill {
        bill(&self.months, month, month.to)
    }
}

/// Somebody tries to close a month.
pub async fn close(who: &Session, month: &Month) -> Ran {
    let target = format!("bp/{}", month.name);
    let word = json!({"spec": {"close": true}});
    who.try_patch(&target, &[], &word).await.unwrap()
}

/// Puts the two months on record and the rules into the cluster, while the operator is away.
async fn write_past(stage: &Stage, months: &Months) {
    let mut operator = stage.operator.lock().await;
    operator.terminate();
    let store = Store::open(operator.ledger()).await.unwrap();
    let batch = Batch::of(past::records(months));
    let now = Second::new(months.last.to);
    store.commit(&batch, now).await.unwrap();
    store.close().await.unwrap();
    let office = stage.user(User::Office).await.unwrap();
    office.apply(&past::policy()).await.unwrap();
    let finance = stage.user(User::SUN).await.unwrap();
    finance.apply(&past::prices()).await.unwrap();
    operator.restart().await.unwrap();
}

/// Where a period stands, once the operator has said so.
pub fn phase(period: &BillingPeriod) -> Option<PeriodPhase> {
    period.status.as_ref().map(|status| status.phase)
}

/// Reason and message of a condition that holds.
pub fn said<'a>(period: &'a BillingPeriod, type_: &str) -> Option<(&'a str, &'a str)> {
    let mut conditions = period.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.find(|found| found.type_ == type_ && found.status == "True")?;
    Some((found.reason.as_str(), found.message.as_str()))
}

/// An instant in Shanghai, counted from 1970.
pub fn second(text: &str) -> i64 {
    let there = text.strip_suffix("+08:00").unwrap();
    Second::parse(&format!("{there}Z")).unwrap().get() - 8 * 3600
}

/// A path in words.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}
