//! Where the demo plays: a control plane, the people with their kubeconfigs, the operator.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use leasehold_controlplane::processes::{self, Group, Process};
use leasehold_controlplane::{Binaries, ControlPlane, Options};
use serde_json::{Value, json};

use crate::out::Out;
use crate::workspace::{capture, root};

/// The namespace of the chart's release.
pub const NAMESPACE: &str = "leasehold-system";
/// How long the operator's token is good for.
const TOKEN: &str = "--duration=2h";
/// How long the operator may take to end.
const GRACE: Duration = Duration::from_secs(25);
/// How long it may take to answer whether it is ready.
const ANSWER: Duration = Duration::from_secs(2);
/// One of the chart's kinds: where it is, leasehold is installed.
const KIND: &str = "customresourcedefinition/tenancies.tenancy.leasehold.dev";
/// The nodes of `examples/00-cluster.yaml`, as kubectl names them.
const NODES: [&str; 2] = ["node/dc1-r01-n01", "node/dc1-r07-n03"];

/// Somebody in the demo: a name and the groups that come with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name, as the API server sees it.
    pub name: &'static str,
    groups: &'static [&'static str],
}

const fn person(name: &'static str, groups: &'static [&'static str]) -> Person {
    Person { name, groups }
}

/// The cluster's administrator, as `examples/refused` calls them.
pub const ADMINISTRATOR: &str = "leasehold:admin";
/// The cluster's administrator.
pub const ADMIN: Person = person("admin", &[]);
/// The e-government office.
pub const OFFICE: Person = person("chen@office", &[]);
/// Finance, who loads prices.
pub const SUN: Person = person("sun@finance", &[]);
/// Finance, who publishes them.
pub const QIAN: Person = person("qian@finance", &[]);
/// The data centre.
pub const DATA_CENTRE: Person = person("zhao@idc", &[]);
/// The appraiser.
pub const APPRAISER: Person = person("li@zhongheng", &[]);
/// The auditor.
pub const AUDITOR: Person = person("zhou@audit", &[]);
/// The department.
pub const DEPARTMENT: Person = person("zhang@gov-office", &["gov-office-admins"]);

/// Where the demo plays.
pub struct Site {
    operator: Option<Operator>,
    plane: Option<ControlPlane>,
    binaries: Binaries,
    admin: PathBuf,
    folder: PathBuf,
    program: PathBuf,
}

struct Operator {
    process: Process,
    address: SocketAddr,
    _group: Group,
}

impl Site {
    /// Starts a control plane, or uses the cluster of a kubeconfig, which must be fresh: nothing is changed on another.
    pub fn open(
        kubeconfig: Option<&Path>,
        folder: &Path,
        program: PathBuf,
        out: &mut Out,
    ) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("failed to empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        let folder = folder.to_owned();
        let Some(kubeconfig) = kubeconfig else {
            out.line("starting a control plane, about 5 seconds")?;
            let plane = ControlPlane::start(Options {
                unsafe_no_fsync: true,
                progress: Box::new(Out::stdout()),
                ..Options::default()
            })?;
            let (binaries, admin) = (plane.binaries().clone(), plane.admin_kubeconfig());
            let plane = Some(plane);
            return Ok(Self {
                operator: None,
                plane,
                binaries,
                admin,
                folder,
                program,
            });
        };
        let admin = fs::canonicalize(kubeconfig)
            .with_context(|| format!("failed to find {}", kubeconfig.display()))?;
        let binaries = Binaries::ensure(out)?;
        let site = Self {
            operator: None,
            plane: None,
            binaries,
            admin,
            folder,
            program,
        };
        site.fresh()?;
        Ok(site)
    }

    /// Refuses a cluster that somebody uses: the demo makes nodes and a storage class, and leaves what it leased.
    fn fresh(&self) -> Result<()> {
        let asked = |what: &[&str]| -> Result<String> {
            let mut get = vec!["get", "--ignore-not-found", "-o", "name"];
            get.extend_from_slice(what);
            capture(&mut self.kubectl(ADMIN, &get)?)
        };
        let installed = [asked(&[KIND])?, asked(&["namespace", NAMESPACE])?];
        ensure!(
            installed.concat().trim().is_empty(),
            "failed to play on this cluster: leasehold is installed there. The demo wants a fresh cluster that may be \
             thrown away: take it down and up again (cargo xtask cluster down, cargo xtask cluster up)"
        );
        let nodes = asked(&["nodes"])?;
        let foreign: Vec<&str> = nodes.lines().filter(|node| !NODES.contains(node)).collect();
        ensure!(
            foreign.is_empty(),
            "failed to play on this cluster: it has nodes that the demo did not make ({}). The demo makes nodes and a \
             storage class of its own and leaves them there: give it a fresh cluster that may be thrown away (cargo \
             xtask cluster up)",
            foreign.join(", ")
        );
        Ok(())
    }

    /// The folder for what the demo writes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of kubectl and Helm.
    pub fn tools(&self) -> &Path {
        &self.binaries.dir
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A person's kubeconfig: with a certificate on a control plane of our own, else by impersonation.
    pub fn kubeconfig(&self, person: Person) -> Result<PathBuf> {
        if person == ADMIN {
            return Ok(self.admin.clone());
        }
        if let Some(plane) = &self.plane {
            return Ok(plane.user_kubeconfig(person.name, person.groups)?);
        }
        let path = self.folder.join(format!("{}.kubeconfig", person.name));
        if !path.is_file() {
            let mut config = self.config()?;
            if let Some(user) = config
                .pointer_mut("/users/0/user")
                .and_then(Value::as_object_mut)
            {
                user.insert("as".to_owned(), json!(person.name));
                user.insert("as-groups".to_owned(), json!(person.groups));
            }
            write(&path, &config)?;
        }
        Ok(path)
    }

    /// kubectl as a person, in the folder of the repository.
    pub fn kubectl(&self, person: Person, arguments: &[&str]) -> Result<Command> {
        let mut command = self.binaries.kubectl(&self.kubeconfig(person)?, arguments);
        command.current_dir(root()?);
        Ok(command)
    }

    /// kubectl as a user by impersonation, in the folder of the repository. Staff of a department
    /// (zhang@CODE) are in its group of administrators.
    pub fn kubectl_as(&self, user: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = self.kubectl(ADMIN, arguments)?;
        // whose kubeconfig this is
        if user != ADMINISTRATOR {
            command.args(["--as", user]);
        }
        if let Some(code) = user.strip_prefix("zhang@") {
            command.arg("--as-group").arg(format!("{code}-admins"));
        }
        Ok(command)
    }

    /// leasehold's command line as a person, in the folder of the repository.
    pub fn leasehold(&self, person: Person, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig(person)?)
            .current_dir(root()?);
        Ok(command)
    }

    /// Helm as the administrator, in the folder of the repository.
    pub fn helm(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.binaries.helm(&self.admin, arguments);
        command.current_dir(root()?);
        Ok(command)
    }

    /// The administrator's kubeconfig as JSON, with everything embedded.
    fn config(&self) -> Result<Value> {
        let view = [
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ];
        let text = capture(&mut self.kubectl(ADMIN, &view)?)?;
        serde_json::from_str(&text).context("failed to read the administrator's kubeconfig")
    }

    /// The ledger of the demo.
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger.db")
    }

    /// Starts the operator with a token of the chart's `ServiceAccount` and nothing of the administrator.
    pub fn start_operator(&mut self) -> Result<()> {
        let token = [
            "create",
            "token",
            "leasehold",
            "--namespace",
            NAMESPACE,
            TOKEN,
        ];
        let token = capture(&mut self.kubectl(ADMIN, &token)?)?;
        let mut config = self.config()?;
        if let Some(user) = config.pointer_mut("/users/0/user") {
            *user = json!({"token": token.trim()});
        }
        let kubeconfig = self.folder.join("operator.kubeconfig");
        write(&kubeconfig, &config)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let arguments = [
            "--kubeconfig".to_owned(),
            kubeconfig.display().to_string(),
            "operator".to_owned(),
            "--db".to_owned(),
            self.ledger().display().to_string(),
            "--namespace".to_owned(),
            NAMESPACE.to_owned(),
            "--listen".to_owned(),
            address.to_string(),
            "--log-format".to_owned(),
            "text".to_owned(),
        ];
        let group = Group::new(None)?;
        let process = Process::spawn(&group, &self.program, &arguments, &self.log())?;
        self.operator = Some(Operator {
            process,
            address,
            _group: group,
        });
        Ok(())
    }

    /// Whether the operator is ready; an error when it has ended.
    pub fn operator_ready(&mut self) -> Result<bool> {
        let Some(operator) = &mut self.operator else {
            return Ok(false);
        };
        if let Some(status) = operator.process.ended() {
            bail!("failed to keep the operator running ({status})");
        }
        Ok(ready(operator.address).unwrap_or(false))
    }

    /// Where the operator serves `/metrics`.
    pub fn operator_address(&self) -> Option<SocketAddr> {
        self.operator.as_ref().map(|operator| operator.address)
    }

    /// The last lines of the operator's log.
    pub fn operator_tail(&self) -> String {
        processes::tail(&self.log())
    }

    /// The operator's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("operator.log")
    }

    /// Stops the operator, if it runs.
    pub fn stop_operator(&mut self) {
        if let Some(mut operator) = self.operator.take() {
            operator.process.terminate(GRACE);
        }
    }

    /// Stops the operator and the control plane.
    pub fn close(mut self) {
        self.stop_operator();
        if let Some(plane) = self.plane.take() {
            plane.stop();
        }
    }
}

fn write(path: &Path, config: &Value) -> Result<()> {
    fs::write(path, config.to_string())
        .with_context(|| format!("failed to write {}", path.display()))
}

fn ready(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_whitespace().nth(1) == Some("200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_that_the_demo_knows_are_those_of_the_examples() {
        let file = root().unwrap().join("examples").join("00-cluster.yaml");
        let cluster = fs::read_to_string(file).unwrap();
        assert_eq!(cluster.matches("kind: Node\n").count(), NODES.len());
        for node in NODES {
            let name = node.strip_prefix("node/").unwrap();
            assert!(cluster.contains(name), "{name}");
        }
    }
}
