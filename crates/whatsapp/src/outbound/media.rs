//! Files that were uploaded before.

use domain::{
    content::{Media, MediaKind, RemoteMedia},
    port::EngineError,
};
use whatsapp_rust::{buffa::MessageField, waproto::whatsapp as wa};

use super::refused;

/// Writes the fields that every kind of file has.
macro_rules! file {
    ($kind:ident, $media:ident, $remote:ident, $context:ident, { $($field:ident : $value:expr),* $(,)? }) => {
        MessageField::some(wa::message::$kind {
            url: Some($remote.url),
            direct_path: Some($remote.direct_path),
            media_key: Some($remote.media_key),
            media_key_timestamp: Some($remote.media_key_timestamp),
            file_sha256: Some($remote.sha256),
            file_enc_sha256: Some($remote.enc_sha256),
            file_length: Some($remote.length),
            mimetype: Some($media.mimetype),
            context_info: $context.map(MessageField::some).unwrap_or_default(),
            $($field: $value,)*
            ..Default::default()
        })
    };
}

/// A file with another caption, for an edit. Where it is kept need not be known: phones have it.
///
/// # Errors
/// [`EngineError::Refused`] for a kind that has no caption.
pub(super) fn caption(
    media: Media,
    context: Option<wa::ContextInfo>,
) -> Result<wa::Message, EngineError> {
    if media.remote.is_some() {
        return message(media, context);
    }
    let (caption, mimetype) = (media.caption, Some(media.mimetype));
    let context_info = context.map(MessageField::some).unwrap_or_default();
    let mut message = wa::Message::default();
    match media.kind {
        MediaKind::Image => {
            let image =
                wa::message::ImageMessage { caption, mimetype, context_info, ..Default::default() };
            message.image_message = MessageField::some(image);
        }
        MediaKind::Video => {
            let video =
                wa::message::VideoMessage { caption, mimetype, context_info, ..Default::default() };
            message.video_message = MessageField::some(video);
        }
        MediaKind::Document => {
            let file_name = media.filename;
            let document = wa::message::DocumentMessage {
                caption,
                mimetype,
                file_name,
                context_info,
                ..Default::default()
            };
            message.document_message = MessageField::some(document);
        }
        _ => return Err(refused("a file of this kind has no caption")),
    }
    Ok(message)
}

/// # Errors
/// [`EngineError::Refused`] for a file that was not uploaded.
pub(super) fn message(
    mut media: Media,
    context: Option<wa::ContextInfo>,
) -> Result<wa::Message, EngineError> {
    let Some(remote) = media.remote.take() else {
        return Err(refused("the file was not uploaded"));
    };
    let sidecar = (!remote.streaming_sidecar.is_empty()).then(|| remote.streaming_sidecar.clone());
    let thumbnail = some(std::mem::take(&mut media.look.thumbnail));
    let mut message = wa::Message::default();
    match media.kind {
        MediaKind::Image => {
            message.image_message = file!(ImageMessage, media, remote, context, {
                caption: media.caption,
                width: media.look.width,
                height: media.look.height,
                jpeg_thumbnail: thumbnail,
            });
        }
        MediaKind::Video => {
            message.video_message = file!(VideoMessage, media, remote, context, {
                caption: media.caption,
                seconds: media.seconds,
                width: media.look.width,
                height: media.look.height,
                jpeg_thumbnail: thumbnail,
                streaming_sidecar: sidecar,
            });
        }
        kind @ (MediaKind::Audio | MediaKind::Voice) => {
            message.audio_message = file!(AudioMessage, media, remote, context, {
                ptt: Some(kind == MediaKind::Voice),
                waveform: some(media.look.waveform),
                seconds: media.seconds,
                streaming_sidecar: sidecar,
            });
        }
        MediaKind::Sticker => {
            message.sticker_message = file!(StickerMessage, media, remote, context, {
                width: media.look.width,
                height: media.look.height,
            });
        }
        MediaKind::Document => return Ok(document(media, remote, context)),
    }
    Ok(message)
}

fn some(bytes: Vec<u8>) -> Option<Vec<u8>> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// A document with a caption has an envelope of its own.
fn document(media: Media, remote: RemoteMedia, context: Option<wa::ContextInfo>) -> wa::Message {
    let has_caption = media.caption.is_some();
    let document = wa::Message {
        document_message: file!(DocumentMessage, media, remote, context, {
            title: media.filename.clone(),
            file_name: media.filename,
            caption: media.caption,
        }),
        ..Default::default()
    };
    if !has_caption {
        return document;
    }
    wa::Message {
        document_with_caption_message: MessageField::some(wa::message::FutureProofMessage {
            message: MessageField::some(document),
        }),
        ..Default::default()
    }
}
