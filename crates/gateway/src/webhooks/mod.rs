//! Webhooks: registration here, delivery in [`dispatcher`] and [`lane`].
//!
//! # The cast
//! - A webhook is a row; its deliveries exist from the commit of their event on.
//! - The *dispatcher* claims lanes that are due, as many as there are free places.
//! - A *lane run* sends the deliveries of one claimed lane, one after another, and records each result before the next.
//!
//! # Guarantees
//! A delivery leaves at least once, with the same ids and the same body on every try. Within a lane nothing leaves before
//! the one in front of it is settled. A lane run that dies loses its lease, and another goes on where it stopped.

mod check;
mod dispatcher;
mod lane;
mod log;
mod replay;
mod request;

use std::{sync::Arc, time::Duration};

use domain::{
    DeliveryId, SessionId, WebhookId,
    event::{Envelope, Subscription},
    filter::{Filters, InvalidFilter},
    port::{Page, StoreError},
    webhook::{LaneOrder, Secret, Webhook},
};
use serde_json::json;
use tokio::sync::Notify;

pub use replay::{RedriveError, Redriven, Replayed};

use crate::{
    Audit, Ports, Supervisor,
    egress::{Egress, EgressBuildError, EgressPolicy},
    metrics::Meter,
};

/// How webhooks are delivered.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The limit of one attempt.
    pub timeout: Duration,
    /// The wait before the first retry; doubles with each.
    pub retry_delay: Duration,
    /// Webhooks of one session; 0 means no cap.
    pub max_per_session: u32,
    /// Lanes delivered at once.
    pub concurrency: usize,
    /// Refuse private and special addresses.
    pub ssrf_protect: bool,
    /// Hosts exempt from that.
    pub allowed_hosts: Vec<String>,
    /// How long a claim lasts without a renewal; more than the time-out.
    pub lease: Duration,
    /// Longest time between two looks for due lanes.
    pub sweep_interval: Duration,
    /// A longer body goes out in its thin form, bytes.
    pub payload_bytes_max: usize,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            retry_delay: Duration::from_secs(5),
            max_per_session: 16,
            concurrency: 16,
            ssrf_protect: true,
            allowed_hosts: vec![],
            lease: Duration::from_secs(40),
            sweep_interval: Duration::from_secs(5),
            payload_bytes_max: 1024 * 1024,
        }
    }
}

/// A webhook to register.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of Webhook")]
pub struct NewWebhook {
    pub url: String,
    pub events: Vec<Subscription>,
    pub secret: Option<Secret>,
    pub headers: Vec<(String, String)>,
    pub filters: Option<Filters>,
    pub retry_count: u8,
    pub order: LaneOrder,
}

/// Fields to change; `None` keeps, `Some(None)` clears.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of Webhook")]
pub struct WebhookPatch {
    pub url: Option<String>,
    pub events: Option<Vec<Subscription>>,
    pub secret: Option<Option<Secret>>,
    pub headers: Option<Vec<(String, String)>>,
    pub filters: Option<Option<Filters>>,
    pub retry_count: Option<u8>,
    pub active: Option<bool>,
    pub order: Option<LaneOrder>,
}

