//! What handlers of this process say about deliveries, and what they are told.

use std::{borrow::Cow, sync::Arc, time::Duration};

use domain::{
    DeliveryId, WebhookId,
    delivery::{Attempt, AttemptErrorKind, Delivery},
    event::{Envelope, Event, EventDraft},
    port::Verdict,
};
use serde_json::{Value, json};

use super::Webhooks;
use crate::{
    egress::EgressError,
    hooks::{HookPoint, StopCause},
};

/// Why a delivery does not leave now.
pub(super) enum HeldBack {
    /// A handler decided, or failed at it: that was a try.
    Tried(EgressError),
    /// A handler that has to be asked cannot be: it waits, and nothing was tried.
    Waits(String),
}

impl From<HeldBack> for EgressError {
    fn from(held: HeldBack) -> Self {
        match held {
            HeldBack::Tried(stop) => stop,
            HeldBack::Waits(why) => {
                Self { kind: AttemptErrorKind::Hook, text: format!("not sent: {why}") }
            }
        }
    }
}

impl Webhooks {
    /// Asks `webhook:before` about deliveries that are next in a lane: as many of them, from the first on, as may
    /// leave, with the data as the handlers left it. Without handlers it costs nothing.
    ///
    /// # Errors
    /// The first one does not leave: cancelled, or a handler failed without which nothing may leave.
    pub(super) async fn ask_before<'a>(
        &self,
        deliveries: &'a [Delivery],
    ) -> Result<Cow<'a, [Delivery]>, HeldBack> {
        if !self.asks_before() {
            return Ok(Cow::Borrowed(deliveries));
        }
        let mut leaving = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match self.ask_about(delivery).await {
                Ok(delivery) => leaving.push(delivery),
                // It is asked about again when it is the first.
                Err(_) if !leaving.is_empty() => break,
                Err(stop) => return Err(stop),
            }
        }
        Ok(Cow::Owned(leaving))
    }

    /// Whether anybody is asked before a delivery leaves.
    pub(super) fn asks_before(&self) -> bool {
        self.hooks.listens(HookPoint::WebhookBefore)
    }

    async fn ask_about(&self, delivery: &Delivery) -> Result<Delivery, HeldBack> {
        let draft = &delivery.event.draft;
        let payload = Envelope::of(&delivery.event, delivery.id, &draft.data);
        let data = json!({
            "sessionId": draft.session,
            "event": draft.kind.as_str(),
            "webhookId": delivery.webhook,
            "payload": payload,
        });
        let point = HookPoint::WebhookBefore;
        let mut verdict = self.hooks.ask_usable(point, draft.session, data, usable).await;
        if let Some(why) = verdict.blocked {
            return Err(match verdict.cause {
                StopCause::Absence => HeldBack::Waits(why),
                StopCause::Failure => stopped(AttemptErrorKind::Hook, format!("not sent: {why}")),
                StopCause::Decision => {
                    stopped(AttemptErrorKind::Cancelled, format!("cancelled: {why}"))
                }
            });
        }
        if !verdict.changed {
            return Ok(delivery.clone());
        }
        // Everything else in the envelope says which delivery it is, and stays ours.
        let draft = EventDraft {
            data: verdict.data["payload"]["data"].take().into(),
            idempotency_key: draft.idempotency_key.clone(),
            chat: draft.chat.clone(),
            ..*draft
        };
        let event = Arc::new(Event { draft, sequence: delivery.event.sequence });
        Ok(Delivery { event, ..delivery.clone() })
    }

    /// Counts a result that was recorded, and tells `webhook:delivered` or `webhook:error` of it; never waits.
    pub(super) fn tell_recorded(&self, delivery: &Delivery, attempt: &Attempt, verdict: &Verdict) {
        if *verdict == Verdict::Delivered {
            self.meter.delivered();
        }
        let point = match verdict {
            Verdict::Delivered => HookPoint::WebhookDelivered,
            Verdict::Exhausted | Verdict::Disabled => HookPoint::WebhookError,
            Verdict::RetryAt(_) | Verdict::Dropped => return,
        };
        let after = HookPoint::WebhookAfter;
        if !self.hooks.listens(point) && !self.hooks.listens(after) {
            return;
        }
        let mut data = about(&delivery.event.draft, delivery.webhook, delivery.id);
        data["attempt"] = json!(delivery.attempts + 1);
        match &attempt.error {
            None => {
                data["statusCode"] = json!(attempt.status);
                data["responseTime"] = json!(millis(attempt.duration));
            }
            Some(error) => data["error"] = json!(error.text),
        }
        let session = delivery.event.draft.session;
        self.hooks.notify(point, session, data.clone());
        data["success"] = json!(point == HookPoint::WebhookDelivered);
        self.hooks.notify(after, session, data);
    }

    /// Tells `webhook:queued` of a replay; never waits.
    pub(super) fn tell_replayed(&self, draft: &EventDraft, webhook: WebhookId, id: DeliveryId) {
        self.hooks.notify(HookPoint::WebhookQueued, draft.session, about(draft, webhook, id));
    }
}

/// What every notification says about a delivery.
pub(super) fn about(draft: &EventDraft, webhook: WebhookId, id: DeliveryId) -> Value {
    json!({
        "sessionId": draft.session,
        "event": draft.kind.as_str(),
        "webhookId": webhook,
        "deliveryId": id,
    })
}

fn usable(data: &Value) -> bool {
    data["payload"]["data"].is_object()
}

fn stopped(kind: AttemptErrorKind, text: String) -> HeldBack {
    HeldBack::Tried(EgressError { kind, text })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
