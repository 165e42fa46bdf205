//! `leasehold backup`, `leasehold restore` and `leasehold ledger migrate`.

use std::{
    env,
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use leasehold_export::sheet::Sheet;
use leasehold_store::{Integrity, Place, Roles, Store, StoreError};
use serde::Serialize;

use crate::{
    Outcome,
    cli::{At, BackupArgs, MigrateArgs, RestoreArgs},
    ledger, output,
    session::Session,
};

/// After so many rows a person is told that it goes on.
const TELL: u64 = 100_000;

/// How often a copy is begun when facts are archived meanwhile.
const ATTEMPTS: u32 = 3;

/// What the name of a folder begins with in which a copy is made.
const BENCH: &str = ".leasehold-backup-";

/// The copy in it.
const MADE: &str = "ledger.db";

/// What is locked in it.
const HELD: &str = "held";

/// Its name before it is locked.
const UNHELD: &str = "unheld";

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
        let place = arguments.db.place()?;
        let bench = Bench::beside(&place)?;
        let made = bench.folder.join(MADE);
        copy(&arguments.db, &made, session)?;
        let made = File::open(&made)
            .with_context(|| format!("failed to read {} again", made.display()))?;
        // whoever breaks off what comes now leaves nothing behind
        bench.clear();
        pour(made, out)?;
        return Ok(Outcome::Done);
    };
    if file.exists() {
        bail!(
            "failed to write {}: it exists; name another file, or take that one away",
            file.display()
        );
    }
    let part = output::part_of(file);
    if let Some(ledger) = arguments.db.place()?.file() {
        expect_room(folder_of(file), ledger)?;
    }
    let copied = copy(&arguments.db, &part, session)?;
    output::complete(&part, file)?;
    tell(&Copied::new(&Place::from(file), &copied), session, out)
}

