//! A phone as a participant of the Signal protocol: sessions with devices, sender keys for groups.
//!
//! Sessions are named by account and device, never by the address form a message happened to use: clients move their
//! own sessions from phone number to LID without telling anybody, and the ratchet does not care.
//!
//! All of it lives in memory, bounded by the number of devices in the network. A phone that forgot (after a restart)
//! asks the sender to encrypt again.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use rand::rngs::StdRng;
use whatsapp_rust::wacore::libsignal::{
    protocol::{
        CiphertextMessage, Direction, IdentityChange, IdentityKey, IdentityKeyPair,
        IdentityKeyStore, PreKeyId, PreKeyRecord, PreKeySignalMessage, PreKeyStore,
        ProtocolAddress, SenderKeyDistributionMessage, SenderKeyRecord, SenderKeyStore,
        SessionRecord, SessionStore, SignalMessage, SignalProtocolError, SignedPreKeyId,
        SignedPreKeyRecord, SignedPreKeyStore, UsePQRatchet,
        create_sender_key_distribution_message, group_decrypt, group_encrypt, message_decrypt,
        message_encrypt, process_prekey_bundle, process_sender_key_distribution_message,
    },
    store::sender_key_name::SenderKeyName,
};

use crate::{
    keys::{KeyBundle, PhoneKeys},
    state::DeviceKey,
};

type SignalResult<T> = Result<T, SignalProtocolError>;

/// Length of the padding a phone adds, in bytes; the last byte says how many there are.
const PADDING: u8 = 4;

/// A ciphertext with the name of its kind.
pub(crate) struct SealedMessage {
    pub(crate) kind: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// A phone's side of the Signal protocol.
pub(crate) struct SignalPeer {
    sessions: SignalSessions,
    identity: PhoneIdentity,
    one_time: OneTimeKeyStore,
    signed: SignedKeys,
    sender_keys: SenderKeys,
}

impl SignalPeer {
    pub(crate) fn new(keys: &Arc<PhoneKeys>) -> Self {
        Self {
            sessions: SignalSessions::default(),
            identity: PhoneIdentity { keys: keys.clone(), known: HashMap::new() },
            one_time: OneTimeKeyStore(keys.clone()),
            signed: SignedKeys(keys.clone()),
            sender_keys: SenderKeys::default(),
        }
    }

    pub(crate) fn has_session(&self, with: &DeviceKey) -> bool {
        self.sessions.0.contains_key(address(with).as_str())
    }

    pub(crate) fn forget_session(&mut self, with: &DeviceKey) {
        self.sessions.0.remove(address(with).as_str());
    }

