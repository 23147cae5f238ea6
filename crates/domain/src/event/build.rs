//! Builders of events: data and idempotency key as the contract has them.

use serde_json::{Value, json};

use super::{EventDraft, EventType, describe, say::context};
use crate::{
    address::{ChatId, ChatKind, PhoneNumber},
    content::Content,
    ids::{EventId, SessionId, WaMessageId},
    message::{Direction, InboundMessage, Message, MessageStatus},
    port::ReceiptKind,
    status::STATUS_LIFE,
    time::Timestamp,
};

/// The fields of a row's metadata that belong to the message.
const SAID: [&str; 13] = [
    "quotedMessage",
    "mentionedIds",
    "media",
    "location",
    "contacts",
    "poll",
    "linkPreview",
    "isForwarded",
    "forwardingScore",
    "backgroundColor",
    "font",
    "product",
    "button",
];

/// `message.received` for a message from somebody else, `message.sent` for one of ours typed on the phone,
/// `status.received` for a status of somebody else.
pub fn inbound_message(
    id: EventId,
    session: SessionId,
    account: Option<&PhoneNumber>,
    message: &InboundMessage,
) -> EventDraft {
    if message.chat.kind() == ChatKind::Status && !message.from_me {
        return status(id, session, message);
    }
    let kind = if message.from_me { EventType::MessageSent } else { EventType::MessageReceived };
    EventDraft {
        id,
        session,
        kind,
        occurred_at: Timestamp::from_seconds(message.timestamp),
        chat: Some(message.chat.clone()),
        idempotency_key: format!("msg_{session}_{}", message.id),
        data: inbound_data(account, message).into(),
    }
}

/// The file of a status is never inside; it is fetched like that of any message.
fn status(id: EventId, session: SessionId, message: &InboundMessage) -> EventDraft {
    let posted = Timestamp::from_seconds(message.timestamp);
    let file = matches!(message.content, Content::Media(_));
    let mut contact = json!({ "id": message.sender });
    if let Some(name) = &message.push_name {
        contact["pushName"] = json!(name);
    }
    let mut data = json!({
        "sessionId": session,
        "statusId": message.id,
        "contact": contact,
        "type": message.content.kind().as_str(),
        "hasMedia": file,
        "mediaOmitted": file,
        "postedAt": posted.millis(),
        "expiresAt": posted.plus(STATUS_LIFE).millis(),
    });
    if let Some(caption) = message.content.body().filter(|caption| !caption.is_empty()) {
        data["caption"] = json!(caption);
    }
    if file {
        data["omitReason"] = json!("not_inline");
    }
    EventDraft {
        id,
        session,
        kind: EventType::StatusReceived,
        occurred_at: posted,
        chat: Some(message.chat.clone()),
        idempotency_key: format!("status_{session}_{}", message.id),
        data: data.into(),
    }
}

/// Who it is from and to whom, as OpenWA says it: a message of ours is from the account, any other from its chat.
pub fn ends(account: Option<&PhoneNumber>, message: &InboundMessage) -> (String, String) {
    let me = account.map_or_else(|| "me".to_owned(), |phone| phone.chat().to_string());
    let chat = message.chat.to_string();
    if message.from_me { (me, chat) } else { (chat, me) }
}

fn inbound_data(account: Option<&PhoneNumber>, message: &InboundMessage) -> Value {
    let (from, to) = ends(account, message);
    let body = message.content.body().unwrap_or_default();
    let kind = message.content.kind().as_str();
    let mut data = json!({
        "id": message.id,
        "from": from,
        "to": to,
        "chatId": message.chat,
        "body": body,
        "type": kind,
        "timestamp": message.timestamp,
        "fromMe": message.from_me,
        "isGroup": message.chat.is_group(),
        "kind": message.chat.kind().as_str(),
    });
    let map = data.as_object_mut().expect("built as an object");
    if message.chat.is_group() {
        map.insert("author".into(), json!(message.sender));
    }
    if let Some(name) = &message.push_name {
        map.insert("contact".into(), json!({ "pushName": name }));
    }
    if let Some(phone) = &message.sender_phone {
        map.insert("senderPhone".into(), json!(phone));
    }
    if message.sender.is_lid() || message.chat.is_lid() {
        map.insert("isLidSender".into(), json!(true));
    }
    map.extend(describe(&message.content));
    map.extend(context(message));
    data
}

