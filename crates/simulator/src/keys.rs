//! Signal key material: what a phone owns, and what the network hands out about any device.
//!
//! [`PhoneKeys`] is written once when an account is made and kept on disk. Its one-time keys are made by the server
//! when somebody asks for the phone's bundle and taken by the phone when the first message of a session arrives, so
//! both hold it. [`KeyBundle`] is the public half in the shape it travels in.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use whatsapp_rust::{
    wacore::libsignal::protocol::{
        GenericSignedPreKey as _, IdentityKey, IdentityKeyPair, KeyPair, PreKeyBundle,
        PreKeyRecord, PublicKey, SignedPreKeyRecord, Timestamp,
    },
    wacore_binary::{Jid, Node, NodeRef},
};

use crate::{
    noise::public_bytes,
    wire::{Build, big_endian, child, child_bytes, key32, now_seconds, three_bytes},
};

/// One-time keys of a phone that were handed out and not used yet. When full the oldest is forgotten; whoever uses it
/// later is asked to encrypt again.
const ONE_TIME_KEYS_MAX: usize = 4_096;
/// Id of a phone's only signed prekey: phones here do not rotate it.
const SIGNED_KEY_ID: u32 = 1;
/// Marks Curve25519 keys in a bundle.
const KEY_TYPE: u8 = 5;

/// The key material of a phone.
pub(crate) struct PhoneKeys {
    pub(crate) identity: IdentityKeyPair,
    pub(crate) registration_id: u32,
    pub(crate) signed: KeyPair,
    pub(crate) signed_signature: Vec<u8>,
    one_time: Mutex<OneTimePairs>,
}

#[derive(Default)]
struct OneTimePairs {
    last_id: u32,
    pairs: BTreeMap<u32, KeyPair>,
}

impl PhoneKeys {
    pub(crate) fn generate() -> Result<Self> {
        let mut rng = rand::rng();
        let identity = IdentityKeyPair::generate(&mut rng);
        let signed = KeyPair::generate(&mut rng);
        let registration_id = rand::random_range(1..=0x3fff);
        Self::from_parts(identity, registration_id, signed)
    }

    /// Rebuilds the keys of a phone that was kept on disk. One-time keys are not kept: see `persist`.
    pub(crate) fn from_parts(
        identity: IdentityKeyPair,
        registration_id: u32,
        signed: KeyPair,
    ) -> Result<Self> {
        let signed_signature = identity
            .private_key()
            .calculate_signature(&signed.public_key.serialize(), &mut rand::rng())?
            .to_vec();
        // Ids start at a random place, so that a key handed out before a restart is not mistaken for one made after.
        let one_time = Mutex::new(OneTimePairs {
            last_id: rand::random_range(1..0x7f_0000),
            pairs: BTreeMap::new(),
        });
        Ok(Self { identity, registration_id, signed, signed_signature, one_time })
    }

    pub(crate) fn identity_public(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.identity.public_key().public_key_bytes());
        bytes
    }

    /// Signs as the account: device identities and device lists.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature =
            self.identity.private_key().calculate_signature(message, &mut rand::rng())?;
        Ok(signature.to_vec())
    }

    /// Makes a bundle with a fresh one-time key.
    pub(crate) fn bundle(&self) -> KeyBundle {
        KeyBundle {
            registration_id: self.registration_id,
            identity: self.identity_public(),
            one_time: Some(self.make_one_time_key()),
            signed: SignedKey {
                id: SIGNED_KEY_ID,
                public: public_bytes(&self.signed),
                signature: self.signed_signature.clone(),
            },
            device_identity: None,
        }
    }

    fn make_one_time_key(&self) -> (u32, [u8; 32]) {
        let pair = KeyPair::generate(&mut rand::rng());
        let public = public_bytes(&pair);
        let mut keys = self.one_time.lock().unwrap_or_else(PoisonError::into_inner);
        keys.last_id += 1;
        let id = keys.last_id;
        keys.pairs.insert(id, pair);
        while keys.pairs.len() > ONE_TIME_KEYS_MAX {
            keys.pairs.pop_first();
        }
        (id, public)
    }

    pub(crate) fn one_time_key(&self, id: u32) -> Option<PreKeyRecord> {
        let keys = self.one_time.lock().unwrap_or_else(PoisonError::into_inner);
        keys.pairs.get(&id).map(|pair| PreKeyRecord::new(id.into(), pair))
    }

    pub(crate) fn forget_one_time_key(&self, id: u32) {
        let mut keys = self.one_time.lock().unwrap_or_else(PoisonError::into_inner);
        keys.pairs.remove(&id);
    }

    pub(crate) fn signed_key(&self, id: u32) -> Option<SignedPreKeyRecord> {
        (id == SIGNED_KEY_ID).then(|| {
            SignedPreKeyRecord::new(
                id.into(),
                Timestamp::from_epoch_millis(0),
                &self.signed,
                &self.signed_signature,
            )
        })
    }
}

