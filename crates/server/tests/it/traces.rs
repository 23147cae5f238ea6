//! Traces of the built program, as a collector gets them: from a request to its frame, from a stanza to its receiver.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use prost::Message as _;
use serde_json::json;
use testkit::{Received, Receiver};
use tokio::net::TcpListener;

use crate::{
    counting::register,
    support::{Prepared, Running, free_port},
};

const SHOP: &str = "4915550001000";
const MIA: &str = "4917012345678";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The messages of OTLP, with the numbers of the fields that are looked at.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub attributes: Vec<Attribute>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub span_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
        #[prost(int32, tag = "6")]
        pub kind: i32,
        #[prost(fixed64, tag = "7")]
        pub began: u64,
        #[prost(fixed64, tag = "8")]
        pub ended: u64,
        #[prost(message, repeated, tag = "9")]
        pub attributes: Vec<Attribute>,
        #[prost(message, repeated, tag = "13")]
        pub links: Vec<Link>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Link {
        #[prost(bytes = "vec", tag = "1")]
        pub trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub span_id: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Attribute {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(message, optional, tag = "2")]
        pub value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AnyValue {
        #[prost(oneof = "Value", tags = "1, 3")]
        pub value: Option<Value>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(int64, tag = "3")]
        Number(i64),
    }
}

use wire::{Attribute, Span};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An attribute as text.
fn said(attribute: &Attribute) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(wire::Value::Text(text)) => text.clone(),
        Some(wire::Value::Number(number)) => number.to_string(),
        None => String::new(),
    }
}

impl Span {
    fn says(&self, key: &str) -> String {
        self.attributes.iter().find(|attribute| attribute.key == key).map(said).unwrap_or_default()
    }

    fn trace(&self) -> String {
        hex(&self.trace_id)
    }

    fn is_part_of(&self, other: &Self) -> bool {
        (&self.trace_id, &self.parent_span_id) == (&other.trace_id, &other.span_id)
    }

    fn leads_to(&self, other: &Self) -> bool {
        self.links
            .iter()
            .any(|link| (&link.trace_id, &link.span_id) == (&other.trace_id, &other.span_id))
    }
}

/// A collector that keeps what it gets.
struct SpanCollector {
    url: String,
    calls: Calls,
}

type Calls = Arc<Mutex<Vec<(HeaderMap, wire::Request)>>>;

async fn keep(State(calls): State<Calls>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Ok(request) = wire::Request::decode(body) else { return StatusCode::BAD_REQUEST };
    calls.lock().unwrap().push((headers, request));
    StatusCode::OK
}

