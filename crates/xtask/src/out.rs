//! The terminal.

use std::fmt::Display;
use std::io::{self, Stdout, Write};

/// Where a task writes for people. Each line is flushed, so that it stands in order with what child
/// processes print.
pub struct Out {
    stdout: Stdout,
}

impl Out {
    /// The standard output.
    pub fn stdout() -> Self {
        Self {
            stdout: io::stdout(),
        }
    }

    /// Writes one line.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.stdout, "{text}")?;
        self.stdout.flush()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdout.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}
