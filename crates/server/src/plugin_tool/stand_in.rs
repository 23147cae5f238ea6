//! What a plugin on trial is answered: nothing is sent, stored or called; what it asked for is written down.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use domain::{
    plugin::{HookRegistration, Manifest},
    port::{NewHandler, PluginBackstage, PluginLogLine},
};
use serde_json::{Map, Value, json};
use url::Url;

use super::samples;

/// Requests and lines that are kept between two calls; what comes beyond is only counted.
const KEPT_MAX: usize = 1000;

/// One thing that the plugin asked for, and what it got.
#[derive(Debug, Clone)]
pub struct TrialRequest {
    pub capability: String,
    pub arguments: Vec<Value>,
    pub answer: Result<Value, String>,
}

impl TrialRequest {
    /// As it is printed for programs.
    pub fn value(&self) -> Value {
        let answer = match &self.answer {
            Ok(value) => json!({ "answer": value }),
            Err(why) => json!({ "refused": why }),
        };
        let mut shown = json!({ "capability": self.capability, "arguments": self.arguments });
        if let (Some(shown), Some(answer)) = (shown.as_object_mut(), answer.as_object()) {
            shown.extend(answer.clone());
        }
        shown
    }
}

/// The gateway's stand-in.
pub struct StandIn {
    manifest: Manifest,
    config: Map<String, Value>,
    fetch: Option<Value>,
    seen: Mutex<TrialNotes>,
}

/// What a plugin did.
#[derive(Default)]
struct TrialNotes {
    handlers: Vec<HookRegistration>,
    routes: Vec<String>,
    requests: Vec<TrialRequest>,
    lines: Vec<PluginLogLine>,
    asked: u64,
    storage: BTreeMap<String, Value>,
    mappings: BTreeMap<String, Value>,
}

impl StandIn {
    /// For one plugin with a configuration; `fetch` is what `net.fetch` answers.
    pub fn new(manifest: Manifest, config: Map<String, Value>, fetch: Option<Value>) -> Self {
        Self { manifest, config, fetch, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, TrialNotes> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handlers, each at the place of its number.
    pub fn handlers(&self) -> Vec<HookRegistration> {
        self.seen().handlers.clone()
    }

    /// The routes for providers.
    pub fn routes(&self) -> Vec<String> {
        self.seen().routes.clone()
    }

    /// How often it asked for anything so far.
    pub fn asked(&self) -> u64 {
        self.seen().asked
    }

    /// What it asked for and logged since the last time.
    pub fn take(&self) -> (Vec<TrialRequest>, Vec<PluginLogLine>) {
        let mut seen = self.seen();
        (std::mem::take(&mut seen.requests), std::mem::take(&mut seen.lines))
    }

    fn answer(&self, capability: &str, arguments: &[Value]) -> Result<Value, String> {
        self.manifest.allows(capability)?;
        let argument = |at: usize| arguments.get(at).unwrap_or(&Value::Null);
        match capability {
            "storage.get" | "storage.set" | "storage.delete" | "storage.list" => {
                Ok(self.stored(capability, argument))
            }
            "net.fetch" => self.fetched(argument(0)),
            "messages.sendText" | "messages.reply" | "conversations.send" => {
                let number = self.asked();
                Ok(
                    json!({ "messageId": format!("3EB0TRIAL{number:010}"), "timestamp": 1_790_841_600 }),
                )
            }
            "engine.canonicalChatId" => Ok(argument(1).clone()),
            "engine.checkNumberExists" => Ok(json!(true)),
            "engine.getContacts" | "engine.getChats" | "engine.getChatHistory" => Ok(json!([])),
            "engine.getContactById" => Ok(Value::Null),
            "engine.getGroupInfo" => Ok(samples::group(argument(1))),
            "handover.set" => Ok(json!({ "handoverState": argument(1) })),
            "mappings.upsert" | "mappings.get" | "mappings.getByProvider" => {
                Ok(self.mapping(capability, argument))
            }
            _ => Err(format!("there is no {capability}")),
        }
    }

    fn stored<'a>(&self, verb: &str, argument: impl Fn(usize) -> &'a Value) -> Value {
        let session = argument(0).as_str().unwrap_or_default();
        let key = format!("{session}/{}", argument(1).as_str().unwrap_or_default());
        let storage = &mut self.seen().storage;
        match verb {
            "storage.get" => storage.get(&key).cloned().unwrap_or(Value::Null),
            "storage.list" => {
                let of =
                    |name: &String| name.strip_prefix(&format!("{session}/")).map(str::to_owned);
                storage.keys().filter(|name| name.starts_with(&key)).filter_map(of).collect()
            }
            "storage.set" => {
                storage.insert(key, argument(2).clone());
                Value::Null
            }
            _ => {
                storage.remove(&key);
                Value::Null
            }
        }
    }

    fn mapping<'a>(&self, verb: &str, argument: impl Fn(usize) -> &'a Value) -> Value {
        let mappings = &mut self.seen().mappings;
        match verb {
            "mappings.upsert" => {
                let found =
                    json!({ "providerConversationId": argument(1), "handoverState": "bot" });
                mappings.insert(argument(0).to_string(), found);
                json!({ "providerConversationId": argument(1) })
            }
            "mappings.get" => {
                mappings.get(&argument(0).to_string()).cloned().unwrap_or(Value::Null)
            }
            _ => {
                let of = |(key, found): (&String, &Value)| {
                    let key: Value = serde_json::from_str(key).ok()?;
                    let is_it = key["instanceId"] == *argument(0)
                        && found["providerConversationId"] == *argument(1);
                    is_it.then(|| {
                        json!({ "sessionId": key["sessionId"], "chatId": key["chatId"], "handoverState": "bot" })
                    })
                };
                mappings.iter().find_map(of).unwrap_or(Value::Null)
            }
        }
    }

