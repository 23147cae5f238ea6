//! What plugins may ask for. The arguments are a stranger's.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    ChatId, PhoneNumber, SessionId, Timer, event,
    message::Message,
    plugin::{Handover, KEY_BYTES_MAX, MappingKey, Plugin, VALUE_BYTES_MAX},
    port::{MessageQuery, Page, ValueStored},
};
use serde_json::{Value, json};
use url::Url;

use super::{SharedPlugins, runner::Runner, sends};
use crate::{egress::HttpCall, hooks::HookContext};

/// The longest that a request may take, and a send.
const LIMIT: Duration = Duration::from_secs(30);
const SEND_LIMIT: Duration = Duration::from_secs(120);
/// OpenWA's limits of `net.fetch`.
const FETCH_LIMIT_DEFAULT: u64 = 15_000;
const FETCH_LIMIT_MAX: u64 = 30_000;
const FETCH_BYTES_MAX: usize = 10 << 20;
/// Keys of a plugin's storage that are listed at once.
const KEYS_MAX: u32 = 10_000;
/// People and chats that are listed at once, and messages of a history.
const LIST_MAX: u32 = 1_000;
const HISTORY_MAX: u64 = 100;

type Answer = Result<Value, String>;

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// One request of a plugin.
pub(super) struct Request<'a> {
    pub(super) shared: &'a Arc<SharedPlugins>,
    pub(super) runner: &'a Runner,
    pub(super) plugin: Arc<Plugin>,
    pub(super) call: u32,
    arguments: &'a [Value],
}

impl Request<'_> {
    fn value(&self, at: usize) -> &Value {
        self.arguments.get(at).unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, at: usize) -> Result<&str, String> {
        let text = self.value(at).as_str().filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("argument {} must be a non-empty string", at + 1))
    }

    pub(super) fn object(&self, at: usize) -> &Value {
        self.value(at)
    }

    pub(super) fn session(&self, at: usize) -> Result<SessionId, String> {
        self.session_of(self.text(at)?)
    }

    /// A session that the plugin runs for.
    pub(super) fn session_of(&self, text: &str) -> Result<SessionId, String> {
        let session = text.parse().map_err(|_| format!("there is no session {text}"))?;
        match self.runner.may_see(session) {
            true => Ok(session),
            false => Err(format!("the plugin is not activated for session {text}")),
        }
    }

    pub(super) fn chat(&self, at: usize) -> Result<ChatId, String> {
        chat(self.text(at)?)
    }
}

pub(super) fn chat(text: &str) -> Result<ChatId, String> {
    text.parse().map_err(|_| format!("{text:?} is no chat id"))
}

/// Answers a request within its limit.
pub(super) async fn answer(
    shared: &Arc<SharedPlugins>,
    runner: &Runner,
    call: u32,
    (name, arguments): (&str, &[Value]),
) -> Answer {
    let request = Request { shared, runner, plugin: runner.plugin(), call, arguments };
    let is_send = name.starts_with("messages.") || name == "conversations.send";
    let limit = if is_send { SEND_LIMIT } else { LIMIT };
    let clock = &shared.ports.clock;
    tokio::select! {
        answer = Box::pin(dispatch(&request, name)) => answer,
        () = clock.sleep_until(Timer::PluginRequest, clock.now().plus(limit)) => {
            Err(format!("{name} took longer than {} s", limit.as_secs()))
        }
    }
}

async fn dispatch(request: &Request<'_>, name: &str) -> Answer {
    let (part, verb) = name.split_once('.').unwrap_or((name, ""));
    request.plugin.manifest.allows(name)?;
    match (part, verb) {
        ("storage", _) => storage(request, verb).await,
        ("messages", "sendText") => sends::text(request).await,
        ("messages", "reply") => sends::reply(request).await,
        ("conversations", "send") => sends::envelope(request).await,
        ("engine", _) => engine(request, verb).await,
        ("net", "fetch") => fetch(request).await,
        ("handover", "set") => handover(request).await,
        ("mappings", _) => mapping(request, verb).await,
        _ => Err(format!("there is no {name}")),
    }
}

