//! The OpenAPI document against the running API: whatever is asked, right, wrong or absurd, the status is one that the
//! document names, and never that of a fault here.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};

use crate::app::App;

/// Requests to each operation.
const CASES: usize = 40;
const SEED: u64 = 0x5eed_2026_1125;
/// Longest wait for an answer; the clock of the rules stands still meanwhile.
const LIMIT: Duration = Duration::from_secs(30);
const CHAT: &str = "4917012345678@c.us";
/// Texts that parsers dislike, and some that they like.
const TEXTS: [&str; 24] = [
    "",
    " ",
    "a",
    "0",
    "-1",
    "null",
    "true",
    "1e999",
    "9007199254740993",
    "\u{feff}",
    "\u{202e}abc",
    "😀",
    "{{name}}",
    "..",
    "../../etc/passwd",
    "%00",
    "'; drop table session; --",
    "<script>",
    CHAT,
    "120363041@g.us",
    "4917012345678",
    "http://127.0.0.1:9/x",
    "2026-11-26T10:00:00Z",
    "00000000-0000-4000-8000-000000000000",
];

/// Chances from a seed: a failure repeats.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap()
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn text(&mut self) -> String {
        match self.below(12) {
            0 => "x".repeat(self.below(5000)),
            1 => char::from_u32(u32::try_from(self.next() % 0xd800).unwrap()).unwrap().to_string(),
            _ => TEXTS[self.below(TEXTS.len())].to_owned(),
        }
    }

    fn any(&mut self, depth: usize) -> Value {
        match self.below(if depth > 3 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.percent(50)),
            2 => json!(self.next()),
            3 => json!(-1.5e300),
            4 | 5 => json!(self.text()),
            6 => (0..self.below(4)).map(|_| self.any(depth + 1)).collect(),
            _ => {
                let field = |dice: &mut Self| (dice.text(), dice.any(depth + 1));
                Value::Object((0..self.below(4)).map(|_| field(self)).collect())
            }
        }
    }
}

struct Maker<'a> {
    document: &'a Value,
    dice: &'a mut Dice,
    /// Percent of values that are of the wrong kind.
    wrong: usize,
}

impl Maker<'_> {
    fn resolve<'v>(&'v self, mut schema: &'v Value) -> &'v Value {
        while let Some(path) = schema["$ref"].as_str() {
            schema = &self.document["components"]["schemas"][path.rsplit('/').next().unwrap()];
        }
        schema
    }

    fn value(&mut self, name: &str, schema: &Value, depth: usize) -> Value {
        if depth > 8 || self.dice.percent(self.wrong) {
            return self.dice.any(depth);
        }
        let schema = self.resolve(schema).clone();
        for choices in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[choices].as_array() {
                let chosen = choices[self.dice.below(choices.len())].clone();
                return self.value(name, &chosen, depth + 1);
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[self.dice.below(words.len())].clone();
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => vec!["object"],
        };
        match kinds[self.dice.below(kinds.len())] {
            "string" => json!(self.text(name, &schema)),
            "integer" | "number" => self.number(&schema),
            "boolean" => json!(self.dice.percent(50)),
            "array" => {
                let most = schema["maxItems"].as_u64().unwrap_or(3).min(3);
                let count = self.dice.below(usize::try_from(most).unwrap() + 1);
                (0..count).map(|_| self.value(name, &schema["items"], depth + 1)).collect()
            }
            "null" => Value::Null,
            _ => self.object(&schema, depth),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let chance = if required.contains(&name.as_str()) { 95 } else { 40 };
            if self.dice.percent(chance) {
                fields.insert(name.clone(), self.value(name, schema, depth + 1));
            }
        }
        if schema["additionalProperties"].is_object() || self.dice.percent(self.wrong) {
            fields.insert(self.dice.text(), self.dice.any(depth + 1));
        }
        Value::Object(fields)
    }

    fn text(&mut self, name: &str, schema: &Value) -> String {
        if self.dice.percent(20) {
            return self.dice.text();
        }
        match name {
            name if name.ends_with("hatId") => CHAT.to_owned(),
            "url" => "http://127.0.0.1:9/x".to_owned(),
            "messageId" => "3EB0C767D26B8A3F1A2B".to_owned(),
            "mimetype" => "image/png".to_owned(),
            "base64" => "iVBORw0KGgo=".to_owned(),
            _ => match schema["example"].as_str() {
                Some(example) => example.to_owned(),
                None => "abcdefgh".to_owned(),
            },
        }
    }

    fn number(&mut self, schema: &Value) -> Value {
        let least = schema["minimum"].as_i64().unwrap_or(0);
        let most = schema["maximum"].as_i64().unwrap_or(1_000_000);
        match self.dice.below(6) {
            0 => json!(least),
            1 => json!(most),
            2 => json!(least.saturating_sub(1)),
            3 => json!(i64::MIN),
            _ => json!(least + i64::try_from(self.dice.next() % 100).unwrap().min(most - least)),
        }
    }
}

