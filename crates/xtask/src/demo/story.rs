//! The story: who does what, in which order.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::city::{self, CITY, items};
use super::scene::{Scene, text};
use super::site::{
    ADMIN, APPRAISER, AUDITOR, DATA_CENTRE, DEPARTMENT, NAMESPACE, OFFICE, Person, QIAN, SUN,
};
use super::{proof, refused};
use crate::focus::Focus;
use crate::workspace::capture;

/// The department's office namespace.
pub const PLACE: &str = "dept-gov-office";
/// How long anything may take that does not wait for a period.
const SOON: Duration = Duration::from_mins(1);
/// Two periods of 60 seconds (the rest of one and the whole of the next), and its closing.
const PERIODS: Duration = Duration::from_secs(150);
/// The day in the examples on which the hardware arrives.
pub const ARRIVAL: &str = "2026-11-24";
/// The department whose hardware is too old.
const OTHER: &str = "urban-management";
/// What stands for the uid of a contribution in the examples.
pub const UID: &str = "CONTRIBUTION-UID";
const OFFICE_ORDER: &str = "黄政办〔2026〕12号";
const FINANCE_ORDER: &str = "黄财资〔2026〕44号";

/// Plays it from the beginning to the end.
pub fn play(scene: &mut Scene, validators: &Focus) -> Result<()> {
    install(scene)?;
    platform(scene)?;
    prices(scene)?;
    lease(scene)?;
    workload(scene)?;
    refusals(scene)?;
    hardware(scene)?;
    let statement = months(scene)?;
    bill(scene, &statement)?;
    proof::export(scene, &statement, validators)?;
    proof::audit(scene, &statement)?;
    next(scene)
}

fn install(scene: &mut Scene) -> Result<()> {
    scene
        .act("Helm installs leasehold, the operator runs with the rights of its ServiceAccount")?;
    scene.helm(&[
        "upgrade",
        "--install",
        "leasehold",
        "charts/leasehold",
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--values",
        "examples/values.yaml",
        "--set",
        "operator.enabled=false",
    ])?;
    scene.wait("the policies of the chart in force", SOON, in_force)?;
    scene.apply(ADMIN, "00-cluster.yaml", &[])?;
    scene.site_mut().start_operator()?;
    scene.wait("a ready operator", SOON, |scene| {
        Ok(scene.site_mut().operator_ready()?.then_some(()))
    })
}

/// A policy takes about a second to bite; one that stamps new objects answers 503 until then.
fn in_force(scene: &mut Scene) -> Result<Option<()>> {
    let probe = ["create", "namespace", "probe--policies", "--dry-run=server"];
    let refused = scene.site().kubectl(ADMIN, &probe)?.output()?;
    let stamped = [
        "create",
        "-f",
        "examples/03-prices.yaml",
        "--dry-run=server",
    ];
    let stamped = scene.site().kubectl(ADMIN, &stamped)?.output()?;
    let bites = String::from_utf8_lossy(&refused.stderr).contains("rule N02:");
    Ok((bites && stamped.status.success()).then_some(()))
}

fn platform(scene: &mut Scene) -> Result<()> {
    scene.act("the office sets the rules, the data centre describes what it offers")?;
    scene.say("   A month is played in 60 seconds, and amounts are those of a month.")?;
    scene.apply(OFFICE, &of_city("01-policy.yaml"), &[])?;
    scene.apply(DATA_CENTRE, &of_city("02-platform.yaml"), &[])?;
    scene.apply(OFFICE, &of_city("04-departments.yaml"), &[])?;
    city::departments(scene)?;
    scene.wait("the rights of the department's staff", SOON, |scene| {
        let may = [
            "auth",
            "can-i",
            "create",
            "tenancies.tenancy.leasehold.dev",
            "-n",
            PLACE,
        ];
        Ok(scene
            .site()
            .kubectl(DEPARTMENT, &may)?
            .output()?
            .status
            .success()
            .then_some(()))
    })?;
    scene.kubectl(OFFICE, &["get", "networkzones,cloudlets"])?;
    scene.kubectl(OFFICE, &["get", "dept"]).map(drop)
}

fn of_city(name: &str) -> String {
    format!("{CITY}/{name}")
}

fn prices(scene: &mut Scene) -> Result<()> {
    scene.act("finance loads prices; they count once a second person has published them")?;
    let loaded = of_city("03-prices.yaml");
    scene.apply(SUN, &loaded, &[])?;
    let books = items(&scene.json(SUN, &["get", "pricebooks"])?).count();
    city::decide_all(
        scene,
        QIAN,
        ("PriceBook", "pricebooks"),
        FINANCE_ORDER,
        (books, "Published"),
    )?;
    scene.kubectl(SUN, &["get", "pb"]).map(drop)
}

