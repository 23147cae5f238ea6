//! What the devices of recipients said of a message of ours, one by one.

use serde::{Deserialize, Serialize};

use crate::{
    address::{ChatId, PhoneNumber},
    message::MessageStatus,
    port::ReceiptKind,
};

/// One answer of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientReceipt {
    /// Who answered, by their canonical id.
    pub recipient: ChatId,
    /// How far the message got.
    pub kind: ReceiptKind,
    /// WhatsApp's time, epoch seconds.
    pub at: i64,
}

impl RecipientReceipt {
    /// The status that it moves the message to.
    pub const fn status(&self) -> MessageStatus {
        match self.kind {
            ReceiptKind::Delivered => MessageStatus::Delivered,
            ReceiptKind::Read | ReceiptKind::Played => MessageStatus::Read,
        }
    }
}

/// What is known of one recipient of a message. Times are WhatsApp's, epoch seconds; each is the first that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientTimes {
    /// The recipient's canonical id.
    pub recipient: ChatId,
    /// Their number, when known.
    pub phone: Option<PhoneNumber>,
    /// Their privacy id, when known.
    pub lid: Option<ChatId>,
    /// When a device of theirs had it.
    pub delivered_at: Option<i64>,
    /// When they saw it.
    pub read_at: Option<i64>,
    /// When they played it.
    pub played_at: Option<i64>,
}
