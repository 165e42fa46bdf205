//! Sharp cases of single objects. The codes are those that documentation and sources of Kubernetes promise.

use serde_json::{Value, json};

use crate::deed::{Deed, NOBODY, STALE, UID, VERSION};
use crate::place::Place;
use crate::sharp::{ALPHA, BETA, Case, HOLD, at, case, made};

/// The cases.
pub fn all() -> Vec<Case> {
    [
        owners(),
        authors(),
        versions(),
        identities(),
        finalizers(),
        steps(),
        patches(),
        selectors(),
        creates(),
        puts_that_create(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn data(data: &Value) -> Value {
    json!({"data": data})
}

fn applied(place: &Place, by: &str, what: &Value) -> Deed {
    Deed::apply(place, by, &data(what))
}

fn owners() -> Vec<Case> {
    let (lost, force, share) = (
        at("ConfigMap", "lost"),
        at("ConfigMap", "force"),
        at("ConfigMap", "share"),
    );
    vec![
        case(
            "an apply takes what it no longer names, unless another applies it too",
            vec![
                (
                    applied(&lost, ALPHA, &json!({"x": "1", "y": "2", "z": "3"})),
                    201,
                ),
                (applied(&lost, BETA, &json!({"y": "2"})), 200),
                (applied(&lost, ALPHA, &json!({"x": "1"})), 200),
                (applied(&lost, BETA, &json!({})), 200),
            ],
        ),
        case(
            "a field of another is a conflict, until force takes it",
            vec![
                (applied(&force, ALPHA, &json!({"x": "1"})), 201),
                (applied(&force, BETA, &json!({"x": "2", "y": "2"})), 409),
                (
                    applied(&force, BETA, &json!({"x": "2", "y": "2"})).with("force", "true"),
                    200,
                ),
                (applied(&force, ALPHA, &json!({})), 200),
            ],
        ),
        case(
            "whoever applies what an editor wrote shares it, and may not change it",
            vec![
                made(&share),
                (applied(&share, ALPHA, &json!({"x": "2"})), 409),
                (applied(&share, ALPHA, &json!({"x": "1"})), 200),
                (Deed::merge(&share, data(&json!({"x": "3"}))), 200),
                (applied(&share, ALPHA, &json!({})), 200),
            ],
        ),
    ]
}

fn authors() -> Vec<Case> {
    let empty = at("ConfigMap", "empty");
    vec![
        case(
            "an apply of the same again changes nothing",
            vec![
                (applied(&empty, ALPHA, &json!({"x": "1"})), 201),
                (applied(&empty, ALPHA, &json!({"x": "1"})), 200),
                (applied(&empty, BETA, &json!({"x": "1"})), 200),
            ],
        ),
        case(
            "an apply names its author and does not carry the books of others",
            vec![
                (applied(&empty, "", &json!({})), 422),
                (
                    Deed::apply(
                        &empty,
                        ALPHA,
                        &json!({"metadata": {"managedFields": [{"manager": "cf-beta"}]}}),
                    ),
                    400,
                ),
            ],
        ),
    ]
}

fn versions() -> Vec<Case> {
    let (put, patch, same) = (
        at("ConfigMap", "put"),
        at("ConfigMap", "patch"),
        at("ConfigMap", "same"),
    );
    let at_version = |version: &str, x: &str| json!({"metadata": {"resourceVersion": version}, "data": {"x": x}});
    vec![
        case(
            "an update goes by its version, and without one is unconditional",
            vec![
                made(&put),
                (Deed::replace(&put, &at_version(VERSION, "2")), 200),
                (Deed::replace(&put, &at_version(STALE, "3")), 409),
                (Deed::replace(&put, &data(&json!({"x": "4"}))), 200),
            ],
        ),
        case(
            "a patch and an apply with an older version conflict",
            vec![
                made(&patch),
                (Deed::merge(&patch, at_version(VERSION, "2")), 200),
                (Deed::merge(&patch, at_version(STALE, "3")), 409),
                (Deed::apply(&patch, ALPHA, &at_version(STALE, "2")), 409),
                (Deed::apply(&patch, ALPHA, &at_version(VERSION, "2")), 200),
            ],
        ),
        case(
            "a write that changes nothing moves no version",
            vec![
                made(&same),
                (Deed::merge(&same, json!({})), 200),
                (Deed::merge(&same, data(&json!({"x": "1", "y": null}))), 200),
                (Deed::rewrite(&same, json!({})), 200),
                (Deed::json(&same, json!([])), 200),
                (
                    Deed::json(
                        &same,
                        json!([{"op": "replace", "path": "/data/x", "value": "1"}]),
                    ),
                    200,
                ),
            ],
        ),
    ]
}

fn identities() -> Vec<Case> {
    let (uid, delete, name) = (
        at("ConfigMap", "uid"),
        at("ConfigMap", "delete"),
        at("ConfigMap", "name"),
    );
    let with_uid = |uid: &str| json!({"metadata": {"uid": uid}, "data": {"x": "2"}});
    let on = |conditions: Value| Deed::delete(&delete, &json!({"preconditions": conditions}));
    vec![
        case(
            "an update of another object is a conflict, and there is none of an object that is gone",
            vec![
                made(&uid),
                (Deed::replace(&uid, &with_uid(NOBODY)), 409),
                (Deed::replace(&uid, &with_uid(UID)), 200),
                (Deed::delete(&uid, &json!({})), 200),
                // that it is gone is told before that it was meant by its uid
                (Deed::replace(&uid, &with_uid(UID)), 404),
                (Deed::replace(&uid, &data(&json!({}))), 404),
                (Deed::rewrite(&uid, json!({})), 404),
            ],
        ),
        case(
            "a delete under a condition that does not hold is refused",
            vec![
                made(&delete),
                (Deed::merge(&delete, data(&json!({"x": "2"}))), 200),
                (on(json!({"uid": NOBODY})), 409),
                (on(json!({"resourceVersion": STALE})), 409),
                (on(json!({"uid": UID, "resourceVersion": VERSION})), 200),
                (on(json!({"uid": UID})), 404),
            ],
        ),
        case(
            "no write moves an object to another name or namespace",
            vec![
                made(&name),
                (
                    Deed::replace(&name, &json!({"metadata": {"name": "other"}})),
                    400,
                ),
                (
                    Deed::merge(&name, json!({"metadata": {"name": "other"}})),
                    400,
                ),
                (
                    Deed::replace(&name, &json!({"metadata": {"namespace": "default"}})),
                    400,
                ),
                (
                    Deed::merge(
                        &name,
                        json!({"metadata": {"generation": 9, "creationTimestamp": null}}),
                    ),
                    200,
                ),
            ],
        ),
    ]
}

fn finalizers() -> Vec<Case> {
    let (held, born) = (at("ConfigMap", "held"), at("ConfigMap", "born"));
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    vec![
        case(
            "a held object ends when its finalizer goes, and takes no new one meanwhile",
            vec![
                made(&held),
                (Deed::merge(&held, finalizers(json!([HOLD]))), 200),
                (Deed::delete(&held, &json!({})), 200),
                (Deed::delete(&held, &json!({})), 200),
                (Deed::create(&held, &data(&json!({}))), 409),
                (
                    Deed::merge(
                        &held,
                        finalizers(json!([HOLD, "conformance.leasehold.dev/more"])),
                    ),
                    422,
                ),
                (Deed::merge(&held, data(&json!({"x": "2"}))), 200),
                (Deed::merge(&held, finalizers(Value::Null)), 200),
                (Deed::get(&held), 404),
                made(&held),
            ],
        ),
        case(
            "an update without finalizers takes them off, and an apply takes off its own",
            vec![
                (Deed::apply(&born, ALPHA, &finalizers(json!([HOLD]))), 201),
                (Deed::delete(&born, &json!({})), 200),
                (Deed::apply(&born, ALPHA, &json!({})), 200),
                (Deed::get(&born), 404),
                (Deed::create(&born, &finalizers(json!([HOLD]))), 201),
                (Deed::delete(&born, &json!({})), 200),
                (Deed::replace(&born, &data(&json!({}))), 200),
                (Deed::get(&born), 404),
            ],
        ),
    ]
}

fn steps() -> Vec<Case> {
    let steps = at("ConfigMap", "steps");
    let step = |patch: Value| Deed::json(&steps, patch);
    vec![case(
        "a JSON patch is carried out as a whole or not at all",
        vec![
            made(&steps),
            (
                step(
                    json!([{"op": "test", "path": "/data/x", "value": "1"}, {"op": "add", "path": "/data/y", "value": "2"}]),
                ),
                200,
            ),
            (
                step(
                    json!([{"op": "add", "path": "/data/z", "value": "3"}, {"op": "test", "path": "/data/x", "value": "2"}]),
                ),
                422,
            ),
            (step(json!([{"op": "remove", "path": "/data/z"}])), 422),
            (
                step(json!([{"op": "replace", "path": "/data/z", "value": "3"}])),
                200,
            ),
            (
                step(json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}])),
                422,
            ),
            (
                step(json!([{"op": "test", "path": "/metadata/labels", "value": null}])),
                200,
            ),
            (step(json!([{"op": "remove", "path": "/data"}])), 200),
        ],
    )]
}

