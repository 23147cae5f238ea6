//! The OpenAPI document, as a judge of requests and answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::{Value, json};

/// The document as this build serves it.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&api::openapi_json()).unwrap());

/// Components that others are built on with `allOf`: what else the whole has is not theirs to refuse.
static PARTS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut parts = BTreeSet::new();
    each(&DOCUMENT, &mut |value| {
        for part in value["allOf"].as_array().into_iter().flatten() {
            parts.extend(named(part));
        }
    });
    parts
});

/// Calls something with a value and all that is in it.
fn each<'v>(value: &'v Value, visit: &mut dyn FnMut(&'v Value)) {
    visit(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| each(value, visit)),
        Value::Array(items) => items.iter().for_each(|value| each(value, visit)),
        _ => {}
    }
}

/// The component that a reference names.
fn named(schema: &Value) -> Option<String> {
    Some(schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")?.to_owned())
}

/// The schema refuses fields that it does not list, except in the parts of a whole.
fn close(schema: &mut Value, is_part: bool) {
    if let Value::Array(items) = schema {
        return items.iter_mut().for_each(|item| close(item, false));
    }
    let Value::Object(fields) = schema else { return };
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), &mut *value) {
            ("example" | "examples" | "default" | "enum", _) => {}
            ("allOf", Value::Array(parts)) => parts.iter_mut().for_each(|part| close(part, true)),
            ("properties", Value::Object(all)) => {
                all.values_mut().for_each(|value| close(value, false));
            }
            _ => close(value, false),
        }
    }
    if fields.contains_key("allOf") {
        fields.insert("unevaluatedProperties".to_owned(), json!(false));
    } else if fields.contains_key("properties") && !is_part {
        fields.entry("additionalProperties").or_insert(json!(false));
    }
}

/// A schema with the components that it needs.
fn whole(schema: &Value) -> Value {
    let (mut components, mut open) = (BTreeMap::new(), vec![schema]);
    while let Some(next) = open.pop() {
        each(next, &mut |value| {
            let Some(name) = named(value) else { return };
            let component = &DOCUMENT["components"]["schemas"][&name];
            assert!(component.is_object(), "the document has no {name}");
            if components.insert(name, component.clone()).is_none() {
                open.push(component);
            }
        });
    }
    for (name, component) in &mut components {
        close(component, PARTS.contains(name));
    }
    let mut schema = schema.clone();
    close(&mut schema, false);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [schema],
        "components": { "schemas": components },
    })
}

/// What does not fit, a line each; empty when all does.
fn misfits(schema: &Value, body: &Value) -> String {
    let options = jsonschema::options().should_validate_formats(true);
    let validator = options.build(&whole(schema)).unwrap();
    let lines =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path()));
    lines.collect::<Vec<_>>().join("\n")
}

/// The media type of a header, without its parameters.
fn essence(kind: &str) -> &str {
    kind.split(';').next().unwrap_or_default().trim()
}

/// An operation of the document.
pub struct Operation {
    name: String,
    operation: &'static Value,
}

impl Operation {
    /// Finds it by its method and the path with its parameters in braces.
    pub fn find(method: &str, template: &str) -> Self {
        let operation = &DOCUMENT["paths"][template][method.to_lowercase()];
        let name = format!("{method} {template}");
        assert!(operation.is_object(), "the document has no {name}");
        Self { name, operation }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every name of the query is one that the document knows.
    pub fn knows_query(&self, query: &str) {
        let parameters = self.operation["parameters"].as_array();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            let mut known = parameters.into_iter().flatten();
            let found = known.any(|known| known["in"] == "query" && known["name"] == name);
            assert!(found, "{}: the document knows no parameter {name}", self.name);
        }
    }

    /// A body that was accepted fits what the document says of it.
    pub fn accepts(&self, body: &Value) {
        let content = &self.operation["requestBody"]["content"];
        let schema = &content["application/json"]["schema"];
        assert!(schema.is_object(), "{}: the document knows no body", self.name);
        let misfits = misfits(schema, body);
        assert_eq!(misfits, "", "{}: accepted, and not documented: {body}", self.name);
    }

    /// An answer fits what the document says of its status; its body, when that is JSON.
    pub fn answers(&self, status: u16, kind: &str, bytes: &[u8]) -> Value {
        let text = || String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        let answer = &self.operation["responses"][status.to_string()];
        assert!(answer.is_object(), "{}: {status} is not documented: {}", self.name, text());
        let Some(content) = answer["content"].as_object() else {
            assert!(!kind.starts_with("application/json"), "{}: {}", self.name, text());
            assert!(status != 204 || bytes.is_empty(), "{}: 204 with {}", self.name, text());
            return Value::Null;
        };
        let fits = |known: &&String| {
            let known = essence(known);
            known == "*/*" || known == essence(kind)
        };
        let documented = content.keys().find(fits);
        let Some(documented) = documented else {
            panic!("{}: {status} as {kind} is not documented", self.name);
        };
        if essence(documented) != "application/json" {
            return Value::Null;
        }
        let body: Value = serde_json::from_slice(bytes)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.name, text()));
        let misfits = misfits(&content[documented]["schema"], &body);
        assert_eq!(misfits, "", "{}: {status} does not fit its schema: {body}", self.name);
        body
    }
}

#[test]
fn what_the_document_does_not_say_is_found() {
    let create = Operation::find("POST", "/api/sessions");
    create.accepts(&json!({ "name": "bakery" }));
    let schema = &create.operation["requestBody"]["content"]["application/json"]["schema"];
    assert!(misfits(schema, &json!({ "name": "bakery", "nome": 1 })).contains("nome"));
    assert!(misfits(schema, &json!({ "name": 7 })).starts_with("/name: "));
    let stored = Operation::find("POST", "/api/auth/api-keys");
    let schema = &stored.operation["responses"]["201"]["content"]["application/json"]["schema"];
    let lines = misfits(schema, &json!({ "apiKey": "x", "colour": "red" }));
    assert!(lines.contains("colour") && lines.contains("\"createdAt\""), "{lines}");
}
