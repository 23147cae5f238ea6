//! Messages that come in: converted, handed to the sink, and acknowledged only when it committed.
//!
//! The library holds the acknowledgement back until its durability hook returns. Two things bypass
//! that hook because nothing would send them again: channel posts and messages recovered from the
//! own phone. They come as events and take [`Inbox::take_unheld`], which tries more than once.
//!
//! A commit that fails ends the connection: WhatsApp sends an unacknowledged message again only
//! after a new login, and a later message of the same chat must not overtake it until then.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use domain::{
    ChatId, WaMessageId,
    message::InboundMessage as Inbound,
    port::{EngineSink, StoreResult},
    session::LossCause,
};
use whatsapp_rust::{
    Client, InboundDurabilityHook, Jid,
    types::{
        events::InboundMessage,
        message::{MessageCategory, MessageInfo},
    },
};

use crate::{
    content,
    link::Link,
    people::{self, Person},
};

/// Tries for a message that nobody would send again.
const UNHELD_TRIES: u32 = 3;
/// Between those tries.
const UNHELD_PAUSE: Duration = Duration::from_millis(500);

/// The way from the library to the sink.
pub(crate) struct Inbox {
    sink: Arc<dyn EngineSink>,
    link: Arc<Link>,
}

impl Inbox {
    pub fn new(sink: Arc<dyn EngineSink>, link: Arc<Link>) -> Self {
        Self { sink, link }
    }

    async fn commit(&self, messages: Vec<Inbound>) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = self.link.closing() => bail!("the connection is closing"),
            result = self.stored(messages) => result.context("messages could not be stored"),
        }
    }

    fn stored(&self, messages: Vec<Inbound>) -> impl Future<Output = StoreResult<()>> + Send + '_ {
        self.sink.messages(messages)
    }

    /// Delivers what bypasses the hook.
    pub async fn take_unheld(&self, client: &Client, batch: &[InboundMessage]) {
        let messages = convert(client, batch).await;
        if messages.is_empty() {
            return;
        }
        for _ in 1..UNHELD_TRIES {
            match self.commit(messages.clone()).await {
                Ok(()) => return,
                Err(_) if self.link.is_closing() => return,
                Err(_) => tokio::time::sleep(UNHELD_PAUSE).await,
            }
        }
        if let Err(error) = self.commit(messages).await {
            tracing::error!(%error, "a message that WhatsApp does not send again was lost");
        }
    }
}

#[async_trait]
impl InboundDurabilityHook for Inbox {
    async fn on_messages(
        &self,
        client: Arc<Client>,
        batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        if self.link.has_uncommitted() {
            bail!("an earlier message is not stored yet");
        }
        let messages = convert(&client, batch).await;
        if messages.is_empty() {
            return Ok(());
        }
        let result = self.commit(messages).await;
        if result.is_err() && !self.link.is_closing() {
            self.link.mark_uncommitted();
            self.link.fail(LossCause::Link("received messages could not be stored".into()));
        }
        result
    }
}

async fn convert(client: &Client, batch: &[InboundMessage]) -> Vec<Inbound> {
    let mut messages = Vec::with_capacity(batch.len());
    for message in batch {
        if let Some(converted) = convert_one(client, message).await {
            messages.push(converted);
        }
    }
    messages
}

async fn convert_one(client: &Client, inbound: &InboundMessage) -> Option<Inbound> {
    let info = &inbound.info;
    if info.category == MessageCategory::Peer {
        return None;
    }
    let said = content::read(&inbound.message)?;
    let source = &info.source;
    let sender = sender(client, info).await;
    let (Some(chat), Some(from)) = (chat(client, info).await, sender_id(&sender, &source.sender))
    else {
        tracing::warn!(id = %info.id, "a message from an unknown kind of address was dropped");
        return None;
    };
    let mut mentions = Vec::with_capacity(said.mentions.len());
    for mention in &said.mentions {
        let Ok(jid) = mention.parse::<Jid>() else { continue };
        mentions.extend(people::canonical(client, &jid, None).await);
    }
    Some(Inbound {
        id: WaMessageId::from_wire(info.id.as_str()),
        chat,
        sender: from,
        sender_lid: sender.lid,
        sender_phone: sender.phone,
        from_me: source.is_from_me,
        push_name: Some(info.push_name.clone()).filter(|name| !name.is_empty()),
        timestamp: info.timestamp.timestamp(),
        content: said.content,
        quoted: said.quoted,
        mentions,
        backfilled: info.is_offline,
    })
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
