//! The way to a loaded session, and what others may look at while its task runs.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64},
};

use super::passkey::PasskeyView;
use domain::{
    PhoneNumber,
    port::{Connection, Lease, StoreResult},
    session::SessionStatus,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::qr::ShownQr;

/// Commands that may wait; a caller waits for a place.
const COMMANDS_MAX: usize = 16;

/// Told when a command is done, and whether that is in the ledger.
pub(crate) type Done = oneshot::Sender<StoreResult<()>>;

/// What a person asked for.
pub(crate) enum Command {
    /// Close and stay down.
    Stop(Done),
    /// Unlink, delete the keys, stay down.
    Logout {
        done: Done,
        /// Set when WhatsApp confirmed.
        unlinked: Arc<AtomicBool>,
    },
}

/// The way to a loaded session. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SessionHandle {
    commands: mpsc::Sender<Command>,
    shared: Arc<SharedState>,
}

/// Outlives a task that panics: the next one goes on with it.
pub(super) struct SharedState {
    /// The right to run it, of the present life.
    lease: Mutex<Lease>,
    /// Told to renew it at once.
    pub(super) called: Notify,
    pub(super) qr: Mutex<Option<ShownQr>>,
    pub(super) passkey: Mutex<Option<PasskeyView>>,
    pub(super) connection: Mutex<Option<Arc<dyn Connection>>>,
    pub(super) account: Arc<Mutex<Option<PhoneNumber>>>,
    pub(super) last_active: Arc<AtomicI64>,
    /// Where its life stands, whether or not the record says so already.
    pub(super) status: Mutex<Option<SessionStatus>>,
    /// Cancelled to drop the task where it stands.
    pub(super) killed: CancellationToken,
    /// Cancelled when the first step is done.
    pub(super) begun: CancellationToken,
    /// Cancelled when the session is not loaded any more.
    pub(super) ended: CancellationToken,
}

pub(super) fn put<T>(slot: &Mutex<Option<T>>, value: Option<T>) -> Option<T> {
    std::mem::replace(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner), value)
}

pub(super) fn look<T: Clone>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl SharedState {
    pub(super) fn new(lease: Lease) -> Self {
        Self {
            lease: Mutex::new(lease),
            called: Notify::new(),
            qr: Mutex::default(),
            passkey: Mutex::default(),
            connection: Mutex::default(),
            account: Arc::default(),
            last_active: Arc::default(),
            status: Mutex::default(),
            killed: CancellationToken::new(),
            begun: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// The right to run it.
    pub(super) fn lease(&self) -> Lease {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another life begins.
    pub(super) fn renew(&self, lease: Lease) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }
}

impl SessionHandle {
    /// A handle to one life of a task, and the commands that the life takes.
    pub(super) fn new(shared: Arc<SharedState>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, taken) = mpsc::channel(COMMANDS_MAX);
        (Self { commands, shared }, taken)
    }

    /// The right to run it.
    pub(crate) fn lease(&self) -> Lease {
        self.shared.lease()
    }

    /// Gives a command for which nobody waits. Without a place for it nothing happens.
    pub(super) fn order(&self, command: impl FnOnce(Done) -> Command) {
        let (done, _) = oneshot::channel();
        let _ = self.commands.try_send(command(done));
    }

    /// Looks at once at what is wanted of the session, and whether it is held.
    pub(super) fn call(&self) {
        self.shared.called.notify_one();
    }

    /// The QR code that waits to be scanned.
    pub(crate) fn qr(&self) -> Option<ShownQr> {
        look(&self.shared.qr)
    }

    /// How far linking with a passkey is.
    pub(crate) fn passkey(&self) -> Option<PasskeyView> {
        look(&self.shared.passkey)
    }

    /// The connection, whatever its state.
    pub(crate) fn connection(&self) -> Option<Arc<dyn Connection>> {
        look(&self.shared.connection)
    }

    /// Where its life stands, whether or not the record says so already.
    pub(crate) fn status(&self) -> SessionStatus {
        look(&self.shared.status).unwrap_or(SessionStatus::Initializing)
    }
    pub(crate) fn account(&self) -> Option<PhoneNumber> {
        look(&self.shared.account)
    }

    /// The connection, if it is logged in.
    pub(crate) fn ready(&self) -> Option<Arc<dyn Connection>> {
        self.connection().filter(|_| self.status() == SessionStatus::Ready)
    }

    /// Gives a command and waits until the session is unloaded; nothing when nobody took the command: the task has
    /// ended, or it panicked and waits for its next life.
    pub(crate) async fn command(
        &self,
        command: impl FnOnce(Done) -> Command,
    ) -> Option<StoreResult<()>> {
        let (done, told) = oneshot::channel();
        self.commands.send(command(done)).await.ok()?;
        let done = told.await.ok()?;
        self.shared.ended.cancelled().await;
        Some(done)
    }

    /// Drops the task where it stands and waits until it is gone.
    pub(crate) async fn kill(&self) {
        self.shared.killed.cancel();
        self.shared.ended.cancelled().await;
    }
}
