//! Statements as objects in the departments' office namespaces: projections of the ledger.

use std::collections::BTreeSet;

use leasehold_api::{
    charging::{Statement as Object, StatementState},
    names,
};
use leasehold_kit::EventType;
use leasehold_ledger::{
    document::PeriodCloseDoc,
    statement::{Chain, State, Statement},
    time::Second,
};
use leasehold_planner::convert::statement_spec;
use leasehold_store::{Recorded, Store};

use super::calendar::Calendar;
use crate::{Context, Error};

/// The object of a statement.
pub fn object(statement: &Statement) -> Result<Object, Error> {
    let spec = statement_spec(statement)
        .map_err(|error| Error::understand(format!("statement {}", statement.number), error))?;
    let mut object = Object::new(&statement.period.name, spec);
    let department = &statement.department.name;
    object.metadata.namespace = Some(names::office_namespace(department));
    object.metadata.labels = Some(
        [
            (
                names::MANAGED_LABEL.to_owned(),
                names::MANAGED_VALUE.to_owned(),
            ),
            (names::DEPARTMENT_LABEL.to_owned(), department.clone()),
        ]
        .into(),
    );
    Ok(object)
}

/// Whether a draft may take the place of the object that is there: never of a final one, and of a draft only when that
/// is so many seconds old.
pub fn may_replace(current: Option<&Object>, now: Second, age: i64) -> bool {
    let Some(current) = current else { return true };
    if current.spec.state == StatementState::Final {
        return false;
    }
    let as_of = current
        .spec
        .as_of
        .as_ref()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    // a draft as of later than now is of a clock that was set back since
    as_of.is_none_or(|as_of| !(0..age).contains(&now.since(Second::from_timestamp(as_of))))
}

/// Where the chain stood after a close: at the last of the rows that were written with it.
pub async fn chain_after(store: &Store, close: &Recorded<PeriodCloseDoc>) -> Result<Chain, Error> {
    let name = &close.value.name;
    let mut last = (close.seq, close.hash.clone());
    for department in close.value.statements.keys() {
        if let Some(found) = store
            .document::<Statement>(&format!("{name}/{department}"))
            .await?
            && found.seq > last.0
        {
            last = (found.seq, found.hash);
        }
    }
    for entry in store.entries(None).await? {
        if entry.value.period.as_ref() == Some(name) && entry.seq > last.0 {
            last = (entry.seq, entry.hash);
        }
    }
    Ok(Chain {
        head: last.1,
        entry: last.0,
    })
}

/// Writes drafts; a department whose draft cannot be written does not keep the others from theirs. Tells whether all of
/// them could be written.
pub async fn write_drafts(context: &Context, drafts: &[Statement], now: Second, age: i64) -> bool {
    let mut all = true;
    for draft in drafts {
        if let Err(error) = write_draft(context, draft, now, age).await {
            tell(&error, &draft.number);
            all = false;
        }
    }
    all
}

async fn write_draft(
    context: &Context,
    draft: &Statement,
    now: Second,
    age: i64,
) -> Result<(), Error> {
    let desired = object(draft)?;
    let current = current(context, &desired);
    if may_replace(current.as_ref(), now, age) {
        context
            .kit
            .apply_if_changed(&desired, current.as_ref())
            .await?;
    }
    Ok(())
}

/// Departments whose final statement is not as the ledger has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanting {
    /// It could not be written.
    pub missing: BTreeSet<String>,
    /// It is final and says something else. Rule C02 refuses every change of it, so it is reported, not mended.
    pub altered: BTreeSet<String>,
}

/// What is to be done about a final statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Write,
    Report,
}

/// Compares the whole object with the projection of the ledger.
fn need(there: Option<&Object>, desired: &Object) -> Need {
    match there {
        Some(there) if there.spec == desired.spec => Need::Nothing,
        Some(there) if there.spec.state == StatementState::Final => Need::Report,
        Some(_) | None => Need::Write,
    }
}

/// Writes the final statements of a closed period; gives the departments whose statement is not there or differs.
pub async fn write_finals(
    context: &Context,
    close: &Recorded<PeriodCloseDoc>,
    chain: &Chain,
) -> Result<Wanting, Error> {
    let store = context.books.store();
    let mut wanting = Wanting::default();
    for department in close.value.statements.keys() {
        let name = &close.value.name;
        let key = format!("{name}/{department}");
        let Some(found) = store.document::<Statement>(&key).await? else {
            let what = format!("the close of {name}");
            return Err(Error::understand(
                what,
                format!("statement {key} is not in the ledger"),
            ));
        };
        let statement = Statement {
            chain: Some(chain.clone()),
            state: State::Final,
            ..found.value
        };
        match write_final(context, &statement).await {
            Ok(Need::Nothing | Need::Write) => {}
            Ok(Need::Report) => {
                wanting.altered.insert(department.clone());
            }
            Err(error) => {
                tell(&error, &statement.number);
                wanting.missing.insert(department.clone());
            }
        }
    }
    Ok(wanting)
}

