//! Files in a folder, by the hash of their bytes.
//!
//! What is being written is in `<folder>/tmp`, in a folder of the process that writes it; what was kept lies in
//! `<folder>/<first two digits>/<hash>`. A file gets there by one rename after its bytes are on the disk, so whatever
//! has a hash for a name is whole. Several processes may have the same folder.

mod scratch_folder;

use std::{
    fs::{DirBuilder, File},
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use domain::{
    MediaId, Timestamp,
    port::{KeptMedia, MediaFiles, Scratch, StoreError, StoreErrorKind, StoreResult},
};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use scratch_folder::ScratchFolder;

/// A file is read in pieces of this many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A media store in a folder. Opening it removes what processes were writing that are no more.
#[derive(Debug, Clone)]
pub struct FolderMedia {
    folder: Arc<Path>,
    /// Where this process writes.
    scratch_folder: Arc<ScratchFolder>,
}

impl FolderMedia {
    /// Makes the folder if missing, readable only by its owner, and removes what was never kept.
    ///
    /// # Errors
    /// The system's, when the folder cannot be made, read or cleaned.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let scratch_folder = ScratchFolder::take(&folder.join("tmp"))?;
        Ok(Self { folder: folder.into(), scratch_folder: Arc::new(scratch_folder) })
    }

    /// Keeps a file whose name is the hash of what is read, unless it is there already. `false` when the bytes have
    /// another hash; then nothing is kept. Blocks.
    pub(crate) fn take_in(
        &self,
        id: &MediaId,
        size: u64,
        from: &mut dyn io::Read,
    ) -> io::Result<bool> {
        let there = std::fs::metadata(path_of(&self.folder, id));
        if there.is_ok_and(|kept| kept.len() == size) {
            return Ok(true);
        }
        let mut scratch = scratch(self.scratch_folder.folder())?;
        io::copy(from, &mut scratch.file)?;
        let (found, _) = hash(&mut scratch.file)?;
        if found != *id {
            return Ok(false);
        }
        keep(&self.folder, scratch).map(|_| true)
    }

    /// Runs work that waits for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> StoreResult<T> {
        let folder = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        let failed = |source: Arc<dyn std::error::Error + Send + Sync>| StoreError {
            kind: StoreErrorKind::Unavailable,
            doing,
            source: Some(source),
        };
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(Arc::new(error))),
            Err(error) => Err(failed(Arc::new(error))),
        }
    }
}

#[async_trait]
impl MediaFiles for FolderMedia {
    async fn scratch(&self) -> StoreResult<Scratch> {
        let scratch_folder = self.scratch_folder.clone();
        self.blocking("making a file", move |_| scratch(scratch_folder.folder())).await
    }

    async fn keep(&self, scratch: Scratch) -> StoreResult<KeptMedia> {
        self.blocking("keeping a file", move |folder| keep(folder, scratch)).await
    }

    async fn open(&self, id: &MediaId) -> StoreResult<Option<(File, u64)>> {
        let id = id.clone();
        self.blocking("opening a file", move |folder| {
            let file = match File::open(path_of(folder, &id)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            };
            let size_bytes = file.metadata()?.len();
            Ok(Some((file, size_bytes)))
        })
        .await
    }

    async fn remove(&self, id: &MediaId, kept_before: Timestamp) -> StoreResult<bool> {
        let id = id.clone();
        self.blocking("removing a file", move |folder| remove(folder, &id, kept_before)).await
    }

    async fn free_bytes(&self) -> StoreResult<Option<u64>> {
        self.blocking("looking how much room is left", |folder| {
            let room = rustix::fs::statvfs(folder)?;
            Ok(Some(room.f_bavail.saturating_mul(room.f_frsize)))
        })
        .await
    }

    async fn census(&self) -> StoreResult<(u64, u64)> {
        self.blocking("counting the files", |folder| {
            let (mut files, mut bytes) = (0, 0);
            for shelf in 0..=u8::MAX {
                let (more, of_them) = census(&folder.join(format!("{shelf:02x}")))?;
                (files, bytes) = (files + more, bytes + of_them);
            }
            Ok((files, bytes))
        })
        .await
    }