impl SpanCollector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Calls::default();
        let router = Router::new().route("/v1/traces", post(keep)).with_state(calls.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, calls }
    }

    fn calls(&self) -> Vec<(HeaderMap, wire::Request)> {
        self.calls.lock().unwrap().clone()
    }

    /// Every span so far.
    fn spans(&self) -> Vec<Span> {
        let processes = self.calls().into_iter().flat_map(|(_, request)| request.resource_spans);
        processes.flat_map(|process| process.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// The only span that fits.
    fn one(&self, fits: impl Fn(&Span) -> bool) -> Span {
        let mut found: Vec<Span> = self.spans().into_iter().filter(|span| fits(span)).collect();
        assert_eq!(found.len(), 1, "{:#?}", self.spans());
        found.remove(0)
    }
}

/// A shop that sends Mia a message and gets one from her, with a webhook; how the program is called, and the call that
/// the receiver got.
async fn talk(env: &[(&str, &str)]) -> (Prepared, Running, Received) {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let mia = house.network.add_account(MIA, "Mia").await;
    let receiver = Receiver::start().await;
    let running = house.start_with(env);
    let api = running.api();
    api.ready(session).await;
    register(&api, session, &receiver.url(), &["message.received"]).await;
    let body = json!({ "chatId": format!("{MIA}@c.us"), "text": "hello Mia" });
    let path = format!("/sessions/{session}/messages/send-text");
    assert_eq!(api.post_with(&path, &body, ("traceparent", PARENT)).await, 201);
    mia.send_text(SHOP, "hello shop").await.unwrap();
    let call = receiver.wait_for(1).await.remove(0);
    (house, running, call)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_the_request_to_the_frame_and_from_the_stanza_to_the_receiver() {
    let spans = SpanCollector::start().await;
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-tests");
    let (_house, running, call) = talk(&[(ENDPOINT, spans.url.as_str()), headers]).await;
    // What has not been sent yet is sent at the end.
    assert!(running.terminate().success());
    for (headers, _) in spans.calls() {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["authorization"], "Bearer of-the-tests");
    }

    let http = spans.one(|span| span.name.ends_with("/messages/send-text"));
    assert_eq!(
        (http.trace().as_str(), hex(&http.parent_span_id).as_str()),
        (&PARENT[3..35], &PARENT[36..52])
    );
    assert_eq!(http.says("http.response.status_code"), "201");
    let send = spans.one(|span| span.name == "send");
    assert!(send.is_part_of(&http) && send.began >= http.began && send.ended <= http.ended);
    for name in ["commit", "frame", "answer"] {
        let all = spans.spans();
        let is_there = all.iter().any(|span| span.name == name && span.is_part_of(&send));
        assert!(is_there, "no {name} in {all:#?}");
    }

    let event = call.header("webhook-id").strip_prefix("evt_").unwrap().replace('-', "");
    let delivery = spans.one(|span| span.name == "delivery");
    assert_eq!(delivery.trace(), event);
    let told = format!("00-{event}-{}-01", hex(&delivery.span_id));
    assert_eq!(call.header("traceparent"), told);
    assert_eq!(delivery.says("waypost.delivery.id"), call.header("x-openwa-delivery-id"));
    assert_eq!(delivery.says("waypost.attempt"), "1");
    assert_eq!(delivery.says("http.response.status_code"), "200");
    let first = spans.one(|span| span.name == "message.received");
    assert!(delivery.is_part_of(&first) && first.parent_span_id.is_empty());
    let commit = spans.one(|span| span.name == "commit" && span.leads_to(&first));
    assert!(first.leads_to(&commit));
    let stanza = spans.one(|span| span.name == "stanza" && commit.is_part_of(span));
    assert!(stanza.parent_span_id.is_empty());

    nothing_personal(&spans);
}

/// Nobody's number, and nothing that anybody wrote.
fn nothing_personal(spans: &SpanCollector) {
    let processes = spans.calls().into_iter().flat_map(|(_, request)| request.resource_spans);
    let resources = processes.filter_map(|process| process.resource);
    let mut texts: Vec<String> =
        resources.flat_map(|resource| resource.attributes).map(|one| said(&one)).collect();
    assert!(texts.contains(&"waypost".to_owned()), "{texts:?}");
    for span in spans.spans() {
        texts.extend(span.attributes.iter().map(said));
        texts.push(span.name);
    }
    for text in texts {
        for secret in [SHOP, MIA, "hello", "Mia"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nobody_is_told_of_a_trace() {
    let spans = SpanCollector::start().await;
    let nothing: [(&str, &str); 0] = [];
    let disabled = [(ENDPOINT, spans.url.as_str()), ("OTEL_SDK_DISABLED", "true")];
    for env in [&nothing[..], &disabled[..]] {
        let (_house, running, call) = talk(env).await;
        assert!(running.terminate().success());
        assert_eq!(call.header("traceparent"), "");
    }
    assert!(spans.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nothing_up() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let (house, running, call) = talk(&[(ENDPOINT, url.as_str())]).await;
    assert!(call.header("traceparent").starts_with("00-"));
    assert!(running.terminate().success());
    let log = std::fs::read_to_string(house.data().join("stderr.log")).unwrap();
    assert!(log.contains("spans of traces were lost"), "{log}");
}
