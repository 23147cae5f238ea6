//! A network that is kept on disk and started again.

use std::path::PathBuf;

use simulator::{Network, NetworkOptions};
use whatsapp_rust::prelude::*;

use crate::support::*;

/// A directory of its own for one test, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let unique = format!("simulator-{name}-{}-{}", std::process::id(), rand::random::<u32>());
        Directory(std::env::temp_dir().join(unique))
    }

    async fn network(&self) -> Network {
        let options = NetworkOptions { data_dir: Some(self.0.clone()), ..Default::default() };
        Network::start_with(options).await.unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_device_logs_in_by_ik_after_a_restart_and_both_sides_talk_on() {
    let directory = Directory::new("restart");
    let network = directory.network().await;
    network.add_account(ALICE, "Alice").await;
    let bob = network.add_account(BOB, "Bob").await;
    let lid = bob.lid().to_owned();
    let mut alice = Gateway::linked(&network, ALICE).await;
    bob.send_text(ALICE, "before").await.unwrap();
    alice.text("before").await;
    alice.client.send_text(Jid::pn(BOB), "before too").await.unwrap();
    bob.wait_for(LIMIT, |message| message.text == "before too").await.unwrap();
    alice.stop().await;
    network.shutdown().await;

    let network = directory.network().await;
    let bob = network.account(BOB).unwrap();
    assert_eq!(bob.lid(), lid);
    assert_eq!(bob.name(), "Bob");
    let alice = Gateway::connected(&network, alice.backend.clone(), ALICE, alice.device).await;
    assert_eq!(network.record().handshakes.get("IK"), Some(&1));

    // The client encrypts in a session the phone has forgotten: the phone asks again, the client encrypts anew.
    let sent = alice.client.send_text(Jid::pn(BOB), "in an old session").await.unwrap();
    let got = bob.wait_for(LIMIT, |message| message.text == "in an old session").await.unwrap();
    assert_eq!(got.id, sent.message_id);
    alice.receipt(&sent.message_id, &["Delivered"]).await;
    assert!(!network.record().undecryptable.is_empty());

    bob.send_text(ALICE, "after").await.unwrap();
    alice.text("after").await;
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_phone_writes_first_after_a_restart() {
    let directory = Directory::new("first");
    let network = directory.network().await;
    network.add_account(ALICE, "Alice").await;
    let bob = network.add_account(BOB, "Bob").await;
    let mut alice = Gateway::linked(&network, ALICE).await;
    bob.send_text(ALICE, "before").await.unwrap();
    alice.text("before").await;
    alice.stop().await;
    network.shutdown().await;

    let network = directory.network().await;
    let bob = network.account(BOB).unwrap();
    let alice = Gateway::connected(&network, alice.backend.clone(), ALICE, alice.device).await;
    bob.send_text(ALICE, "after").await.unwrap();
    alice.text("after").await;
    alice.client.send_text(Jid::pn(BOB), "and back").await.unwrap();
    bob.wait_for(LIMIT, |message| message.text == "and back").await.unwrap();
    assert_all_answered(&network);
}

#[tokio::test]
async fn accounts_and_removals_survive_a_network_that_was_killed() {
    let directory = Directory::new("killed");
    let network = directory.network().await;
    network.add_account(ALICE, "Alice").await;
    let first = network.provision_device(ALICE).await.unwrap();
    let second = network.provision_device(ALICE).await.unwrap();
    network.unlink(ALICE, first.device_id).await.unwrap();
    // No shutdown: what a call changed is on disk when it returns.
    let copy = Directory::new("copy");
    std::fs::create_dir_all(&copy.0).unwrap();
    std::fs::copy(directory.0.join("network.json"), copy.0.join("network.json")).unwrap();
    let again = copy.network().await;
    let alice = again.account(ALICE).unwrap();
    assert_eq!(alice.devices(), [second.device_id]);
    let third = again.provision_device(ALICE).await.unwrap();
    assert_eq!(third.device_id, 3, "numbers are never used twice");
}

#[tokio::test]
async fn a_directory_that_holds_something_else_is_refused() {
    let directory = Directory::new("broken");
    std::fs::create_dir_all(&directory.0).unwrap();
    std::fs::write(directory.0.join("network.json"), "not a network").unwrap();
    let options = NetworkOptions { data_dir: Some(directory.0.clone()), ..Default::default() };
    assert!(Network::start_with(options).await.is_err());
}

#[tokio::test]
async fn a_seed_makes_the_networks_numbers_repeatable() {
    let options = || NetworkOptions { seed: Some(7), ..Default::default() };
    let first = Network::start_with(options()).await.unwrap();
    let second = Network::start_with(options()).await.unwrap();
    let a = first.add_account(ALICE, "Alice").await;
    let b = second.add_account(ALICE, "Alice").await;
    assert_eq!(a.lid(), b.lid());
    let again = first.add_account(ALICE, "Another name").await;
    assert_eq!((again.lid(), again.name()), (a.lid(), "Alice"));
}

#[tokio::test]
async fn dropping_the_last_clone_stops_the_network() {
    let network = Network::start().await.unwrap();
    let address = network.chat_url();
    let address = address.trim_start_matches("ws://").trim_end_matches("/ws/chat").to_owned();
    let clone = network.clone();
    drop(network);
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(clone);
    let wait = tokio::time::timeout(LIMIT, async {
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    wait.await.expect("the port closes");
}
