//! The catalogue, products in messages, and buttons.

use domain::{
    catalogue::Product,
    content::{Button, ButtonForm, Content},
};
use serde_json::json;

use crate::{
    app::{App, refused},
    inbound::{MIA, chat, from_mia},
};

const ME: &str = "4915550001000";

fn product(number: u32) -> Product {
    Product {
        id: number.to_string(),
        name: format!("Bread {number}"),
        description: Some("With rye".into()),
        price_thousandths: Some(3_500),
        currency: Some("EUR".into()),
        image_url: None,
        url: None,
        retailer_id: None,
        is_available: true,
        is_hidden: false,
    }
}

async fn bakery() -> (App, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let mut products: Vec<Product> = (1..=120).map(product).collect();
    products[0].is_hidden = true;
    app.whatsapp.make_business("Bread and cakes", Some(products));
    (app, session)
}

#[tokio::test]
async fn a_catalogue_is_read_page_by_page() {
    let (app, session) = bakery().await;
    let base = format!("/api/sessions/{session}/catalog");
    let overview = json!({
        "id": format!("{ME}@c.us"), "name": "Corner Bakery", "description": "Bread and cakes", "productCount": 119,
        "url": format!("https://wa.me/c/{ME}"),
    });
    assert_eq!(app.get(&base).await, overview);
    let page = app.get(&format!("{base}/products?page=2&limit=50")).await;
    assert_eq!(
        page["pagination"],
        json!({ "page": 2, "limit": 50, "total": 119, "totalPages": 3 })
    );
    assert_eq!(page["products"][0]["id"], "52", "a hidden one is not counted");
    let first = app.get(&format!("{base}/products")).await;
    assert_eq!(first["products"].as_array().unwrap().len(), 20);
    let bread = json!({
        "id": "2", "name": "Bread 2", "description": "With rye", "price": 3.5, "currency": "EUR",
        "priceFormatted": "EUR 3.50", "url": format!("https://wa.me/p/2/{ME}"), "isAvailable": true,
    });
    assert_eq!(first["products"][0], bread);
    assert_eq!(app.get(&format!("{base}/products/2")).await, bread);
    let answer = app.ask("GET", &format!("{base}/products/999")).admin().send().await.expect(404);
    assert_eq!(answer, refused(404, "Not Found", "Product 999 not found"));
    for query in ["page=0", "limit=0", "page=x", "limit=-1", "page=1&page=2"] {
        app.ask("GET", &format!("{base}/products?{query}")).admin().send().await.expect(400);
    }
}

#[tokio::test]
async fn an_account_without_a_catalogue_has_none() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let idle = app.new_session("idle").await;
    for route in ["", "/products", "/products/1"] {
        let path = format!("/api/sessions/{session}/catalog{route}");
        app.ask("GET", &path).admin().send().await.expect(404);
        let path = format!("/api/sessions/{idle}/catalog{route}");
        let answer = app.ask("GET", &path).admin().send().await.expect(404);
        let words = format!("Session {idle} not found or not connected");
        assert_eq!(answer, refused(404, "Not Found", &words));
    }
}

#[tokio::test]
async fn a_product_is_sent() {
    let (app, session) = bakery().await;
    let path = format!("/api/sessions/{session}/messages/send-product");
    let body = json!({ "chatId": MIA, "productId": "77", "body": "Fresh today" });
    let sent = app.post(&path, body, 201).await;
    let outgoing = &app.whatsapp.sent()[0];
    let Content::Product(card) = &outgoing.content else { panic!("{outgoing:?}") };
    assert_eq!(
        (card.product.name.as_str(), card.body.as_deref()),
        ("Bread 77", Some("Fresh today"))
    );
    assert_eq!(card.owner, Some(chat(&format!("{ME}@c.us"))));
    let row = app.row(&session, sent["messageId"].as_str().unwrap()).await;
    assert_eq!((&row["type"], &row["body"]), (&json!("product"), &json!("Fresh today")));
    assert_eq!(row["metadata"]["product"]["productId"], "77");
    let answer = app.post(&path, json!({ "chatId": MIA, "productId": "999" }), 404).await;
    assert_eq!(answer["message"], "Product 999 not found");
    app.post(&path, json!({ "chatId": MIA }), 400).await;
    assert_eq!(app.whatsapp.sent().len(), 1);
}

#[tokio::test]
async fn a_button_is_pressed() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let button = |id: &str, text: &str| Button { id: id.into(), text: text.into() };
    let content = Content::Buttons {
        body: "Pick up today?".into(),
        buttons: vec![button("yes", "Yes"), button("no", "No")],
        form: ButtonForm::Template,
    };
    app.hear(&session, vec![from_mia("3AF0", content), from_mia("3AF1", Content::text("hi"))])
        .await;
    let row = app.row(&session, "3AF0").await;
    assert_eq!(row["metadata"]["buttons"][1], json!({ "id": "no", "text": "No" }));
    let path = format!("/api/sessions/{session}/messages/click-button");
    let press = |message: &str, button: &str| json!({ "chatId": MIA, "messageId": message, "buttonId": button });
    app.post(&path, press("3AF0", "yes"), 201).await;
    let sent = app.whatsapp.sent();
    let reply = Content::ButtonReply { button: button("yes", "Yes"), form: ButtonForm::Template };
    assert_eq!(sent[0].content, reply);
    let (quoted, author) = sent[0].quoted.clone().unwrap();
    assert_eq!((quoted.id.as_str(), author), ("3AF0", chat(MIA)));
    let other =
        json!({ "chatId": MIA, "messageId": "3AF0", "buttonId": "no", "text": "Not today" });
    app.post(&path, other, 201).await;
    assert_eq!(app.whatsapp.sent()[1].content.body().as_deref(), Some("Not today"));
    app.post(&path, press("3AF0", "maybe"), 400).await;
    app.post(&path, press("3AF1", "yes"), 400).await;
    app.post(&path, press("3AFF", "yes"), 404).await;
    assert_eq!(app.whatsapp.sent().len(), 2);
}
