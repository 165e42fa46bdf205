//! Where statements come from: the objects in the cluster that the caller may see, or the ledger. Both give the same
//! documents.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};
use leasehold_api::{
    charging::{Statement as StatementObject, StatementSpec},
    names,
};
use leasehold_controllers::period::reckon;
use leasehold_kit::{Kit, Readable};
use leasehold_ledger::{
    document::{PeriodCloseDoc, PeriodOpenDoc},
    statement::Statement,
    time::Second,
};
use leasehold_store::Store;

use crate::{cli::At, ledger, output, session::Session};

/// Which statements are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Of this period; of all without one.
    pub period: Option<&'a str>,
    /// Of this department; of all without one.
    pub department: Option<&'a str>,
}

impl Wanted<'_> {
    fn period_fits(&self, name: &str) -> bool {
        self.period.is_none_or(|wanted| wanted == name)
    }

    fn department_fits(&self, code: &str) -> bool {
        self.department.is_none_or(|wanted| wanted == code)
    }

    fn fits(&self, statement: &Statement) -> bool {
        self.period_fits(&statement.period.name) && self.department_fits(&statement.department.name)
    }
}

/// The statements that are wanted, by period and number. None at all is an error that says what to do.
pub fn statements(
    session: &Session,
    db: Option<&At>,
    wanted: Wanted<'_>,
) -> Result<Vec<Statement>> {
    let mut found = match db {
        Some(at) => {
            let store = ledger::open(session, at)?;
            let now = session.now();
            session.wait(Box::pin(of_ledger(&store, wanted, now)))?
        }
        None => of_cluster(session, wanted)?,
    };
    found.sort_by(|a, b| (a.period.start, &a.number).cmp(&(b.period.start, &b.number)));
    if found.is_empty() {
        let of = |what: &str, name: Option<&str>| {
            name.map(|name| format!(" of {what} {name}"))
                .unwrap_or_default()
        };
        bail!(
            "failed to find a statement{}{}; `leasehold statement` lists what there is",
            of("department", wanted.department),
            of("period", wanted.period)
        );
    }
    Ok(found)
}

/// The document that an object carries. What it says must be what its digest stands for, unless lines were left out.
pub fn document(spec: &StatementSpec) -> Result<Statement> {
    let value = serde_json::to_value(spec)
        .with_context(|| format!("failed to read statement {}", spec.number))?;
    let document: Statement = serde_json::from_value(value).with_context(|| {
        format!(
            "failed to understand statement {}; was it written by a newer version?",
            spec.number
        )
    })?;
    if document.more_lines == 0
        && let Some(digest) = &document.digest
    {
        let found = document.digest()?;
        if found != *digest {
            bail!(
                "failed to trust statement {}: its digest is {digest}, its content has {found}; read the ledger with \
                 --db FILE",
                document.number
            );
        }
    }
    Ok(document)
}

fn of_cluster(session: &Session, wanted: Wanted<'_>) -> Result<Vec<Statement>> {
    let place = place(session.common.namespace.as_deref(), wanted.department)?;
    let kit = session.kit()?;
    let found: Vec<StatementObject> = objects(session, &kit, place.as_deref(), "statements")?;
    let mut documents = Vec::new();
    for object in &found {
        let period = &object.spec.period.name;
        if wanted.period_fits(period) && wanted.department_fits(&object.spec.department.name) {
            documents.push(document(&object.spec)?);
        }
    }
    Ok(documents)
}

/// The namespace that is meant: the one that was named, or the department's office. Both must be the same.
pub fn place(namespace: Option<&str>, department: Option<&str>) -> Result<Option<String>> {
    let office = department.map(names::office_namespace);
    match (namespace, office) {
        (Some(named), Some(office)) if named != office => bail!(
            "failed to choose between namespace {named} and department {}, whose office is {office}; leave out -n or \
             --department",
            department.unwrap_or_default()
        ),
        (Some(named), _) => Ok(Some(named.to_owned())),
        (None, office) => Ok(office),
    }
}

