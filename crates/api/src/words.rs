//! Words and small texts of the API as OpenAPI schemas: the lists come from `domain`, so they cannot drift apart.

use domain::{
    api_key::Role,
    batch::{BatchState, HoldReason},
    delivery::{PauseReason, SignatureScheme, WaitReason},
    event::EventType,
    group::MemberAddRight,
    message::{Direction, MessageStatus, MessageType},
    presence::PresenceState,
    session::SessionStatus,
    webhook::LaneOrder,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, SchemaFormat, Type, schema::Schema},
};

/// A schema for one of a list of words.
macro_rules! word_schema {
    ($name:ident, $title:literal, $description:literal, $words:expr) => {
        #[doc = $description]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words: Vec<&'static str> = $words;
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($description))
                    .enum_values(Some(words))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }
        }
    };
}

/// A schema for a text with a format that [`crate::schema`] knows.
macro_rules! text_schema {
    ($name:ident, $title:literal, $description:literal, $format:literal, $chars:literal, $example:literal) => {
        #[doc = $description]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($description))
                    .format(Some(format_named($format)))
                    .min_length(Some(1))
                    .max_length(Some($chars))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }
        }
    };
}

/// A schema for a file, byte for byte.
pub enum FileBytes {}

impl PartialSchema for FileBytes {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A file, byte for byte."))
            .format(Some(binary))
            .into()
    }
}

impl ToSchema for FileBytes {
    fn name() -> std::borrow::Cow<'static, str> {
        "FileBytes".into()
    }
}

fn format_named(name: &'static str) -> SchemaFormat {
    match name {
        "date-time" => SchemaFormat::KnownFormat(KnownFormat::DateTime),
        name => SchemaFormat::Custom(name.to_owned()),
    }
}

word_schema!(
    RoleWord,
    "Role",
    "What a key may do: read, read and act, or everything.",
    [Role::Admin, Role::Operator, Role::Viewer].map(Role::as_str).to_vec()
);
word_schema!(
    SessionStatusWord,
    "SessionStatus",
    "Where the session's life stands.",
    SessionStatus::ALL.map(SessionStatus::as_str).to_vec()
);
word_schema!(
    MessageStatusWord,
    "MessageStatus",
    "How far WhatsApp carried the message.",
    MessageStatus::ALL.map(MessageStatus::as_str).to_vec()
);
word_schema!(
    MessageTypeWord,
    "MessageType",
    "What kind of message it is.",
    MessageType::ALL.map(MessageType::as_str).to_vec()
);
word_schema!(
    StatusKindWord,
    "StatusType",
    "What a status shows.",
    vec!["text", "image", "video", "voice"]
);
word_schema!(
    DirectionWord,
    "MessageDirection",
    "Which way the message went.",
    [Direction::Incoming, Direction::Outgoing].map(Direction::as_str).to_vec()
);
word_schema!(
    BatchStatusWord,
    "BatchStatus",
    "Where a batch stands.",
    BatchState::ALL.map(BatchState::as_str).to_vec()
);
word_schema!(
    ItemStatusWord,
    "BatchItemStatus",
    "What became of a message of a batch.",
    vec!["pending", "sent", "failed", "cancelled"]
);
word_schema!(
    HoldWord,
    "BatchPauseReason",
    "Why a batch does not send now.",
    HoldReason::ALL.map(HoldReason::as_str).to_vec()
);
word_schema!(
    BulkTypeWord,
    "BulkMessageType",
    "What kind of message it is.",
    vec!["text", "image", "video", "audio", "document"]
);
word_schema!(
    EventWord,
    "EventName",
    "An event, or `*` for all of them.",
    EventType::ALL.iter().map(|kind| kind.as_str()).chain(["*"]).collect()
);
word_schema!(
    OrderWord,
    "DeliveryOrder",
    "In which order deliveries leave: strictly one after another per chat, per session, or in no order.",
    [LaneOrder::Chat, LaneOrder::Session, LaneOrder::None].map(LaneOrder::as_str).to_vec()
);
word_schema!(
    DeliveryStateWord,
    "DeliveryState",
    "Where a delivery stands: waiting, taken by the receiver, given up, or dropped before it could leave.",
    vec!["pending", "delivered", "exhausted", "dropped"]
);
word_schema!(
    WaitReasonWord,
    "LaneWait",
    "Why the head of a lane has not left: it is under way, due, waits for a time, its webhook's rate is used up, the \
     receiver's breaker is open, or its webhook is paused or switched off.",
    WaitReason::ALL.map(WaitReason::as_str).to_vec()
);
word_schema!(
    SignatureWord,
    "WebhookSignature",
    "How deliveries are signed: HMAC-SHA256 with the secret, or ed25519 with a key of the gateway's own.",
    [SignatureScheme::V1, SignatureScheme::V1a].map(SignatureScheme::as_str).to_vec()
);
word_schema!(
    BreakerWord,
    "WebhookBreaker",
    "What the breaker lets out: everything, nothing, or a few lanes at once.",
    vec!["closed", "open", "catch_up"]
);
word_schema!(
    PauseWord,
    "WebhookPauseReason",
    "Why nothing leaves: somebody asked for it, or no delivery succeeded for five days.",
    [PauseReason::Requested, PauseReason::NoSuccess].map(PauseReason::as_str).to_vec()
);
word_schema!(
    FieldWord,
    "FilterField",
    "The message field that is tested.",
    vec![
        "sender",
        "recipient",
        "chatId",
        "body",
        "type",
        "isGroup",
        "kind",
        "fromMe",
        "hasMedia",
        "mentions"
    ]
);
word_schema!(
    OperatorWord,
    "FilterOperator",
    "How the field is tested. `sender`, `recipient`, `chatId`, `mentions`, `type` and `kind` take `is` and `isNot`; `body` takes `contains` and `equals`; flags take `is`.",
    vec!["is", "isNot", "contains", "equals"]
);
word_schema!(
    ProxyTypeWord,
    "ProxyType",
    "The scheme of a proxy.",
    vec!["http", "https", "socks4", "socks5"]
);
word_schema!(
    ChatKindWord,
    "ChatKind",
    "What kind of chat it is.",
    vec!["individual", "group", "channel", "status", "broadcast", "unknown"]
);
word_schema!(
    TypingWord,
    "TypingState",
    "What one shows in a chat.",
    vec!["typing", "recording", "paused"]
);
word_schema!(
    SearchMatchWord,
    "SearchMatch",
    "Whether whole words are looked for, or parts of them too.",
    vec!["word", "contains"]
);
word_schema!(
    PresenceWord,
    "PresenceState",
    "What a person is doing.",
    PresenceState::ALL.map(PresenceState::as_str).to_vec()
);
word_schema!(CallMediaWord, "CallMedia", "What sort of call it is.", vec!["audio", "video"]);
word_schema!(
    OrderByWord,
    "MessageOrder",
    "Sort by the time of storing or by WhatsApp's own time.",
    vec!["createdAt", "timestamp"]
);

