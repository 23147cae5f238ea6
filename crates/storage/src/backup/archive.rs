//! The parts of the file, and what is counted and hashed on the way.

use std::{
    io::{self, Read},
    path::Path,
};

use domain::MediaId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::PIECE_BYTES;

pub(super) const HEADER: &str = "backup.json";
pub(super) const LEDGER: &str = "waypost.sqlite";
pub(super) const FILES: &str = "files.txt";
pub(super) const END: &str = "end.json";
/// Longer than any header or end that this program writes.
pub(super) const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// Longer than any line of the list.
pub(super) const LINE_BYTES_MAX: u64 = 256;

/// The last part of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndOfBackup {
    /// The SHA-256 of the list of files.
    pub(super) sha256: String,
}

/// The name of a media file in the archive.
pub(super) fn media_name(id: &MediaId) -> String {
    format!("media/{}/{}", &id.as_str()[..2], id.as_str())
}

/// The file that a name stands for; none for anything that this program would not write.
pub(super) fn media_of(name: &str) -> Option<MediaId> {
    let (shelf, id) = name.strip_prefix("media/")?.split_once('/')?;
    MediaId::parse(id).filter(|id| id.as_str().starts_with(shelf) && shelf.len() == 2)
}

/// A line of the list.
pub(super) fn line(sha256: &str, size: u64, name: &str) -> String {
    format!("{sha256} {size} {name}\n")
}

/// Hashes and counts what is read through it.
pub(super) struct Hashed<R> {
    inner: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// The SHA-256 in hex and the number of bytes, of what was read so far.
    pub(super) fn done(self) -> (String, u64) {
        (hex::encode(self.hash.finalize()), self.size)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

/// Reads to the end and throws it away; `tell` hears of every piece.
pub(super) fn drain(from: &mut impl Read, tell: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => tell(read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The SHA-256 in hex and the size of a whole file.
pub(super) fn hash_of(path: &Path) -> io::Result<(String, u64)> {
    let mut hashed = Hashed::new(std::fs::File::open(path)?);
    drain(&mut hashed, &mut |_| {})?;
    Ok(hashed.done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_backup_has_are_media() {
        let id = MediaId::of(&[0xab; 32]);
        assert_eq!(media_of(&media_name(&id)), Some(id.clone()));
        let hash = id.as_str();
        for name in [
            format!("media/{hash}"),
            format!("media/cd/{hash}"),
            format!("media//{hash}"),
            format!("media/ab/../ab/{hash}"),
            format!("/media/ab/{hash}"),
            format!("media/ab/{}", &hash[1..]),
            "media/ab/../../waypost.sqlite".to_owned(),
        ] {
            assert_eq!(media_of(&name), None, "{name}");
        }
    }

    #[test]
    fn what_is_read_is_hashed_and_counted() {
        let mut hashed = Hashed::new(&b"abc"[..]);
        let mut told = 0;
        drain(&mut hashed, &mut |more| told += more).unwrap();
        let (hash, size) = hashed.done();
        assert!(hash.starts_with("ba7816bf") && (size, told) == (3, 3), "{hash}");
    }
}
