//! Keeping a network on disk, so that devices can log in again after a restart.
//!
//! One JSON file holds the server's certificate and, per account, its keys, settings and linked devices. It is written
//! whole to a second file and renamed over the first, when an account or device changes (before the call that changed
//! it returns) and shortly after other changes.
//!
//! Not kept: queues, groups' message history, media, Signal sessions and one-time keys of phones. After a restart a
//! phone opens fresh sessions by itself; a message that a device encrypted in an old session is answered by a retry
//! receipt, and the device encrypts it again.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};
use whatsapp_rust::wacore::libsignal::protocol::{
    IdentityKey, IdentityKeyPair, KeyPair, PrivateKey,
};

use crate::{
    hub::Hub,
    keys::{PhoneKeys, SignedKey},
    noise::ServerIdentity,
    phone::Phone,
    server::{
        groups::{GroupExtras, ServerGroup, ServerMember},
        queue::DeviceQueue,
    },
    state::{AccountState, AppKey, Device},
    wire::key32,
};

const FILE: &str = "network.json";
/// Layout of the file. Another number is refused: a network is made anew rather than guessed.
const VERSION: u32 = 1;
/// How long small changes are gathered before the file is written.
const GATHER: Duration = Duration::from_millis(300);

/// The directory of a network.
pub(crate) struct Disk {
    directory: PathBuf,
    dirty: Notify,
    writing: Mutex<()>,
}

impl Disk {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), dirty: Notify::new(), writing: Mutex::new(()) }
    }

    pub(crate) fn changed(&self) {
        self.dirty.notify_one();
    }

    /// Reads what an earlier network left, if anything.
    pub(crate) fn load(&self) -> Result<Option<NetworkFile>> {
        let path = self.directory.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let read = || -> Result<NetworkFile> {
            let file: NetworkFile = serde_json::from_slice(&std::fs::read(&path)?)?;
            anyhow::ensure!(file.version == VERSION, "layout {}", file.version);
            Ok(file)
        };
        let file = read().with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(file))
    }

    /// Writes the network as it is now.
    pub(crate) async fn save(&self, hub: &Hub) -> Result<()> {
        let _turn = self.writing.lock().await;
        let file = serde_json::to_vec_pretty(&NetworkFile::of(hub))?;
        let directory = self.directory.clone();
        tokio::task::spawn_blocking(move || write(&directory, &file)).await?
    }

    /// Writes small changes until the network stops.
    pub(crate) fn keep_up(hub: &Arc<Hub>) {
        let hub = hub.clone();
        let stop = hub.stop.clone();
        hub.tasks.clone().spawn(async move {
            let work = async {
                let Some(disk) = &hub.disk else {
                    return;
                };
                loop {
                    disk.dirty.notified().await;
                    tokio::time::sleep(GATHER).await;
                    if let Err(error) = disk.save(&hub).await {
                        tracing::error!("cannot write the network down: {error:#}");
                    }
                }
            };
            let _ = stop.run_until_cancelled(work).await;
        });
    }
}

fn write(directory: &Path, file: &[u8]) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let partial = directory.join(format!("{FILE}.new"));
    {
        use std::io::Write as _;
        let mut handle = std::fs::File::create(&partial)?;
        handle.write_all(file)?;
        handle.sync_all()?;
    }
    std::fs::rename(&partial, directory.join(FILE))?;
    Ok(())
}

/// What the file of a network holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct NetworkFile {
    version: u32,
    server_key: HexBytes,
    certificate_chain: HexBytes,
    #[serde(default)]
    root: Option<HexBytes>,
    accounts: Vec<AccountFile>,
    groups: Vec<GroupFile>,
}

#[derive(Serialize, Deserialize)]
struct AccountFile {
    phone: String,
    lid: String,
    name: String,
    raw_id: u32,
    next_device: u16,
    next_key_index: u32,
    identity_key: HexBytes,
    registration_id: u32,
    signed_key: HexBytes,
    app_key_id: HexBytes,
    app_key: HexBytes,
    app_key_timestamp: i64,
    app_state: Vec<(String, Vec<HexBytes>)>,
    about: String,
    picture: Option<HexBytes>,
    devices: Vec<DeviceFile>,
}

