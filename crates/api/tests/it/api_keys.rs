//! The life of a key.

use serde_json::{Value, json};

use crate::app::{App, refused};

const KEYS: &str = "/api/auth/api-keys";

#[tokio::test]
async fn a_key_is_shown_once_and_works_at_once() {
    let app = App::start().await;
    let body = json!({
        "name": "till", "role": "viewer", "allowedIps": ["192.0.2.1", "10.0.0.0/8"],
        "allowedChats": ["49170111", "120363041@g.us"], "expiresAt": "2031-01-01"
    });
    let created = app.post(KEYS, body, 201).await;
    let text = created["apiKey"].as_str().unwrap();
    assert!(text.starts_with("owa_k1_") && text.len() == 71, "{text}");
    let id = created["id"].as_str().unwrap();
    let record = json!({
        "id": id, "name": "till", "keyPrefix": &text[..12], "role": "viewer", "isActive": true, "usageCount": 0,
        "createdAt": created["createdAt"], "allowedIps": ["192.0.2.1", "10.0.0.0/8"],
        "allowedChats": ["49170111@c.us", "120363041@g.us"], "expiresAt": "2031-01-01T00:00:00.000Z"
    });
    let mut shown = record.clone();
    shown["apiKey"] = json!(text);
    assert_eq!(created, shown);
    assert_eq!(app.get(&format!("{KEYS}/{id}")).await, record);
    let listed = app.get(KEYS).await;
    assert_eq!(listed[0], record);
    assert!(!listed.to_string().contains(text));
}

#[tokio::test]
async fn a_plain_key_has_defaults_and_no_empty_fields() {
    let app = App::start().await;
    let created =
        app.post(KEYS, json!({ "name": "till", "allowedIps": [], "expiresAt": null }), 201).await;
    let mut fields: Vec<&str> = created.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["apiKey", "createdAt", "id", "isActive", "keyPrefix", "name", "role", "usageCount"]
    );
    assert_eq!(created["role"], "operator");
}

#[tokio::test]
async fn an_update_keeps_what_is_absent_and_clears_on_request() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let body = json!({ "name": "till", "allowedSessions": [session], "expiresAt": "2031-01-01T00:00:00+02:00" });
    let created = app.post(KEYS, body, 201).await;
    let path = format!("{KEYS}/{}", created["id"].as_str().unwrap());
    let put = async |body: Value| app.ask("PUT", &path).admin().json(&body).send().await;
    let changed = put(json!({ "name": "counter" })).await.expect(200);
    assert_eq!(changed["name"], "counter");
    assert_eq!(changed["allowedSessions"], json!([session]));
    assert_eq!(changed["expiresAt"], "2030-12-31T22:00:00.000Z");
    let changed = put(json!({ "allowedSessions": [], "expiresAt": null })).await.expect(200);
    assert_eq!((changed.get("allowedSessions"), changed.get("expiresAt")), (None, None));
    let answer = put(json!({ "isActive": false })).await.expect(400);
    assert_eq!(answer["message"], json!(["property isActive should not exist"]));
    assert_eq!(app.get(&path).await["isActive"], true);
}

#[tokio::test]
async fn a_revoked_key_is_refused_from_that_moment() {
    let app = App::start().await;
    let key = app.new_key(json!({ "name": "till" })).await;
    app.ask("GET", "/api/sessions").key(&key.text).send().await.expect(200);
    let revoked =
        app.ask("POST", &format!("{KEYS}/{}/revoke", key.id)).admin().send().await.expect(200);
    assert_eq!(revoked["isActive"], false);
    let answer = app.ask("GET", "/api/sessions").key(&key.text).send().await;
    assert_eq!(answer.expect(401), refused(401, "Unauthorized", "API key is revoked"));
}

#[tokio::test]
async fn a_deleted_key_is_gone_and_an_expired_one_refused() {
    let app = App::start().await;
    let key = app.new_key(json!({ "name": "till" })).await;
    let path = format!("{KEYS}/{}", key.id);
    assert_eq!(app.ask("DELETE", &path).admin().send().await.expect(204), Value::Null);
    let answer = app.ask("GET", "/api/sessions").key(&key.text).send().await;
    assert_eq!(answer.expect(401)["message"], "Invalid API key");
    for id in [key.id.as_str(), "nonsense"] {
        let answer = app.ask("GET", &format!("{KEYS}/{id}")).admin().send().await;
        let sentence = format!("API key with id '{id}' not found");
        assert_eq!(answer.expect(404), refused(404, "Not Found", &sentence));
    }
    let late = app.new_key(json!({ "name": "late", "expiresAt": "2001-01-01" })).await;
    let answer = app.ask("GET", "/api/sessions").key(&late.text).send().await;
    assert_eq!(answer.expect(401)["message"], "API key has expired");
}

#[tokio::test]
async fn the_last_admin_key_stays() {
    let app = App::start().await;
    let all = app.get(KEYS).await;
    let id = all[0]["id"].as_str().unwrap();
    let path = format!("{KEYS}/{id}");
    app.ask("POST", &format!("{path}/revoke")).admin().send().await.expect(409);
    app.ask("DELETE", &path).admin().send().await.expect(409);
    app.ask("PUT", &path).admin().json(&json!({ "role": "operator" })).send().await.expect(409);
    let second = app.new_key(json!({ "name": "second", "role": "admin" })).await;
    app.ask("DELETE", &path).key(&second.text).send().await.expect(204);
    app.ask("GET", KEYS).key(&second.text).send().await.expect(200);
}

#[tokio::test]
async fn validate_says_what_the_own_key_may_do() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let validate = async |key: &str| {
        // Official clients send the content type without a body.
        let ask = app.ask("POST", "/api/auth/validate").key(key);
        ask.header("content-type", "application/json").send().await
    };
    let expected = |role: &str, scoped: bool| json!({ "valid": true, "role": role, "engineType": "baileys", "scoped": scoped });
    assert_eq!(validate(&app.admin).await.expect(200), expected("admin", false));
    let scoped = app
        .new_key(json!({ "name": "scoped", "role": "viewer", "allowedSessions": [session] }))
        .await;
    assert_eq!(validate(&scoped.text).await.expect(200), expected("viewer", true));
}
