//! What a person marks on the phone: the account's linked devices hear of it through the shared app state.

use anyhow::Result;
use whatsapp_rust::{
    buffa::MessageField,
    wacore::{
        appstate::schemas::{self, Schema},
        time,
    },
    wacore_binary::Jid,
    waproto::whatsapp::{
        SyncActionValue,
        sync_action_value::{
            ArchiveChatAction, ContactAction, DeleteChatAction, MarkChatAsReadAction, MuteAction,
            PinAction,
        },
        syncd_mutation::SyncdOperation,
    },
};

use super::Account;
use crate::{app_state, server::settings};

impl Account {
    /// Puts a chat away, or back.
    pub async fn archive_chat(&self, chat: &Jid, archived: bool) -> Result<()> {
        let archive_chat_action = MessageField::some(ArchiveChatAction {
            archived: Some(archived),
            ..Default::default()
        });
        let value = SyncActionValue { archive_chat_action, ..Default::default() };
        self.mark(&schemas::ARCHIVE, &["archive", &chat.to_string()], value)
    }

    /// Puts a chat on top of the list, or not.
    pub async fn pin_chat(&self, chat: &Jid, pinned: bool) -> Result<()> {
        let pin_action = MessageField::some(PinAction { pinned: Some(pinned) });
        let value = SyncActionValue { pin_action, ..Default::default() };
        self.mark(&schemas::PIN, &["pin_v1", &chat.to_string()], value)
    }

    /// Silences a chat until a time in epoch milliseconds, -1 for ever, `None` not any more.
    pub async fn mute_chat(&self, chat: &Jid, until: Option<i64>) -> Result<()> {
        let mute_action = MessageField::some(MuteAction {
            muted: Some(until.is_some()),
            mute_end_timestamp: Some(until.unwrap_or(0)),
            ..Default::default()
        });
        let value = SyncActionValue { mute_action, ..Default::default() };
        self.mark(&schemas::MUTE, &["mute", &chat.to_string()], value)
    }

    /// Marks a chat as read, or as unread.
    pub async fn mark_chat_read(&self, chat: &Jid, read: bool) -> Result<()> {
        let mark_chat_as_read_action =
            MessageField::some(MarkChatAsReadAction { read: Some(read), ..Default::default() });
        let value = SyncActionValue { mark_chat_as_read_action, ..Default::default() };
        self.mark(&schemas::MARK_CHAT_AS_READ, &["markChatAsRead", &chat.to_string()], value)
    }

    /// Deletes a chat from the list.
    pub async fn delete_chat(&self, chat: &Jid) -> Result<()> {
        let delete_chat_action = MessageField::some(DeleteChatAction::default());
        let value = SyncActionValue { delete_chat_action, ..Default::default() };
        self.mark(&schemas::DELETE_CHAT, &["deleteChat", &chat.to_string(), "1"], value)
    }

    /// Saves somebody in the address book.
    pub async fn save_contact(&self, phone: &str, name: &str) -> Result<()> {
        let contact_action = MessageField::some(ContactAction {
            full_name: Some(name.to_owned()),
            ..Default::default()
        });
        let value = SyncActionValue { contact_action, ..Default::default() };
        self.mark(&schemas::CONTACT, &["contact", &Jid::pn(phone).to_string()], value)
    }

    /// Takes somebody out of the address book.
    pub async fn remove_contact(&self, phone: &str) -> Result<()> {
        let contact_action = MessageField::some(ContactAction::default());
        let value = SyncActionValue { contact_action, ..Default::default() };
        let index = ["contact", &Jid::pn(phone).to_string()];
        self.change(&schemas::CONTACT, SyncdOperation::REMOVE, &index, value)
    }

    pub(super) fn mark(
        &self,
        schema: &Schema,
        index: &[&str],
        value: SyncActionValue,
    ) -> Result<()> {
        self.change(schema, SyncdOperation::SET, index, value)
    }

    fn change(
        &self,
        schema: &Schema,
        operation: SyncdOperation,
        index: &[&str],
        mut value: SyncActionValue,
    ) -> Result<()> {
        value.timestamp = Some(time::now_millis());
        let collection = app_state::collection_name(schema);
        let version = i32::try_from(schema.version)?;
        let mut state = self.hub.state();
        settings::mark_from_phone(&self.hub, &mut state, &self.key(), collection, |key, known| {
            let change = app_state::PhoneChange { operation, index, value: &value, version };
            app_state::write(key, collection, known, &change)
        })
    }
}
