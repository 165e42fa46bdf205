//! Departments as a tree, built once and shared by whoever asks.
//!
//! It is built anew only after somebody wrote a department. Reports in a status, of which there are thousands when
//! leases move, leave it as it is.

use std::sync::{Arc, Mutex, PoisonError};

use futures::{FutureExt, StreamExt, stream::BoxStream};
use kube::ResourceExt;
use leasehold_api::tenancy::Department;
use leasehold_kit::cache::{Cache, Changed, written};
use leasehold_planner::hierarchy::Hierarchy;
use tokio::task::coop::unconstrained;

/// The tree of departments, as last seen. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Tree(Arc<Inner>);

struct Inner {
    departments: Cache<Department>,
    kept: Mutex<Kept>,
}

/// A tree and what has changed since it was built.
struct Kept {
    hierarchy: Arc<Hierarchy>,
    /// Departments that were counted when it was built: one that went while nobody watched is told by nothing else.
    counted: usize,
    news: BoxStream<'static, Option<Arc<Changed>>>,
}

impl Tree {
    /// The tree of the departments in a cache.
    pub fn over(departments: &Cache<Department>) -> Self {
        let kept = Kept {
            hierarchy: Arc::default(),
            counted: 0,
            news: written(departments.changes()).boxed(),
        };
        Self(Arc::new(Inner {
            departments: departments.clone(),
            kept: Mutex::new(kept),
        }))
    }

    /// The tree by now.
    pub fn now(&self) -> Arc<Hierarchy> {
        let Inner { departments, kept } = self.0.as_ref();
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = false;
        // without regard to whose turn it is: what is not read now would be read too late
        while let Some(Some(_)) = unconstrained(kept.news.next()).now_or_never() {
            news = true;
        }
        // counted before they are read: one that comes in between is read again
        let counted = departments.count();
        if news || counted != kept.counted {
            let links = departments.each(|department| {
                let parent = department.spec.parent.as_ref();
                (department.name_any(), parent.map(ToString::to_string))
            });
            kept.hierarchy = Arc::new(Hierarchy::new(links));
            kept.counted = counted;
        }
        Arc::clone(&kept.hierarchy)
    }

    /// The tree by now, with this department where it says itself that it is: its controller may see a change of it
    /// before the cache does.
    pub fn with(&self, department: &Department) -> Arc<Hierarchy> {
        let (now, code) = (self.now(), department.name_any());
        let parent = department.spec.parent.as_deref();
        if now.has(&code) && now.parent(&code) == parent {
            return now;
        }
        Arc::new(now.with(&code, parent))
    }
}
