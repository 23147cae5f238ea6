//! The network's memory: accounts, their devices, groups, and who is pairing.
//!
//! Everything here sits behind one plain mutex in [`crate::hub::Hub`], held only for look-ups and list changes: the
//! Signal work of a phone happens in its own task, outside this lock.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    buffa::Message as _,
    wacore_binary::{Jid, Node, Server},
    waproto::whatsapp as wa,
};

use crate::{
    keys::{KeyBundle, PhoneKeys, SignedKey},
    phone::PhoneHandle,
    server::{
        business::Business,
        groups::ServerGroup,
        newsletters::Newsletter,
        pairing::PendingPairings,
        queue::{DeviceQueue, SocketLink},
    },
    wire::{Build, now_seconds},
};

/// Patches kept per app-state collection. Chat actions of a test are few; when full, a further patch is refused.
pub(crate) const PATCHES_MAX: usize = 10_000;

/// The first bytes of a message that an account signs, by what it is about.
pub(crate) mod sign {
    /// A device identity, signed by the account.
    pub(crate) const ACCOUNT: [u8; 2] = [6, 0];
    /// A device identity, signed by the device.
    pub(crate) const DEVICE: [u8; 2] = [6, 1];
    /// The list of an account's devices.
    pub(crate) const DEVICE_LIST: [u8; 2] = [6, 2];
}

/// One device of one account. Device 0 is the phone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DeviceKey {
    pub(crate) phone: String,
    pub(crate) device: u16,
}

impl DeviceKey {
    pub(crate) fn new(phone: &str, device: u16) -> Self {
        Self { phone: phone.to_owned(), device }
    }

    /// The address by phone number.
    pub(crate) fn pn(&self) -> Jid {
        Jid::pn_device(self.phone.as_str(), self.device)
    }
}

/// A linked device as the server knows it.
pub(crate) struct Device {
    pub(crate) id: u16,
    pub(crate) key_index: u32,
    pub(crate) noise_key: [u8; 32],
    pub(crate) identity: [u8; 32],
    pub(crate) registration_id: u32,
    pub(crate) signed: SignedKey,
    pub(crate) one_time: VecDeque<(u32, [u8; 32])>,
    /// The `ADVSignedDeviceIdentity`, complete once the device has signed its part.
    pub(crate) device_identity: Vec<u8>,
    pub(crate) link: Option<SocketLink>,
    pub(crate) queue: DeviceQueue,
}

/// A person: a phone number, a LID, a primary phone and the devices linked to it.
pub(crate) struct AccountState {
    pub(crate) phone: String,
    pub(crate) lid: String,
    pub(crate) name: String,
    /// Changes never here; on WhatsApp a new value means that the phone was registered again.
    pub(crate) raw_id: u32,
    pub(crate) next_device: u16,
    pub(crate) next_key_index: u32,
    pub(crate) keys: Arc<PhoneKeys>,
    pub(crate) handset: PhoneHandle,
    pub(crate) devices: BTreeMap<u16, Device>,
    pub(crate) app_key: AppKey,
    pub(crate) app_state: HashMap<String, Vec<Vec<u8>>>,
    /// Others see only the LID.
    pub(crate) number_hidden: bool,
    /// Devices that hear of this person's presence, as long as their links last.
    pub(crate) watchers: HashSet<DeviceKey>,
    /// Nobody may add this person to groups.
    pub(crate) refuses_groups: bool,
    pub(crate) about: String,
    pub(crate) picture: Option<Vec<u8>>,
    pub(crate) blocked: Vec<Jid>,
}

/// The key an account's devices encrypt their shared settings with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppKey {
    pub(crate) id: [u8; 6],
    pub(crate) data: [u8; 32],
    pub(crate) timestamp: i64,
}

/// Everything the server knows.
#[derive(Default)]
pub(crate) struct ServerState {
    pub(crate) accounts: HashMap<String, AccountState>,
    pub(crate) phones_by_lid: HashMap<String, String>,
    /// Numbers that people dial for an account, by what they dial.
    pub(crate) aliases: HashMap<String, String>,
    pub(crate) newsletters: HashMap<String, Newsletter>,
    /// Accounts that are businesses, by number.
    pub(crate) businesses: HashMap<String, Business>,
    pub(crate) groups: HashMap<String, ServerGroup>,
    pub(crate) pairings: PendingPairings,
    pub(crate) last_link: u64,
}

impl ServerState {
    pub(crate) fn account(&self, phone: &str) -> Result<&AccountState> {
        self.accounts.get(phone).with_context(|| format!("there is no account {phone}"))
    }

    pub(crate) fn account_mut(&mut self, phone: &str) -> Result<&mut AccountState> {
        self.accounts.get_mut(phone).with_context(|| format!("there is no account {phone}"))
    }

