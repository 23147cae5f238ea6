//! What one does with chats: typing, reading, marking; and asking who has a number.

use domain::{
    ChatId, WaMessageId,
    chat::{ChatMark, LastMessage, MutedUntil, Registration, Typing},
    content::Target,
    port::EngineError,
};
use whatsapp_rust::{
    ChatStateType, Client, IsOnWhatsAppResult, Jid, SyncActionMessageRange, message_key,
    message_range, wacore_binary::JidExt as _,
};

use crate::{failure, people};

/// A chat as the library names it.
pub(crate) fn address(chat: &ChatId) -> Result<Jid, EngineError> {
    people::jid(chat).ok_or_else(|| EngineError::Refused("this is no chat of WhatsApp".into()))
}

pub(crate) async fn typing(
    client: &Client,
    chat: &ChatId,
    state: Typing,
) -> Result<(), EngineError> {
    let state = match state {
        Typing::Typing => ChatStateType::Composing,
        Typing::Recording => ChatStateType::Recording,
        Typing::Paused => ChatStateType::Paused,
    };
    client.chatstate().send(&address(chat)?, state).await.map_err(failure::of_chat_state)
}

/// One receipt for each author.
pub(crate) async fn mark_read(
    client: &Client,
    chat: &ChatId,
    messages: &[(WaMessageId, Option<ChatId>)],
) -> Result<(), EngineError> {
    let jid = address(chat)?;
    let mut rest: Vec<&(WaMessageId, Option<ChatId>)> = messages.iter().collect();
    while let Some((_, author)) = rest.first() {
        let (of_author, others): (Vec<_>, Vec<_>) =
            rest.iter().copied().partition(|(_, other)| other == author);
        let ids: Vec<&str> = of_author.iter().map(|(id, _)| id.as_str()).collect();
        let sender = match author {
            Some(author) if jid.is_group() => people::address_in(client, &jid, author).await,
            _ => None,
        };
        client.mark_as_read(&jid, sender.as_ref(), &ids).await.map_err(failure::of_any)?;
        rest = others;
    }
    Ok(())
}

pub(crate) async fn mark_chat(
    client: &Client,
    chat: &ChatId,
    mark: ChatMark,
    last: Option<&LastMessage>,
) -> Result<(), EngineError> {
    let jid = address(chat)?;
    let range = match last {
        Some(last) => Some(range(client, &jid, last).await),
        None => None,
    };
    let actions = client.chat_actions();
    let done = match mark {
        ChatMark::Archived(true) => actions.archive_chat(&jid, range).await,
        ChatMark::Archived(false) => actions.unarchive_chat(&jid, range).await,
        ChatMark::Pinned(true) => actions.pin_chat(&jid).await,
        ChatMark::Pinned(false) => actions.unpin_chat(&jid).await,
        ChatMark::Muted(None) => actions.unmute_chat(&jid).await,
        ChatMark::Muted(Some(MutedUntil::Forever)) => actions.mute_chat(&jid).await,
        ChatMark::Muted(Some(MutedUntil::Time(end))) => {
            actions.mute_chat_until(&jid, end.millis()).await
        }
        ChatMark::Read(read) => actions.mark_chat_as_read(&jid, read, range).await,
        ChatMark::Deleted => actions.delete_chat(&jid, false, range).await,
        ChatMark::Cleared => actions.clear_chat(&jid, false, false, range).await,
    };
    done.map_err(failure::of_app_state)
}

/// Up to which message the mark is meant: other devices may know newer ones.
async fn range(client: &Client, chat: &Jid, last: &LastMessage) -> SyncActionMessageRange {
    let author = match &last.author {
        Some(author) if chat.is_group() && !last.from_me => {
            people::address_in(client, chat, author).await
        }
        _ => None,
    };
    let key = message_key(last.id.as_str(), chat, last.from_me, author.as_ref());
    message_range(last.timestamp, None, vec![(key, last.timestamp)])
}

/// The author, which WhatsApp wants to know for messages of others in groups.
async fn participant(client: &Client, chat: &Jid, target: &Target) -> Option<Jid> {
    match &target.author {
        Some(author) if chat.is_group() && !target.from_me => {
            people::address_in(client, chat, author).await
        }
        _ => None,
    }
}

pub(crate) async fn star(
    client: &Client,
    chat: &ChatId,
    target: &Target,
    star: bool,
) -> Result<(), EngineError> {
    let jid = address(chat)?;
    let author = participant(client, &jid, target).await;
    let (actions, id) = (client.chat_actions(), target.id.as_str());
    let done = if star {
        actions.star_message(&jid, author.as_ref(), id, target.from_me).await
    } else {
        actions.unstar_message(&jid, author.as_ref(), id, target.from_me).await
    };
    done.map_err(failure::of_app_state)
}

pub(crate) async fn delete_for_me(
    client: &Client,
    chat: &ChatId,
    target: &Target,
    timestamp: i64,
) -> Result<(), EngineError> {
    let jid = address(chat)?;
    let author = participant(client, &jid, target).await;
    let (actions, id, at) = (client.chat_actions(), target.id.as_str(), Some(timestamp));
    actions
        .delete_message_for_me(&jid, author.as_ref(), id, target.from_me, true, at)
        .await
        .map_err(failure::of_app_state)
}

/// One answer for each question, in their order. An answer may name another address than the question (ninth digits,
/// country rules), so what is not found by its own address is asked for by itself.
pub(crate) async fn lookup(
    client: &Client,
    ids: &[ChatId],
) -> Result<Vec<Registration>, EngineError> {
    let mut jids = Vec::with_capacity(ids.len());
    for id in ids {
        let person = people::jid(id).filter(people::is_person);
        jids.push(person.ok_or_else(|| {
            EngineError::Refused("only numbers and privacy ids can be looked up".into())
        })?);
    }
    let answers = ask(client, &jids).await?;
    let mut registrations = Vec::with_capacity(ids.len());
    for (asked, jid) in ids.iter().zip(&jids) {
        let known = answers.iter().find(|answer| answer.jid == *jid);
        registrations.push(match known {
            Some(answer) => registration(client, asked, Some(answer)).await,
            None if jids.len() == 1 => registration(client, asked, answers.first()).await,
            None => {
                let alone = ask(client, std::slice::from_ref(jid)).await?;
                registration(client, asked, alone.first()).await
            }
        });
    }
    Ok(registrations)
}

async fn ask(client: &Client, jids: &[Jid]) -> Result<Vec<IsOnWhatsAppResult>, EngineError> {
    client.contacts().is_on_whatsapp(jids).await.map_err(failure::of_contact)
}

async fn registration(
    client: &Client,
    asked: &ChatId,
    answer: Option<&IsOnWhatsAppResult>,
) -> Registration {
    let nobody = Registration { asked: asked.clone(), registered: None, lid: None };
    let Some(answer) = answer.filter(|answer| answer.is_registered) else { return nobody };
    let other = answer.lid.as_ref().or(answer.pn_jid.as_ref());
    let person = people::person(client, &answer.jid, other).await;
    Registration { registered: person.chat(), lid: person.lid, ..nobody }
}
