//! Traces: spans of this program, sent to a collector by OTLP.
//!
//! # The cast
//! - The crates open spans with the target [`SPANS`]; none of them knows who listens.
//! - The [`TracesLayer`] listens. It gives each span its place in a trace, as a [`SpanRecord`] beside it, and puts it
//!   into the queue when it is over.
//! - The [`Sampler`] decides which traces are kept.
//! - The [`export`] takes what is in the queue and posts it, as [`otlp`] says.
//!
//! # Guarantees
//! Nothing waits for a collector: a queue that is full, and a collector that does not answer, cost spans, and a line
//! in the log says how many. What leaves are the names, the ids and the words of [`record`]'s list, and nothing else,
//! whatever a span has.

mod export;
mod layer;
mod otlp;
mod record;
mod sampler;

use std::time::Duration;

use axum::http::HeaderMap;
use domain::trace::TraceContext;
use gateway::egress::{Authorities, EgressBuildError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use tracing_subscriber::{Registry, registry::LookupSpan as _};
use url::Url;

use export::SpanExporter;
pub use layer::TracesLayer;
use record::SpanRecord;
pub use sampler::Sampler;

/// How long the end of the program waits for the last spans to leave.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Where spans go, and which.
pub struct TraceOptions {
    /// Where they are posted to.
    pub endpoint: Url,
    /// What goes along with each call; may open the collector.
    pub headers: HeaderMap,
    /// The limit of one call.
    pub timeout: Duration,
    /// Whom to believe beside the usual authorities.
    pub authorities: Option<Authorities>,
    /// What is said of this process.
    pub resource: Vec<(String, String)>,
    /// Which traces are kept.
    pub sampler: Sampler,
}

/// The sending of spans, and the way to end it.
pub struct Traces {
    task: JoinHandle<()>,
    stopping: CancellationToken,
}

impl Traces {
    /// Begins to send; the layer has to be told of spans.
    ///
    /// # Errors
    /// [`EgressBuildError`].
    #[expect(
        clippy::disallowed_methods,
        reason = "it outlives the gateway, whose last spans it sends: its handle is awaited in stop()"
    )]
    pub fn start(options: TraceOptions) -> Result<(Self, TracesLayer), EgressBuildError> {
        let stopping = CancellationToken::new();
        let sampler = options.sampler;
        let (exporter, queue) = SpanExporter::new(options, stopping.clone())?;
        let task = tokio::spawn(exporter.run());
        Ok((Self { task, stopping }, TracesLayer::new(sampler, queue)))
    }

    /// Sends what is there, as far as that is done within a limit.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if tokio::time::timeout(STOP_LIMIT, &mut self.task).await.is_err() {
            tracing::warn!("the last spans of traces were not sent in time");
            self.task.abort();
        }
    }
}

/// What a span, or the first one around it that is in a trace, is called outside.
pub fn context(span: &Span) -> Option<TraceContext> {
    let found = span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let mut around = registry.span(id)?.scope();
        around.find_map(|span| {
            let extensions = span.extensions();
            extensions.get::<SpanRecord>().map(|record| record.context)
        })
    });
    found.flatten()
}

#[cfg(test)]
mod tests;
