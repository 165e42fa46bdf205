//! What a meter says of itself: whether it counts, and why not.

use std::{sync::Arc, time::Duration};

use leasehold_api::{
    conditions::{self, NewCondition, types},
    platform::{Meter as Kind, MeterSpec},
};
use leasehold_kit::{EventType, shutdown::Shutdown};
use leasehold_planner::rules::Refusal;

use super::{Declared, Keeper, View};
use crate::{Context, Error, meters, verdict::Verdict};

/// How a meter stands is looked at this often, whether or not anything changed.
const LOOK: Duration = Duration::from_secs(60);
/// Between two attempts to write a status.
const AGAIN: Duration = Duration::from_secs(5);
/// The label of roles whose rules the operator gets.
const AGGREGATED: &str = "leasehold.dev/aggregate-to-meters";
/// The answer where a right is missing.
const FORBIDDEN: u16 = 403;

/// Writes how the meter stands into its status whenever that changes, until it is asked to stop.
pub async fn keep(object: Kind, declared: Arc<Declared>, context: Context, shutdown: Shutdown) {
    while !shutdown.is_requested() {
        let view = declared.view();
        let written = write(&object, &view, verdict(&object.spec, &view), &context).await;
        let again = pause(written);
        tokio::select! {
            // whichever comes, it is written again
            biased;
            () = shutdown.wait() => {}
            () = declared.changed.notified() => {}
            () = tokio::time::sleep(again) => {}
        }
    }
}

/// Says why the meter cannot be read, until it is asked to stop. The schema lets no such meter in.
pub async fn unreadable(object: Kind, sentence: String, context: Context, shutdown: Shutdown) {
    while !shutdown.is_requested() {
        let mut verdict = Verdict::default();
        verdict.refuse(format!("{sentence}; declare another meter and correct it"));
        let written = write(&object, &View::default(), verdict, &context).await;
        meters::pause(pause(written), &shutdown).await;
    }
}

fn pause(written: Result<(), Error>) -> Duration {
    match written {
        Ok(()) => LOOK,
        Err(error) => {
            meters::report(&error, "failed to say how a meter stands");
            AGAIN
        }
    }
}

async fn write(
    object: &Kind,
    view: &View,
    verdict: Verdict,
    context: &Context,
) -> Result<(), Error> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let known = context.world.meters.get(None, name);
    let Some(object) = known.filter(|known| known.metadata.uid == object.metadata.uid) else {
        return Ok(());
    };
    let now = context.now().timestamp();
    let old = object.status.clone().unwrap_or_default();
    let mut new = old.clone();
    new.observed_generation = object.metadata.generation;
    new.since = new.since.or(view.since.map(|at| at.to_string()));
    verdict.write(&mut new.conditions, object.metadata.generation, now);
    let (reason, message) = verdict.summary();
    if view.is_blind() {
        let blind = NewCondition {
            type_: types::BLIND,
            holds: true,
            reason: "NotSeen",
            message,
        };
        conditions::set(&mut new.conditions, &blind, object.metadata.generation, now);
    } else {
        conditions::clear(&mut new.conditions, types::BLIND);
    }
    if new == old {
        return Ok(());
    }
    if !verdict.is_fine() {
        context
            .kit
            .event(&object, EventType::Warning, reason, "Count", message)
            .await;
    }
    context
        .kit
        .patch_status(&object, object.status.as_ref(), &new)
        .await?;
    Ok(())
}

/// What is to be said of how a meter stands.
fn verdict(spec: &MeterSpec, view: &View) -> Verdict {
    let mut verdict = Verdict::fine("Counting", counts(spec));
    if view.homeless {
        let refusal = Refusal::new(
            "E09",
            format!("a meter of {}, which live in no namespace", words(spec)),
            "kinds whose objects live in namespaces: only these belong to a tenancy",
            "declare a meter of another kind",
        );
        verdict.refuse(refusal.to_string());
    }
    if view.keeper == Keeper::Foreign {
        let refusal = Refusal::new(
            "E10",
            format!("a meter of {}, which another server stores", words(spec)),
            "kinds that the cluster itself stores: only their versions tell up to when everything was seen",
            "declare a meter of a kind of the cluster, or have the server's operator keep such objects there",
        );
        verdict.refuse(refusal.to_string());
    }
    if view.absent {
        verdict.wait(format!(
            "{} are not served, so there are none; whoever installs the kind does so, or corrects spec.version",
            words(spec)
        ));
    } else if let Some(lost) = &view.lost {
        verdict.wait(if lost.code == Some(FORBIDDEN) {
            forbidden(spec)
        } else {
            format!(
                "{} cannot be watched at the moment: {}; what is used meanwhile is caught up with, and no period closes before",
                words(spec),
                lost.message
            )
        });
    } else if !view.begun {
        verdict.wait(format!(
            "{} are not listed yet; it takes seconds",
            words(spec)
        ));
    }
    if let Some(sentence) = view.uncounted.values().next() {
        let more = match view.uncounted.len() {
            0 | 1 => String::new(),
            all => format!(" (one of {all})"),
        };
        verdict.wait(format!(
            "{sentence}{more}; whoever wrote it corrects it, meanwhile it counts what it counted before, and leaves a gap"
        ));
    }
    verdict
}

/// The right that is missing, as it is to be written.
fn forbidden(spec: &MeterSpec) -> String {
    format!(
        "leasehold may not read {}; add to a ClusterRole with the label {AGGREGATED}=true the rule {{apiGroups: [\"{}\"], \
         resources: [{}], verbs: [get, list, watch]}}, or to meters.read of the chart",
        words(spec),
        spec.group,
        spec.resource
    )
}

