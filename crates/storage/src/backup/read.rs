//! Reading a backup from its first byte to its last.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Take},
    path::{Path, PathBuf},
};

use domain::MediaId;
use sha2::{Digest as _, Sha256};

use super::{
    BACKUP_FORMAT, BackupError, BackupHeader, BackupMedia, BackupProgress, BackupStep, PIECE_BYTES,
    ProgressListener,
    archive::{self, EndOfBackup, Hashed, LINE_BYTES_MAX, SMALL_BYTES_MAX},
    error::At as _,
};

/// A backup of which every byte is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBackup {
    /// What it says of itself.
    pub header: BackupHeader,
    /// Media files in it, or listed.
    pub media_files: u64,
    /// Their bytes in all.
    pub media_bytes: u64,
}

/// What a reader of the parts does with them.
pub(super) trait BackupParts {
    fn ledger(&mut self, content: &mut dyn Read) -> Result<(), BackupError>;
    fn medium(
        &mut self,
        id: &MediaId,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), BackupError>;
    /// A file that is not in it and is needed.
    fn listed(&mut self, id: &MediaId, size: u64) -> Result<(), BackupError>;
}

/// Reads the whole file and compares every part with what was written. Blocks, and changes nothing.
///
/// # Errors
/// [`BackupError`]: it is no backup, damaged, or ends in the middle.
pub fn check(file: &Path, progress: &ProgressListener) -> Result<CheckedBackup, BackupError> {
    struct Nothing;
    impl BackupParts for Nothing {
        fn ledger(&mut self, _: &mut dyn Read) -> Result<(), BackupError> {
            Ok(())
        }
        fn medium(&mut self, _: &MediaId, _: u64, _: &mut dyn Read) -> Result<(), BackupError> {
            Ok(())
        }
        fn listed(&mut self, _: &MediaId, _: u64) -> Result<(), BackupError> {
            Ok(())
        }
    }
    read(file, BackupStep::Check, progress, &mut Nothing)
}

/// Only what a backup says of itself, for a quick refusal.
pub(super) fn header_of(file: &Path) -> Result<BackupHeader, BackupError> {
    let mut tar = tar::Archive::new(open(file)?);
    let mut entries = tar.entries().at("cannot read", file)?;
    let mut reading = BackupReading::of(file);
    let Some(entry) = entries.next() else { return Err(reading.foreign("it is empty")) };
    let mut entry =
        entry.map_err(|_| reading.foreign("its first bytes are those of something else"))?;
    reading.header(&mut entry)
}

fn open(file: &Path) -> Result<BufReader<File>, BackupError> {
    let opened = File::open(file).at("cannot open", file)?;
    Ok(BufReader::with_capacity(PIECE_BYTES, opened))
}

/// Hands every part to `parts`, and compares it with what was written.
pub(super) fn read(
    file: &Path,
    step: BackupStep,
    progress: &ProgressListener,
    parts: &mut dyn BackupParts,
) -> Result<CheckedBackup, BackupError> {
    let all = std::fs::metadata(file).at("cannot open", file)?.len();
    let mut tar = tar::Archive::new(open(file)?);
    let mut reading = BackupReading::of(file);
    let mut header = None;
    let entries = tar.entries().at("cannot read", file)?;
    for entry in entries {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(_) if header.is_none() => {
                return Err(reading.foreign("its first bytes are those of something else"));
            }
            Err(error) => return Err(reading.cut(&error)),
        };
        let Some(known) = &header else {
            header = Some(reading.header(&mut entry)?);
            continue;
        };
        reading.part(&mut entry, known, parts)?;
        progress(BackupProgress { step, done: entry.raw_file_position(), all });
    }
    match header {
        Some(header) if reading.ended => Ok(CheckedBackup {
            header,
            media_files: reading.media_files,
            media_bytes: reading.media_bytes,
        }),
        Some(_) => Err(reading.spoiled("it ends in the middle")),
        None => Err(reading.foreign("it is empty")),
    }
}

/// What is known of a file as far as it was read.
struct BackupReading<'a> {
    file: &'a Path,
    /// The list as it has to be, hashed, and its length.
    list: Sha256,
    list_bytes: u64,
    /// What the list was.
    list_sha256: Option<String>,
    has_ledger: bool,
    media_files: u64,
    media_bytes: u64,
    ended: bool,
}

impl<'a> BackupReading<'a> {
    fn of(file: &'a Path) -> Self {
        Self {
            file,
            list: Sha256::new(),
            list_bytes: 0,
            list_sha256: None,
            has_ledger: false,
            media_files: 0,
            media_bytes: 0,
            ended: false,
        }
    }

    fn spoiled(&self, what: impl Into<String>) -> BackupError {
        BackupError::Spoiled { path: self.file.into(), what: what.into() }
    }

    fn foreign(&self, why: &'static str) -> BackupError {
        BackupError::NotABackup { path: self.file.into(), why }
    }

    fn cut(&self, error: &io::Error) -> BackupError {
        self.spoiled(match error.kind() {
            io::ErrorKind::UnexpectedEof => "it ends in the middle".to_owned(),
            _ => error.to_string(),
        })
    }

    fn expect(&mut self, sha256: &str, size: u64, name: &str) {
        let line = archive::line(sha256, size, name);
        self.list.update(line.as_bytes());
        self.list_bytes += line.len() as u64;
    }

