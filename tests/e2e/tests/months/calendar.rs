//! The months of the story, counted without the ledger's calendar.

use leasehold_ledger::time::LocalDate;

const DAY: i64 = 86_400;
/// Shanghai is eight hours ahead, and its clocks are never changed.
const AHEAD: i64 = 8 * 3600;

/// A day of a month and a time of that day, as `(6, "08:00:07")`.
pub type Moment = (i64, &'static str);

/// The tenth of the month before last, in the morning.
const LEASED: Moment = (10, "07:30:00");

/// A calendar month in Shanghai.
pub struct Month {
    /// As `2026-09`.
    pub name: String,
    /// Its first second, counted from 1970.
    pub from: i64,
    /// The first second after it.
    pub to: i64,
}

impl Month {
    fn new(year: i64, month: i64) -> Self {
        let years: i64 = (1970..year).map(|year| 365 + i64::from(leap(year))).sum();
        let months: i64 = (1..month).map(|month| days(year, month)).sum();
        let from = (years + months) * DAY - AHEAD;
        Self {
            name: format!("{year:04}-{month:02}"),
            from,
            to: from + days(year, month) * DAY,
        }
    }

    /// So many months before the one of a day.
    fn before(today: LocalDate, months: i64) -> Self {
        let number = i64::from(today.year()) * 12 + i64::from(today.month()) - 1 - months;
        Self::new(number.div_euclid(12), number.rem_euclid(12) + 1)
    }

    /// Its seconds.
    pub fn length(&self) -> i64 {
        self.to - self.from
    }

    /// A moment of it, counted from 1970.
    pub fn at(&self, (day, clock): Moment) -> i64 {
        let parts = clock.split(':').map(|part| part.parse::<i64>().unwrap());
        self.from + (day - 1) * DAY + parts.fold(0, |sum, part| sum * 60 + part)
    }

    /// A moment of it, as objects show instants.
    pub fn text(&self, (day, clock): Moment) -> String {
        format!("{}-{day:02}T{clock}+08:00", self.name)
    }
}

/// The running month and the two before it.
pub struct Months {
    /// The month before last.
    pub older: Month,
    /// The last one.
    pub last: Month,
    /// The one that is not over.
    pub running: Month,
}

impl Months {
    /// As of a day in Shanghai.
    pub fn of(today: LocalDate) -> Self {
        Self {
            older: Month::before(today, 2),
            last: Month::before(today, 1),
            running: Month::before(today, 0),
        }
    }

    /// When the department's first lease stood.
    pub fn leased(&self) -> i64 {
        self.older.at(LEASED)
    }

    /// When its second lease stood: exactly in the middle of the last month.
    pub fn changed(&self) -> i64 {
        self.last.from + self.last.length() / 2
    }
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[test]
fn the_turn_of_a_year_and_a_leap_day_are_counted() {
    // 2028-02-29 00:00 in Shanghai is 1,835,366,400 seconds after 1970: 21,242 days and 16 hours
    let months = Months::of(LocalDate::new(2028, 2, 29).unwrap());
    let names = [&months.older, &months.last, &months.running].map(|month| month.name.as_str());
    assert_eq!(names, ["2027-12", "2028-01", "2028-02"]);
    assert_eq!(months.running.at((29, "00:00:00")), 1_835_366_400);
    assert_eq!(months.running.length(), 29 * 86_400);
    assert_eq!(months.older.to, months.last.from);
    assert_eq!(months.last.to, months.running.from);
}
