//! The engine: opens connections, at most one per session.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Clock, SessionId,
    media::MEDIA_BYTES_MAX,
    port::{
        Connection, DeviceKeys, EngineError, EngineSink, OpenRequest, StoreError, StoreErrorKind,
        WhatsApp,
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;
use url::Url;
use whatsapp_rust::{
    Client, ClientBuilderError,
    store::{commands::DeviceCommand, persistence_manager::PersistenceManager},
    types::events::EventHandler,
    wacore::{net::WHATSAPP_WEB_WS_URL, store::device::DevicePropsOverride},
};

use crate::{
    calls::RingingCalls,
    connection::{ConnectionHandle, RequestLimits},
    driver::ConnectionDriver,
    duplicates,
    http::{self, MediaEndpoint, OfConnection},
    inbound::InboundHandler,
    keys::{LedgerBackend, WriteOrder, ledger_error},
    limits::LimitWatch,
    link::LinkState,
    outbound::MessageWriter,
    passkey::PasskeyLinking,
    presence::OwnPresence,
    runtime::ConnectionTasks,
    safety,
    signals::{EventPump, LoginProgress, SideSignals},
    transport::{Dialer, install_crypto},
    unheld::UnheldLines,
};

/// The client version this crate was last tested with. WhatsApp refuses versions that are too old.
pub const LAST_GOOD_VERSION: (u32, u32, u32) = (2, 3000, 1_042_742_319);

/// How often the library saves a changed device, in addition to the moments that need it.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// How the engine behaves. The same for all sessions.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// WhatsApp's chat server, or a simulated one.
    pub chat_url: Url,
    /// The version this client says it is. Always sent, so that no connect depends on a download.
    pub client_version: (u32, u32, u32),
    /// Shown on the phone, in the list of linked devices.
    pub device_name: String,
    /// The hosts that files are uploaded to and downloaded from.
    pub media: MediaEndpoint,
    /// The largest file that is sent or downloaded, bytes.
    pub file_bytes_max: u64,
    /// For TCP, proxy, TLS and WebSocket together. The library gives up after 20 s by itself.
    pub connect_limit: Duration,
    /// For a message to be encrypted and written.
    pub send_limit: Duration,
    /// For a pairing code.
    pub pairing_limit: Duration,
    /// One-time keys kept at WhatsApp, for people who write first.
    pub prekeys: usize,
    /// Holds the row of each received message back, so that a test meets what is rare otherwise.
    pub hold_rows: Duration,
}

impl Default for EngineOptions {
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    fn default() -> Self {
        Self {
            chat_url: Url::parse(WHATSAPP_WEB_WS_URL).expect("the library's own address"),
            client_version: LAST_GOOD_VERSION,
            device_name: "Waypost".into(),
            media: MediaEndpoint::Real,
            file_bytes_max: MEDIA_BYTES_MAX,
            connect_limit: Duration::from_secs(18),
            send_limit: Duration::from_secs(30),
            pairing_limit: Duration::from_secs(30),
            prekeys: 812,
            hold_rows: Duration::ZERO,
        }
    }
}

/// The sessions this process holds a connection of.
type OpenSessions = Arc<Mutex<HashSet<SessionId>>>;

/// The right to hold the one connection of a session; given back when dropped.
pub(crate) struct SessionSlot {
    open: OpenSessions,
    session: SessionId,
}

impl SessionSlot {
    fn take(open: &OpenSessions, session: SessionId) -> Option<Self> {
        let fresh = open.lock().unwrap_or_else(PoisonError::into_inner).insert(session);
        fresh.then(|| Self { open: open.clone(), session })
    }
}

impl Drop for SessionSlot {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}

/// The engine behind [`WhatsApp`].
pub struct Engine {
    options: EngineOptions,
    keys: Arc<dyn DeviceKeys>,
    clock: Arc<dyn Clock>,
    open: OpenSessions,
    unheld: UnheldLines,
    drivers: TaskTracker,
}

impl Engine {
    /// An engine without connections.
    ///
    /// # Errors
    /// [`EngineError::Misconfigured`] when media would go somewhere it must not.
    pub fn new(
        options: EngineOptions,
        keys: Arc<dyn DeviceKeys>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        options.media.check()?;
        install_crypto();
        Ok(Self {
            options,
            keys,
            clock,
            open: OpenSessions::default(),
            unheld: UnheldLines::default(),
            drivers: TaskTracker::new(),
        })
    }

    async fn device(
        &self,
        backend: &Arc<LedgerBackend>,
    ) -> Result<Arc<PersistenceManager>, EngineError> {
        let device = PersistenceManager::new(backend.clone() as _)
            .await
            .map_err(|error| EngineError::Store(ledger_error(error)))?;
        let props = DevicePropsOverride::new().with_os(self.options.device_name.as_str());
        device.process_command(DeviceCommand::SetDeviceProps(props)).await;
        Ok(Arc::new(device))
    }

