//! Labels that a person makes on the phone, and the business that they are.

use anyhow::Result;
use whatsapp_rust::{
    buffa::MessageField,
    wacore::appstate::schemas,
    wacore_binary::Jid,
    waproto::whatsapp::{
        SyncActionValue,
        sync_action_value::{LabelAssociationAction, LabelEditAction},
    },
};

use super::Account;
use crate::server::business::Business;

impl Account {
    /// Makes a label, or gives it another name or colour.
    pub async fn put_label(&self, id: &str, name: &str, colour: i32) -> Result<()> {
        let label_edit_action = MessageField::some(LabelEditAction {
            name: Some(name.to_owned()),
            color: Some(colour),
            deleted: Some(false),
            ..Default::default()
        });
        let value = SyncActionValue { label_edit_action, ..Default::default() };
        self.mark(&schemas::LABEL_EDIT, &["label_edit", id], value)
    }

    /// Deletes a label.
    pub async fn delete_label(&self, id: &str) -> Result<()> {
        let label_edit_action =
            MessageField::some(LabelEditAction { deleted: Some(true), ..Default::default() });
        let value = SyncActionValue { label_edit_action, ..Default::default() };
        self.mark(&schemas::LABEL_EDIT, &["label_edit", id], value)
    }

    /// Puts a label on a chat, or takes it off.
    pub async fn label_chat(&self, id: &str, chat: &Jid, labelled: bool) -> Result<()> {
        let label_association_action = MessageField::some(LabelAssociationAction {
            labeled: Some(labelled),
            ..Default::default()
        });
        let value = SyncActionValue { label_association_action, ..Default::default() };
        self.mark(&schemas::LABEL_JID, &["label_jid", id, &chat.to_string()], value)
    }

    /// This account is a business from now on.
    pub fn become_business(&self, business: Business) {
        self.hub.state().businesses.insert(self.number.clone(), business);
    }
}
