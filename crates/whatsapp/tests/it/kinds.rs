//! Every kind of message to read, out and in, to a number, a privacy id and a group.

use domain::{
    ChatId,
    content::{ContactCard, Content, LinkPreview, Location, Poll, vcard},
    message::Quoted,
    port::EngineSignal,
};
use simulator::{Account, Jid};
use whatsapp_rust::proto_helpers::MessageExt as _;

use crate::support::{
    ALICE, BOB, CAROL, Line, World, assert_all_answered, chat, deliver, outgoing,
};

/// Alice's gateway, Bob's phone, and the three ways between them.
pub struct Pair {
    pub world: World,
    pub line: Line,
    pub alice: Account,
    pub bob: Account,
    /// The chat as Alice's gateway addresses it, and as Bob's phone does, for each way.
    pub ways: Vec<(ChatId, Jid)>,
    pub group: Jid,
}

impl Pair {
    pub async fn new() -> Self {
        let world = World::new().await;
        let bob = world.network.account(BOB).unwrap();
        let alice = world.network.account(ALICE).unwrap();
        let group = bob.create_group("friends", &[ALICE, CAROL]).await.unwrap();
        let (_, _, line) = world.connected(ALICE).await;
        let ways = vec![
            (chat(BOB), alice.jid()),
            (format!("{}@lid", bob.lid()).parse().unwrap(), alice.lid_jid()),
            (group.to_string().parse().unwrap(), group.clone()),
        ];
        Self { world, line, alice, bob, ways, group }
    }

    pub async fn end(self) {
        self.line.connection.close().await;
        assert_all_answered(&self.world.network);
    }
}

/// What the gateway calls a chat in what comes in: people by number.
pub fn canonical(chat: &ChatId) -> ChatId {
    if chat.is_group() { chat.clone() } else { crate::support::chat(BOB) }
}

fn contents() -> Vec<(&'static str, Content)> {
    let card = |name: &str| ContactCard { name: name.into(), vcard: vcard(name, CAROL) };
    let poll = |multiple| {
        Content::Poll(Poll {
            name: "when?".into(),
            options: vec!["now".into(), "later".into()],
            allow_multiple_answers: multiple,
        })
    };
    let preview = LinkPreview {
        url: "https://example.com/a".into(),
        title: "An example".into(),
        description: Some("of a page".into()),
        thumbnail: vec![],
    };
    let location = Location {
        latitude: -23.55,
        longitude: -46.63,
        description: Some("the square".into()),
        address: Some("Praça da Sé".into()),
        url: None,
    };
    vec![
        ("text", Content::text("plain words")),
        (
            "text",
            Content::Text { body: "see https://example.com/a".into(), preview: Some(preview) },
        ),
        ("location", Content::Location(location)),
        ("contact", Content::Contacts { cards: vec![card("Mia")] }),
        ("contact", Content::Contacts { cards: vec![card("Mia"), card("Ben")] }),
        ("poll", poll(false)),
        ("poll", poll(true)),
    ]
}

#[tokio::test]
async fn the_picture_of_a_card_goes_along() {
    let pair = Pair::new().await;
    let preview = LinkPreview {
        url: "https://example.com/a".into(),
        title: "An example".into(),
        description: None,
        thumbnail: vec![0xff, 0xd8, 0xff, 7],
    };
    let content =
        Content::Text { body: "see https://example.com/a".into(), preview: Some(preview) };
    let (to, _) = pair.ways.first().unwrap();
    let received = deliver(&pair.line, &pair.bob, outgoing(to, content)).await;
    let text = received.message.extended_text_message.as_option().unwrap();
    assert_eq!(text.jpeg_thumbnail.as_deref(), Some([0xff, 0xd8, 0xff, 7].as_slice()));
}

#[tokio::test]
async fn every_kind_goes_to_a_number_a_privacy_id_and_a_group_and_comes_back() {
    let pair = Pair::new().await;
    for (to, back) in &pair.ways {
        for (kind, content) in contents() {
            let received = deliver(&pair.line, &pair.bob, outgoing(to, content.clone())).await;
            assert_eq!(received.kind(), kind, "to {to}");
            assert_eq!(received.from_phone, ALICE);
            // Bob sends exactly what he received.
            let id = pair.bob.send(back.clone(), received.message.clone()).await.unwrap();
            let message = pair.line.ear.by_id(&id).await;
            assert_eq!(message.content, content, "from {back}");
            assert_eq!(message.chat, canonical(to));
            assert_eq!(message.sender, chat(BOB));
            assert!(!message.from_me && !message.backfilled);
        }
    }
    pair.end().await;
}

#[tokio::test]
async fn quotes_and_mentions_travel_with_any_kind() {
    let pair = Pair::new().await;
    let location = Content::Location(Location {
        latitude: 1.0,
        longitude: 2.0,
        description: None,
        address: None,
        url: None,
    });
    for (to, back) in &pair.ways {
        let mut message = outgoing(to, location.clone());
        message.mentions = vec![chat(CAROL)];
        let quoted = Quoted { id: "Q1".to_owned().into_id(), body: "where?".into() };
        message.quoted = Some((quoted.clone(), chat(BOB)));
        let received = deliver(&pair.line, &pair.bob, message).await;
        let context =
            received.message.location_message.as_option().unwrap().context_info.as_option();
        let participant = context.unwrap().participant.clone().unwrap();
        let expected = match to.phone() {
            Some(_) => pair.bob.jid(),
            None => pair.bob.lid_jid(),
        };
        assert_eq!(participant, expected.to_string(), "to {to}");
        let id = pair.bob.send(back.clone(), received.message).await.unwrap();
        let message = pair.line.ear.by_id(&id).await;
        assert_eq!(message.quoted, Some(quoted));
        assert_eq!(message.mentions, [chat(CAROL)]);
    }
    pair.end().await;
}

trait IntoId {
    fn into_id(self) -> domain::WaMessageId;
}

impl IntoId for String {
    fn into_id(self) -> domain::WaMessageId {
        domain::WaMessageId::from_wire(self)
    }
}

#[tokio::test]
async fn what_is_typed_on_the_own_phone_comes_in_as_ones_own() {
    let pair = Pair::new().await;
    for (to, _) in &pair.ways {
        let address: Jid = to.to_jid().parse().unwrap();
        let id = pair.alice.send_location(&address, (3.0, 4.0), Some("here")).await.unwrap();
        let message = pair.line.ear.by_id(&id).await;
        assert!(message.from_me, "{to}");
        assert_eq!(message.chat, canonical(to));
        assert_eq!(message.sender, chat(ALICE));
        assert!(matches!(message.content, Content::Location(_)));
    }
    // The one to Bob's privacy id named his number too.
    let identity = pair.line.ear.signal(|signal| match signal {
        EngineSignal::Identity(identity) => Some(identity.clone()),
        _ => None,
    });
    let identity = identity.await;
    assert_eq!((identity.lid, identity.phone.chat()), (pair.ways[1].0.clone(), chat(BOB)));
    pair.end().await;
}

#[tokio::test]
async fn a_chat_that_forgets_says_so() {
    let pair = Pair::new().await;
    let mut message = simulator::text_message("gone tomorrow");
    assert!(message.set_ephemeral_expiration(86_400));
    let id = pair.bob.send_message(ALICE, message).await.unwrap();
    let heard = pair.line.ear.by_id(&id).await;
    assert_eq!(heard.content, Content::text("gone tomorrow"));
    assert_eq!(heard.ephemeral_seconds, Some(86_400));
    pair.end().await;
}