/// What stands in a path, mostly.
fn path(dice: &mut Dice, pattern: &str, session: &str) -> String {
    let mut parts = Vec::new();
    for part in pattern.split('/') {
        let usual = match part {
            "{sessionId}" => session,
            "{chatId}" | "{contactId}" => CHAT,
            "{messageId}" => "3EB0C767D26B8A3F1A2B",
            "{number}" => "4917012345678",
            "{batchId}" => "batch_0a0b0c0d",
            part if part.starts_with('{') => "00000000-0000-4000-8000-000000000000",
            part => {
                parts.push(part.to_owned());
                continue;
            }
        };
        parts.push(if dice.percent(15) { escaped(&dice.text()) } else { usual.to_owned() });
    }
    parts.join("/")
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn query(dice: &mut Dice, operation: &Value) -> String {
    let mut pairs = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        // The clock stands still: who waits would wait for ever.
        if parameter["in"] != "query" || name == "wait" || !dice.percent(40) {
            continue;
        }
        let value = if dice.percent(50) { dice.below(200).to_string() } else { dice.text() };
        pairs.push(format!("{name}={}", escaped(&value)));
    }
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Ends the session that it is about: for one that no other case needs.
fn ends(pattern: &str, method: &str) -> bool {
    let last = pattern.rsplit('/').next().unwrap();
    ["stop", "logout", "force-kill", "proxy", "start", "pairing-code"].contains(&last)
        || (method == "delete" && pattern == "/api/sessions/{sessionId}")
}

#[tokio::test]
async fn every_answer_is_one_that_the_document_names() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let other = app.new_session("other").await;
    let document = serde_json::to_value(api::openapi()).unwrap();
    let mut dice = Dice(SEED);
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for (pattern, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for case in 0..CASES {
                let session = if ends(pattern, method) { &other } else { &session };
                let path =
                    format!("{}{}", path(&mut dice, pattern, session), query(&mut dice, operation));
                let mut ask = app.ask(&method.to_uppercase(), &path).admin();
                let content = &operation["requestBody"]["content"];
                if let Some(schema) = content["application/json"].get("schema") {
                    let wrong = [0, 5, 30][case % 3];
                    let mut maker = Maker { document: &document, dice: &mut dice, wrong };
                    ask = ask.json(&maker.value("", schema, 0));
                } else if content.is_object() {
                    let kind = ["text/csv", "application/x-ndjson"][case % 2];
                    let text = format!("chatId,text\n{CHAT},{}\n", dice.text());
                    ask = ask.header("content-type", kind).raw(text.into_bytes());
                }
                let about = ask.about();
                let answer = tokio::time::timeout(LIMIT, ask.open()).await;
                let Ok(answer) = answer else {
                    faults.push(format!("no answer: {about}"));
                    continue;
                };
                let status = answer.status().as_u16();
                *seen.entry(status).or_default() += 1;
                let named = operation["responses"].get(status.to_string()).is_some();
                // Without ffmpeg on the machine nothing can be converted, and that is the answer.
                let lacks = status == 501 || (status == 503 && pattern.contains("/media/convert/"));
                if !named || (status >= 500 && !lacks) {
                    faults.push(format!("{status}: {about}"));
                }
            }
        }
    }
    println!("{seen:?}");
    assert!(
        faults.is_empty(),
        "{} faults, such as\n{}",
        faults.len(),
        faults[..faults.len().min(30)].join("\n")
    );
    assert!(seen[&200] > 200 && seen[&400] > 200, "the cases are too wild or too tame: {seen:?}");
}
