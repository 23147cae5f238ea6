//! From what a caller wants to say to what goes out: quotes, files, cards.

use std::time::Duration;

use domain::{
    ChatId, SessionId, Timer, WaMessageId,
    batch::UPLOAD_KEPT,
    content::{self, ContactCard, Content, Location, MediaKind, MediaLook, RemoteMedia},
    event::{self, describe},
    media::{MediaRecord, MediaState},
    message::Quoted,
    phone,
    port::{EngineError, KeptMedia},
    session::SessionStatus,
    status::StatusPost,
    visible,
};
use serde_json::{Value, json};

use super::{
    MediaInput, Messages, QuoteRef, Say, SendError, StatusSay, ToSend, bulk::UploadedFile,
    context::SendContext,
};
use crate::{media::MediaError, sessions::ReadySession};

/// Longest upload to WhatsApp's media servers: 50 MiB at a slow line.
const UPLOAD_LIMIT: Duration = Duration::from_secs(180);
/// The name of a document without one (OpenWA's).
const DOCUMENT_NAME: &str = "file";

/// A text that may be left out: one in which nothing is seen is.
pub(super) fn seen(text: Option<String>) -> Option<String> {
    text.filter(|text| !visible::is_blank(text))
}

/// A place without the words in which nothing is seen.
pub(super) fn seen_of(place: Location) -> Location {
    Location { description: seen(place.description), address: seen(place.address), ..place }
}

/// A message that is ready to be stored and sent.
pub(super) struct MessageDraft {
    /// The canonical chat.
    pub(super) chat: ChatId,
    pub(super) content: Content,
    pub(super) mentions: Vec<ChatId>,
    /// What it answers, with the author of that.
    pub(super) quoted: Option<(Quoted, ChatId)>,
    /// Where its file is kept here.
    pub(super) kept: Option<KeptMedia>,
    /// How often it was forwarded, this time included.
    pub(super) forwarding_score: u32,
    /// What it has in addition as a status.
    pub(super) status: Option<Box<StatusPost>>,
}

/// What a message says, and what follows from that.
struct SaidContent {
    content: Content,
    kept: Option<KeptMedia>,
    forwarding_score: u32,
    quoted: Option<(Quoted, ChatId)>,
    status: Option<Box<StatusPost>>,
}

impl SaidContent {
    const fn plain(content: Content) -> Self {
        Self { content, kept: None, forwarding_score: 0, quoted: None, status: None }
    }
}

impl MessageDraft {
    /// The row's metadata: what the message says beside its text.
    pub(super) fn metadata(&self) -> Value {
        let mut fields = describe(&self.content);
        if self.kept.is_some()
            && let Some(media) = fields.get_mut("media")
        {
            media["state"] = json!("ready");
        }
        if let Some((quoted, _)) = &self.quoted {
            fields.insert("quotedMessage".into(), json!(quoted));
        }
        if !self.mentions.is_empty() {
            fields.insert("mentionedIds".into(), json!(self.mentions));
        }
        fields.extend(event::forwarded(self.forwarding_score));
        if let Some(status) = &self.status {
            fields.extend(event::styled(status.style));
        }
        if fields.is_empty() { Value::Null } else { Value::Object(fields) }
    }

    /// The record of its file.
    pub(super) fn media_record(
        &self,
        session: SessionId,
        wa_id: &WaMessageId,
    ) -> Option<MediaRecord> {
        let Content::Media(media) = &self.content else { return None };
        let kept = self.kept.as_ref()?;
        let state = MediaState::Ready { id: kept.id.clone(), size_bytes: kept.size_bytes };
        Some(MediaRecord {
            session,
            wa_id: wa_id.clone(),
            media: (**media).clone(),
            state,
            attempts: 0,
        })
    }

    /// Where its file can be fetched in the API.
    pub(super) fn media_path(&self, session: SessionId, wa_id: &WaMessageId) -> String {
        format!("/api/sessions/{session}/messages/{}/{wa_id}/media", self.chat)
    }
}

/// A file on its way out.
pub(super) struct FileAttachment {
    pub(super) kind: MediaKind,
    pub(super) mimetype: String,
    pub(super) filename: Option<String>,
    pub(super) caption: Option<String>,
    pub(super) seconds: Option<u32>,
    pub(super) look: MediaLook,
    pub(super) kept: KeptMedia,
}

/// A file as the caller gives it.
pub(super) struct SentFileSource<'a> {
    pub(super) kind: MediaKind,
    pub(super) input: MediaInput,
    /// Its type, where the caller said one.
    pub(super) mimetype: Option<&'a str>,
}

