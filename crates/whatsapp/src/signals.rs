//! News for the sink: the library's events, one at a time and in order.
//!
//! Two things happen on the way. Before anybody hears of a link, the device is written down, so
//! that a crash right after does not lose it. And after every login this device says that it is not
//! in use, until somebody wants it to be: the library announces it as available, and a phone whose
//! other device is available stays silent when messages arrive.

mod acquaintances;
mod news;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    ChatId, Clock, WaMessageId,
    chat::{ChatMark, ContactPatch, Identity},
    group::{GroupChange, GroupNews, GroupPerson, GroupSignal},
    port::{Call, EngineSignal, EngineSink, ReceiptKind},
    session::LossCause,
};
use whatsapp_rust::{
    Client, RawNodeLease,
    types::{
        events::{ContactNumberChanged, Event, PairSuccess, Receipt, ServerAck},
        presence::ReceiptType,
    },
};

use crate::{
    calls::{self, RingingCalls},
    duplicates::LostMessage,
    groups,
    inbound::InboundHandler,
    labels,
    limits::LimitWatch,
    link::LinkState,
    marks,
    passkey::PasskeyLinking,
    people::{self, Person},
    presence::{self, OwnPresence},
    runtime::ConnectionTasks,
};

pub(crate) use acquaintances::changes_block_list;
use news::PumpInput;
pub(crate) use news::SideSignals;

/// How long a pairing code may still be typed after the last QR code expired (WhatsApp's own limit).
const CODE_LIFE: Duration = Duration::from_secs(180);
/// The library announces availability shortly after it learned a new name.
const NAME_SETTLES: Duration = Duration::from_secs(3);

/// Carries one connection's events to its sink.
pub(crate) struct EventPump {
    pub client: Arc<Client>,
    pub sink: Arc<dyn EngineSink>,
    pub link: Arc<LinkState>,
    pub inbound: Arc<InboundHandler>,
    pub tasks: ConnectionTasks,
    pub clock: Arc<dyn Clock>,
    pub calls: Arc<RingingCalls>,
    pub own_presence: Arc<OwnPresence>,
    #[expect(dead_code, reason = "as long as it is held the library shows every stanza")]
    pub raw_stanzas: RawNodeLease,
    pub progress: LoginProgress,
    pub side_signals: SideSignals,
    pub limits: LimitWatch,
    pub passkey: PasskeyLinking,
    pub lost: async_channel::Receiver<LostMessage>,
}

/// How far the login has come, as the sink knows it.
#[derive(Default)]
pub(crate) struct LoginProgress {
    connected: AtomicBool,
    drained: AtomicBool,
    caught_up: AtomicBool,
}

impl EventPump {
    /// Runs until the queue is closed and empty, or the connection is closed. What waits for WhatsApp, or for a task
    /// of the library, does not belong here: it would hold everything after it up, and may wait for ever when the
    /// connection ends under it. It is a task of its own, see [`ConnectionTasks`].
    pub async fn run(&self, events: async_channel::Receiver<Arc<Event>>) {
        while let Some(news) = PumpInput::next(self, &events).await {
            tokio::select! {
                biased;
                () = self.link.closing() => return,
                () = self.take(news) => {}
            }
        }
    }

    async fn take(&self, news: PumpInput) {
        match news {
            PumpInput::Event(event) => self.tell(&event).await,
            PumpInput::Signal(signal) => self.signal(signal).await,
            PumpInput::Pairs(pairs) => self.learned(pairs).await,
            PumpInput::Lost(lost) => {
                self.inbound.hold_place(&self.client, &lost, &*self.clock).await;
                let (client, clock) = (self.client.clone(), self.clock.clone());
                self.tasks.start(async move { lost.ask_again(&client, &*clock).await });
            }
        }
    }

    /// Hands one signal over. A closed connection is not heard of any more, even in mid-sentence.
    pub async fn signal(&self, signal: EngineSignal) {
        tokio::select! {
            biased;
            () = self.link.closing() => {}
            () = self.sink.signal(signal) => {}
        }
    }

