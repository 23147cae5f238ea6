//! Labels: what is kept of them, and how the account's devices are told.

use async_trait::async_trait;

use super::{EngineError, Page, StoreResult};
use crate::{
    address::ChatId,
    chat::Chat,
    ids::SessionId,
    label::{Label, LabelChange, LabelId},
};

/// Labels, by a connection of an account.
#[async_trait]
pub trait LabelActions {
    /// Tells all devices of the account of a change.
    async fn change_label(&self, change: &LabelChange) -> Result<(), EngineError>;
}

/// The labels of accounts as their devices told them. Written by [`Ledger::write`](super::Ledger::write).
#[async_trait]
pub trait LabelStore: Send + Sync + 'static {
    /// All labels of an account, by id.
    async fn labels(&self, session: SessionId) -> StoreResult<Vec<Label>>;
    /// One label of the account.
    async fn label(&self, session: SessionId, id: &LabelId) -> StoreResult<Option<Label>>;
    /// The labels of a chat, given by any of its ids.
    async fn labels_of_chat(&self, session: SessionId, chat: &ChatId) -> StoreResult<Vec<Label>>;
    /// The chats that have a label, by id. One of which nothing else is known is an empty chat.
    async fn chats_of_label(
        &self,
        session: SessionId,
        id: &LabelId,
        page: Page,
    ) -> StoreResult<Vec<Chat>>;
}
