//! What a person shows of themselves, and whom they block.

use anyhow::Result;
use whatsapp_rust::wacore_binary::Jid;

use super::{Account, ChatState};
use crate::{
    server::{contacts, presence},
    wire::Build,
};

impl Account {
    /// Puts another picture (JPEG) into the profile, or takes it away.
    pub async fn set_picture(&self, picture: Option<Vec<u8>>) -> Result<()> {
        let mut state = self.hub.state();
        contacts::set_picture(&self.hub, &mut state, &self.number, picture)
    }

    /// The picture in the profile.
    pub fn picture(&self) -> Option<Vec<u8>> {
        self.hub.state().account(&self.number).ok()?.picture.clone()
    }

    /// The text under the name.
    pub fn about(&self) -> String {
        let state = self.hub.state();
        state.account(&self.number).map(|account| account.about.clone()).unwrap_or_default()
    }

    /// The name that the account has now; linked devices may have changed it.
    pub fn present_name(&self) -> String {
        let state = self.hub.state();
        state.account(&self.number).map(|account| account.name.clone()).unwrap_or_default()
    }

    /// Blocks somebody on the phone, or lets them in again.
    pub async fn block(&self, other: &Account, block: bool) -> Result<()> {
        let mut state = self.hub.state();
        contacts::block_person(&self.hub, &mut state, &self.key(), other.lid_jid(), block)
    }

    /// Whom this account blocks.
    pub fn blocked(&self) -> Vec<Jid> {
        let state = self.hub.state();
        state.account(&self.number).map(|account| account.blocked.clone()).unwrap_or_default()
    }

    /// How many devices hear of this person's presence now.
    pub fn watchers(&self) -> usize {
        self.hub.state().account(&self.number).map_or(0, |account| account.watchers.len())
    }

    /// This person writes, records, or stops to, in a chat with somebody or in a group.
    pub async fn chat_state_to(&self, to: &Jid, state: ChatState) -> Result<()> {
        let shown = match state {
            ChatState::Composing => Build::new("composing"),
            ChatState::Recording => Build::new("composing").attr("media", "audio"),
            ChatState::Paused => Build::new("paused"),
        };
        let stanza = Build::new("chatstate").attr("to", to).children([shown.build()]).build();
        presence::typing(&self.hub, &self.key(), &stanza.as_node_ref())
    }
}
