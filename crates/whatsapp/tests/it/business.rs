//! Labels and the catalogue, over the real protocol.

use domain::{
    catalogue::Product,
    content::{Button, ButtonForm, Content, ProductCard},
    label::{Label, LabelChange, LabelId, LabelSignal},
    message::Quoted,
    port::EngineSignal,
};
use serde_json::{Value, json};
use simulator::{Business, CatalogueProduct};
use whatsapp_rust::{
    buffa::MessageField,
    waproto::whatsapp::{self as wa, message::buttons_message},
};

use crate::{
    kinds::Pair,
    support::{ALICE, BOB, Ear, World, assert_all_answered, chat, deliver, outgoing, session},
};

fn id(text: &str) -> LabelId {
    text.parse().unwrap()
}

#[tokio::test]
async fn labels_of_the_account_reach_its_phone() {
    let pair = Pair::new().await;
    let label = Label { id: id("7"), name: "New customer".into(), colour: 4 };
    let changes = [
        LabelChange::Upsert(label),
        LabelChange::Add(id("7"), chat(BOB)),
        LabelChange::Remove(id("7"), chat(BOB)),
        LabelChange::Delete(id("7")),
    ];
    for change in &changes {
        pair.line.connection.change_label(change).await.unwrap();
    }
    let marks = pair.world.network.record().marks;
    let seen: Vec<(Vec<String>, Value)> =
        marks.into_iter().map(|mark| (mark.index, mark.value)).collect();
    let bob = pair.bob.jid().to_string();
    let index = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        seen,
        [
            (
                index(&["label_edit", "7"]),
                json!({ "name": "New customer", "color": 4, "deleted": false })
            ),
            (index(&["label_jid", "7", &bob]), json!({ "labeled": true })),
            (index(&["label_jid", "7", &bob]), json!({ "labeled": false })),
            (index(&["label_edit", "7"]), json!({ "name": null, "color": null, "deleted": true })),
        ]
    );
    pair.end().await;
}

