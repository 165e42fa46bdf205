//! Steps that run one after the other and end in a table.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::out::Out;

type Action<'a> = Box<dyn FnOnce(&mut Out) -> Result<()> + 'a>;

/// One step of a check.
pub struct Step<'a> {
    name: &'static str,
    repeat: String,
    action: Action<'a>,
}

impl<'a> Step<'a> {
    /// A step called `name`; `repeat` is the command that runs it alone.
    pub fn new(
        name: &'static str,
        repeat: impl Into<String>,
        action: impl FnOnce(&mut Out) -> Result<()> + 'a,
    ) -> Self {
        Self {
            name,
            repeat: repeat.into(),
            action: Box::new(action),
        }
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

struct Done {
    name: &'static str,
    repeat: String,
    took: Duration,
    passed: bool,
}

/// Runs all steps, also after one has failed, and prints how each went. `next` is what to try when
/// all have passed.
pub fn run(steps: Vec<Step<'_>>, next: &[&str], out: &mut Out) -> Result<()> {
    let mut done = Vec::with_capacity(steps.len());
    for step in steps {
        out.line(format_args!("== {}   ({})", step.name, step.repeat))?;
        let started = Instant::now();
        let result = (step.action)(out);
        let took = started.elapsed();
        match &result {
            Ok(()) => out.line(format_args!(
                "== {}: passed in {}",
                step.name,
                duration(took)
            ))?,
            Err(error) => out.line(format_args!("== {}: FAILED: {error:#}", step.name))?,
        }
        done.push(Done {
            name: step.name,
            repeat: step.repeat,
            took,
            passed: result.is_ok(),
        });
    }
    summary(&done, next, out)
}

fn summary(done: &[Done], next: &[&str], out: &mut Out) -> Result<()> {
    let width = done.iter().map(|step| step.name.len()).max().unwrap_or(0);
    out.line("")?;
    for step in done {
        let verdict = if step.passed { "passed" } else { "FAILED" };
        out.line(format_args!(
            "{:width$}  {verdict}  {:>12}",
            step.name,
            duration(step.took)
        ))?;
    }
    let total: Duration = done.iter().map(|step| step.took).sum();
    out.line(format_args!(
        "{:width$}          {:>12}",
        "together",
        duration(total)
    ))?;
    out.line("")?;

    let failed: Vec<&Done> = done.iter().filter(|step| !step.passed).collect();
    if failed.is_empty() {
        for line in next {
            out.line(line)?;
        }
        return Ok(());
    }
    for step in &failed {
        out.line(format_args!("to repeat {}: {}", step.name, step.repeat))?;
    }
    bail!("{} of {} steps failed", failed.len(), done.len())
}

/// `850 ms`, `12.3 s`, `4 min 05 s`.
pub fn duration(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0 => format!("{} ms", took.as_millis()),
        1..60 => format!("{seconds}.{} s", took.subsec_millis() / 100),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_as_people_say_it() {
        assert_eq!(duration(Duration::from_millis(850)), "850 ms");
        assert_eq!(duration(Duration::from_millis(12_390)), "12.3 s");
        assert_eq!(duration(Duration::from_millis(59_999)), "59.9 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
    }

    #[test]
    fn steps_after_a_failed_one_still_run_and_the_whole_fails() {
        let mut ran = false;
        let steps = vec![
            Step::new("first", "false", |_: &mut Out| bail!("no")),
            Step::new("second", "true", |_: &mut Out| {
                ran = true;
                Ok(())
            }),
        ];
        let error = run(steps, &[], &mut Out::stdout()).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 steps failed");
        assert!(ran);
    }
}
