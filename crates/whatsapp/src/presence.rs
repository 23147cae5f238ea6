//! Presence: what others are doing, and what this account shows of itself.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::{
    ChatId,
    port::{EngineError, EngineSignal, PeopleSignal},
    presence::{PresenceChange, PresenceOf, PresenceState},
};
use whatsapp_rust::{
    Client, PresenceError,
    types::{
        events::{ChatPresenceUpdate, PresenceUpdate},
        presence::{ChatPresence, ChatPresenceMedia},
    },
};

use crate::{chats, failure, people};

/// What this device shows of itself: nothing, until somebody wants it to.
#[derive(Default)]
pub(crate) struct OwnPresence {
    available: AtomicBool,
}

impl OwnPresence {
    /// Shows what is wanted from now on; `false` without a display name, with which nothing can be shown.
    pub async fn want(&self, client: &Client, available: bool) -> Result<bool, EngineError> {
        self.available.store(available, Ordering::Release);
        match self.show(client).await {
            Ok(()) => Ok(true),
            Err(PresenceError::PushNameEmpty) => Ok(false),
            Err(PresenceError::Client(error)) => Err(failure::of_client(error)),
            Err(other) => Err(EngineError::Unanswered(Some(Box::new(other)))),
        }
    }

    /// Shows what is wanted: the library may have shown something else.
    pub async fn again(&self, client: &Client) {
        // Fails without a display name, but then the library did not announce anything either.
        if let Err(error) = self.show(client).await {
            tracing::debug!(%error, "this device's presence was not shown");
        }
    }

    async fn show(&self, client: &Client) -> Result<(), PresenceError> {
        if self.available.load(Ordering::Acquire) {
            client.presence().set_available().await
        } else {
            client.presence().set_unavailable().await
        }
    }
}

/// Asks WhatsApp to tell somebody's presence.
pub(crate) async fn watch(client: &Client, chat: &ChatId) -> Result<(), EngineError> {
    match client.presence().subscribe(chats::address(chat)?).await {
        Ok(()) => Ok(()),
        Err(PresenceError::Client(error)) => Err(failure::of_client(error)),
        Err(other) => Err(EngineError::Unanswered(Some(Box::new(other)))),
    }
}

/// Somebody opened or closed their app.
pub(crate) async fn online(client: &Client, update: &PresenceUpdate) -> Option<EngineSignal> {
    let chat = people::canonical(client, &update.from, None).await?;
    let state = match update.unavailable {
        true => PresenceState::Unavailable,
        false => PresenceState::Available,
    };
    let last_seen = update.last_seen.map(|time| time.timestamp());
    Some(told(chat.clone(), PresenceOf { person: chat, state, last_seen }))
}

/// Somebody writes, records, or stopped to.
pub(crate) async fn typing(client: &Client, update: &ChatPresenceUpdate) -> Option<EngineSignal> {
    let source = &update.source;
    let chat = people::canonical(client, &source.chat, None).await?;
    let person = people::canonical(client, &source.sender, source.sender_alt.as_ref()).await?;
    let state = match (update.state, update.media) {
        (ChatPresence::Composing, ChatPresenceMedia::Audio) => PresenceState::Recording,
        (ChatPresence::Composing, ChatPresenceMedia::Text) => PresenceState::Composing,
        (ChatPresence::Paused, _) => PresenceState::Paused,
    };
    Some(told(chat, PresenceOf { person, state, last_seen: None }))
}

fn told(chat: ChatId, of: PresenceOf) -> EngineSignal {
    EngineSignal::People(PeopleSignal::Presence(PresenceChange { chat, of }))
}