/// The objects of the kind, in words.
fn words(spec: &MeterSpec) -> String {
    if spec.group.is_empty() {
        format!("{} ({})", spec.resource, spec.version)
    } else {
        format!("{}.{} ({})", spec.resource, spec.group, spec.version)
    }
}

/// What is counted, in words.
fn counts(spec: &MeterSpec) -> String {
    let quantity = spec.quantity.clone().unwrap_or_default();
    let what = match (&quantity.path, &quantity.count_of, &quantity.device_class) {
        (Some(path), _, _) => format!("what stands in {path}"),
        (None, Some(list), _) => format!("the entries of {list}"),
        (None, None, Some(class)) => format!("the allocated devices of class {class}"),
        (None, None, None) => "one each".to_owned(),
    };
    let which = if spec.selector.is_some() {
        "those that the selector names"
    } else {
        "all"
    };
    format!("of {}, {which}, counts {what}", words(spec))
}

#[cfg(test)]
mod tests {
    use leasehold_kit::watch::Lost;
    use serde_json::{Value, json};

    use super::*;
    use crate::meters::metered::Note;

    fn spec(over: &Value) -> MeterSpec {
        let mut spec = json!({
            "displayName": "桶", "group": "storage.example.com", "version": "v1", "kind": "Bucket",
            "resource": "buckets", "quantity": {"path": ".spec.quota"}, "unit": "GiB",
        });
        for (key, value) in over.as_object().unwrap() {
            spec[key.as_str()] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn lost(code: Option<u16>) -> View {
        View {
            begun: true,
            lost: Some(Lost {
                code,
                message: "connection refused".to_owned(),
                times: 0,
            }),
            ..View::default()
        }
    }

    #[test]
    fn a_meter_that_counts_says_what_and_one_that_has_not_begun_waits() {
        let begun = View {
            begun: true,
            ..View::default()
        };
        let fine = verdict(&spec(&json!({})), &begun);
        let said = "of buckets.storage.example.com (v1), all, counts what stands in .spec.quota";
        assert_eq!(fine.summary(), ("Counting", said));
        assert!(!begun.is_blind());
        let waits = verdict(&spec(&json!({})), &View::default());
        assert_eq!(waits.summary().0, "Waiting");
    }

    #[test]
    fn where_a_right_is_missing_the_rule_is_said_that_gives_it() {
        let view = lost(Some(403));
        assert!(view.is_blind());
        let verdict = verdict(&spec(&json!({"group": "", "resource": "services"})), &view);
        let (reason, message) = verdict.summary();
        assert_eq!(reason, "Waiting");
        let rule = r#"{apiGroups: [""], resources: [services], verbs: [get, list, watch]}"#;
        assert!(message.contains(rule), "{message}");
        assert!(
            message.contains("leasehold.dev/aggregate-to-meters=true"),
            "{message}"
        );
    }

    #[test]
    fn a_kind_that_is_not_served_is_missing_and_the_meter_is_not_blind() {
        let view = View {
            absent: true,
            ..View::default()
        };
        assert!(!view.is_blind());
        let verdict = verdict(&spec(&json!({})), &view);
        assert!(!verdict.is_fine());
        let (_, message) = verdict.summary();
        assert!(
            message.starts_with("buckets.storage.example.com (v1) are not served"),
            "{message}"
        );
    }

    #[test]
    fn other_troubles_and_objects_that_cannot_be_counted_make_a_meter_blind() {
        let view = lost(None);
        assert!(view.is_blind());
        let told = verdict(&spec(&json!({})), &view);
        assert!(told.summary().1.contains("connection refused"));
        let mut view = View {
            begun: true,
            ..View::default()
        };
        view.uncounted
            .insert("u".to_owned(), "Bucket a--b/c: failed to count".to_owned());
        assert!(view.is_blind());
        let told = verdict(&spec(&json!({})), &view);
        assert!(
            told.summary().1.starts_with("Bucket a--b/c: failed"),
            "{told:?}"
        );
    }

    #[test]
    fn of_many_objects_that_cannot_be_counted_one_is_named_and_the_meter_sees_again_after_the_last()
    {
        let mut view = View {
            begun: true,
            ..View::default()
        };
        for n in 0..11 {
            assert!(view.note(&Note::Uncountable(&n.to_string(), "Bucket: failed")));
        }
        assert!(
            !view.note(&Note::Uncountable("10", "Bucket: failed")),
            "no news"
        );
        let told = verdict(&spec(&json!({})), &view);
        assert!(
            told.summary().1.starts_with("Bucket: failed (one of 11)"),
            "{told:?}"
        );
        for n in 0..10 {
            assert!(view.note(&Note::Counted(&n.to_string())));
            assert!(view.is_blind(), "{n}");
        }
        assert!(view.note(&Note::Counted("10")) && !view.is_blind());
    }

    #[test]
    fn kinds_that_another_server_stores_are_refused_by_their_rule() {
        let mut view = View {
            begun: true,
            ..View::default()
        };
        assert!(view.note(&Note::Stored(false)) && view.is_blind());
        let told = verdict(&spec(&json!({})), &view);
        assert_eq!(told.summary().0, "Refused");
        assert!(
            told.summary()
                .1
                .starts_with("rule E10: asked a meter of buckets."),
            "{told:?}"
        );
        assert!(view.note(&Note::Stored(true)) && !view.is_blind());
    }

    #[test]
    fn kinds_that_live_in_no_namespace_are_refused_by_their_rule() {
        let view = View {
            begun: true,
            homeless: true,
            ..View::default()
        };
        let told = verdict(&spec(&json!({})), &view);
        assert_eq!(told.summary().0, "Refused");
        assert!(
            told.summary()
                .1
                .starts_with("rule E09: asked a meter of buckets."),
            "{told:?}"
        );
    }
}
