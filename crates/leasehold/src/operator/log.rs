//! The log: to standard error, for a collector or for people.

use std::io::{self, IsTerminal as _};

use anyhow::{Context, Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Begins to log what the filter lets through.
pub(super) fn start(format: LogFormat, filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!("failed to read the log filter {filter:?}; write one as info or leasehold=debug")
    })?;
    let log = tracing_subscriber::fmt()
        // a line that cannot be written, as on a full disk, is lost; complaining of that to the same place would panic
        .log_internal_errors(false)
        .with_env_filter(filter)
        // colours are for eyes: a file or a collector would keep their codes
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let started = match format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log.try_init(),
    };
    started.map_err(|error| anyhow!("failed to start the log: {error}"))
}
