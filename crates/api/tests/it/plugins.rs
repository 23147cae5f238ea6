//! Plugins: real ones, in real processes, through the API.

mod examples;

use std::io::{Cursor, Write as _};

use domain::port::PluginStore as _;
use hmac::{KeyInit as _, Mac as _};
use serde_json::{Value, json};
use testkit::Receiver;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::app::{Answer, App, next};

/// A package: a manifest with these fields beside the needed ones, and a script.
fn package(id: &str, more: Value, script: &str) -> Vec<u8> {
    let mut manifest = json!({
        "id": id, "name": format!("The {id}"), "version": "1.0.0", "type": "extension", "main": "index.js",
        "permissions": ["messages:send", "storage:use", "engine:read"], "sessions": ["*"],
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    zipped(&[("manifest.json", &manifest.to_string()), ("index.js", script)])
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in files {
        zip.start_file(*path, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A plugin whose only handler has this body.
fn at(point: &str, body: &str) -> String {
    format!(
        "module.exports = class {{ onEnable(ctx) {{ ctx.registerHook('{point}', async (hook) => {{ {body} }}); }} }};"
    )
}

async fn upload(app: &App, package: &[u8]) -> Answer {
    let boundary = "----waypost-test";
    let mut body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.zip\"\r\n\
         Content-Type: application/zip\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(package);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={boundary}");
    app.ask("POST", "/api/plugins/install")
        .admin()
        .header("content-type", &kind)
        .raw(body)
        .send()
        .await
}

async fn installed(app: &App, package: &[u8], id: &str) {
    upload(app, package).await.expect(201);
    let enabled = app.post(&format!("/api/plugins/{id}/enable"), json!({}), 200).await;
    assert_eq!(enabled["success"], true);
}

async fn put(app: &App, path: &str, body: Value, status: u16) -> Value {
    app.ask("PUT", path).admin().json(&body).send().await.expect(status)
}

async fn send(app: &App, session: &str, text: &str, status: u16) -> Value {
    let path = format!("/api/sessions/{session}/messages/send-text");
    app.post(&path, json!({ "chatId": "49170111@c.us", "text": text }), status).await
}

fn texts(app: &App) -> Vec<String> {
    app.whatsapp.sent().iter().filter_map(|message| message.content.body()).collect()
}

async fn until_sent(app: &App, count: usize) -> Vec<String> {
    for _ in 0..1000 {
        let sent = texts(app);
        if sent.len() >= count {
            return sent;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("only {:?} was sent", texts(app));
}

const SIGNING: &str =
    "hook.data.input.text += ' -- Corner Bakery'; return { continue: true, data: hook.data };";

#[tokio::test]
async fn a_plugin_is_installed_enabled_and_changes_what_is_sent_also_after_a_restart() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let package = package("signature", json!({}), &at("message:sending", SIGNING));
    let plugin = upload(&app, &package).await.expect(201);
    assert_eq!((&plugin["id"], &plugin["status"]), (&json!("signature"), &json!("installed")));
    send(&app, &session, "hello", 201).await;
    app.post("/api/plugins/signature/enable", json!({}), 200).await;
    send(&app, &session, "hello", 201).await;
    let shown = app.get("/api/plugins/signature").await;
    assert_eq!(shown["status"], "enabled");
    assert_eq!(
        shown["hooks"],
        json!([{ "event": "message:sending", "priority": 100, "onFailure": "open" }])
    );
    assert_eq!(app.get("/api/plugins/signature/health").await, json!({ "healthy": true }));
    app.restart().await;
    app.wait_for(&session, "ready").await;
    send(&app, &session, "again", 201).await;
    app.post("/api/plugins/signature/disable", json!({}), 200).await;
    send(&app, &session, "bare", 201).await;
    assert_eq!(texts(&app), ["hello", "hello -- Corner Bakery", "again -- Corner Bakery", "bare"]);
    assert_eq!(app.get("/api/plugins/signature").await["status"], "disabled");
    upload(&app, &package).await.expect(409);
    app.ask("DELETE", "/api/plugins/signature").admin().send().await.expect(200);
    app.ask("GET", "/api/plugins/signature").admin().send().await.expect(404);
    assert_eq!(app.get("/api/plugins").await, json!([]));
    let audit = app.get("/api/audit?limit=200").await;
    let actions: Vec<&str> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    for action in ["plugin_installed", "plugin_enabled", "plugin_disabled", "plugin_deleted"] {
        assert!(actions.contains(&action), "{action} of {actions:?}");
    }
}

#[tokio::test]
async fn packages_that_cannot_be_used_are_refused_and_change_nothing() {
    let app = App::start().await;
    let says = async |package: Vec<u8>, says: &str| {
        let refused = upload(&app, &package).await.expect(400);
        assert!(refused["message"].to_string().contains(says), "{refused}");
    };
    says(b"no zip".to_vec(), "no zip file").await;
    says(zipped(&[("index.js", "1")]), "no manifest.json").await;
    says(zipped(&[("manifest.json", "{}"), ("../x", "1")]), "path").await;
    says(package("a", json!({ "main": "missing.js" }), ""), "no file missing.js").await;
    says(package("a", json!({ "type": "engine" }), ""), "extension").await;
    says(package("a", json!({ "permissions": ["root"] }), ""), "permission").await;
    assert_eq!(app.get("/api/plugins").await, json!([]));
    let form = app.ask("POST", "/api/plugins/install").admin().json(&json!({})).send().await;
    form.expect(415);
    app.post("/api/plugins/install-url", json!({ "url": "http://169.254.169.254/x.zip" }), 400)
        .await;
}

#[tokio::test]
async fn a_plugin_that_does_not_start_is_not_enabled_and_says_why() {
    let app = App::start().await;
    let script =
        "module.exports = class { onEnable() { throw new Error('no token configured'); } };";
    upload(&app, &package("broken", json!({}), script)).await.expect(201);
    let refused = app.post("/api/plugins/broken/enable", json!({}), 400).await;
    assert!(refused["message"].to_string().contains("no token configured"), "{refused}");
    let shown = app.get("/api/plugins/broken").await;
    assert!(shown["error"].as_str().unwrap().contains("no token configured"));
    assert_eq!(shown["status"], "installed");
}

#[tokio::test]
async fn a_veto_blocks_and_a_failure_means_what_the_plugin_says() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let script = at(
        "message:sending",
        "const text = hook.data.input.text; if (text === 'veto') return { continue: false }; if (text === 'throw') throw new Error('oops'); if (text === 'loop') for (;;); return { continue: true };",
    );
    installed(&app, &package("open", json!({}), &script), "open").await;
    let vetoed = send(&app, &session, "veto", 400).await;
    assert_eq!(vetoed["message"], "Message sending blocked by plugin: open");
    send(&app, &session, "throw", 201).await;
    send(&app, &session, "loop", 201).await;
    send(&app, &session, "fine", 201).await;
    app.post("/api/plugins/open/disable", json!({}), 200).await;
    let closed = package("closed", json!({ "onFailure": "closed" }), &script);
    installed(&app, &closed, "closed").await;
    let failed = send(&app, &session, "throw", 400).await;
    assert!(failed["message"].to_string().contains("plugin closed failed"), "{failed}");
    send(&app, &session, "loop", 400).await;
    // The process is started anew; until it is there, nothing passes.
    for _ in 0..200 {
        app.advance(std::time::Duration::from_secs(1));
        let path = format!("/api/sessions/{session}/messages/send-text");
        let body = json!({ "chatId": "49170111@c.us", "text": "after" });
        if app.ask("POST", &path).admin().json(&body).send().await.status == 201 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(texts(&app), ["throw", "loop", "fine", "after"]);
}

#[tokio::test]
async fn what_webhooks_get_can_be_redacted() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let receiver = Receiver::start().await;
    let script = at(
        "webhook:before",
        "hook.data.payload.data.body = hook.data.payload.data.body.replace(/\\d{4,}/g, '****'); return { continue: true, data: hook.data };",
    );
    let redact = package("redact", json!({ "onFailure": { "webhook:before": "closed" } }), &script);
    installed(&app, &redact, "redact").await;
    app.webhook(&session, &receiver.url(), 3).await;
    let mut message = testkit::build::inbound(1, &testkit::build::chat(1));
    message.content =
        domain::content::Content::Text { body: "my pin is 123456".into(), preview: None };
    app.hear(&session, vec![message]).await;
    let got = receiver.wait_for(1).await;
    assert_eq!(got[0].json()["data"]["body"], "my pin is ****");
}

#[tokio::test]
async fn a_plugin_answers_remembers_and_reads_but_only_within_its_permissions_and_sessions() {
    let app = App::start().await;
    let (session, other) = (app.ready_session("bakery").await, app.new_session("other").await);
    let script = at(
        "message:received",
        "const seen = (await ctx.storage.get('seen')) ?? 0; await ctx.storage.set('seen', seen + 1);
         const tried = [];
         for (const attempt of [() => ctx.net.fetch('https://example.com'), () => ctx.conversations.send({}), () => ctx.engine.getChats(ctx.config.other)]) {
           try { await attempt(); tried.push('done'); } catch (error) { tried.push(error.message); }
         }
         await ctx.messages.reply(hook.sessionId, hook.data.chatId, hook.data.id, `${hook.source} ${hook.data.body} ${seen} | ${tried.join(' | ')}`);
         return { continue: true };",
    );
    let more = json!({ "configSchema": { "type": "object", "properties": { "other": { "type": "string" } } } });
    installed(&app, &package("echo", more, &script), "echo").await;
    put(&app, "/api/plugins/echo/config", json!({ "config": { "other": other } }), 200).await;
    put(&app, "/api/plugins/echo/sessions", json!({ "sessions": [session] }), 200).await;
    app.hear_text(&session, 1, 1).await;
    let sent = until_sent(&app, 1).await;
    assert!(sent[0].starts_with("Engine "), "{sent:?}");
    for part in [
        " 0 | ",
        "permission net:fetch",
        "permission conversation:send",
        "not activated for session",
    ] {
        assert!(sent[0].contains(part), "{part} in {sent:?}");
    }
    app.hear_text(&session, 1, 2).await;
    assert!(until_sent(&app, 2).await[1].contains(" 1 | "));
}

#[tokio::test]
async fn configurations_are_checked_masked_and_of_single_sessions() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let schema = json!({ "configSchema": { "type": "object", "properties": {
        "word": { "type": "string", "default": "base" }, "token": { "type": "string", "secret": true },
    } } });
    let script = at(
        "message:sending",
        "hook.data.input.text = `${ctx.config.word} ${ctx.config.token}`; return { continue: true, data: hook.data };",
    );
    installed(&app, &package("worded", schema, &script), "worded").await;
    let path = "/api/plugins/worded/config";
    let bad = put(&app, path, json!({ "config": { "word": 7, "colour": "red" } }), 400).await;
    assert_eq!(bad["message"].as_array().unwrap().len(), 2, "{bad}");
    put(&app, path, json!({ "config": { "word": "all", "token": "t0p" } }), 200).await;
    let shown = put(&app, path, json!({ "config": { "word": "all", "token": "***" } }), 200).await;
    assert_eq!(shown["config"], json!({ "word": "all", "token": "***" }));
    send(&app, &session, "x", 201).await;
    let own = format!("{path}/{session}");
    let shown = put(&app, &own, json!({ "config": { "word": "own" } }), 200).await;
    assert_eq!(shown["sessionConfig"][&session], json!({ "word": "own" }));
    send(&app, &session, "x", 201).await;
    assert_eq!(texts(&app), ["all t0p", "own t0p"]);
}

#[tokio::test]
async fn a_plugin_that_fails_again_and_again_is_suspended_and_tried_later() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let script = at(
        "message:sending",
        "if (hook.data.input.text === 'bad') throw new Error('down'); hook.data.input.text += '!'; return { continue: true, data: hook.data };",
    );
    installed(&app, &package("flaky", json!({}), &script), "flaky").await;
    let mut calls = app.hook(&session).await;
    for _ in 0..5 {
        send(&app, &session, "bad", 201).await;
    }
    send(&app, &session, "left alone", 201).await;
    let shown = app.get("/api/plugins/flaky").await;
    assert_eq!(shown["status"], "error");
    assert!(shown["error"].as_str().unwrap().contains("suspended until"), "{shown}");
    assert_eq!(app.get("/api/plugins/flaky/health").await["healthy"], false);
    let told = heard(&mut calls, "plugin.suspended").await;
    assert_eq!(told["pluginId"], "flaky");
    assert!(told["reason"].as_str().unwrap().contains("down"), "{told}");
    app.advance(std::time::Duration::from_secs(31));
    send(&app, &session, "again", 201).await;
    assert_eq!(texts(&app)[5..], ["left alone", "again!"]);
    assert_eq!(app.get("/api/plugins/flaky").await["status"], "enabled");
    let audit = app.get("/api/audit?action=plugin_suspended").await;
    assert_eq!(audit["total"], 1);
    assert_eq!(heard(&mut calls, "plugin.resumed").await["pluginId"], "flaky");
}

/// The data of the next event of a name.
async fn heard(calls: &mut tokio::sync::mpsc::Receiver<Value>, name: &str) -> Value {
    loop {
        let mut event = next(calls).await;
        if event["event"] == name {
            return event["data"].take();
        }
    }
}

#[tokio::test]
async fn nothing_passes_a_closed_plugin_that_cannot_be_read_any_more() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let script = at("message:sending", "return { continue: true };");
    let closed = json!({ "onFailure": "closed" });
    installed(&app, &package("guard", closed, &script), "guard").await;
    send(&app, &session, "passes", 201).await;
    let mut plugin = app.store.plugin(&"guard".parse().unwrap()).await.unwrap().unwrap();
    plugin.manifest.raw = json!({ "id": "guard" });
    assert!(app.store.update_plugin(&plugin, None).await.unwrap().is_some());
    app.restart().await;
    app.wait_for(&session, "ready").await;
    send(&app, &session, "does not pass", 400).await;
    // Its row can be deleted, and everything goes on.
    app.ask("DELETE", "/api/plugins/guard").admin().send().await.expect(200);
    send(&app, &session, "passes again", 201).await;
    assert_eq!(texts(&app), ["passes", "passes again"]);
}

#[tokio::test]
async fn sends_of_plugins_pass_the_others_and_a_loop_is_cut() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let guard = at(
        "message:sending",
        "if (hook.data.input.text.includes('secret')) return { continue: false }; return { continue: true };",
    );
    installed(&app, &package("guard", json!({}), &guard), "guard").await;
    let leak = at(
        "message:sending",
        "try { await ctx.messages.sendText(hook.sessionId, '49170222@c.us', 'the secret'); } catch (error) { hook.data.input.text = error.message; } return { continue: true, data: hook.data };",
    );
    installed(&app, &package("leak", json!({}), &leak), "leak").await;
    send(&app, &session, "hello", 201).await;
    assert_eq!(texts(&app), ["stopped by a hook: guard"]);
    app.post("/api/plugins/leak/disable", json!({}), 200).await;
    let loops = at(
        "message:sent",
        "await ctx.messages.sendText(hook.sessionId, hook.data.chatId, hook.data.body + '.'); return { continue: true };",
    );
    installed(&app, &package("loops", json!({}), &loops), "loops").await;
    send(&app, &session, "go", 201).await;
    until_sent(&app, 7).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(
        texts(&app)[1..],
        ["go", "go.", "go..", "go...", "go....", "go....."],
        "five, and no more"
    );
}