    fn fetched(&self, url: &Value) -> Result<Value, String> {
        let url = Url::parse(url.as_str().unwrap_or_default());
        let url = url.map_err(|error| format!("net.fetch: {error}"))?;
        if !self.manifest.net.allows(&url, &self.config) {
            return Err(format!(
                "net.fetch: {} is not in the manifest's net.allow, nor the https host of a configured field that \
                 net.allowConfigHosts names",
                url.host_str().unwrap_or_default()
            ));
        }
        let Some(fetch) = self.fetch.as_ref().and_then(|fetch| fitting(fetch, &url)) else {
            return Err(format!(
                "net.fetch: nothing is called from here; --fetch says what {url} answers"
            ));
        };
        let status = fetch["status"].as_u64().unwrap_or(200);
        let body = match &fetch["body"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Ok(json!({
            "ok": (200..300).contains(&status), "status": status, "statusText": "", "body": body,
            "headers": fetch.get("headers").cloned().unwrap_or_else(|| json!({})),
        }))
    }
}

/// The answer for a URL: the only one, or the first of a list whose `url` is a part of it.
fn fitting<'a>(fetch: &'a Value, url: &Url) -> Option<&'a Value> {
    let fits = |one: &&Value| one["url"].as_str().is_none_or(|part| url.as_str().contains(part));
    match fetch.as_array() {
        Some(list) => list.iter().find(fits),
        None => Some(fetch).filter(fits),
    }
}

#[async_trait]
impl PluginBackstage for StandIn {
    async fn ask(
        &self,
        _call: u32,
        capability: String,
        arguments: Vec<Value>,
    ) -> Result<Value, String> {
        self.seen().asked += 1;
        let answer = self.answer(&capability, &arguments);
        let requests = &mut self.seen().requests;
        if requests.len() < KEPT_MAX {
            requests.push(TrialRequest { capability, arguments, answer: answer.clone() });
        }
        answer
    }

    fn register(&self, handler: NewHandler) -> Result<(), String> {
        let on_failure =
            handler.on_failure.unwrap_or_else(|| self.manifest.on_failure(handler.point));
        let (point, priority) = (handler.point, handler.priority);
        self.seen().handlers.push(HookRegistration { point, priority, on_failure });
        Ok(())
    }

    fn register_route(&self, route: String) -> Result<(), String> {
        if !self.manifest.ingress.iter().any(|known| known.route == route) {
            return Err(format!("registerWebhook: the manifest has no ingress route {route}"));
        }
        self.seen().routes.push(route);
        Ok(())
    }

    fn log(&self, line: PluginLogLine) {
        let lines = &mut self.seen().lines;
        if lines.len() < KEPT_MAX {
            lines.push(line);
        }
    }
}
