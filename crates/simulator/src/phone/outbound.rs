//! What a phone sends: chat messages to people and groups, messages to its own linked devices, and any of them again
//! when a device could not decrypt.

use std::collections::{HashMap, VecDeque};

use anyhow::{Context as _, Result, bail};
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore::types::message::EditAttribute,
    wacore_binary::{Jid, Node, NodeRef, Server},
    waproto::{
        whatsapp as wa,
        whatsapp::message::{
            AppStateSyncKey, AppStateSyncKeyData, AppStateSyncKeyFingerprint, AppStateSyncKeyId,
            AppStateSyncKeyShare, DeviceSentMessage, ProtocolMessage, SenderKeyDistributionMessage,
            protocol_message,
        },
    },
};

use super::{Phone, PhoneSecrets, signal::SealedMessage};
use crate::{
    hub::Hub,
    keys::KeyBundle,
    server::{prekeys, relay},
    state::{AppKey, DeviceKey, ServerState},
    wire::{Build, attr, is_common, now_seconds},
};

/// Messages a phone can encrypt again. A crash test has a few thousand on their way; when full the oldest is
/// forgotten, and a retry receipt for it stays without answer.
const SENT_MAX: usize = 8_192;
/// How often one message is encrypted again for one device. The engine gives up after five.
const RESENDS_MAX: u8 = 5;

/// A message before it is encrypted for each recipient's devices.
#[derive(Debug, Clone)]
pub(crate) struct PhoneMessage {
    pub(crate) id: String,
    /// A person by phone number or by LID, a group, or one of the phone's own devices.
    pub(crate) to: Jid,
    pub(crate) message: wa::Message,
    /// Whether it is for an own device only and not part of any chat.
    pub(crate) peer: bool,
    /// What is sent in the place of the message.
    pub(crate) bytes: Option<Vec<u8>>,
    /// Who sees it, if it is a status.
    pub(crate) audience: Vec<String>,
}

/// Letters kept for a retry.
#[derive(Default)]
pub(super) struct SentMessages {
    letters: HashMap<String, ResendableMessage>,
    order: VecDeque<String>,
}

struct ResendableMessage {
    letter: PhoneMessage,
    resends: HashMap<DeviceKey, u8>,
}

impl SentMessages {
    fn keep(&mut self, letter: PhoneMessage) {
        if self.order.len() >= SENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.letters.remove(&oldest);
        }
        self.order.push_back(letter.id.clone());
        let kept = ResendableMessage { letter, resends: HashMap::new() };
        self.letters.insert(kept.letter.id.clone(), kept);
    }

    /// The letter, if it may be sent to this device once more.
    fn again(&mut self, id: &str, to: &DeviceKey) -> Option<PhoneMessage> {
        let kept = self.letters.get_mut(id)?;
        let resends = kept.resends.entry(to.clone()).or_default();
        if *resends >= RESENDS_MAX {
            return None;
        }
        *resends += 1;
        Some(kept.letter.clone())
    }
}

/// Encrypts a letter for every device it is for, and gives it to the network.
///
/// # Errors
/// When nobody has that address, or a device of theirs has no usable keys.
pub(crate) async fn send(hub: &Hub, phone: &Phone, letter: PhoneMessage) -> Result<()> {
    let mut secrets = phone.secrets.lock().await;
    let devices = recipients(&hub.state(), &phone.me, &letter)?;
    let stanza = if is_common(&letter.to) {
        group_stanza(hub, phone, &mut secrets, &letter, devices).await?
    } else {
        let mut parts = Vec::with_capacity(devices.len());
        for device in devices {
            let plain = plaintext(&letter, &phone.me, &device);
            let sealed = seal(hub, &mut secrets, &device, &plain).await?;
            parts.push(part(hub, &letter, &device, sealed));
        }
        envelope(&letter).children([Build::new("participants").children(parts).build()]).build()
    };
    // Handed over under the phone's lock: ciphertexts must arrive in the order they were made.
    relay::from_phone(hub, &phone.me, &stanza.as_node_ref())?;
    phone.polls.note(&letter.id, &phone.me.phone, &letter.message);
    secrets.sent.keep(letter);
    Ok(())
}

