//! Stretches of time taken together.

use super::Span;

/// The instants that lie in any of these, as stretches by time that neither overlap nor touch. Empty ones are none, and the
/// order in which they are given does not matter.
pub fn union(spans: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut sorted: Vec<Span> = spans.into_iter().filter(|span| !span.is_empty()).collect();
    sorted.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for span in sorted {
        match joined.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            Some(_) | None => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Second;
    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span::new(Second::new(from), Second::new(to))
    }

    #[test]
    fn what_overlaps_or_touches_is_one_and_what_is_apart_stays_apart() {
        let all = [
            span(50, 60),
            span(10, 20),
            // touches the one before
            span(20, 25),
            // inside, and over the end
            span(12, 14),
            span(55, 70),
            // one second is missing
            span(71, 72),
            // empty, or the wrong way round
            span(30, 30),
            span(45, 40),
        ];
        assert_eq!(union(all), [span(10, 25), span(50, 70), span(71, 72)]);
        assert!(union([]).is_empty());
        assert!(union([span(5, 5)]).is_empty());
    }

    #[test]
    fn the_whole_calendar_is_one_stretch() {
        let all = Span::new(Second::MIN, Second::MAX);
        assert_eq!(union([span(0, 1), all]), [all]);
    }

    proptest! {
        #[test]
        fn a_second_is_inside_when_it_is_inside_any_of_them(
            ends in prop::collection::vec((0..120_i64, 0..120_i64), 0..12),
            turned in any::<bool>(),
        ) {
            let mut spans: Vec<Span> = ends.into_iter().map(|(from, to)| span(from, to)).collect();
            let found = union(spans.iter().copied());
            for second in (-1..=120).map(Second::new) {
                let covered = spans.iter().any(|span| span.contains(second));
                let told = found.iter().filter(|span| span.contains(second)).count();
                prop_assert_eq!(told, usize::from(covered), "{}", second);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].to < pair[1].from, "{:?}", found);
            }
            prop_assert!(found.iter().all(|span| span.from < span.to), "{:?}", found);
            if turned {
                spans.reverse();
            }
            spans.extend(found.clone());
            prop_assert_eq!(union(spans), found, "in any order, and together with themselves");
        }
    }
}
