//! Golden bytes of the node codec.
//!
//! Each vector was put together by hand from the format: a leading 0 for "not compressed"; `f8 n` opens a list of n
//! parts (tag, attribute names and values, content); frequent words are one byte by their place in the dictionary, or
//! two (`ec n`); `ff n` packs digits, `fb n` packs upper-case hexadecimal, two per byte, with the top bit of n set for
//! an odd count; `fc n` is raw bytes; `fa` is an address (user, server), `f7` one with a device (domain, device, user).

use proptest::prelude::*;
use whatsapp_rust::{
    Jid, NodeBuilder,
    wacore_binary::{Node, OwnedNodeRef, marshal, util::unpack},
};

/// Checks a vector in both directions.
#[track_caller]
fn check(hex: &str, node: Node) {
    let hex: String = hex.split_whitespace().collect();
    assert_eq!(hex::encode(marshal(&node).unwrap()), hex, "encoded");
    assert_eq!(decode(&hex::decode(&hex).unwrap()), node, "decoded");
}

fn decode(bytes: &[u8]) -> Node {
    let plain = unpack(bytes).unwrap().into_owned();
    OwnedNodeRef::new(plain).unwrap().to_owned_node()
}

#[test]
fn an_ack_with_a_hexadecimal_id() {
    let ack = NodeBuilder::new("ack").attr("class", "message").attr("id", "ABCD").build();
    check("00 f805 1b 15 13 08 fb02abcd", ack);
}

#[test]
fn a_request_to_the_server_with_a_child() {
    let request = NodeBuilder::new("iq")
        .attr("type", "get")
        .attr("id", "345-6")
        .attr("to", Jid::new("", whatsapp_rust::Server::Pn))
        .children([NodeBuilder::new("count").build()])
        .build();
    check("00 f808 19 04 29 08 ff83345a6f 11 fa0003 f801 f801 41", request);
}

#[test]
fn addresses_with_and_without_device_by_number_and_by_lid() {
    let receipt = |from: Jid| NodeBuilder::new("receipt").attr("from", from).build();
    check("00 f803 07 06 fa ff875511990000001f 03", receipt(Jid::pn("5511990000001")));
    check("00 f803 07 06 f7 00 03 ff875511990000001f", receipt(Jid::pn_device("5511990000001", 3)));
    check(
        "00 f803 07 06 f7 01 03 ff875511990000001f",
        receipt(Jid::lid_device("5511990000001", 3)),
    );
    check("00 f803 07 06 fa ff875511990000001f 76", receipt(Jid::lid("5511990000001")));
}

#[test]
fn a_ciphertext_is_raw_bytes() {
    let enc =
        NodeBuilder::new("enc").attr("v", "2").attr("type", "pkmsg").bytes(vec![1, 2, 3]).build();
    check("00 f806 1d 51 45 04 53 fc03010203", enc);
}

#[test]
fn a_name_is_text_and_a_rare_word_takes_two_bytes() {
    let message = NodeBuilder::new("message").attr("notify", "Ana Lúcia").build();
    check("00 f803 13 18 fc0a 416e61204cc3ba636961", message);
    let retry = NodeBuilder::new("retry").attr("count", "1").build();
    check("00 f803 ec0b 41 55", retry);
}

#[test]
fn a_long_ciphertext_has_a_twenty_bit_length() {
    let content = vec![0xab; 300];
    let node = NodeBuilder::new("enc").bytes(content.clone()).build();
    let expected = format!("00f8021dfd00012c{}", hex::encode(content));
    check(&expected, node);
}

proptest! {
    /// Whatever arrives, decoding ends with a node or an error.
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(plain) = unpack(&bytes) {
            let _ = OwnedNodeRef::new(plain.into_owned());
        }
    }
}
