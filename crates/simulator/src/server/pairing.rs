//! How a device comes to belong to an account: by scanning its QR code, or by typing its 8-character code.
//!
//! 1. An unpaired client connects with its keys and receives references ([`begin`]).
//! 2. The person scans the QR code ([`scan_qr`]), which holds a reference, the client's identity and a secret; or types
//!    the code ([`enter_code`]), and both sides exchange that secret under it (`companion_hello`, `primary_hello`,
//!    `companion_finish`).
//! 3. The account signs the device ([`complete`]); the client verifies, adds its own signature and is sent away with
//!    code 515 to log in ([`signed`]).
//!
//! A reference dies with its link. Everything here is bounded by the number of links: six references and one code each.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use whatsapp_rust::{
    buffa::Message as _,
    wacore::{
        adv::{AdvValidation, validate_adv_with_identity_key},
        crypto::hkdf_sha256_into,
        libsignal::{
            crypto::aes_256_gcm_decrypt,
            protocol::{KeyPair, PublicKey},
        },
        pair_code::PairCodeUtils,
    },
    wacore_binary::{Jid, NodeRef},
    waproto::whatsapp as wa,
};

use super::{
    devices,
    link::LinkFlow,
    passkey,
    queue::{DeviceQueue, SocketLink},
    requests,
};
use crate::{
    hub::Hub,
    keys::SignedKey,
    noise::public_bytes,
    phone::PhoneInput,
    state::{Device, DeviceKey, ServerState},
    wire::{
        Build, attr, big_endian, child, child_bytes, key32, need_attr, need_jid, now_seconds,
        result, server_jid, stream_error,
    },
};

/// References a client receives: it shows the first for a minute and the others for 20 s each.
const REFERENCES: usize = 6;

/// Clients on their way to become devices.
#[derive(Default)]
pub(crate) struct PendingPairings {
    /// Waiting clients by reference.
    waiting: HashMap<String, PairingClient>,
    /// Code flows by the phone number the client named.
    codes: HashMap<String, CodeFlow>,
    /// Devices that must still sign, by link. They belong to the account only then.
    unsigned: HashMap<u64, (DeviceKey, Device)>,
}

#[derive(Clone)]
struct PairingClient {
    link: SocketLink,
    noise_key: [u8; 32],
    identity: [u8; 32],
    registration_id: u32,
    signed: SignedKey,
}

struct CodeFlow {
    link: SocketLink,
    reference: String,
    /// The client's ephemeral key, encrypted under the code.
    wrapped: Vec<u8>,
    /// The phone's ephemeral pair and the client's key, once the code was typed.
    agreed: Option<(KeyPair, [u8; 32])>,
}

impl PendingPairings {
    pub(crate) fn forget_link(&mut self, link: u64) {
        self.waiting.retain(|_, client| client.link.id != link);
        self.codes.retain(|_, flow| flow.link.id != link);
        self.unsigned.remove(&link);
    }
}

/// An unpaired client: it receives its references.
pub(super) fn begin(
    hub: &Hub,
    link: &SocketLink,
    noise_key: [u8; 32],
    registration: &wa::client_payload::DevicePairingRegistrationData,
) -> Result<()> {
    let field = |field: &Option<Vec<u8>>, name: &str| {
        let bytes = field.clone();
        bytes.with_context(|| format!("a registration without {name}"))
    };
    let client = PairingClient {
        link: link.clone(),
        noise_key,
        identity: key32(&field(&registration.e_ident, "identity")?)?,
        registration_id: big_endian(&field(&registration.e_regid, "registration id")?),
        signed: SignedKey {
            id: big_endian(&field(&registration.e_skey_id, "signed key id")?),
            public: key32(&field(&registration.e_skey_val, "signed key")?)?,
            signature: field(&registration.e_skey_sig, "signature")?,
        },
    };
    let mut references = Vec::with_capacity(REFERENCES);
    let mut state = hub.state();
    for _ in 0..REFERENCES {
        // A comma or hash would break the QR code apart; base64 has neither.
        let reference = format!("2@{}", STANDARD.encode(hub.draw_bytes()));
        let node = Build::new("ref").bytes(reference.clone().into_bytes());
        references.push(node.build());
        state.pairings.waiting.insert(reference, client.clone());
    }
    link.send(
        Build::new("iq")
            .attr("from", server_jid())
            .attr("id", hub.stanza_id())
            .attr("type", "set")
            .attr("xmlns", "md")
            .children([Build::new("pair-device").children(references).build()])
            .build(),
    );
    Ok(())
}

