//! Registering receivers and changing them.

use std::time::Duration;

use domain::{
    SessionId, WebhookId,
    delivery::{Health, InvalidPolicy, PolicyChoice, SignatureScheme},
    event::Subscription,
    filter::{Filters, InvalidFilter},
    port::{Page, StoreError, StoreErrorKind},
    signature,
    webhook::{LaneOrder, Secret, Webhook},
};

use url::{Origin, Url};

use super::{Webhooks, check};

/// Tries of a change, while others change the same webhook.
const CHANGES_MAX: u32 = 8;

/// A webhook to register.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of Webhook")]
pub struct NewWebhook {
    pub url: String,
    pub events: Vec<Subscription>,
    pub secret: Option<Secret>,
    pub headers: Vec<(String, String)>,
    pub filters: Option<Filters>,
    pub retry_count: Option<u8>,
    pub policy: PolicyChoice,
    pub tls_ca: Option<String>,
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
    /// Replaces the whole choice.
    pub policy: Option<PolicyChoice>,
    pub tls_ca: Option<Option<String>>,
    pub active: Option<bool>,
    pub order: Option<LaneOrder>,
}

/// Why something was not done to a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is no session of this id.
    #[error("no session {0}")]
    SessionNotFound(SessionId),
    /// There is no webhook of this id.
    #[error("no webhook {0}")]
    NotFound(WebhookId),
    /// The session has this many already.
    #[error("a session may have at most {0} webhooks")]
    TooMany(u32),
    /// The URL, with the sentence for the user.
    #[error("{0}")]
    Url(String),
    /// The headers, with the sentence for the user.
    #[error("{0}")]
    Headers(String),
    /// The filters cannot be kept.
    #[error(transparent)]
    Filters(#[from] InvalidFilter),
    /// The events, with the sentence for the user.
    #[error("{0}")]
    Events(&'static str),
    /// The secret, with the sentence for the user.
    #[error("{0}")]
    Secret(&'static str),
    /// The authorities, with the sentence for the user.
    #[error("tlsCa {0}")]
    TlsCa(String),
    /// What was secret between us and one receiver would go to another.
    #[error(
        "the url leads to another host: headers and secret must be sent again with it, or cleared"
    )]
    Elsewhere,
    /// The policy cannot be kept.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// The retry count is over the limit.
    #[error("retryCount must not be greater than 5")]
    RetryCount,
    /// The ledger could not be asked.
    #[error("the ledger failed while handling a webhook")]
    Store(#[source] StoreError),
}

/// A webhook after a change.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The webhook, as it is stored.
    pub webhook: Webhook,
    /// Its receiver is another one now.
    pub moved: Option<Moved>,
}

/// From which receiver to which: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Moved {
    pub from: String,
    pub to: String,
}

impl Moved {
    /// `None` when both URLs lead to the same scheme, host and port.
    fn between(old: &str, new: &str) -> Option<Self> {
        // A text that is no URL leads nowhere.
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
        let (old, new) = (origin(old), origin(new));
        let told = |origin: Option<Origin>| {
            origin.map_or_else(|| "nowhere".to_owned(), |origin| origin.ascii_serialization())
        };
        (old != new).then(|| Self { from: told(old), to: told(new) })
    }
}

/// A URL as it is stored: what a parser would skip is not in it.
fn plain(url: String) -> String {
    let odd = |c: char| c.is_control() || c.is_whitespace();
    if !url.contains(odd) {
        return url;
    }
    Url::parse(&url).map_or(url, |url| url.to_string())
}

impl Webhooks {
    async fn session_exists(&self, session: SessionId) -> Result<(), WebhookError> {
        let found = self.ports.store.session(session).await.map_err(WebhookError::Store)?;
        found.map(|_| ()).ok_or(WebhookError::SessionNotFound(session))
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
        let mut webhook = Webhook {
            id: WebhookId::new(&*self.ports.entropy),
            session,
            url: plain(new.url),
            events: new.events,
            filters: new.filters.filter(|filters| !filters.conditions.is_empty()),
            headers: new.headers,
            secret: new.secret,
            previous_secret: None,
            signing_key: None,
            active: true,
            retry_count: new.retry_count,
            policy: new.policy,
            tls_ca: new.tls_ca,
            health: Health::default(),
            order: new.order,
            last_triggered_at: None,
            created_at: now,
            updated_at: now,
        };
        check::url(&webhook.url, &self.egress).await?;
        check::rest(&webhook)?;
        self.give_key(&mut webhook);
        let most = self.options.max_per_session;
        let stored =
            self.ports.store.insert_webhook(&webhook, most).await.map_err(WebhookError::Store)?;
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
        self.ports.store.webhooks(session, page).await.map_err(WebhookError::Store)
    }

