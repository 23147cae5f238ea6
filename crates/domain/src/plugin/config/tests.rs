use proptest::prelude::*;
use serde_json::json;

use super::*;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn schema() -> ConfigSchema {
    let raw = json!({ "type": "object", "properties": {
        "name": { "type": "string", "title": "Name", "required": true, "min": 2, "max": 5 },
        "text": { "type": "textarea", "default": "hello", "pattern": "[" },
        "limit": { "type": "number", "default": 3, "min": 1, "max": 10 },
        "on": { "type": "boolean", "default": false },
        "apiToken": { "type": "string", "secret": true },
        "tokenHeader": { "type": "string" },
        "tags": { "type": "array", "items": { "type": "string" }, "max": 2 },
        "rules": { "type": "array", "items": { "type": "object", "properties": {
            "mode": { "type": "string", "enum": ["contains", "exact"], "required": true },
            "url": { "type": "string" },
            "key": { "type": "string", "secret": true },
        } } },
        "nested": { "type": "object", "properties": { "pin": { "type": "number", "secret": true } } },
    } });
    ConfigSchema::read(&raw).unwrap()
}

#[test]
fn schemas_that_make_no_sense_are_refused_with_the_place() {
    for (raw, told) in [
        (json!([]), "configSchema must be an object"),
        (json!({ "type": "array" }), "configSchema.type must be object"),
        (json!({ "properties": { "a": {} } }), "configSchema.properties.a.type is missing"),
        (
            json!({ "properties": { "a": { "type": "date" } } }),
            "configSchema.properties.a.type must be one of string",
        ),
        (
            json!({ "properties": { "a": { "type": "string", "enum": [] } } }),
            "a.enum must be a list",
        ),
        (
            json!({ "properties": { "a": { "type": "array", "items": { "type": 1 } } } }),
            "configSchema.properties.a.items.type must be a text",
        ),
    ] {
        let error = ConfigSchema::read(&raw).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let mut deep = json!({ "type": "string" });
    for _ in 0..17 {
        deep = json!({ "type": "array", "items": deep });
    }
    let deep = json!({ "properties": { "a": deep } });
    assert!(ConfigSchema::read(&deep).unwrap_err().to_string().contains("deeper"));
}

#[test]
fn defaults_are_those_of_the_top() {
    let defaults = json!({ "text": "hello", "limit": 3, "on": false });
    assert_eq!(schema().defaults(), map(defaults));
    assert!(ConfigSchema::FREE.defaults().is_empty());
}

#[test]
fn every_fault_is_told_at_once() {
    let config = json!({
        "name": "a", "text": 5, "limit": 11, "on": "yes", "tags": ["a", "b", null],
        "rules": [{ "mode": "odd", "extra": 1 }, 7, { "mode": "exact" }],
        "nested": [], "unknown": 1,
    });
    let faults = schema().check(&map(config), &Map::new()).unwrap_err();
    for told in [
        "name must have at least 2 characters",
        "text must be a text",
        "limit must be at most 10",
        "on must be true or false",
        "tags must have at most 2 rows",
        "tags[2] must be a text",
        "rules[0].mode must be one of contains, exact",
        "additional property rules[0].extra",
        "rules[1] must be an object",
        "nested must be an object",
        "additional property unknown",
    ] {
        assert!(faults.iter().any(|fault| fault == told), "{told}: {faults:?}");
    }
    assert_eq!(faults.len(), 11);
}

#[test]
fn what_is_not_filled_in_or_was_there_before_is_no_fault() {
    let known = map(json!({ "old": { "a": 1 } }));
    let config = map(json!({ "name": "", "limit": null, "old": { "a": 1 }, "rules": [] }));
    assert_eq!(schema().check(&config, &known), Ok(()));
    assert!(schema().check(&map(json!({ "old": 2 })), &known).is_err());
    assert_eq!(schema().check(&schema().defaults(), &Map::new()), Ok(()));
    let odd = json!({ "properties": { "a": { "type": "string", "min": 9, "default": "x" } } });
    let odd = ConfigSchema::read(&odd).unwrap();
    assert_eq!(odd.check(&odd.defaults(), &Map::new()), Ok(()), "its author's own default");
}

#[test]
fn required_fields_are_only_reported() {
    let config = map(json!({ "rules": [{ "mode": "exact" }, {}] }));
    assert_eq!(schema().check(&config, &Map::new()), Ok(()));
    assert_eq!(schema().missing(&config), ["name", "rules[1].mode"]);
    assert_eq!(schema().missing(&map(json!({ "name": "ab" }))), Vec::<String>::new());
}

#[test]
fn size_and_depth_are_limited_without_a_schema_too() {
    let free = &ConfigSchema::FREE;
    let big = map(json!({ "a": "x".repeat(CONFIG_BYTES_MAX) }));
    assert!(free.check(&big, &Map::new()).unwrap_err()[0].contains("64 KiB"));
    let nest = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
    assert_eq!(free.check(&map(nest(DEPTH_MAX)), &Map::new()), Ok(()));
    assert!(free.check(&map(nest(DEPTH_MAX + 1)), &Map::new()).unwrap_err()[0].contains("deeper"));
    assert_eq!(free.check(&map(json!({ "any": [1, { "x": null }] })), &Map::new()), Ok(()));
}

#[test]
fn secrets_are_hidden_at_any_depth() {
    let config = json!({
        "apiToken": "t", "tokenHeader": "X-Token", "nested": { "pin": 7, "x_api_key": "k" },
        "rules": [{ "mode": "exact", "key": "a" }, { "key": "" }],
        "clientSecret": "s", "free": [{ "Password": "p", "hasToken": true }], "refreshTokens": ["a"],
    });
    let shown = json!({
        "apiToken": "***", "tokenHeader": "X-Token", "nested": { "pin": "***", "x_api_key": "***" },
        "rules": [{ "mode": "exact", "key": "***" }, { "key": "" }],
        "clientSecret": "***", "free": [{ "Password": "***", "hasToken": true }], "refreshTokens": "***",
    });
    assert_eq!(schema().masked(&map(config)), map(shown));
    // Stored before the field took this form.
    let odd = map(json!({ "rules": { "key": "a" }, "nested": "7" }));
    assert_eq!(schema().masked(&odd), map(json!({ "rules": "***", "nested": "***" })));
}

#[test]
fn masks_keep_secrets_and_null_removes() {
    let old = map(json!({ "apiToken": "t", "name": "abc", "clientSecret": "s" }));
    for (new, stored) in [
        (json!({ "apiToken": "***" }), json!({ "apiToken": "t" })),
        (json!({ "apiToken": "u", "name": "x" }), json!({ "apiToken": "u", "name": "x" })),
        (json!({ "apiToken": null, "clientSecret": "***" }), json!({ "clientSecret": "s" })),
        (json!({ "nested": { "pin": "***" } }), json!({ "nested": {} })),
        (json!({ "name": "***" }), json!({ "name": "***" })),
        (
            json!({ "rules": [{ "key": "***", "mode": "exact" }] }),
            json!({ "rules": [{ "mode": "exact" }] }),
        ),
    ] {
        assert_eq!(schema().unmask(map(new.clone()), &old), map(stored), "{new}");
    }
}

#[test]
fn a_secret_never_moves_to_another_row() {
    let row = |url: &str, key: &str| json!({ "url": url, "key": key });
    let rows = |rows: &[Value]| map(json!({ "rules": rows }));
    let old = rows(&[row("a", "1"), row("b", "2"), row("c", "3")]);
    for (new, stored) in [
        (rows(&[row("b", "***"), row("c", "***")]), rows(&[row("b", "2"), row("c", "3")])),
        (
            rows(&[row("c", "***"), row("a", "***"), row("b", "***")]),
            rows(&[row("c", "3"), row("a", "1"), row("b", "2")]),
        ),
        (
            rows(&[row("a2", "***"), row("b", "***"), row("c", "***"), row("d", "4")]),
            rows(&[row("a2", "1"), row("b", "2"), row("c", "3"), row("d", "4")]),
        ),
        (
            rows(&[row("b", "***"), row("evil", "***")]),
            rows(&[row("b", "2"), json!({ "url": "evil" })]),
        ),
    ] {
        assert_eq!(schema().unmask(new.clone(), &old), stored, "{new:?}");
    }
}

#[test]
fn hosts_of_a_configuration_are_those_of_https_urls() {
    let config = map(json!({
        "a": "https://Desk.Example./x", "b": "https://h:8443", "c": "http://h", "d": "h:80", "e": 5,
        "f": "https://[::1]/", "g": "",
    }));
    for (field, host) in [
        ("a", Some(("desk.example".to_owned(), 443))),
        ("b", Some(("h".to_owned(), 8443))),
        ("c", None),
        ("d", None),
        ("e", None),
        ("f", Some(("[::1]".to_owned(), 443))),
        ("g", None),
        ("none", None),
    ] {
        assert_eq!(allowed_config_host(&config, field), host, "{field}");
    }
}

/// Any JSON without `null`, with names of the schema and names of secrets.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c*]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            objects(inner).prop_map(Value::Object),
        ]
    })
}

fn objects(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let names = prop::sample::select(vec![
        "name", "apiToken", "rules", "nested", "pin", "key", "url", "tags", "free", "password", "x",
    ]);
    let fields = prop::collection::btree_map(names.prop_map(str::to_owned), inner, 0..5);
    fields.prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_shown_and_sent_back_changes_nothing(config in objects(values()), free in any::<bool>()) {
        let schema = if free { ConfigSchema::FREE } else { schema() };
        let shown = schema.masked(&config);
        prop_assert_eq!(schema.masked(&shown), shown.clone());
        prop_assert_eq!(schema.unmask(shown, &config), config);
    }

    #[test]
    fn no_configuration_makes_the_check_fail_otherwise_than_with_sentences(config in objects(values())) {
        let faults = schema().check(&config, &Map::new()).err().unwrap_or_default();
        prop_assert!(faults.iter().all(|fault| fault.contains(' ')));
        prop_assert_eq!(schema().check(&config, &config).is_ok() || !faults.is_empty(), true);
    }
}
