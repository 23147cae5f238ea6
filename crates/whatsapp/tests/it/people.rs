//! What one does about people and the own profile: blocking, pictures, the address book, presences, calls.

use domain::{
    ChatId, PhoneNumber, Timestamp,
    chat::{ContactName, Identity},
    event::ChangeSource,
    port::{Call, CallMedia, CallOutcome, EngineSignal, PeopleSignal, ProfileChange},
    presence::{PresenceChange, PresenceState},
};
use serde_json::{Value, json};
use simulator::{ChatState, Online};

use crate::{
    kinds::Pair,
    support::{ALICE, BOB, CAROL, Ear, World, assert_all_answered, chat, until},
};

const JPEG: [u8; 4] = [0xff, 0xd8, 0xff, 0xe0];

fn number(phone: &str) -> PhoneNumber {
    PhoneNumber::parse(phone).unwrap()
}

fn name(first: &str, last: Option<&str>) -> ContactName {
    ContactName { first: first.into(), last: last.map(str::to_owned) }
}

async fn block_list(ear: &Ear, expected: &[ChatId]) {
    ear.signal(|signal| match signal {
        EngineSignal::People(PeopleSignal::BlockList(list)) => (list == expected).then_some(()),
        _ => None,
    })
    .await;
}

async fn presence(ear: &Ear) -> PresenceChange {
    ear.signal(|signal| match signal {
        EngineSignal::People(PeopleSignal::Presence(change)) => Some(change.clone()),
        _ => None,
    })
    .await
}

