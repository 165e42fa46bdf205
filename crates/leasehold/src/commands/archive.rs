//! `leasehold archive`.

use std::{io::Write, iter, path::Path};

use anyhow::{Context, Result, bail};
use leasehold_export::sheet::Sheet;
use leasehold_ledger::{
    document::{ArchiveDoc, PeriodOpenDoc, PolicyDoc},
    time::Second,
};
use leasehold_store::{Archived, Due, Keeper, Store};
use serde::Serialize;

use crate::{Outcome, cli::ArchiveArgs, output, session::Session};

/// What became of a period, or would.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct Moved {
    period: String,
    rows: u64,
    file: String,
    digest: Option<String>,
}

impl Moved {
    fn new(archived: Archived) -> Self {
        let ArchiveDoc {
            period,
            rows,
            digest,
            ..
        } = archived.document;
        Self {
            period,
            rows,
            file: archived.file.display().to_string(),
            digest: Some(digest.to_string()),
        }
    }

    fn sentence(&self) -> String {
        let Self {
            period, rows, file, ..
        } = self;
        match &self.digest {
            Some(digest) => format!("{period}: {rows} rows moved to {file}, digest {digest}"),
            None => format!("{period}: {rows} rows would be moved to {file}"),
        }
    }
}

/// Moves what is due into files, or says what would be moved.
pub fn run(arguments: &ArchiveArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    if !arguments.to.is_dir() {
        bail!(
            "failed to find the folder {}; make it, on a disk that is backed up",
            arguments.to.display()
        );
    }
    let keeper = session.wait(Box::pin(Keeper::open(arguments.db.place()?)))?;
    let now = session.now();
    let through = arguments.through.as_deref();
    let due = session.wait(Box::pin(due(keeper.store(), through, now)))?;
    let moved = if arguments.dry_run {
        weighed(&keeper, &due, &arguments.to, session)?
    } else {
        archived(&keeper, &due, &arguments.to, session)?
    };
    session.wait(Box::pin(keeper.close()))?;
    tell(&moved, arguments.dry_run, session, out)?;
    Ok(Outcome::Done)
}

/// The periods that are due, up to the one that was named.
async fn due(store: &Store, through: Option<&str>, now: Second) -> Result<Vec<Due>> {
    let policies = store.documents::<PolicyDoc>(None, None).await?;
    let policy = policies.into_iter().next_back().context(
        "failed to find a cloud policy in the ledger; it is recorded when the operator first runs",
    )?;
    let Some(days) = policy.value.policy.archive_after_days else {
        bail!(
            "failed to archive: the CloudPolicy does not say after how many days records of use may leave the ledger; set \
             spec.closing.archiveAfterDays"
        );
    };
    let mut due = store.due_archives(days, now).await?;
    if let Some(name) = through {
        let last = store.document::<PeriodOpenDoc>(name).await?;
        let last = last.with_context(|| {
            format!("failed to find period {name} in the ledger; `leasehold statement` lists what there is")
        })?;
        due.retain(|due| due.ended_before <= last.value.period.span.to);
    }
    Ok(due)
}

/// What would be moved, and nothing is.
fn weighed(keeper: &Keeper, due: &[Due], to: &Path, session: &Session) -> Result<Vec<Moved>> {
    let mut weights = Vec::with_capacity(due.len());
    for period in due {
        weights.push(session.wait(Box::pin(keeper.weigh(period)))?);
    }
    let moved = due.iter().zip(each(&weights)).map(|(period, rows)| Moved {
        period: period.period.clone(),
        rows,
        file: to.join(period.file_name()).display().to_string(),
        digest: None,
    });
    Ok(moved.filter(|one| one.rows > 0).collect())
}

/// The rows of each archive, where each was weighed as if it were the next one. What may leave with a period may leave with
/// every later one as well, and will have left by then.
fn each(weights: &[u64]) -> Vec<u64> {
    let before = iter::once(&0).chain(weights);
    weights
        .iter()
        .zip(before)
        .map(|(weight, before)| weight.saturating_sub(*before))
        .collect()
}

/// Moves what is due, and says so period by period.
fn archived(keeper: &Keeper, due: &[Due], to: &Path, session: &Session) -> Result<Vec<Moved>> {
    let mut moved = Vec::new();
    for period in due {
        let archiving = keeper.archive(period, to, session.now());
        if let Some(archived) = session.wait(Box::pin(archiving))? {
            let one = Moved::new(archived);
            output::remark(&one.sentence());
            moved.push(one);
        }
    }
    Ok(moved)
}

fn tell(moved: &[Moved], dry_run: bool, session: &Session, out: &mut dyn Write) -> Result<()> {
    let sentence = if moved.is_empty() {
        "nothing is to be moved: no period was closed long enough ago, or what is left of them is still needed".to_owned()
    } else if dry_run {
        let sentences: Vec<String> = moved.iter().map(Moved::sentence).collect();
        sentences.join("\n")
    } else {
        format!("{} periods archived", moved.len())
    };
    let format = session.common.output;
    output::tell(&sentence, moved, &sheet(moved), format, out)
}

