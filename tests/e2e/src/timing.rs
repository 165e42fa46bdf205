//! What is told and not judged: how long something took on a real API server. Bounds are held where time is played
//! (`crates/model`); here the machine has its say.

use std::{
    io::{Write as _, stderr},
    time::Instant,
};

/// Since when something is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    began: Instant,
}

impl Timing {
    /// From now on.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Tells how long it took until now, to a tenth of a second: that often is looked, and the program that asks for it
    /// takes its time as well.
    pub fn tell(self, what: &str) {
        let told = format!("{what}: {:.1?}\n", self.began.elapsed());
        // nobody has to listen
        drop(stderr().write_all(told.as_bytes()));
    }
}
