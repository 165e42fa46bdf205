use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn tree(links: &[(&str, Option<&str>)]) -> Hierarchy {
    let owned = links
        .iter()
        .map(|(code, parent)| ((*code).to_owned(), parent.map(str::to_owned)));
    Hierarchy::new(owned)
}

/// A city with two counties, a street in one of them, and a village in the street.
fn city() -> Hierarchy {
    tree(&[
        ("city", None),
        ("daye", Some("city")),
        ("yangxin", Some("city")),
        ("street", Some("daye")),
        ("village", Some("street")),
    ])
}

#[test]
fn a_chain_begins_with_the_nearest_and_a_subtree_is_everything_below() {
    let city = city();
    let line = city.line("village");
    assert_eq!(line.above, ["street", "daye", "city"]);
    assert_eq!(line.end, End::Top);
    assert_eq!(line.refusal("village"), None);
    assert_eq!(line.note("village"), None);
    assert_eq!(
        city.subtree("daye"),
        BTreeSet::from(["daye", "street", "village"])
    );
    assert_eq!(city.below("city").collect::<Vec<_>>(), ["daye", "yangxin"]);
    assert!(city.line("city").above.is_empty());
}

#[test]
fn a_department_that_is_seen_before_the_others_are_is_put_where_it_says() {
    let city = city();
    let moved = city.with("street", Some("yangxin"));
    assert_eq!(moved.line("village").above, ["street", "yangxin", "city"]);
    assert_eq!(moved.subtree("daye"), BTreeSet::from(["daye"]));
    let new = city.with("cun", Some("village"));
    assert_eq!(new.line("cun").above, ["village", "street", "daye", "city"]);
    assert_eq!(city.with("village", Some("street")), city);
}

#[test]
fn a_parent_that_does_not_exist_ends_the_chain_and_is_named() {
    let tree = tree(&[("street", Some("daye")), ("village", Some("street"))]);
    let line = tree.line("village");
    assert_eq!(line.above, ["street"]);
    assert_eq!(line.end, End::Missing("daye"));
    let far = line.note("village").unwrap();
    assert!(
        far.starts_with("Department daye further above does not exist yet"),
        "{far}"
    );
    let near = tree.line("street").note("street").unwrap();
    assert!(
        near.starts_with("Department daye above this one does not exist yet"),
        "{near}"
    );
    // who waits below a code that is not there yet is found by it
    assert_eq!(tree.subtree("daye"), BTreeSet::from(["street", "village"]));
}

#[test]
fn each_of_a_circle_is_refused_with_the_chain_that_begins_with_itself() {
    let tree = tree(&[("a", Some("b")), ("b", Some("c")), ("c", Some("a"))]);
    for (code, chain) in [
        ("a", "a → b → c → a"),
        ("b", "b → c → a → b"),
        ("c", "c → a → b → c"),
    ] {
        let line = tree.line(code);
        assert_eq!(line.above.len(), 2, "{line:?}");
        let refusal = line.refusal(code).unwrap();
        assert_eq!(refusal.rule, "D06");
        assert!(refusal.asked.contains(chain), "{refusal}");
        assert!(refusal.remedy.contains("spec.parent"), "{refusal}");
        assert_eq!(line.note(code), None);
        assert_eq!(tree.subtree(code), BTreeSet::from(["a", "b", "c"]));
    }
}

#[test]
fn a_department_below_a_circle_is_told_whose_it_is_and_is_not_refused() {
    let tree = tree(&[
        ("a", Some("b")),
        ("b", Some("a")),
        ("xiang", Some("b")),
        ("cun", Some("xiang")),
    ]);
    let line = tree.line("cun");
    assert_eq!(line.above, ["xiang", "b", "a"]);
    assert_eq!(line.refusal("cun"), None);
    let told = line.note("cun").unwrap();
    assert!(told.contains("b → a → b") && told.contains("D06"), "{told}");
    assert_eq!(
        tree.subtree("a"),
        BTreeSet::from(["a", "b", "cun", "xiang"])
    );
}

