//! The server's half of the Noise handshake (XX and IK) and the frames it is spoken in.
//!
//! * [`Responder`] does no I/O: it takes the client's hello, and gives the reply and either the finished
//!   [`Handshake`] (IK) or the state that waits for the client's last message (XX). Both keys of the server are
//!   arguments, so a test can fix every byte.
//! * [`FrameReader`] and [`FrameWriter`] carry three-byte-length frames over a WebSocket.
//! * [`Opener`] and [`Sealer`] are one direction each of the encrypted link that follows.
//!
//! What is deliberately absent: XX fallback. A client whose cached certificate is wrong is refused by a closed link.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_websockets::{Message, WebSocketStream};
use whatsapp_rust::buffa::{Message as _, MessageField};
use whatsapp_rust::wacore::libsignal::protocol::{KeyPair, PrivateKey};
use whatsapp_rust::wacore::noise::{NoiseCipher, NoiseHandshake};
use whatsapp_rust::wacore::store::{CachedNoiseCert, CachedServerCertChain};
use whatsapp_rust::wacore_binary::consts::{NOISE_PATTERN_IK, NOISE_PATTERN_XX, WA_CONN_HEADER};
use whatsapp_rust::wacore_binary::{Node, OwnedNodeRef, marshal, util::unpack_bytes};
use whatsapp_rust::waproto::whatsapp as wa;
use whatsapp_rust::waproto::whatsapp::cert_chain::{NoiseCertificate, noise_certificate::Details};

use crate::wire::{key32, now_seconds};

/// Largest frame accepted, in bytes. The length field allows 16 MiB; a client has no reason to send a tenth of it.
const FRAME_BYTES_MAX: usize = 4 << 20;
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
}

impl ServerIdentity {
    /// Makes a root, an intermediate and a leaf, each signed by the one before: only the root differs from WhatsApp's.
    pub fn generate() -> Result<ServerIdentity> {
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
        ServerIdentity::from_parts(leaf, chain)
    }

    /// Rebuilds an identity that was kept on disk.
    ///
    /// # Errors
    /// When the chain cannot be read or does not name `key`.
    pub fn from_parts(key: KeyPair, chain: Vec<u8>) -> Result<ServerIdentity> {
        let decoded = wa::CertChain::decode_from_slice(&chain)?;
        let intermediate = cached(decoded.intermediate.into_option())?;
        let leaf = cached(decoded.leaf.into_option())?;
        ensure!(leaf.key == public_bytes(&key), "the chain names another key");
        Ok(ServerIdentity { key, chain, cached: CachedServerCertChain { intermediate, leaf } })
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
pub enum Pattern {
    /// The first contact of a device: both sides learn each other's key.
    Xx,
    /// A device that remembers the server's key.
    Ik,
}

impl Pattern {
    /// The name used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Pattern::Xx => "XX",
            Pattern::Ik => "IK",
        }
    }
}

/// A finished handshake.
pub struct Handshake {
    /// Encrypts what the server sends.
    pub sealer: Sealer,
    /// Decrypts what the client sends.
    pub opener: Opener,
    /// The client's static key, which names the device.
    pub client_key: [u8; 32],
    /// What the client says about itself: a login or a registration.
    pub payload: wa::ClientPayload,
    /// Which pattern was spoken.
    pub pattern: Pattern,
}

/// What follows the client's hello.
pub enum Step {
    /// IK: send the reply, the link is up.
    Done(Vec<u8>, Box<Handshake>),
    /// XX: send the reply, then give the client's next frame to [`Waiting::finish`].
    More(Vec<u8>, Box<Waiting>),
}

/// An XX handshake that waits for the client's last message.
pub struct Waiting {
    noise: NoiseHandshake,
    ephemeral: KeyPair,
}

/// The server's side of a handshake.
pub struct Responder;

