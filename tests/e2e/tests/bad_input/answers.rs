//! What the API server says to each case: yes, or no with the place and the reason, or with a rule,
//! the value, what is allowed and what to do.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_e2e::Stage;
use tokio::sync::OnceCell;

use crate::cases::{self, Case};
use crate::leaves::{self, Kind};
use crate::wire::{Answer, People, Refusal, Stored, Wire};

/// Words of a server that stumbled instead of judging.
pub const STUMBLES: [&str; 9] = [
    "Internal error",
    "internal error",
    "timed out",
    "evaluating rule",
    "no such overload",
    "no such key",
    "cost budget",
    "failed rule:",
    "resulted in error",
];

/// A case and what was said to it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The case.
    pub case: Case,
    /// The refusal; nothing when it is accepted.
    pub refusal: Option<Refusal>,
}

static ASKED: OnceCell<Vec<Answered>> = OnceCell::const_new();

/// Every case of every kind, asked without being stored; once for all tests.
pub async fn asked() -> &'static [Answered] {
    ASKED
        .get_or_init(|| async {
            let stage = Stage::shared().await.unwrap();
            let office = stage.office("bad-input", "档案馆").await.unwrap();
            let kinds = leaves::kinds();
            let wire = Wire {
                people: People::around(&office).await,
                place: &office.place,
                kinds: &kinds,
            };
            let mut cases = cases::all(&kinds);
            for case in &mut cases {
                settle(case, &kinds[&case.kind], &office.place);
            }
            good_ones_are_accepted(&wire, &kinds).await;
            let answers = wire.send(&cases, Stored::Never).await;
            answers
                .into_iter()
                .map(|(case, answer)| Answered {
                    case: case.clone(),
                    refusal: match answer {
                        Answer::Accepted => None,
                        Answer::Refused(refusal) => Some(refusal),
                    },
                })
                .collect()
        })
        .await
}

/// Puts a case into a namespace, if its kind lives in one.
pub fn settle(case: &mut Case, kind: &Kind, place: &str) {
    if kind.namespaced {
        case.manifest["metadata"]["namespace"] = place.into();
    }
}

/// Otherwise every refusal below would mean nothing.
async fn good_ones_are_accepted(wire: &Wire<'_>, kinds: &BTreeMap<String, Kind>) {
    for (name, base) in cases::bases() {
        let mut manifest = cases::complete(&name, &kinds[&name], &base);
        if kinds[&name].namespaced {
            manifest["metadata"]["namespace"] = wire.place.into();
        }
        let answer = wire.create(&name, &manifest, Stored::Never).await;
        let answer = answer.unwrap();
        assert!(matches!(answer, Answer::Accepted), "{name}: {answer:?}");
    }
}

/// What is wrong with a refusal, if anything is.
fn fault(case: &Case, refusal: &Refusal, of_definitions: &BTreeSet<String>) -> Option<String> {
    let Refusal {
        code,
        message,
        causes,
    } = refusal;
    if ![400, 403, 422].contains(code) {
        return Some(format!("answered with {code}"));
    }
    if let Some(stumble) = STUMBLES.iter().find(|words| message.contains(**words)) {
        return Some(format!("says {stumble:?}"));
    }
    let mut sentences: Vec<&str> = causes
        .iter()
        .map(|(_, sentence)| sentence.as_str())
        .collect();
    if sentences.is_empty() {
        sentences.push(message);
    }
    let mut by_rule = false;
    for (id, rest) in sentences.iter().filter_map(|sentence| rule(sentence)) {
        by_rule = true;
        if let Some(lacking) = incomplete(rest, of_definitions.contains(id)) {
            return Some(format!("rule {id} {lacking}"));
        }
    }
    let named = causes.iter().any(|(field, _)| meets(field, &case.spot));
    let last = case.spot.rsplit('.').next().unwrap_or_default();
    if by_rule || named || (*code == 400 && message.contains(last)) {
        None
    } else {
        Some(format!("names neither a rule nor {}", case.spot))
    }
}

/// The rule that a sentence names, and what follows.
fn rule(sentence: &str) -> Option<(&str, &str)> {
    let (_, rest) = sentence.split_once("rule ")?;
    let (id, rest) = rest.split_once(':')?;
    (id.len() == 3 && id.is_ascii()).then_some((id, rest))
}