/// A chain of so many departments, `d0` at the top.
fn chain(length: usize) -> Hierarchy {
    Hierarchy::new((0..length).map(|number| {
        let parent = number.checked_sub(1).map(|above| format!("d{above}"));
        (format!("d{number}"), parent)
    }))
}

#[test]
fn eight_above_are_as_deep_as_it_goes() {
    let chain = chain(10);
    assert_eq!(chain.line("d8").above.len(), 8);
    assert_eq!(chain.line("d8").refusal("d8"), None);
    let refusal = chain.line("d9").refusal("d9").unwrap();
    assert_eq!(
        (
            refusal.rule,
            refusal.asked.as_str(),
            refusal.allowed.as_str()
        ),
        ("D07", "9 departments above d9", "8")
    );
}

#[test]
fn a_chain_of_a_hundred_thousand_and_a_circle_of_as_many_come_to_an_end() {
    let length = 100_000;
    let last = format!("d{}", length - 1);
    let chain = chain(length);
    assert_eq!(chain.line(&last).above.len(), length - 1);
    assert_eq!(chain.subtree("d0").len(), length);
    let circle = Hierarchy::new((0..length).map(|number| {
        let next = (number + 1) % length;
        (format!("d{number}"), Some(format!("d{next}")))
    }));
    let End::Circle(members) = circle.line("d7").end else {
        panic!("no circle")
    };
    assert_eq!((members.len(), members[0]), (length, "d7"));
    assert_eq!(circle.subtree("d7").len(), length);
}

#[test]
fn a_level_is_not_above_the_level_of_the_department_above() {
    let order = [Level::City, Level::County, Level::Township, Level::Village];
    for (above, parent) in order.iter().enumerate() {
        for (below, child) in order.iter().enumerate() {
            let checked = check_level(("child", *child), ("parent", *parent));
            assert_eq!(
                checked.is_ok(),
                below >= above,
                "{child:?} below {parent:?}"
            );
        }
    }
    let refusal = check_level(("daye", Level::County), ("street", Level::Township)).unwrap_err();
    assert_eq!(refusal.rule, "D08");
    assert_eq!(
        refusal.asked,
        "daye of level County below street of level Township"
    );
}

fn level(code: &str) -> Option<Level> {
    match code {
        "city" => Some(Level::City),
        "daye" | "yangxin" => Some(Level::County),
        "street" => Some(Level::Township),
        "village" => Some(Level::Village),
        _ => None,
    }
}

#[test]
fn all_those_above_oversee_a_department_and_nobody_does_in_a_circle_or_too_deep_down() {
    let city = city();
    let above = city.line("village").overseers(Level::Village, level);
    assert_eq!(above, ["street", "daye", "city"]);
    let circle = tree(&[("a", Some("b")), ("b", Some("a")), ("c", Some("a"))]);
    for code in ["a", "b", "c"] {
        let line = circle.line(code);
        assert!(!line.above.is_empty());
        assert_eq!(
            line.overseers(Level::City, |_| Some(Level::City)),
            Vec::<&str>::new()
        );
    }
    let chain = chain(10);
    let over = |code| {
        let line = chain.line(code);
        line.overseers(Level::City, |_| Some(Level::City)).len()
    };
    assert_eq!((over("d8"), over("d9")), (8, 0));
}

#[test]
fn nobody_oversees_across_a_link_that_turns_the_levels_round() {
    let city = city();
    // the street was made a city by mistake: daye and what is above it lose it and what is below it
    let mistaken = |code: &str| match code {
        "street" => Some(Level::City),
        other => level(other),
    };
    let line = city.line("village");
    assert_eq!(line.overseers(Level::Village, mistaken), ["street"]);
    let line = city.line("street");
    assert!(line.overseers(Level::City, mistaken).is_empty());
}

