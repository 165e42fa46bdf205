use serde_json::{Value, json};

use super::*;

/// An approval of request 2 by the office, with something else in its subject.
fn decided(but: &Value) -> Approval {
    let mut subject = json!({
        "kind": "Tenancy", "name": "oa", "uid": "u-1", "request": 2,
        "digest": format!("sha256:{}", "0".repeat(64)), "requestedBy": "zhang@edu",
    });
    for (key, value) in but.as_object().unwrap() {
        subject[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "charging.leasehold.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": "oa-2-office", "namespace": "dept-edu"},
        "spec": {
            "role": "office", "subject": subject, "title": "oa request 2", "snapshot": "",
            "decision": "Approved", "decidedBy": "chen@office",
        },
    }))
    .unwrap()
}

#[test]
fn an_answer_counts_whichever_object_asked_and_for_nothing_but_what_was_asked() {
    let asked = decided(&json!({})).spec.subject;
    let counts = |but: &Value| decision_of(&decided(but), &asked).is_some();
    assert!(counts(&json!({})));
    assert!(
        counts(&json!({"uid": "u-2"})),
        "deleted and applied again, it is asked still"
    );
    for but in [
        json!({"request": 1}),
        json!({"digest": format!("sha256:{}", "1".repeat(64))}),
        json!({"requestedBy": "li@edu"}),
        json!({"name": "mail"}),
        json!({"kind": "Release"}),
    ] {
        assert!(!counts(&but), "{but}");
    }
    let own = json!({"requestedBy": "chen@office"});
    let by_the_applicant = decided(&own);
    let subject = by_the_applicant.spec.subject.clone();
    assert!(decision_of(&by_the_applicant, &subject).is_none());
}