    pub(crate) async fn open_session(
        &mut self,
        with: &DeviceKey,
        bundle: &KeyBundle,
    ) -> Result<()> {
        process_prekey_bundle(
            &address(with),
            &mut self.sessions,
            &mut self.identity,
            &bundle.to_signal(with.device)?,
            &mut rand::make_rng::<StdRng>(),
            UsePQRatchet::No,
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn encrypt(&mut self, to: &DeviceKey, plain: &[u8]) -> Result<SealedMessage> {
        let sealed =
            message_encrypt(&padded(plain), &address(to), &mut self.sessions, &mut self.identity)
                .await?;
        Ok(match sealed {
            CiphertextMessage::PreKeySignalMessage(message) => {
                SealedMessage { kind: "pkmsg", bytes: message.serialized().to_vec() }
            }
            CiphertextMessage::SignalMessage(message) => {
                SealedMessage { kind: "msg", bytes: message.serialized().to_vec() }
            }
            _ => bail!("a session made a ciphertext that is not for one device"),
        })
    }

    pub(crate) async fn decrypt(
        &mut self,
        from: &DeviceKey,
        kind: &str,
        bytes: &[u8],
    ) -> Result<Vec<u8>> {
        let message = match kind {
            "pkmsg" => {
                CiphertextMessage::PreKeySignalMessage(PreKeySignalMessage::try_from(bytes)?)
            }
            "msg" => CiphertextMessage::SignalMessage(SignalMessage::try_from(bytes)?),
            other => bail!("a ciphertext of unknown kind {other}"),
        };
        let opened = message_decrypt(
            &message,
            &address(from),
            &mut self.sessions,
            &mut self.identity,
            &mut self.one_time,
            &self.signed,
            &mut rand::make_rng::<StdRng>(),
            UsePQRatchet::No,
        )
        .await?;
        unpadded(opened.plaintext.to_vec())
    }

    /// Takes the sender key another device shares for a group.
    pub(crate) async fn accept_sender_key(
        &mut self,
        group: &str,
        from: &DeviceKey,
        distribution: &[u8],
    ) -> Result<()> {
        process_sender_key_distribution_message(
            &sender_key_name(group, from),
            &SenderKeyDistributionMessage::try_from(distribution)?,
            &mut self.sender_keys,
        )
        .await?;
        Ok(())
    }

    /// The sender key this phone shares for a group, made on first use.
    pub(crate) async fn share_sender_key(
        &mut self,
        group: &str,
        me: &DeviceKey,
    ) -> Result<Vec<u8>> {
        let distribution = create_sender_key_distribution_message(
            &sender_key_name(group, me),
            &mut self.sender_keys,
            &mut rand::make_rng::<StdRng>(),
        )
        .await?;
        Ok(distribution.serialized().to_vec())
    }

    pub(crate) async fn encrypt_for_group(
        &mut self,
        group: &str,
        me: &DeviceKey,
        plain: &[u8],
    ) -> Result<SealedMessage> {
        let sealed = group_encrypt(
            &mut self.sender_keys,
            &sender_key_name(group, me),
            &padded(plain),
            &mut rand::make_rng::<StdRng>(),
        )
        .await?;
        Ok(SealedMessage { kind: "skmsg", bytes: sealed.serialized().to_vec() })
    }

    pub(crate) async fn decrypt_from_group(
        &mut self,
        group: &str,
        from: &DeviceKey,
        bytes: &[u8],
    ) -> Result<Vec<u8>> {
        let name = sender_key_name(group, from);
        unpadded(group_decrypt(bytes, &mut self.sender_keys, &name).await?)
    }
}

fn address(of: &DeviceKey) -> ProtocolAddress {
    ProtocolAddress::new(&of.phone, u32::from(of.device).into())
}

fn sender_key_name(group: &str, from: &DeviceKey) -> SenderKeyName {
    SenderKeyName::from_parts(group, &format!("{}.{}", from.phone, from.device))
}

fn padded(plain: &[u8]) -> Vec<u8> {
    let mut padded = plain.to_vec();
    padded.extend([PADDING; PADDING as usize]);
    padded
}

fn unpadded(mut plain: Vec<u8>) -> Result<Vec<u8>> {
    let padding = usize::from(*plain.last().context("an empty plaintext")?);
    ensure!(padding <= plain.len(), "padding longer than the plaintext");
    plain.truncate(plain.len() - padding);
    Ok(plain)
}

#[derive(Default)]
struct SignalSessions(HashMap<String, SessionRecord>);

#[async_trait]
impl SessionStore for SignalSessions {
    async fn load_session(&self, of: &ProtocolAddress) -> SignalResult<Option<SessionRecord>> {
        Ok(self.0.get(of.as_str()).cloned())
    }

    async fn has_session(&self, of: &ProtocolAddress) -> SignalResult<bool> {
        Ok(self.0.contains_key(of.as_str()))
    }

    async fn store_session(
        &mut self,
        of: &ProtocolAddress,
        record: SessionRecord,
    ) -> SignalResult<()> {
        self.0.insert(of.as_str().to_owned(), record);
        Ok(())
    }
}

struct PhoneIdentity {
    keys: Arc<PhoneKeys>,
    known: HashMap<String, IdentityKey>,
}

#[async_trait]
impl IdentityKeyStore for PhoneIdentity {
    async fn get_identity_key_pair(&self) -> SignalResult<IdentityKeyPair> {
        Ok(self.keys.identity.clone())
    }

    async fn get_local_registration_id(&self) -> SignalResult<u32> {
        Ok(self.keys.registration_id)
    }

    async fn save_identity(
        &mut self,
        of: &ProtocolAddress,
        identity: &IdentityKey,
    ) -> SignalResult<IdentityChange> {
        let before = self.known.insert(of.as_str().to_owned(), *identity);
        Ok(IdentityChange::from_changed(before.is_some_and(|before| before != *identity)))
    }

    async fn is_trusted_identity(
        &self,
        _of: &ProtocolAddress,
        _identity: &IdentityKey,
        _direction: Direction,
    ) -> SignalResult<bool> {
        Ok(true)
    }

    async fn get_identity(&self, of: &ProtocolAddress) -> SignalResult<Option<IdentityKey>> {
        Ok(self.known.get(of.as_str()).copied())
    }
}

struct OneTimeKeyStore(Arc<PhoneKeys>);

#[async_trait]
impl PreKeyStore for OneTimeKeyStore {
    async fn get_pre_key(&self, id: PreKeyId) -> SignalResult<PreKeyRecord> {
        let key = self.0.one_time_key(u32::from(id));
        key.ok_or(SignalProtocolError::InvalidPreKeyId)
    }

    async fn save_pre_key(&mut self, _id: PreKeyId, _record: &PreKeyRecord) -> SignalResult<()> {
        Ok(())
    }

    async fn remove_pre_key(&mut self, id: PreKeyId) -> SignalResult<()> {
        self.0.forget_one_time_key(u32::from(id));
        Ok(())
    }
}

struct SignedKeys(Arc<PhoneKeys>);

#[async_trait]
impl SignedPreKeyStore for SignedKeys {
    async fn get_signed_pre_key(&self, id: SignedPreKeyId) -> SignalResult<SignedPreKeyRecord> {
        let key = self.0.signed_key(u32::from(id));
        key.ok_or(SignalProtocolError::InvalidSignedPreKeyId)
    }

    async fn save_signed_pre_key(
        &mut self,
        _id: SignedPreKeyId,
        _record: &SignedPreKeyRecord,
    ) -> SignalResult<()> {
        Ok(())
    }
}

#[derive(Default)]
struct SenderKeys(HashMap<String, SenderKeyRecord>);

#[async_trait]
impl SenderKeyStore for SenderKeys {
    async fn store_sender_key(
        &mut self,
        name: &SenderKeyName,
        record: SenderKeyRecord,
    ) -> SignalResult<()> {
        self.0.insert(name.cache_key().to_owned(), record);
        Ok(())
    }

    async fn load_sender_key(&self, name: &SenderKeyName) -> SignalResult<Option<SenderKeyRecord>> {
        Ok(self.0.get(name.cache_key()).cloned())
    }
}
