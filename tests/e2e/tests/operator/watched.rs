//! What a monitor finds, by the manual for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use leasehold_api::charging::BillingPeriod;
use leasehold_api::conditions::types;
use leasehold_e2e::Stage;
use leasehold_testkit::{LONG, OperatorProcess, Session, User, eventually, repository};
use serde_json::json;

use crate::ground::{leased, metered, stage};

/// What the manual says of a family of metrics.
struct Family {
    name: String,
    type_: String,
    /// Its labels, each with the values that the manual lists; none where it lists none.
    labels: BTreeMap<String, BTreeSet<String>>,
}

fn manual() -> String {
    let path = repository().join("docs").join("how-to").join("monitor.md");
    fs::read_to_string(path).unwrap()
}

/// The words between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The cells of the rows of a table whose first cell begins with this.
fn rows<'a>(manual: &'a str, begins: &str) -> Vec<Vec<&'a str>> {
    let begins = format!("| `{begins}");
    let lines = manual.lines().filter(|line| line.starts_with(&begins));
    lines
        .map(|line| line.split('|').skip(1).map(str::trim).collect())
        .collect()
}

/// The table of metrics.
fn families(manual: &str) -> Vec<Family> {
    let rows = rows(manual, "leasehold_");
    let family = |row: &Vec<&str>| Family {
        name: quoted(row[0]).next().unwrap(),
        type_: row[1].to_owned(),
        labels: labels(row[2]),
    };
    rows.iter().map(family).collect()
}

/// Labels as the manual writes them: `` `kind`: `Pod`, `Claim`; `reason` ``.
fn labels(cell: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels = BTreeMap::new();
    for part in cell.split(';') {
        let (names, values) = part.split_once(':').unwrap_or((part, ""));
        for name in quoted(names) {
            labels.insert(name, quoted(values).collect());
        }
    }
    labels
}

/// The labels of each series of a family on the page.
fn series(page: &str, family: &Family) -> Vec<BTreeMap<String, String>> {
    let counts = if family.type_ == "histogram" {
        "_count"
    } else {
        ""
    };
    let begins = format!("{}{counts}", family.name);
    let rest = page.lines().filter_map(|line| line.strip_prefix(&begins));
    let own = rest.filter(|rest| rest.starts_with([' ', '{']));
    own.map(|rest| {
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let pairs = inside.map_or("", |(pairs, _)| pairs).split(',');
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.replace('"', ""));
        pairs.map(pair).collect()
    })
    .collect()
}