fn signature(secret: &str, text: &str) -> String {
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn providers_call_signed_once_and_in_order() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let more = json!({
        "permissions": ["webhook:ingress", "messages:send"], "sdkVersion": "1",
        "ingress": [{
            "route": "orders", "mode": "async", "verify": "core", "maxBodyBytes": 1000,
            "signature": { "scheme": "hmac-sha256", "header": "X-Sign", "contentTemplate": "{rawBody}", "encoding": "hex", "prefix": "sha256=", "dedupHeader": "X-Delivery" },
            "conversationId": { "jsonPointer": "/order" },
        }],
    });
    let script = "module.exports = class { onEnable(ctx) { ctx.registerWebhook('orders', async (req) => {
        const order = JSON.parse(req.body); if (order.fail) throw new Error('not today');
        await ctx.messages.sendText(req.sessionId, '49170111@c.us', `${order.text} ${req.verified} ${req.deliveryId}`); }); } };";
    installed(&app, &package("orders", more, script), "orders").await;
    let instances = "/api/integration/plugins/orders/instances";
    let made =
        app.post(instances, json!({ "instanceId": "shop", "sessionScope": session }), 201).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(
        made["ingressUrls"][0]["url"]
            .as_str()
            .unwrap()
            .ends_with("/api/ingress/orders/shop/orders")
    );
    assert_eq!(app.get(&format!("{instances}/shop")).await["secret"], "***");
    app.post(instances, json!({ "instanceId": "shop" }), 409).await;
    let call = async |delivery: &str, body: Value, secret: &str| {
        let body = body.to_string();
        let signed = signature(secret, &body);
        app.ask("POST", "/api/ingress/orders/shop/orders")
            .header("content-type", "application/json")
            .header("x-sign", &signed)
            .header("x-delivery", delivery)
            .raw(body.into_bytes())
            .send()
            .await
            .status
    };
    assert_eq!(call("d1", json!({ "order": 1, "text": "one" }), "wrong-secret-wrong").await, 401);
    for (delivery, text) in [("d1", "one"), ("d1", "one"), ("d2", "two"), ("d3", "three")] {
        assert_eq!(call(delivery, json!({ "order": 1, "text": text }), secret).await, 202);
    }
    assert_eq!(call("d1", json!({ "order": 1, "text": "other" }), secret).await, 409);
    let sent = until_sent(&app, 3).await;
    assert_eq!(sent, ["one true d1", "two true d2", "three true d3"]);
    let patch =
        app.ask("PATCH", &format!("{instances}/shop")).admin().json(&json!({ "enabled": false }));
    patch.send().await.expect(200);
    assert_eq!(call("d4", json!({ "order": 1 }), secret).await, 404);
    app.post("/api/integration/instances/orders/shop/redrive", json!({}), 409).await;
    app.ask("DELETE", &format!("{instances}/shop")).admin().send().await.expect(204);
}

