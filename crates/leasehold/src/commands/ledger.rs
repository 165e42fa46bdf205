//! `leasehold backup`, `leasehold restore` and `leasehold ledger migrate`.

use std::{
    env,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
    process,
};

use anyhow::{Context, Result, bail};
use leasehold_export::sheet::Sheet;
use leasehold_store::{Integrity, Place, Roles, Store};
use serde::Serialize;

use crate::{
    Outcome,
    cli::{At, BackupArgs, MigrateArgs, RestoreArgs},
    ledger, output,
    session::Session,
};

/// After so many rows a person is told that it goes on.
const TELL: u64 = 100_000;

/// Beside a file of SQLite may lie what belongs to it.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Which ledger was written, and what it must be for whoever receives it.
#[derive(Serialize)]
struct Copied {
    ledger: String,
    rows: u64,
    head: String,
}

impl Copied {
    fn new(place: &Place, copied: &Integrity) -> Self {
        Self {
            ledger: place.to_string(),
            rows: copied.rows,
            head: copied.head.to_string(),
        }
    }

    fn sentence(&self) -> String {
        let Self { ledger, rows, head } = self;
        format!("{ledger}: {rows} rows, head {head}")
    }

    fn sheet(&self) -> Sheet {
        let columns = vec![
            output::text("ledger", "账本"),
            output::number("rows", "行数"),
            output::text("head", "链头"),
        ];
        let row = vec![
            self.ledger.clone(),
            self.rows.to_string(),
            self.head.clone(),
        ];
        output::plain(columns, vec![row])
    }
}

/// Writes a ledger into one file.
pub fn backup(arguments: &BackupArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    output::refuse_mixture(session.common.output, arguments.file.as_deref())?;
    let Some(file) = &arguments.file else {
        let made = env::temp_dir().join(format!("leasehold-backup-{}.db", process::id()));
        let copied = copy(&arguments.db, &made, session).and_then(|_| pour(&made, out));
        forget(&made)?;
        return copied.map(|()| Outcome::Done);
    };
    if file.exists() {
        bail!(
            "failed to write {}: it exists; name another file, or take that one away",
            file.display()
        );
    }
    let part = output::part_of(file);
    let copied = copy(&arguments.db, &part, session)?;
    output::complete(&part, file)?;
    tell(&Copied::new(&Place::from(file), &copied), session, out)
}

/// Copies a ledger into a new file.
fn copy(at: &At, file: &Path, session: &Session) -> Result<Integrity> {
    let source = ledger::open(session, at)?;
    forget(file)?;
    let target = session.wait(Box::pin(Store::open(file)))?;
    let copied = session.wait(Box::pin(source.copy_into(&target, progress())))?;
    session.wait(Box::pin(target.close_as_one_file()))?;
    Ok(copied)
}

/// Writes a file to standard output.
fn pour(file: &Path, out: &mut dyn Write) -> Result<()> {
    let mut made =
        File::open(file).with_context(|| format!("failed to read {} again", file.display()))?;
    io::copy(&mut made, out).context("failed to write the backup to standard output")?;
    Ok(())
}

/// Fills an empty ledger from a backup, and recomputes it.
pub fn restore(arguments: &RestoreArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let place = arguments.into.place()?;
    let source = session.wait(Box::pin(Store::open_read_only(&arguments.file)))?;
    let target = session.wait(Box::pin(Store::open_to_copy_into(&place)))?;
    let copied = session.wait(Box::pin(source.copy_into(&target, progress())))?;
    output::remark("all rows are written; they are read back and recomputed");
    let found = session.wait(Box::pin(target.integrity()))?;
    if found != copied {
        bail!(
            "failed to restore {place}: {} rows with head {} were written, {} rows with head {} are there; was something \
             else writing it? Begin again with an empty ledger",
            copied.rows,
            copied.head,
            found.rows,
            found.head
        );
    }
    session.wait(Box::pin(target.close()))?;
    tell(&Copied::new(&place, &copied), session, out)
}

