//! Child processes that cannot outlive their parent, without any unsafe code.
//!
//! A [`Group`] is two small shells, each waiting on a pipe that only this process holds open. The
//! *anchor* leads a process group that all programs join; the *watchdog* stands outside of it.
//! When this process ends, however it ends, the kernel closes the pipes: the anchor leaves, and the
//! watchdog kills the whole group and removes the folder, if it was told to. Because programs join
//! the group before they start, there is no moment at which one of them is unknown to the watchdog.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// $0 is the anchor's process group, $1 the folder to remove or nothing. The rounds are bounded:
/// where nobody reaps orphans, killed processes stay in the group's list for ever.
const WATCHDOG: &str = r#"
cat >/dev/null
rounds=10
while [ "$rounds" -gt 0 ] && kill -s KILL -- "-$0" 2>/dev/null; do
  rounds=$((rounds - 1))
  sleep 0.1
done
[ -z "$1" ] || rm -rf -- "$1"
"#;
const ANCHOR: &str = "cat >/dev/null";
/// How many lines of a log an error shows.
const TAIL_LINES: usize = 20;

/// Why a process could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("failed to start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The log file could not be made.
    #[error("failed to write the log {}", .path.display())]
    Log {
        /// The log file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The operating system gave a process number that is not a process group.
    #[error("failed to use process {id} as a process group")]
    Group {
        /// The number.
        id: u32,
    },
}

/// A process group that ends with this process.
#[derive(Debug)]
pub struct Group {
    id: i32,
    anchor: Child,
    watchdog: Child,
}

impl Group {
    /// Starts the two shells. When the group ends, `remove` is deleted with everything in it.
    pub fn new(remove: Option<&Path>) -> Result<Self, ProcessError> {
        let anchor = shell(ANCHOR, &[])?;
        let leader = anchor.id();
        let id = i32::try_from(leader).map_err(|_| ProcessError::Group { id: leader })?;
        let folder = remove.map_or_else(|| OsStr::new(""), Path::as_os_str);
        let number = id.to_string();
        let watchdog = shell(WATCHDOG, &[OsStr::new(&number), folder])?;
        Ok(Self {
            id,
            anchor,
            watchdog,
        })
    }

    /// Kills what is left in the group, removes the folder, and waits until both is done.
    pub fn close(&mut self) {
        // the anchor first: an ended process that nobody waited for still counts as a member, and
        // the watchdog would take its rounds for nothing
        drop(self.anchor.stdin.take());
        self.anchor.wait().ok();
        drop(self.watchdog.stdin.take());
        self.watchdog.wait().ok();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.close();
    }
}

/// A shell in a process group of its own, so that a Ctrl-C at the terminal does not reach it.
fn shell(script: &str, arguments: &[&OsStr]) -> Result<Child, ProcessError> {
    Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|source| ProcessError::Spawn {
            program: "/bin/sh".to_owned(),
            source,
        })
}

/// One running program of a [`Group`].
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` in the group; what it prints is appended to `log`.
    pub fn spawn(
        group: &Group,
        program: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Log {
            path: log.to_owned(),
            source,
        };
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(group.id)
            .spawn()
            .map_err(|source| ProcessError::Spawn {
                program: program.display().to_string(),
                source,
            })?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to end (SIGTERM), waits for at most `grace`, then kills it.
    pub fn terminate(&mut self, grace: Duration) {
        if self.ended().is_none() {
            Command::new("/bin/sh")
                .args(["-c", "kill -s TERM -- \"$0\"", &self.child.id().to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .ok();
        }
        let asked = Instant::now();
        while self.ended().is_none() && asked.elapsed() < grace {
            thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

/// The last 20 lines of a log; a sentence in their place when it cannot be read.
pub fn tail(log: &Path) -> String {
    let text = match fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("(failed to read {}: {error})", log.display()),
    };
    let mut lines = VecDeque::with_capacity(TAIL_LINES);
    for line in text.lines() {
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    if lines.is_empty() {
        return format!("({} is empty)", log.display());
    }
    Vec::from(lines).join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sleeper(group: &Group, dir: &Path) -> Process {
        let arguments = ["600".to_owned()];
        Process::spawn(group, Path::new("sleep"), &arguments, &dir.join("log")).unwrap()
    }

    #[test]
    fn closing_a_group_kills_every_process_and_removes_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let doomed = dir.path().join("doomed");
        fs::create_dir(&doomed).unwrap();
        let mut group = Group::new(Some(&doomed)).unwrap();
        let mut sleepers = [sleeper(&group, dir.path()), sleeper(&group, dir.path())];
        group.close();
        for process in &mut sleepers {
            assert_eq!(process.child.wait().unwrap().signal(), Some(9));
        }
        assert!(!doomed.exists());
    }

    #[test]
    fn a_process_that_obeys_is_terminated_and_not_killed() {
        let dir = tempfile::tempdir().unwrap();
        let group = Group::new(None).unwrap();
        let mut process = sleeper(&group, dir.path());
        process.terminate(Duration::from_secs(30));
        assert_eq!(process.ended().unwrap().signal(), Some(15));
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_twenty_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let lines: Vec<String> = (1..=25).map(|number| format!("line {number}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        let shown = tail(&log);
        assert!(shown.starts_with("line 6\n"), "{shown}");
        assert!(shown.ends_with("\nline 25"), "{shown}");
        assert_eq!(shown.lines().count(), 20);
    }
}