    pub(crate) fn device_mut(&mut self, key: &DeviceKey) -> Result<&mut Device> {
        let device = self.account_mut(&key.phone)?.devices.get_mut(&key.device);
        device.with_context(|| format!("{} has no device {}", key.phone, key.device))
    }

    /// The account an address belongs to, by phone number or by LID.
    pub(crate) fn phone_of(&self, jid: &Jid) -> Option<String> {
        match jid.server {
            Server::Lid => self.phones_by_lid.get(jid.user.as_str()).cloned(),
            Server::Pn => {
                let phone = jid.user.to_string();
                self.accounts.contains_key(&phone).then_some(phone)
            }
            _ => None,
        }
    }

    /// The same device in the address form of `like`.
    pub(crate) fn address_like(&self, key: &DeviceKey, like: Server) -> Jid {
        match (like, self.accounts.get(&key.phone)) {
            (Server::Lid, Some(account)) => Jid::lid_device(account.lid.as_str(), key.device),
            _ => key.pn(),
        }
    }

    /// A bundle to open a session with a device. Uses up one of its one-time keys.
    pub(crate) fn take_bundle(&mut self, key: &DeviceKey) -> Option<KeyBundle> {
        let account = self.accounts.get_mut(&key.phone)?;
        if key.device == 0 {
            return Some(account.keys.bundle());
        }
        let device = account.devices.get_mut(&key.device)?;
        Some(KeyBundle {
            registration_id: device.registration_id,
            identity: device.identity,
            one_time: device.one_time.pop_front(),
            signed: device.signed.clone(),
            device_identity: Some(device.device_identity.clone()),
        })
    }

    /// The live link of a device.
    pub(crate) fn link_of(&self, key: &DeviceKey) -> Option<&SocketLink> {
        self.accounts.get(&key.phone)?.devices.get(&key.device)?.link.as_ref()
    }

    /// The live links of an account.
    pub(crate) fn links_of(&self, phone: &str) -> impl Iterator<Item = &SocketLink> {
        let devices = self.accounts.get(phone).map(|account| &account.devices);
        devices
            .into_iter()
            .flat_map(|devices| devices.values())
            .filter_map(|device| device.link.as_ref())
    }
}

impl AccountState {
    /// The signed list of valid device key indexes, without which other clients skip the linked devices.
    pub(crate) fn key_index_list(&self) -> Result<Vec<u8>> {
        let details = wa::ADVKeyIndexList {
            raw_id: Some(self.raw_id),
            timestamp: Some(now_seconds()),
            current_index: Some(self.next_key_index.saturating_sub(1)),
            valid_indexes: std::iter::once(0)
                .chain(self.devices.values().map(|device| device.key_index))
                .collect(),
            ..Default::default()
        }
        .encode_to_vec();
        let signature = self.keys.sign(&[&sign::DEVICE_LIST[..], &details].concat())?;
        Ok(wa::ADVSignedKeyIndexList {
            details: Some(details),
            account_signature: Some(signature),
            ..Default::default()
        }
        .encode_to_vec())
    }

    /// The `<devices>` of an answer about this account.
    pub(crate) fn devices_node(&self) -> Result<Node> {
        let mut list = vec![Build::new("device").attr("id", "0").build()];
        for device in self.devices.values() {
            list.push(
                Build::new("device")
                    .attr("id", device.id)
                    .attr("key-index", device.key_index)
                    .build(),
            );
        }
        let mut parts = vec![Build::new("device-list").children(list).build()];
        if !self.devices.is_empty() {
            parts.push(self.key_index_node()?);
        }
        Ok(Build::new("devices").children(parts).build())
    }

    /// The `<key-index-list>` with its signed content.
    pub(crate) fn key_index_node(&self) -> Result<Node> {
        Ok(Build::new("key-index-list")
            .attr("ts", now_seconds())
            .bytes(self.key_index_list()?)
            .build())
    }

    /// Takes the next device number and key index. Numbers are never used twice.
    pub(crate) fn take_device_number(&mut self) -> (u16, u32) {
        let numbers = (self.next_device, self.next_key_index);
        self.next_device += 1;
        self.next_key_index += 1;
        numbers
    }

    /// The device identity the account vouches for, without the device's own signature.
    pub(crate) fn sign_device(
        &self,
        key_index: u32,
        identity: &[u8; 32],
    ) -> Result<wa::ADVSignedDeviceIdentity> {
        let details = wa::ADVDeviceIdentity {
            raw_id: Some(self.raw_id),
            timestamp: Some(now_seconds()),
            key_index: Some(key_index),
            ..Default::default()
        }
        .encode_to_vec();
        let message = [&sign::ACCOUNT[..], &details, identity].concat();
        Ok(wa::ADVSignedDeviceIdentity {
            account_signature: Some(self.keys.sign(&message)?),
            details: Some(details),
            account_signature_key: Some(self.keys.identity_public().to_vec()),
            ..Default::default()
        })
    }
}
