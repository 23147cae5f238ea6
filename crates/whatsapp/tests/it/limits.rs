//! What WhatsApp says about limits, on the wire.

use domain::{
    port::EngineSignal,
    session::{LimitNews, NewChatQuota, ReachoutLock},
};
use simulator::{NewChats, Timelock};

use crate::support::{
    ALICE, BOB, CAROL, Ear, Heard, World, assert_all_answered, chat, deliver, text,
};

async fn limits(ear: &Ear, fits: impl Fn(&LimitNews) -> bool) -> LimitNews {
    ear.hear(|heard| match heard {
        Heard::Signal(EngineSignal::Limits(news)) if fits(news) => Some(news.clone()),
        _ => None,
    })
    .await
}

fn at(seconds: i64) -> Option<domain::Timestamp> {
    Some(domain::Timestamp::from_seconds(seconds))
}

#[tokio::test]
async fn limits_are_asked_after_login_and_heard_when_they_change() {
    let world = World::new().await;
    let alice = world.network.account(ALICE).unwrap();
    let ends = 4_000_000_000;
    alice
        .set_timelock(Some(Timelock { enforcement: "BIZ_QUALITY".into(), ends: Some(ends) }))
        .unwrap();
    let (_, _, line) = world.connected(ALICE).await;
    let lock = ReachoutLock { enforcement: "BIZ_QUALITY".into(), ends: at(4_000_000_000) };
    let told = limits(&line.ear, |news| matches!(news, LimitNews::Reachout(_))).await;
    assert_eq!(told, LimitNews::Reachout(Some(lock)));
    let told = limits(&line.ear, |news| matches!(news, LimitNews::NewChats(_))).await;
    assert_eq!(told, LimitNews::NewChats(None));

    alice.set_timelock(None).unwrap();
    limits(&line.ear, |news| *news == LimitNews::Reachout(None)).await;
    alice.set_new_chats(Some(NewChats { used: 45, total: 50, cycle_ends: Some(ends) })).unwrap();
    let quota = NewChatQuota {
        used: 45,
        total: 50,
        status: Some("NONE".into()),
        cycle_ends: at(4_000_000_000),
    };
    limits(&line.ear, |news| *news == LimitNews::NewChats(Some(quota.clone()))).await;
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_lock_refuses_strangers_and_nobody_else() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let alice = world.network.account(ALICE).unwrap();
    let bob = world.network.account(BOB).unwrap();
    bob.send_text(ALICE, "hello").await.unwrap();
    alice.wait_for(crate::support::LIMIT, |message| message.text == "hello").await.unwrap();
    let lock = Timelock { enforcement: "DEFAULT".into(), ends: Some(4_000_000_000) };
    alice.set_timelock(Some(lock)).unwrap();
    deliver(&line, &bob, text(BOB, "an answer goes through")).await;

    let cold = text(CAROL, "a first message does not");
    assert_eq!(cold.chat, chat(CAROL));
    let id = cold.id.clone();
    line.connection.send(cold).await.unwrap();
    let code = line
        .ear
        .hear(|heard| match heard {
            Heard::Signal(EngineSignal::ServerAck { id: about, refused, .. }) if *about == id => {
                Some(*refused)
            }
            _ => None,
        })
        .await;
    assert_eq!(code, Some(463));
    line.connection.close().await;
    assert_all_answered(&world.network);
}
