//! A real engine client on the network, and ways to wait for what it reports.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use simulator::{Network, ProvisionedDevice};
use whatsapp_rust::{
    InboundDurabilityHook, prelude::*, store::traits::Backend,
    transport::TokioWebSocketTransportFactory, wacore::store::InMemoryBackend,
};

/// Longest wait for anything: generous, because test machines are shared.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const ALICE: &str = "5511990000001";
pub const BOB: &str = "5511990000002";
pub const CAROL: &str = "5511990000003";

/// Starts a network with Alice and Bob.
pub async fn network() -> Network {
    let network = Network::start().await.unwrap();
    network.add_account(ALICE, "Alice").await;
    network.add_account(BOB, "Bob").await;
    network
}

/// How to start a client.
#[derive(Default)]
pub struct Start {
    pub push_name: Option<&'static str>,
    pub hook: Option<Box<dyn InboundDurabilityHook>>,
}

/// A running engine client.
pub struct Gateway {
    pub client: Arc<Client>,
    pub phone: String,
    pub device: u16,
    pub backend: Arc<dyn Backend>,
    events: async_channel::Receiver<Arc<Event>>,
    /// Messages of a batch that came with one somebody waited for.
    rest: Mutex<VecDeque<(Arc<wa::Message>, Arc<MessageInfo>)>>,
    handle: Option<BotHandle>,
    _subscription: whatsapp_rust::wacore::types::events::Subscription,
}

struct Hook(Box<dyn InboundDurabilityHook>);

#[async_trait::async_trait]
impl InboundDurabilityHook for Hook {
    async fn on_messages(
        &self,
        client: Arc<Client>,
        batch: &[InboundMessage],
    ) -> anyhow::Result<()> {
        self.0.on_messages(client, batch).await
    }
}

impl Gateway {
    /// Starts a client on what a store holds.
    pub async fn start(
        network: &Network,
        backend: Arc<dyn Backend>,
        phone: &str,
        device: u16,
        start: Start,
    ) -> Gateway {
        let transport = TokioWebSocketTransportFactory::new().with_url(network.chat_url());
        let mut builder = Bot::builder()
            .with_backend_arc(backend.clone())
            .with_transport_factory(transport)
            .with_http_client(network.media_http())
            .with_version((2, 3000, 1));
        if let Some(name) = start.push_name {
            builder = builder.with_push_name(name);
        }
        if let Some(hook) = start.hook {
            builder = builder.with_inbound_durability_hook(Hook(hook));
        }
        let bot = builder.build().await.unwrap();
        let client = bot.client();
        let (handler, events) = ChannelEventHandler::new();
        let subscription = client.subscribe_handler(handler);
        Gateway {
            client,
            phone: phone.to_owned(),
            device,
            backend,
            events,
            rest: Mutex::default(),
            handle: Some(bot.spawn()),
            _subscription: subscription,
        }
    }

    /// A device that was linked beforehand, connected.
    pub async fn linked(network: &Network, phone: &str) -> Gateway {
        let provisioned = network.provision_device(phone).await.unwrap();
        let backend = store(&provisioned).await;
        Gateway::connected(network, backend, phone, provisioned.device_id).await
    }

    /// A client on a store that holds a linked device, connected.
    pub async fn connected(
        network: &Network,
        backend: Arc<dyn Backend>,
        phone: &str,
        device: u16,
    ) -> Gateway {
        let gateway = Gateway::start(network, backend, phone, device, Start::default()).await;
        gateway.until_connected().await;
        gateway
    }

    /// A device paired by QR code, connected.
    pub async fn paired(network: &Network, phone: &str, name: &'static str) -> Gateway {
        let start = Start { push_name: Some(name), hook: None };
        Gateway::pair(network, phone, start).await
    }

    /// The same with other settings.
    pub async fn pair(network: &Network, phone: &str, start: Start) -> Gateway {
        let backend: Arc<dyn Backend> = Arc::new(InMemoryBackend::new());
        let mut gateway = Gateway::start(network, backend, phone, 0, start).await;
        let shown = gateway.event(|event| matches!(event, Event::PairingQrCode(_))).await;
        let Event::PairingQrCode(qr) = &*shown else { unreachable!() };
        gateway.device = network.scan_qr(phone, &qr.code).await.unwrap();
        gateway.event(|event| matches!(event, Event::PairSuccess(_))).await;
        gateway.until_connected().await;
        gateway
    }

    /// A device whose QR code was scanned; what follows is still to be heard.
    pub async fn pairing(network: &Network, phone: &str) -> Gateway {
        let backend: Arc<dyn Backend> = Arc::new(InMemoryBackend::new());
        let start = Start { push_name: Some("Phone"), hook: None };
        let mut gateway = Gateway::start(network, backend, phone, 0, start).await;
        let shown = gateway.event(|event| matches!(event, Event::PairingQrCode(_))).await;
        let Event::PairingQrCode(qr) = &*shown else { unreachable!() };
        gateway.device = network.scan_qr(phone, &qr.code).await.unwrap();
        gateway
    }

