//! Seconds, spans, local days and billing periods.
//!
//! The ledger counts whole seconds. People write local days, both ends included; the ledger turns
//! them into half-open spans of instants with the rules of the policy's time zone, so that a day
//! on which the clocks change simply is longer or shorter.

mod union;

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Deserializer, Serialize};

pub use union::union;

/// Shortest rehearsal period in seconds.
const REHEARSAL_LEAST: u32 = 60;
/// Longest rehearsal period in seconds.
const REHEARSAL_MOST: u32 = 86_400;

/// What can go wrong with instants, days, zones and periods.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// The text is not an instant.
    #[error(
        "failed to read the instant {text:?}: write whole seconds in UTC, such as \
         2026-08-31T16:00:00Z"
    )]
    Instant {
        /// The text that was given.
        text: String,
    },
    /// The text is not a day.
    #[error("failed to read the day {text:?}: write an existing day, such as 2026-09-01")]
    Day {
        /// The text that was given.
        text: String,
    },
    /// The name is not one of the IANA database, in its own spelling.
    #[error("failed to find the time zone {name:?}: use an IANA name, such as Asia/Shanghai")]
    Zone {
        /// The name that was given.
        name: String,
    },
    /// The length of a rehearsal period is out of bounds.
    #[error("failed to accept rehearsal periods of {seconds} s: use 60 to 86400")]
    Rehearsal {
        /// The length that was given.
        seconds: u32,
    },
}

/// An instant: whole seconds since 1970-01-01T00:00:00Z, in the years 1 to 9998.
///
/// Arithmetic stops at the ends of that range. In JSON it is RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Second(i64);

impl Second {
    /// The first instant, 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800);
    /// The last instant, 9998-12-31T23:59:59Z.
    pub const MAX: Self = Self(253_370_764_799);

    /// The instant so many seconds after (or before) 1970; the nearest end beyond the range.
    pub const fn new(unix: i64) -> Self {
        if unix < Self::MIN.0 {
            Self::MIN
        } else if unix > Self::MAX.0 {
            Self::MAX
        } else {
            Self(unix)
        }
    }

    /// Seconds since 1970.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The second that contains a finer instant.
    pub fn from_timestamp(timestamp: Timestamp) -> Self {
        let before_its_second = timestamp.subsec_nanosecond() < 0;
        Self::new(
            timestamp
                .as_second()
                .saturating_sub(i64::from(before_its_second)),
        )
    }

    /// The instant for callers that count finer.
    pub fn timestamp(self) -> Timestamp {
        // every value of this type is inside the range of the other
        Timestamp::from_second(self.0).unwrap_or(Timestamp::MAX)
    }

    /// The instant so many seconds later, or earlier if below zero.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self::new(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to here; below zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339 in UTC and whole seconds: `2026-08-31T16:00:00Z`, and no other spelling.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let refused = || TimeError::Instant {
            text: text.to_owned(),
        };
        let timestamp: Timestamp = text.parse().map_err(|_| refused())?;
        let second = Self::from_timestamp(timestamp);
        if second.to_string() == text {
            Ok(second)
        } else {
            Err(refused())
        }
    }

    /// The instant as local time with its offset: `2026-09-01T00:00:00+08:00`.
    pub fn in_zone(self, zone: &Zone) -> String {
        let zoned = self.timestamp().to_zoned(zone.rules.clone());
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.timestamp().to_string())
    }
}

impl FromStr for Second {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_string!(Second);

/// A stretch of time, `from` included, `to` not. One whose end is not after its start is empty.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Span {
    /// The first instant inside.
    pub from: Second,
    /// The first instant after.
    pub to: Second,
}

impl Span {
    /// The stretch between two instants.
    pub const fn new(from: Second, to: Second) -> Self {
        Self { from, to }
    }

    /// Its length in seconds, never below zero.
    pub fn seconds(&self) -> i64 {
        self.to.since(self.from).max(0)
    }

    /// Whether there is no instant inside.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// What both have in common, if anything.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let common = Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        };
        (!common.is_empty()).then_some(common)
    }

    /// Whether the instant is inside.
    pub fn contains(&self, at: Second) -> bool {
        self.from <= at && at < self.to
    }

    /// Whether the whole of the other is inside.
    pub fn contains_span(&self, other: &Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    /// Both parts, if the instant is inside and not the first one.
    pub fn split_at(&self, at: Second) -> Option<(Self, Self)> {
        (self.from < at && at < self.to).then_some((
            Self {
                from: self.from,
                to: at,
            },
            Self {
                from: at,
                to: self.to,
            },
        ))
    }
}

/// A calendar day without a zone, years 1 to 9999. In JSON `2026-09-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDate(Date);