/// Makes the tables, or brings them to this version.
pub fn migrate(arguments: &MigrateArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let place = arguments.db.place()?;
    let roles = Roles {
        service: arguments.service.clone(),
        reader: arguments.reader.clone(),
    };
    if place.file().is_some() && roles != Roles::default() {
        bail!(
            "failed to let roles into {place}: a file has none; leave out --service and --reader"
        );
    }
    let version = session.wait(Box::pin(Store::migrate(&place, &roles)))?;
    let migrated = Migrated {
        ledger: place.to_string(),
        version,
    };
    let sentence = format!("{place}: the schema has version {version}");
    let columns = vec![
        output::text("ledger", "账本"),
        output::number("version", "版本"),
    ];
    let row = vec![migrated.ledger.clone(), version.to_string()];
    let sheet = output::plain(columns, vec![row]);
    output::tell(&sentence, &migrated, &sheet, session.common.output, out)?;
    Ok(Outcome::Done)
}

/// Which tables were made.
#[derive(Serialize)]
struct Migrated {
    ledger: String,
    version: u32,
}

fn tell(copied: &Copied, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let format = session.common.output;
    output::tell(&copied.sentence(), copied, &copied.sheet(), format, out)?;
    Ok(Outcome::Done)
}

/// Tells a person now and then that it goes on.
fn progress() -> impl FnMut(u64) {
    let mut next = TELL;
    move |rows| {
        if rows >= next {
            output::remark(&format!("{rows} rows"));
            next = rows.saturating_add(TELL);
        }
    }
}

/// Takes away what an attempt that was broken off has left.
fn forget(part: &Path) -> Result<()> {
    for beside in BESIDE {
        let mut name = part.as_os_str().to_owned();
        name.push(beside);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| {
                    format!("failed to take away {}", Path::new(&name).display())
                });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::{document::DepartmentDoc, time::Second};
    use leasehold_store::{Batch, Record};
    use serde_json::Value;

    use super::*;
    use crate::cli::{Common, Format};

    fn department(n: u32) -> Record {
        let document = DepartmentDoc {
            code: format!("d{n}"),
            display_name: format!("部门{n}"),
            budget_unit: None,
            parent: None,
            at: Second::new(0),
        };
        Record::document(&document).unwrap()
    }

    fn at(path: &Path) -> At {
        path.to_str().unwrap().parse().unwrap()
    }

    #[test]
    fn a_backup_is_restored_with_the_head_that_it_told() {
        let common = Common {
            output: Format::Json,
            ..Common::default()
        };
        let session = Session::new(common).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [original, file, restored] =
            ["ledger.db", "backup.db", "restored.db"].map(|name| folder.path().join(name));
        let store = session.wait(Store::open(&original)).unwrap();
        let records = (0..3).map(department).collect();
        session
            .wait(store.commit(&Batch::of(records), Second::new(1)))
            .unwrap();

        // what an earlier attempt left does no harm
        fs::write(output::part_of(&file), "half of a file").unwrap();
        let arguments = BackupArgs {
            db: at(&original),
            file: Some(file.clone()),
        };
        let mut out = Vec::new();
        backup(&arguments, &session, &mut out).unwrap();
        let told: Value = serde_json::from_slice(&out).unwrap();
        let (rows, head) = session.wait(store.head()).unwrap();
        assert_eq!((told["rows"].as_u64(), rows), (Some(3), 3));
        assert_eq!(told["head"].as_str(), Some(head.as_str()));
        assert!(!output::part_of(&file).exists());

        let again = backup(&arguments, &session, &mut Vec::new()).unwrap_err();
        assert!(again.to_string().contains("it exists"), "{again}");

        let arguments = RestoreArgs {
            file,
            into: at(&restored),
        };
        let mut out = Vec::new();
        restore(&arguments, &session, &mut out).unwrap();
        let told: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["head"].as_str(), Some(head.as_str()));
        let restored = session.wait(Store::open_read_only(&restored)).unwrap();
        assert_eq!(session.wait(restored.head()).unwrap(), (rows, head));
    }

    #[test]
    fn roles_are_for_servers() {
        let session = Session::new(Common::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let arguments = MigrateArgs {
            db: at(&folder.path().join("ledger.db")),
            service: Some("leasehold".to_owned()),
            reader: None,
        };
        let refused = migrate(&arguments, &session, &mut Vec::new()).unwrap_err();
        assert!(refused.to_string().contains("--service"), "{refused}");
    }
}