#[derive(Serialize, Deserialize)]
struct DeviceFile {
    id: u16,
    key_index: u32,
    noise_key: HexBytes,
    identity: HexBytes,
    registration_id: u32,
    signed_id: u32,
    signed_key: HexBytes,
    signed_signature: HexBytes,
    one_time: Vec<(u32, HexBytes)>,
    device_identity: HexBytes,
}

#[derive(Serialize, Deserialize)]
struct GroupFile {
    jid: String,
    subject: String,
    description: Option<(String, String)>,
    creator: String,
    created: u64,
    members: Vec<(String, bool)>,
    invite: String,
    announcement: bool,
    locked: bool,
    #[serde(default)]
    rest: GroupExtras,
}

/// Bytes as hexadecimal text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct HexBytes(Vec<u8>);

impl TryFrom<String> for HexBytes {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        hex::decode(text).map(Self)
    }
}

impl From<HexBytes> for String {
    fn from(bytes: HexBytes) -> Self {
        hex::encode(bytes.0)
    }
}

impl HexBytes {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    fn key(&self) -> Result<[u8; 32]> {
        key32(&self.0)
    }

    fn pair(&self) -> Result<KeyPair> {
        let private = PrivateKey::deserialize(&self.0)?;
        Ok(KeyPair::new(private.public_key()?, private))
    }
}

impl NetworkFile {
    fn of(hub: &Hub) -> Self {
        let state = hub.state();
        let mut accounts: Vec<AccountFile> = state.accounts.values().map(AccountFile::of).collect();
        accounts.sort_by(|a, b| a.phone.cmp(&b.phone));
        Self {
            version: VERSION,
            server_key: HexBytes::of(hub.identity.key.private_key.serialize()),
            certificate_chain: HexBytes::of(&hub.identity.chain),
            root: hub.identity.root.as_ref().map(|root| HexBytes::of(root)),
            accounts,
            groups: state.groups.values().map(GroupFile::of).collect(),
        }
    }

    pub(crate) fn identity(&self) -> Result<ServerIdentity> {
        let chain = self.certificate_chain.0.clone();
        let root = self.root.as_ref().map(HexBytes::key).transpose()?;
        Ok(ServerIdentity { root, ..ServerIdentity::from_parts(self.server_key.pair()?, chain)? })
    }

    /// Puts the accounts back, each with a running phone.
    pub(crate) fn restore(self, hub: &Arc<Hub>) -> Result<()> {
        for file in self.accounts {
            let name = file.phone.clone();
            let account =
                file.restore(hub).with_context(|| format!("cannot restore account {name}"))?;
            let mut state = hub.state();
            state.phones_by_lid.insert(account.lid.clone(), account.phone.clone());
            state.accounts.insert(account.phone.clone(), account);
        }
        for file in self.groups {
            let group = file.restore()?;
            hub.state().groups.insert(group.jid.to_string(), group);
        }
        Ok(())
    }
}

impl AccountFile {
    fn of(account: &AccountState) -> Self {
        let app_state = account.app_state.iter().map(|(name, patches)| {
            let patches = patches.iter().map(|patch| HexBytes::of(patch)).collect();
            (name.clone(), patches)
        });
        Self {
            phone: account.phone.clone(),
            lid: account.lid.clone(),
            name: account.name.clone(),
            raw_id: account.raw_id,
            next_device: account.next_device,
            next_key_index: account.next_key_index,
            identity_key: HexBytes::of(account.keys.identity.private_key().serialize()),
            registration_id: account.keys.registration_id,
            signed_key: HexBytes::of(account.keys.signed.private_key.serialize()),
            app_key_id: HexBytes::of(&account.app_key.id),
            app_key: HexBytes::of(&account.app_key.data),
            app_key_timestamp: account.app_key.timestamp,
            app_state: app_state.collect(),
            about: account.about.clone(),
            picture: account.picture.as_deref().map(HexBytes::of),
            devices: account.devices.values().map(DeviceFile::of).collect(),
        }
    }