impl Messages {
    pub(super) async fn compose(
        &self,
        context: &SendContext,
        link: &ReadySession,
        to_send: ToSend,
    ) -> Result<MessageDraft, SendError> {
        let (session, chat) = (context.session, context.chat.clone());
        let mut quoted = self.quoted(session, &chat, to_send.quoted).await?;
        let said = self.said(context, link, to_send.say).await?;
        quoted = said.quoted.or(quoted);
        Ok(MessageDraft {
            chat,
            content: said.content,
            mentions: to_send.mentions,
            quoted,
            kept: said.kept,
            forwarding_score: said.forwarding_score,
            status: said.status,
        })
    }

    /// What a message says, with its file at WhatsApp.
    async fn said(
        &self,
        context: &SendContext,
        link: &ReadySession,
        say: Say,
    ) -> Result<SaidContent, SendError> {
        let session = context.session;
        Ok(SaidContent::plain(match say {
            Say::Text { text, preview } => {
                // Seldom more than none, and large.
                let preview = Box::pin(self.card(session, &text, preview)).await?;
                Content::Text { body: text, preview }
            }
            say @ Say::Media { .. } => return self.said_file(context, link, say).await,
            Say::Location(place) => Content::Location(seen_of(place)),
            Say::Contact { name, number } => {
                let number = phone::read(&number).map_err(SendError::Number)?;
                let vcard = content::vcard(&name, number.digits());
                Content::Contacts { cards: vec![ContactCard { name, vcard }] }
            }
            Say::Poll(poll) => Content::Poll(poll),
            Say::Product { id, body } => self.product(context, link, (&id, seen(body))).await?,
            Say::ButtonReply { message, button, text } => {
                let pressed = (&message, button.as_str(), seen(text));
                let pressed = self.pressed(session, &context.chat, pressed).await?;
                let quoted = Some(pressed.quoted);
                return Ok(SaidContent { quoted, ..SaidContent::plain(pressed.content) });
            }
            Say::Status(post) => {
                let StatusSay { say, style, recipients } = *post;
                let audience = self.audience(session, &link.from, recipients).await?;
                let said = match say {
                    Say::Text { text, .. } => SaidContent::plain(Content::text(text)),
                    file => self.said_file(context, link, file).await?,
                };
                let status = Some(Box::new(StatusPost { audience, style }));
                return Ok(SaidContent { status, ..said });
            }
            Say::Forward { from, id } => {
                let stored = self.stored_content(session, link, &from, &id).await?;
                return Ok(SaidContent {
                    kept: stored.kept,
                    forwarding_score: stored.forwarding_score,
                    ..SaidContent::plain(stored.content)
                });
            }
        }))
    }

    /// A file, in the media store and at WhatsApp.
    async fn said_file(
        &self,
        context: &SendContext,
        link: &ReadySession,
        say: Say,
    ) -> Result<SaidContent, SendError> {
        let Say::Media { kind, input, mimetype, filename, caption } = say else {
            return Err(SendError::NotPossible("This is no file"));
        };
        let source = SentFileSource { kind, input, mimetype: mimetype.as_deref() };
        let file = Box::pin(self.uploaded(context, link, source)).await?;
        let kept = Some(file.shaped.kept.clone());
        let found = file.shaped.mimetype.or(mimetype).or(file.told_type);
        let mimetype = found.unwrap_or_else(|| usual_type(kind).to_owned());
        let filename = seen(filename);
        let filename = match kind {
            MediaKind::Document => {
                Some(filename.or(file.told_name).unwrap_or_else(|| DOCUMENT_NAME.to_owned()))
            }
            _ => filename,
        };
        let content = Content::Media(Box::new(content::Media {
            kind,
            mimetype,
            filename,
            caption: seen(caption),
            size_bytes: file.shaped.kept.size_bytes,
            seconds: file.shaped.seconds,
            look: file.shaped.look,
            remote: Some(file.remote),
        }));
        Ok(SaidContent { kept, ..SaidContent::plain(content) })
    }

    async fn quoted(
        &self,
        session: SessionId,
        chat: &ChatId,
        quote: Option<QuoteRef>,
    ) -> Result<Option<(Quoted, ChatId)>, SendError> {
        let Some(QuoteRef { id, in_chat }) = quote else { return Ok(None) };
        let found =
            self.shared.ports.store.message(session, &id).await.map_err(SendError::Store)?;
        let found = found.filter(|found| !in_chat || found.chat == *chat);
        let Some(found) = found else { return Err(SendError::QuotedNotFound(id)) };
        let author = found
            .author
            .clone()
            .or_else(|| found.from.parse().ok())
            .unwrap_or_else(|| found.chat.clone());
        Ok(Some((Quoted { id, body: found.body.unwrap_or_default() }, author)))
    }

