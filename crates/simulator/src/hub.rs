//! What every part of the network shares.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use whatsapp_rust::wacore_binary::Node;

use crate::{
    faults::Faults,
    limits::Limits,
    media::MediaStore,
    network::NetworkOptions,
    noise::ServerIdentity,
    persist::Disk,
    phone::PhoneInput,
    record::Recorder,
    server::{passkey::Passkeys, queue::QueueResult},
    state::{DeviceKey, ServerState},
};

/// Shared by the server's connections, the phones and the handles a test holds.
pub(crate) struct Hub {
    state: Mutex<ServerState>,
    random: Mutex<StdRng>,
    pub(crate) identity: ServerIdentity,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    pub(crate) passkeys: Passkeys,
    pub(crate) recorder: Recorder,
    /// Holds every stanza to a client back, as distance does.
    pub(crate) latency: Duration,
    pub(crate) media: Arc<MediaStore>,
    pub(crate) disk: Option<Disk>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Hub {
    pub(crate) fn new(
        identity: ServerIdentity,
        disk: Option<Disk>,
        shape: &NetworkOptions,
        media_host: String,
    ) -> Self {
        let random = match shape.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => rand::make_rng(),
        };
        Self {
            state: Mutex::new(ServerState::default()),
            random: Mutex::new(random),
            identity,
            faults: Faults::default(),
            limits: Limits::default(),
            passkeys: Passkeys::default(),
            recorder: Recorder::default(),
            latency: shape.latency,
            media: Arc::new(MediaStore::new(media_host)),
            disk,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// The network's memory. Never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a stanza for a device, and delivers it if it can be: the phone has a mailbox, a linked device a queue.
    pub(crate) fn deliver(&self, state: &mut ServerState, to: &DeviceKey, node: Arc<Node>) {
        let Some(account) = state.accounts.get_mut(&to.phone) else {
            return;
        };
        let kept = if to.device == 0 {
            account.handset.give(PhoneInput::Stanza(node))
        } else if let Some(device) = account.devices.get_mut(&to.device) {
            device.queue.add(node, device.link.as_ref()) == QueueResult::Kept
        } else {
            true
        };
        if !kept {
            self.recorder.overflowed();
        }
    }

    /// Says that accounts or devices changed, so that the directory is brought up to date.
    pub(crate) fn changed(&self) {
        if let Some(disk) = &self.disk {
            disk.changed();
        }
    }

    /// A number for a new connection.
    pub(crate) fn next_link(&self) -> u64 {
        let mut state = self.state();
        state.last_link += 1;
        state.last_link
    }

    /// A fresh id for a message of a phone.
    pub(crate) fn message_id(&self) -> String {
        let (high, low): (u32, u64) = self.draw();
        format!("3A{high:08X}{low:016X}")
    }

    /// A fresh id for a stanza of the server.
    pub(crate) fn stanza_id(&self) -> String {
        let (number, _): (u64, u8) = self.draw();
        format!("{number:016X}")
    }

    /// Numbers the server chooses: ids and LIDs. Repeatable when a seed was given; keys never come from here.
    pub(crate) fn draw<A, B>(&self) -> (A, B)
    where
        rand::distr::StandardUniform: rand::distr::Distribution<A> + rand::distr::Distribution<B>,
    {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        (random.random(), random.random())
    }

    /// Random bytes the server chooses, e.g. pairing references.
    pub(crate) fn draw_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.fill_bytes(&mut bytes);
        bytes
    }
}
