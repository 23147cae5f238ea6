//! Making a backup.

use std::{
    fs::File,
    io::{self, BufWriter, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use domain::{MediaId, Timestamp};

use super::{
    BACKUP_FORMAT, BackupError, BackupHeader, BackupMedia, BackupProgress, BackupStep, PIECE_BYTES,
    ProgressListener,
    archive::{self, EndOfBackup, Hashed},
    check,
    error::At as _,
    paths::{RemovedOnDrop, beside, create_private, sync_folder_of},
};
use crate::{
    crypt::{Cipher, MasterKey},
    db::{Conn, sqlite},
    error::Doing as _,
    folder, inspect,
};

/// What is copied, and where to.
#[derive(Clone)]
pub struct BackupOptions {
    /// The SQLite file of the ledger.
    pub ledger: PathBuf,
    /// The folder of the media files.
    pub media: PathBuf,
    /// Whether they are only listed.
    pub without_media: bool,
    /// The key of the ledger: only its fingerprint is written.
    pub key: MasterKey,
    /// The file that is made.
    pub file: PathBuf,
    /// The version of this program.
    pub program: String,
    /// The time of the backup.
    pub now: Timestamp,
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct WrittenBackup {
    /// What it says of itself.
    pub header: BackupHeader,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many media files are in it, or listed.
    pub media_files: u64,
    /// Files whose bytes do not have the hash in their name: they were left out.
    pub damaged_media: Vec<PathBuf>,
}

/// Copies a ledger, and its media files, into one file, whether a gateway runs or not. Blocks.
///
/// # Errors
/// [`BackupError`]; then there is no file of that name.
pub fn back_up(
    options: &BackupOptions,
    progress: &ProgressListener,
) -> Result<WrittenBackup, BackupError> {
    if options.file.exists() {
        return Err(BackupError::Exists(options.file.clone()));
    }
    if std::fs::metadata(&options.ledger).map_or(0, |found| found.len()) == 0 {
        return Err(BackupError::NoLedger(options.ledger.clone()));
    }
    let partial = beside(&options.file, ".partial");
    let file = take(&partial)?;
    let _partial = RemovedOnDrop(partial.clone());
    let copied = RemovedOnDrop(beside(&options.file, ".ledger"));
    let header = snapshot(options, &copied.0, progress)?;
    let listed = RemovedOnDrop(beside(&options.file, ".files"));
    let list = create_private(&listed.0).at("cannot write", &listed.0)?;
    let mut packing = Packing {
        options,
        tar: tar::Builder::new(BufWriter::with_capacity(PIECE_BYTES, file)),
        list: BufWriter::new(list),
        packed: 0,
        media_files: 0,
        damaged: Vec::new(),
        progress,
    };
    packing.all(&header, &copied.0).at("cannot write", &partial)?;
    let (media_files, damaged_media) = (packing.media_files, std::mem::take(&mut packing.damaged));
    packing.end().at("cannot write", &partial)?;
    // Whoever relies on it must not learn of a bad disk at the restore.
    check(&partial, progress)?;
    // Not a rename: that would replace what came there meanwhile.
    std::fs::hard_link(&partial, &options.file)
        .or_else(|error| no_links(&error, &partial, &options.file))
        .at("cannot make", &options.file)?;
    let bytes = std::fs::metadata(&options.file).map_or(0, |made| made.len());
    sync_folder_of(&options.file).at("cannot make", &options.file)?;
    Ok(WrittenBackup { header, bytes, media_files, damaged_media })
}

/// A file system without links has the rename.
fn no_links(error: &io::Error, from: &Path, to: &Path) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists || to.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

/// The file that is written, for this process alone.
fn take(partial: &Path) -> Result<File, BackupError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(partial).at("cannot write", partial)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(BackupError::Busy(partial.into())),
        Err(std::fs::TryLockError::Error(source)) => {
            return Err(source).at("cannot lock", partial);
        }
    }
    // What a backup that was killed left there.
    file.set_len(0).at("cannot write", partial)?;
    Ok(file)
}

/// Copies the ledger as of now, and looks whether the copy is whole and the key is its key.
fn snapshot(
    options: &BackupOptions,
    copy: &Path,
    progress: &ProgressListener,
) -> Result<BackupHeader, BackupError> {
    const DOING: &str = "copying the ledger";
    let ledger = |source| BackupError::Ledger { path: options.ledger.clone(), source };
    // Private before the first byte of it is there.
    drop(create_private(copy).at("cannot write", copy)?);
    let tell = |done, all| progress(BackupProgress { step: BackupStep::CopyLedger, done, all });
    sqlite::copy(&options.ledger, copy, &tell).doing(DOING).map_err(ledger)?;
    progress(BackupProgress { step: BackupStep::CheckLedger, done: 0, all: 0 });
    let conn = sqlite::SqliteConnection::open_to_look(copy).doing(DOING).map_err(ledger)?;
    let damage = conn.damage(1).doing(DOING).map_err(ledger)?;
    if let Some(said) = damage.into_iter().next() {
        return Err(BackupError::DamagedLedger { path: options.ledger.clone(), said });
    }
    let mut conn = Conn::Sqlite(conn);
    // SQLite answers on the calling thread.
    let found =
        futures::executor::block_on(inspect::identity(&mut conn, &Cipher::new(&options.key)));
    let (schema, fits) = found.map_err(ledger)?;
    let (Some(schema), Some(fits)) = (schema, fits) else {
        return Err(BackupError::NoLedger(options.ledger.clone()));
    };
    let fingerprint = options.key.fingerprint();
    if !fits {
        return Err(BackupError::WrongKey { path: options.ledger.clone(), fingerprint });
    }
    let (ledger_sha256, ledger_bytes) = archive::hash_of(copy).at("cannot read", copy)?;
    Ok(BackupHeader {
        format: BACKUP_FORMAT,
        program: options.program.clone(),
        made_at: options.now.iso(),
        schema,
        ledger_bytes,
        ledger_sha256,
        key_fingerprint: fingerprint,
        media: if options.without_media { BackupMedia::Listed } else { BackupMedia::Included },
    })
}

struct Packing<'a> {
    options: &'a BackupOptions,
    tar: tar::Builder<BufWriter<File>>,
    list: BufWriter<File>,
    packed: u64,
    media_files: u64,
    damaged: Vec<PathBuf>,
    progress: &'a ProgressListener,
}