    async fn on_shelf(&self, shelf: u8, kept_before: Timestamp) -> StoreResult<Vec<MediaId>> {
        self.blocking("looking through the files", move |folder| {
            on_shelf(&folder.join(format!("{shelf:02x}")), kept_before)
        })
        .await
    }
}

/// Ids are hex digits, so this names nothing outside of the folder.
pub(crate) fn path_of(folder: &Path, id: &MediaId) -> PathBuf {
    folder.join(&id.as_str()[..2]).join(id.as_str())
}

/// Every file of a shelf, in order; none where there is no folder.
pub(crate) fn shelf(folder: &Path, shelf: u8) -> io::Result<Vec<MediaId>> {
    let entries = match std::fs::read_dir(folder.join(format!("{shelf:02x}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry?.file_name().to_str().and_then(MediaId::parse));
    }
    found.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    Ok(found)
}

fn scratch(scratch_folder: &Path) -> io::Result<Scratch> {
    let mut name = [0u8; 16];
    rand::rng().fill_bytes(&mut name);
    let path = scratch_folder.join(hex::encode(name));
    let mut options = File::options();
    options.create_new(true).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    Ok(Scratch { file, path })
}

fn keep(folder: &Path, mut scratch: Scratch) -> io::Result<KeptMedia> {
    let (id, size_bytes) = hash(&mut scratch.file)?;
    let path = path_of(folder, &id);
    let shelf = folder.join(&id.as_str()[..2]);
    // Never the folder itself: when it is gone, a new one would be an empty store.
    match private_folders().create(&shelf) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.and_then(|()| sync_folder(folder))?,
    }
    // Nobody removes a file between the look for it and the sign that it is wanted.
    let shared = File::open(&shelf)?;
    shared.lock_shared()?;
    // The same bytes are kept once. A file of another length was damaged from outside: it is replaced.
    let kept = std::fs::metadata(&path).is_ok_and(|kept| kept.len() == size_bytes);
    if kept {
        File::open(&path)?.set_modified(scratch.file.metadata()?.modified()?)?;
    } else {
        scratch.file.sync_all()?;
        std::fs::rename(&scratch.path, &path)?;
    }
    drop(shared);
    // Also when it was there: whoever put it there may not have come this far yet.
    sync_folder(&shelf)?;
    Ok(KeptMedia { id, size_bytes })
}

fn remove(folder: &Path, id: &MediaId, kept_before: Timestamp) -> io::Result<bool> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let locked = match File::open(folder.join(&id.as_str()[..2])) {
        Err(error) if gone(&error) => return Ok(true),
        opened => opened?,
    };
    locked.lock()?;
    let path = path_of(folder, id);
    match std::fs::metadata(&path) {
        Err(error) if gone(&error) => Ok(true),
        Ok(kept) if !is_before(&kept, kept_before) => Ok(false),
        found => found.and_then(|_| std::fs::remove_file(path)).map(|()| true),
    }
}

fn is_before(kept: &std::fs::Metadata, time: Timestamp) -> bool {
    let millis = u64::try_from(time.millis()).unwrap_or(0);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    kept.modified().is_ok_and(|kept| kept < time)
}

fn census(shelf: &Path) -> io::Result<(u64, u64)> {
    let entries = match std::fs::read_dir(shelf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        entries => entries?,
    };
    let (mut files, mut bytes) = (0, 0);
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().and_then(MediaId::parse).is_none() {
            continue;
        }
        // One that is removed meanwhile is no fault.
        if let Ok(kept) = entry.metadata() {
            (files, bytes) = (files + 1, bytes + kept.len());
        }
    }
    Ok((files, bytes))
}

fn on_shelf(shelf: &Path, kept_before: Timestamp) -> io::Result<Vec<MediaId>> {
    let entries = match std::fs::read_dir(shelf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(MediaId::parse) else { continue };
        // One that is removed meanwhile is no fault.
        if entry.metadata().is_ok_and(|kept| is_before(&kept, kept_before)) {
            found.push(id);
        }
    }
    Ok(found)
}

fn hash(file: &mut File) -> io::Result<(MediaId, u64)> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut size_bytes = 0;
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&piece[..read]);
        size_bytes += read as u64;
    }
    Ok((MediaId::of(&hash.finalize().into()), size_bytes))
}

/// Makes folders that only their owner may read.
fn private_folders() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// A new name survives a power cut only when its folder is on the disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
