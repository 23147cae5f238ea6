//! Files of messages, in both directions. They pass through in pieces; none stands in memory as a whole.
//!
//! # The cast
//! - What a caller sends comes in by [`Media::keep_base64`] or [`Media::fetch`] and is kept under the hash of its
//!   bytes.
//! - What WhatsApp brings is a record beside the message's row; the *downloader* fetches it later and tells
//!   `message.media`. No message waits for it.
//! - [`Media::of_message`] opens the file of a message.
//!
//! # Guarantees
//! A kept file is durable. A download that was due before a restart is due after it. A file is tried a fixed number of
//! times and then has failed, for a reason that is told.

mod base64;
mod convert;
mod error;
mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod names;
mod on_demand;
mod picture;
mod play;
mod profile;
mod room;
mod shape;
mod sniff;
pub(crate) mod state;
mod thumbnail;

use std::{fs::File, sync::Arc, time::Duration};

use ::base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    ChatId, SessionId, WaMessageId,
    media::{MEDIA_BYTES_MAX, MediaRecord, MediaState},
    message::Message,
    port::{KeptMedia, Write},
    proxy::ProxyUrl,
};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use crate::{Ports, egress::Egress};

pub use convert::ConvertOptions;
pub use error::MediaError;
pub use on_demand::{ConversionError, ConvertTarget, ConvertedFile};
use room::MediaRoom;
pub(crate) use shape::ShapedFile;
pub(crate) use state::first_state;

/// Base64 text of files in one answer, bytes (`MESSAGE_LIST_INLINE_MEDIA_BUDGET_BYTES`).
pub const INLINE_BUDGET_BYTES: u64 = 8 * 1024 * 1024;

/// How files are handled.
#[derive(Debug, Clone)]
pub struct MediaOptions {
    /// Largest file in either direction, bytes.
    pub bytes_max: u64,
    /// How long fetching a URL may take.
    pub fetch_limit: Duration,
    /// Whether files of messages that come in are downloaded.
    pub download: bool,
    /// How many downloads run at once.
    pub concurrency: usize,
    /// Of them for one session.
    pub per_session: usize,
    /// Bytes that the files of one session may have; 0 means any number.
    pub session_quota_bytes: u64,
    /// Bytes that all files may have; 0 means any number.
    pub quota_bytes: u64,
    /// Bytes that stay free where files are kept.
    pub free_bytes_min: u64,
    /// How sounds and moving pictures are converted.
    pub convert: ConvertOptions,
}

impl Default for MediaOptions {
    fn default() -> Self {
        Self {
            bytes_max: MEDIA_BYTES_MAX,
            fetch_limit: Duration::from_secs(30),
            download: true,
            convert: ConvertOptions::default(),
            concurrency: 8,
            per_session: 2,
            session_quota_bytes: 0,
            quota_bytes: 0,
            free_bytes_min: 256 * 1024 * 1024,
        }
    }
}

/// A file from a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is kept.
    pub kept: KeptMedia,
    /// Its type: as the server says, else as its first bytes say.
    pub mimetype: Option<String>,
    /// Its name: as the server says, else as the URL ends.
    pub filename: Option<String>,
}

/// The file of a message, open.
#[derive(Debug)]
pub struct Stored {
    /// The file, open at its beginning.
    pub file: File,
    /// The length of the file in bytes.
    pub size_bytes: u64,
    /// Its type, as the sender said.
    pub mimetype: String,
    /// Its name, as the sender said.
    pub filename: Option<String>,
}

/// A handle to the files. Cheap to clone.
#[derive(Clone)]
pub struct Media {
    ports: Ports,
    options: Arc<MediaOptions>,
    egress: Egress,
    wake: Arc<Notify>,
    converter: convert::SoundConverter,
    /// Pictures that are opened at once: each may take much memory.
    looks: Arc<Semaphore>,
    room: Arc<MediaRoom>,
    /// Conversions that somebody waits for.
    asked: Arc<Semaphore>,
}

