//! Departments above and below one: who oversees it, what is wrong with its place, and whom a change of it concerns.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use futures::stream::BoxStream;
use kube::ResourceExt;
use leasehold_api::tenancy::{Administrator, Department, Leased};
use leasehold_kit::cache::{Cache, Changed};
use leasehold_planner::{
    hierarchy::{Line, check_level},
    objects::Kin,
};

use crate::{
    Context, World,
    verdict::Verdict,
    wake::{self, Ref},
};

/// What the departments above and below go by in a department.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    generation: Option<i64>,
    parent: Option<String>,
    leased: Option<Leased>,
}

impl Known {
    fn of(department: &Department) -> Self {
        let status = department.status.as_ref();
        Self {
            generation: department.metadata.generation,
            parent: department.spec.parent.as_ref().map(ToString::to_string),
            leased: status.and_then(|status| status.leased.clone()),
        }
    }

    /// Whether somebody wrote the department, or it appeared.
    fn was_written(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| {
            (before.generation, &before.parent) != (self.generation, &self.parent)
        })
    }
}

/// Departments whom a change of another one concerns. What people write concerns everything below, for its rights, and
/// everything above, now and before, for its sums; what is leased concerns those above. Nothing else in a status does.
pub fn changes(world: &World) -> BoxStream<'static, Ref<Department>> {
    let (departments, tree) = (world.departments.clone(), world.tree.clone());
    let known = Mutex::new(all(&departments));
    wake::named(
        &world.departments,
        world.departments.changes(),
        move |changed: &Changed| {
            let name = changed.name.as_str();
            let now = departments.look(None, name, Known::of);
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let before = match &now {
                Some(now) => known.insert(name.to_owned(), now.clone()),
                None => known.remove(name),
            };
            drop(known);
            let written = match &now {
                Some(now) => now.was_written(before.as_ref()),
                None => before.is_some(),
            };
            let hierarchy = tree.now();
            let concerned: Vec<&str> = if written {
                let above = before.as_ref().and_then(|before| before.parent.as_deref());
                hierarchy.concerned(name, above).into_iter().collect()
            } else if now.map(|now| now.leased) != before.map(|before| before.leased) {
                hierarchy.line(name).above
            } else {
                Vec::new()
            };
            concerned.into_iter().map(Ref::<Department>::new).collect()
        },
    )
}

fn all(departments: &Cache<Department>) -> BTreeMap<String, Known> {
    let all = departments.each(|department| (department.name_any(), Known::of(department)));
    all.into_iter().collect()
}

/// Who oversees the department and what is directly below it. What is wrong with its place goes into the verdict; office
/// and leases do not depend on it.
pub fn observe(department: &Department, context: &Context, verdict: &mut Verdict) -> Kin {
    let code = department.name_any();
    let hierarchy = context.world.tree.with(department);
    let line = hierarchy.line(&code);
    if let Some(refusal) = line.refusal(&code) {
        verdict.refuse(refusal.to_string());
    }
    if let Some(note) = line.note(&code) {
        verdict.note(note);
    }
    let departments = &context.world.departments;
    let level_of = |code: &str| departments.look(None, code, |found| found.spec.level);
    let level = department.spec.level;
    if let Some(parent) = &department.spec.parent
        && let Some(above) = level_of(parent.as_str())
        && let Err(refusal) = check_level((code.as_str(), level), (parent.as_str(), above))
    {
        verdict.refuse(refusal.to_string());
    }
    Kin {
        overseers: overseers(&line, department, departments),
        below: hierarchy.below(&code).map(str::to_owned).collect(),
    }
}

fn overseers(
    line: &Line<'_>,
    department: &Department,
    departments: &Cache<Department>,
) -> Vec<Administrator> {
    let level_of = |code: &str| departments.look(None, code, |found| found.spec.level);
    let above = line.overseers(department.spec.level, level_of);
    let administrators = above
        .into_iter()
        .filter_map(|code| departments.look(None, code, |found| found.spec.administrators.clone()));
    administrators.flatten().collect()
}
