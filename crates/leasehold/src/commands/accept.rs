//! `leasehold accept`.

use std::{fmt::Write as _, io::Write};

use anyhow::{Result, bail};
use leasehold_api::tenancy::{Acceptance, AcceptanceState, AcceptanceStatus, Tenancy};
use leasehold_export::sheet::Sheet;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Outcome, cli::AcceptArgs, output, session::Session};

/// Accepts what is in place of a tenancy, or gives it back.
pub fn run(arguments: &AcceptArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let kit = session.kit()?;
    let namespace = session.namespace(&kit);
    let name = &arguments.name;
    let tenancy = super::tenancy(session, &kit, &namespace, name)?;
    let waiting = waiting(name, &tenancy, arguments.reject)?;
    let format = session.common.output;
    super::before_asking(&shown(waiting), format, arguments.yes, out)?;
    let question = if arguments.reject {
        format!(
            "Give request {} of {name} back? What runs in it is ended, and nothing starts until you accept it.",
            waiting.request
        )
    } else {
        format!("Accept {name}? It is billed from now on, which cannot be taken back.")
    };
    super::confirm(&question, arguments.yes)?;
    let (accepted, reason) = (!arguments.reject, arguments.reason.as_deref());
    let said = Acceptance {
        request: waiting.request,
        incarnation: tenancy
            .status
            .as_ref()
            .and_then(|status| status.incarnation),
        accepted,
        reason: reason.map(Into::into),
    };
    let told: Tenancy = session.wait(kit.merge_patch(Some(&namespace), name, &patch(&said)))?;
    refuse_unsaid(name, &said, told.spec.acceptance.as_ref())?;
    let verb = if accepted { "accepted" } else { "given back" };
    let sentence = format!(
        "{name}: request {} {verb}; `kubectl get tenancy {name} -n {namespace}` shows what comes of it",
        waiting.request
    );
    let done = Said {
        tenancy: name,
        namespace: &namespace,
        request: waiting.request,
        accepted,
        reason,
    };
    output::tell(&sentence, &done, &done.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// What was said.
#[derive(Serialize)]
struct Said<'a> {
    tenancy: &'a str,
    namespace: &'a str,
    request: u32,
    accepted: bool,
    reason: Option<&'a str>,
}

impl Said<'_> {
    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("tenancy", "租约"),
            output::text("namespace", "命名空间"),
            output::number("request", "申请号"),
            output::text("accepted", "验收通过"),
            output::text("reason", "理由"),
        ];
        let row = vec![
            self.tenancy.to_owned(),
            self.namespace.to_owned(),
            self.request.to_string(),
            self.accepted.to_string(),
            self.reason.unwrap_or_default().to_owned(),
        ];
        output::plain(columns, vec![row])
    }
}

/// What waits to be accepted, or to be given back.
fn waiting<'a>(name: &str, tenancy: &'a Tenancy, reject: bool) -> Result<&'a AcceptanceStatus> {
    let status = tenancy.status.as_ref();
    if super::release::begun(tenancy).is_some() && !reject {
        bail!(
            "failed to accept {name}: it is being released, and nothing of it is billed before it counts as accepted by \
             itself; with --reject you give it back, and nothing ever is"
        );
    }
    match status.and_then(|status| status.acceptance.as_ref()) {
        Some(found) if found.state != AcceptanceState::Accepted => Ok(found),
        Some(found) => bail!(
            "failed to accept {name}: request {} was accepted already, by {}; later changes are not accepted separately",
            found.request,
            found.by.as_deref().unwrap_or("somebody")
        ),
        None => bail!(
            "failed to accept {name}: nothing of it waits for that; its phase is {}. Only a first lease is accepted, once it \
             is in place, and only where the cloud policy bills from the acceptance",
            status.map_or_else(
                || "unknown".to_owned(),
                |status| format!("{:?}", status.phase)
            )
        ),
    }
}

/// What a person must read before accepting: what is in place, whatever was asked for after it.
fn shown(waiting: &AcceptanceStatus) -> String {
    let mut text = format!(
        "request {}, in place since {}:",
        waiting.request, waiting.delivered_at
    );
    for leased in &waiting.items {
        let _ = write!(text, "\n  {} {}", leased.item, leased.quantity);
    }
    if let Some(monthly) = &waiting.monthly {
        let currency = waiting.currency.as_deref().unwrap_or_default();
        let _ = write!(text, "\n{monthly} {currency} a month");
    }
    if let Some(until) = &waiting.until {
        let _ = write!(
            text,
            "\naccepted by itself from {until}, unless rejected before"
        );
    }
    if let (Some(by), Some(reason)) = (&waiting.by, &waiting.reason) {
        let _ = write!(text, "\ngiven back by {by}: {reason}");
    }
    text
}

fn patch(said: &Acceptance) -> Value {
    let Acceptance {
        request,
        incarnation,
        accepted,
        reason,
    } = said;
    // without a reason the one of an earlier rejection goes
    json!({"spec": {"acceptance": {
        "request": request, "incarnation": incarnation, "accepted": accepted, "reason": reason,
    }}})
}

