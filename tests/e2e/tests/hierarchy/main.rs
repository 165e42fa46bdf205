//! Departments under departments on the real API server: who sees what of whom, what may be leased together, what is
//! refused, and how a department ends.

#[cfg(test)]
mod end;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod openings {
    //! How these stories begin.

    use leasehold_api::tenancy::{Department, DepartmentStatus, Tenancy};
    use leasehold_e2e::{Office, Stage};
    use leasehold_testkit::{LONG, Ran, Session, User};
    use serde_json::{Value, json};

    /// 4 × 46.00 + 8 × 17.00 = 320.00 a month.
    pub const LEASE: [(&str, &str); 2] = [("vcpu-x86", "4"), ("memory", "8Gi")];

    /// A department at work.
    pub async fn open(code: &str, name: &str) -> Office {
        let stage = Stage::shared().await.unwrap();
        stage.office(code, name).await.unwrap()
    }

    /// A department at work below another.
    pub async fn open_below(code: &str, name: &str, above: &str) -> Office {
        let office = open(code, name).await;
        change(office.stage, code, &json!({"parent": above})).await;
        office
    }

    /// Applies a tenancy with one namespace of its name that holds all of it.
    pub async fn apply(office: &Office, name: &str, lease: &[(&str, &str)]) {
        let manifest = office.manifest(name, lease, &[(name, lease)]).unwrap();
        office.staff.apply(&manifest).await.unwrap();
    }

    /// Whether the request with this number is the tenancy's last one, and approved.
    pub fn is_approved(tenancy: &Tenancy, number: u32) -> bool {
        let status = tenancy.status.as_ref();
        let request = status.and_then(|status| status.request.as_ref());
        request.is_some_and(|request| request.number == number && request.decision == "Approved")
    }

    /// The office changes a department.
    pub async fn change(stage: &Stage, code: &str, spec: &Value) {
        let chen = stage.user(User::Office).await.unwrap();
        let patch = json!({"spec": spec});
        let target = format!("dept/{code}");
        let ran = chen.try_patch(&target, &[], &patch).await.unwrap();
        ran.ok().unwrap();
    }

    /// Waits until the status of a department is as `holds` says.
    pub async fn shows(
        stage: &Stage,
        code: &str,
        what: &str,
        holds: impl Fn(&DepartmentStatus) -> bool,
    ) -> DepartmentStatus {
        let chen = stage.user(User::Office).await.unwrap();
        let seen = stage.see(what, LONG, async || {
            let found = chen.get::<Department>(None, code).await?;
            let seen = found.metadata.generation;
            let status = found.status.unwrap_or_default();
            if status.observed_generation == seen && holds(&status) {
                Ok(status)
            } else {
                Err(format!("{status:#?}"))
            }
        });
        seen.await.unwrap()
    }

    /// The message of a condition that holds; empty when none does.
    pub fn said(status: &DepartmentStatus, type_: &str) -> String {
        let conditions = status.conditions.iter();
        conditions
            .filter(|condition| condition.type_ == type_ && condition.status == "True")
            .map(|condition| condition.message.as_str())
            .collect()
    }

    /// Waits until somebody may read the tenancies of an office, or may not.
    pub async fn reads(stage: &Stage, who: &Session, place: &str, may: bool) {
        let what = format!("{} who may read {place}: {may}", who.name());
        let look = ["get", "tenancies", "-n", place];
        let seen = stage.see(&what, LONG, async || {
            let ran = who.kubectl(&look, "").await;
            let ran = ran.map_err(|failure| format!("{failure:?}"))?;
            if ran.is_ok() == may {
                Ok(())
            } else {
                Err(format!("{ran:?}"))
            }
        });
        seen.await.unwrap();
    }

    /// What somebody is refused for want of a right.
    pub async fn forbidden(who: &Session, words: &[&str]) -> Ran {
        let ran = who.kubectl(words, "").await.unwrap();
        ran.refused("forbidden").unwrap()
    }
}
#[cfg(test)]
mod places;
#[cfg(test)]
mod rights;
