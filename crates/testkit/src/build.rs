//! Records with sensible values; a number makes them differ.

use domain::{
    ApiKeyId, ChatId, EventId, MessageRowId, SessionId, TemplateId, Timestamp, WaMessageId,
    WebhookId,
    api_key::{ApiKey, KeyHash, Role},
    content::{Media, MediaKind, RemoteMedia},
    delivery::{Health, PolicyChoice},
    event::{EventDraft, EventType, Subscription},
    media::{MediaRecord, MediaState},
    message::{
        Content, Direction, InboundMessage, Message, MessageStatus, MessageType, OutgoingMessage,
    },
    plugin::{IngressCall, IngressRequest, IngressState, Instance, Manifest, Plugin},
    port::Lease,
    session::{Session, SessionConfig, SessionStatus},
    template::Template,
    webhook::{LaneOrder, RETRY_COUNT_DEFAULT, Secret, Webhook},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::START;

fn uuid(kind: u128, number: u128) -> Uuid {
    uuid::Builder::from_u128((kind << 96) | number).with_version(uuid::Version::Random).into_uuid()
}

/// `4917…@c.us`, one per number.
pub fn chat(number: u32) -> ChatId {
    format!("4917{number:07}@c.us").parse().unwrap()
}

/// The first lease of a session, of the owner `test`.
pub fn lease(session: SessionId) -> Lease {
    Lease { session, owner: "test".into(), epoch: 1 }
}

/// Created a second later than the one before.
pub fn session(number: u32) -> Session {
    let at = Timestamp::from_millis(START.millis() + i64::from(number) * 1000);
    Session {
        id: SessionId::from_uuid(uuid(1, number.into())),
        name: format!("session-{number}"),
        status: SessionStatus::Created,
        wanted: false,
        phone: None,
        lid: None,
        push_name: None,
        connected_at: None,
        last_active: None,
        last_error: None,
        restriction: None,
        new_chat_quota: None,
        config: SessionConfig::default(),
        proxy: None,
        created_at: at,
        updated_at: at,
    }
}

/// Wants everything, in the order of each chat.
pub fn webhook(number: u32, session: SessionId) -> Webhook {
    Webhook {
        id: WebhookId::from_uuid(uuid(2, number.into())),
        session,
        url: format!("https://receiver-{number}.example/hook"),
        events: vec![Subscription::All],
        filters: None,
        headers: vec![],
        secret: None,
        previous_secret: None,
        signing_key: None,
        active: true,
        retry_count: Some(RETRY_COUNT_DEFAULT),
        policy: PolicyChoice::default(),
        tls_ca: None,
        health: Health::default(),
        order: LaneOrder::Chat,
        last_triggered_at: None,
        created_at: START,
        updated_at: START,
    }
}

/// A text of ours that waits for the server, in chat 1.
pub fn message(number: u32, session: SessionId) -> Message {
    Message {
        id: MessageRowId::from_uuid(uuid(3, number.into())),
        session,
        wa_id: wa_id(number),
        chat: chat(1),
        from: "4915550001000@c.us".into(),
        to: chat(1).to_string(),
        chat_name: None,
        author: None,
        body: Some(format!("text {number}")),
        kind: MessageType::Text,
        direction: Direction::Outgoing,
        timestamp: None,
        metadata: Value::Null,
        media_path: None,
        media_mimetype: None,
        status: MessageStatus::Pending,
        created_at: Timestamp::from_millis(START.millis() + i64::from(number)),
    }
}

/// The WhatsApp id of [`message`] with this number.
pub fn wa_id(number: u32) -> WaMessageId {
    WaMessageId::from_wire(format!("3EB0{number:018X}"))
}

/// A text that came in, in a chat with one person, as stored.
pub fn received(number: u32, session: SessionId, chat: &ChatId) -> Message {
    Message {
        chat: chat.clone(),
        from: chat.to_string(),
        to: "4915550001000@c.us".into(),
        direction: Direction::Incoming,
        timestamp: Some(START.seconds() + i64::from(number)),
        status: MessageStatus::Delivered,
        ..message(number, session)
    }
}

/// What [`message`] says on its way out.
pub fn outgoing(number: u32) -> OutgoingMessage {
    OutgoingMessage {
        id: wa_id(number),
        chat: chat(1),
        content: Content::text(format!("text {number}")),
        mentions: vec![],
        quoted: None,
        forwarding_score: 0,
        status: None,
    }
}

/// A picture that WhatsApp keeps for us.
pub fn media(number: u32) -> Media {
    let byte = u8::try_from(number % 256).unwrap();
    Media {
        kind: MediaKind::Image,
        mimetype: "image/jpeg".into(),
        filename: None,
        caption: Some(format!("picture {number}")),
        size_bytes: 1000 + u64::from(number),
        seconds: None,
        look: Default::default(),
        remote: Some(RemoteMedia {
            url: String::new(),
            direct_path: format!("/v/t62/{number}"),
            media_key: vec![byte; 32],
            media_key_timestamp: START.seconds(),
            sha256: vec![byte.wrapping_add(1); 32],
            enc_sha256: vec![byte.wrapping_add(2); 32],
            length: 1000 + u64::from(number),
            streaming_sidecar: vec![],
        }),
    }
}

/// The file of [`message`] with this number: [`media`], to be downloaded from `due_at` on.
pub fn media_record(number: u32, session: SessionId, due_at: Timestamp) -> MediaRecord {
    MediaRecord {
        session,
        wa_id: wa_id(number),
        media: media(number),
        state: MediaState::Pending { due_at },
        attempts: 0,
    }
}

/// A text with one placeholder, `name`.
pub fn template(number: u32, session: SessionId) -> Template {
    Template {
        id: TemplateId::from_uuid(uuid(6, number.into())),
        session,
        name: format!("template-{number}"),
        body: format!("Hello {{{{name}}}}, this is {number}"),
        header: None,
        footer: None,
        created_at: START,
        updated_at: START,
    }
}

/// `message.received` in a chat.
pub fn event(number: u32, session: SessionId, chat: &ChatId) -> EventDraft {
    EventDraft {
        id: EventId::from_uuid(uuid(4, number.into())),
        session,
        kind: EventType::MessageReceived,
        occurred_at: Timestamp::from_millis(START.millis() + i64::from(number)),
        chat: Some(chat.clone()),
        idempotency_key: format!("msg_{session}_{number}"),
        data: json!({ "sessionId": session.to_string(), "id": number.to_string(), "chatId": chat.as_str() }).into(),
    }
}

/// `session.status`, which belongs to no chat.
pub fn session_event(number: u32, session: SessionId) -> EventDraft {
    EventDraft {
        kind: EventType::SessionStatus,
        chat: None,
        data: json!({ "sessionId": session.to_string(), "status": "ready" }).into(),
        ..event(number, session, &chat(1))
    }
}

/// A text that came in, in a chat with one person.
pub fn inbound(number: u32, chat: &ChatId) -> InboundMessage {
    InboundMessage {
        id: wa_id(number),
        chat: chat.clone(),
        sender: chat.clone(),
        sender_lid: None,
        sender_phone: None,
        from_me: false,
        source: None,
        push_name: Some("Mia".into()),
        timestamp: START.seconds() + i64::from(number),
        content: Content::text(format!("text {number}")),
        quoted: None,
        mentions: vec![],
        backfilled: false,
        ephemeral_seconds: None,
        view_once: false,
        forwarding_score: 0,
        style: domain::status::TextStyle::default(),
    }
}

/// The key whose text is `key-<number>`.
pub fn api_key(number: u32, role: Role) -> ApiKey {
    ApiKey {
        id: ApiKeyId::from_uuid(uuid(5, number.into())),
        name: format!("key {number}"),
        prefix: format!("key-{number}"),
        hash: KeyHash::of(&format!("key-{number}")),
        role,
        allowed_ips: vec![],
        allowed_sessions: vec![],
        allowed_chats: vec![],
        approval: None,
        active: true,
        expires_at: None,
        last_used_at: None,
        usage_count: 0,
        created_at: START,
    }
}

/// An enabled one without a configuration, `plugin-1`.
pub fn plugin(number: u32) -> Plugin {
    let id = format!("plugin-{number}");
    let raw = json!({ "id": id, "name": "A plugin", "version": "1.0.0", "type": "extension", "main": "index.js" });
    Plugin {
        id: id.parse().unwrap(),
        manifest: Manifest::read(&raw).unwrap(),
        enabled: true,
        config: serde_json::Map::new(),
        session_configs: std::collections::BTreeMap::new(),
        sessions: None,
        hooks: vec![],
        error: None,
        installed_at: START,
        updated_at: START,
        enabled_at: None,
        revision: 0,
    }
}

/// An enabled instance of plugin 1 for any session, `instance-1`.
pub fn instance(number: u32) -> Instance {
    let at = Timestamp::from_millis(START.millis() + i64::from(number) * 1000);
    Instance {
        plugin: plugin(1).id,
        id: format!("instance-{number}"),
        session: None,
        secret: Secret::new(format!("secret {number}")),
        verify_token: None,
        config: None,
        enabled: true,
        created_at: at,
        updated_at: at,
    }
}

/// A call of instance 1 of plugin 1, due at once, with an order key.
pub fn ingress(number: u32, order_key: &str) -> IngressCall {
    IngressCall {
        id: uuid(9, number.into()),
        plugin: plugin(1).id,
        instance: instance(1).id,
        route: "events".into(),
        delivery_id: format!("delivery {number}"),
        digest: format!("{number:064x}"),
        order_key: order_key.into(),
        request: IngressRequest {
            method: "POST".into(),
            headers: [("x-number".to_owned(), number.to_string())].into(),
            query: [("a".to_owned(), "b".to_owned())].into(),
            body: format!("{{\"number\":{number}}}"),
            verified: true,
        },
        state: IngressState::Waiting,
        attempts: 0,
        due_at: START,
        error: None,
        received_at: START,
    }
}