fn refuse_unsaid(name: &str, said: &Acceptance, kept: Option<&Acceptance>) -> Result<()> {
    let of = |word: &Acceptance| (word.request, word.incarnation, word.accepted);
    match kept {
        Some(kept) if of(kept) == of(said) => Ok(()),
        Some(_) | None => bail!(
            "failed to accept {name}: the cluster did not keep spec.acceptance; are its definitions up to date?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Format, commands::fixture::oa};

    fn tenancy(status: &Value) -> Tenancy {
        Tenancy {
            status: Some(serde_json::from_value(status.clone()).unwrap()),
            ..oa()
        }
    }

    fn provisioned(acceptance: &Value) -> Tenancy {
        tenancy(&json!({"phase": "Provisioned", "acceptance": acceptance}))
    }

    /// A first request waits, and another one is asked for already.
    fn open() -> Tenancy {
        tenancy(&json!({
            "phase": "Provisioned",
            "request": {"number": 2, "digest": "sha256:2"},
            "approved": [{"item": "memory", "quantity": "128Gi"}],
            "quotation": {
                "monthly": "2176.00", "term": "26112.00", "creditMonthly": "0.00", "book": "b",
                "currency": "CNY",
            },
            "acceptance": {
                "request": 1, "state": "Open", "deliveredAt": "2026-09-01T10:00:00+08:00",
                "until": "2026-09-08T10:00:00+08:00", "monthly": "1088.00", "currency": "CNY",
                "items": [{"item": "memory", "quantity": "64Gi"}],
            },
        }))
    }

    #[test]
    fn a_person_reads_what_is_accepted_at_which_price_and_when_it_would_be_without_them() {
        let tenancy = open();
        let waiting = waiting("oa", &tenancy, false).unwrap();
        assert_eq!(
            shown(waiting),
            "request 1, in place since 2026-09-01T10:00:00+08:00:\n  memory 64Gi\n\
             1088.00 CNY a month\n\
             accepted by itself from 2026-09-08T10:00:00+08:00, unless rejected before"
        );
        let rejected = provisioned(&json!({
            "request": 2, "state": "Rejected", "deliveredAt": "2026-09-01T10:00:00+08:00",
            "by": "zhang@gov-office", "reason": "too slow",
        }));
        let text = shown(super::waiting("oa", &rejected, false).unwrap());
        assert!(
            text.ends_with("\ngiven back by zhang@gov-office: too slow"),
            "{text}"
        );
        assert!(!text.contains("by itself"), "{text}");
    }

    #[test]
    fn what_does_not_wait_is_not_accepted() {
        let refused = |tenancy: &Tenancy| waiting("oa", tenancy, false).unwrap_err().to_string();
        let active = refused(&tenancy(&json!({"phase": "Active"})));
        assert!(active.contains("nothing of it waits"), "{active}");
        assert!(active.contains("Active"), "{active}");
        let accepted = refused(&provisioned(&json!({
            "request": 1, "state": "Accepted", "deliveredAt": "2026-09-01T10:00:00+08:00",
            "by": "zhang@gov-office",
        })));
        assert!(
            accepted.contains("already, by zhang@gov-office"),
            "{accepted}"
        );
        let mut released = open();
        let release = json!({"reason": "retired"});
        released.spec.release = Some(serde_json::from_value(release).unwrap());
        assert!(refused(&released).contains("being released"));
        assert!(
            waiting("oa", &released, true).is_ok(),
            "given back, it is never billed"
        );
    }

    #[test]
    fn an_acceptance_names_its_request_and_its_life_and_takes_an_old_reason_away() {
        let said = |incarnation, accepted| Acceptance {
            request: 2,
            incarnation,
            accepted,
            reason: None,
        };
        let yes = said(Some(3), true);
        let expected = json!({"spec": {"acceptance": {
            "request": 2, "incarnation": 3, "accepted": true, "reason": null,
        }}});
        assert_eq!(patch(&yes), expected);
        let kept = |kept: Option<&Acceptance>| refuse_unsaid("oa", &yes, kept).is_ok();
        assert!(kept(Some(&yes)));
        assert!(!kept(Some(&said(Some(3), false))));
        assert!(!kept(Some(&said(None, true))), "of the first life");
        assert!(!kept(None));
    }

    #[test]
    fn programs_get_what_was_said_of_which_request() {
        let done = Said {
            tenancy: "oa",
            namespace: "dept-gov-office",
            request: 1,
            accepted: false,
            reason: Some("too slow"),
        };
        let told = |format| {
            let mut out = Vec::new();
            output::tell("said", &done, &done.sheet(), format, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let read: Value = serde_json::from_str(&told(Format::Json)).unwrap();
        let expected = json!({"tenancy": "oa", "namespace": "dept-gov-office", "request": 1,
            "accepted": false, "reason": "too slow"});
        assert_eq!(read, expected);
        assert_eq!(
            told(Format::Csv),
            "\u{feff}租约 tenancy,命名空间 namespace,申请号 request,验收通过 accepted,理由 reason\n\
             oa,dept-gov-office,1,false,too slow\n"
        );
    }
}