    async fn tell(&self, event: &Event) {
        match event {
            Event::PairingQrCode(qr) => {
                let (code, lasts) = (qr.code.clone(), qr.timeout);
                self.signal(EngineSignal::QrCode { code, lasts }).await;
            }
            Event::PairingQrCodesExhausted(_) => self.expire_pairing_code(),
            Event::PairPasskeyRequest(_)
            | Event::PairPasskeyConfirmation(_)
            | Event::PairPasskeyError(_) => self.passkey.hear(event),
            Event::PairSuccess(paired) => {
                self.passkey.hear(event);
                self.paired(paired).await;
            }
            Event::PairError(error) => {
                tracing::warn!(error = %error.error, "a phone could not link this device");
            }
            Event::Connected(_) => self.connected().await,
            Event::Messages(batch) => {
                self.inbound.take_unheld(&self.client, &batch.messages).await;
            }
            Event::ServerAck(ack) => {
                if ack.error.as_deref() == Some("463") {
                    self.limits.ask();
                }
                self.signal(self.server_ack(ack)).await;
            }
            Event::MexNotification(news) => self.limits.heard(news),
            Event::Receipt(receipt) => self.receipt(receipt).await,
            Event::SelfPushNameUpdated(_) => self.show_presence_after(NAME_SETTLES),
            Event::OfflineSyncCompleted(_) => {
                self.progress.drained.store(true, Ordering::Release);
                self.catch_up().await;
            }
            Event::UndecryptableMessage(event) => {
                self.inbound.take_undecryptable(&self.client, event).await;
            }
            Event::IncomingCall(call) => {
                self.tell_if(calls::caller(&self.client, call).await.map(EngineSignal::Identity))
                    .await;
                self.call(self.calls.take(&self.client, call).await).await;
            }
            Event::MissedCall(call) => self.call(self.calls.missed(&self.client, call).await).await,
            Event::CallEndedElsewhere(call) => {
                self.call(self.calls.elsewhere(&self.client, call).await).await;
            }
            Event::ContactNumberChanged(change) => self.number_changed(change).await,
            Event::ContactUpdated(update) => self.pictured(&update.jid).await,
            Event::Presence(update) => {
                self.tell_if(presence::online(&self.client, update).await).await;
            }
            Event::ChatPresence(update) => {
                self.tell_if(presence::typing(&self.client, update).await).await;
            }
            Event::RawNode(_) => self.learn_block_list(),
            Event::ContactUpdate(update) => {
                self.tell_if(marks::address_book(&self.client, update).await).await;
            }
            Event::PushNameUpdate(update) => {
                let id = people::canonical(&self.client, &update.jid, None).await;
                let push_name = Some(update.new_push_name.clone());
                let patch = ContactPatch { push_name, ..Default::default() };
                self.tell_if(id.map(|id| EngineSignal::Contact { id, patch })).await;
            }
            Event::LabelEditUpdate(_) | Event::LabelAssociationUpdate(_) => {
                self.tell_if(labels::changed(&self.client, event).await).await;
            }
            Event::GroupUpdate(update) => {
                self.group(groups::of_update(&self.client, update).await).await;
            }
            Event::PictureUpdate(update) => {
                self.pictured(&update.jid).await;
                self.group(groups::of_picture(&self.client, update).await).await;
            }
            other => self.tell_if(marks::chat_mark(&self.client, other).await).await,
        }
    }

    async fn tell_if(&self, signal: Option<EngineSignal>) {
        if let Some(signal) = signal {
            self.signal(signal).await;
        }
    }

    async fn call(&self, call: Option<Call>) {
        self.tell_if(call.map(EngineSignal::Call)).await;
    }

    /// Once per login, after it, when everything that waited has been handed over.
    async fn catch_up(&self) {
        let LoginProgress { connected, drained, caught_up } = &self.progress;
        let both = connected.load(Ordering::Acquire) && drained.load(Ordering::Acquire);
        if both && !caught_up.swap(true, Ordering::AcqRel) {
            self.signal(EngineSignal::CaughtUp).await;
            self.limits.ask();
            self.learn_block_list();
            self.learn_groups();
        }
    }

    /// Asks once per login; what happens to them later comes as events.
    fn learn_groups(&self) {
        let (client, side_signals) = (self.client.clone(), self.side_signals.clone());
        let as_of = self.clock.now();
        self.tasks.start(async move {
            let groups = match Box::pin(groups::all(&client)).await {
                Ok(groups) => groups,
                Err(error) => return tracing::debug!(%error, "the groups were not read"),
            };
            let ids = groups.iter().map(|group| group.id.clone()).collect();
            for group in groups {
                let known = GroupSignal::Known(Box::new(group), as_of);
                side_signals.say_in_turn(EngineSignal::Group(known)).await;
            }
            let listed = GroupSignal::Listed(ids, as_of);
            side_signals.say_in_turn(EngineSignal::Group(listed)).await;
        });
    }

    /// Those who come in are introduced first: by number and privacy id, where WhatsApp names both.
    async fn group(&self, news: Option<GroupNews>) {
        let Some(news) = news else { return };
        if matches!(news.change, GroupChange::Added(_) | GroupChange::Requested { .. }) {
            for person in news.change.people() {
                self.tell_if(identity(person).map(EngineSignal::Identity)).await;
            }
        }
        self.signal(EngineSignal::Group(GroupSignal::Changed(Box::new(news)))).await;
    }

