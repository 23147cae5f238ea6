//! Linking an account that asks for its passkey: the client shows an assertion of it before the account signs the
//! device.
//!
//! 1. The person scans the QR code; the server asks the client for an assertion ([`demand`]).
//! 2. The client fetches a reference and sends the assertion with a commitment to its ephemeral key ([`prologue`]).
//! 3. The phone answers with its own ephemeral key, the client reveals its nonce, and both show the same code.
//! 4. The client sends its keys and the pairing secret, encrypted for the phone; pairing then ends as always.
//!
//! The assertion's challenge and credential are checked, its signature is not: there is no authenticator here. In which
//! way WhatsApp's server opens the flow is not published: that it does so when the code is scanned is a guess.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use whatsapp_rust::{
    buffa::Message as _,
    wacore::{
        libsignal::{
            crypto::aes_256_gcm_decrypt,
            protocol::{KeyPair, PublicKey},
        },
        shortcake::ShortcakeUtils,
    },
    wacore_binary::{Node, NodeRef},
    waproto::whatsapp as wa,
};

use super::{pairing, queue::SocketLink};
use crate::{
    hub::Hub,
    noise::public_bytes,
    wire::{Build, child_bytes, key32, now_seconds, refusal, result, server_jid},
};

/// How long the client may take for the assertion, in milliseconds, as it is told.
const TIMEOUT_MS: u64 = 60_000;
/// How long the phone takes to answer an assertion. Without distance it would come before the client is ready for it.
const PHONE_ANSWERS_AFTER: Duration = Duration::from_millis(200);
/// Linkings with a passkey under way. When full a further one is refused.
const FLOWS_MAX: usize = 1_000;

/// Accounts that ask for a passkey, and linkings under way by link.
#[derive(Default)]
pub(crate) struct Passkeys {
    inner: Mutex<PasskeyFlows>,
}

#[derive(Default)]
struct PasskeyFlows {
    accounts: HashSet<String>,
    by_link: HashMap<u64, PasskeyFlow>,
    /// The code that the phone shows, by account.
    codes: HashMap<String, String>,
}

struct PasskeyFlow {
    phone: String,
    /// The reference of the QR code that was scanned.
    scanned: String,
    credential: [u8; 32],
    challenge: [u8; 32],
    /// The reference of the exchange.
    reference: String,
    client: Option<ClientCommitment>,
    phone_key: KeyPair,
    phone_nonce: [u8; 32],
}

struct ClientCommitment {
    identity: Vec<u8>,
    ephemeral: [u8; 32],
    device_type: wa::device_props::PlatformType,
    hash: Vec<u8>,
    revealed: bool,
}

impl Passkeys {
    fn lock(&self) -> MutexGuard<'_, PasskeyFlows> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an account asks for its passkey from now on.
    pub(crate) fn set(&self, phone: &str, wanted: bool) {
        let mut flows = self.lock();
        match wanted {
            true => flows.accounts.insert(phone.to_owned()),
            false => flows.accounts.remove(phone),
        };
    }

    pub(super) fn wants(&self, phone: &str) -> bool {
        self.lock().accounts.contains(phone)
    }

    /// The code that the phone shows, to be compared with the client's.
    pub(crate) fn code(&self, phone: &str) -> Option<String> {
        self.lock().codes.get(phone).cloned()
    }

    pub(super) fn forget_link(&self, link: u64) {
        self.lock().by_link.remove(&link);
    }
}

/// The server asks a client whose code was scanned for an assertion of the account's passkey.
pub(super) fn demand(hub: &Hub, link: &SocketLink, phone: &str, scanned: &str) -> Result<()> {
    let (challenge, credential) = (hub.draw_bytes(), hub.draw_bytes());
    let flow = PasskeyFlow {
        phone: phone.to_owned(),
        scanned: scanned.to_owned(),
        credential,
        challenge,
        reference: hex::encode(hub.draw_bytes()),
        client: None,
        phone_key: KeyPair::generate(&mut rand::rng()),
        phone_nonce: hub.draw_bytes(),
    };
    let options = options(&flow).to_string();
    {
        let mut flows = hub.passkeys.lock();
        ensure!(flows.by_link.len() < FLOWS_MAX, "too many linkings with a passkey");
        flows.by_link.insert(link.id, flow);
    }
    let request = Build::new("passkey_request_options").bytes(options.into_bytes()).build();
    link.send(notification(hub, "passkey_prologue_request", request));
    Ok(())
}