async fn storage(request: &Request<'_>, verb: &str) -> Answer {
    let (store, plugin) = (&request.shared.ports.store, &request.plugin.id);
    let session = match request.value(0) {
        Value::Null => None,
        _ => Some(request.session(0)?),
    };
    if verb == "list" {
        let prefix = request.value(1).as_str().unwrap_or_default();
        return store
            .plugin_keys(plugin, session, prefix, KEYS_MAX)
            .await
            .map(|keys| json!(keys))
            .map_err(failed);
    }
    let key = request.text(1)?;
    if key.len() > KEY_BYTES_MAX || key.contains('\0') {
        return Err(format!("a key has at most {KEY_BYTES_MAX} bytes, and no NUL"));
    }
    match verb {
        "get" => {
            let found = store.plugin_value(plugin, session, key).await.map_err(failed)?;
            Ok(found.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null))
        }
        "set" => {
            let text = request.value(2).to_string();
            if text.len() > VALUE_BYTES_MAX {
                return Err(format!("a value has at most {VALUE_BYTES_MAX} bytes"));
            }
            match store.set_plugin_value(plugin, session, key, &text).await.map_err(failed)? {
                ValueStored::Stored => Ok(Value::Null),
                ValueStored::OverQuota => Err("storage quota exceeded".into()),
            }
        }
        "delete" => store
            .delete_plugin_value(plugin, session, key)
            .await
            .map(|()| Value::Null)
            .map_err(failed),
        _ => Err(format!("there is no storage.{verb}")),
    }
}

async fn engine(request: &Request<'_>, verb: &str) -> Answer {
    let session = request.session(0)?;
    let people = &request.shared.people;
    let page = Page { limit: LIST_MAX, offset: 0 };
    match verb {
        "getContacts" => {
            let found = people.contacts(session, page, None).await.map_err(failed)?;
            Ok(found.iter().map(contact).collect())
        }
        "getContactById" => {
            let found = people.contact(session, &request.chat(1)?).await.map_err(failed)?;
            Ok(found.as_ref().map_or(Value::Null, contact))
        }
        "getChats" => {
            let found = people.chats(session, page, None).await.map_err(failed)?;
            Ok(found.iter().map(summary).collect())
        }
        "checkNumberExists" => {
            let number =
                PhoneNumber::parse(request.text(1)?).ok_or("argument 2 must be a phone number")?;
            let found = people.check(session, &number).await.map_err(failed)?;
            Ok(json!(found.registered.is_some()))
        }
        "canonicalChatId" => {
            let chat = request.chat(1)?;
            Ok(json!(people.canonical(session, &chat).await.map_err(failed)?))
        }
        "getChatHistory" => history(request, session).await,
        "getGroupInfo" => {
            Err("getGroupInfo: this version of Waypost does not read groups yet".into())
        }
        _ => Err(format!("there is no engine.{verb}")),
    }
}

async fn history(request: &Request<'_>, session: SessionId) -> Answer {
    let chat = request.shared.people.canonical(session, &request.chat(1)?).await.map_err(failed)?;
    let limit =
        u32::try_from(request.value(2).as_u64().unwrap_or(50).clamp(1, HISTORY_MAX)).unwrap_or(50);
    let query = MessageQuery { chat: Some(chat), ..MessageQuery::default() };
    let found = request.shared.messages.list(session, &query, Page { limit, offset: 0 }).await;
    let mut messages = found.map_err(failed)?.map(|page| page.messages).unwrap_or_default();
    if request.value(3) == &json!(true) {
        request.shared.media.inline(&mut messages).await.map_err(failed)?;
    }
    messages.reverse();
    Ok(messages.iter().map(shown).collect())
}

/// A stored message as an event shows it.
fn shown(message: &Message) -> Value {
    let at = message.timestamp.map_or(message.created_at, domain::Timestamp::from_seconds);
    let nobody = domain::EventId::from_uuid(uuid::Uuid::nil());
    event::message_sent(nobody, message, at).data.value()
}

fn contact(contact: &domain::chat::Contact) -> Value {
    let number = contact.phone.as_ref().map_or_else(|| contact.id.user(), |phone| phone.digits());
    json!({
        "id": contact.id, "number": number, "name": contact.name, "pushName": contact.push_name,
        "isMyContact": contact.name.is_some(), "isBlocked": contact.blocked,
    })
}

fn summary(chat: &domain::chat::Chat) -> Value {
    json!({
        "id": chat.id,
        "name": chat.name.as_deref().unwrap_or_else(|| chat.id.user()),
        "isGroup": chat.id.is_group(),
        "kind": chat.id.kind(),
        "unreadCount": chat.unread_count,
        "timestamp": chat.timestamp,
    })
}

