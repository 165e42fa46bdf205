//! A copy of what etcd holds, and putting it back later: what whoever restores a cluster from a backup does.

use std::fs;
use std::path::Path;

use super::{ControlPlane, ETCD_GRACE, Program, StartError, files};

impl ControlPlane {
    /// Copies etcd's data as they are now into a folder that is not there yet. etcd is stopped meanwhile (about a
    /// second), everything else runs.
    pub fn back_up(&mut self, to: &Path) -> Result<(), StartError> {
        if let Some(mut etcd) = self.processes.remove(&Program::Etcd) {
            etcd.terminate(ETCD_GRACE);
        }
        let copied = copy(&self.data(), to);
        self.launch(Program::Etcd)?;
        copied?;
        // ready again
        self.launch(Program::ApiServer)
    }

    /// Puts back what was copied: objects and versions are those of then. Everything is stopped and started again at the
    /// same addresses; returns when the API server is ready.
    pub fn put_back(&mut self, from: &Path) -> Result<(), StartError> {
        self.put_back_after(from, |_| {})
    }

    /// The same, after `read` was called with etcd's address, once nobody writes to it any more: to save what it is about to
    /// forget.
    pub fn put_back_after(
        &mut self,
        from: &Path,
        read: impl FnOnce(&str),
    ) -> Result<(), StartError> {
        let others = |program: &Program| *program != Program::Etcd;
        for program in Program::ALL.into_iter().filter(others).rev() {
            self.kill(program);
        }
        read(&self.etcd_address());
        self.kill(Program::Etcd);
        let data = self.data();
        fs::remove_dir_all(&data).map_err(files(&data))?;
        copy(from, &data)?;
        Program::ALL
            .into_iter()
            .try_for_each(|program| self.launch(program))
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir().join("etcd")
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), StartError> {
    fs::create_dir_all(to).map_err(files(to))?;
    for entry in fs::read_dir(from).map_err(files(from))? {
        let entry = entry.map_err(files(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(files(&path))?.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(files(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_copied_with_what_lies_deeper() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, to) = (scratch.path().join("a"), scratch.path().join("b"));
        fs::create_dir_all(from.join("member/wal")).unwrap();
        fs::write(from.join("member/wal/0.wal"), "w").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(
            fs::read_to_string(to.join("member/wal/0.wal")).unwrap(),
            "w"
        );
    }
}