/// Takes one stanza from a client that is not paired yet.
pub(super) fn take(hub: &Arc<Hub>, link: &SocketLink, stanza: &NodeRef<'_>) -> Result<LinkFlow> {
    if matches!(stanza.tag.as_ref(), "ib" | "ack" | "presence") {
        // Session statistics, the ack of a notification that is not kept, and that nobody is offline: nobody answers
        // these.
        return Ok(LinkFlow::Continue);
    }
    if stanza.tag != "iq" {
        hub.recorder.unknown(format!("unpaired <{}>", stanza.tag));
        return Ok(LinkFlow::Continue);
    }
    match need_attr(stanza, "type")?.as_str() {
        "result" => {
            if let Some(answer) = stanza.get_optional_child("pair-device-sign") {
                signed(hub, link, answer)?;
            }
        }
        "error" => {
            let name = requests::name_of(stanza);
            hub.recorder.unanswered(format!("the client refused: {name}"));
        }
        _ => {
            hub.recorder.request(requests::name_of(stanza));
            unpaired_request(hub, link, stanza)?;
        }
    }
    Ok(LinkFlow::Continue)
}

fn unpaired_request(hub: &Arc<Hub>, link: &SocketLink, stanza: &NodeRef<'_>) -> Result<()> {
    let id = need_attr(stanza, "id")?;
    if let Some(step) = stanza.get_optional_child("link_code_companion_reg") {
        return match need_attr(step, "stage")?.as_str() {
            "companion_hello" => companion_hello(hub, link, &id, step),
            "companion_finish" => companion_finish(hub, link, &id, step),
            other => Err(anyhow!("an unknown stage of code pairing: {other}")),
        };
    }
    if passkey::take(hub, link, &id, stanza)? {
        return Ok(());
    }
    if attr(stanza, "xmlns").as_deref() != Some("w:p") {
        hub.recorder.unknown(requests::name_of(stanza));
    }
    link.send(result(&id).build());
    Ok(())
}

fn companion_hello(hub: &Hub, link: &SocketLink, id: &str, step: &NodeRef<'_>) -> Result<()> {
    let phone = need_jid(step, "jid")?.user.to_string();
    let wrapped = child_bytes(step, "link_code_pairing_wrapped_companion_ephemeral_pub")?;
    let mut state = hub.state();
    let mine = |entry: &(&String, &PairingClient)| entry.1.link.id == link.id;
    let reference = state.pairings.waiting.iter().find(mine);
    let reference = reference.context("a client without reference")?.0.clone();
    let answer = Build::new("link_code_companion_reg").attr("stage", "companion_hello").children([
        Build::new("link_code_pairing_ref").bytes(reference.clone().into_bytes()).build(),
    ]);
    let flow = CodeFlow { link: link.clone(), reference, wrapped, agreed: None };
    state.pairings.codes.insert(phone, flow);
    link.send(result(id).children([answer.build()]).build());
    Ok(())
}

