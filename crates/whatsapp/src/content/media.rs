//! Files.

use domain::content::{Content, Media, MediaKind, RemoteMedia};
use whatsapp_rust::waproto::whatsapp as wa;

use super::border;
use crate::http::is_path;

/// Keys and hashes of files.
const HASH_BYTES: usize = 32;

/// Reads the fields that every kind of file has. `sidecar` only where the kind has one.
macro_rules! media {
    ($message:expr, $kind:expr, $mimetype:literal, { $($field:ident : $value:expr),* $(,)? }, $sidecar:expr) => {{
        let message = $message;
        let remote = RemoteMedia {
            url: border::url(&message.url).unwrap_or_default(),
            direct_path: message.direct_path.clone().unwrap_or_default(),
            media_key: message.media_key.clone().unwrap_or_default(),
            media_key_timestamp: message.media_key_timestamp.unwrap_or_default(),
            sha256: message.file_sha256.clone().unwrap_or_default(),
            enc_sha256: message.file_enc_sha256.clone().unwrap_or_default(),
            length: message.file_length.unwrap_or_default(),
            streaming_sidecar: $sidecar,
        };
        Media {
            kind: $kind,
            mimetype: border::mimetype(&message.mimetype).unwrap_or_else(|| $mimetype.to_owned()),
            size_bytes: remote.length,
            remote: Some(remote).filter(can_be_fetched),
            $($field: $value,)*
            ..EMPTY
        }
    }};
}

const EMPTY: Media = Media {
    kind: MediaKind::Document,
    mimetype: String::new(),
    filename: None,
    caption: None,
    size_bytes: 0,
    seconds: None,
    look: domain::content::MediaLook::EMPTY,
    remote: None,
};

pub(super) fn read(base: &wa::Message) -> Option<Content> {
    let media = if let Some(image) = base.image_message.as_option() {
        media!(image, MediaKind::Image, "image/jpeg", { caption: filled(&image.caption) }, vec![])
    } else if let Some(video) =
        base.video_message.as_option().or_else(|| base.ptv_message.as_option())
    {
        media!(video, MediaKind::Video, "video/mp4", {
            caption: filled(&video.caption),
            seconds: video.seconds,
        }, border::sidecar(&video.streaming_sidecar))
    } else if let Some(audio) = base.audio_message.as_option() {
        let kind = if audio.ptt == Some(true) { MediaKind::Voice } else { MediaKind::Audio };
        media!(audio, kind, "audio/ogg; codecs=opus", { seconds: audio.seconds },
            border::sidecar(&audio.streaming_sidecar))
    } else if let Some(document) = base.document_message.as_option() {
        media!(document, MediaKind::Document, "application/octet-stream", {
            filename: border::filename(&document.file_name)
                .or_else(|| border::filename(&document.title)),
            caption: filled(&document.caption),
        }, vec![])
    } else {
        let sticker = base.sticker_message.as_option()?;
        media!(sticker, MediaKind::Sticker, "image/webp", {}, vec![])
    };
    Some(Content::Media(Box::new(media)))
}

fn filled(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// View-once files come without a key to linked devices. What a sender wrote where a path, a key or a hash belongs, and
/// is none, makes no file.
fn can_be_fetched(remote: &RemoteMedia) -> bool {
    let somewhere = match remote.direct_path.as_str() {
        "" => !remote.url.is_empty(),
        path => is_path(path),
    };
    let is_hash = |hash: &[u8]| matches!(hash.len(), 0 | HASH_BYTES);
    somewhere
        && remote.media_key.len() == HASH_BYTES
        && is_hash(&remote.sha256)
        && is_hash(&remote.enc_sha256)
}
