//! The media files as one archive, and back.

use std::{collections::VecDeque, fs::File, io::Write as _, path::PathBuf};

use bytes::Bytes;
use domain::{MediaId, Timestamp, port::StoreResult};
use futures::{Stream, stream};
use tokio::io::{AsyncReadExt as _, BufReader};

use super::{
    ExportTicket, Transfer, TransferError,
    tar::{self, BLOCK, TarEntry},
};

/// Bytes read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Later than anything that is kept.
const EVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// What came out of an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files that are kept now.
    pub count: u64,
    /// Entries that are no media files, or whose bytes are not those that their name says.
    pub failed: u64,
}

/// Where a streamed archive stands.
struct ArchivePlace {
    transfer: Transfer,
    /// The next shelf, up to 256.
    shelf: u16,
    waiting: VecDeque<MediaId>,
    open: Option<OpenFile>,
    ended: bool,
    _ticket: ExportTicket,
}

/// A file that is on its way into the archive.
struct OpenFile {
    file: tokio::fs::File,
    left: u64,
    padding: usize,
}

impl Transfer {
    /// The media files as the pieces of a tar, each under its hash.
    pub fn archive(&self) -> impl Stream<Item = StoreResult<Bytes>> + Send + use<> {
        let place = ArchivePlace {
            transfer: self.clone(),
            shelf: 0,
            waiting: VecDeque::new(),
            open: None,
            ended: false,
            _ticket: self.ticket(),
        };
        stream::try_unfold(place, |mut place| async move {
            Ok(place.piece().await?.map(|piece| (Bytes::from(piece), place)))
        })
    }

    /// Takes the files of an archive into the media store. Files that are there already are kept once.
    ///
    /// # Errors
    /// [`TransferError`]. What was taken in before stays: without a message that names it, it goes after a day.
    pub async fn unpack(&self, path: &str) -> Result<Unpacked, TransferError> {
        let _one = self.importing.try_lock().map_err(|_| TransferError::AlreadyRunning)?;
        let file = tokio::fs::File::open(self.inside(path).await?).await;
        let mut archive = BufReader::new(file.map_err(|_| TransferError::Path)?);
        let (mut total, mut unpacked) = (0_u64, Unpacked::default());
        loop {
            let mut block = [0; BLOCK];
            archive.read_exact(&mut block).await.map_err(cut)?;
            let (name, size) = match tar::entry(&block).map_err(TransferError::Archive)? {
                TarEntry::End => return Ok(unpacked),
                TarEntry::File(name, size) => (Some(name), size),
                TarEntry::Other(size) => (None, size),
            };
            total = total.saturating_add(size);
            if total > self.options.bytes_max {
                return Err(TransferError::TooBig(self.options.bytes_max));
            }
            let name = name.as_deref().and_then(|name| name.rsplit('/').next());
            let id = name.and_then(MediaId::parse);
            let padding = tar::padding(size) as u64;
            match id {
                Some(id) => {
                    let kept = self.take(&mut archive, &id, size).await?;
                    unpacked.count += u64::from(kept);
                    unpacked.failed += u64::from(!kept);
                    skip(&mut archive, padding).await?;
                }
                None => {
                    unpacked.failed += u64::from(name.is_some());
                    skip(&mut archive, size + padding).await?;
                }
            }
        }
    }

    /// Keeps one file; `false` when its bytes are not those that its name says.
    async fn take(
        &self,
        archive: &mut BufReader<tokio::fs::File>,
        id: &MediaId,
        size: u64,
    ) -> Result<bool, TransferError> {
        let scratch = self.files.scratch().await?;
        let mut into: File = scratch.handle().map_err(|_| TransferError::Archive("no room"))?;
        let mut left = size;
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            archive.read_exact(&mut piece[..most]).await.map_err(cut)?;
            into.write_all(&piece[..most]).map_err(|_| TransferError::Archive("no room for it"))?;
            left -= most as u64;
        }
        drop(into);
        let kept = self.files.keep(scratch).await?;
        Ok(kept.id == *id)
    }

    /// A file inside of the import folder, whatever links lead there.
    async fn inside(&self, path: &str) -> Result<PathBuf, TransferError> {
        let folder = &self.options.folder;
        let folder = tokio::fs::canonicalize(folder).await.map_err(|_| TransferError::Path)?;
        let found = tokio::fs::canonicalize(folder.join(path)).await;
        let found = found.map_err(|_| TransferError::Path)?;
        let is_file = tokio::fs::metadata(&found).await.is_ok_and(|found| found.is_file());
        if is_file && found.starts_with(&folder) { Ok(found) } else { Err(TransferError::Path) }
    }
}

fn cut(_: std::io::Error) -> TransferError {
    TransferError::Archive("it ends in the middle of a file")
}

async fn skip(archive: &mut BufReader<tokio::fs::File>, bytes: u64) -> Result<(), TransferError> {
    let passed = tokio::io::copy(&mut archive.take(bytes), &mut tokio::io::sink()).await;
    match passed {
        Ok(passed) if passed == bytes => Ok(()),
        _ => Err(TransferError::Archive("it ends in the middle of a file")),
    }
}

impl ArchivePlace {
    /// The next piece of the archive; `None` behind its end.
    async fn piece(&mut self) -> StoreResult<Option<Vec<u8>>> {
        loop {
            if let Some(open) = &mut self.open {
                let piece = open.piece().await;
                if open.left == 0 {
                    self.open = None;
                }
                return Ok(Some(piece));
            }
            if let Some(id) = self.waiting.pop_front() {
                // One that is removed meanwhile is left out.
                if let Some((file, size)) = self.transfer.files.open(&id).await? {
                    let file = tokio::fs::File::from_std(file);
                    let padding = tar::padding(size);
                    self.open = (size > 0).then_some(OpenFile { file, left: size, padding });
                    return Ok(Some(tar::head(id.as_str(), size).to_vec()));
                }
                continue;
            }
            match u8::try_from(self.shelf) {
                Ok(shelf) => {
                    self.waiting = self.transfer.files.on_shelf(shelf, EVER).await?.into();
                    self.shelf += 1;
                }
                Err(_) if self.ended => return Ok(None),
                Err(_) => {
                    self.ended = true;
                    return Ok(Some(vec![0; 2 * BLOCK]));
                }
            }
        }
    }
}

impl OpenFile {
    /// The next bytes of the file; zeros in the place of those that cannot be read, so that the archive stays whole.
    /// The file's name tells that they are wrong.
    async fn piece(&mut self) -> Vec<u8> {
        let most = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = vec![0; most];
        let read = self.file.read(&mut piece).await.unwrap_or(0);
        if read > 0 {
            piece.truncate(read);
        }
        self.left -= piece.len() as u64;
        if self.left == 0 {
            piece.resize(piece.len() + self.padding, 0);
        }
        piece
    }
}
