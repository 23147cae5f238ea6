//! Contacts: looked up, saved, blocked, with their pictures and both ids.

use serde_json::json;
use testkit::files;

use super::stage::{BEN, MIA, Stage, chat};

pub const ROUTES: &[&str] = &[
    "GET ./contacts",
    "GET ./contacts/blocked",
    "GET ./contacts/check/{number}",
    "GET ./contacts/profile-pictures",
    "GET ./contacts/{contactId}",
    "GET ./contacts/{contactId}/profile-picture",
    "GET ./contacts/{contactId}/phone",
    "GET ./contacts/{contactId}/lid",
    "PUT ./contacts/{contactId}",
    "DELETE ./contacts/{contactId}",
    "POST ./contacts/{contactId}/block",
    "DELETE ./contacts/{contactId}/block",
];

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_saved_and_blocked() {
    let mut stage = Stage::new().await;
    stage.mia_says("hello").await;
    stage.mia.set_picture(Some(files::PNG.to_vec())).await.unwrap();
    let (mia, lid) = (chat(MIA), format!("{}@lid", stage.mia.lid()));
    stage.walk.set("contactId", &json!(mia));
    stage.walk.set("number", &json!(BEN));
    let walk = &mut stage.walk;
    let checked = walk.get("./contacts/check/{number}").await;
    assert_eq!(checked["exists"], true, "{checked}");
    let name = json!({ "firstName": "Mia", "lastName": "Baker" });
    walk.call("PUT", "./contacts/{contactId}", name, 200).await;
    assert_eq!(walk.get("./contacts/{contactId}").await["name"], "Mia Baker");
    let all = walk.get("./contacts?limit=100").await;
    assert!(all.as_array().unwrap().iter().any(|one| one["id"] == mia), "{all}");
    let shown = walk.get("./contacts/{contactId}/profile-picture").await;
    assert!(shown["url"].is_string(), "{shown}");
    let pictures = format!("./contacts/profile-pictures?ids={mia},{}", chat(BEN));
    let pictures = walk.get(&pictures).await;
    assert!(pictures["pictures"][&mia].is_string(), "{pictures}");
    assert_eq!(walk.get("./contacts/{contactId}/lid").await["lid"], lid);
    walk.set("contactId", &json!(lid));
    assert_eq!(walk.get("./contacts/{contactId}/phone").await["phone"], MIA);
    walk.set("contactId", &json!(mia));
    let block = "./contacts/{contactId}/block";
    walk.bare("POST", block, 200).await;
    assert_eq!(stage.shop.blocked(), [stage.mia.lid_jid()]);
    let walk = &mut stage.walk;
    assert_eq!(walk.get("./contacts/blocked").await, json!([mia]));
    walk.bare("DELETE", block, 200).await;
    walk.call("POST", block, json!({}), 200).await;
    walk.bare("DELETE", block, 200).await;
    assert_eq!(walk.get("./contacts/blocked").await, json!([]));
    walk.bare("DELETE", "./contacts/{contactId}", 200).await;
    assert_eq!(walk.get("./contacts/{contactId}").await["isMyContact"], false);
    stage.end(ROUTES).await;
}
