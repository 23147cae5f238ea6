//! What goes to many, over the real protocol: statuses and channels.

use domain::{
    ChatId, ChatKind, WaMessageId,
    channel::{ChannelChange, ChannelRole, NewChannel},
    content::{Content, Target},
    message::OutgoingMessage,
    port::EngineSignal,
    status::{StatusPost, TextStyle, status_chat},
};
use simulator::NewsletterRole;

use crate::support::{ALICE, BOB, CAROL, LIMIT, World, assert_all_answered, chat, outgoing, until};

fn status(audience: &[&str], content: Content, style: TextStyle) -> OutgoingMessage {
    let audience = audience.iter().map(|phone| chat(phone)).collect();
    let post = StatusPost { audience, style };
    OutgoingMessage { status: Some(Box::new(post)), ..outgoing(&status_chat(), content) }
}

#[tokio::test]
async fn a_status_goes_to_its_audience_and_to_nobody_else() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let (bob, carol) = (world.network.account(BOB).unwrap(), world.network.account(CAROL).unwrap());
    let style = TextStyle { background: Some(0x0012_3456), font: Some(2) };
    // The second one finds that everybody has the key already.
    for (round, audience) in [&[BOB][..], &[BOB], &[BOB, CAROL]].into_iter().enumerate() {
        let text = format!("Open till six {round}");
        let post = status(audience, Content::text(&text), style);
        let id = post.id.clone();
        line.connection.send(post).await.unwrap();
        assert_eq!(line.ear.acked(&id).await, None);
        let seen = bob.wait_for(LIMIT, |seen| seen.id == id.as_str()).await.unwrap();
        assert_eq!((seen.text.as_str(), seen.from_phone.as_str()), (text.as_str(), ALICE));
        assert_eq!(seen.group.as_deref(), Some("status@broadcast"));
        let shown = seen.message.extended_text_message.as_option().unwrap();
        assert_eq!(shown.background_argb, Some(0xff12_3456));
        let receipt = line.ear.signal(|signal| match signal {
            EngineSignal::Receipt { chat, ids, .. } if ids.contains(&id) => Some(chat.clone()),
            _ => None,
        });
        // The library does not say whose a lone receipt of a status is.
        assert_eq!(receipt.await, status_chat());
    }
    let texts: Vec<String> = carol.inbox().await.into_iter().map(|seen| seen.text).collect();
    assert_eq!(texts, ["Open till six 2"]);
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn the_end_of_a_status_reaches_whoever_got_it() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    let post = status(&[BOB], Content::text("Open till six"), TextStyle::default());
    let id = post.id.clone();
    line.connection.send(post).await.unwrap();
    bob.wait_for(LIMIT, |seen| seen.id == id.as_str()).await.unwrap();
    let target = Target { id: id.clone(), from_me: true, author: None };
    let revoke = status(&[BOB], Content::Revoke { target }, TextStyle::default());
    let carrier = revoke.id.clone();
    line.connection.send(revoke).await.unwrap();
    assert_eq!(line.ear.acked(&carrier).await, None);
    let seen = bob.wait_for(LIMIT, |seen| seen.id == carrier.as_str()).await.unwrap();
    assert_eq!(seen.target().as_deref(), Some(id.as_str()));
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_status_of_somebody_comes_in_with_its_look_and_its_end() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let bob = world.network.account(BOB).unwrap();
    let id = bob.post_status(&[ALICE], "Fresh bread").await.unwrap();
    let heard = line.ear.by_id(&id).await;
    assert_eq!(heard.chat.kind(), ChatKind::Status);
    assert_eq!((heard.sender, heard.content), (chat(BOB), Content::text("Fresh bread")));
    assert_eq!(heard.style, TextStyle { background: Some(0x001e_6e4f), font: Some(2) });
    assert!(!heard.from_me);
    let revoked = bob.revoke_status(&[ALICE], &id).await.unwrap();
    let heard = line.ear.by_id(&revoked).await;
    let Content::Revoke { target } = heard.content else { panic!("{heard:?}") };
    assert_eq!((target.id.as_str(), target.from_me), (id.as_str(), false));
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_status_of_the_own_phone_comes_in_as_ones_own() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let alice = world.network.account(ALICE).unwrap();
    let id = alice.post_status(&[BOB], "By the phone").await.unwrap();
    let heard = line.ear.by_id(&id).await;
    assert!(heard.from_me);
    assert_eq!((heard.chat, heard.sender), (status_chat(), chat(ALICE)));
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_channel_is_made_muted_and_ended() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let alice = world.network.account(ALICE).unwrap();
    let engine = &line.connection;
    let new = NewChannel { name: "Bakery news".into(), description: Some("Bread".into()) };
    let made = engine.create_channel(new).await.unwrap();
    assert_eq!((made.name.as_str(), made.role), ("Bakery news", Some(ChannelRole::Owner)));
    assert_eq!((made.description.as_deref(), made.subscribers), (Some("Bread"), 1));
    assert_eq!(engine.channels().await.unwrap(), std::slice::from_ref(&made));
    assert_eq!(engine.channel(&made.id).await.unwrap(), Some(made.clone()));
    let jid = made.id.to_string().parse().unwrap();
    for muted in [true, false] {
        assert!(engine.change_channel(&made.id, ChannelChange::Mute(muted)).await.unwrap());
        assert_eq!(alice.has_muted_newsletter(&jid), muted);
    }
    assert!(engine.change_channel(&made.id, ChannelChange::Delete).await.unwrap());
    assert_eq!(engine.channel(&made.id).await.unwrap(), None);
    assert!(!engine.change_channel(&made.id, ChannelChange::Delete).await.unwrap());
    assert!(!engine.change_channel(&made.id, ChannelChange::Mute(true)).await.unwrap());
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_channel_is_followed_by_its_invite_code_and_its_posts_come_in() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let (alice, bob) = (world.network.account(ALICE).unwrap(), world.network.account(BOB).unwrap());
    let (jid, invite) = bob.create_newsletter("Oven", "What is in it").await.unwrap();
    let id: ChatId = jid.to_string().parse().unwrap();
    bob.post_in_newsletter(&jid, "Plum cake").await.unwrap();
    let engine = &line.connection;
    assert_eq!(engine.subscribe_channel("nobody's").await.unwrap(), None);
    let joined = engine.subscribe_channel(&invite).await.unwrap().unwrap();
    assert_eq!((joined.id, joined.role), (id.clone(), Some(ChannelRole::Subscriber)));
    let second = bob.post_in_newsletter(&jid, "Rye bread").await.unwrap();
    let heard = line.ear.by_id(&second).await;
    assert_eq!((heard.chat, heard.content), (id.clone(), Content::text("Rye bread")));
    let posts = engine.channel_posts(&id, 10).await.unwrap().unwrap();
    let bodies: Vec<_> = posts.iter().map(|post| post.content.body().unwrap()).collect();
    assert_eq!(bodies, ["Rye bread", "Plum cake"]);
    assert_eq!(posts[0].id, WaMessageId::from_wire(second));
    assert_eq!(engine.channel_posts(&id, 1).await.unwrap().unwrap().len(), 1);
    let nowhere = "1203639@newsletter".parse().unwrap();
    assert_eq!(engine.channel_posts(&nowhere, 10).await.unwrap(), None);
    assert!(engine.change_channel(&id, ChannelChange::Unsubscribe).await.unwrap());
    assert_eq!(alice.newsletter_role(&jid), None);
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_channel_is_administered_by_its_owner_alone() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let (bob, carol) = (world.network.account(BOB).unwrap(), world.network.account(CAROL).unwrap());
    let engine = &line.connection;
    let made = NewChannel { name: "Bakery news".into(), description: None };
    let made = engine.create_channel(made).await.unwrap();
    let jid = made.id.to_string().parse().unwrap();
    for account in [&bob, &carol] {
        account.enrol_in_newsletter(&jid, NewsletterRole::Admin).await.unwrap();
    }
    assert!(engine.change_channel(&made.id, ChannelChange::Demote(chat(BOB))).await.unwrap());
    assert_eq!(bob.newsletter_role(&jid), Some(NewsletterRole::Subscriber));
    let again = engine.change_channel(&made.id, ChannelChange::Demote(chat(BOB))).await;
    assert!(again.unwrap_err().to_string().contains("Forbidden"));
    assert!(engine.change_channel(&made.id, ChannelChange::Transfer(chat(CAROL))).await.unwrap());
    assert_eq!(carol.newsletter_role(&jid), Some(NewsletterRole::Owner));
    assert!(engine.change_channel(&made.id, ChannelChange::Delete).await.is_err());
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_post_of_the_account_reaches_the_channel() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let made = NewChannel { name: "Bakery news".into(), description: None };
    let made = line.connection.create_channel(made).await.unwrap();
    let post = outgoing(&made.id, Content::text("Plum cake"));
    let id = post.id.clone();
    line.connection.send(post).await.unwrap();
    assert_eq!(line.ear.acked(&id).await, None);
    let posts = line.connection.channel_posts(&made.id, 10).await.unwrap().unwrap();
    assert_eq!(posts.iter().map(|post| &post.id).collect::<Vec<_>>(), [&id]);
    let elsewhere = world.network.account(BOB).unwrap();
    let (jid, _) = elsewhere.create_newsletter("Not ours", "").await.unwrap();
    let refused = outgoing(&jid.to_string().parse().unwrap(), Content::text("Plum cake"));
    let id = refused.id.clone();
    line.connection.send(refused).await.unwrap();
    assert_eq!(line.ear.acked(&id).await, Some(404));
    until("the network has the post", || world.network.record().nacks.len() == 1).await;
    line.connection.close().await;
    assert_all_answered(&world.network);
}