/// Answers a retry receipt: a fresh session, and the same message under the same id, only for that device.
pub(super) async fn send_again(
    hub: &Hub,
    phone: &Phone,
    to: &DeviceKey,
    receipt: &NodeRef<'_>,
) -> Result<()> {
    let id = attr(receipt, "id").context("a retry receipt without id")?;
    let mut secrets = phone.secrets.lock().await;
    let Some(letter) = secrets.sent.again(&id, to) else {
        tracing::info!(id, "a retry receipt for a message this phone does not send again");
        return Ok(());
    };
    let bundle = match KeyBundle::from_retry_receipt(receipt) {
        Ok(bundle) => bundle,
        Err(_) => bundle_of(hub, to)?,
    };
    secrets.signal.forget_session(to);
    secrets.signal.open_session(to, &bundle).await?;
    let mut plain = plaintext(&letter, &phone.me, to);
    if is_common(&letter.to) {
        let key = sender_key_message(&mut secrets, phone, &letter.to.to_string()).await?;
        let mut message = letter.message.clone();
        message.sender_key_distribution_message = key.sender_key_distribution_message;
        plain = message.encode_to_vec();
    }
    let sealed = seal(hub, &mut secrets, to, &plain).await?;
    let parts = [part(hub, &letter, to, sealed)];
    let stanza =
        envelope(&letter).children([Build::new("participants").children(parts).build()]).build();
    relay::resend_from_phone(hub, &phone.me, to, &stanza.as_node_ref())
}

/// Gives a newly linked device the key of the account's shared settings.
pub(crate) async fn share_app_key(hub: &Hub, phone: &Phone, device: u16) -> Result<()> {
    let key = hub.state().account(&phone.me.phone)?.app_key;
    let letter = PhoneMessage {
        id: hub.message_id(),
        to: Jid::pn_device(phone.me.phone.as_str(), device),
        message: app_key_message(&key),
        peer: true,
        bytes: None,
        audience: Vec::new(),
    };
    send(hub, phone, letter).await
}

fn recipients(
    state: &ServerState,
    me: &DeviceKey,
    letter: &PhoneMessage,
) -> Result<Vec<DeviceKey>> {
    if letter.to.server == Server::Broadcast {
        let mut devices = Vec::new();
        for phone in letter.audience.iter().chain([&me.phone]) {
            devices.push(DeviceKey::new(phone, 0));
            devices.extend(linked(state, phone)?);
        }
        devices.retain(|device| device != me);
        return Ok(devices);
    }
    if letter.to.server == Server::Group {
        return Ok(relay::group_devices(state, &letter.to)?
            .into_iter()
            .filter(|device| device != me)
            .collect());
    }
    let phone = state
        .phone_of(&letter.to)
        .with_context(|| format!("nobody has the address {}", letter.to))?;
    if letter.peer {
        return Ok(vec![DeviceKey::new(&phone, letter.to.device)]);
    }
    let mut devices: Vec<DeviceKey> = Vec::new();
    if phone != me.phone {
        devices.push(DeviceKey::new(&phone, 0));
        devices.extend(linked(state, &phone)?);
    }
    devices.extend(linked(state, &me.phone)?);
    Ok(devices)
}

fn linked(state: &ServerState, phone: &str) -> Result<Vec<DeviceKey>> {
    let devices = state.account(phone)?.devices.keys();
    Ok(devices.map(|device| DeviceKey::new(phone, *device)).collect())
}

