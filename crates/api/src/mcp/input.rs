//! The arguments of a tool, out of the OpenAPI document: parameters and the fields of the body, side by side.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};

/// Where the document keeps its schemas, and where a tool does.
const COMPONENTS: &str = "#/components/schemas/";
const DEFINITIONS: &str = "#/$defs/";
/// The header of idempotent sends, and what it is called among arguments.
const KEY_HEADER: &str = "Idempotency-Key";
pub const KEY_ARGUMENT: &str = "idempotencyKey";

/// The arguments of a tool.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The schema that clients see.
    pub schema: Arc<Map<String, Value>>,
    /// Those of the query.
    pub query: BTreeSet<String>,
    /// Whether the route takes a body.
    pub has_body: bool,
    /// Whether it takes an idempotency key.
    pub has_key: bool,
}

/// What an operation takes.
pub fn inputs_of(document: &Value, operation: &Value) -> Inputs {
    let mut inputs = Inputs::default();
    let (mut properties, mut required) = (Map::new(), BTreeSet::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let Some(name) = parameter["name"].as_str() else { continue };
        let mut schema = parameter["schema"].clone();
        if let (Some(about), Some(schema)) =
            (parameter["description"].as_str(), schema.as_object_mut())
        {
            schema.insert("description".into(), about.into());
        }
        let name = match parameter["in"].as_str() {
            Some("path") => name,
            Some("query") => {
                inputs.query.insert(name.to_owned());
                name
            }
            Some("header") if name == KEY_HEADER => {
                inputs.has_key = true;
                KEY_ARGUMENT
            }
            _ => continue,
        };
        if parameter["required"] == json!(true) {
            required.insert(name.to_owned());
        }
        properties.insert(name.to_owned(), schema);
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        inputs.has_body = true;
        fields(document, body, &mut properties, &mut required);
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    define(document, &mut schema);
    if let Value::Object(schema) = schema {
        inputs.schema = Arc::new(schema);
    }
    inputs
}

/// The fields of a body, and of everything that it is put together from. Of alternatives all fields are named and none
/// is required: the route says which belong together.
fn fields(
    document: &Value,
    schema: &Value,
    properties: &mut Map<String, Value>,
    required: &mut BTreeSet<String>,
) {
    let schema = resolve(document, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        // A parameter of the path wins over a field of its name.
        properties.entry(name.clone()).or_insert_with(|| field.clone());
    }
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    required.extend(names.map(str::to_owned));
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fields(document, part, properties, required);
    }
    for word in ["oneOf", "anyOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            fields(document, part, properties, &mut BTreeSet::new());
        }
    }
}

fn resolve<'a>(document: &'a Value, mut schema: &'a Value) -> &'a Value {
    while let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix(COMPONENTS)) {
        schema = &document["components"]["schemas"][name];
    }
    schema
}

/// Takes along every schema that is named.
fn define(document: &Value, schema: &mut Value) {
    let (mut definitions, mut wanted) = (Map::new(), Vec::new());
    redirect(schema, &mut wanted);
    while let Some(name) = wanted.pop() {
        if definitions.contains_key(&name) {
            continue;
        }
        let mut definition = document["components"]["schemas"][&name].clone();
        redirect(&mut definition, &mut wanted);
        definitions.insert(name, definition);
    }
    if !definitions.is_empty() {
        schema["$defs"] = Value::Object(definitions);
    }
}

/// Turns references to the document's schemas into references to the tool's, and names them.
fn redirect(schema: &mut Value, named: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(path)) = map.get_mut("$ref")
                && let Some(name) = path.strip_prefix(COMPONENTS).map(str::to_owned)
            {
                *path = format!("{DEFINITIONS}{name}");
                named.push(name);
            }
            map.values_mut().for_each(|value| redirect(value, named));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| redirect(value, named)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_fields_lie_side_by_side_with_what_they_name() {
        let document = json!({ "components": { "schemas": {
            "Send": { "type": "object", "required": ["chatId"], "properties": {
                "chatId": { "type": "string" }, "place": { "$ref": "#/components/schemas/Place" } } },
            "Place": { "type": "object", "properties": { "in": { "$ref": "#/components/schemas/Place" } } },
        } } });
        let operation = json!({
            "parameters": [
                { "name": "sessionId", "in": "path", "required": true, "schema": { "type": "string" } },
                { "name": "limit", "in": "query", "schema": { "type": "integer" }, "description": "How many." },
                { "name": "Idempotency-Key", "in": "header", "schema": { "type": "string" } },
                { "name": "X-Other", "in": "header", "schema": { "type": "string" } },
            ],
            "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Send" } } } },
        });
        let inputs = inputs_of(&document, &operation);
        let expected = json!({
            "type": "object",
            "properties": {
                "sessionId": { "type": "string" },
                "limit": { "type": "integer", "description": "How many." },
                "idempotencyKey": { "type": "string" },
                "chatId": { "type": "string" },
                "place": { "$ref": "#/$defs/Place" },
            },
            "required": ["chatId", "sessionId"],
            "additionalProperties": false,
            "$defs": { "Place": { "type": "object", "properties": { "in": { "$ref": "#/$defs/Place" } } } },
        });
        assert_eq!(Value::Object((*inputs.schema).clone()), expected);
        assert!(inputs.has_body && inputs.has_key && inputs.query.contains("limit"));
    }
}
