//! What a device that was just linked is told of the past: the chats of the phone, with the names of who wrote.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore::{
        download::MediaType,
        upload::{EncryptedMedia, encrypt_media},
    },
    wacore_binary::Jid,
    waproto::{
        whatsapp as wa,
        whatsapp::message::{HistorySyncNotification, ProtocolMessage, protocol_message},
    },
};

use super::{Phone, ReceivedMessage, outbound};
use crate::{hub::Hub, media::DOWNLOAD_FOLDER};

/// Messages of the past that a device is told: the newest ones. More would only slow pairing down.
const TOLD_MAX: usize = 1_000;
/// Largest history inside the message itself; a larger one is only on the media host.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a stored block of zlib: its length has 16 bits.
const BLOCK_BYTES: usize = 0xffff;

/// Sends a device the history of this phone.
pub(super) async fn share(hub: &Hub, phone: &Phone, device: u16) -> Result<()> {
    let message = message(hub, &of_phone(hub, phone))?;
    outbound::send(hub, phone, outbound::peer_letter(hub, &phone.me, device, message)).await
}

/// The message that brings a history. Clients differ in where they look, so that it is in both places.
pub(crate) fn message(hub: &Hub, history: &wa::HistorySync) -> Result<wa::Message> {
    let packed = stored_zlib(&history.encode_to_vec())?;
    let EncryptedMedia { data_to_upload, media_key, file_sha256, file_enc_sha256, .. } =
        encrypt_media(&packed, MediaType::History)?;
    let path = format!("{DOWNLOAD_FOLDER}/{}", hex::encode(file_enc_sha256));
    hub.media.put(&path, data_to_upload.into());
    let notification = HistorySyncNotification {
        sync_type: Some(wa::message::HistorySyncType::INITIAL_BOOTSTRAP),
        file_sha256: Some(file_sha256.to_vec()),
        file_enc_sha256: Some(file_enc_sha256.to_vec()),
        media_key: Some(media_key.to_vec()),
        file_length: Some(packed.len() as u64),
        direct_path: Some(path),
        initial_hist_bootstrap_inline_payload: (packed.len() <= INLINE_BYTES_MAX).then_some(packed),
        progress: Some(100),
        chunk_order: Some(1),
        ..Default::default()
    };
    Ok(wa::Message {
        protocol_message: MessageField::some(ProtocolMessage {
            r#type: Some(protocol_message::Type::HISTORY_SYNC_NOTIFICATION),
            history_sync_notification: MessageField::some(notification),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn of_phone(hub: &Hub, phone: &Phone) -> wa::HistorySync {
    let inbox = phone.inbox.all();
    let mut chats: BTreeMap<String, Vec<wa::HistorySyncMsg>> = BTreeMap::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let state = hub.state();
    for message in &inbox[inbox.len().saturating_sub(TOLD_MAX)..] {
        let chat = chat_of(message);
        chats.entry(chat.clone()).or_default().push(entry(message, &chat));
        if let Ok(account) = state.account(&message.from_phone) {
            names.insert(Jid::pn(account.phone.as_str()).to_string(), account.name.clone());
        }
    }
    let conversations = chats.into_iter().map(|(id, mut messages)| {
        // The newest comes first.
        messages.reverse();
        wa::Conversation { id, messages, ..Default::default() }
    });
    let pushnames =
        names.into_iter().map(|(id, name)| wa::Pushname { id: Some(id), pushname: Some(name) });
    wa::HistorySync {
        sync_type: wa::history_sync::HistorySyncType::INITIAL_BOOTSTRAP,
        conversations: conversations.collect(),
        pushnames: pushnames.collect(),
        progress: Some(100),
        chunk_order: Some(1),
        ..Default::default()
    }
}

fn chat_of(message: &ReceivedMessage) -> String {
    let direct = match (message.from_me, &message.recipient) {
        (true, Some(recipient)) => recipient,
        _ => &message.from,
    };
    message.group.as_ref().unwrap_or(direct).clone()
}

fn entry(message: &ReceivedMessage, chat: &str) -> wa::HistorySyncMsg {
    let participant = message.group.as_ref().map(|_| message.from.clone());
    let told = wa::WebMessageInfo {
        key: MessageField::some(wa::MessageKey {
            remote_jid: Some(chat.to_owned()),
            from_me: Some(message.from_me),
            id: Some(message.id.clone()),
            participant: participant.clone(),
        }),
        message: MessageField::some(message.message.clone()),
        message_timestamp: Some(message.at_seconds),
        participant,
        ..Default::default()
    };
    wa::HistorySyncMsg { message: MessageField::some(told), ..Default::default() }
}

/// Zlib framing around stored blocks: clients expect compressed history, and do not mind if nothing was gained.
fn stored_zlib(content: &[u8]) -> Result<Vec<u8>> {
    let mut framed = vec![0x78, 0x01];
    let mut blocks = content.chunks(BLOCK_BYTES).peekable();
    if content.is_empty() {
        framed.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).context("a block over 64 KiB")?;
        framed.push(u8::from(blocks.peek().is_none()));
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&(!length).to_le_bytes());
        framed.extend_from_slice(block);
    }
    let (mut low, mut high) = (1u32, 0u32);
    for byte in content {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    framed.extend_from_slice(&(high << 16 | low).to_be_bytes());
    Ok(framed)
}
