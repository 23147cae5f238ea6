//! Golden bytes of the Noise handshake.
//!
//! None of the constants below was made by this crate or the engine: they come from an implementation of X25519 (RFC
//! 7748), AES-256-GCM (SP 800-38D), SHA-256 and HKDF in plain integer arithmetic, written for this purpose, checked
//! against the published vectors, and applied to fixed keys: every private key is one byte repeated 32 times.
//!
//! The transcript hash is recomputed here as well, step by step from `sha2` and `hmac`, so that a mistake would have to
//! be made three times.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use simulator::noise::{HandshakePattern, HandshakeResponder, HandshakeStep, ServerIdentity};
use whatsapp_rust::{
    NodeBuilder,
    wacore::libsignal::{
        crypto::aes_256_gcm_decrypt,
        protocol::{KeyPair, PrivateKey},
    },
};

/// Certificate chain that names the server key, with made-up signatures.
const CHAIN: &str = "\
     0a760a32080210011a207b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b142080e2cfaa06\
     2880a8d6b9071240bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\
     bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb12760a32080110001a2038ab664bd86f77d7e66bdd9ae079\
     2913a94fd8b33a1260027e4b46c1f4884c672080e2cfaa062880a8d6b9071240aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Public half of the client key.
const CLIENT_KEY: &str = "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20";
const XX_HELLO: &str = "12220a207b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13";
const XX_REPLY: &str = "\
     1ad7020a20ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6b1230f29f7560c119c55c6f\
     3f6409cc64d41f4bbb194711a573183acd9ada4817795091078fab80e484db35ee06547abf9fa21a80029ad62b73d40e\
     3bd5fa152cf56e48f6f054caec8819b031ae524640848e4fd645a3a18a5639f1d490639bdd967755494234d68cd0fc4a\
     72b0cdda36f737a498cfcb277870c6ccbb780feefa7aa554b5f80045d17467aaefe8a6b8214d6f26ddc8d40c62468f93\
     ebaa74f1bba27d4a0892a625eceed31b1c33eab31c720453c88b1d8d2ffc61025411a8354b1c3653abf82c96793bc2ed\
     8b977da9db073c4174b56550b355638761dc3abe1352a6f1323a671891df29a0c976535b14b505e68c3af51105f71a3a\
     9858474c6f41eac537540565a7e6ac7d393f588d9bbfe19b6619a41365b059ef195adbdec75930c3a37edb711cf7e020\
     dd38e3cfd00b534d865c";
const XX_FINISH: &str = "\
     224e0a30f162c78be7b3d949407f3f59b0d93e4c395b746c97dee26f0fd957eec6c764850700fae6ec63dd238ada30fc\
     58fad506121a69a32c3c41c505ce78f6933b7fdbccac45f910082bb94c275aa9";
const IK_HELLO: &str = "\
     12700a207b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f1312307b2095047cedae414a2e\
     46ca1bd37c81222cf1821f377048f02089bd3e5ed3da5bc71dbfef58a2ddc67555b7a59dd85a1a1a5ba7fd03c3fe3fd7\
     42a452e65e760a2cd093c40275746c50aeae";
const IK_REPLY: &str = "\
     1aa5020a20ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6b1a800250bf38328d16749f\
     0c4cc05bf6045ec9cabcf2c89dea24409b6109c3149950c6969cfea78dd5fd31efe62b824d1cf5fbb1e02b9152776cb2\
     dfe6e0c6af635209e4870c55734674f575bd67b883d62705f25241e1558fa71b9b8d533777cfc68a2b03103ad787c763\
     99267e454b42c1a831e308d19ded36986bca2b1f5322b70628d200278001df55d45283ecc7f9c6d0788f482fa20e8c6c\
     3225ccd380aec872928017311df8d3f52590b9636581c6cad9d2b30e86f49e4f06f91f04709b6c2452ed6518e382bc55\
     c78912f47b7e46da79a3900f7517e1e509e9b3b8e70f1e5dc52ed0708b5d77e38e276db8dcf6912893b8659bec823105\
     a31e61a4457c7706";
/// `<ack class="message" id="ABCD"/>`, sealed with the first two counters of each direction.
const XX_SERVER_FRAME_0: &str = "e3b02197e33450be615c6ba696ef0c2460fc0ef053550c432a1f40";
const XX_SERVER_FRAME_1: &str = "34ed40c8b41b0e44141ec5869e9ed279efe1861b4d6240dd8012e6";
const XX_CLIENT_FRAME_0: &str = "ab91b1adb04da7d06783f23e848b25a311a3f69af1ddbff7fe5a23";
const IK_SERVER_FRAME_0: &str = "e34b8ce07185dddbc736204637b1c3020f27f768c37a92415d01d4";
const IK_CLIENT_FRAME_0: &str = "cd7bd72ad0f17eba1f467122dd4f5c9c0ae2f02900ab1aa61fb434";

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

fn pair(byte: u8) -> KeyPair {
    let private = PrivateKey::deserialize(&[byte; 32]).unwrap();
    KeyPair::new(private.public_key().unwrap(), private)
}

