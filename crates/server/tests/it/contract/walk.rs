//! Whoever walks the routes: asks, checks the answer against the document, and remembers the way.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;

use super::document::Operation;
use crate::support::{Api, KEY, LIMIT, Running};

/// Stands for the session at the beginning of a path.
const SESSION: &str = "/api/sessions/{sessionId}";

/// A path as the document writes it: one that begins with a dot is under the session.
pub fn template(path: &str) -> String {
    match path.strip_prefix('.') {
        Some(rest) => format!("{SESSION}{rest}"),
        None => path.to_owned(),
    }
}

/// What is sent.
pub enum Payload {
    Nothing,
    Json(Value),
    /// With its content type.
    Bytes(&'static str, Vec<u8>),
}

/// What came back.
pub struct Answer {
    pub body: Value,
    pub bytes: Vec<u8>,
    pub kind: String,
}

pub struct Walk {
    http: reqwest::Client,
    /// Where the program listens.
    origin: String,
    api: Api,
    /// What fills the parameters of paths, by their names.
    ids: BTreeMap<String, String>,
    /// Operations that answered with a success.
    walked: BTreeSet<String>,
}

impl Walk {
    pub fn new(running: &Running) -> Self {
        let api = running.api();
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        let origin = running.base.trim_end_matches("/api").to_owned();
        Self { http, origin, api, ids: BTreeMap::new(), walked: BTreeSet::new() }
    }

    /// From here on a parameter of paths is this.
    pub fn set(&mut self, name: &str, value: &Value) -> String {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.ids.insert(name.to_owned(), text.clone());
        text
    }

    pub fn id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    /// A path with its parameters filled in.
    pub fn filled(&self, path: &str) -> String {
        let parts = template(path);
        let parts = parts.split('/').map(|part| {
            let (part, query) = part.split_once('?').unwrap_or((part, ""));
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            let filled = match name {
                Some(name) => self.ids.get(name).unwrap_or_else(|| panic!("no {name}")).clone(),
                None => part.to_owned(),
            };
            if query.is_empty() { filled } else { format!("{filled}?{query}") }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Asks, and has the status, the request and the answer checked.
    pub async fn ask(
        &mut self,
        (method, path): (&str, &str),
        payload: Payload,
        headers: &[(&str, &str)],
        status: u16,
    ) -> Answer {
        let whole = template(path);
        let (bare, query) = whole.split_once('?').unwrap_or((&whole, ""));
        let operation = Operation::find(method, bare);
        operation.knows_query(query);
        let url = format!("{}{}", self.origin, self.filled(path));
        let mut request = self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("x-api-key", KEY);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = match &payload {
            Payload::Nothing => request,
            Payload::Json(body) => request.json(body),
            Payload::Bytes(kind, bytes) => {
                request.header("content-type", *kind).body(bytes.clone())
            }
        };
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let came = answer.status().as_u16();
        let kind = answer.headers().get("content-type");
        let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let bytes = answer.bytes().await.unwrap().to_vec();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]);
        assert_eq!(came, status, "{}: {shown}", operation.name());
        let body = operation.answers(came, &kind, &bytes);
        if came < 300 {
            if let Payload::Json(body) = &payload {
                operation.accepts(body);
            }
            self.walked.insert(operation.name().to_owned());
        }
        Answer { body, bytes, kind }
    }

    /// Sends JSON.
    pub async fn call(&mut self, method: &str, path: &str, body: Value, status: u16) -> Value {
        self.ask((method, path), Payload::Json(body), &[], status).await.body
    }

    /// Sends nothing but the request.
    pub async fn bare(&mut self, method: &str, path: &str, status: u16) -> Value {
        self.ask((method, path), Payload::Nothing, &[], status).await.body
    }

    pub async fn get(&mut self, path: &str) -> Value {
        self.bare("GET", path, 200).await
    }

    /// A file, or anything else that is no JSON.
    pub async fn bytes(&mut self, path: &str) -> Answer {
        self.ask(("GET", path), Payload::Nothing, &[], 200).await
    }

    /// Looks again until it fits; the answer that does is checked.
    pub async fn until(&mut self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let filled = self.filled(path);
        self.api.until(filled.strip_prefix("/api").unwrap(), fits).await;
        self.get(path).await
    }

    /// Every one of these was answered with a success.
    pub fn has_walked(&self, routes: &[&str]) {
        let missing: Vec<&&str> =
            routes.iter().filter(|route| !self.walked.contains(&named(route))).collect();
        assert!(missing.is_empty(), "not walked with a success: {missing:#?}");
    }
}

/// A declared route as the document names it.
pub fn named(route: &str) -> String {
    let (method, path) = route.split_once(' ').unwrap();
    format!("{method} {}", template(path))
}
