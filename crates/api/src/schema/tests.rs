use serde_json::json;

use super::*;

fn wrong(schema: &str, mut body: Value) -> Vec<String> {
    check(schema, &mut body)
}

#[test]
fn everything_wrong_with_a_body_is_said_at_once() {
    assert_eq!(
        wrong(
            "SendText",
            json!({ "chatId": "", "text": true, "mentions": [true, false, "x"], "foo": true })
        ),
        [
            "property foo should not exist",
            "chatId should not be empty",
            "each value in mentions must be a string",
            "each value in mentions must look like <phone>@c.us or <id>@lid",
            "text must be a string",
        ]
    );
    assert_eq!(
        wrong("SendText", json!({})),
        [
            "chatId should not be empty",
            "chatId must be a string",
            "text should not be empty",
            "text must be a string"
        ]
    );
    assert_eq!(
        wrong("SendText", json!({ "chatId": "49170111@c.us", "text": "x".repeat(4097) })),
        ["text must be shorter than or equal to 4096 characters"]
    );
}

#[test]
fn numbers_are_taken_as_texts_while_their_digits_are_certain() {
    let mut body = json!({ "chatId": 4_917_099_000_001_u64, "text": 42 });
    assert!(check("SendText", &mut body).is_empty());
    assert_eq!(body, json!({ "chatId": "4917099000001", "text": "42" }));
    let lost = json!({ "chatId": "4917099000001@c.us", "text": 1e30 });
    assert_eq!(wrong("SendText", lost), ["text must be a string"]);
}

#[test]
fn numbers_of_people_are_refused_with_the_reason() {
    for (number, why) in [
        (
            "0170 99000001",
            "must begin with + and the country code: a number that begins with 0 is known within its country only. Set the session's defaultCountry to send to numbers of one country as they are written there",
        ),
        ("+4917099000001 ext. 12", "must be a number without an extension"),
        ("+49 0170 99000001", "must not have the 0 of the national form after the country code"),
    ] {
        let card =
            json!({ "chatId": "4917099000001", "contactName": "Ida", "contactNumber": number });
        assert_eq!(wrong("SendContact", card), [format!("contactNumber {why}")]);
        let text = json!({ "chatId": number, "text": "hi" });
        assert_eq!(wrong("SendText", text), [format!("chatId {why}")]);
    }
    for number in ["+49 (0)170 99000001", "0049 170 99000001", "tel:+49-170-99000001"] {
        let card = json!({ "chatId": number, "contactName": "Ida", "contactNumber": number });
        assert!(wrong("SendContact", card).is_empty(), "{number}");
    }
}

#[test]
fn nested_problems_name_their_place() {
    let condition = json!({ "field": "colour", "operator": "is", "value": 7, "x": 1 });
    let good = json!({ "field": "fromMe", "operator": "is", "value": true });
    assert_eq!(
        wrong(
            "CreateWebhook",
            json!({ "url": "https://shop.example", "filters": { "conditions": [good, condition] } })
        ),
        [
            "filters.conditions.1.property x should not exist",
            "filters.conditions.1.field must be one of the following values: sender, recipient, chatId, body, type, isGroup, kind, fromMe, hasMedia, mentions",
            "filters.conditions.1.value must be a string or an array or a boolean value",
        ]
    );
    assert_eq!(
        wrong(
            "CreateSession",
            json!({ "name": "bakery", "config": { "maxReconnectAttempts": 21, "other": 1 } })
        ),
        ["config.maxReconnectAttempts must not be greater than 20"]
    );
    assert_eq!(
        wrong("CreateSession", json!({ "name": "bakery", "config": [] })),
        ["config must be an object"]
    );
    assert_eq!(
        wrong(
            "CreateWebhook",
            json!({ "url": "https://shop.example", "headers": { "X-A": true } })
        ),
        ["each value in headers must be a string"]
    );
}

