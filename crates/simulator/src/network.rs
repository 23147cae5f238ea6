//! A running network, as a test, a sandbox or the program holds it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

use crate::{
    account::Account,
    faults::Faults,
    hub::Hub,
    keys::PhoneKeys,
    media::{self, MEDIA_HOST, MediaHttp},
    media_tls::{self, MediaCertificate},
    noise::ServerIdentity,
    persist::Disk,
    phone::Phone,
    provision::{self, ProvisionedDevice},
    record::NetworkRecord,
    server::{self, devices, pairing},
    state::{self, AppKey, DeviceKey},
    wire::now_seconds,
};

/// How long `shutdown` waits for connections and phones to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How to start a network.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Port of the chat server on loopback; `None` for a free one.
    pub port: Option<u16>,
    /// Port of the media host on loopback; `None` for a free one.
    pub media_port: Option<u16>,
    /// Where to keep the network, so that its devices can log in again after a restart; `None` to forget it.
    pub data_dir: Option<PathBuf>,
    /// Makes the numbers the server chooses (LIDs, ids) repeatable. Keys are random all the same.
    pub seed: Option<u64>,
    /// How long every stanza to a client takes, as over a distance.
    pub latency: Duration,
    /// Serves media over TLS with a certificate made for this run, and names the host by its real address.
    pub media_tls: bool,
    /// Panics at the end of the network when something that a client said was not understood or not answered, so that
    /// a test fails by itself. [`Network::start`] does; [`Network::forgive`] takes it back.
    pub strict: bool,
}

/// A running network. Cheap to clone; dropping the last clone stops it.
#[derive(Clone)]
pub struct Network {
    hub: Arc<Hub>,
    chat: SocketAddr,
    media: SocketAddr,
    stops: Arc<StopOnDrop>,
    tls: Option<Arc<MediaCertificate>>,
}

struct StopOnDrop {
    hub: Arc<Hub>,
    strict: AtomicBool,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.hub.stop.cancel();
        if !self.strict.load(Ordering::Relaxed) || std::thread::panicking() {
            return;
        }
        if let Err(error) = self.hub.recorder.snapshot().answers_everything() {
            panic!("{error:#}");
        }
    }
}

impl Network {
    /// Starts an empty network for a test, on free ports of 127.0.0.1, kept nowhere: at its end everything must have
    /// been answered.
    pub async fn start() -> Result<Self> {
        Self::start_with(NetworkOptions { strict: true, ..NetworkOptions::default() }).await
    }

    /// Starts a network.
    ///
    /// # Errors
    /// When a port is taken, or the directory holds something that is not a network.
    pub async fn start_with(options: NetworkOptions) -> Result<Self> {
        let disk = options.data_dir.as_deref().map(Disk::new);
        let file = match &disk {
            Some(disk) => disk.load()?,
            None => None,
        };
        let identity = match &file {
            Some(file) => file.identity()?,
            None => ServerIdentity::generate()?,
        };
        let chat = listen(options.port).await?;
        let media = listen(options.media_port).await?;
        let media_host = match options.media_tls {
            true => media.local_addr()?.to_string(),
            false => MEDIA_HOST.to_owned(),
        };
        let tls = match options.media_tls {
            true => Some(Arc::new(MediaCertificate::generate()?)),
            false => None,
        };
        let hub = Arc::new(Hub::new(identity, disk, &options, media_host));
        let strict = AtomicBool::new(options.strict);
        let network = Self {
            chat: chat.local_addr()?,
            media: media.local_addr()?,
            stops: Arc::new(StopOnDrop { hub: hub.clone(), strict }),
            tls,
            hub,
        };
        if let Some(file) = file {
            file.restore(&network.hub)?;
        }
        network.save().await?;
        Disk::keep_up(&network.hub);
        server::serve(&network.hub, chat);
        match &network.tls {
            Some(tls) => media_tls::serve(&network.hub, media, tls),
            None => media::serve(&network.hub, media),
        }
        Ok(network)
    }

