//! Where things that are expensive to make are kept between runs, and how two runs at once keep
//! out of each other's way.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Why the cache folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// None of the variables that could name a cache folder is set.
    #[error("failed to find a cache folder: set LEASEHOLD_CACHE, XDG_CACHE_HOME or HOME")]
    NoFolder,
    /// The lock file could not be made or locked.
    #[error("failed to lock {}: check that its folder is writable", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The cache folder: `$LEASEHOLD_CACHE`, else `$XDG_CACHE_HOME/leasehold`, else
/// `$HOME/.cache/leasehold`. It need not exist yet.
pub fn root() -> Result<PathBuf, CacheError> {
    root_from(|name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    })
    .ok_or(CacheError::NoFolder)
}

fn root_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("LEASEHOLD_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|base| base.join("leasehold")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache").join("leasehold")))
}

/// A folder name for what is made from `parts`: 32 hexadecimal digits of their SHA-256. Each part
/// is preceded by its length, so that moving text from one part to the next changes the key.
pub fn key(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(format!("{}:", part.len()).as_bytes());
        hasher.update(part.as_bytes());
    }
    let mut text = String::with_capacity(32);
    for byte in hasher.finalize().iter().take(16) {
        write!(text, "{byte:02x}").ok();
    }
    text
}

/// An exclusive lock between processes; released when it is dropped or its process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The file that is locked: made where there is none, and never emptied.
fn open(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

/// Takes the lock at `path`, waiting for another holder; `progress` is told when there is one.
pub fn lock(path: &Path, progress: &mut dyn Write) -> Result<Lock, CacheError> {
    let failed = |source| CacheError::Lock {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            writeln!(
                progress,
                "waiting for another process that holds {}",
                path.display()
            )
            .ok();
            file.lock().map_err(failed)?;
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    Ok(Lock { _file: file })
}

/// Takes the lock at `path` if nobody holds it; `None` when somebody does.
pub fn try_lock(path: &Path) -> Result<Option<Lock>, CacheError> {
    let failed = |source| CacheError::Lock {
        path: path.to_owned(),
        source,
    };
    let file = open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_variable_names_the_cache_folder() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        assert_eq!(root_from(all), Some(PathBuf::from("/LEASEHOLD_CACHE")));
        let no_own = |name: &str| (name != "LEASEHOLD_CACHE").then(|| all(name)).flatten();
        assert_eq!(
            root_from(no_own),
            Some(PathBuf::from("/XDG_CACHE_HOME/leasehold"))
        );
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/li"));
        assert_eq!(
            root_from(home),
            Some(PathBuf::from("/home/li/.cache/leasehold"))
        );
        assert_eq!(root_from(|_| None), None);
    }

    #[test]
    fn a_key_tells_where_one_part_ends_and_the_next_begins() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
        assert_eq!(key(&[]).len(), 32);
    }

    #[test]
    fn a_lock_is_free_again_once_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path, &mut io::sink()).unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
