//! Traces: what one cause leads to, across processes. The form of their ids is W3C's Trace Context.
//!
//! The trace of an event follows from the event's id. Whoever stores it, and whoever delivers it, an hour later, after
//! a restart or in another process, is in the same trace without a word between them.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
};

use crate::ids::EventId;

/// The target of the spans that traces are made of. The log has its own and does not show these.
pub const SPANS: &str = "spans";

/// The version of a `traceparent` whose form is known to its end.
const VERSION: u128 = 0;
/// A version that there will never be.
const NO_VERSION: u128 = 0xff;
/// The flag of a trace that is kept.
const SAMPLED: u128 = 1;

/// The id of a trace; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// Of these bytes, unless all of them are zero.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        NonZeroU128::new(u128::from_be_bytes(bytes)).map(Self)
    }

    /// The bytes of the id, the first one first.
    pub const fn bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

/// The id of a span within its trace; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// Of these bytes, unless all of them are zero.
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        NonZeroU64::new(u64::from_be_bytes(bytes)).map(Self)
    }

    /// The bytes of the id, the first one first.
    pub const fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

/// A span, as others are told of it: the value of the header `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
    /// Whether the trace is kept by who tells of it.
    pub sampled: bool,
}

impl TraceContext {
    /// The first span of an event's trace: the trace has the id of the event, the span its last eight bytes.
    pub fn of_event(event: EventId, sampled: bool) -> Option<Self> {
        let id = event.uuid();
        let (_, last) = id.as_u64_pair();
        let trace = TraceId::from_bytes(id.into_bytes())?;
        Some(Self { trace, span: SpanId::from_bytes(last.to_be_bytes())?, sampled })
    }

    /// Reads a `traceparent`, also of a later version, whose beginning is the same. `None` for anything else: then
    /// there is no parent.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |digits| hex(parts.next()?, digits);
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version == NO_VERSION || version == VERSION && parts.next().is_some() {
            return None;
        }
        Some(Self {
            trace: NonZeroU128::new(trace).map(TraceId)?,
            span: u64::try_from(span).ok().and_then(NonZeroU64::new).map(SpanId)?,
            sampled: flags & SAMPLED == SAMPLED,
        })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace.0, self.span.0)
    }
}

/// So many small hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_read_and_written_as_it_came() {
        let context = TraceContext::parse(GIVEN).unwrap();
        assert_eq!(context.to_string(), GIVEN);
        assert!(context.sampled);
        assert_eq!(context.trace.bytes()[..2], [0x0a, 0xf7]);
        assert_eq!(context.span.bytes()[6..], [0x33, 0x31]);
        let unkept = format!("{}00", GIVEN.strip_suffix("01").unwrap());
        assert_eq!(TraceContext::parse(&unkept).unwrap().to_string(), unkept);
        // Flags that are not known yet say nothing.
        let flags = format!("{}ff", GIVEN.strip_suffix("01").unwrap());
        assert_eq!(TraceContext::parse(&flags).unwrap().to_string(), GIVEN);
    }

    #[test]
    fn a_later_version_may_have_more_behind_it() {
        let later = GIVEN.replacen("00", "cc", 1);
        for text in [later.clone(), format!("{later}-what-will-be")] {
            assert_eq!(TraceContext::parse(&text).unwrap().to_string(), GIVEN, "{text}");
        }
    }

    #[test]
    fn what_is_broken_or_all_zeros_is_no_parent() {
        let zeros = |digits: usize| "0".repeat(digits);
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for broken in [
            String::new(),
            "00".into(),
            format!("00-{trace}-{span}"),
            format!("00-{}-{span}-01", zeros(32)),
            format!("00-{trace}-{}-01", zeros(16)),
            format!("ff-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}-0g"),
            format!("0-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}0-{span}-01"),
            format!("00-{}-{span}-01", &trace[1..]),
            format!("00-{trace}-+{}-01", &span[1..]),
            format!(" {GIVEN}"),
            format!("{GIVEN} "),
            format!("cc-{trace}-{span}-01x"),
            "ä".repeat(55),
        ] {
            assert_eq!(TraceContext::parse(&broken), None, "{broken:?}");
        }
    }

    #[test]
    fn the_trace_of_an_event_follows_from_its_id() {
        let uuid = Uuid::parse_str("0199a1f2-3b4c-7d5e-8f60-718293a4b5c6").unwrap();
        let context = TraceContext::of_event(EventId::from_uuid(uuid), true).unwrap();
        let expected = format!("00-{}-8f60718293a4b5c6-01", uuid.simple());
        assert_eq!(context.to_string(), expected);
        assert_eq!(TraceContext::of_event(EventId::from_uuid(Uuid::nil()), true), None);
    }
}