/// `message.sent` for a message that went out by the API and that WhatsApp's server took at `at`.
pub fn message_sent(id: EventId, message: &Message, at: Timestamp) -> EventDraft {
    let mut data = json!({
        "id": message.wa_id,
        "from": message.from,
        "to": message.to,
        "chatId": message.chat,
        "body": message.body.as_deref().unwrap_or_default(),
        "type": message.kind.as_str(),
        "timestamp": at.seconds(),
        "fromMe": true,
        "isGroup": message.chat.is_group(),
        "kind": message.chat.kind().as_str(),
    });
    // What the row's metadata says of the message itself; reasons of failures and the like stay out.
    for field in SAID {
        if let Some(value) = message.metadata.get(field) {
            data[field] = value.clone();
        }
    }
    EventDraft {
        id,
        session: message.session,
        kind: EventType::MessageSent,
        occurred_at: at,
        chat: Some(message.chat.clone()),
        idempotency_key: format!("msg_{}_{}", message.session, message.wa_id),
        data: data.into(),
    }
}

/// A stored message in the form of the events that told it: OpenWA's live message.
pub fn live_message(message: &Message) -> Value {
    let from_me = message.direction == Direction::Outgoing;
    let mut data = json!({
        "id": message.wa_id,
        "from": message.from,
        "to": message.to,
        "chatId": message.chat,
        "body": message.body.as_deref().unwrap_or_default(),
        "type": message.kind.as_str(),
        "timestamp": message.timestamp.unwrap_or_else(|| message.created_at.seconds()),
        "fromMe": from_me,
        "isGroup": message.chat.is_group(),
        "kind": message.chat.kind().as_str(),
    });
    if let Some(author) = &message.author {
        data["author"] = json!(author);
    }
    if message.chat.is_lid() || message.author.as_ref().is_some_and(ChatId::is_lid) {
        data["isLidSender"] = json!(true);
    }
    if let Some(name) = message.chat_name.as_ref().filter(|_| !from_me) {
        data["contact"] = json!({ "pushName": name });
    }
    for field in SAID.iter().chain(&["ephemeralDuration", "isViewOnce", "call"]) {
        if let Some(value) = message.metadata.get(field) {
            data[*field] = value.clone();
        }
    }
    data
}

/// Everything an ack says about a message of ours. The addressing fields are always there, so that a filter on them
/// can never swallow an ack by accident.
pub struct AckReport<'a> {
    /// WhatsApp's id of the message.
    pub message: &'a WaMessageId,
    /// The chat of the message.
    pub chat: &'a ChatId,
    /// The account it went out from.
    pub from: &'a str,
    /// How far it got.
    pub status: MessageStatus,
    /// Why it failed, when it did: WhatsApp's code.
    pub code: Option<u16>,
}

/// `message.ack`: how far a message of ours got.
pub fn message_ack(
    id: EventId,
    session: SessionId,
    ack: &AckReport<'_>,
    at: Timestamp,
) -> EventDraft {
    EventDraft {
        id,
        session,
        kind: EventType::MessageAck,
        occurred_at: at,
        chat: Some(ack.chat.clone()),
        idempotency_key: format!("ack_{session}_{}_{}", ack.message, ack.status.as_str()),
        data: ack_data(ack).into(),
    }
}

/// `message.failed`, sent in addition to the ack.
pub fn message_failed(
    id: EventId,
    session: SessionId,
    ack: &AckReport<'_>,
    at: Timestamp,
) -> EventDraft {
    EventDraft {
        id,
        session,
        kind: EventType::MessageFailed,
        occurred_at: at,
        chat: Some(ack.chat.clone()),
        idempotency_key: format!("failed_{session}_{}_{}", ack.message, ack.status.as_str()),
        data: ack_data(ack).into(),
    }
}

/// `message.receipt`: one recipient's receipt of a message to a group or a status. Emitted again when WhatsApp sends it
/// again, under the same key.
pub fn message_receipt(
    id: EventId,
    session: SessionId,
    ack: &AckReport<'_>,
    (participant, kind): (&ChatId, ReceiptKind),
    at: Timestamp,
) -> EventDraft {
    let word = match kind {
        ReceiptKind::Delivered => "delivered",
        ReceiptKind::Read => "read",
        ReceiptKind::Played => "played",
    };
    let mut data = ack_data(ack);
    if let Some(map) = data.as_object_mut() {
        map.remove("ack");
    }
    data["status"] = json!(word);
    data["participantId"] = json!(participant);
    data["timestamp"] = json!(at.seconds());
    EventDraft {
        id,
        session,
        kind: EventType::MessageReceipt,
        occurred_at: at,
        chat: Some(ack.chat.clone()),
        idempotency_key: format!("receipt_{session}_{}_{participant}_{word}", ack.message),
        data: data.into(),
    }
}

