//! Sharp cases of our own kinds: defaults, pruning, bounds, rules, and the door of the status.

use leasehold_model::admission::OPERATOR;
use serde_json::{Value, json};

use crate::bodies::{bodies, laid_over};
use crate::deed::{Deed, STALE, VERSION};
use crate::place::Place;
use crate::sharp::{ALPHA, BETA, Case, HOLD, apart, at, case, made, status};

/// The cases.
pub fn all() -> Vec<Case> {
    [
        singles(),
        doors(),
        needs(),
        statements(),
        shapes(),
        nulls(),
        rules(),
        applies(),
        decisions(),
        ends(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The good content of a kind, changed.
fn good(kind: &str, patch: &Value) -> Value {
    laid_over(&bodies()[kind].content, patch)
}

fn singles() -> Vec<Case> {
    let policy = Place::new("CloudPolicy", "", "default");
    let cloudlet = Place::new("Cloudlet", "", "self");
    let to = |place: &Place, spec: Value| Deed::merge(place, json!({"spec": spec}));
    vec![
        case(
            "a policy that says nothing has every default",
            vec![
                (Deed::create(&policy, &json!({"spec": {}})), 201),
                (to(&policy, json!({"offset": {"capPercent": 50}})), 200),
                (to(&policy, json!({"timeZone": "Europe/Prague"})), 422),
                (to(&policy, json!({"period": {"kind": "Rehearsal"}})), 422),
                (to(&policy, json!({"credit": null})), 200),
                (
                    Deed::create(&apart("CloudPolicy", "other"), &json!({"spec": {}})),
                    422,
                ),
            ],
        ),
        case(
            "a cloudlet keeps its provider, and has one name",
            vec![
                made(&cloudlet),
                (to(&cloudlet, json!({"provider": "other"})), 422),
                (to(&cloudlet, json!({"zones": []})), 422),
                (
                    Deed::create(&apart("Cloudlet", "other"), &good("Cloudlet", &json!({}))),
                    422,
                ),
            ],
        ),
    ]
}

fn doors() -> Vec<Case> {
    let system = at("InformationSystem", "doors");
    let ready = json!({"type": "Ready", "status": "True", "reason": "Ok", "message": "ok",
        "lastTransitionTime": "2026-09-01T00:00:00Z"});
    let conditions = json!({"conditions": [ready]});
    let renamed = json!({"displayName": "别的"});
    vec![case(
        "what people want and what is so come through doors of their own",
        vec![
            (
                Deed::create(
                    &system,
                    &good("InformationSystem", &json!({"status": conditions})),
                ),
                201,
            ),
            (Deed::merge(&system, json!({"spec": renamed})), 200),
            (
                Deed::merge(&system, json!({"metadata": {"labels": {"a": "b"}}})),
                200,
            ),
            (
                status(
                    &system,
                    json!({"status": conditions, "spec": {"displayName": "又一个"}}),
                ),
                200,
            ),
            (
                Deed::rewrite(&system, json!({"status": {"observedGeneration": 7}}))
                    .through("status"),
                200,
            ),
            (
                Deed::merge(&system, json!({"status": {"conditions": []}})),
                200,
            ),
            (
                status(
                    &system,
                    json!({"status": {"conditions": [{"type": "Ready"}]}}),
                ),
                422,
            ),
            (status(&system, json!({"status": null})), 200),
            (
                Deed::apply(&system, ALPHA, &json!({"status": conditions})).through("status"),
                200,
            ),
            (
                Deed::apply(&system, ALPHA, &json!({"status": {}})).through("status"),
                200,
            ),
        ],
    )]
}

fn needs() -> Vec<Case> {
    let (unseen, lost) = (
        at("InformationSystem", "unseen"),
        at("InformationSystem", "lost"),
    );
    let conditions = json!({"conditions": []});
    vec![
        case(
            "an update of our kinds needs a version",
            vec![
                made(&lost),
                (
                    Deed::replace(&lost, &good("InformationSystem", &json!({}))),
                    422,
                ),
                (
                    Deed::rewrite(&lost, json!({"metadata": {"resourceVersion": STALE}})),
                    409,
                ),
                (
                    Deed::rewrite(&lost, json!({"metadata": {"resourceVersion": VERSION}})),
                    200,
                ),
                (
                    Deed::rewrite(&lost, json!({"metadata": {"resourceVersion": ""}})),
                    422,
                ),
            ],
        ),
        case(
            "there is no status of an object that is not there",
            vec![
                (status(&unseen, json!({"status": conditions})), 404),
                (
                    Deed::apply(&unseen, ALPHA, &json!({"status": conditions})).through("status"),
                    404,
                ),
            ],
        ),
    ]
}

fn statements() -> Vec<Case> {
    let statement = at("Statement", "one");
    vec![case(
        "a statement has no door for a status, and does not change once it is final",
        vec![
            made(&statement),
            (status(&statement, json!({"status": {}})), 404),
            (Deed::merge(&statement, json!({"status": {"a": "b"}})), 200),
            (
                Deed::merge(&statement, json!({"spec": {"state": "Final"}})),
                200,
            ),
            (
                Deed::merge(&statement, json!({"spec": {"payee": "other"}})),
                422,
            ),
            (
                Deed::merge(&statement, json!({"metadata": {"labels": {"a": "b"}}})),
                200,
            ),
        ],
    )]
}

fn shapes() -> Vec<Case> {
    let strange = json!({"colour": "red", "spec": {"colour": {"of": 1}, "dns": {"port": 53}}});
    let of = |kind: &str, name: &str, patch: Value, code| {
        (Deed::create(&at(kind, name), &good(kind, &patch)), code)
    };
    let device = good("HardwareContribution", &json!({}))["spec"]["devices"][0].clone();
    let system =
        |name: &str, spec: Value, code| of("InformationSystem", name, json!({"spec": spec}), code);
    vec![
        case(
            "what no definition knows is left out",
            vec![(
                Deed::create(
                    &apart("NetworkZone", "strange"),
                    &good("NetworkZone", &strange),
                ),
                201,
            )],
        ),
        case(
            "a type is kept",
            vec![system("type", json!({"protectionLevel": "three"}), 422)],
        ),
        case(
            "a bound is kept",
            vec![system("bound", json!({"protectionLevel": 5}), 422)],
        ),
        case(
            "a choice is kept",
            vec![system(
                "choice",
                json!({"origin": "Old", "audience": "All"}),
                422,
            )],
        ),
        case(
            "a length is kept",
            vec![system(
                "length",
                json!({"displayName": "长".repeat(257)}),
                422,
            )],
        ),
        case(
            "a pattern is kept",
            vec![system("pattern", json!({"acceptedOn": "2026-13-01"}), 422)],
        ),
        case(
            "what is required is there",
            vec![system("required", json!({"origin": null}), 422)],
        ),
        case(
            "nothing is no object",
            vec![(Deed::create(&at("Tenancy", "nothing"), &json!({})), 422)],
        ),
        case(
            "a key comes once",
            vec![of(
                "HardwareContribution",
                "twice",
                json!({"spec": {"devices": [device, device]}}),
                422,
            )],
        ),
        case(
            "a list has something in it, and of what it is a list",
            vec![
                of("Appraisal", "empty", json!({"spec": {"devices": []}}), 422),
                of(
                    "Appraisal",
                    "texts",
                    json!({"spec": {"devices": ["one"]}}),
                    422,
                ),
                of(
                    "Appraisal",
                    "no-list",
                    json!({"spec": {"devices": "one"}}),
                    422,
                ),
            ],
        ),
        case(
            "the values of a map have a pattern",
            vec![of(
                "Tenancy",
                "map",
                json!({"spec": {"namespaces": [{"name": "prod", "share": {"vcpu-x86": "many"}}]}}),
                422,
            )],
        ),
    ]
}

/// A merge patch would take the nulls for something else, so they are put in here.
fn with_null(kind: &str, field: &str) -> Value {
    let mut body = good(kind, &json!({}));
    body["spec"][field] = Value::Null;
    body
}

fn nulls() -> Vec<Case> {
    let system = |name: &str, field: &str, code| {
        let body = with_null("InformationSystem", field);
        (Deed::create(&at("InformationSystem", name), &body), code)
    };
    vec![
        case(
            "null may stand where it is allowed",
            vec![system("null-day", "acceptedOn", 201)],
        ),
        case(
            "null goes where one of a list of values may be left out",
            vec![
                system("null-network", "currentNetwork", 201),
                (
                    Deed::create(
                        &at("Approval", "null-decision"),
                        &with_null("Approval", "decision"),
                    ),
                    201,
                ),
            ],
        ),
        case(
            "null gives way to a default",
            vec![system("null-funding", "funding", 201)],
        ),
        case(
            "null is not what is required",
            vec![system("null-origin", "origin", 422)],
        ),
        case(
            "null goes where it is neither allowed nor needed",
            vec![(
                Deed::create(
                    &apart("NetworkZone", "null"),
                    &with_null("NetworkZone", "nodeSelector"),
                ),
                201,
            )],
        ),
    ]
}

fn rules() -> Vec<Case> {
    let tenancy = |name: &str, spec: Value| {
        let body = good("Tenancy", &json!({"spec": spec}));
        (Deed::create(&at("Tenancy", name), &body), 422)
    };
    let period = apart("BillingPeriod", "closed");
    let closed = at("Tenancy", "moving");
    let backwards = json!({"from": "2026-09-02", "through": "2026-09-01"});
    vec![
        case(
            "every rule that is broken is told",
            vec![tenancy(
                "rules",
                json!({"term": backwards, "namespaces": [{"name": "prod", "share": {"memory": "8Gi"}}]}),
            )],
        ),
        case(
            "a pattern and a rule are told together",
            vec![tenancy(
                "both",
                json!({"term": backwards, "budget": {"code": "a b"}}),
            )],
        ),
        case(
            "a type that is broken keeps the rules from being asked",
            vec![tenancy("type", json!({"term": backwards, "contract": 7}))],
        ),
        case(
            "a rule names the item that breaks it",
            vec![tenancy(
                "item",
                json!({"members": [{"role": "admin", "group": "a"}, {"role": "admin"}]}),
            )],
        ),
        case(
            "a rule of a change is asked of changes",
            vec![
                made(&closed),
                (
                    Deed::merge(
                        &closed,
                        json!({"spec": {"zone": "internet", "system": "mail"}}),
                    ),
                    422,
                ),
                (
                    Deed::merge(&closed, json!({"spec": {"contract": "HS-2"}})),
                    200,
                ),
            ],
        ),
        case(
            "a word that was given stays given",
            vec![
                made(&period),
                (Deed::merge(&period, json!({"spec": {"close": true}})), 200),
                (Deed::merge(&period, json!({"spec": {"close": null}})), 422),
                (Deed::merge(&period, json!({"spec": {"close": false}})), 422),
            ],
        ),
    ]
}

fn applies() -> Vec<Case> {
    let (system, part, strange) = (
        at("InformationSystem", "items"),
        at("InformationSystem", "part"),
        at("InformationSystem", "strange"),
    );
    let components = |names: &[&str]| {
        let items: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "displayName": "门户"}))
            .collect();
        json!({"spec": {"components": items}})
    };
    let by_alpha = good("InformationSystem", &components(&["web", "db"]));
    vec![
        case(
            "items of a list belong to whoever applied them",
            vec![
                (Deed::apply(&system, ALPHA, &by_alpha), 201),
                (
                    Deed::apply(&system, BETA, &components(&["web", "queue"])),
                    200,
                ),
                (Deed::apply(&system, BETA, &components(&["queue"])), 200),
                (
                    Deed::apply(
                        &system,
                        ALPHA,
                        &good("InformationSystem", &components(&["db"])),
                    ),
                    200,
                ),
                (Deed::merge(&system, components(&["db"])), 200),
                (
                    Deed::apply(
                        &system,
                        BETA,
                        &json!({"spec": {"components": [{"name": "db", "displayName": "库"}]}}),
                    ),
                    409,
                ),
            ],
        ),
        case(
            "a part is applied to what is there, and is not enough for what is not",
            vec![
                (
                    Deed::apply(&part, ALPHA, &json!({"spec": {"funding": "Other"}})),
                    422,
                ),
                made(&part),
                (
                    Deed::apply(&part, ALPHA, &json!({"spec": {"funding": "Other"}})),
                    409,
                ),
                (
                    Deed::apply(&part, ALPHA, &json!({"spec": {"funding": "Other"}}))
                        .with("force", "true"),
                    200,
                ),
                (Deed::apply(&part, ALPHA, &json!({})), 200),
            ],
        ),
        case(
            "an apply of what no definition knows fails",
            vec![(
                Deed::apply(
                    &strange,
                    ALPHA,
                    &good("InformationSystem", &json!({"spec": {"colour": "red"}})),
                ),
                500,
            )],
        ),
    ]
}

