//! Spans as collectors read them: the messages of OTLP 1 that are needed, with the numbers of their fields.
//!
//! What is not set here is left out: empty fields take no bytes.

use domain::trace::TraceContext;
use prost::{Message, Oneof};

use super::record::{AttributeValue, SpanRecord};

/// Who measured the spans, as collectors call it.
const SCOPE: &str = "waypost";
/// The flag of a trace that is kept, for a span and for a link.
const SAMPLED: u32 = 1;
/// The status of a span that did not go well.
const STATUS_ERROR: i32 = 2;

/// `ExportTraceServiceRequest`: one call.
#[derive(Clone, PartialEq, Message)]
struct OtlpRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<OtlpResourceSpans>,
}

/// `ResourceSpans`: the spans of one process.
#[derive(Clone, PartialEq, Message)]
struct OtlpResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<OtlpResource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<OtlpScopeSpans>,
}

/// `Resource`: what is said of the process.
#[derive(Clone, PartialEq, Message)]
pub struct OtlpResource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<OtlpAttribute>,
}

/// `ScopeSpans`: the spans that one library measured.
#[derive(Clone, PartialEq, Message)]
struct OtlpScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<OtlpScope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtlpSpan>,
}

/// `InstrumentationScope`: that library, by name.
#[derive(Clone, PartialEq, Message)]
struct OtlpScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// `Span`: one span, with its times in epoch nanoseconds.
#[derive(Clone, PartialEq, Message)]
struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<OtlpAttribute>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<OtlpLink>,
    #[prost(message, optional, tag = "15")]
    status: Option<OtlpStatus>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

/// `Span.Link`: a span of another trace that belongs to this one.
#[derive(Clone, PartialEq, Message)]
struct OtlpLink {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(fixed32, tag = "6")]
    flags: u32,
}

/// `Status`: that a span did not go well.
#[derive(Clone, PartialEq, Message)]
struct OtlpStatus {
    #[prost(int32, tag = "3")]
    code: i32,
}

/// `KeyValue`: one attribute with its value.
#[derive(Clone, PartialEq, Message)]
struct OtlpAttribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<OtlpAnyValue>,
}

/// `AnyValue`: a value of one of several types.
#[derive(Clone, PartialEq, Message)]
struct OtlpAnyValue {
    #[prost(oneof = "OtlpValue", tags = "1, 3")]
    value: Option<OtlpValue>,
}

/// What is in a value: those types that there are here.
#[derive(Clone, PartialEq, Oneof)]
enum OtlpValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

impl OtlpAttribute {
    fn text(key: &str, text: &str) -> Self {
        Self::new(key, OtlpValue::Text(text.to_owned()))
    }

    fn new(key: &str, value: OtlpValue) -> Self {
        Self { key: key.to_owned(), value: Some(OtlpAnyValue { value: Some(value) }) }
    }
}

impl OtlpResource {
    /// Of names and their texts.
    pub fn of(pairs: &[(String, String)]) -> Self {
        let attributes = pairs.iter().map(|(key, text)| OtlpAttribute::text(key, text));
        Self { attributes: attributes.collect() }
    }
}

/// The role of a span in a trace, by its name.
fn kind(name: &str) -> i32 {
    const INTERNAL: i32 = 1;
    const SERVER: i32 = 2;
    const CLIENT: i32 = 3;
    const CONSUMER: i32 = 5;
    match name {
        super::record::HTTP => SERVER,
        "delivery" | "frame" => CLIENT,
        "stanza" => CONSUMER,
        _ => INTERNAL,
    }
}

fn link(context: TraceContext) -> OtlpLink {
    OtlpLink {
        trace_id: context.trace.bytes().to_vec(),
        span_id: context.span.bytes().to_vec(),
        flags: if context.sampled { SAMPLED } else { 0 },
    }
}

fn span(record: SpanRecord) -> OtlpSpan {
    let ended = record.left.unwrap_or(record.began).max(record.began);
    OtlpSpan {
        trace_id: record.context.trace.bytes().to_vec(),
        span_id: record.context.span.bytes().to_vec(),
        parent_span_id: record.parent.map(|id| id.bytes().to_vec()).unwrap_or_default(),
        name: record.title(),
        kind: kind(record.name),
        start_time_unix_nano: record.began,
        end_time_unix_nano: ended,
        links: record.links.iter().copied().map(link).collect(),
        status: record.failed.then_some(OtlpStatus { code: STATUS_ERROR }),
        flags: SAMPLED,
        trace_state: record.state,
        attributes: record
            .attributes
            .into_iter()
            .map(|(key, value)| match value {
                AttributeValue::Text(text) => OtlpAttribute::new(key, OtlpValue::Text(text)),
                AttributeValue::Number(number) => {
                    OtlpAttribute::new(key, OtlpValue::Number(number))
                }
            })
            .collect(),
    }
}

/// The body of a call that carries these spans of this process.
pub fn body(resource: &OtlpResource, records: impl Iterator<Item = SpanRecord>) -> Vec<u8> {
    let scope = OtlpScope { name: SCOPE.into(), version: env!("CARGO_PKG_VERSION").into() };
    let spans = OtlpScopeSpans { scope: Some(scope), spans: records.map(span).collect() };
    let of_process =
        OtlpResourceSpans { resource: Some(resource.clone()), scope_spans: vec![spans] };
    OtlpRequest { resource_spans: vec![of_process] }.encode_to_vec()
}
