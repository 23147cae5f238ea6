//! `webhook:queued`: handlers are told which deliveries were stored.
//!
//! A reader of the event log behind the commits, from about the registration of the first handler on: no commit waits
//! for a handler, and nothing is kept but one page. Handlers that fall too far behind miss the oldest, which is said
//! in the log; they are no promise. Without a handler nothing is read.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use domain::{
    DeliveryId, SessionId, Timer, WebhookId,
    log::LoggedEvent,
    port::{Page, StoreResult},
};
use tokio_util::sync::CancellationToken;

use super::{Webhooks, handlers};
use crate::{Policy, Supervisor, hooks::HookPoint};

const POINT: HookPoint = HookPoint::WebhookQueued;
/// Events read at once.
const PAGE: u32 = 64;
/// Handlers that are so many events behind miss the oldest.
const BEHIND_MAX: u64 = 10_000;
/// Longest time between two looks at the log, and the wait after a failed one.
const SWEEP: Duration = Duration::from_secs(1);
/// Webhooks of a session that are looked at.
const WEBHOOKS_MAX: u32 = 1_000;
pub(super) fn start(webhooks: &Webhooks, supervisor: &Supervisor) {
    let reader = QueuedReader { webhooks: webhooks.clone(), stopping: supervisor.stopping() };
    supervisor.spawn("webhooks/queued", Policy::Essential, reader.run());
}

struct QueuedReader {
    webhooks: Webhooks,
    stopping: CancellationToken,
}

impl QueuedReader {
    async fn run(self) {
        while !self.stopping.is_cancelled() {
            tokio::select! {
                () = self.webhooks.hooks.has_listener(POINT) => {}
                () = self.stopping.cancelled() => return,
            }
            if let Err(error) = self.follow().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "stored deliveries could not be read for the handlers"
                );
                self.rest().await;
            }
        }
    }

    /// Until nobody listens any more.
    async fn follow(&self) -> StoreResult<()> {
        let log = &self.webhooks.ports.store;
        let mut after = log.log_bounds().await?.last;
        while self.webhooks.hooks.listens(POINT) && !self.stopping.is_cancelled() {
            let page = log.read_events(after, None, PAGE).await?;
            let Some(last) = page.last().map(|logged| logged.position) else {
                self.rest().await;
                continue;
            };
            self.tell_all(&page).await?;
            after = last;
            let end = log.log_bounds().await?.last;
            if end.saturating_sub(after) > BEHIND_MAX {
                let missed = end - after;
                tracing::warn!(hook = POINT.as_str(), missed, "handlers are too slow");
                after = end;
            }
        }
        Ok(())
    }

    /// Waits for a commit.
    async fn rest(&self) {
        let clock = &self.webhooks.ports.clock;
        tokio::select! {
            () = self.webhooks.stored.notified() => {}
            () = clock.sleep_until(Timer::QueuedLog, clock.now().plus(SWEEP)) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    async fn tell_all(&self, page: &[LoggedEvent]) -> StoreResult<()> {
        let mut known: HashMap<SessionId, Vec<WebhookId>> = HashMap::new();
        for logged in page {
            let draft = &logged.event.draft;
            let receivers = match known.entry(draft.session) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.receivers(draft.session).await?),
            };
            for webhook in receivers {
                let id = DeliveryId::of(draft.id, *webhook);
                // What was stored is asked, not what the webhooks want by now.
                if self.webhooks.ports.store.delivery(id).await?.is_none() {
                    continue;
                }
                if self.stopping.is_cancelled() {
                    return Ok(());
                }
                let data = handlers::about(draft, *webhook, id);
                let _ = self.webhooks.hooks.ask(POINT, draft.session, data).await;
            }
        }
        Ok(())
    }

    async fn receivers(&self, session: SessionId) -> StoreResult<Vec<WebhookId>> {
        let page = Page { limit: WEBHOOKS_MAX, offset: 0 };
        let webhooks = self.webhooks.ports.store.webhooks(Some(session), page).await?;
        Ok(webhooks.into_iter().map(|webhook| webhook.id).collect())
    }
}
