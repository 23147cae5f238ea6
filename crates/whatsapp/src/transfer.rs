//! Files to and from WhatsApp's media hosts, as streams: memory does not grow with the file.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::{
    content::{MediaKind, RemoteMedia},
    port::EngineError,
};
use whatsapp_rust::{
    Client, anyhow,
    download::{DownloadParams, DownloadWriter, MediaType},
    wacore::{
        runtime::blocking,
        upload::{EncryptedMediaInfo, UploadSource, encrypt_media_streaming},
    },
};

use crate::{failure, http::is_path, runtime::ConnectionTasks};

/// Bytes read and written at a time.
const PIECE: usize = 64 * 1024;
/// Bytes that a file may have beyond what its message says.
const PADDING: u64 = 4 * 1024;

const fn media_type(kind: MediaKind) -> MediaType {
    match kind {
        MediaKind::Image => MediaType::Image,
        MediaKind::Video => MediaType::Video,
        MediaKind::Audio | MediaKind::Voice => MediaType::Audio,
        MediaKind::Document => MediaType::Document,
        MediaKind::Sticker => MediaType::Sticker,
    }
}

/// An encrypted file that waits for its upload; gone when dropped.
struct EncryptedFile {
    file: File,
    length: u64,
}

impl UploadSource for EncryptedFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn reader_from(&self, offset: u64) -> std::io::Result<Box<dyn Read + Send>> {
        // The copy shares the position, but one try ends before the next begins.
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(BufReader::with_capacity(PIECE, file)))
    }
}

/// Encrypts and uploads a file, from its beginning.
pub(crate) async fn upload(
    client: &Client,
    tasks: &ConnectionTasks,
    kind: MediaKind,
    file: File,
) -> Result<RemoteMedia, EngineError> {
    let kind = media_type(kind);
    let encrypted = blocking(tasks, move || encrypt(file, kind)).await;
    let (source, info) = encrypted.map_err(|error| {
        EngineError::Refused(format!("the file could not be read and encrypted: {error}"))
    })?;
    let kept = client.upload_stream(source, info, kind).await.map_err(failure::of_media)?;
    Ok(RemoteMedia {
        url: kept.url,
        direct_path: kept.direct_path,
        media_key: kept.media_key.to_vec(),
        media_key_timestamp: kept.media_key_timestamp,
        sha256: kept.file_sha256.to_vec(),
        enc_sha256: kept.file_enc_sha256.to_vec(),
        length: kept.file_length,
        streaming_sidecar: kept.streaming_sidecar.unwrap_or_default(),
    })
}

fn encrypt(mut file: File, kind: MediaType) -> anyhow::Result<(EncryptedFile, EncryptedMediaInfo)> {
    file.seek(SeekFrom::Start(0))?;
    let reader = BufReader::with_capacity(PIECE, file);
    let mut writer = BufWriter::with_capacity(PIECE, tempfile::tempfile()?);
    let info = encrypt_media_streaming(reader, &mut writer, kind)?;
    writer.flush()?;
    let file = writer.into_inner().map_err(|error| error.into_error())?;
    let length = file.metadata()?.len();
    Ok((EncryptedFile { file, length }, info))
}

/// A file that takes so many bytes and then fails, for good: the library must not try the next host.
struct BoundedFile {
    file: File,
    left: u64,
    over: Arc<AtomicBool>,
    bytes_max: u64,
}

impl BoundedFile {
    fn over() -> io::Error {
        io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than it may be")
    }
}

impl io::Write for BoundedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.over.store(true, Ordering::Release);
            return Err(Self::over());
        }
        let written = self.file.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for BoundedFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

impl DownloadWriter for BoundedFile {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        if self.over.load(Ordering::Acquire) {
            return Err(Self::over());
        }
        self.left = self.bytes_max.saturating_sub(length);
        Ok(())
    }
}

