use leasehold_ledger::document::EffectiveDoc;

use super::*;

/// When the first request stood.
const STOOD: Second = Second::new(1_000_000);
const UNTIL: Second = STOOD.plus(7 * 86_400);
const BEFORE: Second = UNTIL.plus(-1);
const BY: &str = "zhang@edu";

fn policy(billing_starts: BillingStarts) -> AcceptancePolicy {
    AcceptancePolicy {
        billing_starts,
        ..AcceptancePolicy::default()
    }
}

fn accepted() -> AcceptancePolicy {
    policy(BillingStarts::Accepted)
}

fn delivered(request: u32, at: Second, until: Second) -> DeliveredDoc {
    DeliveredDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request,
        at,
        until,
    }
}

fn word(request: u32, accepted: bool, by: &str, reason: &str, at: Second) -> AcceptanceDoc {
    AcceptanceDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request,
        accepted,
        by: by.to_owned(),
        reason: reason.to_owned(),
        at,
    }
}

/// A first request that stood, and what was said of it.
fn view(words: Vec<AcceptanceDoc>) -> LedgerView {
    LedgerView {
        delivered: vec![delivered(1, STOOD, UNTIL)],
        acceptance: words,
        ..LedgerView::default()
    }
}

fn says(request: u32, accepted: bool, reason: &str) -> Acceptance {
    Acceptance {
        request,
        incarnation: None,
        accepted,
        reason: (!reason.is_empty()).then(|| reason.into()),
    }
}

/// The same, of this life of the name.
fn says_of(incarnation: u32, request: u32) -> Acceptance {
    Acceptance {
        incarnation: Some(incarnation),
        ..says(request, true, "")
    }
}

fn step(view: &LedgerView, said: Option<&Acceptance>, now: Second) -> Step {
    delivery(view).unwrap().step(said, BY, &accepted(), now)
}

#[test]
fn what_nobody_speaks_of_is_accepted_at_the_promised_instant_however_late_that_is_seen() {
    let view = view(Vec::new());
    assert_eq!(step(&view, None, BEFORE), Step::Waits);
    let late = UNTIL.plus(100_000);
    for now in [UNTIL, late] {
        let Step::Record(doc) = step(&view, None, now) else {
            panic!("nothing is recorded at {now}");
        };
        let expected = word(
            1,
            true,
            "CloudPolicy default",
            "nobody rejected it in time",
            UNTIL,
        );
        assert_eq!(doc, expected);
    }
}

#[test]
fn an_acceptance_counts_when_it_is_seen_and_no_later_than_the_promised_instant() {
    let yes = says(1, true, "");
    let noon = STOOD.plus(3600);
    let seen = |now, at| {
        let expected = Step::Record(word(1, true, BY, "", at));
        assert_eq!(step(&view(Vec::new()), Some(&yes), now), expected);
    };
    seen(noon, noon);
    seen(UNTIL.plus(50), UNTIL);
}

#[test]
fn a_rejection_stands_until_the_department_accepts_and_then_nothing_is_back_dated() {
    let no = says(1, false, "too slow");
    let noon = STOOD.plus(3600);
    let rejection = word(1, false, BY, "too slow", noon);
    let said = step(&view(Vec::new()), Some(&no), noon);
    assert_eq!(said, Step::Record(rejection.clone()));

    let rejected = view(vec![rejection]);
    let later = UNTIL.plus(86_400);
    // said already, and not taken back by leaving it out
    assert_eq!(step(&rejected, Some(&no), later), Step::Rejected);
    assert_eq!(step(&rejected, None, later), Step::Rejected);
    let worse = says(1, false, "it is down");
    let again = Step::Record(word(1, false, BY, "it is down", later));
    assert_eq!(step(&rejected, Some(&worse), later), again);
    let yes = says(1, true, "");
    let accepted = Step::Record(word(1, true, BY, "", later));
    assert_eq!(step(&rejected, Some(&yes), later), accepted);
}

#[test]
fn a_rejection_that_is_seen_late_counts() {
    let no = says(1, false, "too slow");
    let late = UNTIL.plus(50);
    let expected = Step::Record(word(1, false, BY, "too slow", late));
    assert_eq!(step(&view(Vec::new()), Some(&no), late), expected);
}

#[test]
fn a_policy_that_asks_for_no_acceptance_any_more_accepts_now_but_not_against_a_rejection() {
    let provisioned = policy(BillingStarts::Provisioned);
    let open = view(Vec::new());
    let noon = STOOD.plus(3600);
    let said = delivery(&open).unwrap().step(None, BY, &provisioned, noon);
    let reason = "no acceptance is needed any more";
    let expected = word(1, true, "CloudPolicy default", reason, noon);
    assert_eq!(said, Step::Record(expected));

    let rejected = view(vec![word(1, false, BY, "too slow", noon)]);
    let delivery = delivery(&rejected).unwrap();
    let said = delivery.step(None, BY, &provisioned, UNTIL);
    assert_eq!(said, Step::Rejected);
}