fn lease(scene: &mut Scene) -> Result<()> {
    scene.act("departments ask what a lease costs, ask for it, and the office decides")?;
    let quote = [
        "quote",
        "-f",
        "examples/05-tenancy.yaml",
        "--prices",
        "examples/03-prices.yaml",
    ];
    scene.leasehold(DEPARTMENT, &quote)?;
    let asked = city::ask(scene)?;
    city::decide_all(
        scene,
        OFFICE,
        ("Tenancy", "tenancies"),
        OFFICE_ORDER,
        (asked, "Active"),
    )?;
    scene.kubectl(OFFICE, &["get", "tcy", "-A"])?;
    let whose = "leasehold.dev/department=gov-office";
    let columns = "leasehold.dev/namespace-role,leasehold.dev/tenancy";
    let namespaces = ["get", "namespaces", "-l", whose, "-L", columns];
    scene.kubectl(AUDITOR, &namespaces)?;
    for namespace in ["gov-office--prod", "gov-office--test"] {
        let objects = "resourcequotas,limitranges,networkpolicies,rolebindings,pvc";
        scene.kubectl(DEPARTMENT, &["get", objects, "-n", namespace, "-o", "name"])?;
    }
    Ok(())
}

fn workload(scene: &mut Scene) -> Result<()> {
    scene.act("it runs its system; what is beyond the lease is refused")?;
    scene.apply(DEPARTMENT, "09-workload.yaml", &[])?;
    let place = "gov-office--prod";
    let rollout = [
        "rollout",
        "status",
        "deployment/web",
        "-n",
        place,
        "--timeout=60s",
    ];
    scene.kubectl(DEPARTMENT, &rollout)?;
    scene.kubectl(
        DEPARTMENT,
        &["get", "resourcequota", "leasehold", "-n", place],
    )?;
    scene.refused(DEPARTMENT, "a pod of 40 cores", &greedy(place))?;
    let more = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "more", "namespace": place}, "spec": {"hard": {"pods": "1000"}},
    });
    scene.refused(DEPARTMENT, "a quota of its own", &more)
}

fn greedy(namespace: &str) -> Value {
    let amount = json!({"cpu": "40", "memory": "1Gi"});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "greedy", "namespace": namespace},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main", "image": "registry.example/main:1",
                "resources": {"requests": amount, "limits": amount},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

fn refusals(scene: &mut Scene) -> Result<()> {
    scene.act("what the rules forbid is refused, with the rule and what to do")?;
    refused::try_all(scene)
}

fn hardware(scene: &mut Scene) -> Result<()> {
    scene.act(
        "departments offer servers: one is appraised, received and credited, one is refused",
    )?;
    city::offer(scene)?;
    let offer = ["get", "hwc", "servers-2024", "-n", PLACE];
    let found = scene.json(APPRAISER, &offer)?;
    let uid = text(&found, "/metadata/uid").to_owned();
    scene.apply(APPRAISER, "07-appraisal.yaml", &[(UID, &uid)])?;
    let today = today()?;
    scene.apply(
        DATA_CENTRE,
        "08-receipt.yaml",
        &[(UID, &uid), (ARRIVAL, &today)],
    )?;
    decide(scene, SUN, "HardwareContribution", FINANCE_ORDER)?;
    phase(
        scene,
        DEPARTMENT,
        &["hwc", "servers-2024", "-n", PLACE],
        "Credited",
    )?;
    scene.kubectl(DEPARTMENT, &["get", "hwc", "-n", PLACE])?;
    too_old(scene)
}

/// The offer of another department breaks the rule on the age of devices.
fn too_old(scene: &mut Scene) -> Result<()> {
    let user = city::staff(OTHER);
    let place = format!("dept-{OTHER}");
    let get = ["get", "hwc", "-n", &place, "-o", "json"];
    let words = scene.wait("the offer that is too old, refused", SOON, |scene| {
        let told = capture(&mut scene.site().kubectl_as(&user, &get)?)?;
        let all: Value = serde_json::from_str(&told)?;
        let mut findings = items(&all)
            .filter(|found| text(found, "/status/phase") == "Refused")
            .filter_map(|found| found.pointer("/status/findings")?.as_array())
            .flatten();
        let old = findings.find(|finding| text(finding, "/rule") == "H02");
        Ok(old.map(|finding| text(finding, "/message").to_owned()))
    })?;
    let get = ["get", "hwc", "-n", &place];
    scene.say(format_args!("   {user} $ kubectl {}", get.join(" ")))?;
    let told = capture(&mut scene.site().kubectl_as(&user, &get)?)?;
    scene.indented(&told)?;
    scene.say(format_args!("   refused by rule H02: {words}"))
}

/// Waits until two months in which the lease stood are closed, and the credit counts in one.
fn months(scene: &mut Scene) -> Result<Value> {
    scene.act("months pass (60 seconds each); two in which the lease stood close")?;
    let statement = scene.wait("two closed months, one with credit", PERIODS, |scene| {
        let all = scene.json(DEPARTMENT, &["get", "statements", "-n", PLACE])?;
        let filled = |found: &Value, list: &str| {
            let list = found.pointer(list).and_then(Value::as_array);
            list.is_some_and(|list| !list.is_empty())
        };
        let leased: Vec<&Value> = items(&all)
            .filter(|found| text(found, "/spec/state") == "Final" && filled(found, "/spec/lines"))
            .collect();
        let credited = leased.iter().find(|found| filled(found, "/spec/credits"));
        let enough = leased.len() >= 2;
        Ok(credited.filter(|_| enough).map(|found| (*found).clone()))
    })?;
    scene.kubectl(SUN, &["get", "bp"])?;
    scene.kubectl(DEPARTMENT, &["get", "stm", "-n", PLACE])?;
    Ok(statement)
}

