//! Calls of providers: stored when they are signed right, answered, then handed to the plugin, in the order of their
//! key.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    SessionId, Timer, Timestamp,
    plugin::{
        IngressCall, IngressOutcome, IngressRequest, IngressRoute, IngressState, IngressStored,
        Instance, PluginId,
        ingress::{self, Ack},
    },
    port::{ClaimedIngress, PluginCall, StoreResult},
    session::SessionStatus,
    webhook::Secret,
};
use futures::{StreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::{InstanceError, Plugins, SharedPlugins};
use crate::{Policy, hooks::HookPoint};

/// Calls of an instance that may wait.
const WAITING_MAX: u32 = 10_000;
/// Calls that are worked on at once.
const AT_ONCE: u32 = 16;
/// How long a claim lasts: longer than a handler may take.
const CLAIM: Duration = Duration::from_secs(60);
/// How long a handler may take.
const HANDLER_LIMIT: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(2);
const ERROR_WAIT: Duration = Duration::from_secs(1);
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=512;
const REDRIVE_MAX: u32 = 500;

/// A call as it came in.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// GET, POST, …
    pub method: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Names and values, decoded.
    pub query: BTreeMap<String, String>,
    /// The exact bytes.
    pub body: Vec<u8>,
}

/// What a provider is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressAnswer {
    /// The text of a challenge.
    Challenge(String),
    /// It is stored, or was before.
    Taken(Option<Ack>),
}

/// Why a call is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngressRefusal {
    /// There is no such plugin, instance or route, or it is not enabled.
    #[error("there is no such route")]
    NotFound,
    /// Its signature is missing or wrong.
    #[error("{0}")]
    Unauthorized(ingress::Refusal),
    /// It names the wrong token.
    #[error("{0}")]
    Forbidden(ingress::Refusal),
    /// The delivery id was used for something else.
    #[error("this delivery id came before with another body")]
    OtherBody,
    /// The body is too large.
    #[error("the body is larger than the route takes")]
    TooLarge,
    /// The body is no text.
    #[error("the body is not UTF-8")]
    NotText,
    /// Too many calls wait.
    #[error("too many calls wait: try again later")]
    Full,
    /// The session is not connected.
    #[error("the session is not connected: try again later")]
    NoSession,
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] domain::port::StoreError),
}

/// A new instance, as it was asked for.
#[derive(Debug, Clone, Default)]
pub struct NewInstance {
    /// Its name within the plugin: `[a-zA-Z0-9_-]{1,64}`.
    pub id: String,
    /// The only session it may act for.
    pub session: Option<SessionId>,
    /// What its calls are signed with; made by us if it is not given.
    pub secret: Option<String>,
    /// What a challenge has to name.
    pub verify_token: Option<String>,
    /// Its own settings.
    pub config: Option<Map<String, Value>>,
}

/// What is changed of an instance; `None` leaves it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is what it is called in `Instance`")]
pub struct InstancePatch {
    pub enabled: Option<bool>,
    pub session: Option<Option<SessionId>>,
    pub config: Option<Option<Map<String, Value>>>,
}

