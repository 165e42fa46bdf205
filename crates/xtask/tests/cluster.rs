//! `cargo xtask cluster` as people run it: the program itself, and control planes that really run.
//!
//! A cluster stays when the command that started it has ended, so a test cannot hold its processes. It
//! finds them in `/proc`, by the cluster's folder, in which all of them stand.

#[cfg(test)]
mod cluster {
    use std::fs;
    use std::io;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::thread;
    use std::time::{Duration, Instant};

    use leasehold_controlplane::{Binaries, Program};
    use serde_json::Value;

    /// How long anything may take. Generous, because two cores may carry a build beside the control
    /// plane; a test that passes never waits for it.
    const BOUND: Duration = Duration::from_secs(90);
    const POLL: Duration = Duration::from_millis(20);

    /// $0 is the repository. When the test ends, however it ends, its clusters go: a supervisor that is
    /// killed takes its control plane along. Removing is tried for a while, because that is still writing.
    const WATCHDOG: &str = r#"
cat >/dev/null
for file in "$0"/.leasehold/clusters/*/supervisor.pid; do
  pid=$(cat "$file") && grep -aqF -- "$0" "/proc/$pid/cmdline" && kill -s KILL "$pid"
done
rounds=50
while [ "$rounds" -gt 0 ] && ! rm -rf -- "$0"; do
  rounds=$((rounds - 1))
  sleep 0.1
done
"#;

    /// One test at a time: two cores carry one control plane or two, not five.
    static TURN: Mutex<()> = Mutex::new(());

    /// A folder that stands for the repository, with the clusters of one test.
    struct Repository {
        root: PathBuf,
        binaries: Binaries,
        watchdog: Child,
        _turn: MutexGuard<'static, ()>,
    }

    impl Repository {
        fn new() -> Self {
            let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
            let binaries = Binaries::ensure(&mut io::sink()).unwrap();
            let root = tempfile::tempdir().unwrap().keep();
            // /proc shows paths without links
            let root = fs::canonicalize(root).unwrap();
            let watchdog = Command::new("/bin/sh")
                .args(["-c", WATCHDOG])
                .arg(&root)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap();
            Self {
                root,
                binaries,
                watchdog,
                _turn: turn,
            }
        }

        /// `cargo xtask cluster` with these arguments. A runner in the background of a shell ignores
        /// Ctrl-C, and what it starts would inherit that.
        fn xtask(&self, arguments: &[&str]) -> Command {
            let mut command = Command::new("env");
            command
                .args([
                    "--default-signal=INT",
                    env!("CARGO_BIN_EXE_xtask"),
                    "cluster",
                ])
                .args(arguments)
                .env("CARGO_MANIFEST_DIR", self.root.join("crates").join("xtask"))
                .stdin(Stdio::null());
            command
        }

        /// Runs it to its end and returns what it printed.
        fn run(&self, arguments: &[&str]) -> String {
            let output = self.xtask(arguments).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {errors}");
            String::from_utf8(output.stdout).unwrap()
        }

        fn dir(&self, name: &str) -> PathBuf {
            self.root.join(".leasehold").join("clusters").join(name)
        }

        /// Name, state and server of every cluster, as `status` tells them.
        fn status(&self) -> Vec<[String; 3]> {
            let rows: Vec<Value> =
                serde_json::from_str(&self.run(&["status", "-o", "json"])).unwrap();
            let field = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
            rows.iter()
                .map(|row| ["name", "state", "server"].map(|name| field(row, name)))
                .collect()
        }

        /// The state of the one cluster that there is.
        fn state(&self) -> String {
            let status = self.status();
            let [[_, state, _]] = status.as_slice() else {
                panic!("{status:?}")
            };
            state.clone()
        }

        /// What the API server answers when it is asked whether it is ready.
        fn readyz(&self, name: &str) -> String {
            let kubeconfig = self.dir(name).join("kubeconfig");
            let output = self
                .binaries
                .kubectl(&kubeconfig, ["get", "--raw=/readyz"])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }

        /// Command lines of the processes that stand in the folder of a cluster or name it.
        fn living(&self, name: &str) -> Vec<String> {
            let dir = self.dir(name).display().to_string();
            let mut found = Vec::new();
            for entry in fs::read_dir("/proc").unwrap() {
                let process = entry.unwrap().path();
                // what is no process, or has ended meanwhile, has no command line
                let Ok(line) = fs::read(process.join("cmdline")) else {
                    continue;
                };
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                let stands = fs::read_link(process.join("cwd"))
                    .is_ok_and(|place| place.display().to_string().starts_with(&dir));
                if stands || line.contains(&dir) {
                    found.push(line);
                }
            }
            found
        }

        /// Waits until no process of a cluster is left.
        fn await_gone(&self, name: &str) {
            eventually(|| {
                let left = self.living(name);
                left.is_empty()
                    .then_some(())
                    .ok_or_else(|| format!("{left:#?}"))
            });
        }

        fn supervisor(&self, name: &str) -> String {
            let pid = self.dir(name).join("supervisor.pid");
            fs::read_to_string(pid).unwrap().trim().to_owned()
        }
    }

    impl Drop for Repository {
        fn drop(&mut self) {
            drop(self.watchdog.stdin.take());
            self.watchdog.wait().ok();
        }
    }

    /// Asks until there is a value; the error is the state seen so far.
    fn eventually<T>(mut probe: impl FnMut() -> Result<T, String>) -> T {
        let asked = Instant::now();
        loop {
            match probe() {
                Ok(value) => return value,
                Err(last) => assert!(asked.elapsed() < BOUND, "{last}"),
            }
            thread::sleep(POLL);
        }
    }

    /// Sends a signal to a process, or with a dash before its number to its group.
    fn signal(signal: &str, target: &str) {
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, target])
            .status()
            .unwrap();
        assert!(sent.success(), "{signal} to {target}: {sent}");
    }

    #[test]
    fn two_clusters_stand_side_by_side_and_each_is_taken_down_alone() {
        let repository = Repository::new();
        assert!(repository.status().is_empty());
        for name in ["east", "west"] {
            let told = repository.run(&["up", "--name", name]);
            assert!(told.contains(&format!("cluster `{name}` is up")), "{told}");
        }
        let both = repository.status();
        let [east, west] = both.as_slice() else {
            panic!("{both:?}")
        };
        assert_eq!([&east[0], &east[1]], ["east", "up"]);
        assert_eq!([&west[0], &west[1]], ["west", "up"]);
        assert_ne!(east[2], west[2]);
        for name in ["east", "west"] {
            assert_eq!(repository.readyz(name), "ok");
            // the supervisor and its programs: else the search below would find nothing whatever is left
            let living = repository.living(name);
            assert!(living.len() > Program::ALL.len(), "{living:#?}");
        }

        repository.run(&["down", "--name", "east"]);
        repository.await_gone("east");
        assert!(!repository.dir("east").exists());
        assert_eq!(repository.status(), std::slice::from_ref(west));
        assert_eq!(repository.readyz("west"), "ok");

        repository.run(&["down", "--all"]);
        repository.await_gone("west");
        assert!(repository.status().is_empty());
        let told = repository.run(&["down", "--name", "west"]);
        assert_eq!(told, "there is no cluster `west`\n");
    }

    #[test]
    fn a_cluster_that_is_up_is_told_and_not_started_again() {
        let repository = Repository::new();
        repository.run(&["up"]);
        let before = (repository.status(), repository.supervisor("dev"));
        let told = repository.run(&["up"]);
        assert!(told.contains("cluster `dev` is up already"), "{told}");
        let after = (repository.status(), repository.supervisor("dev"));
        assert_eq!(after, before);
        assert_eq!(repository.readyz("dev"), "ok");
        repository.run(&["down"]);
        repository.await_gone("dev");
    }

    #[test]
    fn whoever_breaks_off_a_start_leaves_no_process() {
        let repository = Repository::new();
        for (name, number) in [("INT", 2), ("KILL", 9)] {
            // Ctrl-C goes to every process of the terminal's group
            let mut up = repository
                .xtask(&["up"])
                .process_group(0)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            eventually(|| {
                let living = repository.living("dev");
                let starts = living.iter().any(|line| line.contains("kube-apiserver"));
                starts.then_some(()).ok_or_else(|| format!("{living:#?}"))
            });
            signal(name, &format!("-{}", up.id()));
            let ended = up.wait().unwrap();
            assert_eq!(ended.signal(), Some(number), "{ended}");
            repository.await_gone("dev");
            assert_eq!(repository.state(), "dead");
        }
        let told = repository.run(&["down"]);
        assert_eq!(told, "cluster `dev` is down\n");
        assert!(repository.status().is_empty());
    }

    #[test]
    fn a_supervisor_that_is_killed_takes_its_cluster_along_and_the_name_is_free_again() {
        let repository = Repository::new();
        repository.run(&["up"]);
        assert_eq!(repository.state(), "up");
        signal("KILL", &repository.supervisor("dev"));
        repository.await_gone("dev");
        assert_eq!(repository.state(), "dead");
        repository.run(&["up"]);
        assert_eq!(repository.state(), "up");
        assert_eq!(repository.readyz("dev"), "ok");
        repository.run(&["down"]);
        repository.await_gone("dev");
        assert!(repository.status().is_empty());
    }
}