impl LocalDate {
    /// The first day.
    pub const MIN: Self = Self(Date::constant(1, 1, 1));
    /// The last day.
    pub const MAX: Self = Self(Date::constant(9999, 12, 31));

    /// The day with these numbers; months and days count from 1.
    pub fn new(year: i16, month: i8, day: i8) -> Result<Self, TimeError> {
        Date::new(year, month, day)
            .ok()
            .map(Self)
            .filter(|date| *date >= Self::MIN)
            .ok_or_else(|| TimeError::Day {
                text: format!("{year}-{month}-{day}"),
            })
    }

    /// Reads `2026-09-01`, and no other spelling.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        text.parse::<Date>()
            .ok()
            .map(Self)
            .filter(|date| *date >= Self::MIN && date.to_string() == text)
            .ok_or_else(|| TimeError::Day {
                text: text.to_owned(),
            })
    }

    /// The year.
    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// The month, from 1.
    pub fn month(self) -> i8 {
        self.0.month()
    }

    /// The day of the month, from 1.
    pub fn day(self) -> i8 {
        self.0.day()
    }

    /// Whether it is a Saturday or a Sunday.
    pub fn is_weekend(self) -> bool {
        matches!(self.0.weekday(), Weekday::Saturday | Weekday::Sunday)
    }

    /// The day after; [`LocalDate::MAX`] has itself.
    #[must_use]
    pub fn next_day(self) -> Self {
        self.0.tomorrow().map_or(Self::MAX, Self)
    }

    /// The day before; [`LocalDate::MIN`] has itself.
    #[must_use]
    pub fn previous_day(self) -> Self {
        self.0.yesterday().map_or(Self::MIN, Self).max(Self::MIN)
    }

    /// The day so many days later, or earlier if below zero. Stops at the ends of the calendar.
    #[must_use]
    pub fn add_days(self, days: i32) -> Self {
        let end = if days < 0 { Self::MIN } else { Self::MAX };
        jiff::Span::new()
            .try_days(days)
            .and_then(|span| self.0.checked_add(span))
            .map_or(end, Self)
            .max(Self::MIN)
    }

    /// The first day of its month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        Self(self.0.first_of_month())
    }

    /// The last day of its month.
    #[must_use]
    pub fn last_of_month(self) -> Self {
        Self(self.0.last_of_month())
    }

    /// The same day so many months later (earlier if below zero), or the last day of that month if
    /// it is shorter. Stops at the ends of the calendar.
    #[must_use]
    pub fn add_months(self, months: i32) -> Self {
        let end = if months < 0 { Self::MIN } else { Self::MAX };
        jiff::Span::new()
            .try_months(months)
            .and_then(|span| self.0.checked_add(span))
            .map_or(end, Self)
            .max(Self::MIN)
    }
}

impl fmt::Display for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for LocalDate {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_string!(LocalDate);

/// A time zone of the IANA database, whose rules are compiled in. In JSON its name.
#[derive(Clone)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// Finds a zone by its exact name.
    pub fn parse(name: &str) -> Result<Self, TimeError> {
        TimeZone::get(name)
            .ok()
            .filter(|rules| rules.iana_name() == Some(name))
            .map(|rules| Self {
                name: name.to_owned(),
                rules,
            })
            .ok_or_else(|| TimeError::Zone {
                name: name.to_owned(),
            })
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first instant of a local day. That is not 00:00 where clocks skip midnight; a day that
    /// the zone skips altogether begins, and ends, with the day after it.
    pub fn local_midnight(&self, date: LocalDate) -> Second {
        let midnight = date.0.at(0, 0, 0, 0);
        let Ok(found) = self.rules.to_timestamp(midnight) else {
            return Second::MAX; // the last days of the calendar, west of Greenwich
        };
        let shown = self.rules.to_datetime(found);
        if shown.hour() == 0 && shown.minute() == 0 && shown.second() == 0 {
            return Second::from_timestamp(found);
        }
        // Midnight is inside a gap that may have begun before it, so the day begins with the gap's
        // end: the last change of the rules up to the instant found.
        let after = Second::from_timestamp(found).plus(1).timestamp();
        let change = self
            .rules
            .preceding(after)
            .next()
            .map(|change| change.timestamp());
        Second::from_timestamp(change.unwrap_or(found))
    }

    /// The local day on which an instant falls.
    pub fn date_of(&self, at: Second) -> LocalDate {
        let date = LocalDate(self.rules.to_datetime(at.timestamp()).date());
        date.clamp(LocalDate::MIN, LocalDate::MAX)
    }

    /// The instants of whole local days, both included.
    pub fn span_of_days(&self, from: LocalDate, through: LocalDate) -> Span {
        Span {
            from: self.local_midnight(from),
            to: self.local_midnight(through.next_day()),
        }
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name).finish()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl FromStr for Zone {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_string!(Zone);

/// How long a billing period is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum PeriodKind {
    /// A month of the policy's zone.
    Month,
    /// A day of the policy's zone.
    Day,
    /// A month played in a short time; its documents are marked and never mix with real ones.
    Rehearsal {
        /// Length of a period in seconds, 60 to 86400.
        #[serde(deserialize_with = "rehearsal_seconds")]
        seconds: u32,
    },
}

fn rehearsal_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    rehearsal_length(seconds)
        .map(|_| seconds)
        .map_err(serde::de::Error::custom)
}

/// The length in seconds, if it is one that a rehearsal may have.
fn rehearsal_length(seconds: u32) -> Result<i64, TimeError> {
    if (REHEARSAL_LEAST..=REHEARSAL_MOST).contains(&seconds) {
        Ok(i64::from(seconds))
    } else {
        Err(TimeError::Rehearsal { seconds })
    }
}

/// One billing period. Periods of one kind and zone tile the time line.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Period {
    /// `2026-09`, `2026-09-05`, or for a rehearsal the local time of its start
    /// (`r20260901-101500`; `-2` at its end when clocks set back show that time again).
    pub name: String,
    /// Its kind.
    pub kind: PeriodKind,
    /// Its instants.
    pub span: Span,
    /// The zone whose calendar it follows.
    pub time_zone: Zone,
}