impl Responder {
    /// Answers the client's hello with the given ephemeral key.
    ///
    /// # Errors
    /// When the hello cannot be read or decrypted: the link is to be closed.
    pub fn answer(identity: &ServerIdentity, ephemeral: KeyPair, hello: &[u8]) -> Result<Step> {
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
) -> Result<Step> {
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
    let handshake = established(noise, client_key, payload, Pattern::Ik)?;
    Ok(Step::Done(reply, Box::new(handshake)))
}

fn answer_xx(
    identity: &ServerIdentity,
    ephemeral: KeyPair,
    client_ephemeral: &[u8; 32],
) -> Result<Step> {
    let mut noise = NoiseHandshake::new(NOISE_PATTERN_XX, &WA_CONN_HEADER)?;
    noise.authenticate(client_ephemeral);
    noise.authenticate(&public_bytes(&ephemeral));
    noise.mix_shared_secret(private(&ephemeral), client_ephemeral)?;
    let sealed_key = noise.encrypt(&public_bytes(&identity.key))?;
    noise.mix_shared_secret(private(&identity.key), client_ephemeral)?;
    let sealed_chain = noise.encrypt(&identity.chain)?;
    let reply = server_hello(&ephemeral, Some(sealed_key), sealed_chain);
    Ok(Step::More(reply, Box::new(Waiting { noise, ephemeral })))
}

impl Waiting {
    /// Takes the client's last message.
    ///
    /// # Errors
    /// When it cannot be read or decrypted: the link is to be closed.
    pub fn finish(self, message: &[u8]) -> Result<Handshake> {
        let Waiting { mut noise, ephemeral } = self;
        let finish = wa::HandshakeMessage::decode_from_slice(message)?
            .client_finish
            .into_option()
            .context("the second message is not a client finish")?;
        let sealed_key = finish.r#static.context("the finish has no static key")?;
        let client_key = key32(&noise.decrypt(&sealed_key)?)?;
        noise.mix_shared_secret(private(&ephemeral), &client_key)?;
        let sealed_payload = finish.payload.context("the finish has no payload")?;
        let payload = wa::ClientPayload::decode_from_slice(&noise.decrypt(&sealed_payload)?)?;
        established(noise, client_key, payload, Pattern::Xx)
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
    pattern: Pattern,
) -> Result<Handshake> {
    // The initiator writes with the first key, so for the responder the order is reversed.
    let (client_to_server, server_to_client) = noise.finish()?;
    Ok(Handshake {
        sealer: Sealer { cipher: server_to_client, counter: 0 },
        opener: Opener { cipher: client_to_server, counter: 0 },
        client_key,
        payload,
        pattern,
    })
}

/// Encrypts stanzas from the server to the client, one counter step each.
pub struct Sealer {
    cipher: NoiseCipher,
    counter: u32,
}

impl Sealer {
    /// Encodes and encrypts one stanza.
    pub fn seal(&mut self, node: &Node) -> Result<Vec<u8>> {
        let plain = marshal(node).map_err(|error| anyhow!("cannot encode a stanza: {error}"))?;
        let sealed = self.cipher.encrypt_with_counter(self.counter, &plain)?;
        self.counter += 1;
        Ok(sealed)
    }
}

/// Decrypts frames from the client, one counter step each.
pub struct Opener {
    cipher: NoiseCipher,
    counter: u32,
}

impl Opener {
    /// Decrypts and decodes one stanza.
    pub fn open(&mut self, mut frame: BytesMut) -> Result<OwnedNodeRef> {
        self.cipher.decrypt_in_place_with_counter(self.counter, &mut frame)?;
        self.counter += 1;
        let plain = unpack_bytes(frame).map_err(|error| anyhow!("cannot unpack: {error}"))?;
        OwnedNodeRef::new(plain).map_err(|error| anyhow!("cannot decode a stanza: {error}"))
    }
}

/// Splits an accepted WebSocket into its two frame directions.
pub fn frames(socket: WebSocketStream<TcpStream>) -> (FrameReader, FrameWriter) {
    let (sink, stream) = socket.split();
    let reader = FrameReader { stream, buffer: BytesMut::new(), started: false };
    (reader, FrameWriter { sink })
}

/// Frames from the client. Cancel safe: bytes already read stay in the buffer.
pub struct FrameReader {
    stream: SplitStream<WebSocketStream<TcpStream>>,
    buffer: BytesMut,
    started: bool,
}

impl FrameReader {
    /// The next frame, or `None` when the client closed the link.
    ///
    /// # Errors
    /// When the link breaks, starts with an unknown prologue or announces a frame over the limit.
    pub async fn next(&mut self) -> Result<Option<BytesMut>> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            match self.stream.next().await {
                Some(Ok(message)) if message.is_binary() => {
                    self.buffer.extend_from_slice(&message.into_payload());
                }
                Some(Ok(message)) if message.is_close() => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(None),
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<BytesMut>> {
        if !self.started && !self.skip_prologue()? {
            return Ok(None);
        }
        let Some(length) = self.length_at(0) else {
            return Ok(None);
        };
        ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
        if self.buffer.len() < 3 + length {
            return Ok(None);
        }
        let _ = self.buffer.split_to(3);
        Ok(Some(self.buffer.split_to(length)))
    }

    /// Drops the routing hint, if one is sent, and the connection header. False while more bytes are needed.
    fn skip_prologue(&mut self) -> Result<bool> {
        if self.buffer.len() < 4 {
            return Ok(false);
        }
        if &self.buffer[..4] == b"ED\x00\x01" {
            let Some(length) = self.length_at(4) else {
                return Ok(false);
            };
            if self.buffer.len() < 7 + length + 4 {
                return Ok(false);
            }
            let _ = self.buffer.split_to(7 + length);
        }
        if self.buffer[..4] != WA_CONN_HEADER {
            bail!("unknown prologue {:02x?}", &self.buffer[..4]);
        }
        let _ = self.buffer.split_to(4);
        self.started = true;
        Ok(true)
    }

    fn length_at(&self, at: usize) -> Option<usize> {
        let bytes = self.buffer.get(at..at + 3)?;
        Some(usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]))
    }
}

/// Frames to the client.
pub struct FrameWriter {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
}

impl FrameWriter {
    /// Sends one frame.
    pub async fn send(&mut self, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())?.to_be_bytes();
        ensure!(length[0] == 0, "a frame of {} bytes", payload.len());
        let mut frame = Vec::with_capacity(payload.len() + 3);
        frame.extend_from_slice(&length[1..]);
        frame.extend_from_slice(payload);
        self.sink.send(Message::binary(Bytes::from(frame))).await?;
        Ok(())
    }

    /// Says goodbye at the WebSocket level; errors do not matter any more.
    pub async fn close(&mut self) {
        let _ = self.sink.close().await;
    }
}
