//! The log, as talkative as somebody would ask for who looks for a fault.

use std::fs;

use serde_json::Value;

use crate::ground::{leased, metered, stage};

#[tokio::test]
async fn every_line_of_the_log_is_an_object_with_fields_and_none_holds_the_token() {
    let (stage, begins) = stage().await;
    let office = leased(stage, "logged", "政务公开办").await;
    metered(&office, "batch").await;
    let operator = stage.operator.lock().await;
    let log = fs::read_to_string(operator.log()).unwrap();
    let kubeconfig = fs::read_to_string(operator.kubeconfig()).unwrap();
    drop(operator);
    // the last line may be half written
    let (log, _) = log[begins..].rsplit_once('\n').unwrap();

    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "target"] {
            assert!(line[field].is_string(), "{field} is missing: {line}");
        }
        assert!(line["fields"].is_object(), "{line}");
    }
    let talks = lines.iter().any(|line| line["level"] == "DEBUG");
    assert!(talks, "it says no more than usual");
    // a program finds what concerns a tenancy by a field, not by reading sentences
    let mut about = lines.iter().map(|line| &line["fields"]["tenancy"]);
    assert!(about.any(|tenancy| tenancy == "logged/oa/1"));

    let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "not a token of a ServiceAccount");
    for part in parts {
        assert!(
            part.len() > 20 && !log.contains(part),
            "the token is in the log"
        );
    }
}