/// The objects of a namespace; without one all of the cloud, and for somebody who may not list them, those of the
/// kubeconfig's own namespace. `what` is what people call them.
pub fn objects<K: Readable>(
    session: &Session,
    kit: &Kit,
    namespace: Option<&str>,
    what: &str,
) -> Result<Vec<K>> {
    if namespace.is_some() {
        return Ok(session.wait(kit.list(namespace, None))?);
    }
    let refused = match session.wait(kit.list(None, None)) {
        Err(error) if error.is_forbidden() => error,
        answer => return Ok(answer?),
    };
    let home = session.namespace(kit);
    match session.wait(kit.list(Some(&home), None)) {
        Ok(objects) => {
            output::remark(&format!(
                "only {what} in namespace {home} are read: no right to list all"
            ));
            Ok(objects)
        }
        Err(_) => Err(refused.into()),
    }
}

async fn of_ledger(store: &Store, wanted: Wanted<'_>, now: Second) -> Result<Vec<Statement>> {
    let written = store
        .documents::<Statement>(wanted.department, None)
        .await?;
    let mut found: Vec<Statement> = written
        .into_iter()
        .map(|recorded| recorded.value)
        .filter(|statement| wanted.fits(statement))
        .collect();
    found.extend(drafts(store, wanted, now).await?);
    Ok(found)
}

