//! Where plugins may look at what goes on, change it, or stop it.

use std::fmt;

macro_rules! hook_points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// A place where handlers are asked. What stands behind each name is the data that a handler sees.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum HookPoint {
            $($(#[$doc])* $variant),+
        }

        impl HookPoint {
            /// Every point, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name of the point, as OpenWA writes it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

hook_points! {
    /// A session was made: `{ sessionId, name }`.
    SessionCreated = "session:created",
    /// Its task begins to connect: `{ sessionId }`.
    SessionStarting = "session:starting",
    /// It is linked and connected: `{ sessionId, phone, pushName }`.
    SessionReady = "session:ready",
    /// A QR code waits to be scanned: `{ sessionId, qr }`.
    SessionQr = "session:qr",
    /// The connection ended: `{ sessionId, reason }`.
    SessionDisconnected = "session:disconnected",
    /// It failed, or a person has to act: `{ sessionId, error }`.
    SessionError = "session:error",
    /// It is gone, with everything filed under it: `{ sessionId }`.
    SessionDeleted = "session:deleted",
    /// A message came in: what `message.received` says.
    MessageReceived = "message:received",
    /// Before anything of a send happens: `{ sessionId, input, type }`.
    MessageSending = "message:sending",
    /// WhatsApp's server took it: what `message.sent` says.
    MessageSent = "message:sent",
    /// It was refused, or could not be sent: `{ sessionId, error, input, type }`.
    MessageFailed = "message:failed",
    /// A message moved on: `{ sessionId, messageId, status, chatId? }`.
    MessageAck = "message:ack",
    /// A row was stored or changed: `{ sessionId, message }`.
    MessagePersisted = "message:persisted",
    /// A row was removed: `{ sessionId, message }`.
    MessageDeleted = "message:deleted",
    /// Before every try of a delivery: `{ sessionId, event, webhookId, payload }`; `payload.data` may be changed.
    WebhookBefore = "webhook:before",
    /// A delivery was stored: `{ sessionId, event, webhookId, deliveryId }`.
    WebhookQueued = "webhook:queued",
    /// A 2xx was recorded: `{ sessionId, event, webhookId, deliveryId, statusCode, responseTime, attempt }`.
    WebhookDelivered = "webhook:delivered",
    /// A delivery has ended, well or not: as `webhook:delivered` or `webhook:error`, with `success`.
    WebhookAfter = "webhook:after",
    /// The last try failed: `{ sessionId, event, webhookId, deliveryId, error, attempt }`.
    WebhookError = "webhook:error",
    /// A call that a provider sent could not be handled: `{ pluginId, instanceId, route, deliveryId, error }`.
    IngressError = "ingress:error",
}

impl HookPoint {
    /// Reads the name of a point.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.as_str() == text)
    }

    /// The part of the gateway that asks, as OpenWA names it in a handler's `source`.
    pub const fn source(self) -> &'static str {
        match self {
            Self::MessageSending | Self::MessageFailed => "Api",
            Self::WebhookBefore
            | Self::WebhookQueued
            | Self::WebhookDelivered
            | Self::WebhookAfter
            | Self::WebhookError => "Webhooks",
            Self::IngressError => "Ingress",
            _ => "Engine",
        }
    }

    /// Whether a handler can stop what it is asked about. Everywhere else, stopping only keeps the handlers behind it
    /// from being asked.
    pub const fn can_veto(self) -> bool {
        matches!(self, Self::MessageSending | Self::WebhookBefore)
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the failure of a handler means: an error, a crash, its limit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Nothing: the call goes on without the handler.
    #[default]
    Open,
    /// What it was asked about is blocked: a send is refused, a delivery waits and is tried again.
    Closed,
}

impl OnFailure {
    /// The word in manifests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Closed].into_iter().find(|mode| mode.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_only_two_points_can_veto() {
        for point in HookPoint::ALL {
            assert_eq!(HookPoint::parse(point.as_str()), Some(*point));
        }
        assert_eq!(HookPoint::parse("message:unknown"), None);
        let vetoes: Vec<_> = HookPoint::ALL.iter().filter(|point| point.can_veto()).collect();
        assert_eq!(vetoes, [&HookPoint::MessageSending, &HookPoint::WebhookBefore]);
        assert_eq!(OnFailure::parse("closed"), Some(OnFailure::Closed));
    }
}
