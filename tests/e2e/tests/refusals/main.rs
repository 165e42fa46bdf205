//! What is refused, by which rule, and by whom: through the real API server, as the people concerned.

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod departments;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod files;
#[cfg(test)]
mod hardware;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod openings {
    //! How each of these stories begins, and that some of them end before anybody was asked.

    use leasehold_api::charging::Approval;
    use leasehold_e2e::{Office, Stage};
    use leasehold_testkit::User;
    use serde_json::json;
    use tokio::sync::OnceCell;

    static PLATFORM: OnceCell<Result<(), String>> = OnceCell::const_new();

    /// The platform of the examples, under a policy that gives no credit against charges of networks.
    pub async fn stage() -> &'static Stage {
        let stage = Stage::bare().await.unwrap();
        let furnished = PLATFORM.get_or_init(|| async {
            let mut policy = Stage::policy().map_err(|failure| format!("{failure:?}"))?;
            policy["spec"]["offset"]["classes"] = json!(["compute", "storage", "backup"]);
            let furnished = stage.furnish(&policy).await;
            furnished.map_err(|failure| format!("{failure:?}"))
        });
        furnished.await.clone().unwrap();
        stage
    }

    /// A department at work.
    pub async fn open(code: &str, name: &str) -> Office {
        stage().await.office(code, name).await.unwrap()
    }

    /// No approval was ever written for the department.
    pub async fn nobody_was_asked(office: &Office) {
        let auditor = office.stage.user(User::Auditor).await.unwrap();
        let approvals = auditor.list::<Approval>(Some(&office.place)).await.unwrap();
        assert!(approvals.is_empty(), "{approvals:?}");
    }
}
#[cfg(test)]
mod prices;
