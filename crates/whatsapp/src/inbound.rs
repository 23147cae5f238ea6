//! Messages that come in: converted, handed to the sink, and acknowledged only when it committed.
//!
//! The library holds the acknowledgement back until its durability hook returns. Three things bypass
//! that hook because nothing would send them again: channel posts, messages recovered from the own
//! phone, and the news that a message could not be decrypted. They come as events and take
//! [`InboundHandler::take_unheld`] or [`InboundHandler::take_undecryptable`], and wait in a [line](crate::unheld).
//!
//! A commit that fails ends the connection: WhatsApp sends an unacknowledged message again only
//! after a new login, and a later message of the same chat must not overtake it until then.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use domain::{
    ChatId, Clock, WaMessageId,
    chat::Identity,
    content::{OptionHash, Target},
    event::ChangeSource,
    message::{Content, InboundMessage as Inbound},
    port::{EngineSignal, EngineSink},
    session::LossCause,
    status::TextStyle,
};
use whatsapp_rust::{
    Client, InboundDurabilityHook, Jid,
    types::{
        events::{DecryptFailMode, InboundMessage, UndecryptableMessage},
        message::{MessageCategory, MessageInfo},
    },
    wacore::types::events::UnavailableType,
    waproto::whatsapp as wa,
};

use crate::{
    content::{self, ParsedBody, ParsedMessage},
    duplicates::LostMessage,
    keys::LedgerBackend,
    link::LinkState,
    people::{self, Person},
    secrets,
    signals::SideSignals,
    unheld::UnheldLine,
};

/// Longest name that somebody gives themselves; phones allow 25 characters.
const PUSH_NAME_CHARS_MAX: usize = 255;

/// The way from the library to the sink.
pub(crate) struct InboundHandler {
    pub sink: Arc<dyn EngineSink>,
    pub link: Arc<LinkState>,
    pub backend: Arc<LedgerBackend>,
    pub side_signals: SideSignals,
    pub unheld: Arc<UnheldLine>,
}