async fn fetch(request: &Request<'_>) -> Answer {
    let url = Url::parse(request.text(0)?).map_err(|error| format!("net.fetch: {error}"))?;
    let init = request.object(1);
    let plugin = &request.plugin;
    // Any session's configuration may name the host: which one the plugin works for is not known for sure.
    let allows = |config: &serde_json::Map<String, Value>| plugin.manifest.net.allows(&url, config);
    let sessions = plugin.session_configs.keys().map(|session| plugin.config_for(Some(*session)));
    if !allows(&plugin.config) && !{ sessions }.any(|config| allows(&config)) {
        let host = url.host_str().unwrap_or_default();
        return Err(format!(
            "net.fetch: {host} is not in the manifest's net.allow, nor the https host of a configured field that \
             net.allowConfigHosts names"
        ));
    }
    let headers: BTreeMap<String, String> = match init.get("headers") {
        Some(Value::Object(headers)) => headers
            .iter()
            .map(|(name, value)| {
                (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect(),
        _ => BTreeMap::new(),
    };
    let body = match init.get("body") {
        None | Some(Value::Null) => vec![],
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(bytes) if bytes["$bytes"].is_string() => {
            STANDARD.decode(bytes["$bytes"].as_str().unwrap_or_default()).map_err(failed)?
        }
        Some(_) => return Err("net.fetch: the body must be a string or bytes".into()),
    };
    let limit = init["timeoutMs"].as_u64().unwrap_or(FETCH_LIMIT_DEFAULT).clamp(1, FETCH_LIMIT_MAX);
    let call = HttpCall {
        method: init["method"].as_str().unwrap_or("GET").to_owned(),
        url,
        headers,
        body,
        limit: Duration::from_millis(limit),
        answer_bytes_max: FETCH_BYTES_MAX,
    };
    let answer =
        request.shared.egress.call(call).await.map_err(|error| format!("net.fetch: {error}"))?;
    Ok(json!({
        "ok": (200..300).contains(&answer.status),
        "status": answer.status,
        "statusText": answer.reason,
        "headers": answer.headers,
        "body": answer.body,
    }))
}

fn mapping_key(request: &Request<'_>) -> Result<MappingKey, String> {
    let key = request.object(0);
    let text = |name: &str| {
        let text = key[name].as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
        text.map(str::to_owned).ok_or_else(|| format!("{name} must be a non-empty string"))
    };
    Ok(MappingKey {
        plugin: request.plugin.id.clone(),
        instance: text("instanceId")?,
        session: request.session_of(&text("sessionId")?)?,
        chat: text("chatId")?,
    })
}

async fn handover(request: &Request<'_>) -> Answer {
    let key = mapping_key(request)?;
    let word = request.text(1)?;
    let state = Handover::parse(word).ok_or("the state must be bot, human or closed")?;
    let now = request.shared.ports.clock.now();
    let set = request.shared.ports.store.set_handover(&key, state, now).await.map_err(failed)?;
    match set {
        true => Ok(json!({ "handoverState": state.as_str() })),
        false => Err("the chat has no mapping: call mappings.upsert first".into()),
    }
}

async fn mapping(request: &Request<'_>, verb: &str) -> Answer {
    let store = &request.shared.ports.store;
    match verb {
        "upsert" => {
            let (key, now) = (mapping_key(request)?, request.shared.ports.clock.now());
            store.set_mapping(&key, request.text(1)?, now).await.map_err(failed)?;
            Ok(json!({ "providerConversationId": request.text(1)? }))
        }
        "get" => {
            let found = store.mapping(&mapping_key(request)?).await.map_err(failed)?;
            Ok(found.map_or(Value::Null, |found| {
                json!({ "providerConversationId": found.conversation, "handoverState": found.handover.as_str() })
            }))
        }
        "getByProvider" => {
            let (plugin, instance) = (&request.plugin.id, request.text(0)?);
            let found = store
                .mapping_of_conversation(plugin, instance, request.text(1)?)
                .await
                .map_err(failed)?;
            let found = found.filter(|found| request.runner.may_see(found.key.session));
            Ok(found.map_or(Value::Null, |found| {
                json!({
                    "sessionId": found.key.session, "chatId": found.key.chat,
                    "handoverState": found.handover.as_str(),
                })
            }))
        }
        _ => Err(format!("there is no mappings.{verb}")),
    }
}

impl SharedPlugins {
    /// What a handler sees.
    pub(super) async fn shown(&self, context: HookContext) -> Value {
        use domain::hook::HookPoint;
        let HookContext { point, session, at, mut data } = context;
        if point == HookPoint::MessageReceived {
            super::sends::with_file(self, session, &mut data).await;
        }
        json!({
            "event": point.as_str(), "data": data, "sessionId": session, "timestamp": at.millis(), "source": point.source(),
        })
    }
}
