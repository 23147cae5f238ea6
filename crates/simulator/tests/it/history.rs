//! What a device is told of the past when it is linked.

use whatsapp_rust::prelude::*;

use crate::support::*;

#[tokio::test]
async fn a_paired_device_gets_the_phones_chats() {
    let network = network().await;
    let bob = network.account(BOB).unwrap();
    let sent = bob.send_text(ALICE, "long ago").await.unwrap();
    let alice = network.account(ALICE).unwrap();
    alice.wait_for(LIMIT, |message| message.id == sent).await.unwrap();

    let device = Gateway::pairing(&network, ALICE).await;
    let event = device.event(|event| matches!(event, Event::HistorySync(_))).await;
    let Event::HistorySync(synced) = &*event else { unreachable!() };
    let history = synced.get().unwrap();
    let chat = &history.conversations[0];
    assert_eq!(chat.id, Jid::pn(BOB).to_string());
    let told = chat.messages[0].message.as_option().unwrap();
    assert_eq!(told.key.as_option().unwrap().id.as_deref(), Some(sent.as_str()));
    assert!(told.message_timestamp.is_some_and(|at| at > 1_700_000_000));
    assert_eq!(history.pushnames[0].pushname.as_deref(), Some("Bob"));
    assert_all_answered(&network);
}