#[test]
fn a_change_concerns_everything_below_and_everything_above_now_and_before() {
    let after = tree(&[
        ("city", None),
        ("daye", Some("city")),
        ("yangxin", Some("city")),
        ("street", Some("yangxin")),
        ("village", Some("street")),
    ]);
    let moved = after.concerned("street", Some("daye"));
    assert_eq!(
        moved,
        BTreeSet::from(["city", "daye", "street", "village", "yangxin"])
    );
    let renamed = after.concerned("village", Some("street"));
    assert_eq!(
        renamed,
        BTreeSet::from(["city", "street", "village", "yangxin"])
    );
    // the one above is gone, and those below it are told
    let without = tree(&[("city", None), ("street", Some("daye"))]);
    assert_eq!(
        without.concerned("daye", Some("city")),
        BTreeSet::from(["city", "street"])
    );
}

/// 2,000 departments at depth 6: a city, 7 counties, and below them streets and villages in four more levels.
fn two_thousand() -> Vec<(String, Option<String>)> {
    let mut all = vec![("city".to_owned(), None)];
    let mut above = vec!["city".to_owned()];
    for (depth, width) in [7, 4, 4, 4, 4].into_iter().enumerate() {
        let mut level = Vec::new();
        for parent in &above {
            for number in 0..width {
                level.push((format!("{parent}{number}"), Some(parent.clone())));
            }
        }
        above = level.iter().map(|(code, _)| code.clone()).collect();
        all.extend(level);
        assert_eq!(above[0].len(), "city".len() + depth + 1);
    }
    all
}

#[test]
fn moving_a_county_among_two_thousand_concerns_its_subtree_and_those_above_and_nobody_else() {
    let mut all = two_thousand();
    // 1 + 7 + 28 + 112 + 448 + 1792
    assert_eq!(all.len(), 2388);
    let before = Hierarchy::new(all.clone());
    let deepest = "city00000";
    assert_eq!(before.line(deepest).above.len(), 5);
    assert_eq!(before.subtree("city").len(), 2388);

    // county 0 goes below county 1
    let moved = all.iter_mut().find(|(code, _)| code == "city0").unwrap();
    moved.1 = Some("city1".to_owned());
    let after = Hierarchy::new(all);
    // 1 + 4 + 16 + 64 + 256 below and with it, and the city and county 1 above
    assert_eq!(after.subtree("city0").len(), 341);
    let concerned = after.concerned("city0", Some("city"));
    assert_eq!(concerned.len(), 343);
    assert!(
        concerned
            .iter()
            .all(|code| code.starts_with("city0") || ["city", "city1"].contains(code))
    );
    assert_eq!(
        after.line(deepest).above,
        ["city0000", "city000", "city00", "city0", "city1", "city"]
    );
    // whose overseers change is the subtree alone
    let changed = after
        .parents()
        .filter(|(code, _)| before.line(code).above != after.line(code).above)
        .count();
    assert_eq!(changed, 341);
}

/// Departments whose parents are drawn by chance: forests, circles, and parents that do not exist.
fn forest() -> impl Strategy<Value = Vec<Option<usize>>> {
    (1_usize..24).prop_flat_map(|count| {
        // one code more than there are departments, which does not exist
        let parent = prop_oneof![1 => Just(None), 4 => (0..=count).prop_map(Some)];
        prop::collection::vec(parent, count)
    })
}

fn built(parents: &[Option<usize>]) -> Hierarchy {
    let name = |number: usize| format!("d{number}");
    let all = parents.iter().enumerate();
    Hierarchy::new(all.map(|(number, parent)| (name(number), parent.map(name))))
}

/// Those above by following the links until one comes again, with what came again.
fn naive_line(parents: &[Option<usize>], start: usize) -> (Vec<usize>, Option<usize>) {
    let (mut above, mut at) = (Vec::new(), start);
    loop {
        let Some(next) = parents[at].filter(|next| *next < parents.len()) else {
            return (above, None);
        };
        if next == start || above.contains(&next) {
            return (above, Some(next));
        }
        above.push(next);
        at = next;
    }
}

