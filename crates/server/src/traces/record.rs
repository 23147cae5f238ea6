//! What is kept of a span.

use std::fmt;

use domain::{
    EventId,
    trace::{SpanId, TraceContext},
};
use tracing::field::{Field, Visit};

/// What a span may say, and how collectors are told it. All else stays here: this list is why no text of a message and
/// no number of a person leaves, whatever a span has.
const ATTRIBUTES: [(&str, &str); 13] = [
    ("attempt", "waypost.attempt"),
    ("delivery.id", "waypost.delivery.id"),
    ("event.id", "waypost.event.id"),
    ("event.kind", EVENT_TYPE),
    ("failure", "error.type"),
    ("hook", "waypost.hook"),
    ("messages", "waypost.messages"),
    ("method", METHOD),
    ("route", ROUTE),
    ("session.id", "waypost.session.id"),
    ("status", "http.response.status_code"),
    ("webhook.id", "waypost.webhook.id"),
    ("work", "waypost.work"),
];
const EVENT_TYPE: &str = "waypost.event.type";
const METHOD: &str = "http.request.method";
const ROUTE: &str = "http.route";
/// Methods that are named. A client may make up others.
const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
const OTHER_METHOD: &str = "_OTHER";
/// From here on a request failed because of us.
const STATUS_OURS: u64 = 500;
/// Longest `tracestate` that is handed on.
const STATE_BYTES_MAX: usize = 512;
/// Links of one span. A commit of more events names the first.
const LINKS_MAX: usize = 128;

/// The request of a client.
pub const HTTP: &str = "http";
/// The beginning of an event's trace.
pub const EVENT: &str = "event";

/// One thing that a span says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Words of ours, and ids.
    Text(String),
    /// Whole numbers, as collectors have them.
    Number(i64),
}

/// A span on its way to the collector.
#[derive(Debug)]
pub struct SpanRecord {
    pub name: &'static str,
    pub context: TraceContext,
    pub parent: Option<SpanId>,
    /// What the caller's tracers told each other; handed on as it is.
    pub state: String,
    /// When it began, in epoch nanoseconds.
    pub began: u64,
    /// When it was left last, which may be long before the last that came of it is over.
    pub left: Option<u64>,
    pub attributes: Vec<(&'static str, AttributeValue)>,
    pub links: Vec<TraceContext>,
    pub failed: bool,
}

impl SpanRecord {
    /// What it is called for people.
    pub fn title(&self) -> String {
        let text = |name| match self.attributes.iter().find(|(known, _)| *known == name) {
            Some((_, AttributeValue::Text(text))) => text.as_str(),
            _ => "",
        };
        match self.name {
            HTTP => format!("{} {}", text(METHOD), text(ROUTE)).trim_end().to_owned(),
            EVENT => text(EVENT_TYPE).to_owned(),
            name => name.to_owned(),
        }
    }

    /// Adds what was said, also what was said later.
    pub fn add(&mut self, said: SaidFields) {
        let fails = |(name, value): &(&str, AttributeValue)| match value {
            AttributeValue::Text(_) => *name == "error.type",
            AttributeValue::Number(status) => {
                self.name == HTTP
                    && *name == "http.response.status_code"
                    && u64::try_from(*status).is_ok_and(|status| status >= STATUS_OURS)
            }
        };
        self.failed |= said.attributes.iter().any(fails);
        self.attributes.extend(said.attributes);
    }

    /// The two belong together, in different traces.
    pub fn link(&mut self, other: TraceContext) {
        if self.links.len() < LINKS_MAX {
            self.links.push(other);
        }
    }
}

/// Fields of a span that say something outside.
#[derive(Debug, Default)]
pub struct SaidFields {
    /// The span of the caller, in another process.
    pub parent: Option<TraceContext>,
    /// What came with it.
    pub state: String,
    /// The event in whose trace the span is.
    pub event: Option<EventId>,
    pub attributes: Vec<(&'static str, AttributeValue)>,
}

impl SaidFields {
    fn put(&mut self, field: &Field, value: AttributeValue) {
        let known = ATTRIBUTES.iter().find(|(name, _)| *name == field.name());
        if let Some((_, name)) = known {
            self.attributes.push((name, value));
        }
    }

    fn text(&mut self, field: &Field, text: &str) {
        let shown = match field.name() {
            "traceparent" => {
                self.parent = TraceContext::parse(text);
                return;
            }
            "tracestate" => {
                let plain = |byte: u8| matches!(byte, b' '..=b'~');
                if text.len() <= STATE_BYTES_MAX && text.bytes().all(plain) {
                    text.clone_into(&mut self.state);
                }
                return;
            }
            "event.id" => {
                self.event = text.parse().ok();
                text
            }
            "method" if !METHODS.contains(&text) => OTHER_METHOD,
            // No route took it.
            "route" if text.is_empty() => return,
            _ => text,
        };
        self.put(field, AttributeValue::Text(shown.to_owned()));
    }
}

impl Visit for SaidFields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, AttributeValue::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, AttributeValue::Number(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}
