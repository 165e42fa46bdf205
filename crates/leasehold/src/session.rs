//! What a command works with: the runtime, and the way to the cluster when it needs one.

use std::time::Duration;

use anyhow::{Context, Result};
use leasehold_kit::{Clock, ConnectOptions, Kit, SystemClock, connect};
use leasehold_ledger::time::Second;
use tokio::runtime::{Builder, Runtime};

use crate::cli::Common;

/// The name under which what people write through this program is recorded.
const FIELD_MANAGER: &str = "leasehold-cli";

/// What is still running when a command has ended gets this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a command works with.
pub struct Session {
    /// Options of every command.
    pub common: Common,
    runtime: Runtime,
}

impl Session {
    /// A session with a runtime of its own. Connects to nothing.
    pub fn new(common: Common) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("failed to start the runtime; are there too many processes?")?;
        Ok(Self { common, runtime })
    }

    /// Waits for a future.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The way to the cluster, with the caller's own rights.
    pub fn kit(&self) -> Result<Kit> {
        Ok(self
            .wait(Box::pin(connect(options(&self.common))))?
            .with_field_manager(FIELD_MANAGER))
    }

    /// The namespace that is meant: the one named, else that of the kubeconfig's context.
    pub fn namespace(&self, kit: &Kit) -> String {
        self.common
            .namespace
            .clone()
            .unwrap_or_else(|| kit.client().default_namespace().to_owned())
    }

    /// Now, by this machine's clock: for drafts and for what is shown as so far, never for money that is closed.
    pub fn now(&self) -> Second {
        Second::from_timestamp(self.wait(async { SystemClock::new().now() }))
    }

    /// Ends the session without waiting for what hangs.
    pub fn end(self) {
        self.runtime.shutdown_timeout(LAST_WORDS);
    }
}

/// How to connect with these options.
pub fn options(common: &Common) -> ConnectOptions {
    ConnectOptions {
        kubeconfig: common.kubeconfig.clone(),
        context: common.context.clone(),
        user_agent: concat!("leasehold/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..ConnectOptions::default()
    }
}