    /// Of some sessions, in one read; newest first. A session that is gone has none.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list_among(&self, sessions: &[SessionId]) -> Result<Vec<Webhook>, StoreError> {
        self.ports.store.webhooks_among(sessions).await
    }

    /// One webhook of a session.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn get(&self, session: SessionId, id: WebhookId) -> Result<Webhook, WebhookError> {
        self.session_exists(session).await?;
        let found = self.ports.store.webhook(id).await.map_err(WebhookError::Store)?;
        found.filter(|webhook| webhook.session == session).ok_or(WebhookError::NotFound(id))
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
        self.change(session, id, patch).await.map(|changed| changed.webhook)
    }

    /// The same, and tells whether the receiver is another one now.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn change(
        &self,
        session: SessionId,
        id: WebhookId,
        patch: WebhookPatch,
    ) -> Result<Changed, WebhookError> {
        // Somebody else may change it at the same time: then once more, on top of that.
        for _ in 0..CHANGES_MAX {
            let old = self.get(session, id).await?;
            let webhook = self.changed(&old, &patch).await?;
            let store = &self.ports.store;
            let stored = store.update_webhook_if_unchanged(&webhook, old.updated_at).await;
            if !stored.map_err(WebhookError::Store)? {
                continue;
            }
            let moved = Moved::between(&old.url, &webhook.url);
            if patch.active == Some(true) && (webhook.health.pause.is_some() || !old.active) {
                return Ok(Changed { webhook: self.resume(session, id).await?, moved });
            }
            self.wake();
            return Ok(Changed { webhook, moved });
        }
        let (kind, doing) = (StoreErrorKind::Busy, "changing a webhook that others change");
        Err(WebhookError::Store(StoreError { kind, doing, source: None }))
    }

    /// A webhook after a change, fully checked.
    async fn changed(&self, old: &Webhook, patch: &WebhookPatch) -> Result<Webhook, WebhookError> {
        let patch = patch.clone();
        let now = self.ports.clock.now();
        let moved = patch.url.as_ref().is_some_and(|url| Moved::between(&old.url, url).is_some());
        let unsaid = (patch.headers.is_none() && !old.headers.is_empty())
            || (patch.secret.is_none() && old.secret.is_some());
        if moved && unsaid {
            return Err(WebhookError::Elsewhere);
        }
        let mut webhook = Webhook {
            url: patch.url.map_or_else(|| old.url.clone(), plain),
            events: patch.events.unwrap_or_else(|| old.events.clone()),
            headers: patch.headers.unwrap_or_else(|| old.headers.clone()),
            filters: patch
                .filters
                .unwrap_or_else(|| old.filters.clone())
                .filter(|filters| !filters.conditions.is_empty()),
            retry_count: patch.retry_count.or(old.retry_count),
            policy: patch.policy.unwrap_or_else(|| old.policy.clone()),
            tls_ca: patch.tls_ca.unwrap_or_else(|| old.tls_ca.clone()),
            active: patch.active.unwrap_or(old.active),
            order: patch.order.unwrap_or(old.order),
            // Two changes never have the same time: it tells them apart.
            updated_at: now.max(old.updated_at.plus(Duration::from_millis(1))),
            ..old.clone()
        };
        if let Some(secret) = patch.secret {
            webhook.replace_secret(secret, now.plus(self.options.secret_overlap));
        }
        if moved {
            // The new receiver never had it.
            webhook.previous_secret = None;
        }
        if webhook.url != old.url {
            check::url(&webhook.url, &self.egress).await?;
        }
        check::rest(&webhook)?;
        self.give_key(&mut webhook);
        Ok(webhook)
    }

    /// Deletes a webhook with what waits for it.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn delete(&self, session: SessionId, id: WebhookId) -> Result<(), WebhookError> {
        self.get(session, id).await?;
        let deleted = self.ports.store.delete_webhook(id).await.map_err(WebhookError::Store)?;
        if deleted { Ok(()) } else { Err(WebhookError::NotFound(id)) }
    }

    /// Holds everything of a webhook back; events are recorded for it and wait.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn pause(&self, session: SessionId, id: WebhookId) -> Result<Webhook, WebhookError> {
        self.get(session, id).await?;
        let now = self.ports.clock.now();
        let paused = self.ports.store.pause_webhook(id, now).await.map_err(WebhookError::Store)?;
        if !paused {
            return Err(WebhookError::NotFound(id));
        }
        self.wake();
        self.get(session, id).await
    }

    /// Ends a pause; what waits leaves in order.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn resume(&self, session: SessionId, id: WebhookId) -> Result<Webhook, WebhookError> {
        self.get(session, id).await?;
        let now = self.ports.clock.now();
        let resumed =
            self.ports.store.resume_webhook(id, now).await.map_err(WebhookError::Store)?;
        if !resumed {
            return Err(WebhookError::NotFound(id));
        }
        self.wake();
        self.get(session, id).await
    }

    /// The first time it is to sign by `v1a`, a webhook gets its key.
    fn give_key(&self, webhook: &mut Webhook) {
        if webhook.policy.signature == SignatureScheme::V1a && webhook.signing_key.is_none() {
            webhook.signing_key = Some(signature::new_signing_key(&*self.ports.entropy));
        }
    }
}