fn patches() -> Vec<Case> {
    let (nothing, gone) = (at("ConfigMap", "nothing"), at("ConfigMap", "gone"));
    vec![
        case(
            "what is taken away to the last entry is not there any more",
            vec![
                (
                    Deed::create(
                        &nothing,
                        &json!({"metadata": {"labels": {"a": "b"}}, "data": {"x": "1"}}),
                    ),
                    201,
                ),
                (
                    Deed::merge(&nothing, json!({"metadata": {"labels": {"a": null}}})),
                    200,
                ),
                (Deed::merge(&nothing, data(&json!({"x": null}))), 200),
            ],
        ),
        case(
            "only an apply patches what is not there",
            vec![
                (Deed::merge(&gone, json!({})), 404),
                (Deed::json(&gone, json!([])), 404),
                (
                    Deed::apply(&gone, ALPHA, &json!({"metadata": {"uid": NOBODY}})),
                    409,
                ),
                (Deed::apply(&gone, ALPHA, &json!({})), 201),
            ],
        ),
    ]
}

fn selectors() -> Vec<Case> {
    let all = at("ConfigMap", "");
    let (one, two) = (at("ConfigMap", "sel-1"), at("ConfigMap", "sel-2"));
    let list = |parameter, value: &str, code| (Deed::list(&all).with(parameter, value), code);
    let labelled = json!({"metadata": {"labels": {"sel": "a"}}});
    vec![
        case(
            "labels and names are selected",
            vec![
                (Deed::create(&one, &labelled), 201),
                (Deed::create(&two, &json!({})), 201),
                list("labelSelector", "sel in (a, b),!more,sel!=c", 200),
                list("labelSelector", "sel notin (b),sel", 200),
                list("fieldSelector", "metadata.name=sel-2", 200),
            ],
        ),
        case(
            "a set without an operator is no selector",
            vec![list("labelSelector", "sel (a)", 400)],
        ),
        case(
            "a set without parentheses is no selector",
            vec![list("labelSelector", "sel in a", 400)],
        ),
        case(
            "a value without a label is no selector",
            vec![list("labelSelector", "=a", 400)],
        ),
        case(
            "a field without an operator is no selector",
            vec![list("fieldSelector", "metadata.name", 400)],
        ),
    ]
}