/// See [`Media`].
const LOOKS: usize = 2;

impl Media {
    pub(crate) fn build(options: &MediaOptions, ports: &Ports, egress: Egress) -> Self {
        Self {
            ports: ports.clone(),
            options: Arc::new(options.clone()),
            egress,
            wake: Arc::default(),
            converter: convert::SoundConverter::new(options.convert.clone()),
            looks: Arc::new(Semaphore::new(LOOKS)),
            room: Arc::default(),
            asked: Arc::new(Semaphore::new(on_demand::ASKED_MAX)),
        }
    }

    /// How files are handled.
    pub fn options(&self) -> &MediaOptions {
        &self.options
    }

    /// Looks for downloads now.
    /// Completes when there may be something to download.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Decodes base64 (a `data:` prefix is stripped, line breaks are skipped) and keeps it. Its length is checked
    /// before anything is decoded; nothing is left behind on an error.
    ///
    /// # Errors
    /// [`MediaError::BadBase64`], [`MediaError::Unfit`] for a word, [`MediaError::TooBig`], [`MediaError::Store`].
    pub async fn keep_base64(&self, base64: &str) -> Result<KeptMedia, MediaError> {
        let text = base64::strip_data_url(base64);
        if let Some(why) = sniff::word_instead_of_bytes(text) {
            return Err(MediaError::Unfit(why));
        }
        let decoded = base64::decoded_length(text);
        if decoded == 0 {
            return Err(MediaError::BadBase64);
        }
        if decoded > self.options.bytes_max {
            return Err(MediaError::TooBig);
        }
        let scratch = self.ports.media_files.scratch().await.map_err(MediaError::Store)?;
        let into = scratch.handle().map_err(error::write)?;
        base64::decode(text, into).await?;
        self.ports.media_files.keep(scratch).await.map_err(MediaError::Store)
    }

    /// Fetches a file through the one outgoing client, and through the proxy if there is one, and keeps it. Nothing
    /// is left behind on an error.
    ///
    /// # Errors
    /// [`MediaError::NotHttp`], [`MediaError::Blocked`], [`MediaError::Unreachable`], [`MediaError::Status`],
    /// [`MediaError::Timeout`], [`MediaError::TooBig`], [`MediaError::Store`].
    pub async fn fetch(&self, url: &str, proxy: Option<&ProxyUrl>) -> Result<Fetched, MediaError> {
        fetch::fetch(self, url, proxy).await
    }

    /// Opens the file of a message; `None` when there is no such message in this chat, or no file in it.
    ///
    /// # Errors
    /// [`MediaError::Pending`], [`MediaError::Failed`], [`MediaError::NotStored`] when the store lost it,
    /// [`MediaError::Store`].
    pub async fn of_message(
        &self,
        session: SessionId,
        chat: &ChatId,
        wa_id: &WaMessageId,
    ) -> Result<Option<Stored>, MediaError> {
        let chat =
            self.ports.store.canonical_chat(session, chat).await.map_err(MediaError::Store)?;
        let message = self.ports.store.message(session, wa_id).await.map_err(MediaError::Store)?;
        if message.is_none_or(|message| message.chat != chat) {
            return Ok(None);
        }
        let record = self.ports.store.media(session, wa_id).await.map_err(MediaError::Store)?;
        let Some(record) = record else { return Ok(None) };
        self.open(record).await.map(Some)
    }

