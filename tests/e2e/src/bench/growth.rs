//! How the figures of provisioning grow with the number of tenancies: one run of each size, and the exponent.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use leasehold_testkit::Failure;
use serde_json::{Map, Value, json};

use super::say;

/// What grows: how it is called in the table, and in the figures of a run.
const GROWING: [(&str, &str); 2] = [
    ("seconds", "seconds"),
    ("operator peak RSS", "operatorPeakKiB"),
];
/// What stands in the table of each run.
const COLUMNS: [(&str, &str, Form); 11] = [
    ("tenancies", "tenancies", Form::Whole),
    ("namespaces", "namespaces", Form::Whole),
    ("seconds", "seconds", Form::Hundredths),
    ("tenancies/s", "tenanciesPerSecond", Form::Hundredths),
    ("p50 ms", "p50Milliseconds", Form::Whole),
    ("p99 ms", "p99Milliseconds", Form::Whole),
    ("split p99 ms", "splitP99Milliseconds", Form::Whole),
    ("calls/tenancy", "operatorCallsPerTenancy", Form::Hundredths),
    ("ratio", "ratio", Form::Hundredths),
    ("peak RSS MiB", "operatorPeakKiB", Form::Mebibytes),
    ("restart seconds", "restartSeconds", Form::Hundredths),
];
/// What stands where there is no figure.
const NOT_MEASURED: &str = "not measured";

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Hundredths,
    /// Of a figure in KiB.
    Mebibytes,
}

impl Form {
    fn write(self, figure: Option<&Value>) -> String {
        let written = match self {
            Self::Whole => figure
                .and_then(Value::as_u64)
                .map(|whole| whole.to_string()),
            Self::Hundredths => figure
                .and_then(Value::as_f64)
                .map(|part| format!("{part:.2}")),
            Self::Mebibytes => figure
                .and_then(Value::as_u64)
                .map(|kib| (kib / 1024).to_string()),
        };
        written.unwrap_or_else(|| "-".to_owned())
    }
}

/// Runs of several sizes.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The figures of each run, as programs get them.
    runs: Vec<Value>,
}

impl Growth {
    /// From the figures of each run.
    pub fn new(runs: Vec<Value>) -> Self {
        Self { runs }
    }

    /// The figures of every run, and the exponents. What is not known is null.
    pub fn json(&self) -> Value {
        let exponents: Map<String, Value> = GROWING
            .iter()
            .map(|(_, name)| ((*name).to_owned(), json!(self.exponent(name))))
            .collect();
        json!({"sizes": self.runs, "growthExponents": exponents})
    }

    /// A table with a line for each run, and the exponents.
    pub fn table(&self, out: &mut impl Write) -> io::Result<()> {
        let line = |cell: &dyn Fn(&(&str, &str, Form)) -> String| {
            let cells = COLUMNS.map(|column| {
                let width = column.0.len().saturating_add(2);
                format!("{:>width$}", cell(&column))
            });
            cells.concat()
        };
        writeln!(out, "{}", line(&|(title, _, _)| (*title).to_owned()))?;
        for run in &self.runs {
            writeln!(
                out,
                "{}",
                line(&|(_, name, form)| form.write(run.get(*name)))
            )?;
        }
        for (title, name) in GROWING {
            let exponent = self.exponent(name);
            let shown = exponent.map_or_else(
                || NOT_MEASURED.to_owned(),
                |exponent| format!("{exponent:.2}"),
            );
            writeln!(out, "growth exponent of {title}: {shown}")?;
        }
        Ok(())
    }

    /// By which power of the number of tenancies a figure grows; none where a run did not measure it.
    fn exponent(&self, name: &str) -> Option<f64> {
        let figure = |run: &Value, name: &str| run.get(name).and_then(Value::as_f64);
        let points: Option<Vec<(f64, f64)>> = self
            .runs
            .iter()
            .map(|run| figure(run, "tenancies").zip(figure(run, name)))
            .collect();
        exponent(&points?)
    }
}

/// The slope of the straight line that fits best, by least squares, through the logarithms of these points: 1 where the
/// second figure doubles with the first, 2 where it becomes four times as much, 0 where it stays. None where fewer than
/// two first figures differ, or any is not above zero.
#[expect(
    clippy::float_arithmetic,
    reason = "a slope of logarithms, which nobody is billed"
)]
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let (first, _) = points.first()?;
    let is_above_zero = |figure: f64| figure > 0.0;
    let fits = |(of, figure): &(f64, f64)| is_above_zero(*of) && is_above_zero(*figure);
    let differs = points.iter().any(|(of, _)| of.total_cmp(first).is_ne());
    if !differs || !points.iter().all(fits) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points
        .iter()
        .map(|(of, figure)| (of.ln(), figure.ln()))
        .collect();
    let count = f64::from(u32::try_from(logs.len()).ok()?);
    let middle = logs.iter().map(|(of, _)| of).sum::<f64>() / count;
    let height = logs.iter().map(|(_, figure)| figure).sum::<f64>() / count;
    let rise: f64 = logs
        .iter()
        .map(|(of, figure)| (of - middle) * (figure - height))
        .sum();
    let run: f64 = logs.iter().map(|(of, _)| (of - middle).powi(2)).sum();
    Some(rise / run)
}

