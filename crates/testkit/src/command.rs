//! Running programs: kubectl, Helm, and leasehold's own command line.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;

use crate::Failure;

/// How long a command may take: as long as the slowest export on a busy machine.
const BOUND: Duration = Duration::from_mins(3);

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command line.
    pub command: String,
    /// The exit code; none when it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that: errors, warnings.
    pub stderr: String,
}

impl Ran {
    /// Whether it ended with 0.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Itself, if it ended with 0.
    pub fn ok(self) -> Result<Self, Failure> {
        if self.is_ok() {
            Ok(self)
        } else {
            Err(self.unexpected("it should succeed"))
        }
    }

    /// Whether a command ran and ended with 0, as [`eventually`](crate::eventually) asks; if not, what it said.
    pub fn succeeded(ran: Result<Self, Failure>) -> Result<(), String> {
        let done = ran.and_then(Self::ok);
        done.map(drop).map_err(|failure| format!("{failure:?}"))
    }

    /// Itself, if it failed and said `reason`, in whatever lines.
    pub fn refused(self, reason: &str) -> Result<Self, Failure> {
        if !self.is_ok() && self.stderr.contains(reason) {
            Ok(self)
        } else {
            Err(self.unexpected(&format!("it should be refused with {reason:?}")))
        }
    }

    /// Itself, if it ended with this code.
    pub fn with_code(self, code: i32) -> Result<Self, Failure> {
        if self.code == Some(code) {
            Ok(self)
        } else {
            Err(self.unexpected(&format!("it should end with {code}")))
        }
    }

    /// What it printed, as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.stdout)
            .map_err(Failure::json(format!("what `{}` printed", self.command)))
    }

    fn unexpected(self, expected: &str) -> Failure {
        Failure::Command {
            expected: expected.to_owned(),
            command: self.command,
            code: self.code,
            stdout: self.stdout,
            stderr: self.stderr,
        }
    }
}

/// Runs a command to its end, with `input` as its standard input.
pub async fn run(command: Command, input: &str) -> Result<Ran, Failure> {
    let line = line_of(&command);
    let failed = |source| Failure::Start {
        command: line.clone(),
        source,
    };
    let mut child = tokio::process::Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        // a command that does not read its input may be gone already
        pipe.write_all(input.as_bytes()).await.ok();
    }
    let ended = tokio::time::timeout(BOUND, child.wait_with_output()).await;
    let Ok(output) = ended else {
        return Err(Failure::Hung {
            command: line,
            bound: BOUND,
        });
    };
    let output = output.map_err(failed)?;
    Ok(Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        command: line,
    })
}

fn line_of(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut line = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn input_output_errors_and_the_exit_code_are_kept_apart() {
        let ran = run(shell("cat; echo no >&2; exit 3"), "yes").await.unwrap();
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(3), "yes", "no\n")
        );
        assert!(ran.clone().refused("no").is_ok());
        assert!(ran.clone().refused("yes").is_err());
        assert!(ran.clone().with_code(3).is_ok());
        let failure = format!("{:?}", ran.ok().unwrap_err());
        assert!(failure.contains("stderr: no"), "{failure}");
    }

    #[tokio::test]
    async fn a_command_that_succeeds_was_not_refused() {
        let ran = run(shell("echo '[1]'; echo no >&2"), "").await.unwrap();
        assert!(ran.clone().refused("no").is_err());
        assert_eq!(ran.json::<Vec<u8>>().unwrap(), [1]);
    }
}
