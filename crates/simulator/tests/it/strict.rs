//! A network notices by itself what it did not understand.

use simulator::Network;
use whatsapp_rust::{prelude::*, wacore_binary::builder::NodeBuilder};

use crate::support::*;

/// A device says something that nobody knows.
async fn riddle(network: &Network) {
    let alice = Gateway::linked(network, ALICE).await;
    alice.client.send_node(NodeBuilder::new("riddle").build()).await.unwrap();
    until(|| !network.record().unknown.is_empty()).await;
}

#[tokio::test]
#[should_panic(expected = "did not answer everything: [\"unknown: <riddle>\"]")]
async fn a_test_that_leaves_something_unknown_fails_by_itself() {
    let network = network().await;
    riddle(&network).await;
}

#[tokio::test]
async fn a_test_that_provokes_it_says_so() {
    let network = network().await;
    riddle(&network).await;
    assert!(network.answers_everything().is_err());
    network.forgive();
}

#[tokio::test]
async fn a_handshake_that_fails_is_recorded_as_refused_and_is_no_fault_of_the_network() {
    use tokio::io::AsyncWriteExt as _;
    let network = network().await;
    let address = network.chat_url().replace("ws://", "").replace("/ws/chat", "");
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until(|| !network.record().refused.is_empty()).await;
    assert!(network.record().refused[0].starts_with("a handshake: "));
    network.answers_everything().unwrap();
}

#[tokio::test]
async fn what_a_removed_device_still_says_is_ignored() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let sending = async {
        loop {
            // The stream may end in between.
            let _ = alice.client.send_text(Jid::pn(BOB), "still here").await;
        }
    };
    let removing = async {
        network.unlink(ALICE, alice.device).await.unwrap();
        alice.event(|event| matches!(event, Event::LoggedOut(_))).await;
    };
    tokio::select! {
        () = sending => {}
        () = removing => {}
    }
    until(|| !network.is_connected(ALICE, alice.device)).await;
    network.answers_everything().unwrap();
}