/// Measures every size, one after the other, each in a process of its own and so on a control plane of its own: this
/// program again, with these arguments and the size. Says on `progress` what it is doing; they say on the standard error.
pub fn grow(
    sizes: &[u32],
    arguments: &[String],
    progress: &mut impl Write,
) -> Result<Growth, Failure> {
    let mut runs = Vec::new();
    for size in sizes {
        say(progress, &format!("measuring {size} tenancies"))?;
        runs.push(run(*size, arguments)?);
    }
    Ok(Growth::new(runs))
}

fn run(size: u32, arguments: &[String]) -> Result<Value, Failure> {
    let program = std::env::current_exe().map_err(Failure::file("this program"))?;
    let size = size.to_string();
    let own = ["--tenancies", size.as_str(), "--output", "json"];
    let told = format!(
        "{} {} {}",
        program.display(),
        own.join(" "),
        arguments.join(" ")
    );
    let ended = Command::new(&program)
        .args(own)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Failure::Start {
            command: told.clone(),
            source,
        })?;
    let figures = String::from_utf8_lossy(&ended.stdout).into_owned();
    if !ended.status.success() {
        return Err(Failure::Command {
            expected: format!("{size} tenancies are measured"),
            command: told,
            code: ended.status.code(),
            stdout: figures,
            stderr: "above".to_owned(),
        });
    }
    serde_json::from_str(&figures).map_err(Failure::json("the figures of a run"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To three decimals.
    fn shown(points: &[(f64, f64)]) -> Option<String> {
        exponent(points).map(|exponent| format!("{exponent:.3}"))
    }

    #[test]
    fn what_doubles_with_the_tenancies_grows_by_one_and_what_stays_by_nothing() {
        let doubles = [(100.0, 7.0), (200.0, 14.0), (800.0, 56.0)];
        assert_eq!(shown(&doubles).as_deref(), Some("1.000"));
        // ten times as many take a hundred times as long
        let squares = [(100.0, 0.5), (1000.0, 50.0)];
        assert_eq!(shown(&squares).as_deref(), Some("2.000"));
        let stays = [(100.0, 3.0), (300.0, 3.0), (1200.0, 3.0)];
        let flat = exponent(&stays).map(|flat| format!("{:.3}", flat.abs()));
        assert_eq!(flat.as_deref(), Some("0.000"));
    }

    #[test]
    fn of_points_that_lie_on_no_line_the_slope_is_that_of_least_squares() {
        // doublings of the first: 0, 1, 2, which are -1, 0, 1 around their middle; of the second: 0, 1, 3, which are
        // -4/3, -1/3, 5/3 around theirs; 4/3 + 5/3 over 1 + 1
        let bent = [(100.0, 10.0), (200.0, 20.0), (400.0, 80.0)];
        assert_eq!(shown(&bent).as_deref(), Some("1.500"));
        // in any order
        let turned = [(400.0, 80.0), (100.0, 10.0), (200.0, 20.0)];
        assert_eq!(shown(&turned).as_deref(), Some("1.500"));
    }

    #[test]
    fn without_two_sizes_or_with_a_figure_of_nothing_there_is_no_slope() {
        assert_eq!(exponent(&[]), None);
        assert_eq!(exponent(&[(300.0, 25.0)]), None);
        assert_eq!(exponent(&[(300.0, 25.0), (300.0, 26.0)]), None);
        assert_eq!(exponent(&[(100.0, 0.0), (300.0, 26.0)]), None);
    }

    /// Three runs that take 5, 10 and 40 seconds, and 64, 64 and 128 MiB.
    fn growth() -> Growth {
        let runs = [
            (100, 5.0, 65_536),
            (200, 10.0, 65_536),
            (400, 40.0, 131_072),
        ];
        Growth::new(
            runs.into_iter()
                .map(|(tenancies, seconds, peak)| {
                    json!({
                        "tenancies": tenancies, "namespaces": tenancies * 3, "seconds": seconds,
                        "operatorPeakKiB": peak, "ratio": null,
                    })
                })
                .collect(),
        )
    }

    #[test]
    fn each_run_has_a_line_and_the_exponents_stand_below() {
        let mut table = Vec::new();
        growth().table(&mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        let cells = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
        assert!(lines[0].starts_with("  tenancies  namespaces  seconds  tenancies/s  p50 ms"));
        assert_eq!(
            cells(3),
            [
                "400", "1200", "40.00", "-", "-", "-", "-", "-", "-", "128", "-"
            ]
        );
        assert_eq!(
            lines[4..],
            [
                // doublings 0, 1, 3 as above
                "growth exponent of seconds: 1.50",
                // doublings 0, 0, 1: 1/3 + 2/3 over 2
                "growth exponent of operator peak RSS: 0.50",
            ]
        );
    }

    #[test]
    fn programs_get_every_run_and_the_exponents_and_null_where_one_was_not_measured() {
        let shown = growth().json();
        assert_eq!(shown["sizes"][1]["namespaces"], 600);
        let exponents = &shown["growthExponents"];
        let seconds = exponents["seconds"].as_f64().unwrap();
        assert_eq!(format!("{seconds:.3}"), "1.500");
        let mut without = growth();
        without.runs[0]["operatorPeakKiB"] = Value::Null;
        let exponents = &without.json()["growthExponents"];
        assert_eq!(exponents.get("operatorPeakKiB"), Some(&Value::Null));
        assert!(exponents["seconds"].is_f64());
    }
}