fn server() -> ServerIdentity {
    ServerIdentity::from_parts(pair(0x33), bytes(CHAIN)).unwrap()
}

fn ack() -> whatsapp_rust::wacore_binary::Node {
    NodeBuilder::new("ack").attr("class", "message").attr("id", "ABCD").build()
}

#[test]
fn xx_produces_the_golden_bytes() {
    let answer = HandshakeResponder::answer(&server(), pair(0x44), &bytes(XX_HELLO)).unwrap();
    let HandshakeStep::More(reply, waiting) = answer else {
        panic!("XX needs a third message");
    };
    assert_eq!(hex::encode(reply), XX_REPLY);
    let mut handshake = waiting.finish(&bytes(XX_FINISH)).unwrap();
    assert_eq!(handshake.pattern, HandshakePattern::Xx);
    assert_eq!(hex::encode(handshake.client_key), CLIENT_KEY);
    assert_eq!(handshake.payload.username, Some(5_511_990_000_001));
    let sealed = handshake.sealer.seal(&ack()).unwrap();
    assert_eq!(hex::encode(sealed), XX_SERVER_FRAME_0);
    let sealed = handshake.sealer.seal(&ack()).unwrap();
    assert_eq!(hex::encode(sealed), XX_SERVER_FRAME_1);
    let frame = bytes::BytesMut::from(&bytes(XX_CLIENT_FRAME_0)[..]);
    let opened = handshake.opener.open(frame).unwrap();
    assert_eq!(opened.to_owned_node(), ack());
}

#[test]
fn ik_produces_the_golden_bytes() {
    let answer = HandshakeResponder::answer(&server(), pair(0x44), &bytes(IK_HELLO)).unwrap();
    let HandshakeStep::Done(reply, mut handshake) = answer else {
        panic!("IK is done after one exchange");
    };
    assert_eq!(hex::encode(reply), IK_REPLY);
    assert_eq!(handshake.pattern, HandshakePattern::Ik);
    assert_eq!(hex::encode(handshake.client_key), CLIENT_KEY);
    assert_eq!(handshake.payload.username, Some(5_511_990_000_001));
    let sealed = handshake.sealer.seal(&ack()).unwrap();
    assert_eq!(hex::encode(sealed), IK_SERVER_FRAME_0);
    let frame = bytes::BytesMut::from(&bytes(IK_CLIENT_FRAME_0)[..]);
    let opened = handshake.opener.open(frame).unwrap();
    assert_eq!(opened.to_owned_node(), ack());
}

#[test]
fn a_changed_byte_anywhere_ends_the_handshake() {
    for index in [6, 40, 100] {
        let mut hello = bytes(IK_HELLO);
        hello[index] ^= 1;
        assert!(HandshakeResponder::answer(&server(), pair(0x44), &hello).is_err());
    }
    let HandshakeStep::More(_, waiting) =
        HandshakeResponder::answer(&server(), pair(0x44), &bytes(XX_HELLO)).unwrap()
    else {
        panic!("XX needs a third message");
    };
    let mut finish = bytes(XX_FINISH);
    finish[20] ^= 1;
    assert!(waiting.finish(&finish).is_err());
}

#[test]
fn a_chain_that_names_another_key_is_refused() {
    assert!(ServerIdentity::from_parts(pair(0x34), bytes(CHAIN)).is_err());
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Chaining key and cipher key after mixing in a secret: HKDF with two outputs.
fn mix(chaining_key: [u8; 32], secret: &[u8]) -> ([u8; 32], [u8; 32]) {
    let extracted = mac(&chaining_key, &[secret]);
    let first = mac(&extracted, &[&[1]]);
    (first, mac(&extracted, &[&first, &[2]]))
}

#[test]
fn the_xx_transcript_is_what_the_specification_says() {
    let shared = |private: u8, public: u8| {
        let theirs = pair(public).public_key;
        pair(private).calculate_agreement(&theirs).unwrap()
    };
    let public = |byte: u8| pair(byte).public_key.public_key_bytes().to_vec();
    let open = |key: &[u8; 32], aad: &[u8; 32], sealed: &[u8]| {
        let mut plain = Vec::new();
        aes_256_gcm_decrypt(key, &[0; 12], aad, sealed, &mut plain).unwrap();
        plain
    };
    let name = *b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0";
    let reply = bytes(XX_REPLY);
    // The reply is a protobuf: three bytes of header, then key (34), sealed key (2 + 48) and sealed chain (3 + rest).
    let (sealed_key, sealed_chain) = (&reply[39..87], &reply[90..]);

    let mut transcript = hash(&[&name, b"WA\x06\x03"]);
    transcript = hash(&[&transcript, &public(0x11)]);
    transcript = hash(&[&transcript, &public(0x44)]);
    let (chaining_key, key) = mix(name, &shared(0x44, 0x11));
    assert_eq!(open(&key, &transcript, sealed_key), public(0x33));
    transcript = hash(&[&transcript, sealed_key]);
    let (_, key) = mix(chaining_key, &shared(0x33, 0x11));
    assert_eq!(open(&key, &transcript, sealed_chain), bytes(CHAIN));
}