    /// Address of the chat server, for the engine's transport.
    pub fn chat_url(&self) -> String {
        format!("ws://{}/ws/chat", self.chat)
    }

    /// Address of the media host. Clients ask for `https://media.sim.invalid/…`: map that to this address. With
    /// [`NetworkOptions::media_tls`] they ask for this address itself.
    pub fn media_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.media)
    }

    /// The certificate of the media host as PEM, when it speaks TLS.
    pub fn media_certificate(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.pem())
    }

    /// The public key that signs the server's certificate chain, for clients that check it. Unknown for a network that
    /// was written down before roots were kept.
    pub fn root_key(&self) -> Option<[u8; 32]> {
        self.hub.identity.root
    }

    /// Numbers of all accounts, in order.
    pub fn phones(&self) -> Vec<String> {
        let mut phones: Vec<String> = self.hub.state().accounts.keys().cloned().collect();
        phones.sort();
        phones
    }

    /// Whether everything that clients said so far was read, understood and answered; the error lists what was not.
    pub fn answers_everything(&self) -> Result<()> {
        self.record().answers_everything()
    }

    /// For a test that lets a client say what nobody understands: the end of the network does not panic.
    pub fn forgive(&self) {
        self.stops.strict.store(false, Ordering::Relaxed);
    }

    /// The media host in process, as the engine's HTTP client.
    pub fn media_http(&self) -> MediaHttp {
        MediaHttp::new(&self.hub.media)
    }

    /// A person with a phone. Idempotent: an account that exists keeps its name and everything else.
    pub async fn add_account(&self, phone: &str, name: &str) -> Account {
        // Keys are made outside the lock; those of an account that exists already are dropped.
        let made = self.make_account(phone, name);
        let added = {
            let mut state = self.hub.state();
            let exists = state.accounts.contains_key(phone);
            if !exists {
                state.phones_by_lid.insert(made.lid.clone(), made.phone.clone());
                state.accounts.insert(made.phone.clone(), made);
            }
            !exists
        };
        if added && let Err(error) = self.save().await {
            tracing::error!("cannot write the new account down: {error:#}");
        }
        match Account::find(&self.hub, phone) {
            Ok(account) => account,
            Err(_) => unreachable!("accounts are never removed"),
        }
    }

    fn make_account(&self, phone: &str, name: &str) -> state::AccountState {
        let keys = match PhoneKeys::generate() {
            Ok(keys) => Arc::new(keys),
            Err(error) => unreachable!("signing with a fresh key cannot fail: {error}"),
        };
        let (lid, raw_id): (u64, u32) = self.hub.draw();
        state::AccountState {
            handset: Phone::start(&self.hub, phone, &keys),
            keys,
            phone: phone.to_owned(),
            lid: format!("1{:014}", lid % 100_000_000_000_000),
            name: name.to_owned(),
            raw_id: raw_id >> 1,
            next_device: 1,
            next_key_index: 1,
            devices: BTreeMap::new(),
            app_key: AppKey {
                id: rand::random(),
                data: rand::random(),
                timestamp: i64::try_from(now_seconds()).unwrap_or(i64::MAX),
            },
            app_state: HashMap::new(),
            number_hidden: false,
            refuses_groups: false,
            watchers: HashSet::new(),
            about: String::new(),
            picture: None,
            blocked: Vec::new(),
        }
    }

    /// People may ask for `phone` by another number, for instance without the ninth digit: look-ups then name the
    /// registered one.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn add_alias(&self, dialled: &str, phone: &str) -> Result<()> {
        let mut state = self.hub.state();
        state.account(phone)?;
        state.aliases.insert(dialled.to_owned(), phone.to_owned());
        Ok(())
    }

    /// The media host forgets every file, as it does with old ones.
    pub fn forget_media(&self) {
        self.hub.media.forget();
    }

    /// Paths and queries of the last requests to the media host, oldest first.
    pub fn media_requests(&self) -> Vec<String> {
        self.hub.media.asked()
    }

    /// The account with this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn account(&self, phone: &str) -> Result<Account> {
        Account::find(&self.hub, phone)
    }

    /// The person scans the QR code a client shows. The phone then shares the account's app-state key by itself.
    /// Returns the number of the new device, or 0 when the client has to show the account's passkey first.
    ///
    /// # Errors
    /// When the account does not exist, or no client that waits here shows this code.
    pub async fn scan_qr(&self, phone: &str, qr: &str) -> Result<u16> {
        pairing::scan_qr(&self.hub, phone, qr)
    }

    /// The person types the 8-character code a client shows.
    ///
    /// # Errors
    /// When the account does not exist or no client waits for a code of this number. A wrong code is noticed by the
    /// client, not here.
    pub async fn enter_code(&self, phone: &str, code: &str) -> Result<()> {
        let (hub, phone, code) = (self.hub.clone(), phone.to_owned(), code.to_owned());
        // The key derivation takes long enough to deserve a thread of its own.
        tokio::task::spawn_blocking(move || pairing::enter_code(&hub, &phone, &code)).await?
    }

    /// A device already linked to `phone`, as the engine would have stored it after pairing: it logs in by Noise IK.
    ///
    /// # Errors
    /// When the account does not exist or the directory cannot be written.
    pub async fn provision_device(&self, phone: &str) -> Result<ProvisionedDevice> {
        let provisioned = provision::provision(&self.hub, phone)?;
        self.save().await?;
        Ok(provisioned)
    }

    /// The person removes a linked device on the phone: its link ends with `device_removed`, and it cannot log in
    /// again.
    ///
    /// # Errors
    /// When there is no such device, or the directory cannot be written.
    pub async fn unlink(&self, phone: &str, device: u16) -> Result<()> {
        let key = DeviceKey::new(phone, device);
        devices::unlink(&self.hub, &key, devices::RemovedBy::Phone)?;
        self.save().await
    }

    /// Closes the link of a device, which may log in again at once. Does nothing when it is not connected.
    pub async fn kick(&self, phone: &str, device: u16) {
        let mut state = self.hub.state();
        if let Ok(device) = state.device_mut(&DeviceKey::new(phone, device))
            && let Some(link) = &device.link
        {
            link.close();
        }
    }

    /// Whether a device has a link now.
    pub fn is_connected(&self, phone: &str, device: u16) -> bool {
        let mut state = self.hub.state();
        let device = state.device_mut(&DeviceKey::new(phone, device));
        device.is_ok_and(|device| device.link.is_some())
    }

    /// What waits for a device, oldest first: stanza and id.
    pub fn queued(&self, phone: &str, device: u16) -> Vec<(String, String)> {
        let mut state = self.hub.state();
        let device = state.device_mut(&DeviceKey::new(phone, device));
        device.map_or_else(|_| Vec::new(), |device| device.queue.list())
    }

    /// The faults that the network injects.
    pub fn faults(&self) -> &Faults {
        &self.hub.faults
    }

    /// A copy of what the network saw.
    pub fn record(&self) -> NetworkRecord {
        self.hub.recorder.snapshot()
    }

    /// Stops the network, writes it down if it has a directory, and waits until its parts have ended.
    pub async fn shutdown(&self) {
        self.hub.stop.cancel();
        self.hub.tasks.close();
        let ended = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.hub.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!("parts of the network still run after {SHUTDOWN_TIMEOUT:?}");
        }
        if let Err(error) = self.save().await {
            tracing::error!("cannot write the network down: {error:#}");
        }
    }

    async fn save(&self) -> Result<()> {
        match &self.hub.disk {
            Some(disk) => disk.save(&self.hub).await,
            None => Ok(()),
        }
    }
}

async fn listen(port: Option<u16>) -> Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}