impl Plugins {
    /// Takes a provider's call: checks it, stores it, and says what to answer.
    ///
    /// # Errors
    /// [`IngressRefusal`].
    pub async fn receive(
        &self,
        plugin: &PluginId,
        (instance, route): (&str, &str),
        call: ReceivedCall,
    ) -> Result<IngressAnswer, IngressRefusal> {
        let store = &self.shared.ports.store;
        let found = store.plugin(plugin).await?.filter(|plugin| plugin.enabled);
        let found = found.ok_or(IngressRefusal::NotFound)?;
        let routes = &found.manifest.ingress;
        let route =
            routes.iter().find(|known| known.route == route).ok_or(IngressRefusal::NotFound)?;
        let instance = store.instance(plugin, instance).await?.filter(|instance| instance.enabled);
        let instance = instance.ok_or(IngressRefusal::NotFound)?;
        if call.method == "GET"
            && let Some(echo) =
                ingress::challenge(route, &call.query, instance.verify_token.as_ref())
                    .map_err(IngressRefusal::Forbidden)?
        {
            return Ok(IngressAnswer::Challenge(echo));
        }
        if call.body.len() > route.body_bytes_max {
            return Err(IngressRefusal::TooLarge);
        }
        let now = self.shared.ports.clock.now();
        let verified = ingress::verify(route, &instance.secret, &call.headers, &call.body, now)
            .map_err(IngressRefusal::Unauthorized)?;
        if route.needs_session && !self.is_ready(instance.session).await? {
            return Err(IngressRefusal::NoSession);
        }
        let ack = ingress::ack(route, &call.headers, &call.body);
        let stored = self.shared.stored(route, &instance, call, verified.is_signed())?;
        match store.store_ingress(&stored, route.body_mismatch_is_new, WAITING_MAX).await? {
            IngressStored::New => self.shared.ingress.notify_one(),
            IngressStored::Again => {}
            IngressStored::OtherBody => return Err(IngressRefusal::OtherBody),
            IngressStored::Full => return Err(IngressRefusal::Full),
        }
        Ok(IngressAnswer::Taken(ack))
    }

    /// A route without a session of its own is not held up by any.
    async fn is_ready(&self, session: Option<SessionId>) -> StoreResult<bool> {
        let Some(session) = session else { return Ok(true) };
        let found = self.shared.ports.store.session(session).await?;
        Ok(found.is_some_and(|session| session.status == SessionStatus::Ready))
    }

    /// The instances of a plugin.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn instances(&self, plugin: &PluginId) -> Result<Vec<Instance>, InstanceError> {
        self.has_ingress(plugin).await?;
        Ok(self.shared.ports.store.instances(plugin).await?)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn instance(&self, plugin: &PluginId, id: &str) -> Result<Instance, InstanceError> {
        let found = self.shared.ports.store.instance(plugin, id).await?;
        found.ok_or_else(|| InstanceError::NotFound(format!("Instance '{id}'")))
    }

