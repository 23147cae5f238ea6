//! What is said over a socket: everything is the Socket.IO event `message`, with one object.

use domain::{
    SessionId,
    api_key::{ApiKey, Role},
    event::{EventData, EventType, Subscription},
    log::LoggedEvent,
};
use serde::Serialize;
use serde_json::Value;

use super::rooms::RoomSession;
use crate::events::MissedBody;

/// Longest id that a client may give a frame; a longer one is not repeated.
const REQUEST_ID_CHARS_MAX: usize = 128;
/// Longest session of a frame, as OpenWA has it.
const SESSION_CHARS_MAX: usize = 128;

/// What a client wants.
#[derive(Debug, PartialEq)]
pub struct ClientFrame {
    /// What is asked.
    pub ask: ClientAsk,
    /// Comes back with the answer.
    pub request_id: Option<String>,
}

/// The three things that a client may ask.
#[derive(Debug, PartialEq)]
pub enum ClientAsk {
    /// Enter rooms of a session.
    Subscribe { session: RoomSession, names: Vec<Subscription> },
    /// Leave the rooms of a session.
    Unsubscribe { session: RoomSession },
    /// A sign of life.
    Ping,
}

/// OpenWA's words for what is wrong, and three of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    Unauthorized,
    InvalidMessage,
    InvalidSession,
    InvalidEvents,
    ForbiddenSession,
    TooManySubscriptions,
    RateLimited,
    /// Ours: the cursor of the handshake is none.
    InvalidCursor,
    /// Ours: the socket did not read what it was sent.
    SlowReader,
    /// Ours: the ledger cannot be asked.
    Unavailable,
}

/// Why a frame, or a socket, was refused.
#[derive(Debug, PartialEq)]
pub struct SocketRefusal {
    /// The code, made for programs.
    pub code: ErrorCode,
    /// The same, said to people.
    pub message: String,
    /// Of the frame that was refused.
    pub request_id: Option<String>,
}

impl SocketRefusal {
    /// Of no frame.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), request_id: None }
    }
}

impl ClientFrame {
    /// Reads a frame of a caller with this key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: &Value, key: &ApiKey) -> Result<Self, SocketRefusal> {
        let request_id = value["requestId"].as_str();
        let request_id = request_id.filter(|id| id.chars().count() <= REQUEST_ID_CHARS_MAX);
        let request_id = request_id.map(str::to_owned);
        match ClientAsk::read(value, key) {
            Ok(ask) => Ok(Self { ask, request_id }),
            Err(refusal) => Err(SocketRefusal { request_id, ..refusal }),
        }
    }
}

impl ClientAsk {
    fn read(value: &Value, key: &ApiKey) -> Result<Self, SocketRefusal> {
        match value["type"].as_str() {
            Some("subscribe") => {
                let session = read_session(&value["sessionId"])?;
                let allowed = match session {
                    Some(session) => key.sees_session(session),
                    None => key.allowed_sessions.is_empty(),
                };
                if !allowed {
                    let message = "API key not authorized for this session";
                    return Err(SocketRefusal::new(ErrorCode::ForbiddenSession, message));
                }
                Ok(Self::Subscribe { session, names: read_names(&value["events"], key)? })
            }
            Some("unsubscribe") => {
                Ok(Self::Unsubscribe { session: read_session(&value["sessionId"])? })
            }
            Some("ping") => Ok(Self::Ping),
            _ => {
                let message = "type must be one of: subscribe, unsubscribe, ping";
                Err(SocketRefusal::new(ErrorCode::InvalidMessage, message))
            }
        }
    }
}

fn read_session(value: &Value) -> Result<RoomSession, SocketRefusal> {
    let text = value.as_str().filter(|text| text.len() <= SESSION_CHARS_MAX);
    match text {
        Some("*") => return Ok(None),
        Some(text) => {
            if let Ok(session) = text.parse::<SessionId>() {
                return Ok(Some(session));
            }
        }
        None => {}
    }
    Err(SocketRefusal::new(
        ErrorCode::InvalidSession,
        "sessionId must be the id of a session, or *",
    ))
}

/// The names that mean something to this key. OpenWA drops the others, and so do we.
fn read_names(value: &Value, key: &ApiKey) -> Result<Vec<Subscription>, SocketRefusal> {
    let refusal = |message| SocketRefusal::new(ErrorCode::InvalidEvents, message);
    let Some(list) = value.as_array() else {
        return Err(refusal("events must be a list of names of events, or [\"*\"]"));
    };
    let known = list.iter().filter_map(Value::as_str).map(str::to_owned);
    let mut names: Vec<Subscription> =
        known.filter_map(|name| Subscription::try_from(name).ok()).collect();
    // Who scans it takes the session over.
    let qr = Subscription::One(EventType::SessionQr);
    names.retain(|name| *name != qr || key.role >= Role::Operator);
    if names.is_empty() {
        return Err(refusal("events names no event that this key may see"));
    }
    Ok(names)
}

