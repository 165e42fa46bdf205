//! libfaketime, by which a test sets the operator's clock.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::out::Out;
use crate::packages;

/// Where a library in another place is named.
const VARIABLE: &str = "LEASEHOLD_FAKETIME";
/// The library's variant for programs with several threads.
const LIBRARY: &str = "libfaketimeMT.so.1";
/// Folders in which packages put it, or put a folder for the machine's kind of processor.
const FOLDERS: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// Sees to it that the tests find the library; as root on Debian it installs the package.
pub fn ensure(out: &mut Out) -> Result<()> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        ensure!(
            named.is_file(),
            "failed to find {}, which {VARIABLE} names: name {LIBRARY}, or unset it",
            named.display()
        );
        return Ok(out.line(format_args!("libfaketime: {}", named.display()))?);
    }
    let found = match find() {
        Some(found) => found,
        None => install(out)?,
    };
    Ok(out.line(format_args!("libfaketime: {}", found.display()))?)
}

fn install(out: &mut Out) -> Result<PathBuf> {
    let missing = format!(
        "failed to find {LIBRARY}: install it (`apt-get install libfaketime`), or name it in {VARIABLE}"
    );
    packages::install("libfaketime", &missing, out)?;
    find().with_context(|| {
        format!("failed to find {LIBRARY} in the package that was installed; name it in {VARIABLE}")
    })
}

fn find() -> Option<PathBuf> {
    FOLDERS
        .iter()
        .flat_map(|folder| places(Path::new(folder)))
        .find(|path| path.is_file())
}

/// `folder/faketime`, and the same in the folders of kinds of processors below.
fn places(folder: &Path) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    places.sort();
    places.insert(0, folder.to_owned());
    places
        .into_iter()
        .map(|place| place.join("faketime").join(LIBRARY))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_looked_for_where_packages_put_it() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        fs::create_dir(here.join("some-linux-gnu")).unwrap();
        let wanted = |place: &Path| place.join("faketime").join(LIBRARY);
        assert_eq!(
            places(here),
            [wanted(here), wanted(&here.join("some-linux-gnu"))]
        );
    }
}
