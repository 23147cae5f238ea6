//! The server's half of the Noise handshake (XX and IK).
//!
//! * [`HandshakeResponder`] does no I/O: it takes the client's hello, and gives the reply and either the finished
//!   [`Handshake`] (IK) or the state that waits for the client's last message (XX). Both keys of the server are
//!   arguments, so a test can fix every byte.
//! * [`FrameOpener`] and [`StanzaSealer`] are one direction each of the encrypted link that follows.
//!
//! What is deliberately absent: XX fallback. A client whose cached certificate is wrong is refused by a closed link.

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::BytesMut;
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore::{
        libsignal::protocol::{KeyPair, PrivateKey},
        noise::{NoiseCipher, NoiseHandshake},
        store::{CachedNoiseCert, CachedServerCertChain},
    },
    wacore_binary::{
        Node, OwnedNodeRef,
        consts::{NOISE_PATTERN_IK, NOISE_PATTERN_XX, WA_CONN_HEADER},
        marshal,
        util::unpack_bytes,
    },
    waproto::{
        whatsapp as wa,
        whatsapp::cert_chain::{NoiseCertificate, noise_certificate::Details},
    },
};

use crate::wire::{key32, now_seconds};

/// How long the server's certificates are valid, in days: longer than any test or sandbox lives.
const CERTIFICATE_DAYS: u64 = 3650;

/// The 32 bytes of a public key.
pub fn public_bytes(pair: &KeyPair) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(pair.public_key.public_key_bytes());
    bytes
}

/// The network's static key and the certificate chain that names it, signed by a root of its own.
pub struct ServerIdentity {
    /// The static key pair of the leaf certificate.
    pub key: KeyPair,
    /// The encoded chain, as it travels in the handshake.
    pub chain: Vec<u8>,
    /// What a client keeps of the chain after a first login, and needs for IK.
    pub cached: CachedServerCertChain,
    /// The public key that signed the intermediate certificate, where it is known.
    pub root: Option<[u8; 32]>,
}

impl ServerIdentity {
    /// Makes a root, an intermediate and a leaf, each signed by the one before: only the root differs from WhatsApp's.
    pub fn generate() -> Result<Self> {
        let mut rng = rand::rng();
        let root = KeyPair::generate(&mut rng);
        let intermediate = KeyPair::generate(&mut rng);
        let leaf = KeyPair::generate(&mut rng);
        let not_before = now_seconds().saturating_sub(3600);
        let not_after = not_before + CERTIFICATE_DAYS * 86_400;
        let details = |serial, issuer, pair: &KeyPair| {
            Details {
                serial: Some(serial),
                issuer_serial: Some(issuer),
                key: Some(public_bytes(pair).to_vec()),
                not_before: Some(not_before),
                not_after: Some(not_after),
            }
            .encode_to_vec()
        };
        let sign = |details: Vec<u8>, issuer: &KeyPair| -> Result<NoiseCertificate> {
            let signature = issuer.calculate_signature(&details, &mut rand::rng())?;
            Ok(NoiseCertificate { details: Some(details), signature: Some(signature.to_vec()) })
        };
        let chain = wa::CertChain {
            intermediate: MessageField::some(sign(details(1, 0, &intermediate), &root)?),
            leaf: MessageField::some(sign(details(2, 1, &leaf), &intermediate)?),
        }
        .encode_to_vec();
        let root = Some(public_bytes(&root));
        Ok(Self { root, ..Self::from_parts(leaf, chain)? })
    }

    /// Rebuilds an identity that was kept on disk.
    ///
    /// # Errors
    /// When the chain cannot be read or does not name `key`.
    pub fn from_parts(key: KeyPair, chain: Vec<u8>) -> Result<Self> {
        let decoded = wa::CertChain::decode_from_slice(&chain)?;
        let intermediate = cached(decoded.intermediate.into_option())?;
        let leaf = cached(decoded.leaf.into_option())?;
        ensure!(leaf.key == public_bytes(&key), "the chain names another key");
        Ok(Self { key, chain, cached: CachedServerCertChain { intermediate, leaf }, root: None })
    }
}

