//! Calls that take no time of the runtime they are made on, for tests that play hours in a moment.
//!
//! Such a test runs on a runtime whose time is paused: whenever no task has anything to do, it jumps
//! to the next timer. SQLite works in a thread of its own, and a task that waits for a thread has
//! nothing to do: minutes would pass while a row is read, and every deadline with them, by chance.
//! A drilled store has no such moment. It carries each call out within one poll: the caller's thread
//! stands still until the database has answered, and so does the time that it plays. What the call
//! waits for, its deadline among it, belongs to another runtime, whose time runs.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::Handle;

use crate::StoreError;

/// Where a call stands when its gate is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Nothing was done yet.
    Before,
    /// Everything was done, and the caller has not heard of it.
    After,
}

/// How a call goes on at an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// As it would.
    Open,
    /// The caller hears nothing for ever, as if its process had died there.
    Closed,
    /// The caller hears that its deadline has passed ([`StoreError::Deadline`]), whatever was done.
    Late,
}

/// Asked at both edges of every call, with the name of what it does.
pub type Gate = dyn Fn(&'static str, Edge) -> Passage + Send + Sync;

/// How the calls of a drilled store are carried out.
#[derive(Clone)]
pub(crate) struct Drill {
    runtime: Handle,
    gate: Arc<Gate>,
}

impl fmt::Debug for Drill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drill").finish_non_exhaustive()
    }
}

impl Drill {
    pub(crate) fn new(runtime: Handle, gate: Arc<Gate>) -> Self {
        Self { runtime, gate }
    }

    /// One call, between the two edges.
    pub(crate) async fn carry_out<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = || StoreError::Deadline {
            operation,
            milliseconds: 0,
        };
        match (self.gate)(operation, Edge::Before) {
            Passage::Open => {}
            Passage::Closed => return std::future::pending().await,
            Passage::Late => return Err(late()),
        }
        let done = self.at_once(work);
        match (self.gate)(operation, Edge::After) {
            Passage::Open => done,
            Passage::Closed => {
                drop(done);
                std::future::pending().await
            }
            Passage::Late => Err(late()),
        }
    }

    /// Polls the work until it is done. The thread sleeps in between.
    fn at_once<T>(&self, work: impl Future<Output = T>) -> T {
        // the tasks and timers of the work belong to the runtime whose time runs
        let _entered = self.runtime.enter();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        // a task's budget makes it yield now and then, which is not possible here
        let mut work = pin!(tokio::task::unconstrained(work));
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return done;
            }
            thread::park();
        }
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