fn bill(scene: &mut Scene, statement: &Value) -> Result<()> {
    scene.act("the department reads its bill, and where every amount comes from")?;
    let period = text(statement, "/spec/period/name");
    scene.leasehold(DEPARTMENT, &["statement", "-n", PLACE, "--period", period])?;
    let line = text(proof::line(statement)?, "/id");
    scene
        .leasehold(
            DEPARTMENT,
            &["explain", line, "--period", period, "-n", PLACE],
        )
        .map(drop)
}

fn next(scene: &mut Scene) -> Result<()> {
    scene.say("\nwhat to try next, with `cargo xtask demo --keep` or on your own cluster:")?;
    for line in [
        "raise vcpu-x86 to 48 in examples/05-tenancy.yaml and apply it: request 2, decided by the office",
        "move cores between prod and test: nobody is asked, and the sum never exceeds the lease",
        "offer the same serial number from another department: rule H01 refuses it",
        "change one digit in evidence.jsonl and verify it again",
        "leasehold release oa -n dept-gov-office --reason …: how a lease ends",
    ] {
        scene.say(format_args!("  - {line}"))?;
    }
    Ok(())
}

/// Says how to look around, for `--keep`.
pub fn linger(scene: &mut Scene) -> Result<()> {
    // the auditor's act stopped it
    scene.site_mut().start_operator()?;
    scene.say(
        "\nthe operator runs again; everything keeps running; look around as any of these people:",
    )?;
    let tools = scene.site().tools().display().to_string();
    let program = scene
        .site()
        .program()
        .parent()
        .map(|folder| folder.display().to_string());
    scene.say(format_args!(
        "  export PATH={}:{tools}:$PATH",
        program.unwrap_or_default()
    ))?;
    for person in [
        ADMIN,
        OFFICE,
        SUN,
        QIAN,
        DATA_CENTRE,
        APPRAISER,
        AUDITOR,
        DEPARTMENT,
    ] {
        let path = scene.site().kubeconfig(person)?.display().to_string();
        scene.say(format_args!(
            "  {:<18} export KUBECONFIG={path}",
            person.name
        ))?;
    }
    if let Some(address) = scene.site().operator_address() {
        scene.say(format_args!(
            "  metrics            http://{address}/metrics"
        ))?;
    }
    let log = scene.site().log().display().to_string();
    scene.say(format_args!("  the operator's log {log}"))?;
    scene.say("\npress Enter to end")
}

/// Waits for the approval of a kind of subject, shows the inbox, and approves as a person.
fn decide(scene: &mut Scene, person: Person, kind: &str, order: &str) -> Result<()> {
    let what = format!("the request ({kind}) before those who decide");
    let (name, place) = scene.wait(&what, SOON, |scene| {
        let all = scene.json(person, &["get", "approvals", "-A"])?;
        let waiting = |found: &&Value| {
            text(found, "/spec/subject/kind") == kind && found.pointer("/spec/decision").is_none()
        };
        Ok(items(&all).find(waiting).map(|found| {
            let of = |path: &str| text(found, path).to_owned();
            (of("/metadata/name"), of("/metadata/namespace"))
        }))
    })?;
    scene.kubectl(person, &["get", "apv", "-A"])?;
    let approve = ["approve", &name, "-n", &place, "--order-no", order, "--yes"];
    scene.leasehold(person, &approve).map(drop)
}

/// Waits until an object is in a phase.
fn phase(scene: &mut Scene, person: Person, target: &[&str], wanted: &str) -> Result<()> {
    let what = format!("{} {wanted}", target.get(1).unwrap_or(&""));
    let mut get = vec!["get"];
    get.extend_from_slice(target);
    scene.wait(&what, SOON, |scene| {
        let found = scene.json(person, &get)?;
        Ok((text(&found, "/status/phase") == wanted).then_some(()))
    })
}

/// Today in the office's time zone, which is eight hours ahead all year (POSIX writes that `-8`).
pub fn today() -> Result<String> {
    let text = capture(Command::new("date").arg("+%Y-%m-%d").env("TZ", "CST-8"))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_hold_what_the_story_replaces() {
        let read = |name: &str| {
            let folder = crate::workspace::root().unwrap().join("examples");
            std::fs::read_to_string(folder.join(name)).unwrap()
        };
        assert!(read("07-appraisal.yaml").contains(UID));
        assert!(read("08-receipt.yaml").contains(UID));
        assert!(read("08-receipt.yaml").contains(ARRIVAL));
    }

    #[test]
    fn today_is_a_day() {
        let today = today().unwrap();
        assert_eq!(
            (today.len(), today.matches('-').count()),
            (10, 2),
            "{today}"
        );
    }
}