#[tokio::test]
async fn only_admins_of_everything_manage_plugins() {
    let app = App::start().await;
    let operator = app.new_key(json!({ "name": "operator", "role": "operator" })).await;
    app.ask("GET", "/api/plugins").key(&operator.text).send().await.expect(403);
    app.ask("GET", "/api/plugins").send().await.expect(401);
    app.ask("POST", "/api/ingress/none/none/none").send().await.expect(404);
}

#[tokio::test]
async fn the_life_of_sessions_and_deliveries_is_told() {
    let app = App::start().await;
    let receiver = Receiver::start().await;
    let points = [
        "session:created",
        "session:starting",
        "session:qr",
        "session:ready",
        "session:disconnected",
        "session:deleted",
        "message:received",
        "message:persisted",
        "message:sent",
        "message:ack",
        "webhook:queued",
        "webhook:delivered",
        "webhook:after",
    ];
    let script = format!(
        "module.exports = class {{ onEnable(ctx) {{ for (const point of {}) ctx.registerHook(point, async (hook) => {{
           const seen = (await ctx.storage.get(point)) ?? 0; await ctx.storage.set(point, seen + 1); return {{ continue: true }}; }});
           ctx.registerHook('message:sending', async (hook) => {{ hook.data.input.text = (await ctx.storage.list('')).join(' '); return {{ continue: true, data: hook.data }}; }}); }} }};",
        json!(points)
    );
    installed(&app, &package("watcher", json!({}), &script), "watcher").await;
    let other = app.qr_session("other").await;
    app.ask("DELETE", &format!("/api/sessions/{other}")).admin().send().await.expect(204);
    let session = app.ready_session("bakery").await;
    app.webhook(&session, &receiver.url(), 3).await;
    app.hear_text(&session, 1, 1).await;
    receiver.wait_for(1).await;
    let wanted = points.iter().filter(|point| **point != "session:disconnected");
    for _ in 0..500 {
        send(&app, &session, "x", 201).await;
        let told = texts(&app).pop().unwrap();
        if wanted.clone().all(|point| told.split(' ').any(|word| word == *point)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("only these were told: {:?}", texts(&app).pop());
}

#[tokio::test]
async fn a_plugin_lets_go_when_it_is_disabled_and_when_the_gateway_stops() {
    let mut app = App::start().await;
    let session = app.ready_session("bakery").await;
    let script = "module.exports = class {
        onEnable(ctx) { ctx.registerHook('message:sending', async (hook) => { hook.data.input.text = String(await ctx.storage.get('left')); return { continue: true, data: hook.data }; }); }
        async onDisable(ctx) { await ctx.storage.set('left', ((await ctx.storage.get('left')) ?? 0) + 1); } };";
    installed(&app, &package("polite", json!({}), script), "polite").await;
    app.post("/api/plugins/polite/disable", json!({}), 200).await;
    app.post("/api/plugins/polite/enable", json!({}), 200).await;
    app.restart().await;
    app.wait_for(&session, "ready").await;
    send(&app, &session, "x", 201).await;
    let left: u32 = texts(&app)[0].parse().unwrap();
    // After each of two trials, when it was disabled, and at the stop; two of these may have counted at the same time.
    assert!((3..=4).contains(&left), "{left}");
}
