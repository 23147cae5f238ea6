//! News of people: who is blocked, whose picture changed, which numbers are behind privacy ids.

use domain::{
    chat::Identity,
    port::{EngineSignal, PeopleSignal},
};
use whatsapp_rust::{Jid, traits::ProtocolStore as _, wacore_binary::NodeRef};

use super::EventPump;
use crate::{contacts, pairs, people};

impl EventPump {
    /// Asks once per login, and when another device changed it: what changed is not said.
    pub(super) fn learn_block_list(&self) {
        let (client, side_signals) = (self.client.clone(), self.side_signals.clone());
        self.tasks.start(async move {
            match Box::pin(contacts::block_list(&client)).await {
                Ok(list) => side_signals.say(EngineSignal::People(PeopleSignal::BlockList(list))),
                Err(error) => tracing::debug!(%error, "the block list was not read"),
            }
        });
    }

    /// A person or a group has another picture, or none any more.
    pub(super) async fn pictured(&self, jid: &Jid) {
        let id = people::canonical(&self.client, jid, None).await;
        self.tell_if(id.map(|id| EngineSignal::People(PeopleSignal::Picture(id)))).await;
    }

    /// Numbers behind privacy ids were stored. If there were too many at once, all that are known are told.
    pub(super) async fn learned(&self, pairs: Vec<Identity>) {
        self.tell_pairs(pairs).await;
        let backend = &self.inbound.backend;
        if !backend.pairs().take_missed() {
            return;
        }
        match backend.get_all_lid_mappings().await {
            Ok(all) => {
                for portion in pairs::portions(&all) {
                    self.tell_pairs(portion).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the numbers behind privacy ids were not read"),
        }
    }

    async fn tell_pairs(&self, mut pairs: Vec<Identity>) {
        let own = people::own(&self.client);
        pairs.retain(|pair| Some(&pair.phone) != own.phone.as_ref());
        if !pairs.is_empty() {
            self.signal(EngineSignal::People(PeopleSignal::Identities(pairs))).await;
        }
    }
}

/// Whether a stanza says that another device of the account blocked somebody, or let somebody in again.
pub(crate) fn changes_block_list(stanza: &NodeRef<'_>) -> bool {
    stanza.tag == "notification"
        && stanza.get_attr("type").is_some_and(|kind| kind.as_str() == "account_sync")
        && stanza.get_optional_child("blocklist").is_some()
}
