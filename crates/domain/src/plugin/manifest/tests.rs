use serde_json::json;

use super::*;

/// The smallest manifest, with other fields over it.
fn with(fields: Value) -> Value {
    let mut manifest = json!({
        "id": "My-Bot", "name": "My bot", "version": "1.0.0", "type": "extension", "main": "./dist/index.js",
    });
    for (name, value) in fields.as_object().unwrap() {
        manifest[name] = value.clone();
    }
    manifest
}

fn route(fields: Value) -> Value {
    let mut route = json!({ "route": "in", "signature": { "scheme": "none" } });
    for (name, value) in fields.as_object().unwrap() {
        route[name] = value.clone();
    }
    with(json!({ "permissions": ["webhook:ingress"], "ingress": [route] }))
}

#[test]
fn the_smallest_manifest_gets_every_default() {
    let manifest = Manifest::read(&with(json!({ "unknown": 1, "net": null }))).unwrap();
    assert_eq!((manifest.id.as_str(), manifest.main.as_str()), ("my-bot", "dist/index.js"));
    assert!(
        manifest.session_scoped && manifest.sessions.is_none() && manifest.permissions.is_empty()
    );
    assert_eq!(manifest.budget, BUDGET_DEFAULT);
    assert_eq!(manifest.on_failure(HookPoint::MessageSending), OnFailure::Open);
    assert_eq!(manifest.schema(), &ConfigSchema::FREE);
    assert_eq!((manifest.author(), manifest.description()), (None, None));
}