impl Packing<'_> {
    fn all(&mut self, header: &BackupHeader, ledger: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(header)?;
        let mut hashed = Hashed::new(&text[..]);
        archive::drain(&mut hashed, &mut |_| {})?;
        let (sha256, size) = hashed.done();
        self.append(archive::HEADER, size, &text[..])?;
        self.note(&sha256, size, archive::HEADER)?;
        let (sha256, size) = (header.ledger_sha256.clone(), header.ledger_bytes);
        self.append(archive::LEDGER, size, File::open(ledger)?)?;
        self.note(&sha256, size, archive::LEDGER)?;
        for shelf in 0..=u8::MAX {
            for id in folder::shelf(&self.options.media, shelf)? {
                self.medium(&id)?;
            }
        }
        Ok(())
    }

    /// One media file; one that went since the folder was read was not needed any more.
    fn medium(&mut self, id: &MediaId) -> io::Result<()> {
        let path = folder::path_of(&self.options.media, id);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let size = file.metadata()?.len();
        if !self.options.without_media {
            let mut hashed = Hashed::new(&mut file);
            archive::drain(&mut hashed, &mut |_| {})?;
            if hashed.done() != (id.as_str().to_owned(), size) {
                self.damaged.push(path);
                return Ok(());
            }
            file.rewind()?;
            self.append(&archive::media_name(id), size, file)?;
        }
        self.media_files += 1;
        self.note(id.as_str(), size, &archive::media_name(id))
    }

    fn note(&mut self, sha256: &str, size: u64, name: &str) -> io::Result<()> {
        self.list.write_all(archive::line(sha256, size, name).as_bytes())
    }

    fn append(&mut self, name: &str, size: u64, content: impl io::Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.options.now.seconds()).unwrap_or(0));
        // Never more than the header says, whatever becomes of the file meanwhile; less is noticed at the check.
        self.tar.append_data(&mut header, name, content.take(size))?;
        self.packed += size;
        (self.progress)(BackupProgress { step: BackupStep::Pack, done: self.packed, all: 0 });
        Ok(())
    }

    /// The list and the end; everything is on the disk then.
    fn end(mut self) -> io::Result<()> {
        self.list.flush()?;
        let mut list = self.list.get_ref().try_clone()?;
        list.rewind()?;
        let mut hashed = Hashed::new(&mut list);
        archive::drain(&mut hashed, &mut |_| {})?;
        let (sha256, size) = hashed.done();
        list.rewind()?;
        self.append(archive::FILES, size, list)?;
        let end = serde_json::to_vec(&EndOfBackup { sha256 })?;
        self.append(archive::END, end.len() as u64, &end[..])?;
        let file = self.tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }
}
