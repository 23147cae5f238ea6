//! Making a linked device without pairing: the network plays both sides and hands over what the engine would have
//! stored. The engine then logs in by Noise IK, which never checks the certificate's signatures, so this works with an
//! engine that verifies certificates in full.

use std::{collections::VecDeque, sync::Arc};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use whatsapp_rust::{
    buffa::Message as _,
    wacore::{
        libsignal::{protocol::KeyPair, store::record_helpers::encode_pre_key_record_to},
        store::{Device as EngineDevice, traits::AppStateSyncKey},
    },
    wacore_binary::Jid,
};

use crate::{
    hub::Hub,
    keys::SignedKey,
    noise::public_bytes,
    phone::app_key_fingerprint,
    server::{devices, queue::DeviceQueue},
    state::{AccountState, Device, DeviceKey, sign},
};

/// One-time keys made for a provisioned device. Each contact that opens a session uses one; the device uploads more
/// when few are left.
const ONE_TIME_KEYS: u32 = 100;

/// A device that is already linked, as the engine would have stored it after pairing.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProvisionedDevice {
    /// The device, with the server's certificate in it.
    pub device: EngineDevice,
    /// Its number in the account.
    pub device_id: u16,
    /// One-time prekeys the network already has: id and the record as `store_prekey` takes it.
    pub prekeys: Vec<(u32, Vec<u8>)>,
    /// Id and content of the account's app-state key.
    pub app_state_key: (Vec<u8>, AppStateSyncKey),
    /// Phone number of the account.
    pub phone: String,
    /// LID of the account, without server.
    pub lid: String,
}

/// Adds a device to an account.
pub(crate) fn provision(hub: &Hub, phone: &str) -> Result<ProvisionedDevice> {
    let mut state = hub.state();
    let account = state.account_mut(phone)?;
    let (number, key_index) = account.take_device_number();
    let mut device = EngineDevice::new();
    let identity = public_bytes(&device.identity_key);
    let mut signed = account.sign_device(key_index, &identity)?;
    let message = [
        &sign::DEVICE[..],
        signed.details.as_deref().unwrap_or_default(),
        &identity,
        &account.keys.identity_public(),
    ]
    .concat();
    let signature = device.identity_key.calculate_signature(&message, &mut rand::rng())?;
    signed.device_signature = Some(signature.to_vec());
    let device_identity = signed.encode_to_vec();

    device.pn = Some(Jid::pn_device(phone, number));
    device.lid = Some(Jid::lid_device(account.lid.as_str(), number));
    device.account = Some(Arc::new(signed));
    device.push_name = account.name.clone();
    device.server_cert_chain = Some(hub.identity.cached.clone());
    device.next_pre_key_id = ONE_TIME_KEYS + 1;
    device.first_unupload_pre_key_id = ONE_TIME_KEYS + 1;
    device.server_has_prekeys = true;

    let (prekeys, one_time) = one_time_keys();
    account.devices.insert(
        number,
        Device {
            id: number,
            key_index,
            noise_key: public_bytes(&device.noise_key),
            identity,
            registration_id: device.registration_id,
            signed: SignedKey {
                id: device.signed_pre_key_id,
                public: public_bytes(&device.signed_pre_key),
                signature: device.signed_pre_key_signature.to_vec(),
            },
            one_time,
            device_identity,
            link: None,
            queue: DeviceQueue::new(),
        },
    );
    let provisioned = ProvisionedDevice {
        device,
        device_id: number,
        prekeys,
        app_state_key: app_state_key(account),
        phone: account.phone.clone(),
        lid: account.lid.clone(),
    };
    devices::announce_added(hub, &mut state, &DeviceKey::new(phone, number))?;
    Ok(provisioned)
}

type PrivateKeys = Vec<(u32, Vec<u8>)>;
type PublicKeys = VecDeque<(u32, [u8; 32])>;

fn one_time_keys() -> (PrivateKeys, PublicKeys) {
    let mut private = Vec::new();
    let mut public = VecDeque::new();
    for id in 1..=ONE_TIME_KEYS {
        let pair = KeyPair::generate(&mut rand::rng());
        let mut record = Vec::new();
        encode_pre_key_record_to(id, &pair, &mut record);
        private.push((id, record));
        public.push_back((id, public_bytes(&pair)));
    }
    (private, public)
}

fn app_state_key(account: &AccountState) -> (Vec<u8>, AppStateSyncKey) {
    let key = AppStateSyncKey {
        key_data: account.app_key.data.to_vec(),
        fingerprint: app_key_fingerprint().encode_to_vec(),
        timestamp: account.app_key.timestamp,
    };
    (account.app_key.id.to_vec(), key)
}