/// What a test call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// 2xx.
    pub success: bool,
    /// What the receiver answered.
    pub status_code: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Why something was not done to a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Unknown session.
    #[error("no such session")]
    SessionNotFound,
    /// Unknown webhook.
    #[error("no such webhook")]
    NotFound,
    /// The session has this many already.
    #[error("a session may have at most {0} webhooks")]
    TooMany(u32),
    /// The URL, with the sentence for the user.
    #[error("{0}")]
    Url(&'static str),
    /// The headers, with the sentence for the user.
    #[error("{0}")]
    Headers(String),
    /// The filters.
    #[error(transparent)]
    Filters(#[from] InvalidFilter),
    /// The events, with the sentence for the user.
    #[error("{0}")]
    Events(&'static str),
    /// The secret, with the sentence for the user.
    #[error("{0}")]
    Secret(&'static str),
    /// The retry count.
    #[error("retryCount must not be greater than 5")]
    RetryCount,
    /// The ledger.
    #[error("the ledger failed while handling a webhook")]
    Store(#[source] StoreError),
}

/// A handle to the webhooks.
#[derive(Clone)]
pub struct Webhooks {
    ports: Ports,
    options: Arc<WebhookOptions>,
    egress: Egress,
    wake: Arc<Notify>,
    turns: replay::Turns,
    meter: Meter,
    audit: Audit,
}

impl Webhooks {
    /// Builds the outgoing client and starts the dispatcher.
    ///
    /// # Errors
    /// [`EgressBuildError`].
    pub fn build(
        options: WebhookOptions,
        ports: &Ports,
        audit: &Audit,
        supervisor: &Supervisor,
    ) -> Result<Self, EgressBuildError> {
        let policy = EgressPolicy {
            protect: options.ssrf_protect,
            allowed_hosts: options.allowed_hosts.clone(),
        };
        let webhooks = Self {
            ports: ports.clone(),
            options: Arc::new(options),
            egress: Egress::new(policy)?,
            wake: Arc::default(),
            turns: replay::Turns::new(supervisor),
            meter: Meter::default(),
            audit: audit.clone(),
        };
        dispatcher::start(&webhooks, supervisor);
        Ok(webhooks)
    }

    /// Counts what the workers do.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Deliveries were stored: the dispatcher looks now. A lost wake-up costs at most one sweep.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    async fn session_exists(&self, session: SessionId) -> Result<(), WebhookError> {
        let found = self.ports.sessions.get(session).await.map_err(WebhookError::Store)?;
        found.map(|_| ()).ok_or(WebhookError::SessionNotFound)
    }

    /// Registers a webhook, fully checked first.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn create(
        &self,
        session: SessionId,
        new: NewWebhook,
    ) -> Result<Webhook, WebhookError> {
        self.session_exists(session).await?;
        let now = self.ports.clock.now();
        let webhook = Webhook {
            id: WebhookId::new(&*self.ports.entropy),
            session,
            url: new.url,
            events: new.events,
            filters: new.filters.filter(|filters| !filters.conditions.is_empty()),
            headers: new.headers,
            secret: new.secret,
            active: true,
            retry_count: new.retry_count,
            order: new.order,
            last_triggered_at: None,
            created_at: now,
            updated_at: now,
        };
        check::url(&webhook.url, &self.egress)?;
        check::rest(&webhook)?;
        let most = self.options.max_per_session;
        let stored =
            self.ports.webhooks.insert(&webhook, most).await.map_err(WebhookError::Store)?;
        if stored { Ok(webhook) } else { Err(WebhookError::TooMany(most)) }
    }

    /// Of one session, or of all; newest first.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn list(
        &self,
        session: Option<SessionId>,
        page: Page,
    ) -> Result<Vec<Webhook>, WebhookError> {
        if let Some(session) = session {
            self.session_exists(session).await?;
        }
        self.ports.webhooks.list(session, page).await.map_err(WebhookError::Store)
    }

    /// One webhook of a session.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn get(&self, session: SessionId, id: WebhookId) -> Result<Webhook, WebhookError> {
        self.session_exists(session).await?;
        let found = self.ports.webhooks.get(id).await.map_err(WebhookError::Store)?;
        found.filter(|webhook| webhook.session == session).ok_or(WebhookError::NotFound)
    }

    /// Changes a webhook; what waits for it leaves by the new settings.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn update(
        &self,
        session: SessionId,
        id: WebhookId,
        patch: WebhookPatch,
    ) -> Result<Webhook, WebhookError> {
        let old = self.get(session, id).await?;
        let webhook = Webhook {
            url: patch.url.unwrap_or_else(|| old.url.clone()),
            events: patch.events.unwrap_or_else(|| old.events.clone()),
            secret: patch.secret.unwrap_or_else(|| old.secret.clone()),
            headers: patch.headers.unwrap_or_else(|| old.headers.clone()),
            filters: patch
                .filters
                .unwrap_or_else(|| old.filters.clone())
                .filter(|filters| !filters.conditions.is_empty()),
            retry_count: patch.retry_count.unwrap_or(old.retry_count),
            active: patch.active.unwrap_or(old.active),
            order: patch.order.unwrap_or(old.order),
            updated_at: self.ports.clock.now(),
            ..old.clone()
        };
        if webhook.url != old.url {
            check::url(&webhook.url, &self.egress)?;
        }
        check::rest(&webhook)?;
        let stored = self.ports.webhooks.update(&webhook).await.map_err(WebhookError::Store)?;
        self.wake();
        if stored { Ok(webhook) } else { Err(WebhookError::NotFound) }
    }

    /// Deletes a webhook with what waits for it.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn delete(&self, session: SessionId, id: WebhookId) -> Result<(), WebhookError> {
        self.get(session, id).await?;
        let deleted = self.ports.webhooks.delete(id).await.map_err(WebhookError::Store)?;
        if deleted { Ok(()) } else { Err(WebhookError::NotFound) }
    }

    /// Sends one `test` event now; a failed call is an answer, not an error.
    ///
    /// # Errors
    /// [`WebhookError::SessionNotFound`], [`WebhookError::NotFound`], [`WebhookError::Store`].
    pub async fn test(&self, session: SessionId, id: WebhookId) -> Result<Ping, WebhookError> {
        let webhook = self.get(session, id).await?;
        let delivery = DeliveryId::ping(&*self.ports.entropy);
        let now = self.ports.clock.now();
        let key = format!("test_{delivery}_{id}");
        let data = json!({
            "message": "This is a test from Waypost",
            "webhookId": id,
            "url": webhook.url,
        });
        let body = Envelope {
            event: "test",
            timestamp: now.iso(),
            session_id: session.to_string(),
            idempotency_key: &key,
            delivery_id: delivery.to_string(),
            data: &data,
            sequence: None,
        };
        let call = request::Call {
            event: "test",
            key: &key,
            delivery,
            message_id: delivery.to_string(),
            retries: 0,
            at: now,
            body: body.to_bytes(),
        };
        let answer = request::send(&self.egress, &webhook, call, self.options.timeout).await;
        Ok(match answer {
            Ok(answer) => {
                let success = (200..300).contains(&answer.status);
                let error = (!success).then(|| format!("HTTP {}", answer.status));
                Ping { success, status_code: Some(answer.status), error }
            }
            Err(error) => Ping { success: false, status_code: None, error: Some(error.text) },
        })
    }
}
