//! Files to and from WhatsApp's media hosts, as streams: memory does not grow with the file.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write as _},
};

use domain::{
    content::{MediaKind, RemoteMedia},
    port::EngineError,
};
use whatsapp_rust::{
    Client, anyhow,
    download::{DownloadParams, MediaType},
    wacore::{
        runtime::blocking,
        upload::{EncryptedMediaInfo, UploadSource, encrypt_media_streaming},
    },
};

use crate::{failure, runtime::Tasks};

/// Bytes read and written at a time.
const PIECE: usize = 64 * 1024;

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
struct Encrypted {
    file: File,
    length: u64,
}

impl UploadSource for Encrypted {
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
    tasks: &Tasks,
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

fn encrypt(mut file: File, kind: MediaType) -> anyhow::Result<(Encrypted, EncryptedMediaInfo)> {
    file.seek(SeekFrom::Start(0))?;
    let reader = BufReader::with_capacity(PIECE, file);
    let mut writer = BufWriter::with_capacity(PIECE, tempfile::tempfile()?);
    let info = encrypt_media_streaming(reader, &mut writer, kind)?;
    writer.flush()?;
    let file = writer.into_inner().map_err(|error| error.into_error())?;
    let length = file.metadata()?.len();
    Ok((Encrypted { file, length }, info))
}

/// Downloads, decrypts and verifies a file into another, which holds exactly it then, or nothing.
pub(crate) async fn download(
    client: &Client,
    kind: MediaKind,
    remote: &RemoteMedia,
    into: File,
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
    let done = client.download_from_params_to_writer(&params, into).await;
    done.map(drop).map_err(failure::of_media)
}

/// Old messages carry the full address alone.
fn path(remote: &RemoteMedia) -> Option<String> {
    if !remote.direct_path.is_empty() {
        return Some(remote.direct_path.clone());
    }
    let url = url::Url::parse(&remote.url).ok()?;
    Some(match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    })
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
        remote = RemoteMedia { url: String::new(), direct_path: String::new(), ..remote };
        assert_eq!(path(&remote), None);
    }
}
