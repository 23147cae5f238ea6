use serde_json::json;

use super::*;
use crate::{plugin::Manifest, signature};

const NOW: i64 = 1_790_841_600;

fn route(mut route: Value) -> IngressRoute {
    route["route"] = json!("in");
    let manifest = json!({
        "id": "x", "name": "X", "version": "1", "type": "extension", "main": "a.js",
        "permissions": ["webhook:ingress"], "ingress": [route],
    });
    Manifest::read(&manifest).unwrap().ingress.remove(0)
}

fn hmac_route(base64: bool) -> IngressRoute {
    let encoding = if base64 { "base64" } else { "hex" };
    route(json!({ "signature": {
        "scheme": "hmac-sha256", "header": "X-Sig", "prefix": "sha256=", "encoding": encoding,
        "contentTemplate": "{timestamp}.{id}.{rawBody}", "timestampHeader": "X-Time", "dedupHeader": "X-Id",
    }}))
}

fn headers(list: &[(&str, &str)]) -> Headers {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

/// Ours for what a provider would sign.
fn signed(secret: &str, text: &str) -> String {
    signature::openwa(&Secret::new(secret), text.as_bytes())
}

#[test]
fn an_hmac_over_a_template_is_checked_with_its_time() {
    let secret = Secret::new("s3cret");
    let body = b"{\"a\":\"{id}\"}";
    let sign = |time: i64| signed("s3cret", &format!("{time}.d1.{{\"a\":\"{{id}}\"}}"));
    let call = |time: i64, signature: &str| {
        let time = time.to_string();
        let headers = headers(&[("x-sig", signature), ("x-time", &time), ("x-id", "d1")]);
        verify(&hmac_route(false), &secret, &headers, body, now())
    };
    let upper = sign(NOW).replace("sha256=", "").to_uppercase();
    let millis = NOW * 1000;
    for (name, time, signature, outcome) in [
        ("good", NOW, sign(NOW), Ok(Verified::Signed)),
        ("upper case", NOW, format!("sha256={upper}"), Ok(Verified::Signed)),
        ("milliseconds", millis, sign(millis), Ok(Verified::Signed)),
        ("at the limit", NOW - 300, sign(NOW - 300), Ok(Verified::Signed)),
        ("old", NOW - 301, sign(NOW - 301), Err(Refusal::Stale)),
        ("ahead", NOW + 301, sign(NOW + 301), Err(Refusal::Stale)),
        ("another time", NOW - 1, sign(NOW), Err(Refusal::BadSignature)),
        ("no prefix", NOW, upper.clone(), Err(Refusal::BadSignature)),
        ("cut", NOW, sign(NOW)[..20].to_owned(), Err(Refusal::BadSignature)),
        ("empty", NOW, "sha256=".to_owned(), Err(Refusal::BadSignature)),
        ("no hex", NOW, "sha256=zz".to_owned(), Err(Refusal::BadSignature)),
        ("blank", NOW, " ".to_owned(), Err(Refusal::NoSignature)),
    ] {
        assert_eq!(call(time, &signature), outcome, "{name}");
    }
    let (route, time) = (hmac_route(false), NOW.to_string());
    let without = headers(&[("x-sig", &sign(NOW)), ("x-id", "d1")]);
    assert_eq!(verify(&route, &secret, &without, body, now()), Err(Refusal::NoTimestamp));
    let without = headers(&[("x-sig", &sign(NOW)), ("x-time", &time)]);
    assert_eq!(verify(&route, &secret, &without, body, now()), Err(Refusal::NoId));
    let other = verify(&route, &Secret::new("other"), &without, body, now());
    assert!(other.is_err());
    assert_eq!(verify(&route, &Secret::new(""), &without, body, now()), Err(Refusal::BadSecret));
}

#[test]
fn base64_is_taken_and_an_empty_body_proves_nothing() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = format!("{NOW}.d1.");
    let hex_text = signed("k", &text);
    let bytes = hex::decode(hex_text.strip_prefix("sha256=").unwrap()).unwrap();
    for encoded in [STANDARD.encode(&bytes), STANDARD.encode(&bytes).replace('=', "")] {
        let signature = format!("sha256={encoded}");
        let headers =
            headers(&[("x-sig", &signature), ("x-time", &NOW.to_string()), ("x-id", "d1")]);
        let outcome = verify(&hmac_route(true), &Secret::new("k"), &headers, b"", now());
        assert_eq!(outcome, Ok(Verified::Unsigned));
        assert!(!outcome.unwrap().is_signed());
    }
}

#[test]
fn a_shared_secret_is_the_header_itself() {
    let route = route(json!({ "signature": { "scheme": "shared-secret", "header": "X-Token" } }));
    let secret = Secret::new("letmein-letmein-1");
    for (value, outcome) in [
        ("letmein-letmein-1", Ok(Verified::Signed)),
        ("letmein-letmein-2", Err(Refusal::BadSignature)),
        ("letmein", Err(Refusal::BadSignature)),
        ("", Err(Refusal::NoSignature)),
    ] {
        let headers = headers(&[("x-token", value)]);
        assert_eq!(verify(&route, &secret, &headers, b"", now()), outcome, "{value}");
    }
    let empty = verify(&route, &Secret::new(""), &headers(&[("x-token", "")]), b"", now());
    assert_eq!(empty, Err(Refusal::BadSecret));
}

