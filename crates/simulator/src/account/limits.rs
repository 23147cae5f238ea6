//! What WhatsApp limits for this account and asks of its devices, set by a test.

use anyhow::Result;

use super::Account;
use crate::limits::{self, NewChats, Timelock};

impl Account {
    /// WhatsApp locks first messages to strangers, or lifts the lock. The account's devices are told.
    pub fn set_timelock(&self, timelock: Option<Timelock>) -> Result<()> {
        limits::set_timelock(&self.hub, &self.number, timelock)
    }

    /// Whether a client that is linked has to show the account's passkey.
    pub fn ask_for_passkey(&self, wanted: bool) {
        self.hub.passkeys.set(&self.number, wanted);
    }

    /// The code that the phone shows while a client links with a passkey.
    pub fn passkey_code(&self) -> Option<String> {
        self.hub.passkeys.code(&self.number)
    }

    /// WhatsApp counts the new chats of this account, or stops to. The account's devices are told.
    pub fn set_new_chats(&self, new_chats: Option<NewChats>) -> Result<()> {
        limits::set_new_chats(&self.hub, &self.number, new_chats)
    }
}