impl InboundHandler {
    async fn commit(&self, messages: Vec<Inbound>) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = self.link.closing() => bail!("the connection is closing"),
            result = self.sink.messages(messages) => result.context("messages could not be stored"),
        }
    }

    /// Delivers what bypasses the hook.
    pub async fn take_unheld(&self, client: &Client, batch: &[InboundMessage]) {
        match self.convert(client, batch).await {
            Ok(messages) => self.unheld.push(messages),
            Err(error) => tracing::error!(%error, "a message that came once was lost"),
        }
    }

    /// Says that a message could not be decrypted. The library asked its sender for it again.
    pub async fn take_undecryptable(&self, client: &Client, event: &UndecryptableMessage) {
        // A reaction or an edit leaves no gap that somebody could see.
        let hidden = event.decrypt_fail_mode == DecryptFailMode::Hide;
        if hidden || event.info.category == MessageCategory::Peer {
            return;
        }
        let view_once = matches!(event.unavailable_type, UnavailableType::ViewOnce);
        let content = match event.unavailable_type {
            _ if !event.is_unavailable => Content::Undecryptable,
            UnavailableType::ViewOnce => unknown("view_once_message"),
            UnavailableType::Hosted | UnavailableType::Bot => unknown("unavailable"),
            UnavailableType::Unknown => Content::Undecryptable,
        };
        let parsed = ParsedMessage {
            body: ParsedBody::Content(content),
            quoted: None,
            mentions: vec![],
            view_once,
            forwarding_score: 0,
            style: TextStyle::default(),
        };
        if let Some(message) = self.message(client, &event.info, parsed).await {
            self.unheld.push(vec![message]);
        }
    }

    /// Holds the place of a message that was read and is nowhere.
    pub async fn hold_place(&self, client: &Client, lost: &LostMessage, clock: &dyn Clock) {
        if let Some(placeholder) = lost.placeholder(client, clock).await {
            self.unheld.push(vec![placeholder]);
        }
    }

    /// What makes no message of its own is found nowhere later, when it comes again.
    fn leave_marks(&self, batch: &[InboundMessage], messages: &[Inbound]) {
        let own = |id: &str| {
            let made = messages.iter().find(|message| message.id.as_str() == id);
            made.is_some_and(|message| message.content.target().is_none())
        };
        for InboundMessage { info, .. } in batch.iter().filter(|item| !own(&item.info.id)) {
            self.backend.leaves_mark(&info.source.chat.to_string(), &info.id);
        }
    }

    async fn convert(
        &self,
        client: &Client,
        batch: &[InboundMessage],
    ) -> anyhow::Result<Vec<Inbound>> {
        let mut messages = Vec::with_capacity(batch.len());
        for InboundMessage { message, info, .. } in batch {
            if info.category == MessageCategory::Peer {
                continue;
            }
            self.learn_recipient(info);
            self.keep_poll_secret(message, info).await?;
            if let Some(parsed) = content::read(message) {
                messages.extend(self.message(client, info, parsed).await);
            }
        }
        Ok(messages)
    }

    /// A message typed on the phone names its recipient by both ids; the sender's are in the message.
    fn learn_recipient(&self, info: &MessageInfo) {
        let source = &info.source;
        if !source.is_from_me || source.is_group {
            return;
        }
        let other = source.recipient_alt.as_ref().or(info.peer_recipient_pn.as_ref());
        let both = [Some(&source.chat), other].into_iter().flatten();
        let (mut lid, mut phone) = (None, None);
        for chat in both.filter_map(people::chat_id) {
            phone = phone.or_else(|| chat.phone());
            lid = lid.or_else(|| chat.is_lid().then_some(chat));
        }
        if let (Some(lid), Some(phone)) = (lid, phone) {
            self.side_signals.say(EngineSignal::Identity(Identity { lid, phone }));
        }
    }

    /// Before the poll is acknowledged: without its secret no vote on it can ever be read.
    async fn keep_poll_secret(
        &self,
        message: &wa::Message,
        info: &MessageInfo,
    ) -> anyhow::Result<()> {
        let Some(secret) = content::poll_secret(message) else { return Ok(()) };
        let MessageInfo { source, id, timestamp, .. } = info;
        secrets::keep(
            &self.backend,
            &source.chat,
            &source.sender,
            id,
            secret,
            timestamp.timestamp(),
        )
        .await
        .context("the secret of a poll could not be stored")
    }

    async fn message(
        &self,
        client: &Client,
        info: &MessageInfo,
        parsed: ParsedMessage,
    ) -> Option<Inbound> {
        let source = &info.source;
        let Some(id) = content::border::id(&info.id) else {
            tracing::warn!("a message under something that is no id was dropped");
            return None;
        };
        let sender = sender(client, info).await;
        let (Some(chat), Some(from)) =
            (chat(client, info).await, sender_id(&sender, &source.sender))
        else {
            tracing::warn!(id = %info.id, "a message from an unknown kind of address was dropped");
            return None;
        };
        let mut mentions = Vec::with_capacity(parsed.mentions.len());
        for mention in &parsed.mentions {
            let Ok(jid) = mention.parse::<Jid>() else { continue };
            mentions.extend(people::canonical(client, &jid, None).await);
        }
        Some(Inbound {
            id,
            chat,
            sender: from,
            sender_lid: sender.lid,
            sender_phone: sender.phone,
            from_me: source.is_from_me,
            source: source.is_from_me.then(|| ChangeSource::of_device(source.sender.device)),
            push_name: Some(&info.push_name)
                .filter(|name| !name.is_empty())
                .map(|name| name.chars().take(PUSH_NAME_CHARS_MAX).collect()),
            timestamp: info.timestamp.timestamp(),
            content: self.content(client, info, parsed.body).await,
            quoted: parsed.quoted,
            mentions,
            backfilled: info.is_offline,
            ephemeral_seconds: info.ephemeral_expiration.filter(|seconds| *seconds > 0),
            view_once: parsed.view_once,
            forwarding_score: parsed.forwarding_score,
            style: parsed.style,
        })
    }

    async fn content(&self, client: &Client, info: &MessageInfo, body: ParsedBody) -> Content {
        match body {
            ParsedBody::Content(content) => content,
            ParsedBody::Reaction { key, emoji } => {
                Content::Reaction { target: target(client, info, &key).await, emoji }
            }
            // Only the author can edit, whatever the key says.
            ParsedBody::Edit { key, body } => {
                let author = &info.source.sender;
                let target = target_by(client, info, &key, author).await;
                Content::Edit { target, body, file: None }
            }
            ParsedBody::Revoke { key } => {
                Content::Revoke { target: target(client, info, &key).await }
            }
            ParsedBody::Pin { key, seconds } => {
                Content::Pin { target: target(client, info, &key).await, seconds }
            }
            ParsedBody::Vote { key, payload, iv } => {
                let creator = author(client, info, &key);
                let opened = self.vote(client, info, &key, &creator, (&payload, &iv)).await;
                let Some(options) = opened else { return unknown("poll_update_message") };
                Content::Vote { poll: target_by(client, info, &key, &creator).await, options }
            }
        }
    }

    async fn vote(
        &self,
        client: &Client,
        info: &MessageInfo,
        key: &wa::MessageKey,
        creator: &Jid,
        sealed: (&[u8], &[u8]),
    ) -> Option<Vec<OptionHash>> {
        let id = key.id.as_deref()?;
        let source = &info.source;
        let found = secrets::find(client, &self.backend, &source.chat, creator, id).await;
        let secret = found.ok().flatten()?;
        let opened =
            secrets::open_vote(client, &secret, id, creator, &source.sender, sealed).await?;
        Some(opened.iter().filter_map(|hash| OptionHash::from_wire(hash)).collect())
    }
}

