//! `leasehold renew`.

use std::io::Write;

use anyhow::{Result, bail};
use leasehold_api::tenancy::Tenancy;
use leasehold_export::sheet::Sheet;
use leasehold_ledger::time::LocalDate;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Outcome, cli::RenewArgs, output, session::Session};

/// Asks for a later last day of a term.
pub fn run(arguments: &RenewArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let tenancy = super::tenancy(session, &kit, &namespace, name)?;
    let through = arguments.through;
    refuse_unrenewable(name, &tenancy, through)?;
    let term = &tenancy.spec.term;
    let format = session.common.output;
    let text = format!(
        "{name}: the term is {} through {}; asked for is {} through {through}, at the prices of those days",
        term.from, term.through, term.from
    );
    super::before_asking(&text, format, arguments.yes, out)?;
    super::confirm(&format!("Ask for {name} through {through}?"), arguments.yes)?;
    let patch = patch(&tenancy, through);
    let asked: Tenancy = session.wait(kit.merge_patch(Some(&namespace), name, &patch))?;
    let sentence = format!(
        "{name}: asked for through {through}; `kubectl get tenancy {name} -n {namespace}` shows who decides and what it costs"
    );
    let done = Asked {
        tenancy: name,
        namespace: &namespace,
        from: asked.spec.term.from.as_str(),
        through: asked.spec.term.through.as_str(),
    };
    output::tell(&sentence, &done, &done.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// What was asked for.
#[derive(Serialize)]
struct Asked<'a> {
    tenancy: &'a str,
    namespace: &'a str,
    from: &'a str,
    through: &'a str,
}

impl Asked<'_> {
    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("tenancy", "租约"),
            output::text("namespace", "命名空间"),
            output::text("from", "开始日"),
            output::text("through", "结束日"),
        ];
        let row = [self.tenancy, self.namespace, self.from, self.through];
        output::plain(columns, vec![Vec::from(row.map(str::to_owned))])
    }
}

/// The new last day, for the object that was shown and as it was shown.
fn patch(tenancy: &Tenancy, through: LocalDate) -> Value {
    json!({
        "metadata": {"resourceVersion": tenancy.metadata.resource_version},
        "spec": {"term": {"through": through}},
    })
}

fn refuse_unrenewable(name: &str, tenancy: &Tenancy, through: LocalDate) -> Result<()> {
    if super::release::begun(tenancy).is_some() {
        bail!(
            "failed to renew {name}: its release was asked for; unless the office rejects that and you take it back, lease \
             anew once it is Released"
        );
    }
    let standing = tenancy.spec.term.through.as_str();
    if !LocalDate::parse(standing).is_ok_and(|last| last >= through) {
        return Ok(());
    }
    bail!(
        "failed to renew {name} through {through}: spec.term.through is {standing} already; name a later day, or change \
         the manifest to end earlier"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::fixture::oa;

    fn tenancy() -> Tenancy {
        let mut tenancy = oa();
        tenancy.metadata.resource_version = Some("7".to_owned());
        tenancy
    }

    fn day(text: &str) -> LocalDate {
        LocalDate::parse(text).unwrap()
    }

    #[test]
    fn a_renewal_is_a_later_last_day_of_what_was_shown_and_nothing_else() {
        let expected = json!({
            "metadata": {"resourceVersion": "7"},
            "spec": {"term": {"through": "2028-08-31"}},
        });
        assert_eq!(patch(&tenancy(), day("2028-08-31")), expected);
    }

    #[test]
    fn only_a_later_day_renews_and_only_what_is_not_given_back() {
        let mut tenancy = tenancy();
        assert!(refuse_unrenewable("oa", &tenancy, day("2027-09-01")).is_ok());
        for early in ["2027-08-31", "2027-01-01"] {
            let error = refuse_unrenewable("oa", &tenancy, day(early)).unwrap_err();
            assert!(error.to_string().contains("2027-08-31 already"), "{error}");
        }
        tenancy.spec.release = Some(leasehold_api::tenancy::Release {
            reason: "system retired".into(),
            backup: None,
        });
        let error = refuse_unrenewable("oa", &tenancy, day("2028-08-31")).unwrap_err();
        assert!(error.to_string().contains("lease anew"), "{error}");
        // one that lacks what the policy requires has not begun
        tenancy.status = Some(leasehold_api::tenancy::TenancyStatus {
            release_decision: Some("Incomplete".to_owned()),
            ..leasehold_api::tenancy::TenancyStatus::default()
        });
        assert!(refuse_unrenewable("oa", &tenancy, day("2028-08-31")).is_ok());
    }

    #[test]
    fn programs_get_the_whole_term_that_is_asked_for() {
        let done = Asked {
            tenancy: "oa",
            namespace: "dept-gov-office",
            from: "2026-09-01",
            through: "2028-08-31",
        };
        let expected = json!({"tenancy": "oa", "namespace": "dept-gov-office",
            "from": "2026-09-01", "through": "2028-08-31"});
        assert_eq!(serde_json::to_value(&done).unwrap(), expected);
    }
}
