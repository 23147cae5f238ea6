//! Files a person sends, and what is in those the person received.

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    buffa::MessageField,
    wacore::{
        download::{DownloadUtils, MediaType},
        proto_helpers::MessageExt as _,
        upload::{EncryptedMedia, encrypt_media},
    },
    wacore_binary::Jid,
    waproto::whatsapp as wa,
};

use super::Account;
use crate::{media::DOWNLOAD_FOLDER, phone::ReceivedMessage};

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A still picture, shown in the chat.
    Image,
    /// A video, shown in the chat.
    Video,
    /// A sound file, such as music.
    Audio,
    /// A voice note, recorded in the chat.
    Voice,
    /// Anything else, with a name.
    Document,
    /// A small picture without a bubble.
    Sticker,
}

impl FileKind {
    /// Reads the word of the control surface.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "image" => Self::Image,
            "video" => Self::Video,
            "audio" => Self::Audio,
            "voice" => Self::Voice,
            "document" => Self::Document,
            "sticker" => Self::Sticker,
            _ => return None,
        })
    }

    const fn media_type(self) -> MediaType {
        match self {
            Self::Image => MediaType::Image,
            Self::Video => MediaType::Video,
            Self::Audio | Self::Voice => MediaType::Audio,
            Self::Document => MediaType::Document,
            Self::Sticker => MediaType::Sticker,
        }
    }
}

/// A file to send.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The kind of file.
    pub kind: FileKind,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its type, e.g. `image/jpeg`.
    pub mimetype: String,
    /// Its name; only documents show one.
    pub filename: Option<String>,
    /// The text under it.
    pub caption: Option<String>,
    /// How long it plays.
    pub seconds: Option<u32>,
    /// What its message says instead of the truth.
    pub crafted: CraftedFile,
}

/// What the message of a file says instead of the truth. WhatsApp does not see it.
#[derive(Debug, Clone, Default)]
pub struct CraftedFile {
    /// Its path on the media host.
    pub direct_path: Option<String>,
    /// Its URL on the media host.
    pub url: Option<String>,
    /// The length of the file in bytes.
    pub length: Option<u64>,
    /// How it is opened.
    pub key: Option<Vec<u8>>,
    /// The hash of what lies on the media host.
    pub enc_sha256: Option<Vec<u8>>,
}

impl NewFile {
    /// A file without name and caption.
    pub fn new(kind: FileKind, bytes: Vec<u8>, mimetype: &str) -> Self {
        let mimetype = mimetype.to_owned();
        Self {
            kind,
            bytes,
            mimetype,
            filename: None,
            caption: None,
            seconds: None,
            crafted: CraftedFile::default(),
        }
    }
}

impl Account {
    /// Puts a file on the media host and sends it. Returns the message id.
    pub async fn send_file(&self, to: &Jid, file: NewFile) -> Result<String> {
        let EncryptedMedia {
            data_to_upload,
            media_key,
            file_sha256,
            file_enc_sha256,
            streaming_sidecar,
            ..
        } = encrypt_media(&file.bytes, file.kind.media_type())?;
        let path = format!("{DOWNLOAD_FOLDER}/{}", hex::encode(file_enc_sha256));
        self.hub.media.put(&path, data_to_upload.into());
        let crafted = file.crafted.clone();
        let uploaded = EncryptedFile {
            url: crafted.url.unwrap_or_else(|| self.hub.media.url(&path)),
            path: crafted.direct_path.unwrap_or(path),
            key: crafted.key.unwrap_or_else(|| media_key.to_vec()),
            sha256: file_sha256.to_vec(),
            enc_sha256: crafted.enc_sha256.unwrap_or_else(|| file_enc_sha256.to_vec()),
            length: crafted.length.unwrap_or(file.bytes.len() as u64),
            sidecar: streaming_sidecar,
        };
        self.send(to.clone(), file_message(file, uploaded)).await
    }

    /// The file of a message the phone received, decrypted and verified.
    ///
    /// # Errors
    /// When the message has none, or the media host does not have it, or it is damaged.
    pub fn file_of(&self, received: &ReceivedMessage) -> Result<Vec<u8>> {
        let base = received.message.get_base_message();
        let (path, key, kind) = place_of(base).context("this message has no file")?;
        let blob = self.hub.media.get(&path).context("the media host has no such file")?;
        Ok(DownloadUtils::verify_and_decrypt(&blob, &key, kind)?)
    }
}

/// Where an encrypted file is, and how it is opened.
struct EncryptedFile {
    url: String,
    path: String,
    key: Vec<u8>,
    sha256: Vec<u8>,
    enc_sha256: Vec<u8>,
    length: u64,
    sidecar: Option<Vec<u8>>,
}

macro_rules! placed {
    ($kind:ident, $file:ident, $uploaded:ident, { $($field:ident : $value:expr),* $(,)? }) => {
        MessageField::some(wa::message::$kind {
            url: Some($uploaded.url),
            direct_path: Some($uploaded.path),
            media_key: Some($uploaded.key),
            file_sha256: Some($uploaded.sha256),
            file_enc_sha256: Some($uploaded.enc_sha256),
            file_length: Some($uploaded.length),
            mimetype: Some($file.mimetype),
            $($field: $value,)*
            ..Default::default()
        })
    };
}

fn file_message(file: NewFile, uploaded: EncryptedFile) -> wa::Message {
    let mut message = wa::Message::default();
    match file.kind {
        FileKind::Image => {
            message.image_message =
                placed!(ImageMessage, file, uploaded, { caption: file.caption });
        }
        FileKind::Video => {
            message.video_message = placed!(VideoMessage, file, uploaded, {
                caption: file.caption,
                seconds: file.seconds,
                streaming_sidecar: uploaded.sidecar,
            });
        }
        FileKind::Audio | FileKind::Voice => {
            message.audio_message = placed!(AudioMessage, file, uploaded, {
                ptt: Some(file.kind == FileKind::Voice),
                seconds: file.seconds,
                streaming_sidecar: uploaded.sidecar,
            });
        }
        FileKind::Sticker => {
            message.sticker_message = placed!(StickerMessage, file, uploaded, {});
        }
        FileKind::Document => {
            message.document_message = placed!(DocumentMessage, file, uploaded, {
                file_name: file.filename,
                caption: file.caption,
            });
        }
    }
    message
}

fn place_of(base: &wa::Message) -> Option<(String, Vec<u8>, MediaType)> {
    macro_rules! first_set {
        ($($field:ident => $kind:expr),* $(,)?) => {
            $(if let Some(file) = base.$field.as_option() {
                return Some((file.direct_path.clone()?, file.media_key.clone()?, $kind));
            })*
        };
    }
    first_set!(
        image_message => MediaType::Image,
        video_message => MediaType::Video,
        audio_message => MediaType::Audio,
        document_message => MediaType::Document,
        sticker_message => MediaType::Sticker,
    );
    None
}
