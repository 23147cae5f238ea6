//! Sends of a chat leave in the order they were accepted, whatever they do before.

use std::time::Duration;

use domain::{Timer, chat::Typing};
use gateway::messages::{Preview, Say, SendError, ToSend};
use testkit::{Asked, OnSend, build};

use crate::house::{House, to_send, until};

/// Longest typing here.
const TYPING_MAX: Duration = Duration::from_secs(4);

fn text(chat: u32, text: &str) -> ToSend {
    let say = Say::Text { text: text.into(), preview: Preview::Off };
    ToSend { chat: build::chat(chat), say, mentions: vec![], quoted: None }
}

fn bodies(house: &House) -> Vec<String> {
    house.whatsapp.sent().iter().filter_map(|message| message.content.body()).collect()
}

#[tokio::test]
async fn typing_never_reorders_and_ends_with_paused() {
    let house = House::with(|options| options.sends.typing_max = TYPING_MAX).await;
    let session = house.ready("bakery").await;
    let messages = &house.gateway.messages;
    let long = "a long text ".repeat(20);
    let send = async {
        tokio::join!(
            messages.send(session, to_send(&long), None),
            messages.send(session, to_send("ok"), None),
        )
    };
    let time = async {
        // The long one first: its typing is capped; the short one types when the chat is free.
        house.pass(Timer::Typing, TYPING_MAX).await;
        let short = house.fire(Timer::Typing).await;
        assert!(short >= Duration::from_millis(501) && short <= Duration::from_millis(679));
    };
    let ((first, second), ()) = tokio::join!(send, time);
    first.unwrap();
    second.unwrap();
    assert_eq!(bodies(&house), [long.as_str(), "ok"]);
    let chat = build::chat(1);
    let round = [Typing::Typing, Typing::Paused].map(|state| Asked::Typing(chat.clone(), state));
    assert_eq!(house.whatsapp.asked(), [round.clone(), round].concat());
}

#[tokio::test]
async fn a_send_that_waits_holds_its_own_chat_only() {
    let house = House::with(|options| options.sends.typing_max = TYPING_MAX).await;
    let session = house.ready("bakery").await;
    let messages = &house.gateway.messages;
    let place = build::chat(2);
    let place = ToSend {
        chat: place,
        say: Say::Location(domain::content::Location {
            latitude: 1.0,
            longitude: 2.0,
            description: Some("here".into()),
            address: None,
            url: None,
        }),
        mentions: vec![],
        quoted: None,
    };
    let mut slow = Box::pin(messages.send(session, text(1, &"slow ".repeat(40)), None));
    tokio::select! {
        _ = &mut slow => panic!("nobody moved the clock"),
        sent = messages.send(session, place, None) => { sent.unwrap(); }
    }
    assert_eq!(bodies(&house), ["here"]);
    tokio::join!(async { slow.await.unwrap() }, house.pass(Timer::Typing, TYPING_MAX));
    assert_eq!(bodies(&house).len(), 2);
}

#[tokio::test]
async fn a_full_chat_refuses_and_loses_nothing() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let sends = (0..300).map(|number| {
        let messages = house.gateway.messages.clone();
        async move { messages.send(session, text(1, &number.to_string()), None).await }
    });
    let done = futures::future::join_all(sends).await;
    let refused = done.iter().filter(|done| matches!(done, Err(SendError::Busy))).count();
    let sent = done.iter().filter(|done| done.is_ok()).count();
    // A place may become free while the crowd is still coming in.
    assert!(sent >= 256 && refused > 0 && sent + refused == 300, "{sent} sent, {refused} refused");
    let order: Vec<u32> = bodies(&house).iter().map(|body| body.parse().unwrap()).collect();
    assert_eq!(order.len(), sent);
    assert!(order.is_sorted() && order.starts_with(&(0..256).collect::<Vec<_>>()), "{order:?}");
    house.gateway.messages.send(session, text(1, "again"), None).await.unwrap();
}

#[tokio::test]
async fn a_failed_send_lets_the_next_one_go() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Refuse(479));
    let messages = &house.gateway.messages;
    let (first, second) = tokio::join!(
        messages.send(session, text(1, "refused"), None),
        messages.send(session, text(1, "taken"), None),
    );
    assert!(matches!(first, Err(SendError::Refused { code: 479 })));
    second.unwrap();
    until("both", async || house.whatsapp.sent().len() == 2).await;
}
