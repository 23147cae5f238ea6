//! Listens to spans: where each is in a trace, and when it is over.

use domain::{
    Entropy as _,
    trace::{SPANS, SpanId, TraceContext, TraceId},
};
use tracing::{
    Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::{Filtered, Targets},
    layer::Context,
    registry::LookupSpan,
};

use super::{
    export::SpanQueue,
    record::{EVENT, SaidFields, SpanRecord},
    sampler::Sampler,
};
use crate::system::{SystemEntropy, epoch_nanos};

/// The listener. What it knows of a span lies beside the span, in the registry.
pub struct TracesLayer {
    sampler: Sampler,
    queue: SpanQueue,
}

impl TracesLayer {
    /// Puts spans that are kept into the queue.
    pub fn new(sampler: Sampler, queue: SpanQueue) -> Self {
        Self { sampler, queue }
    }

    /// For spans of traces alone: whatever the log shows, and without what only the log shows.
    pub fn of_spans<S>(self) -> Filtered<Self, Targets, S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.with_filter(Targets::new().with_target(SPANS, LevelFilter::INFO))
    }

    /// A span that begins now. `around` is the span that it is a part of in this process.
    fn begin(
        &self,
        name: &'static str,
        mut said: SaidFields,
        around: Option<TraceContext>,
    ) -> SpanRecord {
        let (context, parent) = match said.event.and_then(|id| TraceContext::of_event(id, true)) {
            Some(first) => {
                let kept = self.sampler.keeps(first.trace, None);
                let first = TraceContext { sampled: kept, ..first };
                match name {
                    EVENT => (first, None),
                    _ => (TraceContext { span: span_id(), ..first }, Some(first.span)),
                }
            }
            None => match around.or(said.parent.take()) {
                Some(parent) => {
                    let sampled = self.sampler.keeps(parent.trace, Some(parent.sampled));
                    (TraceContext { span: span_id(), sampled, ..parent }, Some(parent.span))
                }
                None => {
                    said.state.clear();
                    let trace = trace_id();
                    let sampled = self.sampler.keeps(trace, None);
                    (TraceContext { trace, span: span_id(), sampled }, None)
                }
            },
        };
        let mut record = SpanRecord {
            name,
            context,
            parent,
            state: std::mem::take(&mut said.state),
            began: epoch_nanos(),
            left: None,
            attributes: vec![],
            links: vec![],
            failed: false,
        };
        record.add(said);
        record
    }
}

impl<S> Layer<S> for TracesLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let around = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<SpanRecord>().map(|record| record.context)
        });
        let mut said = SaidFields::default();
        attributes.record(&mut said);
        let record = self.begin(attributes.metadata().name(), said, around);
        span.extensions_mut().insert(record);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut said = SaidFields::default();
        values.record(&mut said);
        if let Some(record) = span.extensions_mut().get_mut::<SpanRecord>() {
            record.add(said);
        }
    }

    fn on_follows_from(&self, id: &Id, other: &Id, context: Context<'_, S>) {
        let (Some(span), Some(other)) = (context.span(id), context.span(other)) else { return };
        let other = {
            let extensions = other.extensions();
            extensions.get::<SpanRecord>().map(|record| record.context)
        };
        if let (Some(other), Some(record)) = (other, span.extensions_mut().get_mut::<SpanRecord>())
        {
            record.link(other);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(record) = span.extensions_mut().get_mut::<SpanRecord>() {
            record.left = Some(epoch_nanos());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let record = span.extensions_mut().remove::<SpanRecord>();
        if let Some(mut record) = record.filter(|record| record.context.sampled) {
            record.left.get_or_insert_with(epoch_nanos);
            self.queue.put(record);
        }
    }
}

fn trace_id() -> TraceId {
    loop {
        let mut bytes = [0; 16];
        SystemEntropy.fill(&mut bytes);
        if let Some(id) = TraceId::from_bytes(bytes) {
            return id;
        }
    }
}

fn span_id() -> SpanId {
    loop {
        let mut bytes = [0; 8];
        SystemEntropy.fill(&mut bytes);
        if let Some(id) = SpanId::from_bytes(bytes) {
            return id;
        }
    }
}