/// Copies a ledger into a new file; from the beginning again when facts were archived meanwhile.
fn copy(at: &At, file: &Path, session: &Session) -> Result<Integrity> {
    let source = ledger::open(session, at)?;
    let mut attempt = 1;
    loop {
        forget(file)?;
        let target = session.wait(Box::pin(Store::open(file)))?;
        match session.wait(Box::pin(source.copy_into(&target, progress()))) {
            Ok(copied) => {
                session.wait(Box::pin(target.close_as_one_file()))?;
                return Ok(copied);
            }
            Err(StoreError::Moved) if attempt < ATTEMPTS => {
                attempt += 1;
                session.wait(Box::pin(target.close()))?;
                output::remark("facts were archived meanwhile; the copy begins anew");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes a file to standard output.
fn pour(mut file: File, out: &mut dyn Write) -> Result<()> {
    io::copy(&mut file, out).context("failed to write the backup to standard output")?;
    Ok(())
}

/// A folder of this process alone, in which a copy is made. Nobody takes it for forgotten until it is dropped.
struct Bench {
    folder: PathBuf,
    /// Never read: closing it is what releases the lock.
    _lock: File,
}

impl Bench {
    /// One beside a ledger that is a file: there is a volume for as much, and a temporary folder may be small, or others'.
    fn beside(place: &Place) -> Result<Self> {
        let Some(ledger) = place.file() else {
            return Self::under(&env::temp_dir());
        };
        let parent = folder_of(ledger);
        clear_forgotten(parent);
        if let Ok(bench) = Self::under(parent) {
            expect_room(parent, ledger)?;
            return Ok(bench);
        }
        // whoever may read alone makes it elsewhere
        let elsewhere = env::temp_dir();
        expect_room(&elsewhere, ledger)?;
        Self::under(&elsewhere)
    }

    fn under(parent: &Path) -> Result<Self> {
        let chance = RandomState::new().build_hasher().finish();
        let folder = parent.join(format!("{BENCH}{chance:016x}"));
        // fails where there is one already, whoever made it
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        match held(&folder, File::lock) {
            Ok(lock) => Ok(Self {
                folder,
                _lock: lock,
            }),
            Err(error) => {
                fs::remove_dir_all(&folder).ok();
                Err(error).with_context(|| format!("failed to lock {}", folder.display()))
            }
        }
    }

    /// Takes it away before it is dropped, and says so if it cannot: the copy is whole all the same.
    fn clear(&self) {
        take_away(&self.folder);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The file in a new folder that is locked for as long as it is open. It gets its name only then: a file of that name that
/// nobody has locked is what another backup takes the folder away for.
fn held(folder: &Path, lock: impl FnOnce(&File) -> io::Result<()>) -> io::Result<File> {
    let unheld = folder.join(UNHELD);
    let file = File::create_new(&unheld)?;
    lock(&file)?;
    fs::rename(&unheld, folder.join(HELD))?;
    Ok(file)
}

/// The folder of a file.
fn folder_of(file: &Path) -> &Path {
    file.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Takes away what backups left that were killed: nobody has its lock.
fn clear_forgotten(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let folder = entry.path();
        if entry.file_name().to_string_lossy().starts_with(BENCH) && is_forgotten(&folder) {
            take_away(&folder);
        }
    }
}

/// Whether nobody makes a copy in this folder. One whose lock cannot even be asked for is left alone.
fn is_forgotten(folder: &Path) -> bool {
    let lock = File::options()
        .read(true)
        .write(true)
        .open(folder.join(HELD));
    match lock {
        Ok(lock) => lock.try_lock().is_ok(),
        // the lock comes before the copy: a folder without both is being made
        Err(error) => error.kind() == ErrorKind::NotFound && folder.join(MADE).exists(),
    }
}

/// Takes a folder away, and only says so if it cannot: it is nothing that was asked for.
fn take_away(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            output::remark(&format!(
                "failed to take away {}: {error}; take it away by hand, it is of no use",
                folder.display()
            ));
        }
        Ok(()) | Err(_) => {}
    }
}

/// Refuses to fill a volume with a copy of a ledger, above all the ledger's own: the operator that writes it needs as much as
/// the copy takes.
fn expect_room(folder: &Path, ledger: &Path) -> Result<()> {
    let sizes = BESIDE.iter().filter_map(|beside| {
        let mut name = ledger.as_os_str().to_owned();
        name.push(beside);
        fs::metadata(&name).ok()
    });
    let taken: u64 = sizes.map(|found| found.len()).sum();
    let volume = rustix::fs::statvfs(folder)
        .with_context(|| format!("failed to see how much is free in {}", folder.display()))?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let is_its_own = device(folder) == device(ledger);
    let times = if is_its_own { 2 } else { 1 };
    if free >= taken.saturating_mul(times) {
        return Ok(());
    }
    let beside = if is_its_own {
        ", and the operator needs as much again"
    } else {
        ""
    };
    bail!(
        "failed to make the backup of {} in {}: it takes {taken} bytes, {free} are free there{beside}; write it to another \
         volume with -f, or copy the file while the operator is stopped",
        ledger.display(),
        folder.display()
    )
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
    fn a_backup_to_standard_output_is_made_beside_the_ledger_and_leaves_nothing_there() {
        let session = Session::new(Common::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("ledger.db");
        let store = session.wait(Store::open(&original)).unwrap();
        let records = (0..3).map(department).collect();
        session
            .wait(store.commit(&Batch::of(records), Second::new(1)))
            .unwrap();
        let benches = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names
                .filter(|name| name.to_string_lossy().starts_with(BENCH))
                .count()
        };
        // two that were killed, one whose copy is complete and about to be read, and one that is being made
        for (name, file) in [("0", MADE), ("1", HELD)] {
            let killed = folder.path().join(format!("{BENCH}{name}"));
            fs::create_dir(&killed).unwrap();
            fs::write(killed.join(file), "half of a file").unwrap();
        }
        let other = Bench::under(folder.path()).unwrap();
        fs::write(other.folder.join(MADE), "a whole file").unwrap();
        fs::create_dir(folder.path().join(format!("{BENCH}2"))).unwrap();
        assert_eq!(benches(), 4);
        let arguments = BackupArgs {
            db: at(&original),
            file: None,
        };
        let mut out = Vec::new();
        backup(&arguments, &session, &mut out).unwrap();
        assert_eq!(benches(), 2);
        let untouched = fs::read(other.folder.join(MADE)).unwrap();
        assert_eq!(untouched, b"a whole file");
        drop(other);
        assert_eq!(benches(), 1);
        let copy = folder.path().join("copy.db");
        fs::write(&copy, out).unwrap();
        let copy = session.wait(Store::open_read_only(&copy)).unwrap();
        assert_eq!(session.wait(copy.integrity()).unwrap().rows, 3);
    }

    #[test]
    fn a_folder_is_not_taken_for_forgotten_before_its_lock_is_had() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join(format!("{BENCH}0"));
        fs::create_dir(&folder).unwrap();
        let lock = held(&folder, |file| {
            clear_forgotten(parent.path());
            assert!(folder.exists(), "another backup took it away");
            file.lock()
        });
        let lock = lock.unwrap();
        clear_forgotten(parent.path());
        assert!(folder.exists(), "it is locked");
        drop(lock);
        clear_forgotten(parent.path());
        assert!(!folder.exists(), "nobody has its lock any more");
    }

    #[test]
    fn a_backup_never_fills_the_volume_of_its_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        // as large as no volume is, and empty: nothing of it is written
        let file = File::create(&ledger).unwrap();
        file.set_len(1 << 42).unwrap();
        let refused = expect_room(folder.path(), &ledger).unwrap_err();
        assert!(refused.to_string().contains("with -f"), "{refused}");
        let refused = refused.to_string();
        assert!(refused.contains("as much again"), "{refused}");
        file.set_len(1 << 10).unwrap();
        assert!(expect_room(folder.path(), &ledger).is_ok());
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
