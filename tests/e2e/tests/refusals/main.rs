//! What is refused, by which rule, and by whom: through the real API server, as the people concerned.

#[cfg(test)]
mod departments;
#[cfg(test)]
mod files;
#[cfg(test)]
mod hardware;
#[cfg(test)]
mod openings {
    //! How each of these stories begins, and that some of them end before anybody was asked.

    use leasehold_api::charging::Approval;
    use leasehold_e2e::{Office, Stage};
    use leasehold_testkit::User;

    /// A department at work.
    pub async fn open(code: &str, name: &str) -> Office {
        Stage::shared()
            .await
            .unwrap()
            .office(code, name)
            .await
            .unwrap()
    }

    /// No approval was ever written for the department.
    pub async fn nobody_was_asked(office: &Office) {
        let auditor = office.stage.user(User::Auditor).await.unwrap();
        let approvals = auditor.list::<Approval>(Some(&office.place)).await.unwrap();
        assert!(approvals.is_empty(), "{approvals:?}");
    }
}
