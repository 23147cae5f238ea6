//! Event types and subscriptions to them.

use serde::{Deserialize, Serialize};

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// The events a webhook can subscribe to, in OpenWA's words; those about webhooks are an addition.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $($(#[$doc])* #[doc = concat!("`", $name, "`")] $variant),+
        }

        impl EventType {
            /// Every event type, as documented.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name of the event in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

event_types! {
    MessageReceived = "message.received",
    MessageSent = "message.sent",
    MessageAck = "message.ack",
    MessageFailed = "message.failed",
    MessageRevoked = "message.revoked",
    MessageReaction = "message.reaction",
    MessageEdited = "message.edited",
    /// An addition to OpenWA: it cannot be read yet; the readable one follows as `message.received` with the same id.
    MessageUndecryptable = "message.undecryptable",
    /// An addition to OpenWA: the file of a message is there, or will not come.
    MessageMedia = "message.media",
    /// Somebody answered a poll.
    PollVote = "poll.vote",
    /// Somebody answered the invitation to an event. OpenWA's; the engine does not report it, so it is never sent.
    EventResponse = "event.response",
    /// One recipient's receipt of a message to a group or a status. Only for those that name it.
    MessageReceipt = "message.receipt",
    StatusReceived = "status.received",
    SessionStatus = "session.status",
    SessionQr = "session.qr",
    SessionAuthenticated = "session.authenticated",
    SessionDisconnected = "session.disconnected",
    SessionReconnectLoop = "session.reconnect_loop",
    SessionRestriction = "session.restriction",
    /// An addition to OpenWA: an account asks for its passkey while a device is linked, and how that goes on.
    SessionPasskey = "session.passkey",
    PresenceUpdate = "presence.update",
    /// An addition to OpenWA: the number behind a privacy id became known.
    ContactResolved = "contact.resolved",
    GroupJoin = "group.join",
    GroupLeave = "group.leave",
    GroupUpdate = "group.update",
    GroupJoinRequest = "group.join_request",
    CallReceived = "call.received",
    CallAccepted = "call.accepted",
    CallRejected = "call.rejected",
    CallMissed = "call.missed",
    /// An addition to OpenWA: a label is new, or has another name or colour.
    LabelUpsert = "label.upsert",
    /// An addition to OpenWA: a label is gone.
    LabelDeleted = "label.deleted",
    /// An addition to OpenWA: a chat has a label.
    LabelChatAdded = "label.chat.added",
    /// An addition to OpenWA: a chat no longer has a label.
    LabelChatDeleted = "label.chat.deleted",
    WebhookPaused = "webhook.paused",
    WebhookDisabled = "webhook.disabled",
    /// An addition to OpenWA: the first message of a batch was handed over.
    BatchStarted = "batch.started",
    /// An addition to OpenWA: a batch got further; at most every few seconds.
    BatchProgress = "batch.progress",
    /// An addition to OpenWA: every item of a batch has its outcome.
    BatchCompleted = "batch.completed",
    /// An addition to OpenWA: a batch was stopped by an error, or nothing of it could be sent.
    BatchFailed = "batch.failed",
    /// An addition to OpenWA: a batch was ended by its user.
    BatchCancelled = "batch.cancelled",
    /// An addition to OpenWA: a batch does not send for a while, or until its user resumes it.
    BatchPaused = "batch.paused",
    /// An addition to OpenWA: a plugin failed again and again, and is not asked for a while.
    PluginSuspended = "plugin.suspended",
    /// An addition to OpenWA: a plugin that was suspended works again.
    PluginResumed = "plugin.resumed",
    /// An addition to OpenWA: what an agent wants to send waits for a person.
    ApprovalHeld = "approval.held",
    /// An addition to OpenWA: a person let it go.
    ApprovalReleased = "approval.released",
    /// An addition to OpenWA: it never goes out.
    ApprovalRefused = "approval.refused",
}

/// What votes were called before OpenWA had a word for them; rows and webhooks of that time still say it.
const OLD_POLL_VOTE: &str = "message.poll_vote";

impl EventType {
    /// Reads the wire word, or the one that poll votes had before version 0.2.
    pub fn parse(text: &str) -> Option<Self> {
        if text == OLD_POLL_VOTE {
            return Some(Self::PollVote);
        }
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// Whether its data link a phone, or help to: not for those who may only read.
    pub const fn links_a_phone(self) -> bool {
        matches!(self, Self::SessionQr | Self::SessionPasskey)
    }

    /// Whether the data of this event carries message fields that filters can test.
    pub fn is_message(self) -> bool {
        self.as_str().starts_with("message.") || self == Self::PollVote
    }
}

/// Subscription to events by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Subscription {
    /// `*`: events of every type.
    All,
    /// Events of one type.
    One(EventType),
}

/// Not an event name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event {0}")]
pub struct UnknownEvent(pub String);

impl Subscription {
    /// Whether it covers an event type.
    pub fn covers(&self, kind: EventType) -> bool {
        match self {
            // As many of them come as a group has members: nobody gets them unasked.
            Self::All => kind != EventType::MessageReceipt,
            Self::One(one) => *one == kind,
        }
    }
}

impl From<Subscription> for String {
    fn from(subscription: Subscription) -> Self {
        match subscription {
            Subscription::All => "*".into(),
            Subscription::One(kind) => kind.as_str().into(),
        }
    }
}

impl TryFrom<String> for Subscription {
    type Error = UnknownEvent;

    fn try_from(text: String) -> Result<Self, UnknownEvent> {
        if text == "*" {
            return Ok(Self::All);
        }
        EventType::parse(&text).map(Self::One).ok_or(UnknownEvent(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        assert_eq!(EventType::ALL.len(), 47);
        for kind in EventType::ALL {
            assert_eq!(EventType::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(EventType::parse("*"), None);
        assert_eq!(EventType::parse("message.poll_vote"), Some(EventType::PollVote));
        assert!(!Subscription::All.covers(EventType::MessageReceipt));
        assert!(Subscription::All.covers(EventType::PollVote));
        assert!(Subscription::try_from("message.recieved".to_owned()).is_err());
    }
}
