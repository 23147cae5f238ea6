//! What a change has to know of the message it changes.

use domain::{
    ChatId, ChatKind,
    content::{Content, Poll},
    message::{Direction, InboundMessage, Message, MessageType},
};
use serde_json::{Map, Value};

/// A message as it stands before the next change of a batch.
#[derive(Debug, Clone)]
pub(super) struct StoredRow {
    pub(super) kind: MessageType,
    pub(super) has_media: bool,
    pub(super) reactions: Map<String, Value>,
    pub(super) poll: Option<Poll>,
    from_me: bool,
    chat: ChatId,
    author: Option<ChatId>,
}

impl StoredRow {
    pub(super) fn stored(message: &Message) -> Self {
        let metadata = &message.metadata;
        Self {
            kind: message.kind,
            has_media: metadata["media"].is_object(),
            reactions: metadata["reactions"].as_object().cloned().unwrap_or_default(),
            poll: poll(&metadata["poll"]),
            from_me: message.direction == Direction::Outgoing,
            chat: message.chat.clone(),
            author: message.author.clone(),
        }
    }

    pub(super) fn new(message: &InboundMessage) -> Self {
        let poll = match &message.content {
            Content::Poll(poll) => Some(poll.clone()),
            _ => None,
        };
        Self {
            kind: message.content.kind(),
            has_media: matches!(message.content, Content::Media(_)),
            reactions: Map::new(),
            poll,
            from_me: message.from_me,
            chat: message.chat.clone(),
            author: (message.chat.is_group() || message.chat.kind() == ChatKind::Status)
                .then(|| message.sender.clone()),
        }
    }

    /// Whether the sender of a change wrote this message.
    pub(super) fn is_by(&self, change: &InboundMessage) -> bool {
        if self.from_me || change.from_me {
            return self.from_me == change.from_me;
        }
        let lid = change.sender_lid.as_ref();
        let is = |id: &ChatId| *id == change.sender || Some(id) == lid;
        // Without an author it is a chat with one person, or a group message of an unknown one.
        self.author.as_ref().is_none_or(is)
    }

    /// Whether it is of this chat, or of the same person's under their other id.
    pub(super) fn is_in(&self, change: &InboundMessage) -> bool {
        self.chat == change.chat || Some(&self.chat) == change.sender_lid.as_ref()
    }
}

fn poll(value: &Value) -> Option<Poll> {
    let options = value["options"].as_array()?;
    Some(Poll {
        name: value["name"].as_str()?.to_owned(),
        options: options.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        allow_multiple_answers: value["allowMultipleAnswers"].as_bool().unwrap_or_default(),
    })
}
