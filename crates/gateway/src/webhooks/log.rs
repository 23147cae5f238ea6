//! Reading what became of deliveries.

use domain::{
    DeliveryId, WebhookId,
    log::{DeliveryQuery, DeliveryRecord, FailureQuery},
    port::{Page, StoreResult},
    webhook::Webhook,
};

use super::Webhooks;

impl Webhooks {
    /// A webhook by its id alone; whoever asks checks the session.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn find(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        self.ports.webhooks.get(id).await
    }

    /// Deliveries of a webhook, newest event first, without excerpts of answers.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn deliveries(
        &self,
        webhook: WebhookId,
        query: &DeliveryQuery,
        limit: u32,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        self.ports.log.deliveries(webhook, query, limit).await
    }

    /// One delivery with every try.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn delivery(&self, id: DeliveryId) -> StoreResult<Option<DeliveryRecord>> {
        self.ports.log.delivery(id).await
    }

    /// Dead letters, newest event first.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn failures(
        &self,
        query: &FailureQuery,
        page: Page,
    ) -> StoreResult<Vec<DeliveryRecord>> {
        self.ports.log.failures(query, page).await
    }
}