proptest! {
    #[test]
    fn chains_and_subtrees_are_what_following_the_links_gives(parents in forest()) {
        let hierarchy = built(&parents);
        let count = parents.len();
        let lines: Vec<_> = (0..count).map(|number| naive_line(&parents, number)).collect();
        for number in 0..count {
            let code = format!("d{number}");
            let line = hierarchy.line(&code);
            let (above, again) = &lines[number];
            let expected: Vec<String> = above.iter().map(|above| format!("d{above}")).collect();
            prop_assert_eq!(&line.above, &expected);
            // below it is whoever has it above, in a circle as well
            let below: BTreeSet<String> = (0..count)
                .filter(|other| *other == number || lines[*other].0.contains(&number))
                .map(|other| format!("d{other}"))
                .collect();
            let found: BTreeSet<String> =
                hierarchy.subtree(&code).into_iter().map(str::to_owned).collect();
            prop_assert_eq!(found, below);
            match (&line.end, again) {
                (End::Circle(circle), Some(again)) => {
                    prop_assert_eq!(circle[0], format!("d{again}"));
                    // each is directly below the next, and the last below the first
                    let nexts = circle.iter().cycle().skip(1);
                    for (member, next) in circle.iter().zip(nexts) {
                        prop_assert_eq!(hierarchy.parent(member), Some(*next));
                    }
                    let refused = line.refusal(&code).map(|refusal| refusal.rule);
                    prop_assert_eq!(refused == Some("D06"), again == &number);
                }
                (End::Top | End::Missing(_), None) => {}
                (end, again) => prop_assert!(false, "{end:?} {again:?}"),
            }
        }
    }

    #[test]
    fn a_circle_of_any_length_is_found_from_wherever_it_is_looked_for(
        length in 2_usize..40,
        tail in 0_usize..6,
    ) {
        // d0 → d1 → … → d0, and a tail of departments below d0
        let mut parents: Vec<Option<usize>> =
            (0..length).map(|number| Some((number + 1) % length)).collect();
        for number in 0..tail {
            parents.push(Some(if number == 0 { 0 } else { length + number - 1 }));
        }
        let hierarchy = built(&parents);
        for number in 0..length + tail {
            let code = format!("d{number}");
            let line = hierarchy.line(&code);
            let End::Circle(circle) = &line.end else {
                return Err(TestCaseError::fail(format!("{code}: {:?}", line.end)));
            };
            prop_assert_eq!(circle.len(), length);
            prop_assert!(line.overseers(Level::City, |_| Some(Level::City)).is_empty());
            let refused = line.refusal(&code).map(|refusal| refusal.rule);
            if number < length {
                prop_assert_eq!(refused, Some("D06"));
            } else {
                prop_assert_ne!(refused, Some("D06"));
                prop_assert!(line.note(&code).unwrap().contains("d0 → d1"));
            }
        }
    }

    #[test]
    fn whose_chain_a_move_changes_is_among_those_whom_it_concerns(
        parents in forest(),
        which in any::<prop::sample::Index>(),
        to in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let count = parents.len();
        let moved = which.index(count);
        let mut after = parents.clone();
        after[moved] = to.map(|to| to.index(count));
        let (before, after) = (built(&parents), built(&after));
        let code = format!("d{moved}");
        let concerned = after.concerned(&code, before.parent(&code));
        let sums = |hierarchy: &Hierarchy| -> BTreeMap<String, BTreeSet<String>> {
            hierarchy
                .parents()
                .map(|(code, _)| {
                    let below = hierarchy.subtree(code);
                    (code.to_owned(), below.into_iter().map(str::to_owned).collect())
                })
                .collect()
        };
        let (sums_before, sums_after) = (sums(&before), sums(&after));
        for (other, _) in before.parents() {
            let same_line = before.line(other) == after.line(other);
            let same_sum = sums_before[other] == sums_after[other];
            let told = other == code || concerned.contains(other);
            prop_assert!(told || (same_line && same_sum), "{other} is not told");
        }
    }
}