async fn label(ear: &Ear) -> LabelSignal {
    ear.signal(|signal| match signal {
        EngineSignal::Label(signal) => Some(signal.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn labels_of_the_phone_are_heard_in_order() {
    let pair = Pair::new().await;
    let (alice, bob) = (&pair.alice, &pair.bob);
    // From now on both of Bob's ids are known.
    bob.send_text(ALICE, "hello").await.unwrap();
    pair.line.ear.message("hello").await;
    // The first change of all comes as the whole state.
    alice.put_label("1", "Regulars", 0).await.unwrap();
    label(&pair.line.ear).await;
    alice.put_label("7", "New customer", 4).await.unwrap();
    alice.label_chat("7", &bob.lid_jid(), true).await.unwrap();
    alice.label_chat("7", &bob.jid(), false).await.unwrap();
    alice.delete_label("7").await.unwrap();
    let new = Label { id: id("7"), name: "New customer".into(), colour: 4 };
    let expected = [
        LabelChange::Upsert(new),
        LabelChange::Add(id("7"), chat(BOB)),
        LabelChange::Remove(id("7"), chat(BOB)),
        LabelChange::Delete(id("7")),
    ];
    for change in expected {
        let heard = label(&pair.line.ear).await;
        assert_eq!((heard.change, heard.backfilled), (change, false));
        assert!(heard.at.millis() > 0);
    }
    pair.end().await;
}

#[tokio::test]
async fn labels_that_were_there_before_the_link_are_heard() {
    let world = World::new().await;
    let alice = world.network.account(ALICE).unwrap();
    alice.put_label("7", "New customer", 4).await.unwrap();
    let line = world.open(session()).await;
    let code = line.ear.qr().await;
    world.network.scan_qr(ALICE, &code).await.unwrap();
    let heard = label(&line.ear).await;
    let label = Label { id: id("7"), name: "New customer".into(), colour: 4 };
    assert_eq!((heard.change, heard.backfilled), (LabelChange::Upsert(label), true));
    line.connection.close().await;
    assert_all_answered(&world.network);
}

fn bread(number: u32) -> CatalogueProduct {
    CatalogueProduct {
        id: number.to_string(),
        name: format!("Bread {number}"),
        description: "With rye".into(),
        price: 3_500,
        currency: "EUR".into(),
        image_url: Some(format!("https://media.example/{number}.jpg")),
        retailer_id: format!("B-{number}"),
        hidden: false,
    }
}

#[tokio::test]
async fn a_catalogue_is_read_part_by_part() {
    let pair = Pair::new().await;
    let engine = &pair.line.connection;
    assert_eq!(engine.business().await.unwrap(), None);
    assert_eq!(engine.products(None, 10).await.unwrap(), None);
    let products = (1..=3).map(bread).collect();
    let business = Business { description: "Bread".into(), products: Some(products) };
    pair.alice.become_business(business);
    let profile = engine.business().await.unwrap().unwrap();
    assert_eq!(profile.description.as_deref(), Some("Bread"));
    let first = engine.products(None, 2).await.unwrap().unwrap();
    assert_eq!(first.products.len(), 2);
    let bread = &first.products[0];
    assert_eq!((bread.name.as_str(), bread.price_thousandths), ("Bread 1", Some(3_500)));
    assert_eq!(bread.image_url.as_deref(), Some("https://media.example/1.jpg"));
    let rest = engine.products(first.next.as_deref(), 2).await.unwrap().unwrap();
    assert_eq!((rest.products.len(), rest.next), (1, None));
    pair.end().await;
}

#[tokio::test]
async fn a_product_goes_out_and_comes_in() {
    let pair = Pair::new().await;
    let product = Product {
        id: "77".into(),
        name: "Plum cake".into(),
        description: Some("With butter".into()),
        price_thousandths: Some(12_500),
        currency: Some("EUR".into()),
        image_url: None,
        url: None,
        retailer_id: Some("C-1".into()),
        is_available: true,
        is_hidden: false,
    };
    let card = ProductCard {
        product,
        owner: Some(chat(ALICE)),
        body: Some("Fresh today".into()),
        picture: None,
    };
    let content = Content::Product(Box::new(card));
    for (to, back) in &pair.ways {
        let received = deliver(&pair.line, &pair.bob, outgoing(to, content.clone())).await;
        let id = pair.bob.send(back.clone(), received.message).await.unwrap();
        assert_eq!(pair.line.ear.by_id(&id).await.content, content, "to {to}");
    }
    pair.end().await;
}

#[tokio::test]
async fn buttons_come_in_and_their_press_goes_out() {
    let pair = Pair::new().await;
    let button = |id: &str, text: &str| buttons_message::Button {
        button_id: Some(id.to_owned()),
        button_text: MessageField::some(buttons_message::button::ButtonText {
            display_text: Some(text.to_owned()),
        }),
        ..Default::default()
    };
    let message = wa::Message {
        buttons_message: MessageField::some(wa::message::ButtonsMessage {
            content_text: Some("Pick up today?".into()),
            buttons: vec![button("yes", "Yes"), button("no", "No")],
            ..Default::default()
        }),
        ..Default::default()
    };
    let id = pair.bob.send(pair.alice.jid(), message).await.unwrap();
    let heard = pair.line.ear.by_id(&id).await;
    let Content::Buttons { body, buttons, form } = heard.content else { panic!("{heard:?}") };
    assert_eq!((body.as_str(), buttons.len(), form), ("Pick up today?", 2, ButtonForm::Plain));
    for form in [ButtonForm::Plain, ButtonForm::Template] {
        let button = Button { id: "yes".into(), text: "Yes".into() };
        let content = Content::ButtonReply { button, form };
        let mut reply = outgoing(&chat(BOB), content.clone());
        reply.quoted = Some((Quoted { id: heard.id.clone(), body: body.clone() }, chat(BOB)));
        let received = deliver(&pair.line, &pair.bob, reply).await;
        let back = pair.bob.send(pair.alice.jid(), received.message).await.unwrap();
        let again = pair.line.ear.by_id(&back).await;
        assert_eq!(again.content, content);
        assert_eq!(again.quoted.map(|quoted| quoted.id.to_string()), Some(id.clone()));
    }
    pair.end().await;
}