fn ack_data(ack: &AckReport<'_>) -> Value {
    let mut data = json!({
        "id": ack.message,
        "messageId": ack.message,
        "status": ack.status.as_str(),
        "ack": ack.status.ack(),
        "chatId": ack.chat,
        "from": ack.from,
        "to": ack.chat,
        "fromMe": true,
        "isGroup": ack.chat.is_group(),
        "kind": ack.chat.kind().as_str(),
    });
    if let Some(code) = ack.code {
        data["code"] = json!(code);
    }
    data
}

/// An event about the session itself; `key` is the idempotency key, `data` gets `sessionId` first.
pub fn session_event(
    id: EventId,
    session: SessionId,
    kind: EventType,
    key: String,
    at: Timestamp,
    data: Value,
) -> EventDraft {
    let mut full = json!({ "sessionId": session });
    if let (Some(full), Value::Object(extra)) = (full.as_object_mut(), data) {
        full.extend(extra);
    }
    let data = full.into();
    EventDraft { id, session, kind, occurred_at: at, chat: None, idempotency_key: key, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Event, ids::DeliveryId, message::Content};
    use uuid::Uuid;

    fn session() -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(1))
    }

    fn inbound(chat: &str, from_me: bool) -> InboundMessage {
        InboundMessage {
            id: WaMessageId::from_wire("3AF0"),
            chat: chat.parse().unwrap(),
            sender: "49170111@c.us".parse().unwrap(),
            sender_lid: None,
            sender_phone: PhoneNumber::parse("49170111"),
            from_me,
            source: None,
            push_name: Some("Mia".into()),
            timestamp: 1_790_841_600,
            content: Content::text("Are you open today?"),
            quoted: None,
            mentions: vec![],
            backfilled: false,
            ephemeral_seconds: None,
            view_once: false,
            forwarding_score: 0,
            style: Default::default(),
        }
    }

    fn draft(message: &InboundMessage) -> EventDraft {
        let account = PhoneNumber::parse("49155500");
        inbound_message(
            EventId::from_uuid(Uuid::from_u128(2)),
            session(),
            account.as_ref(),
            message,
        )
    }

    #[test]
    fn the_envelope_is_the_contracts_byte_for_byte() {
        let event = Event { draft: draft(&inbound("49170111@c.us", false)), sequence: 7 };
        let delivery = DeliveryId::from_uuid(Uuid::from_u128(3));
        let text = String::from_utf8(event.envelope(delivery)).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"event":"message.received","timestamp":"2026-10-01T08:00:00.000Z","#,
                r#""sessionId":"00000000-0000-0000-0000-000000000001","#,
                r#""idempotencyKey":"msg_00000000-0000-0000-0000-000000000001_3AF0","#,
                r#""deliveryId":"dlv_00000000-0000-0000-0000-000000000003","#,
                r#""data":{"body":"Are you open today?","chatId":"49170111@c.us","contact":{"pushName":"Mia"},"#,
                r#""from":"49170111@c.us","fromMe":false,"id":"3AF0","isGroup":false,"kind":"individual","#,
                r#""senderPhone":"49170111","timestamp":1790841600,"to":"49155500@c.us","type":"text"},"sequence":7}"#,
            )
        );
    }

    #[test]
    fn groups_carry_their_author_and_own_messages_swap_ends() {
        let group = draft(&inbound("120363041@g.us", false));
        assert_eq!(group.data.value()["author"], "49170111@c.us");
        assert_eq!(group.data.value()["from"], "120363041@g.us");
        let own = draft(&inbound("49170111@c.us", true));
        assert_eq!(own.kind, EventType::MessageSent);
        let own = own.data.value();
        assert_eq!(
            (own["from"].as_str(), own["to"].as_str()),
            (Some("49155500@c.us"), Some("49170111@c.us"))
        );
    }

    #[test]
    fn acks_carry_the_full_addressing() {
        let chat = "49170111@c.us".parse().unwrap();
        let message = WaMessageId::from_wire("3EB01");
        let ack = AckReport {
            message: &message,
            chat: &chat,
            from: "49155500@c.us",
            status: MessageStatus::Delivered,
            code: None,
        };
        let event = message_ack(
            EventId::from_uuid(Uuid::from_u128(2)),
            session(),
            &ack,
            Timestamp::from_millis(0),
        );
        for field in [
            "id",
            "messageId",
            "status",
            "ack",
            "chatId",
            "from",
            "to",
            "fromMe",
            "isGroup",
            "kind",
        ] {
            assert!(event.data.value().get(field).is_some(), "{field}");
        }
        assert_eq!(event.idempotency_key, format!("ack_{}_3EB01_delivered", session()));
    }
}