#[test]
fn a_word_on_another_request_changes_nothing_and_is_pointed_out_unless_it_was_recorded() {
    let two = LedgerView {
        delivered: vec![delivered(1, STOOD, UNTIL), delivered(2, STOOD, UNTIL)],
        acceptance: vec![word(1, false, BY, "too slow", STOOD)],
        ..LedgerView::default()
    };
    let found = delivery(&two).unwrap();
    assert_eq!((found.delivered.request, found.rejected), (2, None));
    assert_eq!(step(&two, Some(&says(3, true, "")), BEFORE), Step::Waits);
    let refusal = found.misaddressed(&two, Some(&says(3, true, ""))).unwrap();
    assert_eq!(
        refusal.to_string(),
        "rule T47: asked an acceptance of request 3, allowed one of request 2, which is in place; \
         set spec.acceptance.request to 2, or use leasehold accept"
    );
    let said = [
        None,
        Some(says(1, false, "too slow")),
        Some(says(2, true, "")),
    ];
    for said in said {
        assert_eq!(found.misaddressed(&two, said.as_ref()), None, "{said:?}");
    }
}

#[test]
fn what_was_said_in_one_life_of_the_name_counts_for_no_other() {
    let life = |incarnation| {
        let mut of_it = view(Vec::new());
        of_it.delivered[0].incarnation = incarnation;
        of_it
    };
    let (first, second) = (life(1), life(2));
    let is_waiting =
        |view: &LedgerView, said: Acceptance| step(view, Some(&said), BEFORE) == Step::Waits;
    assert!(!is_waiting(&first, says(1, true, "")));
    assert!(!is_waiting(&first, says_of(1, 1)));
    assert!(!is_waiting(&second, says_of(2, 1)));
    let others = [
        (&first, says_of(2, 1)),
        (&second, says(1, true, "")),
        (&second, says_of(1, 1)),
    ];
    for (view, said) in others {
        assert!(is_waiting(view, said.clone()), "{said:?}");
    }
    let found = delivery(&second).unwrap();
    let left_over = says(1, true, "");
    let refusal = found.misaddressed(&second, Some(&left_over)).unwrap();
    assert_eq!(
        refusal.to_string(),
        "rule T47: asked an acceptance of request 1 of incarnation 1, allowed one of request 1 of incarnation 2, which is \
         in place; set spec.acceptance.request to 1 and spec.acceptance.incarnation to 2, or use leasehold accept"
    );
    assert_eq!(found.misaddressed(&second, Some(&says_of(2, 1))), None);
}

#[test]
fn a_rejection_stands_since_it_was_first_said_until_another_request_is_in_place() {
    let noon = STOOD.plus(3600);
    let first = word(1, false, BY, "too slow", noon);
    let again = word(1, false, BY, "it is down", noon.plus(60));
    let mut view = view(vec![first.clone()]);
    view.acceptance.push(again);
    assert_eq!(rejection(&view), Some(&first));
    view.delivered.push(delivered(2, STOOD, UNTIL));
    assert_eq!(rejection(&view), None, "what mends it is in place");
    let worse = word(2, false, BY, "worse", noon.plus(120));
    view.acceptance.push(worse.clone());
    assert_eq!(rejection(&view), Some(&worse));
    assert_eq!(rejection(&LedgerView::default()), None);
}

#[test]
fn a_change_does_not_begin_the_days_anew_and_a_rejection_does() {
    let later = STOOD.plus(3 * 86_400);
    assert_eq!(until(&LedgerView::default(), &accepted(), STOOD), UNTIL);
    assert_eq!(until(&view(Vec::new()), &accepted(), later), UNTIL);
    let rejected = view(vec![word(1, false, BY, "too slow", STOOD)]);
    let anew = until(&rejected, &accepted(), later);
    assert_eq!(anew, UNTIL.plus(3 * 86_400));
    let at_once = AcceptancePolicy {
        auto_after_days: 0,
        ..accepted()
    };
    assert_eq!(until(&LedgerView::default(), &at_once, STOOD), STOOD);
}

#[test]
fn only_the_first_request_of_a_life_is_accepted_and_only_where_the_policy_says_so() {
    let mut view = view(Vec::new());
    assert!(is_demanded(&view, &accepted()));
    assert!(!is_demanded(&view, &AcceptancePolicy::default()));
    view.effective.push(EffectiveDoc {
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        request: 1,
        not_before: STOOD,
        at: UNTIL,
    });
    assert!(!is_demanded(&view, &accepted()));
    assert_eq!(delivery(&view), None);
}
