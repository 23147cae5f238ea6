//! What a business has: labels, a catalogue, products in messages.

use serde_json::{Value, json};
use simulator::{Business, CatalogueProduct};

use super::stage::{MIA, SHOP, Stage, chat};
use crate::support::{LIMIT, Prepared};

pub const ROUTES: &[&str] = &[
    "GET ./labels",
    "GET ./labels/{labelId}",
    "GET ./labels/{labelId}/chats",
    "GET ./labels/chat/{chatId}",
    "PUT ./labels/{labelId}",
    "DELETE ./labels/{labelId}",
    "POST ./labels/chat/{chatId}",
    "DELETE ./labels/chat/{chatId}/{labelId}",
    "GET ./catalog",
    "GET ./catalog/products",
    "GET ./catalog/products/{productId}",
    "POST ./messages/send-product",
];

fn bread(number: u32) -> CatalogueProduct {
    CatalogueProduct {
        id: number.to_string(),
        name: format!("Bread {number}"),
        description: "With rye".into(),
        price: 3_500,
        currency: "EUR".into(),
        image_url: None,
        retailer_id: format!("B-{number}"),
        hidden: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_labels_its_chats_and_shows_its_catalogue() {
    let house = Prepared::new().await;
    let products = Some((1..=30).map(bread).collect());
    let shop = house.network.add_account(SHOP, "Shop").await;
    shop.become_business(Business { description: "Bread and cakes".into(), products });
    let mut stage = Stage::on(house, &[]).await;
    stage.mia_says("hello").await;
    let walk = &mut stage.walk;
    walk.set("labelId", &json!("7"));
    walk.set("chatId", &json!(chat(MIA)));
    let label = json!({ "name": "New customer", "color": 1 });
    walk.call("PUT", "./labels/{labelId}", label, 200).await;
    walk.call("POST", "./labels/chat/{chatId}", json!({ "labelId": "7" }), 200).await;
    assert_eq!(walk.get("./labels").await[0]["name"], "New customer");
    assert_eq!(walk.get("./labels/{labelId}").await["color"], 1);
    assert_eq!(walk.get("./labels/{labelId}/chats?limit=10").await[0]["id"], chat(MIA));
    assert_eq!(walk.get("./labels/chat/{chatId}").await[0]["id"], "7");
    walk.bare("DELETE", "./labels/chat/{chatId}/{labelId}", 200).await;
    walk.bare("DELETE", "./labels/{labelId}", 200).await;
    assert_eq!(walk.get("./labels").await, json!([]));
    assert_eq!(stage.house.network.record().marks.len(), 4);
    stage.shop.put_label("1", "Regulars", 0).await.unwrap();
    let one = |labels: &Value| labels.as_array().unwrap().len() == 1;
    stage.walk.until("./labels", one).await;
    catalogue(&mut stage).await;
    stage.end(ROUTES).await;
}

async fn catalogue(stage: &mut Stage) {
    let walk = &mut stage.walk;
    assert_eq!(walk.get("./catalog").await["productCount"], 30);
    let page = walk.get("./catalog/products?page=2&limit=20").await;
    assert_eq!(page["products"].as_array().unwrap().len(), 10);
    walk.set("productId", &json!("2"));
    assert_eq!(walk.get("./catalog/products/{productId}").await["name"], "Bread 2");
    let body = json!({ "chatId": chat(MIA), "productId": "2", "body": "Fresh today" });
    let sent = walk.call("POST", "./messages/send-product", body, 201).await;
    let id = sent["messageId"].as_str().unwrap();
    stage.mia.wait_for(LIMIT, |message| message.id == id).await.unwrap();
}