/// What a sentence lacks after its rule: what was asked, what is allowed, what to do. Policies of the
/// chart say it in words of their own.
fn incomplete(rest: &str, of_definitions: bool) -> Option<&'static str> {
    let remedy = rest.rsplit_once("; ").map_or("", |(_, remedy)| remedy);
    if remedy.trim().is_empty() {
        return Some("says not what to do");
    }
    if of_definitions && !rest.contains("asked ") {
        return Some("says not what was asked");
    }
    (of_definitions && !rest.contains(", allowed ")).then_some("says not what is allowed")
}

/// Whether a field that the API server names is the spoiled one, holds it, or lies in it.
fn meets(field: &str, spot: &str) -> bool {
    let field = field.replace(['[', ']'], ".").replace("..", ".");
    let field = field.trim_matches('.');
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    !field.is_empty() && (within(spot, field) || within(field, spot))
}

#[test]
fn a_refusal_must_name_the_place_or_a_rule_with_everything_that_belongs_to_it() {
    assert!(meets("spec.lease[0].item", "spec.lease.0.item"));
    assert!(meets("spec.lease", "spec.lease.0.item"));
    assert!(meets("spec.term.from", "spec.term"));
    assert!(meets(
        "spec.namespaces[0].share[vcpu]",
        "spec.namespaces.0.share.vcpu"
    ));
    assert!(!meets("spec.leaser", "spec.lease"));
    assert!(!meets("spec.zone", "spec.system"));
    assert!(!meets("<nil>", "spec"));
    let sentence = "Invalid value: rule T05: asked a, allowed b; correct spec.term";
    let (id, rest) = rule(sentence).unwrap();
    assert_eq!((id, incomplete(rest, true)), ("T05", None));
    assert!(incomplete(" the term ends before it begins", false).is_some());
    assert!(incomplete(" the term ends; correct it", false).is_none());
    assert!(incomplete(" the term ends; correct it", true).is_some());
    assert!(incomplete(" asked a; correct it", true).is_some());
    assert_eq!(rule("should match '^rule: a$'"), None);
}

#[tokio::test]
async fn every_refusal_of_bad_input_names_its_place_or_its_rule_with_value_and_remedy() {
    let of_definitions = leaves::rules_of_the_definitions();
    assert!(of_definitions.len() > 30, "{of_definitions:?}");
    let answered = asked().await;
    let mut faults = Vec::new();
    let mut refused = 0;
    for Answered { case, refusal } in answered {
        let Some(refusal) = refusal else { continue };
        refused += 1;
        if let Some(fault) = fault(case, refusal, &of_definitions) {
            let said: String = refusal.message.chars().take(600).collect();
            faults.push(format!(
                "{}: {fault}\n    {} {said}",
                case.title(),
                refusal.code
            ));
        }
    }
    assert!(answered.len() > 3_000, "only {} cases", answered.len());
    assert!(
        refused > 2_000,
        "only {refused} of {} refused",
        answered.len()
    );
    let shown = &faults[..faults.len().min(40)];
    assert!(
        faults.is_empty(),
        "{} of {refused}:\n{}",
        faults.len(),
        shown.join("\n")
    );
}

#[tokio::test]
async fn what_can_never_be_right_is_always_refused() {
    let mut accepted = Vec::new();
    for Answered { case, refusal } in asked().await {
        let wrong = match &case.value {
            // what the schema gives a default for may be left out, and null is leaving out
            None | Some(serde_json::Value::Null) => false,
            Some(value) => never_right(case, value),
        };
        if wrong && refusal.is_none() {
            accepted.push(case.title());
        }
    }
    assert!(
        accepted.is_empty(),
        "{}:\n{}",
        accepted.len(),
        accepted.join("\n")
    );
}

/// Characters that nobody sees in what people write, ten thousand characters in a row, two thousand
/// entries, another type. What the operator alone writes (statements, approvals) is its own affair.
fn never_right(case: &Case, value: &serde_json::Value) -> bool {
    use crate::mutations::Class;

    let by_people = !["Statement", "Approval", "BillingPeriod"].contains(&case.kind.as_str());
    // a serial is read by the operator, which says which characters it may have
    let read_later = case.place.ends_with(".serial");
    let long = value
        .as_str()
        .is_some_and(|text| text.chars().count() > 9_999);
    let hidden = value.as_str().is_some_and(|text| text.contains('\u{0}'));
    match case.class {
        Class::WrongType => true,
        Class::Huge => by_people && (long || value.is_array() || value.is_object()),
        Class::NonAscii => by_people && hidden && !read_later,
        Class::Missing | Class::Empty | Class::WrongUnit | Class::UnknownReference => false,
    }
}