fn cached(certificate: Option<NoiseCertificate>) -> Result<CachedNoiseCert> {
    let details = certificate
        .and_then(|certificate| certificate.details)
        .context("a certificate is missing")?;
    let details = Details::decode_from_slice(&details)?;
    Ok(CachedNoiseCert {
        key: key32(&details.key.unwrap_or_default())?,
        not_before: i64::try_from(details.not_before.unwrap_or_default())?,
        not_after: i64::try_from(details.not_after.unwrap_or_default())?,
    })
}

/// Which handshake a client chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HandshakePattern {
    /// The first contact of a device: both sides learn each other's key.
    Xx,
    /// A device that remembers the server's key.
    Ik,
}

impl HandshakePattern {
    /// The name used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xx => "XX",
            Self::Ik => "IK",
        }
    }
}

/// What both sides agreed on, and the ciphers that follow.
pub struct Handshake {
    /// Encrypts what the server sends.
    pub sealer: StanzaSealer,
    /// Decrypts what the client sends.
    pub opener: FrameOpener,
    /// The client's static key, which names the device.
    pub client_key: [u8; 32],
    /// What the client says about itself: a login or a registration.
    pub payload: wa::ClientPayload,
    /// Which pattern was spoken.
    pub pattern: HandshakePattern,
}

/// What follows the client's hello.
pub enum HandshakeStep {
    /// IK: send the reply, the link is up.
    Done(Vec<u8>, Box<Handshake>),
    /// XX: send the reply, then give the client's next frame to [`PendingHandshake::finish`].
    More(Vec<u8>, Box<PendingHandshake>),
}

/// An XX handshake that waits for the client's last message.
pub struct PendingHandshake {
    noise: NoiseHandshake,
    ephemeral: KeyPair,
}

/// The server's side of a handshake.
pub struct HandshakeResponder;

impl HandshakeResponder {
    /// Answers the client's hello with the given ephemeral key.
    ///
    /// # Errors
    /// When the hello cannot be read or decrypted: the link is to be closed.
    pub fn answer(
        identity: &ServerIdentity,
        ephemeral: KeyPair,
        hello: &[u8],
    ) -> Result<HandshakeStep> {
        let hello = wa::HandshakeMessage::decode_from_slice(hello)?
            .client_hello
            .into_option()
            .context("the first message is not a client hello")?;
        let client_ephemeral = key32(&hello.ephemeral.context("the hello has no ephemeral key")?)?;
        match (hello.r#static, hello.payload) {
            (Some(sealed_key), Some(sealed_payload)) => {
                answer_ik(identity, &ephemeral, &client_ephemeral, &sealed_key, &sealed_payload)
            }
            _ => answer_xx(identity, ephemeral, &client_ephemeral),
        }
    }
}

fn private(pair: &KeyPair) -> &[u8; 32] {
    PrivateKey::serialize(&pair.private_key)
}

fn answer_ik(
    identity: &ServerIdentity,
    ephemeral: &KeyPair,
    client_ephemeral: &[u8; 32],
    sealed_key: &[u8],
    sealed_payload: &[u8],
) -> Result<HandshakeStep> {
    let mut noise = NoiseHandshake::new(NOISE_PATTERN_IK, &WA_CONN_HEADER)?;
    noise.authenticate(&public_bytes(&identity.key));
    noise.authenticate(client_ephemeral);
    noise.mix_shared_secret(private(&identity.key), client_ephemeral)?;
    let client_key = key32(&noise.decrypt(sealed_key)?)?;
    noise.mix_shared_secret(private(&identity.key), &client_key)?;
    let payload = wa::ClientPayload::decode_from_slice(&noise.decrypt(sealed_payload)?)?;
    noise.authenticate(&public_bytes(ephemeral));
    noise.mix_shared_secret(private(ephemeral), client_ephemeral)?;
    noise.mix_shared_secret(private(ephemeral), &client_key)?;
    let reply = server_hello(ephemeral, None, noise.encrypt(&identity.chain)?);
    let handshake = established(noise, client_key, payload, HandshakePattern::Ik)?;
    Ok(HandshakeStep::Done(reply, Box::new(handshake)))
}