impl Period {
    /// The period of a kind that contains an instant.
    pub fn containing(kind: PeriodKind, zone: &Zone, at: Second) -> Result<Self, TimeError> {
        let (name, span) = match kind {
            PeriodKind::Month => {
                let (first, span) = month_tile(zone, at);
                (format!("{:04}-{:02}", first.year(), first.month()), span)
            }
            PeriodKind::Day => {
                let (day, span) = tile(zone, zone.date_of(at), at, LocalDate::next_day);
                (day.to_string(), span)
            }
            PeriodKind::Rehearsal { seconds } => {
                let length = rehearsal_length(seconds)?;
                let passed = at.get().checked_rem_euclid(length).unwrap_or(0);
                let from = at.plus(passed.saturating_neg());
                (
                    rehearsal_name(zone, from),
                    Span {
                        from,
                        to: from.plus(length),
                    },
                )
            }
        };
        Ok(Self {
            name,
            kind,
            span,
            time_zone: zone.clone(),
        })
    }

    /// The period that begins when this one ends.
    pub fn next(&self) -> Result<Self, TimeError> {
        Self::containing(self.kind, &self.time_zone, self.span.to)
    }

    /// The period that comes `n` periods after this one; 0 is this one.
    pub fn nth_after(&self, n: u32) -> Result<Self, TimeError> {
        (0..n).try_fold(self.clone(), |period, _| period.next())
    }

    /// Whether it belongs to a rehearsal.
    pub fn rehearsal(&self) -> bool {
        matches!(self.kind, PeriodKind::Rehearsal { .. })
    }

    /// The local day of its first second.
    pub fn first_day(&self) -> LocalDate {
        self.time_zone.date_of(self.span.from)
    }

    /// The local day of its last second.
    pub fn last_day(&self) -> LocalDate {
        self.time_zone.date_of(self.span.to.plus(-1))
    }
}

/// The instants of the zone's calendar month that contains an instant.
pub fn month_span(zone: &Zone, at: Second) -> Span {
    month_tile(zone, at).1
}

fn month_tile(zone: &Zone, at: Second) -> (LocalDate, Span) {
    tile(zone, zone.date_of(at).first_of_month(), at, |first| {
        first.add_months(1)
    })
}

/// The tile that contains `at`, counting from the one that begins on `first`.
///
/// The local date of an instant is not enough: clocks set back across midnight show the date
/// before once more, although its day is over. Tiles are bounded by first instants alone.
fn tile(
    zone: &Zone,
    first: LocalDate,
    at: Second,
    step: impl Fn(LocalDate) -> LocalDate,
) -> (LocalDate, Span) {
    let second = step(first);
    let middle = zone.local_midnight(second);
    if at < middle {
        (
            first,
            Span {
                from: zone.local_midnight(first),
                to: middle,
            },
        )
    } else {
        (
            second,
            Span {
                from: middle,
                to: zone.local_midnight(step(second)),
            },
        )
    }
}

/// The name of the rehearsal period that starts at an instant.
fn rehearsal_name(zone: &Zone, from: Second) -> String {
    let start = from.timestamp();
    let local = zone.rules.to_datetime(start);
    let name = local.strftime("r%Y%m%d-%H%M%S").to_string();
    let first_showing = zone.rules.to_timestamp(local).unwrap_or(start);
    if first_showing < start {
        format!("{name}-2")
    } else {
        name
    }
}

#[cfg(test)]
mod tests;
