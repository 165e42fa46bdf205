//! PostgreSQL, which the tests of the ledger start themselves.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::out::Out;
use crate::packages;

/// Where Debian and its relatives keep the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The oldest version that the ledger runs on.
const OLDEST: u32 = 15;

/// Sees to it that the tests find a server or its programs; as root on Debian it installs the package.
pub fn ensure(out: &mut Out) -> Result<()> {
    if std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty()) {
        out.line("PostgreSQL: the server that DATABASE_URL names")?;
        return Ok(());
    }
    let found = match find() {
        Some(found) => found,
        None => install(out)?,
    };
    Ok(out.line(format_args!("PostgreSQL: {}", found.display()))?)
}

fn install(out: &mut Out) -> Result<PathBuf> {
    let missing = format!(
        "failed to find PostgreSQL {OLDEST} or newer: install it (`apt-get install postgresql`), or name a server in \
         DATABASE_URL, as postgres://postgres@127.0.0.1:5432/postgres"
    );
    packages::install("postgresql", &missing, out)?;
    match find() {
        Some(found) => Ok(found),
        None => bail!(
            "failed to find PostgreSQL {OLDEST} or newer in the package that was installed; install a newer one, or name a \
             server in DATABASE_URL"
        ),
    }
}

/// The folder of the newest programs there are: those of a package, else those that can be called by name.
fn find() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(version, bin)| *version >= OLDEST && is_complete(bin))
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions
        .pop()
        .map(|(_, bin)| bin)
        .or_else(|| std::env::split_paths(&path).find(|bin| is_complete(bin)))
}

fn is_complete(bin: &Path) -> bool {
    ["initdb", "postgres", "psql"]
        .iter()
        .all(|program| bin.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_only_with_all_programs_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for program in ["initdb", "postgres"] {
            fs::write(folder.path().join(program), "").unwrap();
        }
        assert!(!is_complete(folder.path()));
        fs::write(folder.path().join("psql"), "").unwrap();
        assert!(is_complete(folder.path()));
    }
}