#[test]
fn everything_that_is_said_is_read() {
    let session = "0A070707-0707-4707-8707-070707070707";
    let manifest = Manifest::read(&with(json!({
        "sdkVersion": 1.2, "minOpenWAVersion": "0.32.0", "hooks": ["message:sending"],
        "permissions": ["net:fetch", "storage:use"], "sessions": [session], "sessionScoped": false,
        "net": { "allow": ["API.example.com"], "allowConfigHosts": ["baseUrl"] },
        "configUi": { "entry": "config/index.html", "height": 600 },
        "configSchema": { "type": "object", "properties": { "a": { "type": "string" } } },
        "onFailure": { "*": "closed", "message:received": "open" }, "budgetMs": 5000,
        "author": { "name": "Ann" }, "description": "d", "provides": ["x", 1],
    })))
    .unwrap();
    assert!(manifest.may(Permission::NetFetch) && !manifest.may(Permission::EngineRead));
    assert_eq!(manifest.sessions.as_ref().unwrap()[0].to_string(), session.to_lowercase());
    assert!(!manifest.session_scoped);
    assert_eq!(manifest.net.allow, ["api.example.com"]);
    assert_eq!(manifest.config_ui.as_deref(), Some("config/index.html"));
    assert!(manifest.schema().fields.as_ref().unwrap().contains_key("a"));
    assert_eq!(manifest.on_failure(HookPoint::WebhookBefore), OnFailure::Closed);
    assert_eq!(manifest.on_failure(HookPoint::MessageReceived), OnFailure::Open);
    assert_eq!(manifest.budget, BUDGET_MAX);
    assert_eq!((manifest.author(), manifest.provides()), (Some("Ann"), vec!["x".to_owned()]));
    let everywhere =
        Manifest::read(&with(json!({ "onFailure": "closed", "sessions": ["x", "*"] })));
    let everywhere = everywhere.unwrap();
    assert_eq!(everywhere.on_failure.len(), HookPoint::ALL.len());
    assert_eq!(everywhere.sessions, None);
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_field() {
    for (fields, told) in [
        (json!({ "id": null }), "id is missing"),
        (json!({ "id": "a/b" }), "id is refused: a plugin's id has at most 64"),
        (json!({ "id": "Baileys" }), "baileys is reserved"),
        (json!({ "name": "" }), "name must not be empty"),
        (json!({ "name": "x".repeat(201) }), "name is longer than 200"),
        (json!({ "version": 1 }), "version must be a text"),
        (json!({ "version": "x".repeat(65) }), "version is longer than 64"),
        (json!({ "type": "engine" }), "type must be extension"),
        (json!({ "main": "../a.js" }), "main must be the path"),
        (json!({ "main": "/a.js" }), "main must be the path"),
        (json!({ "main": "a\\b.js" }), "main must be the path"),
        (json!({ "main": "a/" }), "main must be the path"),
        (json!({ "main": "." }), "main must be the path"),
        (json!({ "configUi": { "entry": "a/../../b" } }), "configUi.entry must be the path"),
        (json!({ "configUi": "a.html" }), "configUi must be an object"),
        (
            json!({ "permissions": ["fs:read"] }),
            "permissions contains fs:read, which is not one of messages:send",
        ),
        (json!({ "permissions": "net:fetch" }), "permissions must be a list of texts"),
        (json!({ "hooks": ["message:gone"] }), "hooks contains message:gone"),
        (json!({ "hooks": [1] }), "hooks must be a list of texts"),
        (json!({ "sessions": ["main"] }), "sessions contains main"),
        (json!({ "sessions": "*" }), "sessions must be a list of texts"),
        (json!({ "sessionScoped": "no" }), "sessionScoped must be true or false"),
        (json!({ "sdkVersion": "2.0" }), "sdkVersion is 2.0"),
        (json!({ "sdkVersion": 10 }), "sdkVersion is 10"),
        (json!({ "sdkVersion": [] }), "sdkVersion must be a text"),
        (
            json!({ "minOpenWAVersion": "0.32.1" }),
            "minOpenWAVersion is 0.32.1: Waypost stands in for OpenWA 0.32.0",
        ),
        (json!({ "minOpenWAVersion": "0.8" }), "minOpenWAVersion must be three numbers"),
        (json!({ "minOpenWAVersion": "0.8.+1" }), "minOpenWAVersion must be three numbers"),
        (json!({ "onFailure": "maybe" }), "onFailure must be open or closed"),
        (json!({ "onFailure": { "message:gone": "open" } }), "onFailure contains message:gone"),
        (json!({ "budgetMs": 9 }), "budgetMs must be from 10"),
        (json!({ "budgetMs": 5001 }), "budgetMs must be from 10"),
        (json!({ "budgetMs": 10.5 }), "budgetMs must be a whole number"),
        (json!({ "ingress": [{}] }), "ingress needs the permission webhook:ingress"),
        (json!({ "long": "x".repeat(MANIFEST_BYTES_MAX) }), "larger than 256 KiB"),
    ] {
        let error = Manifest::read(&with(fields)).unwrap_err().to_string();
        assert!(error.starts_with("manifest.json: ") && error.contains(told), "{told}: {error}");
    }
    assert!(Manifest::read(&json!([])).is_err());
}

#[test]
fn routes_are_read_with_their_defaults() {
    let manifest = Manifest::read(&route(json!({
        "signature": {
            "scheme": "hmac-sha256", "header": "X-Sig", "timestampHeader": "X-Time",
            "contentTemplate": "{timestamp}.{rawBody}", "dedupHeader": "X-Id",
        },
        "maxBodyBytes": 99_999_999, "conversationId": { "jsonPointer": "/a", "header": "X-Conv" },
        "challenge": { "method": "GET", "tokenParam": "t", "echoParam": "e" },
        "response": {
            "preflight": [{ "type": "session-alive" }],
            "ack": { "status": 201, "headers": { "Content-Type": "text/plain" }, "body": "{id}" },
        },
        "dedupBodyMismatchAsNew": true,
    })))
    .unwrap();
    let ack = BTreeMap::from([("content-type".to_owned(), "text/plain".to_owned())]);
    assert_eq!(
        manifest.ingress,
        [IngressRoute {
            route: "in".into(),
            signature: Signature::Hmac {
                header: "x-sig".into(),
                template: "{timestamp}.{rawBody}".into(),
                base64: false,
                prefix: String::new(),
                timestamp_header: Some("x-time".into()),
            },
            tolerance: TOLERANCE_DEFAULT,
            dedup_header: Some("x-id".into()),
            body_mismatch_is_new: true,
            challenge: Some(("t".into(), "e".into())),
            body_bytes_max: BODY_BYTES_MAX,
            order_header: Some("x-conv".into()),
            order_pointer: Some("/a".into()),
            needs_session: true,
            ack: Some((201, ack, "{id}".into())),
        }]
    );
    let plain = Manifest::read(&route(json!({}))).unwrap().ingress.remove(0);
    assert_eq!(
        (plain.body_bytes_max, plain.ack, plain.challenge),
        (BODY_BYTES_DEFAULT, None, None)
    );
}

#[test]
fn routes_that_could_not_be_checked_are_refused() {
    let hmac = |fields: Value| {
        let mut signature = json!({ "scheme": "hmac-sha256", "header": "x" });
        for (name, value) in fields.as_object().unwrap() {
            signature[name] = value.clone();
        }
        json!({ "signature": signature })
    };
    for (fields, told) in [
        (json!({ "route": "" }), "ingress[0].route must not be empty"),
        (json!({ "route": "a/b" }), "ingress[0].route must be at most 128"),
        (json!({ "route": ".." }), "ingress[0].route must be"),
        (json!({ "signature": null }), "ingress[0].signature is missing"),
        (json!({ "signature": {} }), "ingress[0].signature.scheme is missing"),
        (json!({ "signature": { "scheme": "md5" } }), "scheme must be one of hmac-sha256"),
        (json!({ "signature": { "scheme": "shared-secret" } }), "signature.header is missing"),
        (hmac(json!({ "header": "a b" })), "header is not the name of a header"),
        (hmac(json!({ "encoding": "base32" })), "encoding must be one of hex, base64"),
        (hmac(json!({ "toleranceSec": 0 })), "toleranceSec must be more than 0"),
        (hmac(json!({ "toleranceSec": -1 })), "toleranceSec must be more than 0"),
        (hmac(json!({ "contentTemplate": "{rawBody}{id}" })), "uses {id}, so dedupHeader"),
        (hmac(json!({ "contentTemplate": "{timestamp}{rawBody}" })), "so timestampHeader"),
        (hmac(json!({ "contentTemplate": "x" })), "must contain {rawBody}"),
        (json!({ "maxBodyBytes": 0 }), "maxBodyBytes must be at least 1"),
        (json!({ "conversationId": { "jsonPointer": "a" } }), "must begin with a slash"),
        (json!({ "challenge": { "method": "POST" } }), "challenge.method must be GET"),
        (json!({ "challenge": { "tokenParam": "t" } }), "challenge.echoParam is missing"),
        (json!({ "response": { "preflight": [{ "type": "x" }] } }), "preflight[0].type must be"),
        (json!({ "response": { "ack": { "status": 302 } } }), "ack.status must be from 200"),
        (
            json!({ "response": { "ack": { "headers": { "Set-Cookie": "a" } } } }),
            "must not contain set-cookie",
        ),
        (
            json!({ "response": { "ack": { "headers": { "a": "b\r\nc: d" } } } }),
            "must be names of headers",
        ),
    ] {
        let error = Manifest::read(&route(fields)).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
    let mut twice = route(json!({}));
    let first = twice["ingress"][0].clone();
    twice["ingress"].as_array_mut().unwrap().push(first);
    let error = Manifest::read(&twice).unwrap_err().to_string();
    assert!(error.contains("ingress[1].route names a route that is there already"), "{error}");
}
