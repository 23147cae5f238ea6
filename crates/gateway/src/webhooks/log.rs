//! Reading what became of deliveries.

use domain::{
    DeliveryId, WebhookId,
    delivery::{Attempt, Delivery, LanePage, LaneQuery},
    log::{DeliveryQuery, DeliveryRecord, FailureQuery, Severity},
    port::{Page, StoreResult, Verdict},
    webhook::Webhook,
};
use serde_json::json;

use super::Webhooks;

impl Webhooks {
    /// A webhook by its id alone; whoever asks checks the session.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn find(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        self.ports.store.webhook(id).await
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
        self.ports.store.deliveries(webhook, query, limit).await
    }

    /// Counts a try, and notes a delivery that is given up.
    pub(super) fn count(
        &self,
        webhook: &Webhook,
        delivery: &Delivery,
        attempt: &Attempt,
        verdict: &Verdict,
    ) {
        self.meter.attempt(attempt);
        if *verdict != Verdict::Exhausted {
            return;
        }
        self.meter.exhausted();
        let mut entry = self.audit.entry("webhook_failed", Severity::Error);
        entry.session = Some(webhook.session);
        entry.metadata = json!({ "webhookId": webhook.id, "deliveryId": delivery.id,
            "event": delivery.event.draft.kind.as_str(), "attempts": delivery.attempts + 1 });
        entry.error_message = attempt.error.as_ref().map(|error| error.text.clone());
        self.audit.note(entry);
    }

    /// Lanes in which something waits, those that wait longest first, at most `limit`.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn lanes(&self, query: &LaneQuery, limit: u32) -> StoreResult<LanePage> {
        self.ports.store.lanes(query, self.ports.clock.now(), limit).await
    }

    /// One delivery with every try.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn delivery(&self, id: DeliveryId) -> StoreResult<Option<DeliveryRecord>> {
        self.ports.store.delivery(id).await
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
        self.ports.store.failures(query, page).await
    }
}