    fn restore(self, hub: &Arc<Hub>) -> Result<AccountState> {
        let identity = self.identity_key.pair()?;
        let identity =
            IdentityKeyPair::new(IdentityKey::new(identity.public_key), identity.private_key);
        let keys = PhoneKeys::from_parts(identity, self.registration_id, self.signed_key.pair()?)?;
        let keys = Arc::new(keys);
        let app_key_id = self.app_key_id.0.as_slice().try_into();
        let app_state = self.app_state.into_iter().map(|(name, patches)| {
            let patches = patches.into_iter().map(|patch| patch.0).collect();
            (name, patches)
        });
        let mut devices = std::collections::BTreeMap::new();
        for file in self.devices {
            devices.insert(file.id, file.restore()?);
        }
        Ok(AccountState {
            handset: Phone::start(hub, &self.phone, &keys),
            keys,
            app_key: AppKey {
                id: app_key_id.context("an app-state key id of odd size")?,
                data: self.app_key.key()?,
                timestamp: self.app_key_timestamp,
            },
            app_state: app_state.collect(),
            number_hidden: false,
            refuses_groups: false,
            phone: self.phone,
            lid: self.lid,
            name: self.name,
            raw_id: self.raw_id,
            next_device: self.next_device,
            next_key_index: self.next_key_index,
            devices,
            watchers: Default::default(),
            about: self.about,
            picture: self.picture.map(|picture| picture.0),
            blocked: Vec::new(),
        })
    }
}

impl DeviceFile {
    fn of(device: &Device) -> Self {
        let one_time = device.one_time.iter();
        Self {
            id: device.id,
            key_index: device.key_index,
            noise_key: HexBytes::of(&device.noise_key),
            identity: HexBytes::of(&device.identity),
            registration_id: device.registration_id,
            signed_id: device.signed.id,
            signed_key: HexBytes::of(&device.signed.public),
            signed_signature: HexBytes::of(&device.signed.signature),
            one_time: one_time.map(|key| (key.0, HexBytes::of(&key.1))).collect(),
            device_identity: HexBytes::of(&device.device_identity),
        }
    }

    fn restore(self) -> Result<Device> {
        let mut one_time = VecDeque::with_capacity(self.one_time.len());
        for (id, key) in self.one_time {
            one_time.push_back((id, key.key()?));
        }
        Ok(Device {
            id: self.id,
            key_index: self.key_index,
            noise_key: self.noise_key.key()?,
            identity: self.identity.key()?,
            registration_id: self.registration_id,
            signed: SignedKey {
                id: self.signed_id,
                public: self.signed_key.key()?,
                signature: self.signed_signature.0,
            },
            one_time,
            device_identity: self.device_identity.0,
            link: None,
            queue: DeviceQueue::new(),
        })
    }
}

impl GroupFile {
    fn of(group: &ServerGroup) -> Self {
        let members = group.members.iter();
        Self {
            jid: group.jid.to_string(),
            subject: group.subject.clone(),
            description: group.description.clone(),
            creator: group.creator.clone(),
            created: group.created,
            members: members.map(|one| (one.phone.clone(), one.admin)).collect(),
            invite: group.invite.clone(),
            announcement: group.announcement,
            locked: group.locked,
            rest: group.rest.clone(),
        }
    }

    fn restore(self) -> Result<ServerGroup> {
        let members = self.members.into_iter();
        Ok(ServerGroup {
            jid: self.jid.parse()?,
            subject: self.subject,
            description: self.description,
            creator: self.creator,
            created: self.created,
            members: members.map(|(phone, admin)| ServerMember { phone, admin }).collect(),
            invite: self.invite,
            announcement: self.announcement,
            locked: self.locked,
            rest: self.rest,
        })
    }
}