/// Does what the statement needs, and tells what that was.
async fn write_final(context: &Context, statement: &Statement) -> Result<Need, Error> {
    let desired = object(statement)?;
    let there = current(context, &desired);
    let need = need(there.as_ref(), &desired);
    match (need, &there) {
        (Need::Write, _) => {
            context.kit.apply(&desired).await?;
        }
        (Need::Report, Some(there)) => report(context, there, &statement.number).await,
        (Need::Nothing, _) | (Need::Report, None) => {}
    }
    Ok(need)
}

/// Says that a final statement differs from the ledger.
async fn report(context: &Context, there: &Object, number: &str) {
    tracing::error!(
        number,
        namespace = there.metadata.namespace,
        "a final statement differs from the ledger; the ledger counts"
    );
    let note = format!(
        "final statement {number} differs from the ledger; the ledger counts, and the platform finds out who wrote this object"
    );
    context
        .kit
        .event(there, EventType::Warning, "Altered", "Compare", &note)
        .await;
}

/// Removes statements of periods whose objects are no longer kept. The ledger keeps them.
pub async fn prune(context: &Context, calendar: &Calendar) {
    let kept: BTreeSet<&str> = calendar
        .kept()
        .map(|open| open.period.name.as_str())
        .collect();
    let old: BTreeSet<&str> = calendar
        .opened
        .iter()
        .map(|open| open.period.name.as_str())
        .filter(|name| !kept.contains(name))
        .collect();
    let surplus = context
        .world
        .statements
        .select(|object| old.contains(object.spec.period.name.as_str()));
    for object in surplus {
        let meta = &object.metadata;
        let (Some(namespace), Some(name), Some(uid)) = (&meta.namespace, &meta.name, &meta.uid)
        else {
            continue;
        };
        if let Err(error) = context
            .kit
            .delete::<Object>(Some(namespace), name, uid)
            .await
        {
            tell(&error.into(), &object.spec.number);
        }
    }
}

fn current(context: &Context, desired: &Object) -> Option<Object> {
    let meta = &desired.metadata;
    context
        .world
        .statements
        .get(meta.namespace.as_deref(), meta.name.as_deref()?)
}

fn tell(error: &Error, number: &str) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(
        number,
        error,
        "failed to write a statement; tried again later"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_ledger::{
        canonical::digest_bytes,
        statement::{StatementDepartment, StatementPeriod, Totals},
        time::{Period, PeriodKind, Zone},
    };

    /// 2026-09-01 00:00 in Shanghai.
    const SEPTEMBER: i64 = 1_788_192_000;

    fn statement(state: State, as_of: Option<&str>) -> Statement {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let period = Period::containing(PeriodKind::Month, &zone, Second::new(SEPTEMBER)).unwrap();
        Statement {
            number: "HS-2026-09-gov-office".to_owned(),
            state,
            period: StatementPeriod::from(&period),
            department: StatementDepartment {
                name: "gov-office".to_owned(),
                display_name: "市政府办".to_owned(),
            },
            payee: String::new(),
            currency: "CNY".to_owned(),
            more_lines: 0,
            lines: Vec::new(),
            credits: Vec::new(),
            gaps: Vec::new(),
            more_gaps: 0,
            totals: Totals::default(),
            as_of: as_of.map(str::to_owned),
            policy: digest_bytes(b"policy"),
            chain: None,
            digest: None,
        }
    }

    #[test]
    fn a_statement_lies_in_the_office_namespace_under_the_periods_name() {
        let object = object(&statement(State::Draft, None)).unwrap();
        assert_eq!(
            object.metadata.namespace.as_deref(),
            Some("dept-gov-office")
        );
        assert_eq!(object.metadata.name.as_deref(), Some("2026-09"));
    }

    #[test]
    fn a_draft_replaces_an_old_draft_but_never_a_final_statement() {
        let now = Second::new(SEPTEMBER + 3600);
        let of = |state, as_of| object(&statement(state, as_of)).unwrap();
        assert!(may_replace(None, now, 3600));
        let hour_old = of(State::Draft, Some("2026-09-01T00:00:00+08:00"));
        assert!(may_replace(Some(&hour_old), now, 3600));
        let younger = of(State::Draft, Some("2026-09-01T00:00:01+08:00"));
        assert!(!may_replace(Some(&younger), now, 3600));
        assert!(!may_replace(Some(&of(State::Final, None)), now, 0));
    }

    #[test]
    fn a_final_statement_is_compared_as_a_whole() {
        let desired = object(&statement(State::Final, None)).unwrap();
        assert_eq!(need(None, &desired), Need::Write);
        let draft = object(&statement(State::Draft, None)).unwrap();
        assert_eq!(need(Some(&draft), &desired), Need::Write);
        assert_eq!(need(Some(&desired), &desired), Need::Nothing);
        let mut edited = desired.clone();
        // state and digest stay, only an amount is another
        edited.spec.totals.net = "1.00".to_owned();
        assert_eq!(need(Some(&edited), &desired), Need::Report);
    }
}
