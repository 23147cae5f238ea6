//! What becomes of spans on their way into the queue.

use domain::{EventId, trace::SPANS};
use tracing::{info_span, level_filters::LevelFilter, subscriber::with_default};
use tracing_subscriber::{Layer as _, fmt, layer::SubscriberExt as _};

use super::{
    export::SpanQueue,
    record::{AttributeValue, EVENT, HTTP},
    *,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const EVENT_ID: &str = "evt_0199a1f2-3b4c-7d5e-8f60-718293a4b5c6";

/// The spans that were kept, in the order in which they were over. A log listens as well.
fn kept(sampler: &str, work: impl FnOnce()) -> Vec<SpanRecord> {
    let (queue, mut waiting) = SpanQueue::of_a_test();
    let layer = TracesLayer::new(Sampler::parse(sampler, "").unwrap(), queue);
    let log = fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::INFO);
    with_default(tracing_subscriber::registry().with(log).with(layer.of_spans()), work);
    std::iter::from_fn(|| waiting.try_recv().ok()).collect()
}

fn request(parent: Option<&str>) -> Span {
    info_span!(target: SPANS, "http", method = "GET", traceparent = parent, tracestate = "a=b")
}

fn one(parent: &str) -> SpanRecord {
    let mut kept = kept("parentbased_always_on", || drop(request(Some(parent))));
    assert_eq!(kept.len(), 1, "{parent}");
    kept.remove(0)
}

fn text<'a>(record: &'a SpanRecord, name: &str) -> Option<&'a AttributeValue> {
    record.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[test]
fn the_callers_span_is_the_parent() {
    let given = TraceContext::parse(PARENT).unwrap();
    let record = one(PARENT);
    assert_eq!((record.context.trace, record.parent), (given.trace, Some(given.span)));
    assert_ne!(record.context.span, given.span);
    assert_eq!(record.state, "a=b");
}

#[test]
fn what_is_no_parent_begins_a_trace_of_its_own() {
    let zeros = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    for broken in ["", "nonsense", &zeros, &PARENT[1..]] {
        let record = one(broken);
        assert_eq!((record.parent, record.state.as_str()), (None, ""), "{broken}");
        assert_ne!(record.context.trace, TraceContext::parse(PARENT).unwrap().trace);
    }
}

#[test]
fn a_trace_that_the_caller_does_not_keep_is_not_kept() {
    let unkept = format!("{}00", PARENT.strip_suffix("01").unwrap());
    let kept = kept("parentbased_always_on", || {
        let request = request(Some(&unkept));
        let part = request.in_scope(|| info_span!(target: SPANS, "commit"));
        assert!(context(&part).unwrap().to_string().ends_with("-00"));
    });
    assert!(kept.is_empty());
}

#[test]
fn spans_of_the_log_in_between_do_not_part_a_trace() {
    let kept = kept("always_on", || {
        let request = request(Some(PARENT));
        let log = request.in_scope(|| info_span!("http", request.id = "r"));
        assert_eq!(context(&log), context(&request));
        log.in_scope(|| drop(info_span!(target: SPANS, "send", work = "messages/send")));
    });
    let [send, http]: [SpanRecord; 2] = kept.try_into().unwrap();
    assert_eq!((send.name, http.name), ("send", HTTP));
    assert_eq!((send.context.trace, send.parent), (http.context.trace, Some(http.context.span)));
}

#[test]
fn an_event_and_its_deliveries_are_in_the_trace_of_its_id() {
    let uuid = EVENT_ID.parse::<EventId>().unwrap().uuid();
    let kept = kept("always_on", || {
        let commit = info_span!(target: SPANS, "commit");
        let event = info_span!(target: SPANS, "event", event.id = EVENT_ID, event.kind = "x.y");
        event.follows_from(&commit);
        commit.follows_from(&event);
        drop(event);
        drop(commit);
        let delivery = info_span!(target: SPANS, "delivery", event.id = %EVENT_ID, attempt = 1_u32);
        let outside = context(&delivery).unwrap().to_string();
        assert!(outside.starts_with(&format!("00-{}-", uuid.simple())), "{outside}");
    });
    let [event, commit, delivery]: [SpanRecord; 3] = kept.try_into().unwrap();
    assert_eq!((event.name, event.title().as_str(), event.parent), (EVENT, "x.y", None));
    assert_eq!(event.context.trace.bytes(), uuid.into_bytes());
    assert_eq!((event.links, commit.links), (vec![commit.context], vec![event.context]));
    assert_eq!(
        (delivery.context.trace, delivery.parent),
        (event.context.trace, Some(event.context.span))
    );
    assert_eq!(text(&delivery, "waypost.attempt"), Some(&AttributeValue::Number(1)));
}

#[test]
fn only_what_is_known_to_be_harmless_leaves() {
    let kept = kept("always_on", || {
        let span = info_span!(
            target: SPANS,
            "http",
            method = "4917012345678",
            route = "/api/x/{id}",
            body = "hello",
            request.id = "4917012345678",
            status = tracing::field::Empty,
        );
        span.record("status", 503_u16);
    });
    let [http]: [SpanRecord; 1] = kept.try_into().unwrap();
    let names: Vec<_> = http.attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["http.request.method", "http.route", "http.response.status_code"]);
    assert_eq!(http.title(), "_OTHER /api/x/{id}");
    assert!(http.failed);
}

#[test]
fn a_span_ends_when_it_was_left_last() {
    let kept = kept("always_on", || {
        let request = request(None);
        let part = request.in_scope(|| info_span!(target: SPANS, "send", failure = "refused"));
        drop(request);
        assert!(context(&part).is_some());
    });
    let [send, http]: [SpanRecord; 2] = kept.try_into().unwrap();
    assert!(http.left <= send.left, "what came of it may take longer");
    assert!(send.failed && !http.failed);
    assert!(context(&Span::none()).is_none());
}