/// The person types the code into the phone.
///
/// # Errors
/// When no client waits for this phone number.
pub(crate) fn enter_code(hub: &Hub, phone: &str, code: &str) -> Result<()> {
    // Deriving the key from the code is slow on purpose, so it happens outside the lock.
    let wrapped = {
        let state = hub.state();
        state.account(phone)?;
        let flow = state.pairings.codes.get(phone);
        let flow = flow.with_context(|| format!("no client waits for a code of {phone}"))?;
        flow.wrapped.clone()
    };
    let client = PairCodeUtils::decrypt_primary_ephemeral_pub(&wrapped, code)?;
    let ephemeral = KeyPair::generate(&mut rand::rng());
    let sealed = PairCodeUtils::encrypt_ephemeral_pub(&public_bytes(&ephemeral), code);

    let mut state = hub.state();
    let identity = state.account(phone)?.keys.identity_public();
    let flow = state.pairings.codes.get_mut(phone);
    let flow = flow.context("the client gave up")?;
    flow.agreed = Some((ephemeral, client));
    let hello = Build::new("link_code_companion_reg").attr("stage", "primary_hello").children([
        Build::new("link_code_pairing_wrapped_primary_ephemeral_pub")
            .bytes(sealed.to_vec())
            .build(),
        Build::new("primary_identity_pub").bytes(identity.to_vec()).build(),
        Build::new("link_code_pairing_ref").bytes(flow.reference.clone().into_bytes()).build(),
    ]);
    flow.link.send(
        Build::new("notification")
            .attr("from", server_jid())
            .attr("type", "link_code_companion_reg")
            .attr("id", hub.stanza_id())
            .attr("t", now_seconds())
            .children([hello.build()])
            .build(),
    );
    Ok(())
}

fn companion_finish(hub: &Hub, link: &SocketLink, id: &str, step: &NodeRef<'_>) -> Result<()> {
    let phone = need_jid(step, "jid")?.user.to_string();
    let bundle = child_bytes(step, "link_code_pairing_wrapped_key_bundle")?;
    let identity = key32(&child_bytes(step, "companion_identity_public")?)?;
    let mut state = hub.state();
    let flow = state.pairings.codes.remove(&phone);
    let flow = flow.context("no code pairing goes on for this number")?;
    let (ephemeral, client) = flow.agreed.context("the code was not typed yet")?;
    let keys = state.account(&phone)?.keys.clone();
    let shared = ephemeral.calculate_agreement(&PublicKey::from_djb_public_key_bytes(&client)?)?;
    let random = open_bundle(&shared, &bundle, &identity)?;
    let identities = keys
        .identity
        .private_key()
        .calculate_agreement(&PublicKey::from_djb_public_key_bytes(&identity)?)?;
    let mut secret = [0; 32];
    let material = [&shared[..], &identities[..], &random[..]].concat();
    hkdf_sha256_into(&material, None, b"adv_secret", &mut secret)
        .map_err(|error| anyhow!("cannot derive the pairing secret: {error:?}"))?;
    link.send(result(id).build());
    complete(hub, &mut state, &flow.reference, &identity, &secret, &phone).map(|_| ())
}

/// Opens the client's key bundle: its identity, the phone's identity and 32 random bytes, which are given back.
fn open_bundle(shared: &[u8; 32], bundle: &[u8], identity: &[u8; 32]) -> Result<Vec<u8>> {
    ensure!(bundle.len() > 44, "a key bundle of {} bytes", bundle.len());
    let (salt, rest) = bundle.split_at(32);
    let (nonce, sealed) = rest.split_at(12);
    let mut key = [0; 32];
    let purpose = b"link_code_pairing_key_bundle_encryption_key";
    hkdf_sha256_into(shared, Some(salt), purpose, &mut key)
        .map_err(|error| anyhow!("cannot derive the bundle key: {error:?}"))?;
    let mut plain = Vec::new();
    aes_256_gcm_decrypt(&key, nonce.try_into()?, b"", sealed, &mut plain)
        .map_err(|error| anyhow!("the bundle does not open: {error:?}"))?;
    ensure!(plain.len() == 96, "a key bundle of odd content");
    ensure!(plain[..32] == identity[..], "a bundle of another client");
    Ok(plain[64..].to_vec())
}

/// The person scans the QR code a client shows. Returns the number of the new device, or 0 when the client has to show
/// the account's passkey first.
///
/// # Errors
/// When the text is not a QR code of a client that waits here, or the account does not exist.
pub(crate) fn scan_qr(hub: &Hub, phone: &str, qr: &str) -> Result<u16> {
    let content = qr.rsplit('#').next().unwrap_or(qr);
    let parts: Vec<&str> = content.split(',').collect();
    ensure!(parts.len() >= 4, "a QR code of {} parts", parts.len());
    let identity = key32(&STANDARD.decode(parts[2])?)?;
    let secret = STANDARD.decode(parts[3])?;
    let mut state = hub.state();
    if hub.passkeys.wants(phone) {
        state.account(phone)?;
        let client = state.pairings.waiting.get(parts[0]);
        let client = client.context("no client waits with this reference")?;
        return passkey::demand(hub, &client.link, phone, parts[0]).map(|()| 0);
    }
    complete(hub, &mut state, parts[0], &identity, &secret, phone)
}