fn options(flow: &PasskeyFlow) -> Value {
    json!({
        "challenge": URL_SAFE_NO_PAD.encode(flow.challenge),
        "rpId": "whatsapp.com",
        "timeout": TIMEOUT_MS,
        "userVerification": "required",
        "allowCredentials": [
            { "type": "public-key", "id": URL_SAFE_NO_PAD.encode(flow.credential) },
        ],
    })
}

fn notification(hub: &Hub, kind: &str, content: Node) -> Node {
    Build::new("notification")
        .attr("from", server_jid())
        .attr("type", kind)
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children([content])
        .build()
}

/// Takes a request of a client that links with a passkey. False when it is about something else.
pub(super) fn take(
    hub: &Arc<Hub>,
    link: &SocketLink,
    id: &str,
    request: &NodeRef<'_>,
) -> Result<bool> {
    let mut flows = hub.passkeys.lock();
    let PasskeyFlows { by_link, codes, .. } = &mut *flows;
    let Some(flow) = by_link.get_mut(&link.id) else {
        return Ok(false);
    };
    let has = |tag: &str| request.get_optional_child(tag).is_some();
    if has("ref") {
        let reference = Build::new("ref").bytes(flow.reference.clone().into_bytes()).build();
        link.send(result(id).children([reference]).build());
    } else if has("passkey_request_options") {
        let asked = options(flow).to_string().into_bytes();
        let asked = Build::new("passkey_request_options").bytes(asked).build();
        link.send(result(id).children([asked]).build());
    } else if let Some(part) = request.get_optional_child("passkey_prologue") {
        match prologue(flow, part) {
            Ok(()) => {
                link.send(result(id).build());
                answer_later(
                    hub,
                    link,
                    notification(hub, "crsc_continuation", phone_identity(flow)),
                );
            }
            Err(error) => {
                hub.recorder.refused(format!("an assertion for {}: {error:#}", flow.phone));
                link.send(refusal(id, 403, "forbidden"));
            }
        }
    } else if has("companion_nonce") {
        let nonce = key32(&child_bytes(request, "companion_nonce")?)?;
        let code = reveal(flow, &nonce)?;
        codes.insert(flow.phone.clone(), code);
        link.send(result(id).build());
    } else if has("encrypted_pairing_request") {
        let sealed = child_bytes(request, "encrypted_pairing_request")?;
        let asked = open(flow, &sealed)?;
        let (scanned, phone) = (flow.scanned.clone(), flow.phone.clone());
        by_link.remove(&link.id);
        codes.remove(&phone);
        drop(flows);
        link.send(result(id).build());
        let identity = key32(&asked.companion_identity_key.context("no identity key")?)?;
        let secret = asked.adv_secret.context("no pairing secret")?;
        finish_later(hub, (scanned, phone), (identity, secret));
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn answer_later(hub: &Hub, link: &SocketLink, answer: Node) {
    let (link, stop) = (link.clone(), hub.stop.clone());
    hub.tasks.spawn(async move {
        if stop.run_until_cancelled(tokio::time::sleep(PHONE_ANSWERS_AFTER)).await.is_some() {
            link.send(answer);
        }
    });
}

/// The phone links the device once the client had the time to take up its new secret.
fn finish_later(hub: &Arc<Hub>, of: (String, String), asked: ([u8; 32], Vec<u8>)) {
    let (hub, stop) = (hub.clone(), hub.stop.clone());
    let tasks = hub.tasks.clone();
    tasks.spawn(async move {
        if stop.run_until_cancelled(tokio::time::sleep(PHONE_ANSWERS_AFTER)).await.is_none() {
            return;
        }
        let ((scanned, phone), (identity, secret)) = (of, asked);
        if let Err(error) = pairing::finish(&hub, &scanned, &identity, &secret, &phone) {
            hub.recorder.refused(format!("a passkey linking of {phone}: {error:#}"));
        }
    });
}

/// Checks the assertion and keeps what the client commits to.
fn prologue(flow: &mut PasskeyFlow, part: &NodeRef<'_>) -> Result<()> {
    ensure!(child_bytes(part, "credential_id")? == flow.credential, "another credential");
    let assertion: Value = serde_json::from_slice(&child_bytes(part, "webauthn_assertion")?)?;
    let said = assertion["response"]["clientDataJSON"].as_str().context("no client data")?;
    let said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(said)?)?;
    ensure!(said["type"] == "webauthn.get", "client data of another kind");
    let challenge = URL_SAFE_NO_PAD.encode(flow.challenge);
    ensure!(said["challenge"] == challenge.as_str(), "another challenge");
    let payload = wa::ProloguePayload::decode_from_slice(&child_bytes(part, "prologue_payload")?)?;
    let identity = payload.companion_ephemeral_identity.context("no ephemeral identity")?;
    let commitment = payload.commitment.into_option().and_then(|commitment| commitment.hash);
    let said = wa::CompanionEphemeralIdentity::decode_from_slice(&identity)?;
    ensure!(said.r#ref.as_deref() == Some(flow.reference.as_str()), "another reference");
    flow.client = Some(ClientCommitment {
        ephemeral: key32(&said.public_key.context("no ephemeral key")?)?,
        device_type: said.device_type.context("no device type")?,
        hash: commitment.context("no commitment")?,
        identity,
        revealed: false,
    });
    Ok(())
}

fn phone_identity(flow: &PasskeyFlow) -> Node {
    let identity = wa::PrimaryEphemeralIdentity {
        public_key: Some(public_bytes(&flow.phone_key).to_vec()),
        nonce: Some(flow.phone_nonce.to_vec()),
    };
    Build::new("primary_ephemeral_identity").bytes(identity.encode_to_vec()).build()
}

/// The client shows that its key is the one it committed to. Gives the code both sides show.
fn reveal(flow: &mut PasskeyFlow, nonce: &[u8; 32]) -> Result<String> {
    let Some(client) = flow.client.as_mut() else {
        bail!("a nonce before the assertion");
    };
    let hash = Sha256::new().chain_update(&client.identity).chain_update(nonce).finalize();
    ensure!(hash[..] == client.hash[..], "the nonce is not what the client committed to");
    client.revealed = true;
    let phone_key = public_bytes(&flow.phone_key);
    let code = ShortcakeUtils::derive_verification_code(nonce, &phone_key, &flow.phone_nonce);
    Ok(format!("{}-{}", &code[..4], &code[4..]))
}

fn open(flow: &PasskeyFlow, sealed: &[u8]) -> Result<wa::PairingRequest> {
    let client = flow.client.as_ref().filter(|client| client.revealed);
    let client = client.context("a pairing request before the nonce")?;
    let theirs = PublicKey::from_djb_public_key_bytes(&client.ephemeral)?;
    let shared = flow.phone_key.calculate_agreement(&theirs)?;
    let key = ShortcakeUtils::derive_encryption_key_from_shared_secret(
        &shared,
        client.device_type,
        &flow.reference,
    )?;
    let request = wa::EncryptedPairingRequest::decode_from_slice(sealed)?;
    let nonce = request.iv.context("no nonce of the encryption")?;
    let payload = request.encrypted_payload.context("nothing encrypted")?;
    let mut plain = Vec::new();
    aes_256_gcm_decrypt(&key, nonce.as_slice().try_into()?, b"", &payload, &mut plain)
        .map_err(|error| anyhow!("the pairing request does not open: {error:?}"))?;
    Ok(wa::PairingRequest::decode_from_slice(&plain)?)
}