    /// The URLs that a provider may call, by route.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn ingress_urls(
        &self,
        instance: &Instance,
    ) -> Result<Vec<(String, String)>, InstanceError> {
        let plugin = self.shared.ports.store.plugin(&instance.plugin).await?;
        let base = &self.shared.options.base_url;
        let url = |route: &IngressRoute| {
            let path =
                format!("{base}/api/ingress/{}/{}/{}", instance.plugin, instance.id, route.route);
            (route.route.clone(), path)
        };
        Ok(plugin.iter().flat_map(|plugin| &plugin.manifest.ingress).map(url).collect())
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn add_instance(
        &self,
        plugin: &PluginId,
        new: NewInstance,
    ) -> Result<Instance, InstanceError> {
        self.has_ingress(plugin).await?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=64).contains(&new.id.len()) || !new.id.chars().all(is_plain) {
            return Err(InstanceError::Refused(
                "instanceId must have 1 to 64 letters, digits, dashes and underscores".into(),
            ));
        }
        let secret = match new.secret {
            Some(given) if SECRET_CHARS.contains(&given.chars().count()) => Secret::new(given),
            Some(_) => {
                return Err(InstanceError::Refused("secret must have 16 to 512 characters".into()));
            }
            None => self.new_secret(),
        };
        self.knows(new.session).await?;
        let now = self.shared.ports.clock.now();
        let instance = Instance {
            plugin: plugin.clone(),
            id: new.id,
            session: new.session,
            secret,
            verify_token: new.verify_token.map(Secret::new),
            config: new.config,
            enabled: true,
            created_at: now,
            updated_at: now,
        };
        match self.shared.ports.store.insert_instance(&instance).await? {
            true => Ok(instance),
            false => Err(InstanceError::Exists(instance.id)),
        }
    }

    /// Changes an instance.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn change_instance(
        &self,
        plugin: &PluginId,
        id: &str,
        patch: InstancePatch,
    ) -> Result<Instance, InstanceError> {
        let mut instance = self.instance(plugin, id).await?;
        if let Some(session) = patch.session {
            self.knows(session).await?;
            instance.session = session;
        }
        instance.enabled = patch.enabled.unwrap_or(instance.enabled);
        if let Some(config) = patch.config {
            instance.config = config;
        }
        self.replace(instance).await
    }

    /// Gives an instance another secret; calls signed with the old one are refused from now on.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn renew_secret(
        &self,
        plugin: &PluginId,
        id: &str,
    ) -> Result<Instance, InstanceError> {
        let mut instance = self.instance(plugin, id).await?;
        instance.secret = self.new_secret();
        self.replace(instance).await
    }

    /// Removes an instance with its calls and mappings.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub async fn delete_instance(&self, plugin: &PluginId, id: &str) -> Result<(), InstanceError> {
        match self.shared.ports.store.delete_instance(plugin, id).await? {
            true => Ok(()),
            false => Err(InstanceError::NotFound(format!("Instance '{id}'"))),
        }
    }

    /// Lets dead calls wait again. How many, how many are left, and how many go at once.
    ///
    /// # Errors
    /// [`InstanceError::Conflict`] for a disabled instance or plugin.
    pub async fn redrive(
        &self,
        plugin: &PluginId,
        id: &str,
    ) -> Result<(u32, u32, u32), InstanceError> {
        let instance = self.instance(plugin, id).await?;
        let enabled =
            self.shared.ports.store.plugin(plugin).await?.is_some_and(|plugin| plugin.enabled);
        if !instance.enabled || !enabled {
            return Err(InstanceError::Conflict(
                "the instance or its plugin is disabled: enable it first".into(),
            ));
        }
        let now = self.shared.ports.clock.now();
        let (redriven, remaining) =
            self.shared.ports.store.redrive_ingress(plugin, id, now, REDRIVE_MAX).await?;
        self.shared.ingress.notify_one();
        Ok((redriven, remaining, REDRIVE_MAX))
    }

    async fn replace(&self, mut instance: Instance) -> Result<Instance, InstanceError> {
        instance.updated_at = self.shared.ports.clock.now();
        match self.shared.ports.store.update_instance(&instance).await? {
            true => Ok(instance),
            false => Err(InstanceError::NotFound(format!("Instance '{}'", instance.id))),
        }
    }

    async fn has_ingress(&self, plugin: &PluginId) -> Result<(), InstanceError> {
        let found = self.shared.ports.store.plugin(plugin).await?;
        let found = found.ok_or_else(|| InstanceError::NotFound(format!("Plugin '{plugin}'")))?;
        match found.manifest.ingress.is_empty() {
            true => Err(InstanceError::Refused(
                "the plugin takes no calls of providers: its manifest has no ingress".into(),
            )),
            false => Ok(()),
        }
    }

    async fn knows(&self, session: Option<SessionId>) -> Result<(), InstanceError> {
        let Some(session) = session else { return Ok(()) };
        match self.shared.ports.store.session(session).await? {
            Some(_) => Ok(()),
            None => {
                Err(InstanceError::Refused(format!("sessionScope: there is no session {session}")))
            }
        }
    }

    fn new_secret(&self) -> Secret {
        let mut bytes = [0; 32];
        self.shared.ports.entropy.fill(&mut bytes);
        Secret::new(hex::encode(bytes))
    }
}

impl SharedPlugins {
    /// A call as it is stored.
    fn stored(
        &self,
        route: &IngressRoute,
        instance: &Instance,
        call: ReceivedCall,
        verified: bool,
    ) -> Result<IngressCall, IngressRefusal> {
        let ReceivedCall { method, headers, query, body } = call;
        let now = self.ports.clock.now();
        let mut random = [0; 10];
        self.ports.entropy.fill(&mut random);
        let millis = now.millis().unsigned_abs();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        let delivery_id = ingress::delivery_id(route, &headers).unwrap_or_else(|| id.to_string());
        let digest = ingress::digest(&method, &query, &body);
        let order_key = ingress::order_key(route, &headers, &body);
        let body = String::from_utf8(body).map_err(|_| IngressRefusal::NotText)?;
        Ok(IngressCall {
            id,
            plugin: instance.plugin.clone(),
            instance: instance.id.clone(),
            route: route.route.clone(),
            delivery_id,
            digest,
            order_key,
            request: IngressRequest { method, headers, query, body, verified },
            state: IngressState::Waiting,
            attempts: 0,
            due_at: now,
            error: None,
            received_at: now,
        })
    }

