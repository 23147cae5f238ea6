//! What is written when: a ratchet never before the row of the message that moved it.
//!
//! A message that is decrypted but not stored is only safe while the ledger has the ratchet of before: sent again, it
//! decrypts again. With the ratchet of after it is a duplicate, and gone.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{SessionId, message::Content, session::LossCause};
use simulator::ProvisionedDevice;

use crate::support::{
    ALICE, BOB, CAROL, Heard, LIMIT, Line, World, deliver, engine, open_with, options, text, until,
};

const SESSION: &str = "session";
const PENDING: &str = "pending_inbound";
/// Many times what the engine waits before it writes.
const LONG: Duration = Duration::from_millis(500);

/// Alice is connected and has heard from Bob and Carol; their sessions are written.
struct Stage {
    world: World,
    session: SessionId,
    device: ProvisionedDevice,
    line: Line,
    /// The key of Bob's session.
    bob: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let (session, device, line) = world.connected(ALICE).await;
        world.network.account(BOB).unwrap().send_text(ALICE, "hello from Bob").await.unwrap();
        line.ear.message("hello from Bob").await;
        until("Bob's session is written", || !world.keys.names(session, SESSION).is_empty()).await;
        let bob = world.keys.names(session, SESSION).remove(0);
        world.network.account(CAROL).unwrap().send_text(ALICE, "hello from Carol").await.unwrap();
        line.ear.message("hello from Carol").await;
        until("Carol's session is written", || world.keys.names(session, SESSION).len() == 2).await;
        until("nothing is buffered", || world.keys.names(session, PENDING).is_empty()).await;
        tokio::time::sleep(LONG).await;
        Self { world, session, device, line, bob }
    }

    fn ratchet(&self) -> Vec<u8> {
        self.world.keys.value(self.session, SESSION, &self.bob).unwrap()
    }

    async fn bob_says(&self, text: &str) {
        self.world.network.account(BOB).unwrap().send_text(ALICE, text).await.unwrap();
    }

    async fn carol_says(&self, text: &str) {
        self.world.network.account(CAROL).unwrap().send_text(ALICE, text).await.unwrap();
        self.line.ear.message(text).await;
    }

    /// What a kill at this moment leaves, opened by the next life of the process.
    async fn after_a_kill(self) -> (World, Line) {
        let left = Arc::new(self.world.keys.snapshot());
        self.world.keys.failing.store(true, Ordering::SeqCst);
        self.world.keys.open_door();
        drop(self.line);
        let (network, device) = (self.world.network, self.device);
        until("the old connection is gone", || !network.is_connected(ALICE, device.device_id))
            .await;
        let engine = engine(options(&network), &left);
        let line = open_with(&engine, self.session, None).await.unwrap();
        line.ear.connected().await;
        (World { network, keys: left, engine }, line)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_flight_survives_a_kill_while_other_chats_are_written() {
    let stage = Stage::set().await;
    stage.world.keys.close_door(PENDING, BOB);
    let before = stage.ratchet();
    stage.bob_says("in flight").await;
    until("Bob's row waits", || stage.world.keys.stopped() == 1).await;
    // The end of another chat's message lets the engine write all its ratchets.
    stage.carol_says("done").await;
    tokio::time::sleep(LONG).await;
    assert_eq!(stage.ratchet(), before, "Bob's ratchet was written before his message");

    let (_world, line) = stage.after_a_kill().await;
    line.ear.message("in flight").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ratchets_are_written_when_the_rows_are() {
    let stage = Stage::set().await;
    stage.world.keys.close_door(PENDING, BOB);
    let before = stage.ratchet();
    stage.bob_says("slow").await;
    until("Bob's row waits", || stage.world.keys.stopped() == 1).await;
    stage.carol_says("quick").await;
    stage.world.keys.open_door();
    stage.line.ear.message("slow").await;
    until("Bob's ratchet is written", || stage.ratchet() != before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_waits_until_its_ratchet_is_written() {
    let stage = Stage::set().await;
    stage.world.keys.close_door(PENDING, BOB);
    stage.bob_says("in flight").await;
    until("Bob's row waits", || stage.world.keys.stopped() == 1).await;
    let message = text(CAROL, "an answer");
    let id = message.id.as_str().to_owned();
    let connection = stage.line.connection.clone();
    let mut send = Box::pin(connection.send(message));
    assert!(
        tokio::time::timeout(LONG, &mut send).await.is_err(),
        "sent before its keys are written"
    );
    let carol = stage.world.network.account(CAROL).unwrap();
    let arrived = carol.inbox().await.iter().any(|received| received.id == id);
    assert!(!arrived, "sent with keys that a kill would use again");
    stage.world.keys.open_door();
    stage.line.ear.message("in flight").await;
    send.await.unwrap();
    carol.wait_for(LIMIT, |received| received.id == id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_written_ends_the_connection_and_comes_again() {
    let stage = Stage::set().await;
    stage.world.keys.refuse(PENDING, BOB);
    let before = stage.ratchet();
    stage.bob_says("refused").await;
    let cause = stage.line.ear.lost().await;
    assert!(matches!(cause, LossCause::Link(_)), "{cause:?}");
    assert_eq!(stage.ratchet(), before);
    stage.bob_says("after it").await;
    stage.world.keys.open_door();

    let again = stage.world.open(stage.session).await;
    again.ear.message("refused").await;
    again.ear.message("after it").await;
    again.ear.connected().await;
    // The keys of both sides still fit.
    let bob = stage.world.network.account(BOB).unwrap();
    deliver(&again, &bob, text(BOB, "an answer")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_message_in_flight_survives_a_kill_too() {
    let stage = Stage::set().await;
    let bob = stage.world.network.account(BOB).unwrap();
    let group = bob.create_group("Bakers", &[ALICE, CAROL]).await.unwrap();
    bob.send_text_to(&group, "first of the group").await.unwrap();
    stage.line.ear.message("first of the group").await;
    tokio::time::sleep(LONG).await;
    let keys = &stage.world.keys;
    let chains = keys.names(stage.session, "sender_key");
    assert_eq!(chains.len(), 1, "{chains:?}");
    let chain = || keys.value(stage.session, "sender_key", &chains[0]).unwrap();
    let before = chain();
    keys.close_door(PENDING, &group.to_string());
    bob.send_text_to(&group, "in flight").await.unwrap();
    until("the row waits", || keys.stopped() == 1).await;
    stage.carol_says("done").await;
    tokio::time::sleep(LONG).await;
    assert_eq!(chain(), before, "the group's chain was written before its message");

    let (_world, line) = stage.after_a_kill().await;
    line.ear.message("in flight").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_that_nobody_knows_is_asked_for_again() {
    let stage = Stage::set().await;
    let before = stage.ratchet();
    stage.world.keys.hold_deletes(PENDING, BOB);
    stage.bob_says("read once").await;
    until("it is stored and not acknowledged", || stage.world.keys.stopped() == 1).await;
    stage.carol_says("done").await;
    until("Bob's ratchet is written", || stage.ratchet() != before).await;
    // What must never be: the ratchet is there, and the row is not.
    let left = stage.world.keys.snapshot();
    left.wipe(stage.session, PENDING);
    stage.world.keys.failing.store(true, Ordering::SeqCst);
    let Stage { world: World { network, .. }, session, device, line, .. } = stage;
    drop(line);
    until("the old connection is gone", || !network.is_connected(ALICE, device.device_id)).await;
    assert_eq!(network.queued(ALICE, device.device_id).len(), 1);

    let left = Arc::new(left);
    let engine = engine(options(&network), &left);
    let line = open_with(&engine, session, None).await.unwrap();
    let placeholder = line.ear.hear(|heard| match heard {
        Heard::Message(message) if message.content == Content::Undecryptable => {
            Some(message.id.clone())
        }
        _ => None,
    });
    let placeholder = placeholder.await;
    // Its sender sends it again under the same id, and it is read.
    let again = line.ear.message("read once").await;
    assert_eq!(again.id, placeholder);
    line.connection.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_without_a_message_of_its_own_is_acknowledged() {
    let stage = Stage::set().await;
    let bob = stage.world.network.account(BOB).unwrap();
    stage.bob_says("to be edited").await;
    let id = stage.line.ear.message("to be edited").await.id;
    let group = bob.create_group("Bakers", &[ALICE, CAROL]).await.unwrap();
    bob.send_text_to(&group, "brings a key").await.unwrap();
    stage.line.ear.message("brings a key").await;
    bob.edit(&format!("{ALICE}@s.whatsapp.net").parse().unwrap(), id.as_str(), "edited")
        .await
        .unwrap();
    stage
        .line
        .ear
        .hear(|heard| match heard {
            Heard::Message(message) => message.content.target().map(|_| ()),
            Heard::Signal(_) => None,
        })
        .await;
    let marks = || stage.world.keys.names(stage.session, "done_inbound");
    until("the edit left its mark", || !marks().is_empty()).await;
}
