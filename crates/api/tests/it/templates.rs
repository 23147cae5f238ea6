//! Templates, and sending them.

use serde_json::{Value, json};

use crate::app::{App, refused};

async fn with_template() -> (App, String, Value) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let path = format!("/api/sessions/{session}");
    let new =
        json!({ "name": "ready", "header": "Hello {{name}}", "body": "Your {{what}} is ready" });
    let template = app.post(&format!("{path}/templates"), new, 201).await;
    (app, path, template)
}

#[tokio::test]
async fn templates_are_kept() {
    let (app, path, template) = with_template().await;
    assert_eq!(template.as_object().unwrap().len(), 8);
    assert_eq!((&template["footer"], &template["name"]), (&Value::Null, &json!("ready")));
    let one = format!("{path}/templates/{}", template["id"].as_str().unwrap());
    assert_eq!(app.get(&one).await, template);
    assert_eq!(app.get(&format!("{path}/templates")).await, json!([template]));
    let put = async |body: Value, status| {
        app.ask("PUT", &one).admin().json(&body).send().await.expect(status)
    };
    let changed = put(json!({ "header": null, "footer": "Bye" }), 200).await;
    assert_eq!((&changed["header"], &changed["footer"]), (&Value::Null, &json!("Bye")));
    assert_eq!(changed["body"], template["body"]);
    put(json!({ "name": null }), 400).await;
    let other = json!({ "name": "other", "body": "x" });
    app.post(&format!("{path}/templates"), other.clone(), 201).await;
    app.post(&format!("{path}/templates"), other, 409).await;
    put(json!({ "name": "other" }), 409).await;
    app.ask("DELETE", &one).admin().send().await.expect(204);
    let id = template["id"].as_str().unwrap();
    let missing = refused(404, "Not Found", &format!("Template with id '{id}' not found"));
    assert_eq!(app.ask("GET", &one).admin().send().await.expect(404), missing);
    assert_eq!(app.ask("DELETE", &one).admin().send().await.expect(404), missing);
    app.ask("GET", &format!("{path}/templates/7")).admin().send().await.expect(404);
    let stranger = "00000000-0000-4000-8000-000000000001";
    app.ask("GET", &format!("/api/sessions/{stranger}/templates")).admin().send().await.expect(404);
    let long = json!({ "name": "x".repeat(101), "body": "x" });
    app.post(&format!("{path}/templates"), long, 400).await;
}

#[tokio::test]
async fn a_template_is_filled_and_sent() {
    let (app, path, template) = with_template().await;
    let send = async |extra: Value, status| {
        let mut body = json!({ "chatId": "49170111@c.us" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        app.post(&format!("{path}/messages/send-template"), body, status).await
    };
    let vars = json!({ "name": "Mia", "what": "cake" });
    send(json!({ "templateId": template["id"], "vars": vars }), 201).await;
    send(json!({ "templateName": "ready", "vars": vars }), 201).await;
    for sent in app.whatsapp.sent() {
        assert_eq!(sent.content.body().as_deref(), Some("Hello Mia\n\nYour cake is ready"));
    }
    let missing = send(json!({ "templateName": "ready", "vars": { "name": "Mia" } }), 400).await;
    assert_eq!(missing, refused(400, "Bad Request", "Template variable 'what' is missing"));
    send(json!({ "templateName": "never" }), 404).await;
    send(json!({ "templateName": "ready", "quotedMessageId": "3A", "vars": vars }), 400).await;
    assert_eq!(app.whatsapp.sent().len(), 2);
}
