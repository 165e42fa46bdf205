//! A wall clock of the operator that a test may set, while that of the machine goes on.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// Where a library in another place is named.
const VARIABLE: &str = "LEASEHOLD_FAKETIME";
/// The library's variant for programs with several threads.
const LIBRARY: &str = "libfaketimeMT.so.1";
/// Folders in which packages put it, or put a folder for the machine's kind of processor.
const FOLDERS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
/// How old the setting may be that the process goes by, in seconds.
const DELAY: u32 = 1;

/// A wall clock that can be set, by libfaketime. Clocks that only count how much time has passed go on as they do.
#[derive(Clone, Debug)]
pub struct SettableClock {
    library: PathBuf,
    setting: PathBuf,
}

impl SettableClock {
    /// A clock that goes right, with its setting in `folder`.
    pub fn new(folder: &Path) -> Result<Self, Failure> {
        let clock = Self {
            library: library()?,
            setting: folder.join("clock"),
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets it ahead of the machine's by so many seconds, or behind it. The process goes by it a second later at most.
    pub fn set(&self, ahead: i64) -> Result<(), Failure> {
        // it is never read while it is written
        let next = self.setting.with_extension("next");
        fs::write(&next, format!("{ahead:+}\n")).map_err(Failure::file(&next))?;
        fs::rename(&next, &self.setting).map_err(Failure::file(&self.setting))
    }

    /// What a process that goes by it has in its environment, as `env` takes it.
    pub(crate) fn environment(&self) -> Vec<String> {
        vec![
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.setting.display()),
            format!("FAKETIME_CACHE_DURATION={DELAY}"),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ]
    }
}

fn library() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        // the loader only warns of a file that is not there
        return if named.is_file() {
            Ok(named)
        } else {
            let text = format!("failed to find {}, which {VARIABLE} names", named.display());
            Err(Failure::Clock(text))
        };
    }
    FOLDERS
        .iter()
        .find_map(|folder| find(Path::new(folder)))
        .ok_or_else(|| {
            let text = format!(
                "failed to find {LIBRARY}: install it (`apt-get install libfaketime`; as root `cargo xtask test --only \
                 faketime` does), or name it in {VARIABLE}"
            );
            Failure::Clock(text)
        })
}

/// In `folder/faketime`, or in a folder of one kind of processor below.
fn find(folder: &Path) -> Option<PathBuf> {
    let here = folder.join("faketime").join(LIBRARY);
    if here.is_file() {
        return Some(here);
    }
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime").join(LIBRARY)))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_where_packages_put_it() {
        let folder = std::env::temp_dir().join(format!("leasehold-clock-{}", std::process::id()));
        let place = folder.join("some-linux-gnu").join("faketime");
        fs::create_dir_all(&place).unwrap();
        assert_eq!(find(&folder), None);
        fs::write(place.join(LIBRARY), "").unwrap();
        assert_eq!(find(&folder), Some(place.join(LIBRARY)));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_setting_is_what_the_library_reads() {
        let folder = std::env::temp_dir().join(format!("leasehold-set-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let clock = SettableClock {
            library: PathBuf::from("x"),
            setting: folder.join("clock"),
        };
        for (ahead, text) in [(3_600, "+3600\n"), (-5, "-5\n"), (0, "+0\n")] {
            clock.set(ahead).unwrap();
            assert_eq!(fs::read_to_string(folder.join("clock")).unwrap(), text);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