    /// The bytes of a message's file; `None` while it is being downloaded.
    ///
    /// # Errors
    /// There is none, it will not come, or it is larger than `bytes_max`: [`MediaError`].
    pub async fn bytes_of(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, MediaError> {
        use tokio::io::AsyncReadExt as _;
        let record = self.ports.store.media(session, wa_id).await.map_err(MediaError::Store)?;
        let stored = match self.open(record.ok_or(MediaError::NotStored)?).await {
            Err(MediaError::Pending) => return Ok(None),
            stored => stored?,
        };
        if stored.size_bytes > bytes_max {
            return Err(MediaError::TooBig);
        }
        let mut bytes = vec![];
        let mut file = tokio::fs::File::from_std(stored.file).take(bytes_max);
        file.read_to_end(&mut bytes).await.map_err(|_| MediaError::NotStored)?;
        Ok(Some(bytes))
    }

    /// Asks again for a file that was not to be had: it is due at once and has all its tries again. Where it stands
    /// then; `None` when there is no such message in this chat, or no file in it.
    ///
    /// # Errors
    /// [`MediaError::Store`].
    pub async fn again(
        &self,
        session: SessionId,
        chat: &ChatId,
        wa_id: &WaMessageId,
    ) -> Result<Option<MediaState>, MediaError> {
        let chat =
            self.ports.store.canonical_chat(session, chat).await.map_err(MediaError::Store)?;
        let message = self.ports.store.message(session, wa_id).await.map_err(MediaError::Store)?;
        if message.is_none_or(|message| message.chat != chat) {
            return Ok(None);
        }
        let record = self.ports.store.media(session, wa_id).await.map_err(MediaError::Store)?;
        let Some(record) = record else { return Ok(None) };
        if !matches!(record.state, MediaState::Failed { .. }) || record.media.remote.is_none() {
            return Ok(Some(record.state));
        }
        let state = MediaState::Pending { due_at: self.ports.clock.now() };
        let wa_id = wa_id.clone();
        let write = Write::SettleMedia { session, wa_id, state: state.clone(), events: vec![] };
        self.ports.store.write(vec![write]).await.map_err(MediaError::Store)?;
        self.wake();
        Ok(Some(state))
    }

    async fn open(&self, record: MediaRecord) -> Result<Stored, MediaError> {
        let id = match record.state {
            MediaState::Ready { id, .. } => id,
            MediaState::Pending { .. } => return Err(MediaError::Pending),
            MediaState::Failed { reason } => return Err(MediaError::Failed(reason)),
        };
        let opened = self.ports.media_files.open(&id).await.map_err(MediaError::Store)?;
        let (file, size_bytes) = opened.ok_or(MediaError::NotStored)?;
        let media = record.media;
        Ok(Stored { file, size_bytes, mimetype: media.mimetype, filename: media.filename })
    }

    /// Puts files into messages as base64 (`metadata.media.data`), in their order, as long as the budget of one answer
    /// lasts. A file that is not there, or no longer fits, stays omitted.
    ///
    /// # Errors
    /// [`MediaError::Store`].
    pub async fn inline(&self, messages: &mut [Message]) -> Result<(), MediaError> {
        let mut budget = INLINE_BUDGET_BYTES;
        for message in messages {
            if message.media_path.is_none() || !message.metadata["media"].is_object() {
                continue;
            }
            let record = self.ports.store.media(message.session, &message.wa_id).await;
            let Some(record) = record.map_err(MediaError::Store)? else { continue };
            let stored = match self.open(record).await {
                Ok(stored) => stored,
                Err(error @ MediaError::Store(_)) => return Err(error),
                Err(_) => continue,
            };
            let text_bytes = stored.size_bytes.div_ceil(3) * 4;
            if text_bytes > budget {
                continue;
            }
            let mut bytes = Vec::with_capacity(usize::try_from(stored.size_bytes).unwrap_or(0));
            let mut file = tokio::fs::File::from_std(stored.file);
            tokio::io::AsyncReadExt::read_to_end(&mut file, &mut bytes)
                .await
                .map_err(error::read)?;
            budget -= text_bytes;
            if let Some(media) = message.metadata["media"].as_object_mut() {
                media.remove("omitted");
                media.insert("data".into(), json!(STANDARD.encode(&bytes)));
            }
        }
        Ok(())
    }
}