    fn dialer(
        &self,
        request: &OpenRequest,
        link: &Arc<LinkState>,
        order: &Arc<WriteOrder>,
    ) -> Dialer {
        Dialer {
            url: self.options.chat_url.clone(),
            proxy: request.proxy.clone(),
            limit: self.options.connect_limit,
            observer: link.clone() as _,
            order: order.clone(),
        }
    }
}

#[async_trait]
impl WhatsApp for Engine {
    async fn open(
        &self,
        request: OpenRequest,
        sink: Arc<dyn EngineSink>,
    ) -> Result<Arc<dyn Connection>, EngineError> {
        safety::check_address(&self.options.chat_url)?;
        let hosts = Arc::new(OfConnection::default());
        let http = http::client(
            &self.options.media,
            request.proxy.as_ref(),
            self.options.file_bytes_max,
            hosts.clone() as _,
            self.clock.clone(),
        )?;
        let session = request.lease.session;
        let slot = SessionSlot::take(&self.open, session)
            .ok_or(EngineError::WrongState("this session is connected already"))?;
        let backend = Arc::new(
            LedgerBackend::new(self.keys.clone(), request.lease.clone())
                .holding_rows(self.options.hold_rows),
        );
        let device = self.device(&backend).await?;
        let (link, events) = LinkState::new();
        let side_signals = SideSignals::new();
        let unheld = self.unheld.line(request.lease.session);
        let inbound = Arc::new(InboundHandler {
            sink: sink.clone(),
            link: link.clone(),
            backend: backend.clone(),
            side_signals: side_signals.clone(),
            unheld: unheld.clone(),
        });
        let lost = duplicates::watch(&backend, &link, &sink);
        let tasks = ConnectionTasks::new(backend.order().clone());
        let client = Client::builder()
            .with_runtime(tasks.clone())
            .with_persistence_manager(device)
            .with_transport_factory(self.dialer(&request, &link, backend.order()))
            .with_http_client_arc(http)
            .with_version_override(self.options.client_version)
            .with_inbound_durability_hook_arc(inbound.clone() as _)
            .with_skip_history_sync(true)
            .with_wanted_pre_key_count(self.options.prekeys)
            .with_background_saver_interval(SAVE_EVERY)
            .build()
            .await
            .map_err(build_error)?
            .into_client();
        hosts.attach(&client);
        let subscription = client.subscribe_handler(link.clone() as Arc<dyn EventHandler>);
        let keys = backend.clone();
        tasks.start(async move { keys.write_behind().await });
        let done = CancellationToken::new();
        let passkey = PasskeyLinking::new(&client, &link, &side_signals, &tasks);
        let (calls, own_presence) = (Arc::<RingingCalls>::default(), Arc::<OwnPresence>::default());
        let pump = EventPump {
            client: client.clone(),
            sink,
            link: link.clone(),
            inbound,
            tasks: tasks.clone(),
            clock: self.clock.clone(),
            calls: calls.clone(),
            own_presence: own_presence.clone(),
            raw_stanzas: client.acquire_raw_node_forwarding(),
            progress: LoginProgress::default(),
            limits: LimitWatch::new(&client, &side_signals, &tasks, &self.clock),
            passkey: passkey.clone(),
            side_signals,
            lost,
        };
        let writer = MessageWriter {
            client: client.clone(),
            backend: backend.clone(),
            clock: self.clock.clone(),
        };
        let driver = ConnectionDriver {
            client: client.clone(),
            backend,
            link: link.clone(),
            tasks: tasks.clone(),
            pump,
            events,
            subscription,
            slot,
            unheld,
            done: done.clone().drop_guard(),
        };
        let span = tracing::info_span!("connection", session = %session);
        self.drivers.spawn(driver.drive().instrument(span));
        let limits =
            RequestLimits { send: self.options.send_limit, pairing: self.options.pairing_limit };
        Ok(Arc::new(ConnectionHandle {
            writer,
            client,
            link,
            tasks,
            passkey,
            limits,
            calls,
            own_presence,
            done,
        }))
    }
}

/// The library tries the store before it trusts it with messages; everything else cannot happen.
fn build_error(error: ClientBuilderError) -> EngineError {
    match error {
        ClientBuilderError::UnsupportedDurabilityBackend(_) => EngineError::Store(StoreError {
            kind: StoreErrorKind::Unavailable,
            doing: "trying the buffer of received messages",
            source: Some(Arc::new(error)),
        }),
        other => EngineError::Misconfigured(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_whatsapps() {
        let options = EngineOptions::default();
        assert_eq!(options.chat_url.as_str(), "wss://web.whatsapp.com/ws/chat");
    }

    #[test]
    fn a_slot_is_free_again_when_dropped() {
        let open = OpenSessions::default();
        let session = "01890000-0000-7000-8000-000000000001".parse().unwrap();
        let slot = SessionSlot::take(&open, session);
        assert!(slot.is_some());
        assert!(SessionSlot::take(&open, session).is_none());
        drop(slot);
        assert!(SessionSlot::take(&open, session).is_some());
    }
}