/// As many bytes as a file may have that says it has `declared`; one that says nothing may have all.
fn bound(declared: u64, bytes_max: u64) -> u64 {
    match declared {
        0 => bytes_max,
        declared => declared.saturating_add(PADDING).min(bytes_max),
    }
}

/// Downloads, decrypts and verifies a file into another, which holds exactly it then, or nothing.
pub(crate) async fn download(
    client: &Client,
    kind: MediaKind,
    remote: &RemoteMedia,
    into: File,
    bytes_max: u64,
) -> Result<(), EngineError> {
    let path = path(remote)
        .ok_or_else(|| EngineError::Refused("the message does not say where its file is".into()))?;
    let params = DownloadParams::encrypted(
        path,
        &remote.media_key,
        &remote.sha256,
        &remote.enc_sha256,
        remote.length,
        media_type(kind),
    );
    let over = Arc::new(AtomicBool::new(false));
    let bytes_max = bound(remote.length, bytes_max);
    let into = BoundedFile { file: into, left: bytes_max, over: over.clone(), bytes_max };
    match client.download_from_params_to_writer(&params, into).await {
        Err(_) if over.load(Ordering::Acquire) => Err(EngineError::TooBig),
        done => done.map(drop).map_err(failure::of_media),
    }
}

/// Old messages carry only the full address.
fn path(remote: &RemoteMedia) -> Option<String> {
    let path = if remote.direct_path.is_empty() {
        let url = url::Url::parse(&remote.url).ok()?;
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    } else {
        remote.direct_path.clone()
    };
    // Rows of before the border looked.
    is_path(&path).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_message_has_an_address_instead_of_a_path() {
        let mut remote = RemoteMedia {
            url: "https://mmg.whatsapp.net/v/t62/a.enc?ccb=1".into(),
            direct_path: String::new(),
            media_key: vec![1; 32],
            media_key_timestamp: 0,
            sha256: vec![2; 32],
            enc_sha256: vec![3; 32],
            length: 1,
            streaming_sidecar: vec![],
        };
        assert_eq!(path(&remote).as_deref(), Some("/v/t62/a.enc?ccb=1"));
        remote.direct_path = "/v/t62/b.enc".into();
        assert_eq!(path(&remote).as_deref(), Some("/v/t62/b.enc"));
        for bad in ["@evil.example/x", ".evil.example/x", "//evil.example/x", "\\evil.example/x"] {
            remote.direct_path = bad.into();
            assert_eq!(path(&remote), None, "{bad}");
        }
        remote = RemoteMedia { url: String::new(), direct_path: String::new(), ..remote };
        assert_eq!(path(&remote), None);
        remote.url = "https://mmg.whatsapp.net//evil.example/a".into();
        assert_eq!(path(&remote), None);
    }

    #[test]
    fn a_file_may_be_as_long_as_it_says_and_as_the_limit_says() {
        assert_eq!(bound(0, 1_000_000), 1_000_000);
        assert_eq!(bound(10, 1_000_000), 10 + PADDING);
        assert_eq!(bound(u64::MAX, 1_000_000), 1_000_000);
    }

    #[test]
    fn what_is_too_long_is_not_written_and_not_begun_again() {
        let over = Arc::new(AtomicBool::new(false));
        let file = tempfile::tempfile().unwrap();
        let handle = file.try_clone().unwrap();
        let mut into = BoundedFile { file, left: 10, over: over.clone(), bytes_max: 10 };
        into.truncate(0).unwrap();
        into.write_all(b"12345").unwrap();
        // Another host, from the beginning.
        into.truncate(0).unwrap();
        into.rewind().unwrap();
        into.write_all(b"1234567890").unwrap();
        assert!(!over.load(Ordering::Acquire));
        assert!(into.write_all(b"1").is_err());
        assert!(over.load(Ordering::Acquire) && into.truncate(0).is_err());
        assert_eq!(handle.metadata().unwrap().len(), 0);
    }
}
