//! The life of a session.

use serde_json::{Value, json};

use crate::app::{App, refused};

#[tokio::test]
async fn a_new_session_has_openwas_shape() {
    let app = App::start().await;
    let session = app.post("/api/sessions", json!({ "name": "bakery" }), 201).await;
    assert_eq!(
        session,
        json!({
            "id": session["id"], "name": "bakery", "status": "created", "phone": null, "pushName": null,
            "connectedAt": null, "lastActive": null, "createdAt": session["createdAt"],
            "updatedAt": session["updatedAt"], "lastError": null, "restriction": null, "newChatQuota": null,
            "engineLoaded": false,
        })
    );
    let id = session["id"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    assert!(session["createdAt"].as_str().unwrap().ends_with('Z'));
    let mut read = session.clone();
    read["sendsToday"] = json!({
        "sent": 0, "sentMax": null, "newChats": null, "newChatsMax": null,
        "resetsAt": "2026-10-02T00:00:00.000Z"
    });
    assert_eq!(app.get(&format!("/api/sessions/{id}")).await, read);
    assert_eq!(app.get("/api/sessions").await, json!([read]));
}

#[tokio::test]
async fn lists_are_newest_first_and_page() {
    let app = App::start().await;
    for name in ["one", "two", "three"] {
        app.new_session(name).await;
    }
    let names = async |query: &str| {
        let list = app.get(&format!("/api/sessions{query}")).await;
        let names =
            list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("").await, "three two one");
    assert_eq!(names("?limit=1&offset=1").await, "two");
    assert_eq!(names("?limit=0&offset=x").await, "three two one");
    assert_eq!(names("?name=two").await, "two");
    assert_eq!(names("?name=tw").await, "");
    for (query, sentence) in
        [("?name=", "name should not be empty"), ("?name=a&name=b", "name must be a string")]
    {
        let answer = app.ask("GET", &format!("/api/sessions{query}")).admin().send().await;
        assert_eq!(answer.expect(400)["message"], json!([sentence]));
    }
}

#[tokio::test]
async fn start_and_stop_answer_with_the_session() {
    let app = App::start().await;
    let session = app.new_session("bakery").await;
    let post = async |tail: &str| {
        // As the official JavaScript client does: a content type and no body.
        let ask = app.ask("POST", &format!("/api/sessions/{session}/{tail}")).admin();
        ask.header("content-type", "application/json").send().await
    };
    let not_started = refused(400, "Bad Request", "Session is not started");
    for tail in ["logout", "force-kill"] {
        assert_eq!(post(tail).await.expect(400), not_started, "{tail}");
    }
    let qr = app.ask("GET", &format!("/api/sessions/{session}/qr")).admin().send().await;
    assert_eq!(qr.expect(400), not_started);
    let started = post("start").await.expect(200);
    assert_eq!(started["engineLoaded"], true);
    assert!(matches!(started["status"].as_str(), Some("initializing" | "qr_ready")), "{started}");
    assert_eq!(
        post("start").await.expect(400),
        refused(400, "Bad Request", "Session is already started")
    );
    let stopped = post("stop").await.expect(200);
    assert_eq!(
        (&stopped["status"], &stopped["engineLoaded"]),
        (&json!("disconnected"), &json!(false))
    );
    assert_eq!(post("stop").await.expect(200)["status"], "disconnected");
    post("start").await.expect(200);
    assert_eq!(post("force-kill").await.expect(200)["engineLoaded"], false);
    let path = format!("/api/sessions/{session}");
    assert_eq!(app.ask("DELETE", &path).admin().send().await.expect(204), Value::Null);
    app.ask("GET", &path).admin().send().await.expect(404);
}

#[tokio::test]
async fn a_phone_is_linked_by_qr_code_or_pairing_code() {
    let app = App::start().await;
    let session = app.qr_session("bakery").await;
    let qr = app.get(&format!("/api/sessions/{session}/qr")).await;
    assert_eq!((&qr["status"], qr.as_object().unwrap().len()), (&json!("qr_ready"), 4));
    // A moment may have passed until it was there.
    let expires_at = qr["expiresAt"].as_str().unwrap();
    let minute = "2026-10-01T08:01:00.000Z"..="2026-10-01T08:01:30.000Z";
    assert!(minute.contains(&expires_at), "{expires_at}");
    assert!(qr["qrCode"].as_str().unwrap().starts_with("data:image/png;base64,iVBOR"));
    let path = format!("/api/sessions/{session}/pairing-code");
    let pairing = app.post(&path, json!({ "phoneNumber": "49155500" }), 201).await;
    assert_eq!((&pairing["status"], pairing.as_object().unwrap().len()), (&json!("qr_ready"), 2));
    assert_eq!(pairing["pairingCode"].as_str().unwrap().len(), 8);
}

#[tokio::test]
async fn a_linked_session_shows_its_number_and_no_codes() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let shown = app.get(&format!("/api/sessions/{session}")).await;
    assert_eq!(shown["status"], "ready");
    assert!(shown["phone"].is_string() && shown["connectedAt"].is_string());
    let linked = refused(400, "Bad Request", "Session is already linked to a phone");
    let qr = app.ask("GET", &format!("/api/sessions/{session}/qr")).admin().send().await;
    assert_eq!(qr.expect(400), linked);
    let logout = app
        .ask("POST", &format!("/api/sessions/{session}/logout"))
        .admin()
        .send()
        .await
        .expect(200);
    assert_eq!((&logout["status"], &logout["phone"]), (&json!("disconnected"), &Value::Null));
}