#[test]
fn null_is_absent_unless_the_schema_forbids_it() {
    assert_eq!(
        wrong(
            "SendText",
            json!({ "chatId": "49170111@c.us", "text": "x", "quotedMessageId": null })
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        wrong(
            "UpdateWebhook",
            json!({ "url": null, "events": null, "headers": null, "active": null, "retryCount": null })
        ),
        [
            "active must be a boolean value",
            "events must be an array",
            "headers must be an object",
            "retryCount must be an integer number",
            "url must be a string",
        ]
    );
    assert_eq!(
        wrong("UpdateWebhook", json!({ "filters": null, "secret": "" })),
        Vec::<String>::new()
    );
}

#[test]
fn booleans_and_numbers_are_strict_but_put_right() {
    let mut body = json!({ "autoRejectCalls": "true", "maxReconnectAttempts": 5.0 });
    assert_eq!(check("UpdateSessionConfig", &mut body), Vec::<String>::new());
    assert_eq!(body, json!({ "autoRejectCalls": true, "maxReconnectAttempts": 5 }));
    assert_eq!(
        wrong(
            "UpdateSessionConfig",
            json!({ "autoRejectCalls": 1, "maxReconnectAttempts": "5", "reconnectBaseDelay": 5.5 })
        ),
        [
            "autoRejectCalls must be a boolean value",
            "maxReconnectAttempts must be an integer number",
            "reconnectBaseDelay must be an integer number",
        ]
    );
}

#[test]
fn lists_of_a_key_are_checked() {
    assert_eq!(
        wrong(
            "CreateApiKey",
            json!({
                "name": "x", "role": "root", "allowedIps": ["::1", "10.0.0.1", "10.0.0.0/8"],
                "allowedSessions": ["a", "a"], "allowedChats": ["17@newsletter"], "expiresAt": "soon"
            })
        ),
        [
            "each value in allowedChats must be <id>@g.us, <phone>@c.us, <lid>@lid or a phone number",
            "each value in allowedIps must be an IPv4 address or CIDR range",
            "All allowedSessions's elements must be unique",
            "each value in allowedSessions must be a UUID",
            "expiresAt must be a valid ISO 8601 date string",
            "name must be longer than or equal to 3 characters",
            "role must be one of the following values: admin, operator, viewer",
        ]
    );
}

#[test]
fn socks4_is_refused_with_a_way_out() {
    assert_eq!(
        wrong("UpdateSessionProxy", json!({ "proxyUrl": "socks4://proxy.example:1080" })),
        ["proxyUrl must not be a socks4 proxy: socks5, http and https proxies work"]
    );
}

/// Calls `look` with every schema inside a schema.
fn every(schema: &Value, look: &mut impl FnMut(&Value)) {
    look(schema);
    match schema {
        Value::Object(fields) => fields.values().for_each(|field| every(field, look)),
        Value::Array(items) => items.iter().for_each(|item| every(item, look)),
        _ => {}
    }
}

#[test]
fn every_reference_pattern_and_format_in_use_is_known() {
    let document = serde_json::to_value(crate::openapi()).unwrap();
    every(&document, &mut |value| {
        if let Some(path) = value["$ref"].as_str() {
            let pointer = path.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{path} leads nowhere");
        }
    });
    let mut bodies = Vec::new();
    every(&document["paths"], &mut |value| {
        if let Some(path) =
            value["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        {
            bodies.push(path.rsplit('/').next().unwrap().to_owned());
        }
    });
    assert!(bodies.len() >= 8, "{bodies:?}");
    for body in bodies {
        let schema = SCHEMAS.get(&body).unwrap_or_else(|| panic!("{body} is not in the document"));
        every(schema, &mut |part| {
            if let Some(pattern) = part["pattern"].as_str() {
                assert!(text::matches_pattern(pattern, "").is_some(), "{body}: pattern {pattern}");
            }
            if let Some(format) = part["format"]
                .as_str()
                .filter(|format| !matches!(*format, "int32" | "int64" | "double"))
            {
                assert!(text::check_format(format, "").is_some(), "{body}: format {format}");
            }
        });
    }
}
