//! The stores of the model: events by themselves, and webhooks.

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp, WebhookId,
    delivery::PauseReason,
    port::{Ledger, Page, StoreResult, WebhookStore, Write, WriteOutcome},
    webhook::{Webhook, WebhookStop},
};

use super::ModelStore;

#[async_trait]
impl Ledger for ModelStore {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        let apply = |write| match write {
            Write::Append { event } => WriteOutcome::Applied(vec![self.push(*event).into()]),
            // The model has neither messages nor sessions; their events are recorded all the same.
            Write::InsertMessage { events, .. }
            | Write::ChangeMessage { events, .. }
            | Write::AdvanceMessage { events, .. }
            | Write::NoteReceipt { events, .. }
            | Write::SettleMedia { events, .. }
            | Write::ChangeLabel { events, .. }
            | Write::Group { events, .. }
            | Write::PatchSession { events, .. } => WriteOutcome::Applied(
                events.into_iter().map(|event| self.push(event).into()).collect(),
            ),
            Write::Held { .. }
            | Write::Unheld { .. }
            | Write::LearnIdentity { .. }
            | Write::LearnForm { .. }
            | Write::LearnBlockList { .. }
            | Write::WishAvailable { .. }
            | Write::WatchPresence { .. }
            | Write::LearnContact { .. }
            | Write::MarkChat { .. }
            | Write::NameChat { .. }
            | Write::Batch { .. }
            | Write::Approval(_)
            | Write::ConfirmItem { .. }
            | Write::OpenChange { .. }
            | Write::CloseChange { .. } => WriteOutcome::Unchanged,
        };
        Ok(writes.into_iter().map(apply).collect())
    }

    async fn release_held(&self, _: Timestamp) -> StoreResult<u64> {
        // It holds nothing: every message is there.
        Ok(0)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}

#[async_trait]
impl WebhookStore for ModelStore {
    async fn insert_webhook(&self, webhook: &Webhook, most: u32) -> StoreResult<bool> {
        let mut state = self.lock();
        let count = state.webhooks.values().filter(|one| one.session == webhook.session).count();
        let fits = most == 0 || u32::try_from(count).is_ok_and(|count| count < most);
        if fits {
            state.webhooks.insert(webhook.id, webhook.clone());
        }
        Ok(fits)
    }

    async fn webhook(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        Ok(self.lock().webhooks.get(&id).cloned())
    }

    async fn webhooks(&self, session: Option<SessionId>, page: Page) -> StoreResult<Vec<Webhook>> {
        let state = self.lock();
        let all = state.webhooks.values().rev();
        let wanted = all.filter(|webhook| session.is_none_or(|session| webhook.session == session));
        let (skip, take) = (page.offset as usize, page.limit as usize);
        Ok(wanted.skip(skip).take(take).cloned().collect())
    }

    async fn webhooks_among(&self, sessions: &[SessionId]) -> StoreResult<Vec<Webhook>> {
        let state = self.lock();
        let all = state.webhooks.values().rev();
        Ok(all.filter(|webhook| sessions.contains(&webhook.session)).cloned().collect())
    }

    async fn update_webhook_if_unchanged(
        &self,
        webhook: &Webhook,
        was: Timestamp,
    ) -> StoreResult<bool> {
        let known = self.webhook(webhook.id).await?;
        match known {
            Some(known) if known.updated_at == was => self.update_webhook(webhook).await,
            _ => Ok(false),
        }
    }

    async fn update_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        let mut state = self.lock();
        let Some(stored) = state.webhooks.get_mut(&webhook.id) else { return Ok(false) };
        let (health, last) = (stored.health, stored.last_triggered_at);
        *stored = Webhook { health, last_triggered_at: last, ..webhook.clone() };
        Ok(true)
    }

    async fn pause_webhook(&self, id: WebhookId, at: Timestamp) -> StoreResult<bool> {
        let mut state = self.lock();
        let Some(webhook) = state.webhooks.get_mut(&id) else { return Ok(false) };
        if webhook.health.pause.is_none() {
            webhook.health.pause(at, PauseReason::Requested);
            state.notice_stop(id, WebhookStop::Paused(PauseReason::Requested), at);
        }
        Ok(true)
    }

    async fn resume_webhook(&self, id: WebhookId, now: Timestamp) -> StoreResult<bool> {
        let mut state = self.lock();
        let Some(webhook) = state.webhooks.get_mut(&id) else { return Ok(false) };
        webhook.health.resume(now);
        Ok(true)
    }

    async fn delete_webhook(&self, id: WebhookId) -> StoreResult<bool> {
        let mut state = self.lock();
        state.rows.retain(|_, row| row.webhook != id);
        state.lanes.retain(|_, lane| lane.webhook != id);
        state.holds.remove(&id);
        Ok(state.webhooks.remove(&id).is_some())
    }
}