    async fn number_changed(&self, change: &ContactNumberChanged) {
        let phone = people::chat_id(&change.new_jid).and_then(|chat| chat.phone());
        let lid = change.new_lid.as_ref().or(change.old_lid.as_ref()).and_then(people::chat_id);
        if let (Some(phone), Some(lid)) = (phone, lid.filter(ChatId::is_lid)) {
            self.signal(EngineSignal::Identity(Identity { lid, phone })).await;
        }
    }

    async fn paired(&self, paired: &PairSuccess) {
        self.write_device().await;
        let person = people::person(&self.client, &paired.id, Some(&paired.lid)).await;
        let Person { phone: Some(phone), lid } = person else {
            return self
                .link
                .fail(LossCause::Link("WhatsApp did not tell which number it is".into()));
        };
        tracing::info!(phone = phone.masked(), "linked");
        self.signal(EngineSignal::Paired { phone, lid }).await;
    }

    async fn connected(&self) {
        self.write_device().await;
        self.show_presence_after(Duration::ZERO);
        let Person { phone: Some(phone), lid } = people::own(&self.client) else {
            return self
                .link
                .fail(LossCause::Link("WhatsApp did not tell which number it is".into()));
        };
        let push_name = Some(self.client.push_name()).filter(|name| !name.is_empty());
        tracing::info!(phone = phone.masked(), "connected");
        self.signal(EngineSignal::Connected { phone, lid, push_name }).await;
        self.progress.connected.store(true, Ordering::Release);
        self.catch_up().await;
    }

    /// The library saves the device in the background and tries again there.
    async fn write_device(&self) {
        if let Err(error) = self.client.persistence_manager().flush().await {
            tracing::warn!(%error, "the device could not be saved yet");
        }
    }

    fn server_ack(&self, ack: &ServerAck) -> EngineSignal {
        EngineSignal::ServerAck {
            id: WaMessageId::from_wire(ack.id.as_str()),
            // A refusal without a number is still a refusal.
            refused: ack.error.as_deref().map(|code| code.parse().unwrap_or(0)),
            timestamp: ack
                .timestamp
                .map_or_else(|| self.clock.now().seconds(), |time| time.timestamp()),
        }
    }

    async fn receipt(&self, receipt: &Receipt) {
        let kind = match receipt.r#type {
            ReceiptType::Delivered | ReceiptType::Inactive => ReceiptKind::Delivered,
            ReceiptType::Read => ReceiptKind::Read,
            ReceiptType::Played => ReceiptKind::Played,
            ReceiptType::ReadSelf => return self.read_elsewhere(receipt).await,
            // Our own devices' copies and readings, retries, and the library's own protocols.
            _ => return,
        };
        let source = &receipt.source;
        if people::is_own(&self.client, &source.sender) {
            if kind != ReceiptKind::Delivered {
                self.read_elsewhere(receipt).await;
            }
            return;
        }
        people::learn_pair(&self.client, &source.sender, source.sender_alt.as_ref()).await;
        // In a group the other address belongs to the member who answered, not to the chat.
        let alt = source.sender_alt.as_ref().filter(|_| people::is_person(&source.chat));
        let Some(chat) = people::canonical(&self.client, &source.chat, alt).await else { return };
        let member = !people::is_person(&source.chat);
        let participant = match member {
            true => {
                people::canonical(&self.client, &source.sender, source.sender_alt.as_ref()).await
            }
            false => None,
        };
        let ids = receipt.message_ids.iter().map(|id| WaMessageId::from_wire(id.as_str()));
        self.signal(EngineSignal::Receipt {
            chat,
            participant,
            ids: ids.collect(),
            kind,
            timestamp: receipt.timestamp.timestamp(),
        })
        .await;
    }

    /// Another device of this account showed the chat. Of a chat with one person such a receipt may name nothing but
    /// this account; the shared state of the devices then says the same.
    async fn read_elsewhere(&self, receipt: &Receipt) {
        let source = &receipt.source;
        let chat = source.recipient.as_ref().unwrap_or(&source.chat);
        if people::is_own(&self.client, chat) {
            return;
        }
        let chat = people::canonical(&self.client, chat, None).await;
        let mark = ChatMark::Read(true);
        self.tell_if(chat.map(|chat| EngineSignal::ChatMark { chat, mark })).await;
    }

    /// The last QR code is gone, but a pairing code may still be on somebody's screen.
    fn expire_pairing_code(&self) {
        let link = self.link.clone();
        self.tasks.start(async move {
            tokio::time::sleep(CODE_LIFE).await;
            if !link.is_paired() {
                link.fail(LossCause::PairingExpired);
            }
        });
    }

    fn show_presence_after(&self, delay: Duration) {
        let (client, own) = (self.client.clone(), self.own_presence.clone());
        self.tasks.start(async move {
            tokio::time::sleep(delay).await;
            own.again(&client).await;
        });
    }
}

fn identity(person: &GroupPerson) -> Option<Identity> {
    Some(Identity { lid: person.lid.clone()?, phone: person.phone.clone()? })
}
