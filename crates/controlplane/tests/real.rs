//! The control plane as it really runs: the programs are built on the first run.

#[cfg(test)]
mod control_plane {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use leasehold_controlplane::{ControlPlane, Options};

    const PODS: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: node-1}
---
apiVersion: v1
kind: Pod
metadata:
  name: service
  finalizers: [leasehold.dev/watched-by-a-test]
spec:
  nodeName: node-1
  containers:
  - {name: main, image: main, resources: {requests: {cpu: 500m, memory: 64Mi}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: failing
  annotations: {kwok.leasehold.dev/lifetime: "1", kwok.leasehold.dev/exit-code: "3"}
spec:
  nodeName: node-1
  containers: [{name: main, image: main}]
"#;

    fn start() -> ControlPlane {
        ControlPlane::start(Options::for_tests()).unwrap()
    }

    fn output(command: &mut Command) -> String {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn field(plane: &ControlPlane, pod: &str, path: &str) -> String {
        output(&mut plane.kubectl(["get", "pod", pod, "-o", &format!("jsonpath={{{path}}}")]))
    }

    fn wait(plane: &ControlPlane, pod: &str, condition: &str) {
        output(&mut plane.kubectl(["wait", &format!("pod/{pod}"), "--timeout=30s", condition]));
    }

    #[test]
    fn pods_run_and_end_as_under_a_kubelet() {
        let plane = start();
        let manifest = plane.dir().join("pods.yaml");
        std::fs::write(&manifest, PODS).unwrap();
        output(&mut plane.kubectl([Path::new("apply"), Path::new("-f"), manifest.as_path()]));

        wait(&plane, "service", "--for=condition=Ready");
        let container = ".status.containerStatuses[0]";
        assert_eq!(
            field(
                &plane,
                "service",
                &format!("{container}.allocatedResources.cpu")
            ),
            "500m"
        );
        let memory = field(
            &plane,
            "service",
            &format!("{container}.resources.requests.memory"),
        );
        assert_eq!(memory, "64Mi");
        let scheduled = ".status.conditions[?(@.type==\"PodScheduled\")].status";
        assert_eq!(field(&plane, "service", scheduled), "True");

        wait(&plane, "failing", "--for=jsonpath={.status.phase}=Failed");
        assert_eq!(
            field(
                &plane,
                "failing",
                &format!("{container}.state.terminated.exitCode")
            ),
            "3"
        );

        // the finalizer holds the object, so that its last state can be read
        output(&mut plane.kubectl(["delete", "pod", "service", "--wait=false"]));
        let code = "{.status.containerStatuses[0].state.terminated.exitCode}";
        wait(&plane, "service", &format!("--for=jsonpath={code}=143"));
        let patch = r#"{"metadata":{"finalizers":null}}"#;
        output(&mut plane.kubectl(["patch", "pod", "service", "--type=merge", "-p", patch]));
        wait(&plane, "service", "--for=delete");
    }

    #[test]
    fn users_and_objects_outlive_a_restart_of_the_api_server() {
        let mut plane = start();
        let url = plane.server_url();
        let finance = plane
            .user_kubeconfig("财政局 li", &["finance", "auditors"])
            .unwrap();
        output(&mut plane.kubectl(["create", "configmap", "kept", "--from-literal=a=b"]));
        plane.restart_apiserver().unwrap();
        assert_eq!(plane.server_url(), url);
        output(&mut plane.kubectl(["get", "configmap", "kept"]));

        let who = output(
            &mut plane
                .binaries()
                .kubectl(&finance, ["auth", "whoami", "-o", "json"]),
        );
        let who: serde_json::Value = serde_json::from_str(&who).unwrap();
        let user = &who["status"]["userInfo"];
        assert_eq!(user["username"], "财政局 li");
        let groups = serde_json::json!(["finance", "auditors", "system:authenticated"]);
        assert_eq!(user["groups"], groups);

        let log = std::fs::read_to_string(plane.audit_log().unwrap()).unwrap();
        assert!(log.lines().any(|line| line.contains(r#""name":"kept""#)));
    }

    #[test]
    fn nothing_outlives_a_parent_that_was_killed() {
        const VICTIM: &str = "LEASEHOLD_TEST_VICTIM";
        if std::env::var_os(VICTIM).is_some() {
            let plane = start();
            let address = plane.server_url().replace("https://", "");
            let mut stdout = std::io::stdout();
            writeln!(stdout, "\nplane\t{}\t{address}", plane.dir().display()).unwrap();
            std::io::stdin().read_line(&mut String::new()).unwrap();
            return;
        }
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "control_plane::nothing_outlives_a_parent_that_was_killed",
            ])
            .arg("--nocapture")
            .env(VICTIM, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| line.unwrap().strip_prefix("plane\t").map(str::to_owned));
        let line = line.unwrap();
        let (dir, address) = line.split_once('\t').unwrap();
        let dir = PathBuf::from(dir);
        assert!(dir.is_dir());
        assert!(TcpStream::connect(address).is_ok());

        victim.kill().unwrap();
        victim.wait().unwrap();
        let killed = Instant::now();
        while dir.exists() {
            assert!(
                killed.elapsed() < Duration::from_secs(30),
                "{} is left",
                dir.display()
            );
            std::thread::yield_now();
        }
        assert!(TcpStream::connect(address).is_err());
    }
}
