//! What the account's devices share about chats and people, and how the domain says it.

use domain::{
    Timestamp,
    chat::{ChatMark, ContactPatch, MutedUntil},
    port::EngineSignal,
};
use whatsapp_rust::{
    Client, Jid,
    types::events::{ContactUpdate, Event},
    waproto::whatsapp::sync_action_value::MuteAction,
};

use crate::people;

/// A chat was marked on another device.
pub(crate) async fn chat_mark(client: &Client, event: &Event) -> Option<EngineSignal> {
    let (jid, mark) = mark(event)?;
    let chat = people::canonical(client, jid, None).await?;
    Some(EngineSignal::ChatMark { chat, mark })
}

fn mark(event: &Event) -> Option<(&Jid, ChatMark)> {
    Some(match event {
        Event::ArchiveUpdate(update) => {
            (&update.jid, ChatMark::Archived(update.action.archived.unwrap_or(false)))
        }
        Event::PinUpdate(update) => {
            (&update.jid, ChatMark::Pinned(update.action.pinned.unwrap_or(false)))
        }
        Event::MuteUpdate(update) => (&update.jid, ChatMark::Muted(muted(&update.action))),
        Event::MarkChatAsReadUpdate(update) => {
            (&update.jid, ChatMark::Read(update.action.read.unwrap_or(true)))
        }
        Event::DeleteChatUpdate(update) => (&update.jid, ChatMark::Deleted),
        Event::ClearChatUpdate(update) => (&update.jid, ChatMark::Cleared),
        _ => return None,
    })
}

fn muted(action: &MuteAction) -> Option<MutedUntil> {
    if action.muted != Some(true) {
        return None;
    }
    match action.mute_end_timestamp {
        Some(millis) if millis > 0 => Some(MutedUntil::Time(Timestamp::from_millis(millis))),
        _ => Some(MutedUntil::Forever),
    }
}

/// A person was saved in the address book, or renamed there.
pub(crate) async fn address_book(client: &Client, update: &ContactUpdate) -> Option<EngineSignal> {
    let action = &update.action;
    let other = action.lid_jid.as_deref().or(action.pn_jid.as_deref());
    let other: Option<Jid> = other.and_then(|jid| jid.parse().ok());
    people::learn_pair(client, &update.jid, other.as_ref()).await;
    let id = people::canonical(client, &update.jid, other.as_ref()).await?;
    let name = action.full_name.clone().or_else(|| action.first_name.clone());
    let name = name.filter(|name| !name.is_empty());
    let patch = ContactPatch { name: Some(name), ..Default::default() };
    Some(EngineSignal::Contact { id, patch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mute_ends_at_a_time_or_never() {
        let mute = |muted, end| MuteAction {
            muted: Some(muted),
            mute_end_timestamp: Some(end),
            ..Default::default()
        };
        assert_eq!(super::muted(&mute(false, 0)), None);
        assert_eq!(super::muted(&mute(true, -1)), Some(MutedUntil::Forever));
        let until = MutedUntil::Time(Timestamp::from_millis(1_800_000_000_000));
        assert_eq!(super::muted(&mute(true, 1_800_000_000_000)), Some(until));
    }
}