    /// Brings a file into the media store and to WhatsApp; for a batch once, as long as WhatsApp keeps it.
    pub(super) async fn uploaded(
        &self,
        context: &SendContext,
        link: &ReadySession,
        source: SentFileSource<'_>,
    ) -> Result<UploadedFile, SendError> {
        let SentFileSource { kind, input, mimetype } = source;
        let (session, item) = (context.session, context.origin.item());
        let clock = &self.shared.ports.clock;
        if let Some(known) = item.and_then(|item| item.known(kind, &input, clock.now())) {
            return Ok(known);
        }
        let media = &self.shared.media;
        let (kept, told_type, told_name) = match &input {
            MediaInput::Base64(text) => {
                (media.keep_base64(text).await.map_err(SendError::Media)?, None, None)
            }
            MediaInput::Kept(kept) => (kept.clone(), None, None),
            MediaInput::Url(url) => {
                let proxy = self.way_out(session).await?;
                let fetched = media.fetch(url, proxy.as_ref()).await.map_err(SendError::Media)?;
                (fetched.kept, fetched.mimetype, fetched.filename)
            }
        };
        let told = mimetype.or(told_type.as_deref());
        let shaped = media.shape(kind, kept, told).await.map_err(SendError::Media)?;
        let before = match item {
            Some(_) => self.uploaded_before(session, kind, &shaped.kept).await,
            None => None,
        };
        let remote = match before {
            Some(remote) => remote,
            None => self.upload_file(link, kind, &shaped.kept).await?,
        };
        let file = UploadedFile { shaped, told_type, told_name, remote, at: clock.now() };
        if let Some(item) = item {
            item.remember(kind, &input, &file);
        }
        Ok(file)
    }

    /// Where WhatsApp keeps a file that went out not long ago: a batch that goes on after a restart uploads nothing
    /// twice.
    async fn uploaded_before(
        &self,
        session: SessionId,
        kind: MediaKind,
        kept: &KeptMedia,
    ) -> Option<RemoteMedia> {
        let ports = &self.shared.ports;
        let since = ports.clock.now().minus(UPLOAD_KEPT);
        let known = ports.store.uploaded_since(session, &kept.id, since).await;
        // Only a saving: what cannot be looked up is uploaded.
        let known = known.unwrap_or_default().into_iter();
        known.filter(|file| file.kind == kind).find_map(|file| file.remote)
    }

    /// Uploads a kept file to WhatsApp as a content.
    pub(super) async fn upload(
        &self,
        link: &ReadySession,
        attachment: FileAttachment,
    ) -> Result<Content, SendError> {
        let FileAttachment { kind, mimetype, filename, caption, seconds, look, kept } = attachment;
        let remote = self.upload_file(link, kind, &kept).await?;
        Ok(Content::Media(Box::new(content::Media {
            kind,
            mimetype,
            filename,
            caption,
            size_bytes: kept.size_bytes,
            seconds,
            look,
            remote: Some(remote),
        })))
    }

    async fn upload_file(
        &self,
        link: &ReadySession,
        kind: MediaKind,
        kept: &KeptMedia,
    ) -> Result<RemoteMedia, SendError> {
        let opened = self.shared.ports.media_files.open(&kept.id).await;
        let opened = opened.map_err(SendError::Store)?;
        let Some((file, _)) = opened else { return Err(SendError::Media(MediaError::NotStored)) };
        let clock = &self.shared.ports.clock;
        let limit = clock.now().plus(UPLOAD_LIMIT);
        let uploaded = tokio::select! {
            uploaded = link.connection.upload(kind, file) => uploaded,
            () = clock.sleep_until(Timer::Upload, limit) => Err(EngineError::Unanswered(None)),
        };
        uploaded.map_err(|error| match error {
            // No message was made of it: nothing can have gone out.
            EngineError::Unanswered(_) | EngineError::NotConnected => {
                SendError::NotReady(SessionStatus::Initializing)
            }
            error => SendError::Engine(error),
        })
    }
}

/// What files of a sort usually are.
const fn usual_type(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Video => "video/mp4",
        MediaKind::Audio => "audio/mpeg",
        MediaKind::Voice => "audio/ogg; codecs=opus",
        MediaKind::Document => "application/octet-stream",
        MediaKind::Sticker => "image/webp",
    }
}