/// The first thing in which the page is not what the manual says.
fn difference(page: &str, families: &[Family]) -> Result<(), String> {
    for family in families {
        let (name, type_) = (&family.name, &family.type_);
        let declared = format!("# TYPE {name} {type_}");
        if !page.lines().any(|line| line == declared) {
            return Err(format!("there is no line `{declared}`"));
        }
        let series = series(page, family);
        if series.is_empty() {
            return Err(format!("{name} has no series"));
        }
        for found in series {
            if !found.keys().eq(family.labels.keys()) {
                return Err(format!("{name} has {found:?}, and in the manual others"));
            }
            for (label, value) in found {
                let listed = &family.labels[&label];
                if !listed.is_empty() && !listed.contains(&value) {
                    return Err(format!(
                        "{name} has {label} {value}, the manual lists {listed:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_monitor_finds_the_pages_and_every_metric_of_the_manual_and_no_other() {
    let (stage, _) = stage().await;
    let manual = manual();
    pages_answer(stage, &manual).await;
    let office = leased(stage, "watched", "大数据局").await;
    without_rights(stage).await;
    without_the_right_to_pods(stage).await;
    // use that comes afterwards is metered as before
    metered(&office, "batch").await;

    let families = families(&manual);
    let seen = stage.see("every metric of the manual", LONG, async || {
        let operator = stage.operator.lock().await;
        let page = operator.fetch("/metrics").await?;
        difference(&page, &families).map(|()| page)
    });
    let page = seen.await.unwrap();
    let told: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let written: BTreeSet<&str> = families.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(told, written);
    // nobody is woken by a metric that does not exist
    let named = manual.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    for name in named.filter(|word| word.starts_with("leasehold_")) {
        assert!(written.contains(name), "{name}");
    }
    // a pod has a core and memory, which both began and ended
    let operator = stage.operator.lock().await;
    for kind in ["kind=\"opened\"", "kind=\"closed\""] {
        let facts = operator.counted("leasehold_facts_total", kind).await;
        assert!(facts.unwrap() >= 2, "{kind}");
    }
}

/// Every page of the manual is there.
async fn pages_answer(stage: &Stage, manual: &str) {
    let pages: Vec<String> = rows(manual, "/")
        .iter()
        .flat_map(|row| quoted(row[0]))
        .collect();
    assert_eq!(pages, ["/livez", "/healthz", "/readyz", "/metrics"]);
    let operator = stage.operator.lock().await;
    for page in pages {
        let answer = operator.fetch(&page).await.unwrap();
        assert!(!answer.is_empty(), "{page}");
    }
}

/// Takes the operator's rights away until a meter's watch was refused, and gives them back. Nobody else
/// looks at the operator meanwhile.
async fn without_rights(stage: &Stage) {
    let operator = stage.operator.lock().await;
    let admin = stage.user(User::Admin).await.unwrap();
    let (name, target) = (
        "leasehold-operator",
        "clusterrolebinding/leasehold-operator",
    );
    let binding = admin.get::<ClusterRoleBinding>(None, name).await.unwrap();
    let nobody = json!({"subjects": []});
    let taken = admin.try_patch(target, &[], &nobody).await.unwrap();
    taken.ok().unwrap();
    let refused = eventually("a watch that was refused", LONG, async || {
        let metric = "leasehold_watch_restarts_total";
        match operator.counted(metric, "Refused").await? {
            0 => operator.fetch("/metrics").await.and_then(Err),
            _ => gauges(&operator, [1, 1]).await,
        }
    });
    let refused = refused.await;
    let back = json!({"subjects": binding.subjects});
    let given = admin.try_patch(target, &[], &back).await.unwrap();
    given.ok().unwrap();
    refused.unwrap();
    let sees = eventually("meters that see again", LONG, async || {
        gauges(&operator, [0, 0]).await
    });
    sees.await.unwrap();
    // it is alive and ready all the time: a restart would help against nothing
    assert_eq!(operator.fetch("/healthz").await.unwrap(), "alive\n");
    assert_eq!(operator.fetch("/readyz").await.unwrap(), "ready\n");
}

/// Whether the meters of pods and of claims are blind, as a monitor reads it, is this.
async fn gauges(operator: &OperatorProcess, expected: [u8; 2]) -> Result<(), String> {
    let page = operator.fetch("/metrics").await?;
    for (source, blind) in ["pods", "claims"].into_iter().zip(expected) {
        let line = format!("leasehold_meter_blind{{source=\"{source}\"}} {blind}");
        if !page.lines().any(|found| found == line) {
            return Err(format!("there is no line {line} in\n{page}"));
        }
    }
    Ok(())
}

/// Takes away the right to read pods alone, and gives it back. The meter of pods is blind meanwhile and no other, and every
/// period that is not closed says so, and why.
async fn without_the_right_to_pods(stage: &Stage) {
    let operator = stage.operator.lock().await;
    let admin = stage.user(User::Admin).await.unwrap();
    let auditor = stage.user(User::Auditor).await.unwrap();
    gauges(&operator, [0, 0]).await.unwrap();
    let (name, target) = ("leasehold-operator", "clusterrole/leasehold-operator");
    let role = admin.get::<ClusterRole>(None, name).await.unwrap();
    let rules = role.rules.unwrap();
    let fewer: Vec<&PolicyRule> = rules.iter().filter(|rule| !watches_pods(rule)).collect();
    assert_eq!(fewer.len() + 1, rules.len(), "one rule gives the right");
    let without = json!({ "rules": fewer });
    let taken = admin.try_patch(target, &[], &without).await.unwrap();
    taken.ok().unwrap();
    let blind = eventually("a period that is told of it", LONG, async || {
        gauges(&operator, [1, 0]).await?;
        let told = unseen(&auditor).await?;
        let begins = "pods: leasehold may not read Pod: ";
        if !told.is_empty() && told.iter().all(|words| words.starts_with(begins)) {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    });
    let blind = blind.await;
    let back = json!({ "rules": rules });
    let given = admin.try_patch(target, &[], &back).await.unwrap();
    given.ok().unwrap();
    blind.unwrap();
    let sees = eventually("periods of which all is seen", LONG, async || {
        gauges(&operator, [0, 0]).await?;
        let told = unseen(&auditor).await?;
        if told.is_empty() {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    });
    sees.await.unwrap();
}

fn watches_pods(rule: &PolicyRule) -> bool {
    let resources = rule.resources.iter().flatten();
    resources.clone().any(|resource| resource == "pods")
        && rule.verbs.iter().any(|verb| verb == "watch")
}

/// What the periods say of use that is not seen at the moment, in the words of each that says something.
async fn unseen(auditor: &Session) -> Result<Vec<String>, String> {
    let periods = auditor.list::<BillingPeriod>(None).await;
    let periods = periods.map_err(|failure| format!("{failure:?}"))?;
    let conditions = periods
        .into_iter()
        .filter_map(|period| period.status)
        .flat_map(|status| status.conditions);
    Ok(conditions
        .filter(|condition| condition.type_ == types::BLIND && condition.status == "True")
        .map(|condition| condition.message)
        .collect())
}