fn creates() -> Vec<Case> {
    let (twice, trial) = (at("ConfigMap", "twice"), at("ConfigMap", "trial"));
    let nameless = at("ConfigMap", "");
    let made_up = json!({"metadata": {"generateName": "made-up-"}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret"});
    let elsewhere = json!({"metadata": {"namespace": "default"}});
    vec![
        case(
            "a name is taken once",
            vec![
                made(&twice),
                (Deed::create(&twice, &data(&json!({"x": "2"}))), 409),
            ],
        ),
        case(
            "a name is needed, or the beginning of one, and a good one",
            vec![
                (Deed::create(&nameless, &json!({})), 422),
                (Deed::create(&nameless, &made_up), 201),
                (Deed::create(&at("ConfigMap", "Not_Good"), &json!({})), 422),
                (
                    Deed::create(&Place::namespace("cft-no.label"), &json!({})),
                    422,
                ),
            ],
        ),
        case(
            "a body is of the kind and the namespace that its path names",
            vec![
                (Deed::create(&at("ConfigMap", "kind"), &secret), 400),
                (Deed::create(&at("ConfigMap", "place"), &elsewhere), 400),
                (
                    Deed::create(&Place::new("ConfigMap", "cft-nowhere", "place"), &json!({})),
                    404,
                ),
            ],
        ),
        case(
            "a trial stores nothing",
            vec![
                (
                    Deed::create(&trial, &data(&json!({"x": "1"}))).with("dryRun", "All"),
                    201,
                ),
                (Deed::get(&trial), 404),
            ],
        ),
    ]
}

fn puts_that_create() -> Vec<Case> {
    let (limits, binding) = (at("LimitRange", "put"), at("RoleBinding", "put"));
    let one = json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "4"}}]}});
    let group = "rbac.authorization.k8s.io";
    let view = json!({"roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"}});
    vec![
        case(
            "an update makes a limit range that is not there",
            vec![(Deed::replace(&limits, &one), 201)],
        ),
        case(
            "an update makes a binding that is not there",
            vec![(Deed::replace(&binding, &view), 201)],
        ),
    ]
}
