//! How old departments are, for rules in which the older comes first (D04).
//!
//! The object says when it was made, and is made anew with the definitions of the kinds. So the ledger remembers since when
//! a department is known, until it ends by the office's word: whoever is there under its code after that is a younger one.

use std::collections::BTreeMap;

use kube::ResourceExt;
use leasehold_api::tenancy::{Department, DepartmentPhase};
use leasehold_ledger::{
    document::{DepartmentDoc, DepartmentLifeDoc, LifeStage},
    time::Second,
};
use leasehold_planner::domains::{self, Granted};

use crate::{Context, Error};

/// Records that the department is known, or that it has ended, unless the ledger has it by now. The end is recorded before
/// anybody can read of it, and delete the object.
pub async fn remember(
    object: &Department,
    phase: DepartmentPhase,
    context: &Context,
    now: Second,
) -> Result<(), Error> {
    let code = object.name_any();
    let all = lives(&code, context).await?;
    let next = match (phase, DepartmentLifeDoc::going_on(&all)) {
        (DepartmentPhase::Ended, Some(begun)) => DepartmentLifeDoc {
            stage: LifeStage::Ended,
            at: now,
            ..begun.clone()
        },
        (DepartmentPhase::Active | DepartmentPhase::Ending, None) => DepartmentLifeDoc {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            stage: LifeStage::Begun,
            since: since(object, &all, context).await?.unwrap_or(now),
            at: now,
            code,
        },
        (DepartmentPhase::Ended, None)
        | (DepartmentPhase::Active | DepartmentPhase::Ending, Some(_)) => return Ok(()),
    };
    context.books.ensure(&next, now).await?;
    Ok(())
}

/// Which of its domains the department has, among all departments.
pub async fn granted(department: &Department, context: &Context) -> Result<Granted, Error> {
    let departments = &context.world.departments;
    let rivals = departments.select(|other| domains::meet(department, other));
    let mut known = BTreeMap::new();
    if !rivals.is_empty() {
        for one in rivals.iter().chain([department]) {
            let code = one.name_any();
            let all = lives(&code, context).await?;
            if let Some(since) = since(one, &all, context).await? {
                known.insert(code, since);
            }
        }
    }
    Ok(domains::granted(department, &rivals, &known))
}

async fn lives(code: &str, context: &Context) -> Result<Vec<DepartmentLifeDoc>, Error> {
    let store = context.books.store();
    let all = store
        .documents::<DepartmentLifeDoc>(Some(code), None)
        .await?;
    Ok(all.into_iter().map(|recorded| recorded.value).collect())
}

/// Since when the department is known: by its life, as far as that is recorded, or by its object. A ledger from before
/// lives were recorded has the department's names all the same.
async fn since(
    object: &Department,
    lives: &[DepartmentLifeDoc],
    context: &Context,
) -> Result<Option<Second>, Error> {
    let made = object.metadata.creation_timestamp.as_ref();
    let made = made.map(|made| Second::from_timestamp(made.0));
    let recorded = if lives.is_empty() {
        let code = object.name_any();
        let store = context.books.store();
        let all = store.documents::<DepartmentDoc>(Some(&code), None).await?;
        all.first().map(|first| first.value.at)
    } else {
        DepartmentLifeDoc::going_on(lives).map(|life| life.since)
    };
    Ok(made.into_iter().chain(recorded).min())
}
