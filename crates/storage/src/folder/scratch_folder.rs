//! A folder that one process writes in, among those of others.
//!
//! Each is locked by its process for as long as it lives, however it ends: a folder whose lock is free is of a
//! process that is no more. Folders are made and cleared under one more lock, so that none is cleared while it is
//! made.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rand::Rng as _;

use super::private_folders;

/// The file that is locked, in each folder and in the folder of all.
const LOCK: &str = "lock";
/// A file that lies there by itself was written by a version without folders; no process writes one for so long.
const LEFT_BEHIND: Duration = Duration::from_secs(86_400);

/// A folder of this process.
#[derive(Debug)]
pub(super) struct ScratchFolder {
    folder: PathBuf,
    _lock: File,
}

impl ScratchFolder {
    /// Makes one in the folder of all, and clears those of processes that are no more.
    pub(super) fn take(all: &Path) -> io::Result<Self> {
        private_folders().recursive(true).create(all)?;
        let turn = lock_file(all)?;
        turn.lock()?;
        clear(all)?;
        let mut name = [0u8; 8];
        rand::rng().fill_bytes(&mut name);
        let folder = all.join(hex::encode(name));
        private_folders().create(&folder)?;
        let lock = lock_file(&folder)?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn lock_file(folder: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(folder.join(LOCK))
}

fn clear(all: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(all)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if is_free(&path)? {
                std::fs::remove_dir_all(&path)?;
            }
        } else if entry.file_name() != LOCK && is_old(&entry)? {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn is_free(folder: &Path) -> io::Result<bool> {
    match lock_file(folder)?.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "the age of a file is by the clock of the machine")]
fn is_old(entry: &std::fs::DirEntry) -> io::Result<bool> {
    let written = entry.metadata()?.modified()?;
    // A clock that was put back makes a file look new: it stays for the next start.
    Ok(SystemTime::now().duration_since(written).is_ok_and(|age| age > LEFT_BEHIND))
}
