//! The lock that makes one process the writer of a ledger.

mod server;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::StoreError;

pub(crate) use self::server::ServerLock;

/// What keeps other writers out until it is dropped.
#[derive(Debug)]
pub(crate) enum Lock {
    /// Of a file.
    File {
        /// Never read: dropping it is what releases it.
        _lock: WriterLock,
    },
    /// Of a database of a server.
    Server {
        /// Never read either.
        _lock: ServerLock,
    },
}

/// An advisory lock on `<database>.lock`, held until it is dropped.
///
/// The lock belongs to the open file, so a second opening is refused even inside one process, and
/// the kernel releases it when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: File,
}

impl Drop for WriterLock {
    /// Closing the file would not do at every moment: the lock lives as long as anybody has the file open, and a child that
    /// this process is just starting has it until its own program runs.
    fn drop(&mut self) {
        // it is closed a moment later in any case
        drop(self.file.unlock());
    }
}

impl WriterLock {
    /// Takes the lock for the database at `database`, without waiting.
    ///
    /// Fails with [`StoreError::Locked`] when somebody holds it, naming whom, and with
    /// [`StoreError::LockFile`] when the lock file cannot be opened or written.
    pub(crate) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let failed = |source| StoreError::LockFile {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is a courtesy of the message; that it is held is what counts.
                if file.read_to_string(&mut holder).is_err() || holder.trim().is_empty() {
                    "an unnamed process".clone_into(&mut holder);
                }
                return Err(StoreError::Locked {
                    place: database.into(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        writeln!(file, "{}", own_name()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Self { file })
    }
}

/// `ledger.db` → `ledger.db.lock`, beside the database, whatever links lead there: two names of one file are one ledger.
pub(crate) fn lock_path(database: &Path) -> PathBuf {
    // a link may lead to a ledger that is yet to be made
    let aimed = std::fs::read_link(database).map(|to| match database.parent() {
        Some(folder) => folder.join(to),
        None => to,
    });
    let real = std::fs::canonicalize(database)
        .or(aimed)
        .unwrap_or_else(|_| database.to_owned());
    let mut name = real.into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}

/// How the other process will know us: in a cluster `HOSTNAME` is the name of the pod.
pub(crate) fn own_name() -> String {
    let pid = std::process::id();
    std::env::var("HOSTNAME")
        .ok()
        .filter(|host| !host.is_empty())
        .map_or_else(
            || format!("process {pid}"),
            |host| format!("process {pid} on {host}"),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_ledger_is_the_same_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, link) = (
            folder.path().join("ledger.db"),
            folder.path().join("link.db"),
        );
        std::os::unix::fs::symlink(&ledger, &link).unwrap();
        let _held = WriterLock::take(&ledger).unwrap();
        assert!(matches!(
            WriterLock::take(&link),
            Err(StoreError::Locked { .. })
        ));
    }

    #[test]
    fn the_second_taker_is_told_which_process_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("ledger.db");
        let held = WriterLock::take(&database).unwrap();

        let refused = WriterLock::take(&database).unwrap_err();

        let StoreError::Locked { place, holder } = refused else {
            panic!("expected Locked, got {refused}");
        };
        assert_eq!(place.file(), Some(database.as_path()));
        assert!(
            holder.starts_with(&format!("process {}", std::process::id())),
            "the holder is {holder}"
        );
        drop(held);
    }

    #[test]
    fn the_lock_is_free_again_when_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("ledger.db");
        drop(WriterLock::take(&database).unwrap());
        assert!(WriterLock::take(&database).is_ok());
    }

    #[test]
    fn whoever_still_has_the_file_open_does_not_hold_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("ledger.db");
        let held = WriterLock::take(&database).unwrap();
        // as a child has it between its beginning and its program
        let inherited = held.file.try_clone().unwrap();
        drop(held);
        assert!(WriterLock::take(&database).is_ok());
        drop(inherited);
    }

    #[test]
    fn the_lock_file_lies_beside_the_database_and_keeps_its_full_name() {
        assert_eq!(
            lock_path(Path::new("/data/ledger.db")),
            Path::new("/data/ledger.db.lock")
        );
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error_that_names_the_lock_file() {
        let dir = tempfile::tempdir().unwrap();
        let refused = WriterLock::take(&dir.path().join("none").join("ledger.db")).unwrap_err();
        let StoreError::LockFile { path, .. } = refused else {
            panic!("expected LockFile, got {refused}");
        };
        assert!(path.ends_with("none/ledger.db.lock"));
    }
}