/// What a client hears.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerFrame<'a> {
    #[serde(rename_all = "camelCase")]
    Subscribed {
        session_id: String,
        events: Vec<String>,
        /// Behind which place of the log its events begin.
        cursor: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        timestamp: String,
    },
    #[serde(rename_all = "camelCase")]
    Unsubscribed {
        session_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        timestamp: String,
    },
    #[serde(rename_all = "camelCase")]
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        timestamp: String,
    },
    #[serde(rename_all = "camelCase")]
    Error {
        code: ErrorCode,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        timestamp: String,
    },
    Event {
        timestamp: String,
        payload: EventPayload<'a>,
        /// Where a handshake goes on that comes after this event.
        cursor: String,
    },
    /// Events behind the cursor of the handshake are gone.
    Pruned {
        timestamp: String,
        #[serde(flatten)]
        missed: MissedBody,
    },
}

/// An event on the wire: OpenWA's three fields, then what a delivery says besides.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventPayload<'a> {
    event: &'static str,
    session_id: String,
    data: &'a EventData,
    id: String,
    sequence: u64,
    idempotency_key: &'a str,
}

impl<'a> From<&'a LoggedEvent> for ServerFrame<'a> {
    fn from(logged: &'a LoggedEvent) -> Self {
        let draft = &logged.event.draft;
        Self::Event {
            timestamp: draft.occurred_at.iso(),
            payload: EventPayload {
                event: draft.kind.as_str(),
                session_id: draft.session.to_string(),
                data: &draft.data,
                id: draft.id.to_string(),
                sequence: logged.event.sequence,
                idempotency_key: &draft.idempotency_key,
            },
            cursor: logged.position.to_string(),
        }
    }
}

/// The session of a room, as frames say it.
pub fn session_word(session: RoomSession) -> String {
    session.map_or_else(|| "*".to_owned(), |session| session.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn session() -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(7))
    }

    fn key(role: Role, allowed_sessions: Vec<SessionId>) -> ApiKey {
        ApiKey { allowed_sessions, ..testkit::build::api_key(1, role) }
    }

    fn code(value: &Value, key: &ApiKey) -> Option<ErrorCode> {
        ClientFrame::read(value, key).err().map(|refusal| refusal.code)
    }

    #[test]
    fn frames_are_openwas() {
        let key = key(Role::Viewer, vec![]);
        let names = ["message.received", "message.recieved", "session.qr", "message.receipt"];
        let frame = json!({ "type": "subscribe", "sessionId": session().to_string(),
            "events": names, "requestId": "7", "more": 1 });
        let read = ClientFrame::read(&frame, &key).unwrap();
        let one = Subscription::One;
        let names = vec![one(EventType::MessageReceived), one(EventType::MessageReceipt)];
        assert_eq!(read.ask, ClientAsk::Subscribe { session: Some(session()), names });
        assert_eq!(read.request_id.as_deref(), Some("7"));
        let ping = ClientFrame::read(&json!({ "type": "ping" }), &key).unwrap();
        assert_eq!(ping, ClientFrame { ask: ClientAsk::Ping, request_id: None });
    }

    #[test]
    fn wrong_frames_have_openwas_codes() {
        let (any, mine) = (key(Role::Admin, vec![]), key(Role::Admin, vec![session()]));
        let subscribe = |session: Value, events: Value| json!({ "type": "subscribe", "sessionId": session, "events": events });
        let cases = [
            (json!(null), ErrorCode::InvalidMessage),
            (json!("subscribe"), ErrorCode::InvalidMessage),
            (json!({ "type": "join" }), ErrorCode::InvalidMessage),
            (json!({ "type": "unsubscribe" }), ErrorCode::InvalidSession),
            (subscribe(json!("bakery"), json!(["*"])), ErrorCode::InvalidSession),
            (subscribe(json!("*"), json!("*")), ErrorCode::InvalidEvents),
            (subscribe(json!("*"), json!([])), ErrorCode::InvalidEvents),
            (subscribe(json!("*"), json!(["message.recieved", 1])), ErrorCode::InvalidEvents),
        ];
        for (frame, expected) in cases {
            assert_eq!(code(&frame, &any), Some(expected), "{frame}");
        }
        let other = SessionId::from_uuid(Uuid::from_u128(8)).to_string();
        for of in ["*", other.as_str()] {
            let frame = subscribe(json!(of), json!(["*"]));
            assert_eq!(code(&frame, &mine), Some(ErrorCode::ForbiddenSession));
        }
        assert_eq!(code(&subscribe(json!(session().to_string()), json!(["*"])), &mine), None);
        let qr = subscribe(json!("*"), json!(["session.qr"]));
        assert_eq!(code(&qr, &key(Role::Viewer, vec![])), Some(ErrorCode::InvalidEvents));
        assert_eq!(code(&qr, &key(Role::Operator, vec![])), None);
    }

    proptest! {
        #[test]
        fn any_json_is_read_or_refused(text in ".{0,64}", number in any::<i64>()) {
            let key = key(Role::Viewer, vec![]);
            for kind in ["subscribe", "unsubscribe", "ping", text.as_str()] {
                let frame = json!({ "type": kind, "sessionId": text, "events": [text, number],
                    "requestId": text });
                if let Err(refusal) = ClientFrame::read(&frame, &key) {
                    prop_assert!(refusal.request_id.is_none_or(|id| id == text));
                }
            }
        }
    }
}