fn decisions() -> Vec<Case> {
    let approval = at("Approval", "one");
    let decided = json!({"spec": {"decision": "Approved", "decidedBy": OPERATOR}});
    vec![case(
        "an approval is decided once",
        vec![
            made(&approval),
            (
                Deed::merge(&approval, json!({"spec": {"title": "another"}})),
                422,
            ),
            (
                Deed::merge(&approval, json!({"spec": {"decidedBy": OPERATOR}})),
                422,
            ),
            (Deed::merge(&approval, decided), 200),
            (
                Deed::merge(
                    &approval,
                    json!({"spec": {"decision": "Rejected", "reason": "不"}}),
                ),
                422,
            ),
            (
                status(
                    &approval,
                    json!({"status": {"recordedAt": "2026-09-01T00:00:00Z"}}),
                ),
                200,
            ),
            (Deed::delete(&approval, &json!({})), 200),
        ],
    )]
}

fn ends() -> Vec<Case> {
    let held = at("InformationSystem", "held");
    vec![case(
        "the end of a held object of ours moves its generation",
        vec![
            (
                Deed::create(
                    &held,
                    &good(
                        "InformationSystem",
                        &json!({"metadata": {"finalizers": [HOLD]}}),
                    ),
                ),
                201,
            ),
            (Deed::delete(&held, &json!({})), 200),
            (Deed::delete(&held, &json!({})), 200),
            (
                Deed::merge(&held, json!({"spec": {"funding": "Other"}})),
                200,
            ),
            (
                Deed::rewrite(&held, json!({"metadata": {"finalizers": null}})),
                200,
            ),
            (Deed::get(&held), 404),
        ],
    )]
}