/// A client that showed the account's passkey has said its secret.
pub(super) fn finish(
    hub: &Hub,
    reference: &str,
    identity: &[u8; 32],
    secret: &[u8],
    phone: &str,
) -> Result<u16> {
    complete(hub, &mut hub.state(), reference, identity, secret, phone)
}

/// The account signs the device and the client learns who it is.
fn complete(
    hub: &Hub,
    state: &mut ServerState,
    reference: &str,
    identity: &[u8; 32],
    secret: &[u8],
    phone: &str,
) -> Result<u16> {
    state.account(phone)?;
    let client = state.pairings.waiting.get(reference).cloned();
    let client = client.context("no client waits with this reference")?;
    let other = &client.identity;
    ensure!(other == identity, "the code names another identity");
    let link = client.link.id;
    state.pairings.waiting.retain(|_, waiting| waiting.link.id != link);

    let account = state.account_mut(phone)?;
    let (number, key_index) = account.take_device_number();
    let signed = account.sign_device(key_index, identity)?.encode_to_vec();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(&signed);
    let sealed = wa::ADVSignedDeviceIdentityHMAC {
        details: Some(signed),
        hmac: Some(mac.finalize().into_bytes().to_vec()),
        ..Default::default()
    };
    let success = Build::new("pair-success").children([
        Build::new("device-identity").bytes(sealed.encode_to_vec()).build(),
        Build::new("biz").build(),
        Build::new("device")
            .attr("jid", Jid::pn_device(phone, number))
            .attr("lid", Jid::lid_device(account.lid.as_str(), number))
            .build(),
        Build::new("platform").attr("name", "android").build(),
    ]);
    let device = Device {
        id: number,
        key_index,
        noise_key: client.noise_key,
        identity: client.identity,
        registration_id: client.registration_id,
        signed: client.signed,
        one_time: VecDeque::new(),
        device_identity: Vec::new(),
        link: None,
        queue: DeviceQueue::new(),
    };
    let key = DeviceKey::new(phone, number);
    state.pairings.unsigned.insert(link, (key, device));
    client.link.send(
        Build::new("iq")
            .attr("from", server_jid())
            .attr("id", hub.stanza_id())
            .attr("type", "set")
            .attr("t", now_seconds())
            .children([success.build()])
            .build(),
    );
    Ok(number)
}

/// The client signed its identity: it belongs to the account now.
fn signed(hub: &Hub, link: &SocketLink, answer: &NodeRef<'_>) -> Result<()> {
    let identity = child(answer, "device-identity")?
        .content_bytes()
        .context("an empty device identity")?
        .to_vec();
    let mut state = hub.state();
    let unsigned = state.pairings.unsigned.remove(&link.id);
    let (key, mut device) = unsigned.context("a signature nobody asked for")?;
    let account = state.account_mut(&key.phone)?;
    // Clients may leave out the account's key, which everybody has.
    let account_key = account.keys.identity_public();
    let verdict = validate_adv_with_identity_key(&identity, &device.identity, Some(&account_key));
    ensure!(verdict == AdvValidation::Valid, "the device's signature is {verdict:?}");
    let mut complete = wa::ADVSignedDeviceIdentity::decode_from_slice(&identity)?;
    complete.account_signature_key = Some(account_key.to_vec());
    device.device_identity = complete.encode_to_vec();
    account.devices.insert(key.device, device);
    devices::announce_added(hub, &mut state, &key)?;
    if !hub.faults.withholds_key_share() {
        let handset = &state.account(&key.phone)?.handset;
        handset.give(PhoneInput::Linked(key.device));
    }
    drop(state);
    hub.changed();
    link.send(stream_error(Some("515"), None));
    link.close();
    Ok(())
}