#[tokio::test]
async fn too_many_sessions_do_not_start() {
    let app = App::with_cap(1).await;
    let first = app.new_session("first").await;
    let second = app.new_session("second").await;
    app.ask("POST", &format!("/api/sessions/{first}/start")).admin().send().await.expect(200);
    let answer = app.ask("POST", &format!("/api/sessions/{second}/start")).admin().send().await;
    assert_eq!(
        answer.expect(400),
        refused(400, "Bad Request", "Maximum concurrent sessions reached (1)")
    );
}

#[tokio::test]
async fn tunables_merge_and_reset() {
    let app = App::start().await;
    let body =
        json!({ "name": "bakery", "config": { "autoRejectCalls": "true", "colour": "red" } });
    let session = app.post("/api/sessions", body, 201).await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/sessions/{session}/config");
    let config = |calls: bool, most: Value, delay: u32| {
        json!({
            "autoRejectCalls": calls, "maxReconnectAttempts": most, "reconnectBaseDelay": delay,
            "defaultCountry": null, "timeZone": "UTC", "linkPreview": false,
        })
    };
    assert_eq!(app.get(&path).await, config(true, Value::Null, 5000));
    let patch =
        async |body: Value| app.ask("PATCH", &path).admin().json(&body).send().await.expect(200);
    let changed = patch(json!({ "maxReconnectAttempts": 3, "reconnectBaseDelay": 1000 })).await;
    assert_eq!(changed, config(true, json!(3), 1000));
    let reset = patch(json!({ "autoRejectCalls": null, "reconnectBaseDelay": null })).await;
    assert_eq!(reset, config(false, json!(3), 5000));
    assert_eq!(patch(json!({})).await, reset);
    assert_eq!(app.get(&path).await, reset);
    assert_eq!(patch(json!({ "linkPreview": true })).await["linkPreview"], true);
    assert_eq!(patch(json!({ "linkPreview": null })).await, reset);
}

#[tokio::test]
async fn a_config_has_a_largest_size() {
    let app = App::start().await;
    let create = async |name: &str, text: usize| {
        let config = json!({ "linkPreview": true, "mine": "x".repeat(text) });
        let body = json!({ "name": name, "config": config });
        app.ask("POST", "/api/sessions").admin().json(&body).send().await
    };
    let around = json!({ "linkPreview": true, "mine": "" }).to_string().len();
    let refused = create("large", 16_385 - around).await.expect(400);
    assert_eq!(refused["message"], json!(["config must be at most 16384 bytes"]));
    assert_eq!(app.get("/api/sessions").await, json!([]));
    let session = create("fits", 16_384 - around).await.expect(201);
    let path = format!("/api/sessions/{}/config", session["id"].as_str().unwrap());
    assert_eq!(app.get(&path).await["linkPreview"], true);
}

#[tokio::test]
async fn proxies_are_for_admins_and_stay_masked() {
    let app = App::start().await;
    let operator = app.new_key(json!({ "name": "operator" })).await;
    let with_proxy = json!({
        "name": "bakery", "proxyUrl": "socks5://ann:hunter2@proxy.example:1081", "proxyType": "http"
    });
    let ask = app.ask("POST", "/api/sessions").key(&operator.text).json(&with_proxy);
    let answer = ask.send().await.expect(403);
    assert_eq!(answer["message"], "Insufficient permissions. Required: admin");
    let created = app.post("/api/sessions", with_proxy, 201).await;
    let path = format!("/api/sessions/{}/proxy", created["id"].as_str().unwrap());
    let masked = json!({
        "enabled": true, "proxyType": "socks5", "proxyHost": "proxy.example:1081", "hasCredentials": true
    });
    assert_eq!(app.get(&path).await, masked);
    let refused = app.ask("GET", &path).key(&operator.text).send().await.expect(403);
    assert_eq!(refused["message"], "Insufficient permissions. Required: admin");
    let overview = app.ask("GET", "/api/sessions/stats/overview").key(&operator.text);
    let overview = overview.send().await.expect(200);
    assert_eq!((&overview["total"], overview.get("memoryUsage")), (&json!(1), None));
    let patch =
        async |body: Value| app.ask("PATCH", &path).admin().json(&body).send().await.expect(200);
    assert_eq!(patch(json!({})).await, masked);
    let changed = patch(json!({ "proxyUrl": "http://[2001:db8::1]" })).await;
    assert_eq!(
        changed,
        json!({ "enabled": true, "proxyType": "http", "proxyHost": "[2001:db8::1]:80", "hasCredentials": false })
    );
    let cleared = patch(json!({ "proxyUrl": null })).await;
    assert_eq!(
        cleared,
        json!({ "enabled": false, "proxyType": null, "proxyHost": null, "hasCredentials": false })
    );
}

#[tokio::test]
async fn the_overview_counts() {
    let app = App::start().await;
    app.new_session("one").await;
    app.ready_session("two").await;
    assert_eq!(
        app.get("/api/sessions/stats/overview").await,
        json!({
            "total": 2, "active": 1, "ready": 1, "disconnected": 0, "byStatus": { "created": 1, "ready": 1 },
            "memoryUsage": { "heapUsed": 7, "heapTotal": 7, "rss": 7 }
        })
    );
}