    async fn handle(&self, claimed: ClaimedIngress) {
        let ClaimedIngress { call, epoch } = claimed;
        let outcome = match self.ask(&call).await {
            Ok(()) => IngressOutcome::Done,
            Err(why) => self.failed(&call, why),
        };
        let now = self.ports.clock.now();
        if let Err(error) = self.ports.store.finish_ingress(call.id, epoch, &outcome, now).await {
            // The claim runs out, and it is handled again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a provider's call could not be recorded"
            );
        }
    }

    async fn ask(&self, call: &IngressCall) -> Result<(), String> {
        let instance = self.ports.store.instance(&call.plugin, &call.instance).await;
        let instance =
            instance.map_err(|error| error.to_string())?.ok_or("its instance is gone")?;
        let runner = self.runner(&call.plugin).ok_or("the plugin is not running")?;
        let request = &call.request;
        let request = json!({
            "instanceId": call.instance,
            "method": request.method,
            "headers": request.headers,
            "query": request.query,
            "body": request.body,
            "rawBody": request.body,
            "verified": request.verified,
            "deliveryId": call.delivery_id,
            "sessionId": instance.session,
        });
        let ask =
            PluginCall::Ingress { route: call.route.clone(), session: instance.session, request };
        runner.ask(ask, HANDLER_LIMIT).await.map(drop).map_err(|error| error.to_string())
    }

    fn failed(&self, call: &IngressCall, why: String) -> IngressOutcome {
        let now = self.ports.clock.now();
        let mut byte = [0];
        self.ports.entropy.fill(&mut byte);
        if let Some(at) = ingress::next_try(call.attempts + 1, now, f64::from(byte[0]) / 255.0) {
            return IngressOutcome::RetryAt(at, why);
        }
        tracing::error!(plugin = %call.plugin, instance = call.instance, %why, "a provider's call could not be handled: it is dead");
        let data = json!({
            "pluginId": call.plugin.as_str(), "instanceId": call.instance, "route": call.route,
            "deliveryId": call.delivery_id, "error": why,
        });
        self.hooks.notify(HookPoint::IngressError, SessionId::from_uuid(uuid::Uuid::nil()), data);
        self.note("ingress_failed", &call.plugin, &why);
        IngressOutcome::Dead(why)
    }
}

/// Hands stored calls to the plugins, until the process stops.
pub(super) fn spawn(shared: &Arc<SharedPlugins>) {
    let this = shared.clone();
    shared.supervisor.spawn("plugins/ingress", Policy::Essential, async move {
        let (clock, stopping) = (&this.ports.clock, this.supervisor.stopping());
        while !stopping.is_cancelled() {
            let wait = match work(&this).await {
                Ok(0) => SWEEP,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "calls of providers could not be read"
                    );
                    ERROR_WAIT
                }
            };
            tokio::select! {
                () = this.ingress.notified() => {}
                () = clock.sleep_until(Timer::PluginIngress, clock.now().plus(wait)) => {}
                () = stopping.cancelled() => {}
            }
        }
    });
}

async fn work(shared: &SharedPlugins) -> StoreResult<usize> {
    let now: Timestamp = shared.ports.clock.now();
    let claimed = shared.ports.store.claim_ingress(now, now.plus(CLAIM), AT_ONCE).await?;
    let count = claimed.len();
    let handled = claimed.into_iter().map(|call| shared.handle(call));
    stream::iter(handled).buffer_unordered(AT_ONCE as usize).collect::<Vec<()>>().await;
    Ok(count)
}