#[async_trait]
impl InboundDurabilityHook for InboundHandler {
    async fn on_messages(
        &self,
        client: Arc<Client>,
        batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        if self.link.has_uncommitted() {
            bail!("an earlier message is not stored yet");
        }
        let result = match self.convert(&client, batch).await {
            Ok(messages) => {
                self.leave_marks(batch, &messages);
                if messages.is_empty() {
                    return Ok(());
                }
                self.commit(messages).await
            }
            Err(error) => Err(error),
        };
        if result.is_err() && !self.link.is_closing() {
            self.link.mark_uncommitted();
            self.link.fail(LossCause::Link("received messages could not be stored".into()));
        }
        result
    }
}

fn unknown(kind: &str) -> Content {
    Content::Unknown { protocol_kind: kind.to_owned() }
}

/// Who wrote the message that a key names. The key is written from its sender's view.
fn author(client: &Client, info: &MessageInfo, key: &wa::MessageKey) -> Jid {
    let source = &info.source;
    let named = key.participant.as_deref().and_then(|participant| participant.parse().ok());
    if let Some(participant) = named {
        return participant;
    }
    if key.from_me == Some(true) || source.is_group {
        return source.sender.clone();
    }
    if source.is_from_me {
        return source.chat.clone();
    }
    people::own_like(client, &source.sender).unwrap_or_else(|| source.sender.clone())
}

async fn target(client: &Client, info: &MessageInfo, key: &wa::MessageKey) -> Target {
    let author = author(client, info, key);
    target_by(client, info, key, &author).await
}

/// From this account's view.
async fn target_by(
    client: &Client,
    info: &MessageInfo,
    key: &wa::MessageKey,
    author: &Jid,
) -> Target {
    let from_me = people::is_own(client, author);
    let author = match info.source.is_group {
        true if from_me => people::own(client).chat(),
        true => people::canonical(client, author, None).await,
        false => None,
    };
    let id = WaMessageId::from_wire(key.id.clone().unwrap_or_default());
    Target { id, from_me, author }
}

async fn sender(client: &Client, info: &MessageInfo) -> Person {
    if info.source.is_from_me {
        return people::own(client);
    }
    people::person(client, &info.source.sender, info.source.sender_alt.as_ref()).await
}

/// Channels write under their own address.
fn sender_id(sender: &Person, jid: &Jid) -> Option<ChatId> {
    sender.chat().or_else(|| people::chat_id(jid))
}

/// The other person, the group, or for our own message its recipient.
async fn chat(client: &Client, info: &MessageInfo) -> Option<ChatId> {
    let source = &info.source;
    let alt = if source.is_from_me {
        source.recipient_alt.as_ref().or(info.peer_recipient_pn.as_ref())
    } else {
        source.sender_alt.as_ref()
    };
    let alt = alt.filter(|_| !source.is_group);
    people::canonical(client, &source.chat, alt).await
}
