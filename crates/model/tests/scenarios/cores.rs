//! Many runs on all cores. Each has a thread of its own, and its own runtime on it.

use std::{
    any::Any,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// After so many failures nobody reads on.
const ENOUGH: usize = 3;
/// Futures of a build without optimisation are large.
const STACK: usize = 16 << 20;

/// Runs every job; gives the first failures, panics among them.
pub fn on_all_cores<J: Sync>(
    jobs: &[J],
    run: impl Fn(&J) -> Result<(), String> + Sync,
) -> Vec<String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while failures.lock().unwrap().len() < ENOUGH {
            let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            let ended = catch_unwind(AssertUnwindSafe(|| run(job)));
            if let Err(why) = ended.unwrap_or_else(|panic| Err(told(&*panic))) {
                failures.lock().unwrap().push(why);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let thread = thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, work).unwrap();
        }
    });
    failures.into_inner().unwrap()
}

fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("for no reason"))
}
