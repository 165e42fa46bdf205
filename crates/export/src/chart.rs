//! Use over time as bars of characters, for a look in the terminal.
//!
//! A row for each tenancy and meter, over all of its objects; each character is the average over its part of the time. Bars
//! are rounded to eighths of the highest; the figures of the ledger are in the table and in CSV.

use std::collections::BTreeMap;
use std::io::{self, Write};

use leasehold_ledger::fact::{Interval, Meter};
use leasehold_ledger::money::{Unit, format_quantity};
use leasehold_ledger::time::{Second, Span, Zone};

use crate::sheet::unit;

/// Parts of the time, a character each; fewer where it has fewer seconds.
const PARTS: i64 = 60;
/// No use, and eighths of the highest use.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The highest bar.
const HIGHEST: i128 = 8;

/// To whom and what a row belongs: department, tenancy, meter.
type Row<'a> = (&'a str, &'a str, &'a Meter);

/// Draws the use of a time. Without any use it says so.
pub fn write(
    intervals: &[Interval],
    window: Span,
    zone: &Zone,
    item_units: &BTreeMap<String, Unit>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Some(drawn) = drawn(intervals, window) else {
        return writeln!(out, "nothing was used in this time");
    };
    let mut rows: BTreeMap<Row<'_>, Vec<&Interval>> = BTreeMap::new();
    for interval in intervals {
        let subject = &interval.subject;
        let row = (
            subject.department.as_str(),
            subject.tenancy.as_str(),
            &interval.meter,
        );
        rows.entry(row).or_default().push(interval);
    }
    let (from, to) = (drawn.from.in_zone(zone), drawn.to.in_zone(zone));
    writeln!(
        out,
        "{from} to {to}, an average over every {} s",
        part_of(drawn)
    )?;
    for ((department, tenancy, meter), of_row) in rows {
        let averages = averages(&of_row, drawn);
        let highest = averages.iter().copied().max().unwrap_or(0);
        let bars: String = averages.iter().map(|one| bar(*one, highest)).collect();
        let most = format_quantity(
            i64::try_from(highest).unwrap_or(i64::MAX),
            unit(meter, item_units),
        );
        writeln!(out, "\n{department}/{tenancy} {meter}, at most {most}")?;
        writeln!(out, "|{bars}|")?;
    }
    Ok(())
}

/// The part of the window from the first use on: a window without a first day begins before anything was leased.
fn drawn(intervals: &[Interval], window: Span) -> Option<Span> {
    let first = intervals.iter().map(|interval| interval.span.from).min()?;
    let last = intervals.iter().map(|interval| interval.span.to).max()?;
    let span = Span::new(window.from.max(first), window.to.min(last));
    (!span.is_empty()).then_some(span)
}

/// How many parts a time is drawn in: none is without a second.
fn parts(span: Span) -> i64 {
    span.seconds().clamp(1, PARTS)
}

/// Seconds of a part, rounded up.
fn part_of(span: Span) -> i64 {
    let (seconds, parts) = (span.seconds(), parts(span));
    let rounding = parts.saturating_sub(1);
    let up = seconds.checked_add(rounding).unwrap_or(seconds);
    up.checked_div(parts).unwrap_or(seconds)
}

/// The average quantity in each part, in base units, rounded down.
fn averages(intervals: &[&Interval], span: Span) -> Vec<i128> {
    (0..parts(span))
        .map(|part| {
            let part = Span::new(edge(span, part), edge(span, part.saturating_add(1)));
            let mut sum = 0_i128;
            for interval in intervals {
                if let Some(common) = interval.span.intersect(&part) {
                    let used =
                        i128::from(interval.quantity).saturating_mul(i128::from(common.seconds()));
                    sum = sum.saturating_add(used);
                }
            }
            sum.checked_div(i128::from(part.seconds())).unwrap_or(0)
        })
        .collect()
}

/// Where a part begins.
fn edge(span: Span, part: i64) -> Second {
    let seconds = i128::from(span.seconds()).saturating_mul(i128::from(part));
    let into = seconds
        .checked_div(i128::from(parts(span)))
        .unwrap_or(seconds);
    span.from.plus(i64::try_from(into).unwrap_or(i64::MAX))
}

/// The bar of a quantity: any use shows, and nothing but the highest fills the row.
fn bar(quantity: i128, highest: i128) -> char {
    let eighths = quantity
        .saturating_mul(HIGHEST)
        .checked_div(highest)
        .unwrap_or(0);
    let eighths = if quantity > 0 { eighths.max(1) } else { 0 };
    usize::try_from(eighths)
        .ok()
        .and_then(|eighths| BARS.get(eighths))
        .copied()
        .unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::fact::Subject;

    use super::*;

    fn interval(object: &str, from: i64, to: i64, cores: i64) -> Interval {
        Interval {
            span: Span::new(Second::new(from), Second::new(to)),
            open: false,
            quantity: cores * 1000,
            meter: "pod/cpu".parse().unwrap(),
            subject: Subject {
                department: "gov-office".to_owned(),
                tenancy: "oa".to_owned(),
                incarnation: 1,
                system: "oa".to_owned(),
                provider: "p".to_owned(),
                contract: "c".to_owned(),
                budget: "b".to_owned(),
                request: 1,
                object: object.to_owned(),
            },
            estimated: false,
            opened_by: "a".to_owned(),
            closed_by: Some("b".to_owned()),
        }
    }

    fn shown(intervals: &[Interval], from: i64, to: i64) -> String {
        let window = Span::new(Second::new(from), Second::new(to));
        let zone = Zone::parse("Asia/Shanghai").unwrap();
        let mut out = Vec::new();
        write(intervals, window, &zone, &BTreeMap::new(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects_add_up_and_bars_are_eighths_of_the_highest() {
        // one core all the time, seven more in the second half: an eighth, then all
        let text = shown(
            &[interval("a", 0, 600, 1), interval("b", 300, 600, 7)],
            0,
            600,
        );
        let bars = format!("|{}{}|", "▁".repeat(30), "█".repeat(30));
        assert!(text.contains(&bars), "{text}");
        assert!(
            text.contains("gov-office/oa pod/cpu, at most 8\n"),
            "{text}"
        );
        assert!(text.starts_with("1970-01-01T08:00:00+08:00 to "), "{text}");
        assert!(text.contains("every 10 s"), "{text}");
    }

    #[test]
    fn a_little_use_shows_and_none_does_not() {
        let text = shown(
            &[interval("a", 0, 10, 100), interval("b", 590, 600, 1)],
            0,
            600,
        );
        let bars = format!("|█{}▁|", " ".repeat(58));
        assert!(text.contains(&bars), "{text}");
    }

    #[test]
    fn less_than_a_minute_has_a_bar_for_each_second() {
        let text = shown(&[interval("a", 0, 24, 1), interval("b", 12, 24, 1)], 0, 24);
        let bars = format!("|{}{}|", "▄".repeat(12), "█".repeat(12));
        assert!(text.contains(&bars), "{text}");
        assert!(text.contains("every 1 s"), "{text}");
    }

    #[test]
    fn a_window_without_a_beginning_begins_with_the_first_use() {
        let text = shown(&[interval("a", 1_000, 1_060, 1)], i64::MIN, 2_000);
        assert!(text.contains(&format!("|{}|", "█".repeat(60))), "{text}");
        assert_eq!(shown(&[], 0, 60), "nothing was used in this time\n");
    }
}
