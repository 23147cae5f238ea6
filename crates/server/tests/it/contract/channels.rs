//! Channels: followed, made, written in, handed over.

use serde_json::{Value, json};
use simulator::{Jid, NewsletterRole};

use super::stage::{BEN, MIA, Stage, chat};

pub const ROUTES: &[&str] = &[
    "GET ./channels",
    "POST ./channels",
    "POST ./channels/subscribe",
    "GET ./channels/{channelId}",
    "DELETE ./channels/{channelId}",
    "GET ./channels/{channelId}/messages",
    "POST ./channels/{channelId}/delete",
    "POST ./channels/{channelId}/mute",
    "POST ./channels/{channelId}/admins/demote",
    "POST ./channels/{channelId}/owner/transfer",
];

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_followed_and_led() {
    let mut stage = Stage::new().await;
    let (oven, invite) = stage.mia.create_newsletter("Oven", "What is in it").await.unwrap();
    stage.mia.post_in_newsletter(&oven, "Plum cake").await.unwrap();
    let walk = &mut stage.walk;
    let follow = json!({ "inviteCode": format!("https://whatsapp.com/channel/{invite}") });
    let followed = walk.call("POST", "./channels/subscribe", follow, 201).await;
    walk.set("channelId", &followed["id"]);
    assert_eq!(walk.get("./channels").await[0]["name"], "Oven");
    assert_eq!(walk.get("./channels/{channelId}").await["role"], "subscriber");
    let posts = walk.get("./channels/{channelId}/messages?limit=10").await;
    assert_eq!(posts[0]["body"], "Plum cake");
    for mute in [true, false] {
        walk.call("POST", "./channels/{channelId}/mute", json!({ "mute": mute }), 200).await;
        assert_eq!(stage.shop.has_muted_newsletter(&oven), mute);
    }
    walk.bare("DELETE", "./channels/{channelId}", 200).await;
    assert_eq!(stage.shop.newsletter_role(&oven), None);

    let news = made(&mut stage).await;
    let body = json!({ "chatId": news.to_string(), "text": "Rye bread" });
    let walk = &mut stage.walk;
    walk.call("POST", "./messages/send-text", body, 201).await;
    let one = |posts: &Value| posts.as_array().unwrap().len() == 1;
    walk.until("./channels/{channelId}/messages", one).await;
    for person in [&stage.mia, &stage.ben] {
        person.enrol_in_newsletter(&news, NewsletterRole::Admin).await.unwrap();
    }
    let demote = json!({ "userId": chat(MIA) });
    walk.call("POST", "./channels/{channelId}/admins/demote", demote, 200).await;
    assert_eq!(stage.mia.newsletter_role(&news), Some(NewsletterRole::Subscriber));
    let transfer = json!({ "newOwnerId": chat(BEN) });
    walk.call("POST", "./channels/{channelId}/owner/transfer", transfer, 200).await;
    assert_eq!(stage.ben.newsletter_role(&news), Some(NewsletterRole::Owner));
    made(&mut stage).await;
    stage.walk.bare("POST", "./channels/{channelId}/delete", 200).await;
    stage.walk.bare("GET", "./channels/{channelId}", 404).await;
    stage.end(ROUTES).await;
}

/// A channel of the shop.
async fn made(stage: &mut Stage) -> Jid {
    let new = json!({ "name": "Bakery news", "description": "What we bake" });
    let made = stage.walk.call("POST", "./channels", new, 201).await;
    assert_eq!(made["role"], "owner");
    stage.walk.set("channelId", &made["id"]).parse().unwrap()
}