word_schema!(
    MemberAddWord,
    "MemberAddMode",
    "Who may add members to a group.",
    [MemberAddRight::All, MemberAddRight::Admins].map(MemberAddRight::as_str).to_vec()
);

text_schema!(
    ChatText,
    "ChatId",
    "A chat: `<phone>@c.us`, `<id>@g.us` or `<id>@lid`.",
    "chat-id",
    128,
    "49170111@c.us"
);
text_schema!(
    MentionText,
    "Mention",
    "A person: `<phone>@c.us` or `<id>@lid`.",
    "person-id",
    64,
    "49170111@c.us"
);
text_schema!(
    ColourText,
    "Color",
    "A colour: red, green and blue as six hexadecimal digits.",
    "color",
    7,
    "#1E6E4F"
);
text_schema!(
    ParticipantText,
    "Participant",
    "A person: a phone number, `<phone>@c.us` or `<id>@lid`.",
    "person-id",
    64,
    "49170111@c.us"
);
text_schema!(OptionText, "PollOption", "An option of a poll.", "poll-option", 100, "Chocolate");
text_schema!(
    AllowedChatText,
    "AllowedChat",
    "`<id>@g.us`, `<phone>@c.us`, `<lid>@lid`, or a phone number, which is stored as `<phone>@c.us`.",
    "allowed-chat",
    128,
    "49170111@c.us"
);
text_schema!(
    AllowedIpText,
    "AllowedIp",
    "An IPv4 address or range.",
    "ipv4-or-cidr",
    18,
    "192.0.2.0/24"
);
text_schema!(
    SessionIdText,
    "SessionId",
    "The id of a session.",
    "uuid",
    36,
    "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e"
);
text_schema!(
    FilterTimeText,
    "FilterTime",
    "An ISO 8601 time, epoch seconds or epoch milliseconds, as a text or a number. Without an offset it is UTC.",
    "filter-time",
    40,
    "2026-10-01T08:00:00.000Z"
);
text_schema!(
    IsoTimeText,
    "IsoTime",
    "An ISO 8601 time.",
    "date-time",
    40,
    "2026-10-01T08:00:00.000Z"
);
