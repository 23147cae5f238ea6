//! Sends of a batch: single sends with an id of their own, on one connection only, and with files that are uploaded
//! once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use domain::{
    SessionId, Timestamp, WaMessageId,
    batch::UPLOAD_KEPT,
    content::{MediaKind, RemoteMedia},
    port::{Connection, Lease},
    session::SessionStatus,
};

use super::{MediaInput, Messages, SendError, Sent, ToSend, context::SendOrigin};
use crate::{hooks::HookScope, media::ShapedFile, sessions::ReadySession};

/// Files of a batch that are remembered. When full, the oldest is forgotten and would be uploaded again.
const UPLOADS_MAX: usize = 256;
/// OpenWA's word for where such a send comes from.
const SOURCE: &str = "BulkMessageService";

/// A file that WhatsApp keeps for us.
#[derive(Clone)]
pub(super) struct UploadedFile {
    pub(super) shaped: ShapedFile,
    /// Its type, as its server said.
    pub(super) told_type: Option<String>,
    /// Its name, as its server said.
    pub(super) told_name: Option<String>,
    pub(super) remote: RemoteMedia,
    pub(super) at: Timestamp,
}

/// The files of one batch, by their kind and where they come from.
#[derive(Clone, Default)]
pub(crate) struct BatchUploads(Arc<Mutex<HashMap<(MediaKind, String), UploadedFile>>>);

/// A send of a batch's item, with what the batch fixes of it.
pub(crate) struct BatchItemSend {
    /// The id the message will have.
    pub(crate) id: WaMessageId,
    /// The only connection it may go out on: on a new one, earlier messages may have gone out again a moment before.
    pub(crate) on: Arc<dyn Connection>,
    /// Under which lease of the session.
    pub(crate) lease: Lease,
    pub(crate) uploads: BatchUploads,
    /// Set to when WhatsApp's answer came.
    pub(crate) heard: Arc<OnceLock<Timestamp>>,
}

impl BatchItemSend {
    pub(super) const fn source(&self) -> &'static str {
        SOURCE
    }

    /// The batch's connection; the row says in whose name when it is stored.
    pub(super) fn link(&self) -> ReadySession {
        ReadySession { connection: self.on.clone(), from: String::new(), lease: self.lease.clone() }
    }

    /// Refuses another connection than the batch's.
    pub(super) fn check(&self, link: &ReadySession) -> Result<(), SendError> {
        if std::ptr::addr_eq(Arc::as_ptr(&self.on), Arc::as_ptr(&link.connection)) {
            return Ok(());
        }
        Err(SendError::NotReady(SessionStatus::Initializing))
    }

    pub(super) fn known(
        &self,
        kind: MediaKind,
        input: &MediaInput,
        now: Timestamp,
    ) -> Option<UploadedFile> {
        let key = key(kind, input)?;
        let uploads = self.uploads.0.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.get(&key).filter(|file| now.since(file.at) < UPLOAD_KEPT).cloned()
    }

    pub(super) fn remember(&self, kind: MediaKind, input: &MediaInput, file: &UploadedFile) {
        let Some(key) = key(kind, input) else { return };
        let mut uploads = self.uploads.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() >= UPLOADS_MAX {
            let oldest = uploads.iter().min_by_key(|(_, file)| file.at).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                uploads.remove(&oldest);
            }
        }
        uploads.insert(key, file.clone());
    }
}

fn key(kind: MediaKind, input: &MediaInput) -> Option<(MediaKind, String)> {
    match input {
        MediaInput::Url(url) => Some((kind, format!("url {url}"))),
        MediaInput::Kept(kept) => Some((kind, format!("file {}", kept.id.as_str()))),
        // Only a hook can have put it there: it is this message's alone.
        MediaInput::Base64(_) => None,
    }
}

impl Messages {
    /// Sends an item of a batch.
    pub(crate) async fn send_item(
        &self,
        session: SessionId,
        to_send: ToSend,
        item: BatchItemSend,
    ) -> Result<Sent, SendError> {
        let origin = SendOrigin::BatchItem(item);
        let context = self.accept(&HookScope::here(), session, &to_send.chat, origin).await?;
        let this = self.clone();
        // Whether the session is there is seen with its connection.
        let work = async move { this.paced_send(context, to_send).await };
        self.detached("messages/bulk", session, work).await
    }

    /// The connection of a session on which everything earlier went out again, but for chats that are slow.
    pub(crate) async fn reconciled_link(
        &self,
        session: SessionId,
    ) -> Result<Arc<dyn Connection>, SendError> {
        let reconciled =
            self.way(session, |gate, link| gate.is_reconciled(&link.connection).then_some(()));
        reconciled.await.map(|(link, ())| link.connection)
    }

    /// Told when a connection of a session becomes free for new sends or is lost, and when WhatsApp
    /// restricts the session.
    pub(crate) fn watch_link(&self, session: SessionId) -> tokio::sync::watch::Receiver<u64> {
        self.shared.waiters.outbox.gate(session).watch()
    }

    /// Completes when no send of a session is on its way to the wire.
    pub(crate) async fn idle(&self, session: SessionId) {
        self.shared.waiters.outbox.idle(session).await;
    }
}