async fn call(ear: &Ear, id: &str) -> Call {
    ear.signal(|signal| match signal {
        EngineSignal::Call(call) if call.id == id => Some(call.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn the_block_list_goes_both_ways() {
    let pair = Pair::new().await;
    let connection = &pair.line.connection;
    block_list(&pair.line.ear, &[]).await;
    connection.set_blocked(&chat(BOB), true).await.unwrap();
    assert_eq!(pair.alice.blocked(), [pair.bob.lid_jid()]);
    assert_eq!(connection.blocked().await.unwrap(), [chat(BOB)]);
    // On the phone.
    let carol = pair.world.network.account(CAROL).unwrap();
    // From now on both of her ids are known.
    carol.send_text(ALICE, "hello").await.unwrap();
    pair.line.ear.message("hello").await;
    pair.alice.block(&carol, true).await.unwrap();
    block_list(&pair.line.ear, &[chat(BOB), chat(CAROL)]).await;
    pair.alice.block(&pair.bob, false).await.unwrap();
    block_list(&pair.line.ear, &[chat(CAROL)]).await;
    let lid: ChatId = format!("{}@lid", carol.lid()).parse().unwrap();
    connection.set_blocked(&lid, false).await.unwrap();
    assert!(pair.alice.blocked().is_empty());
    // Nobody has this number.
    assert!(connection.set_blocked(&chat("5511000000000"), true).await.is_err());
    pair.end().await;
}

#[tokio::test]
async fn a_picture_is_found_and_its_change_heard() {
    let pair = Pair::new().await;
    let connection = &pair.line.connection;
    assert_eq!(connection.picture(&chat(BOB)).await.unwrap(), None);
    connection.watch_presence(&chat(BOB)).await.unwrap();
    until("Bob is watched", || pair.bob.watchers() == 1).await;
    let changed = || {
        pair.line.ear.signal(|signal| match signal {
            EngineSignal::People(PeopleSignal::Picture(id)) => Some(id.clone()),
            _ => None,
        })
    };
    pair.bob.set_picture(Some(JPEG.to_vec())).await.unwrap();
    assert_eq!(changed().await, chat(BOB));
    let url = connection.picture(&chat(BOB)).await.unwrap().unwrap();
    assert!(url.starts_with("https://"), "{url}");
    pair.bob.set_picture(None).await.unwrap();
    assert_eq!(changed().await, chat(BOB));
    assert_eq!(connection.picture(&chat(BOB)).await.unwrap(), None);
    pair.end().await;
}

#[tokio::test]
async fn the_address_book_is_written_here_and_on_the_phone() {
    let pair = Pair::new().await;
    let (connection, bob, carol) = (&pair.line.connection, number(BOB), number(CAROL));
    connection.save_contact(&bob, &name("Bob", Some("Baker"))).await.unwrap();
    connection.save_contact(&bob, &name("Bobby", None)).await.unwrap();
    connection.remove_contact(&bob).await.unwrap();
    // It is not there any more: nothing is to be done.
    connection.remove_contact(&bob).await.unwrap();
    // What the phone saved is removed here.
    pair.alice.save_contact(CAROL, "Carol").await.unwrap();
    pair.line
        .ear
        .signal(|signal| match signal {
            EngineSignal::Contact { id, .. } => (*id == chat(CAROL)).then_some(()),
            _ => None,
        })
        .await;
    connection.remove_contact(&carol).await.unwrap();
    // What was saved here is removed by the phone, and saved here again: nobody lost count.
    connection.save_contact(&bob, &name("Bob", None)).await.unwrap();
    pair.alice.remove_contact(BOB).await.unwrap();
    connection.save_contact(&bob, &name("Robert", None)).await.unwrap();
    let marks = pair.world.network.record().marks;
    let seen: Vec<(Vec<String>, Value)> =
        marks.into_iter().map(|mark| (mark.index, mark.value)).collect();
    let entry =
        |phone: &str, value| (vec!["contact".to_owned(), format!("{phone}@s.whatsapp.net")], value);
    let expected = [
        entry(BOB, json!({ "name": "Bob Baker" })),
        entry(BOB, json!({ "name": "Bobby" })),
        entry(BOB, Value::Null),
        entry(CAROL, Value::Null),
        entry(BOB, json!({ "name": "Bob" })),
        entry(BOB, json!({ "name": "Robert" })),
    ];
    assert_eq!(seen, expected);
    pair.end().await;
}

#[tokio::test]
async fn the_own_profile_is_changed() {
    let pair = Pair::new().await;
    let change = async |change| pair.line.connection.change_profile(change).await.unwrap();
    change(ProfileChange::Name("Corner Bakery".into())).await;
    until("the name is there", || pair.alice.present_name() == "Corner Bakery").await;
    change(ProfileChange::About("Fresh bread".into())).await;
    assert_eq!(pair.alice.about(), "Fresh bread");
    change(ProfileChange::About(String::new())).await;
    assert_eq!(pair.alice.about(), "");
    change(ProfileChange::Picture(Some(JPEG.to_vec()))).await;
    assert_eq!(pair.alice.picture().as_deref(), Some(&JPEG[..]));
    change(ProfileChange::Picture(None)).await;
    assert_eq!(pair.alice.picture(), None);
    pair.end().await;
}

#[tokio::test]
async fn presences_are_watched_and_heard() {
    let pair = Pair::new().await;
    // From now on both of Bob's ids are known.
    pair.bob.send_text(ALICE, "hello").await.unwrap();
    pair.line.ear.message("hello").await;
    pair.line.connection.watch_presence(&chat(BOB)).await.unwrap();
    until("Bob is watched", || pair.bob.watchers() == 1).await;
    pair.bob.set_online(Online::Available).await.unwrap();
    let heard = presence(&pair.line.ear).await;
    assert_eq!((&heard.chat, &heard.of.person), (&chat(BOB), &chat(BOB)));
    assert_eq!((heard.of.state, heard.of.last_seen), (PresenceState::Available, None));
    for (shown, state) in [
        (ChatState::Composing, PresenceState::Composing),
        (ChatState::Recording, PresenceState::Recording),
        (ChatState::Paused, PresenceState::Paused),
    ] {
        // Under either of the account's ids.
        for address in [pair.alice.jid(), pair.alice.lid_jid()] {
            pair.bob.chat_state_to(&address, shown).await.unwrap();
            let heard = presence(&pair.line.ear).await;
            assert_eq!((heard.chat, heard.of.state), (chat(BOB), state));
        }
    }
    pair.bob.set_online(Online::Unavailable).await.unwrap();
    let heard = presence(&pair.line.ear).await;
    assert_eq!(heard.of.state, PresenceState::Unavailable);
    assert!(heard.of.last_seen.is_some());
    pair.end().await;
}

#[tokio::test]
async fn the_account_shows_as_online_when_it_wants_to() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let (session, device, line) = world.connected(ALICE).await;
    let shown = || {
        let seen = world.network.record().presences.into_iter();
        let own = seen.filter(|seen| seen.phone == ALICE && seen.device == device.device_id);
        own.map(|seen| seen.state).next_back()
    };
    until("it is not online by itself", || shown().as_deref() == Some("unavailable")).await;
    assert!(line.connection.set_available(true).await.unwrap());
    until("it is online", || shown().as_deref() == Some("available")).await;
    // A name goes out without a word about that; it stays.
    line.connection.change_profile(ProfileChange::Name("Corner Bakery".into())).await.unwrap();
    assert!(line.connection.set_available(false).await.unwrap());
    until("it is offline", || shown().as_deref() == Some("unavailable")).await;
    line.connection.watch_presence(&chat(BOB)).await.unwrap();
    until("Bob is watched", || bob.watchers() == 1).await;
    line.connection.close().await;
    // What was watched ends with the connection: who wants more asks again.
    let line = world.open(session).await;
    line.ear.connected().await;
    assert_eq!(bob.watchers(), 0);
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_call_is_refused_for_all_devices() {
    let world = World::new().await;
    let bob = world.network.account(BOB).unwrap();
    let (_, device, line) = world.connected(ALICE).await;
    let (_, _, other) = world.connected(ALICE).await;
    let id = bob.call(ALICE, true).await.unwrap();
    call(&line.ear, &id).await;
    call(&other.ear, &id).await;
    let refused = line.connection.reject_call(&id).await.unwrap().unwrap();
    assert_eq!((&refused.from, refused.video), (&chat(BOB), true));
    assert_eq!(refused.outcome, Some(CallOutcome::Rejected));
    assert_eq!(refused.source, Some(ChangeSource::Api));
    let over = call(&other.ear, &id).await;
    assert_eq!(over.outcome, Some(CallOutcome::Rejected));
    let seen = world.network.record().refused_calls;
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0].id, seen[0].device), (&id, device.device_id));
    for gone in [id.as_str(), "NEVER"] {
        assert_eq!(line.connection.reject_call(gone).await.unwrap(), None);
    }
    line.connection.close().await;
    other.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn links_to_calls_are_made() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let start = Timestamp::from_seconds(1_800_000_000);
    for (media, path) in [(CallMedia::Audio, "voice"), (CallMedia::Video, "video")] {
        let link = line.connection.call_link(media, start).await.unwrap();
        let token = link.strip_prefix(&format!("https://call.whatsapp.com/{path}/"));
        assert!(token.is_some_and(|token| !token.is_empty()), "{link}");
    }
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn numbers_behind_privacy_ids_are_told_whatever_named_both() {
    let pair = Pair::new().await;
    let carol = pair.world.network.account(CAROL).unwrap();
    pair.line.connection.lookup(&[chat(CAROL)]).await.unwrap();
    let lid: ChatId = format!("{}@lid", carol.lid()).parse().unwrap();
    let expected = Identity { lid, phone: number(CAROL) };
    pair.line
        .ear
        .signal(|signal| match signal {
            EngineSignal::People(PeopleSignal::Identities(pairs)) => {
                pairs.contains(&expected).then_some(())
            }
            _ => None,
        })
        .await;
    let own = number(ALICE);
    let all = pair.line.ear.all();
    let names_own = all.iter().any(|heard| match heard {
        crate::support::Heard::Signal(EngineSignal::People(PeopleSignal::Identities(pairs))) => {
            pairs.iter().any(|pair| pair.phone == own)
        }
        _ => false,
    });
    assert!(!names_own, "the account itself is nobody new");
    pair.end().await;
}