#[test]
fn standard_webhooks_take_several_signatures_and_every_spelling_of_the_secret() {
    let route = route(json!({ "signature": { "scheme": "standard-webhooks" } }));
    let key = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let good =
        signature::standard_v1(&Secret::new(format!("whsec_{key}")), "msg_1", NOW, b"{\"a\":1}");
    let check = |secret: &str, signature: &str, time: i64| {
        let time = time.to_string();
        let headers = headers(&[
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", &time),
            ("webhook-signature", signature),
        ]);
        verify(&route, &Secret::new(secret), &headers, b"{\"a\":1}", now())
    };
    let both = format!("v1,AAAA v1a,BBBB {good}");
    for secret in [format!("whsec_{key}"), format!("v1,whsec_{key}"), key.to_owned()] {
        assert_eq!(check(&secret, &good, NOW), Ok(Verified::Signed), "{secret}");
        assert_eq!(check(&secret, &both, NOW), Ok(Verified::Signed), "{secret}");
    }
    let plain = signature::standard_v1(&Secret::new("plain text!"), "msg_1", NOW, b"{\"a\":1}");
    assert_eq!(check("plain text!", &plain, NOW), Ok(Verified::Signed));
    assert_eq!(check("whsec_AAAA", &good, NOW), Err(Refusal::BadSignature));
    assert_eq!(check("whsec_!", &good, NOW), Err(Refusal::BadSecret));
    assert_eq!(check("whsec_", &good, NOW), Err(Refusal::BadSecret));
    assert_eq!(check(key, &good.replace("v1,", "v2,"), NOW), Err(Refusal::BadSignature));
    assert_eq!(check(key, &good, NOW - 400), Err(Refusal::Stale));
    assert_eq!(check(key, &good, NOW - 1), Err(Refusal::BadSignature));
    let bare = headers(&[("webhook-signature", &good)]);
    assert_eq!(verify(&route, &Secret::new(key), &bare, b"{}", now()), Err(Refusal::NoId));
    let named = headers(&[("webhook-id", "msg_1")]);
    assert_eq!(delivery_id(&route, &named).as_deref(), Some("msg_1"));
}

#[test]
fn an_unsigned_route_takes_everything_as_unverified() {
    let route = route(json!({ "signature": { "scheme": "none" } }));
    let outcome = verify(&route, &Secret::new(""), &headers(&[]), b"x", now());
    assert_eq!(outcome, Ok(Verified::Unsigned));
    assert_eq!(delivery_id(&route, &headers(&[("webhook-id", "a")])), None);
}

#[test]
fn the_order_is_by_header_then_by_pointer_then_by_instance() {
    let route = route(json!({
        "signature": { "scheme": "none" },
        "conversationId": { "header": "X-Conv", "jsonPointer": "/conversation/id" },
    }));
    let long = "x".repeat(300);
    for (conv, body, key) in [
        ("h", r#"{"conversation":{"id":7}}"#, "h"),
        ("", r#"{"conversation":{"id":7}}"#, "7"),
        ("", r#"{"conversation":{"id":"c"}}"#, "c"),
        ("", r#"{"conversation":{"id":null}}"#, ""),
        ("", "no json", ""),
    ] {
        assert_eq!(order_key(&route, &headers(&[("x-conv", conv)]), body.as_bytes()), key);
    }
    assert_eq!(order_key(&route, &headers(&[("x-conv", &long)]), b"").len(), 71);
}

#[test]
fn digests_tell_method_query_and_body_apart() {
    let query = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let base = digest("POST", &query("a", "bc"), b"d");
    assert_eq!(base, digest("post", &query("a", "bc"), b"d"));
    assert_eq!(base.len(), 64);
    for other in [
        digest("PUT", &query("a", "bc"), b"d"),
        digest("POST", &query("ab", "c"), b"d"),
        digest("POST", &query("a", "bc"), b"e"),
        digest("POST", &BTreeMap::new(), b"d"),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn a_challenge_is_echoed_only_with_the_token() {
    let route = route(json!({
        "signature": { "scheme": "none" },
        "challenge": { "method": "GET", "tokenParam": "token", "echoParam": "echo" },
    }));
    let token = Secret::new("t");
    for (query, known, outcome) in [
        (&[("token", "t"), ("echo", "42")][..], Some(&token), Ok(Some("42".to_owned()))),
        (&[("token", "u"), ("echo", "42")], Some(&token), Err(Refusal::WrongToken)),
        (&[("token", "t"), ("echo", "42")], None, Err(Refusal::NoVerifyToken)),
        (&[("token", "t")], Some(&token), Err(Refusal::BadChallenge)),
        (&[("other", "t")], Some(&token), Ok(None)),
    ] {
        assert_eq!(challenge(&route, &headers(query), known), outcome, "{query:?}");
    }
    assert_eq!(challenge(&hmac_route(false), &headers(&[("token", "t")]), None), Ok(None));
}

#[test]
fn an_ack_fills_its_tokens_in_once() {
    let mut own = hmac_route(false);
    own.ack = Some((
        200,
        headers(&[("content-type", "text/plain")]),
        "{{id}|{timestamp}|{rawBody}|{x}".into(),
    ));
    let call = headers(&[("x-id", "d"), ("x-time", "5")]);
    let answer = ack(&own, &call, "a {id} ä".as_bytes()).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "{d|5|a {id} ä|{x}"));
    assert_eq!(ack(&hmac_route(false), &call, b""), None);
}

#[test]
fn a_failed_call_is_tried_five_times() {
    let waits: Vec<_> = (1..=6)
        .map(|attempts| {
            next_try(attempts, now(), 0.5).map(|at| at.since(now()).as_secs_f64().round())
        })
        .collect();
    assert_eq!(waits, [Some(5.0), Some(30.0), Some(120.0), Some(600.0), None, None]);
    let early = next_try(1, now(), 0.0).unwrap().since(now());
    assert!(early >= Duration::from_millis(4400) && early <= Duration::from_millis(4600));
}