/// A signed prekey, public half.
#[derive(Debug, Clone)]
pub(crate) struct SignedKey {
    pub(crate) id: u32,
    pub(crate) public: [u8; 32],
    pub(crate) signature: Vec<u8>,
}

impl SignedKey {
    pub(crate) fn from_node(node: &NodeRef<'_>) -> Result<Self> {
        Ok(Self {
            id: big_endian(&child_bytes(node, "id")?),
            public: key32(&child_bytes(node, "value")?)?,
            signature: child_bytes(node, "signature")?,
        })
    }

    pub(crate) fn to_node(&self) -> Node {
        Build::new("skey")
            .children([
                Build::new("id").bytes(three_bytes(self.id)).build(),
                Build::new("value").bytes(self.public.to_vec()).build(),
                Build::new("signature").bytes(self.signature.clone()).build(),
            ])
            .build()
    }
}

/// Everything somebody needs to open a Signal session with a device.
#[derive(Debug, Clone)]
pub(crate) struct KeyBundle {
    pub(crate) registration_id: u32,
    pub(crate) identity: [u8; 32],
    pub(crate) one_time: Option<(u32, [u8; 32])>,
    pub(crate) signed: SignedKey,
    pub(crate) device_identity: Option<Vec<u8>>,
}

impl KeyBundle {
    /// Reads the `<keys>` of a retry receipt; the registration id travels next to it.
    pub(crate) fn from_retry_receipt(receipt: &NodeRef<'_>) -> Result<Self> {
        let keys = child(receipt, "keys")?;
        let one_time = match keys.get_optional_child("key") {
            Some(key) => Some(one_time_from_node(key)?),
            None => None,
        };
        Ok(Self {
            registration_id: big_endian(&child_bytes(receipt, "registration")?),
            identity: key32(&child_bytes(keys, "identity")?)?,
            one_time,
            signed: SignedKey::from_node(child(keys, "skey")?)?,
            device_identity: child_bytes(keys, "device-identity").ok(),
        })
    }

    /// The `<user>` of an answer to a prekey request.
    pub(crate) fn to_user_node(&self, jid: &Jid) -> Node {
        let mut parts = vec![self.registration_node()];
        parts.extend(self.key_nodes());
        Build::new("user").attr("jid", jid).attr("t", now_seconds()).children(parts).build()
    }

    /// The `<registration>` of this device.
    pub(crate) fn registration_node(&self) -> Node {
        let id = self.registration_id.to_be_bytes().to_vec();
        Build::new("registration").bytes(id).build()
    }

    /// The `<keys>` a device adds to its own retry receipt.
    pub(crate) fn to_retry_keys(&self) -> Node {
        Build::new("keys").children(self.key_nodes()).build()
    }

    fn key_nodes(&self) -> Vec<Node> {
        let mut nodes = vec![
            Build::new("type").bytes(vec![KEY_TYPE]).build(),
            Build::new("identity").bytes(self.identity.to_vec()).build(),
        ];
        if let Some((id, public)) = &self.one_time {
            nodes.push(
                Build::new("key")
                    .children([
                        Build::new("id").bytes(three_bytes(*id)).build(),
                        Build::new("value").bytes(public.to_vec()).build(),
                    ])
                    .build(),
            );
        }
        nodes.push(self.signed.to_node());
        if let Some(identity) = &self.device_identity {
            nodes.push(Build::new("device-identity").bytes(identity.clone()).build());
        }
        nodes
    }

    /// The same bundle as the Signal library takes it.
    pub(crate) fn to_signal(&self, device: u16) -> Result<PreKeyBundle> {
        let one_time = match self.one_time {
            Some((id, public)) => Some((id.into(), PublicKey::from_djb_public_key_bytes(&public)?)),
            None => None,
        };
        ensure!(self.signed.signature.len() == 64, "a signature of odd size");
        Ok(PreKeyBundle::new(
            self.registration_id,
            u32::from(device).into(),
            one_time,
            self.signed.id.into(),
            PublicKey::from_djb_public_key_bytes(&self.signed.public)?,
            self.signed.signature.clone(),
            IdentityKey::new(PublicKey::from_djb_public_key_bytes(&self.identity)?),
        )?)
    }
}

/// A one-time key as it is uploaded and as it is handed out.
pub(crate) fn one_time_from_node(key: &NodeRef<'_>) -> Result<(u32, [u8; 32])> {
    Ok((big_endian(&child_bytes(key, "id")?), key32(&child_bytes(key, "value")?)?))
}