/// Drafts of the periods that are not closed, as they stand now.
async fn drafts(store: &Store, wanted: Wanted<'_>, now: Second) -> Result<Vec<Statement>> {
    let closed: BTreeSet<String> = store
        .documents::<PeriodCloseDoc>(None, None)
        .await?
        .into_iter()
        .map(|recorded| recorded.value.name)
        .collect();
    let mut open = store
        .documents::<PeriodOpenDoc>(wanted.period, None)
        .await?;
    open.retain(|recorded| !closed.contains(&recorded.value.period.name));
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let (head, _) = store.head().await?;
    let records = reckon::records(store, head).await?;
    let mut drafts = Vec::new();
    for recorded in open {
        let open = &recorded.value;
        let closing = reckon::reckon(open, &records, head, Some(now)).map_err(|why| {
            anyhow!(
                "failed to draw up the drafts of {}: {why}",
                open.period.name
            )
        })?;
        drafts.extend(
            closing
                .statements
                .into_iter()
                .filter(|statement| wanted.fits(statement)),
        );
    }
    Ok(drafts)
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use leasehold_ledger::{
        canonical::digest_bytes,
        document::DepartmentDoc,
        policy::Policy,
        statement::{State, StatementDepartment, StatementPeriod, Totals},
        time::{Period, PeriodKind, Zone},
    };
    use leasehold_planner::convert;
    use leasehold_store::{Batch, Record};
    use serde_json::json;

    use super::*;
    use crate::cli::Common;

    pub fn policy() -> Policy {
        convert::ledger_policy(&serde_json::from_value(json!({})).unwrap()).unwrap()
    }

    pub fn period(month: &str) -> Period {
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let at = Second::parse(&format!("{month}-05T00:00:00Z")).unwrap();
        Period::containing(PeriodKind::Month, &zone, at).unwrap()
    }

    /// A final statement without charges.
    pub fn statement(month: &str, department: &str) -> Statement {
        let mut statement = Statement {
            number: format!("LH-{month}-{department}"),
            state: State::Final,
            period: StatementPeriod::from(&period(month)),
            department: StatementDepartment {
                name: department.to_owned(),
                display_name: "市政府办".to_owned(),
            },
            payee: String::new(),
            currency: "CNY".to_owned(),
            lines: Vec::new(),
            more_lines: 0,
            credits: Vec::new(),
            gaps: Vec::new(),
            more_gaps: 0,
            totals: Totals::default(),
            as_of: None,
            policy: digest_bytes(b"policy"),
            chain: None,
            digest: None,
        };
        statement.digest = Some(statement.digest().unwrap());
        statement
    }

    fn object(statement: &Statement) -> StatementSpec {
        serde_json::from_value(serde_json::to_value(statement).unwrap()).unwrap()
    }

    #[test]
    fn an_object_gives_the_document_that_it_was_made_of() {
        let statement = statement("2026-09", "gov-office");
        assert_eq!(document(&object(&statement)).unwrap(), statement);
    }

    #[test]
    fn a_namespace_and_a_department_must_not_contradict_each_other() {
        let office = Some("dept-a".to_owned());
        assert_eq!(place(None, None).unwrap(), None);
        assert_eq!(place(Some("dept-a"), None).unwrap(), office);
        assert_eq!(place(None, Some("a")).unwrap(), office);
        assert_eq!(place(Some("dept-a"), Some("a")).unwrap(), office);
        let error = place(Some("dept-a"), Some("b")).unwrap_err().to_string();
        for part in ["namespace dept-a", "department b", "dept-b", "leave out -n"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }

    #[test]
    fn an_object_that_was_altered_is_not_trusted() {
        let mut spec = object(&statement("2026-09", "gov-office"));
        spec.totals.gross = "1.00".to_owned();
        let error = document(&spec).unwrap_err().to_string();
        assert!(
            error.contains("LH-2026-09-gov-office") && error.contains("--db"),
            "{error}"
        );
        // its digest is that of the whole document, which is not here
        spec.more_lines = 1;
        assert_eq!(document(&spec).unwrap().more_lines, 1);
    }

    #[test]
    fn the_ledger_gives_what_was_closed_and_a_draft_of_what_is_open() {
        let session = Session::new(Common::default()).unwrap();
        let store = session.wait(Store::in_memory()).unwrap();
        let at = Second::parse("2026-10-03T00:00:00Z").unwrap();
        let policy = policy();
        let open = |month: &str| PeriodOpenDoc {
            period: period(month),
            policy: policy.digest().unwrap(),
            at,
        };
        let closed = PeriodCloseDoc {
            name: "2026-09".to_owned(),
            fact_seq: 1,
            closed_by: "sun@finance".to_owned(),
            totals: Totals::default(),
            statements: BTreeMap::new(),
            gaps: None,
            chain: digest_bytes(b"head"),
            at,
        };
        let office = DepartmentDoc {
            code: "gov-office".to_owned(),
            display_name: "市政府办".to_owned(),
            budget_unit: None,
            parent: None,
            at,
        };
        let seen = leasehold_ledger::document::PolicyDoc {
            policy: policy.clone(),
            seen_at: at,
        };
        let records = vec![
            Record::document(&office).unwrap(),
            Record::document(&seen).unwrap(),
            Record::document(&open("2026-09")).unwrap(),
            Record::document(&closed).unwrap(),
            Record::document(&statement("2026-09", "gov-office")).unwrap(),
            Record::document(&statement("2026-09", "police")).unwrap(),
            Record::document(&open("2026-10")).unwrap(),
        ];
        session.wait(store.commit(&Batch::of(records), at)).unwrap();

        let found = |wanted| {
            let mut found = session.wait(of_ledger(&store, wanted, at)).unwrap();
            found.sort_by(|a, b| a.number.cmp(&b.number));
            found
                .into_iter()
                .map(|s| (s.number, s.state))
                .collect::<Vec<_>>()
        };
        let all = [
            ("LH-2026-09-gov-office".to_owned(), State::Final),
            ("LH-2026-09-police".to_owned(), State::Final),
            ("LH-2026-10-gov-office".to_owned(), State::Draft),
        ];
        assert_eq!(found(Wanted::default()), all);
        let september = Wanted {
            period: Some("2026-09"),
            department: Some("police"),
        };
        assert_eq!(found(september), all[1..2]);
        let nothing = Wanted {
            period: Some("2026-08"),
            department: None,
        };
        assert!(found(nothing).is_empty());
    }
}