    pub async fn until_connected(&self) {
        self.event(|event| matches!(event, Event::Connected(_))).await;
    }

    /// Stops the client; its store stays.
    pub async fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.shutdown().await;
        }
    }

    /// The client's own address by phone number.
    pub fn jid(&self) -> Jid {
        Jid::pn(self.phone.as_str())
    }

    /// Waits for an event that fits, and drops those before it.
    #[track_caller]
    pub fn event<F: FnMut(&Event) -> bool>(
        &self,
        mut fits: F,
    ) -> impl Future<Output = Arc<Event>> + use<'_, F> {
        let caller = std::panic::Location::caller();
        async move {
            let mut seen = Vec::new();
            let found = tokio::time::timeout(LIMIT, async {
                loop {
                    let event = self.events.recv().await.unwrap();
                    if fits(&event) {
                        return event;
                    }
                    seen.push(short(&event));
                }
            });
            match found.await {
                Ok(event) => event,
                Err(_) => panic!("{caller}: no such event; there were {seen:?}"),
            }
        }
    }

    /// Waits for a message that fits, and drops the events before it.
    #[track_caller]
    pub fn message<F: Fn(&wa::Message, &MessageInfo) -> bool>(
        &self,
        fits: F,
    ) -> impl Future<Output = (Arc<wa::Message>, Arc<MessageInfo>)> + use<'_, F> {
        let caller = std::panic::Location::caller();
        async move {
            let wait = tokio::time::timeout(LIMIT, async {
                loop {
                    let waiting = self.rest.lock().unwrap().pop_front();
                    if let Some((message, info)) = waiting {
                        if fits(message.get_base_message(), &info) {
                            return (message, info);
                        }
                        continue;
                    }
                    let event = self.events.recv().await.unwrap();
                    if let Event::Messages(batch) = &*event {
                        let messages = batch.messages.iter();
                        let messages = messages.map(|one| (one.message.clone(), one.info.clone()));
                        self.rest.lock().unwrap().extend(messages);
                    }
                }
            });
            match wait.await {
                Ok(found) => found,
                Err(_) => panic!("{caller}: no such message"),
            }
        }
    }

    /// Waits for a message with this text.
    pub async fn text(&self, text: &str) -> Arc<MessageInfo> {
        self.message(|message, _| message.text_content() == Some(text)).await.1
    }

    /// Waits for the server's ack of a message and gives its error code, if it has one.
    pub async fn ack(&self, id: &str) -> Option<String> {
        let event =
            self.event(|event| matches!(event, Event::ServerAck(ack) if ack.id == id)).await;
        match &*event {
            Event::ServerAck(ack) => ack.error.as_ref().map(ToString::to_string),
            _ => unreachable!(),
        }
    }

    /// Waits for a receipt of one of these kinds about a message.
    pub async fn receipt(&self, id: &str, kinds: &[&str]) {
        self.event(|event| match event {
            Event::Receipt(receipt) => {
                let kind = format!("{:?}", receipt.r#type);
                receipt.message_ids.iter().any(|known| known == id)
                    && kinds.contains(&kind.as_str())
            }
            _ => false,
        })
        .await;
    }
}

fn short(event: &Event) -> String {
    match event {
        Event::Receipt(receipt) => {
            format!("Receipt {:?} {:?}", receipt.r#type, receipt.message_ids)
        }
        Event::ServerAck(ack) => format!("ServerAck {} {:?}", ack.id, ack.error),
        other => format!("{:?}", other.kind()),
    }
}

/// A store that holds what pairing would have left.
pub async fn store(provisioned: &ProvisionedDevice) -> Arc<dyn Backend> {
    let backend: Arc<dyn Backend> = Arc::new(InMemoryBackend::new());
    backend.save(&provisioned.device).await.unwrap();
    for (id, record) in &provisioned.prekeys {
        backend.store_prekey(*id, record, true).await.unwrap();
    }
    let (id, key) = &provisioned.app_state_key;
    backend.set_sync_key(id, key.clone()).await.unwrap();
    backend
}

/// Waits until something holds, looking often; the limit is for a broken network only.
#[track_caller]
pub fn until<F: FnMut() -> bool>(mut holds: F) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let wait = tokio::time::timeout(LIMIT, async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if wait.await.is_err() {
            panic!("{caller}: it never came true");
        }
    }
}

/// Every request was known and answered, and nothing was refused for lack of room.
#[track_caller]
pub fn assert_all_answered(network: &Network) {
    let record = network.record();
    assert_eq!(record.unknown, Vec::<String>::new());
    assert_eq!(record.unanswered, Vec::<String>::new());
    assert_eq!(record.overflowed, 0);
}
