//! Messages that come again.
//!
//! WhatsApp sends a message again when it was not acknowledged. If it was read before and stored, it is acknowledged.
//! One that was read and is nowhere would be lost in silence: it is not acknowledged, its place in the chat is held by
//! an undecryptable message, and its sender and the own phone are asked for it again.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Clock, WaMessageId,
    event::ChangeSource,
    message::{Content, InboundMessage},
    port::{EngineSink, StoreResult},
    session::LossCause,
    status::TextStyle,
};
use whatsapp_rust::{Client, Jid, NodeBuilder, RetryRequestOptions};

use crate::{
    keys::{Duplicates, LedgerBackend},
    link::LinkState,
    people,
};

/// Lost messages that may wait to be asked for. More are not acknowledged either, and come with the next login.
const WAITING_MAX: usize = 256;

/// A message that was read and is nowhere.
#[derive(Debug)]
pub(crate) struct LostMessage {
    chat: String,
    sender: String,
    id: String,
}

/// Lets the keys of a connection end it when they have to, and ask about duplicates. What is lost waits in the answer.
pub(crate) fn watch(
    backend: &LedgerBackend,
    link: &Arc<LinkState>,
    sink: &Arc<dyn EngineSink>,
) -> async_channel::Receiver<LostMessage> {
    let (lost, waiting) = async_channel::bounded(WAITING_MAX);
    // Weak: the link lives as long as its driver, not as long as the keys.
    let link = Arc::downgrade(link);
    let fail = move || {
        if let Some(link) = link.upgrade().filter(|link| !link.is_closing()) {
            link.mark_uncommitted();
            link.fail(LossCause::Link("received messages could not be stored".into()));
        }
    };
    backend.watch(fail, DuplicateCheck { sink: sink.clone(), lost });
    waiting
}

struct DuplicateCheck {
    sink: Arc<dyn EngineSink>,
    lost: async_channel::Sender<LostMessage>,
}

#[async_trait]
impl Duplicates for DuplicateCheck {
    async fn knows(&self, id: &str) -> StoreResult<bool> {
        self.sink.knows(&WaMessageId::from_wire(id)).await
    }

    fn lost(&self, chat: &str, sender: &str, id: &str) {
        tracing::error!(id, "a message was read before and is nowhere; it is asked for again");
        let lost =
            LostMessage { chat: chat.to_owned(), sender: sender.to_owned(), id: id.to_owned() };
        let _ = self.lost.try_send(lost);
    }
}

impl LostMessage {
    /// What holds its place in the chat. `None` for kinds of addresses without a chat.
    pub async fn placeholder(&self, client: &Client, clock: &dyn Clock) -> Option<InboundMessage> {
        let (chat, sender): (Jid, Jid) = (self.chat.parse().ok()?, self.sender.parse().ok()?);
        let from_me = people::is_own(client, &sender);
        let person = match from_me {
            true => people::own(client),
            false => people::person(client, &sender, None).await,
        };
        Some(InboundMessage {
            id: WaMessageId::from_wire(self.id.as_str()),
            chat: people::canonical(client, &chat, None).await?,
            sender: person.chat().or_else(|| people::chat_id(&sender))?,
            sender_lid: person.lid,
            sender_phone: person.phone,
            from_me,
            source: from_me.then(|| ChangeSource::of_device(sender.device)),
            push_name: None,
            timestamp: clock.now().seconds(),
            content: Content::Undecryptable,
            quoted: None,
            mentions: Vec::new(),
            backfilled: true,
            ephemeral_seconds: None,
            view_once: false,
            forwarding_score: 0,
            style: TextStyle::default(),
        })
    }

    /// Asks its sender for it.
    pub async fn ask_again(&self, client: &Arc<Client>, clock: &dyn Clock) {
        let mut stanza = NodeBuilder::new("message")
            .attr("id", self.id.as_str())
            .attr("from", self.chat.as_str())
            .attr("type", "text")
            .attr("t", clock.now().seconds().to_string());
        if self.chat != self.sender {
            stanza = stanza.attr("participant", self.sender.as_str());
        }
        let stanza = stanza.build();
        let options = RetryRequestOptions::new().with_force_include_keys(true);
        if let Err(error) =
            Box::pin(client.request_message_retry(&stanza.as_node_ref(), options)).await
        {
            tracing::warn!(%error, id = self.id, "a lost message could not be asked for");
        }
    }
}
