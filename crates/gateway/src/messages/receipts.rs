//! Who received, read and played a message of ours.

use domain::{ChatId, SessionId, WaMessageId, message::Direction, receipt::RecipientTimes};

use super::{Messages, SendError};

impl Messages {
    /// What the recipients of a message of ours said, by their ids. The ledger answers: no connection is needed.
    ///
    /// # Errors
    /// [`SendError::MessageNotFound`], [`SendError::NotPossible`] for a message of somebody else.
    pub async fn receipts(
        &self,
        session: SessionId,
        chat: &ChatId,
        id: &WaMessageId,
    ) -> Result<Vec<RecipientTimes>, SendError> {
        let message = self.stored(session, chat, id).await?;
        if message.direction != Direction::Outgoing {
            return Err(SendError::NotPossible("Only messages of this account have receipts"));
        }
        self.shared.ports.store.receipts(session, id).await.map_err(SendError::Store)
    }
}