/// What a device is to read: own devices learn in which chat the message belongs.
fn plaintext(letter: &PhoneMessage, me: &DeviceKey, to: &DeviceKey) -> Vec<u8> {
    if let Some(bytes) = &letter.bytes {
        return bytes.clone();
    }
    if letter.peer || to.phone != me.phone || is_common(&letter.to) {
        return letter.message.encode_to_vec();
    }
    wa::Message {
        device_sent_message: MessageField::some(DeviceSentMessage {
            destination_jid: Some(letter.to.to_non_ad_string()),
            message: MessageField::some(letter.message.clone()),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

async fn seal(
    hub: &Hub,
    secrets: &mut PhoneSecrets,
    to: &DeviceKey,
    plain: &[u8],
) -> Result<SealedMessage> {
    if !secrets.signal.has_session(to) {
        let bundle = bundle_of(hub, to)?;
        secrets.signal.open_session(to, &bundle).await?;
    }
    secrets.signal.encrypt(to, plain).await
}

fn bundle_of(hub: &Hub, device: &DeviceKey) -> Result<KeyBundle> {
    prekeys::take_bundle(hub, &mut hub.state(), device)
        .with_context(|| format!("{} has no device {}", device.phone, device.device))
}

fn enc(sealed: SealedMessage) -> Node {
    Build::new("enc").attr("v", "2").attr("type", sealed.kind).bytes(sealed.bytes).build()
}

fn part(hub: &Hub, letter: &PhoneMessage, to: &DeviceKey, sealed: SealedMessage) -> Node {
    let form = match letter.to.server {
        Server::Group | Server::Broadcast => Server::Lid,
        form => form,
    };
    Build::new("to").attr("jid", hub.state().address_like(to, form)).children([enc(sealed)]).build()
}

fn envelope(letter: &PhoneMessage) -> Build {
    let mut stanza = Build::new("message")
        .attr("to", letter.to.to_non_ad())
        .attr("id", letter.id.as_str())
        .attr("t", now_seconds());
    if letter.peer {
        return stanza
            .attr("type", "protocol")
            .attr("category", "peer")
            .attr("push_priority", "high_force");
    }
    let kind = whatsapp_rust::wacore::send::stanza_type_from_message(&letter.message);
    stanza = stanza.attr("type", kind);
    match EditAttribute::infer_from_message(&letter.message) {
        Some(edit) => stanza.attr("edit", edit.to_string_val()),
        None => stanza,
    }
}

async fn group_stanza(
    hub: &Hub,
    phone: &Phone,
    secrets: &mut PhoneSecrets,
    letter: &PhoneMessage,
    devices: Vec<DeviceKey>,
) -> Result<Node> {
    let group = letter.to.to_string();
    let key_message = sender_key_message(secrets, phone, &group).await?;
    let plain_key = key_message.encode_to_vec();
    let mut parts = Vec::new();
    for device in devices {
        let readers = secrets.group_readers.entry(group.clone()).or_default();
        if readers.insert(device.clone()) {
            let sealed = seal(hub, secrets, &device, &plain_key).await?;
            parts.push(part(hub, letter, &device, sealed));
        }
    }
    for phone in &letter.audience {
        // Also who has the key already: the server looks here for who gets a status.
        let person = hub.state().address_like(&DeviceKey::new(phone, 0), Server::Lid);
        parts.push(Build::new("to").attr("jid", person.to_non_ad()).build());
    }
    let plain = letter.message.encode_to_vec();
    let sealed = secrets.signal.encrypt_for_group(&group, &phone.me, &plain).await?;
    Ok(envelope(letter)
        .children([Build::new("participants").children(parts).build(), enc(sealed)])
        .build())
}

async fn sender_key_message(
    secrets: &mut PhoneSecrets,
    phone: &Phone,
    group: &str,
) -> Result<wa::Message> {
    let key = secrets.signal.share_sender_key(group, &phone.me).await?;
    Ok(wa::Message {
        sender_key_distribution_message: MessageField::some(SenderKeyDistributionMessage {
            group_id: Some(group.to_owned()),
            axolotl_sender_key_distribution_message: Some(key),
        }),
        ..Default::default()
    })
}

fn app_key_message(key: &AppKey) -> wa::Message {
    let share = AppStateSyncKeyShare {
        keys: vec![AppStateSyncKey {
            key_id: MessageField::some(AppStateSyncKeyId { key_id: Some(key.id.to_vec()) }),
            key_data: MessageField::some(AppStateSyncKeyData {
                key_data: Some(key.data.to_vec()),
                timestamp: Some(key.timestamp),
                fingerprint: MessageField::some(app_key_fingerprint()),
            }),
        }],
    };
    wa::Message {
        protocol_message: MessageField::some(ProtocolMessage {
            r#type: Some(protocol_message::Type::APP_STATE_SYNC_KEY_SHARE),
            app_state_sync_key_share: MessageField::some(share),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Which devices the key is for, as the key says of itself.
pub(crate) fn app_key_fingerprint() -> AppStateSyncKeyFingerprint {
    AppStateSyncKeyFingerprint {
        raw_id: Some(1),
        current_index: Some(1),
        device_indexes: vec![0, 1],
    }
}

/// A message to one of the phone's own devices that is not part of any chat.
pub(crate) fn peer_letter(
    hub: &Hub,
    me: &DeviceKey,
    device: u16,
    message: wa::Message,
) -> PhoneMessage {
    PhoneMessage {
        id: hub.message_id(),
        to: Jid::pn_device(me.phone.as_str(), device),
        message,
        peer: true,
        bytes: None,
        audience: Vec::new(),
    }
}

/// Refuses an address a phone cannot send to.
pub(crate) fn check_address(to: &Jid) -> Result<()> {
    match to.server {
        Server::Pn | Server::Lid | Server::Group => Ok(()),
        other => bail!("a phone here does not send to {other}"),
    }
}