fn answer_xx(
    identity: &ServerIdentity,
    ephemeral: KeyPair,
    client_ephemeral: &[u8; 32],
) -> Result<HandshakeStep> {
    let mut noise = NoiseHandshake::new(NOISE_PATTERN_XX, &WA_CONN_HEADER)?;
    noise.authenticate(client_ephemeral);
    noise.authenticate(&public_bytes(&ephemeral));
    noise.mix_shared_secret(private(&ephemeral), client_ephemeral)?;
    let sealed_key = noise.encrypt(&public_bytes(&identity.key))?;
    noise.mix_shared_secret(private(&identity.key), client_ephemeral)?;
    let sealed_chain = noise.encrypt(&identity.chain)?;
    let reply = server_hello(&ephemeral, Some(sealed_key), sealed_chain);
    Ok(HandshakeStep::More(reply, Box::new(PendingHandshake { noise, ephemeral })))
}

impl PendingHandshake {
    /// Takes the client's last message.
    ///
    /// # Errors
    /// When it cannot be read or decrypted: the link is to be closed.
    pub fn finish(self, message: &[u8]) -> Result<Handshake> {
        let Self { mut noise, ephemeral } = self;
        let finish = wa::HandshakeMessage::decode_from_slice(message)?
            .client_finish
            .into_option()
            .context("the second message is not a client finish")?;
        let sealed_key = finish.r#static.context("the finish has no static key")?;
        let client_key = key32(&noise.decrypt(&sealed_key)?)?;
        noise.mix_shared_secret(private(&ephemeral), &client_key)?;
        let sealed_payload = finish.payload.context("the finish has no payload")?;
        let payload = wa::ClientPayload::decode_from_slice(&noise.decrypt(&sealed_payload)?)?;
        established(noise, client_key, payload, HandshakePattern::Xx)
    }
}

fn server_hello(
    ephemeral: &KeyPair,
    sealed_key: Option<Vec<u8>>,
    sealed_chain: Vec<u8>,
) -> Vec<u8> {
    wa::HandshakeMessage {
        server_hello: MessageField::some(wa::handshake_message::ServerHello {
            ephemeral: Some(public_bytes(ephemeral).to_vec()),
            r#static: sealed_key,
            payload: Some(sealed_chain),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

fn established(
    noise: NoiseHandshake,
    client_key: [u8; 32],
    payload: wa::ClientPayload,
    pattern: HandshakePattern,
) -> Result<Handshake> {
    // The initiator writes with the first key, so for the responder the order is reversed.
    let (client_to_server, server_to_client) = noise.finish()?;
    Ok(Handshake {
        sealer: StanzaSealer { cipher: server_to_client, counter: 0 },
        opener: FrameOpener { cipher: client_to_server, counter: 0 },
        client_key,
        payload,
        pattern,
    })
}

/// Encrypts stanzas from the server to the client, one counter step each.
pub struct StanzaSealer {
    cipher: NoiseCipher,
    counter: u32,
}

impl StanzaSealer {
    /// Encodes and encrypts one stanza.
    pub fn seal(&mut self, node: &Node) -> Result<Vec<u8>> {
        let plain = marshal(node).map_err(|error| anyhow!("cannot encode a stanza: {error}"))?;
        let sealed = self.cipher.encrypt_with_counter(self.counter, &plain)?;
        self.counter += 1;
        Ok(sealed)
    }
}

/// Decrypts frames from the client, one counter step each.
pub struct FrameOpener {
    cipher: NoiseCipher,
    counter: u32,
}

impl FrameOpener {
    /// Decrypts and decodes one stanza.
    pub fn open(&mut self, mut frame: BytesMut) -> Result<OwnedNodeRef> {
        self.cipher.decrypt_in_place_with_counter(self.counter, &mut frame)?;
        self.counter += 1;
        let plain = unpack_bytes(frame).map_err(|error| anyhow!("cannot unpack: {error}"))?;
        OwnedNodeRef::new(plain).map_err(|error| anyhow!("cannot decode a stanza: {error}"))
    }
}