fn sheet(moved: &[Moved]) -> Sheet {
    let columns = vec![
        output::text("period", "账期"),
        output::number("rows", "行数"),
        output::text("file", "文件"),
        output::text("digest", "内容摘要"),
    ];
    let rows = moved.iter().map(|one| {
        vec![
            one.period.clone(),
            one.rows.to_string(),
            one.file.clone(),
            one.digest.clone().unwrap_or_default(),
        ]
    });
    output::plain(columns, rows.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leasehold_ledger::{
        canonical::digest_bytes, document::PeriodCloseDoc, policy::Policy, statement::Totals,
    };
    use leasehold_store::{Batch, Record};

    use super::*;
    use crate::{
        cli::{Common, Format},
        source::tests::{period, policy},
    };

    const DAY: i64 = 86_400;

    /// A ledger in which two months were closed a day after their ends.
    async fn ledger(policy: Policy) -> Store {
        let store = Store::in_memory().await.unwrap();
        let mut records = vec![
            Record::document(&PolicyDoc {
                policy: policy.clone(),
                seen_at: Second::new(0),
            })
            .unwrap(),
        ];
        for month in ["2026-08", "2026-09"] {
            let period = period(month);
            let at = period.span.to.plus(DAY);
            records.push(
                Record::document(&PeriodOpenDoc {
                    period,
                    policy: policy.digest().unwrap(),
                    at,
                })
                .unwrap(),
            );
            records.push(
                Record::document(&PeriodCloseDoc {
                    name: month.to_owned(),
                    fact_seq: 1,
                    closed_by: "sun@finance".to_owned(),
                    totals: Totals::default(),
                    statements: BTreeMap::new(),
                    gaps: None,
                    chain: digest_bytes(b"head"),
                    at,
                })
                .unwrap(),
            );
        }
        let batch = Batch::of(records);
        store.commit(&batch, Second::new(0)).await.unwrap();
        store
    }

    #[test]
    fn periods_are_moved_after_the_time_of_the_policy_and_up_to_the_one_that_is_named() {
        let session = Session::new(Common::default()).unwrap();
        let policy = Policy {
            archive_after_days: Some(60),
            ..policy()
        };
        let store = session.wait(ledger(policy));
        let names = |through: Option<&str>, now: &str| -> Vec<String> {
            let now = Second::parse(now).unwrap();
            let due = session.wait(due(&store, through, now)).unwrap();
            due.into_iter().map(|due| due.period).collect()
        };
        // September was closed when 2 October began in Shanghai
        assert_eq!(names(None, "2026-11-30T15:59:59Z"), ["2026-08"]);
        let late = "2026-11-30T16:00:00Z";
        assert_eq!(names(None, late), ["2026-08", "2026-09"]);
        assert_eq!(names(Some("2026-08"), late), ["2026-08"]);
        let now = Second::parse(late).unwrap();
        let unknown = session.wait(due(&store, Some("2026-13"), now)).unwrap_err();
        assert!(unknown.to_string().contains("2026-13"), "{unknown}");
    }

    #[test]
    fn without_a_time_in_the_policy_nothing_is_moved() {
        let session = Session::new(Common::default()).unwrap();
        let store = session.wait(ledger(policy()));
        let now = Second::parse("2036-01-01T00:00:00Z").unwrap();
        let refused = session.wait(due(&store, None, now)).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("spec.closing.archiveAfterDays"),
            "{refused}"
        );
    }

    #[test]
    fn what_would_leave_with_an_earlier_period_is_not_told_again_with_a_later_one() {
        // 18 rows may leave with August; with September the same and 20 more, with October no more than that
        assert_eq!(each(&[18, 38, 38]), [18, 20, 0]);
        assert_eq!(each(&[]), [0_u64; 0]);
    }

    #[test]
    fn what_would_be_moved_and_what_was_are_told_apart() {
        let mut one = Moved {
            period: "2026-09".to_owned(),
            rows: 18,
            file: "/srv/archive/facts-2026-09.db".to_owned(),
            digest: None,
        };
        let told = |moved: &[Moved], dry_run, output| {
            let common = Common {
                output,
                ..Common::default()
            };
            let session = Session::new(common).unwrap();
            let mut out = Vec::new();
            tell(moved, dry_run, &session, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let would = told(&[one.clone()], true, Format::Table);
        assert_eq!(
            would,
            "2026-09: 18 rows would be moved to /srv/archive/facts-2026-09.db\n"
        );
        one.digest = Some("sha256:00".to_owned());
        assert_eq!(
            told(&[one.clone()], false, Format::Table),
            "1 periods archived\n"
        );
        let read: serde_json::Value =
            serde_json::from_str(&told(&[one], false, Format::Json)).unwrap();
        assert_eq!(read[0]["rows"], 18);
        assert!(told(&[], false, Format::Table).starts_with("nothing is to be moved"));
    }
}