    fn header<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<BackupHeader, BackupError> {
        let size = entry.size();
        if name_of(entry).as_deref() != Some(archive::HEADER) || size > SMALL_BYTES_MAX {
            return Err(self.foreign("it does not begin as one"));
        }
        let mut text = Vec::new();
        let mut hashed = Hashed::new(entry);
        hashed.read_to_end(&mut text).map_err(|error| self.cut(&error))?;
        let (sha256, read) = hashed.done();
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|_| self.foreign("its header cannot be read"))?;
        // Before the rest: a later form may have other fields.
        let format = value["format"].as_u64().unwrap_or(0);
        if format > u64::from(BACKUP_FORMAT) {
            return Err(BackupError::Newer {
                path: self.file.into(),
                what: format!("its form has version {format}, this program reads {BACKUP_FORMAT}"),
                program: value["program"].as_str().unwrap_or("of then").to_owned(),
            });
        }
        let header = serde_json::from_value(value);
        let header = header.map_err(|_| self.foreign("its header cannot be read"))?;
        self.expect(&sha256, read, archive::HEADER);
        Ok(header)
    }

    fn part<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        header: &BackupHeader,
        parts: &mut dyn BackupParts,
    ) -> Result<(), BackupError> {
        let Some(name) = name_of(entry) else {
            return Err(self.spoiled("it holds something that no backup has"));
        };
        if self.ended {
            return Err(self.spoiled(format!("{name} stands behind its end")));
        }
        match (name.as_str(), archive::media_of(&name)) {
            (archive::LEDGER, _) if !self.has_ledger => self.ledger(entry, header, parts),
            (archive::FILES, _) if self.has_ledger && self.list_sha256.is_none() => {
                self.files(entry, header, parts)
            }
            (archive::END, _) if self.list_sha256.is_some() => self.end(entry),
            (_, Some(id))
                if self.has_ledger
                    && self.list_sha256.is_none()
                    && header.media == BackupMedia::Included =>
            {
                self.medium(entry, &id, parts)
            }
            _ => Err(self.spoiled(format!("{name} does not belong where it is"))),
        }
    }

    fn ledger(
        &mut self,
        entry: &mut impl Read,
        header: &BackupHeader,
        parts: &mut dyn BackupParts,
    ) -> Result<(), BackupError> {
        let mut hashed = Hashed::new(entry);
        parts.ledger(&mut hashed)?;
        archive::drain(&mut hashed, &mut |_| {}).map_err(|error| self.cut(&error))?;
        let (sha256, size) = hashed.done();
        if sha256 != header.ledger_sha256 || size != header.ledger_bytes {
            return Err(self.spoiled("the ledger in it is not the one that was written"));
        }
        self.expect(&sha256, size, archive::LEDGER);
        self.has_ledger = true;
        Ok(())
    }

    fn medium<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        id: &MediaId,
        parts: &mut dyn BackupParts,
    ) -> Result<(), BackupError> {
        let size = entry.size();
        let mut hashed = Hashed::new(entry);
        parts.medium(id, size, &mut hashed)?;
        archive::drain(&mut hashed, &mut |_| {}).map_err(|error| self.cut(&error))?;
        let (sha256, read) = hashed.done();
        if sha256 != id.as_str() {
            return Err(self.spoiled(format!(
                "the media file {} is not the one that was written",
                id.as_str()
            )));
        }
        self.expect(&sha256, read, &archive::media_name(id));
        self.media_files += 1;
        self.media_bytes += read;
        Ok(())
    }

    /// The list begins with what was read so far; behind that are the files that were left out.
    fn files(
        &mut self,
        entry: &mut impl Read,
        header: &BackupHeader,
        parts: &mut dyn BackupParts,
    ) -> Result<(), BackupError> {
        let mut hashed = Hashed::new(entry);
        let mut first = Hashed::new((&mut hashed).take(self.list_bytes));
        archive::drain(&mut first, &mut |_| {}).map_err(|error| self.cut(&error))?;
        let expected = hex::encode(std::mem::take(&mut self.list).finalize());
        if first.done() != (expected, self.list_bytes) {
            return Err(self.spoiled("its list names other files than those in it"));
        }
        let mut rest = BufReader::new(&mut hashed);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited: Take<_> = (&mut rest).take(LINE_BYTES_MAX);
            limited.read_until(b'\n', &mut line).map_err(|error| self.cut(&error))?;
            if line.is_empty() {
                break;
            }
            let named = listed(&line).filter(|_| header.media == BackupMedia::Listed);
            let (id, size) = named.ok_or_else(|| self.spoiled("its list cannot be read"))?;
            parts.listed(&id, size)?;
            self.media_files += 1;
            self.media_bytes += size;
        }
        drop(rest);
        self.list_sha256 = Some(hashed.done().0);
        Ok(())
    }

    fn end(&mut self, entry: &mut impl Read) -> Result<(), BackupError> {
        let mut text = Vec::new();
        let read = entry.take(SMALL_BYTES_MAX).read_to_end(&mut text);
        read.map_err(|error| self.cut(&error))?;
        let end: EndOfBackup =
            serde_json::from_slice(&text).map_err(|_| self.spoiled("its end cannot be read"))?;
        if Some(end.sha256) != self.list_sha256 {
            return Err(self.spoiled("its list is not the one that was written"));
        }
        self.ended = true;
        Ok(())
    }
}

/// A file's name, where it is a plain one.
fn name_of<R: Read>(entry: &tar::Entry<'_, R>) -> Option<String> {
    let path: PathBuf = entry.path().ok()?.into_owned();
    let name = path.to_str().map(str::to_owned);
    name.filter(|_| entry.header().entry_type().is_file())
}

/// A line of a media file that is not in the backup.
fn listed(line: &[u8]) -> Option<(MediaId, u64)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let [sha256, size, name] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let id = archive::media_of(name).filter(|id| id.as_str() == sha256)?;
    Some((id, size.parse().ok()?))
}
