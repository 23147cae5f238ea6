//! Structured logs. What is logged is decided where it happens; nothing there holds message text, secrets or full
//! phone numbers.

use std::io::IsTerminal as _;

use domain::trace::SPANS;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{
        self, FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, JsonFields, Writer},
    },
    layer::{Layered, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::{config::LogFormat, traces::TracesLayer};

/// Our own crates, by the first part of a log line's target.
const OURS: [&str; 7] = ["api", "domain", "gateway", "simulator", "storage", "waypost", "whatsapp"];
/// Libraries whose names begin like one of ours: a filter goes by the beginning of a name, the longest counts.
const LIKE_OURS: [&str; 1] = ["whatsapp_rust"];
/// Parts of the protocol library that log under names of their own, some of them with numbers of people.
const ENGINE: [&str; 8] = [
    "wacore",
    "waproto",
    "usync",
    "chat_actions",
    "device_registry",
    "message",
    "ureq",
    "ureq_proto",
];

/// The engine and the libraries under us speak only when something is wrong, unless `debug` or `trace` is asked for.
/// Spans of traces have nothing to say here.
fn directives(level: &str) -> String {
    let libraries = if matches!(level, "debug" | "trace") { "info" } else { "error" };
    let ours = OURS.iter().map(|name| format!(",{name}={level}"));
    let theirs = LIKE_OURS.iter().chain(&ENGINE).map(|name| format!(",{name}={libraries}"));
    format!("{libraries}{},{SPANS}=off", ours.chain(theirs).collect::<String>())
}

/// Whether a line is by one of our own crates.
fn is_ours(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or_default();
    OURS.contains(&root)
}

/// Starts logging to standard error. A second call changes nothing.
pub fn init(level: &str, format: LogFormat) {
    init_with(level, format, None);
}

/// Like [`init`], with somebody who listens to the spans of traces.
pub fn init_with(level: &str, format: LogFormat, traces: Option<TracesLayer>) {
    let (registry, filter) = (tracing_subscriber::registry(), EnvFilter::new(directives(level)));
    let _ = match traces {
        None => {
            let log = to_stderr::<Layered<EnvFilter, Registry>>(format);
            registry.with(filter).with(log).try_init()
        }
        // Each listener has a filter of its own: what one shows is no matter of the other.
        Some(traces) => {
            let log = to_stderr::<Registry>(format).with_filter(filter);
            registry.with(log).with(traces.of_spans()).try_init()
        }
    };
}

fn to_stderr<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        LogFormat::Json => json().with_writer(std::io::stderr).boxed(),
        LogFormat::Text => {
            // Colours are for people: in a file their codes are in the way.
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            text().with_ansi(colours).with_writer(std::io::stderr).boxed()
        }
    }
}

fn text<S>() -> fmt::Layer<S, fmt::format::DefaultFields, CleanedLines<Format>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // What it says otherwise when nobody reads the log any more panics for the same reason.
    fmt::layer().log_internal_errors(false).event_format(CleanedLines(fmt::format()))
}

fn json<S>() -> fmt::Layer<S, JsonFields, CleanedLines<Format<Json>>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let format = fmt::format().json().flatten_event(true);
    fmt::layer()
        .log_internal_errors(false)
        .fmt_fields(JsonFields::new())
        .event_format(CleanedLines(format))
}

/// Cleans lines that are not ours: what a library thinks worth saying may be an address with a token in it, or a
/// number.
struct CleanedLines<F>(F);

impl<S, N, F> FormatEvent<S, N> for CleanedLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut scope = context.event_scope().into_iter().flatten();
        if is_ours(event.metadata().target()) && scope.all(|span| is_ours(span.metadata().target()))
        {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&cleaned(&line))
    }
}

/// Parameters of addresses that open something.
const SECRETS: [&str; 2] = ["auth=", "token="];
/// So many digits in a row may be somebody's number.
const DIGITS_MAX: usize = 7;

/// A line without values of [`SECRETS`] and without long rows of digits; JSON stays JSON.
fn cleaned(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if let Some(name) = SECRETS.iter().find(|name| rest.starts_with(**name)) {
            clean.push_str(name);
            clean.push('0');
            let value = &rest[name.len()..];
            let end = value.find(|c: char| !is_of_value(c)).unwrap_or(value.len());
            rest = &value[end..];
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            clean.push_str(if end > DIGITS_MAX { "0" } else { &rest[..end] });
            rest = &rest[end..];
        } else {
            clean.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    clean
}

const fn is_of_value(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '%' | '+' | '/' | '=' | ':')
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written at a level.
    fn written(level: &str, as_json: bool, say: impl FnOnce()) -> String {
        let paper = Paper::default();
        let into = paper.clone();
        let registry = tracing_subscriber::registry().with(EnvFilter::new(directives(level)));
        if as_json {
            let layer = json().with_writer(move || into.clone());
            tracing::subscriber::with_default(registry.with(layer), say);
        } else {
            let layer = text().with_ansi(false).with_writer(move || into.clone());
            tracing::subscriber::with_default(registry.with(layer), say);
        }
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    fn everybody() {
        let url = "https://mmg.whatsapp.net/v/1?auth=AbC-1_2%3D&token=xyz.Z9&mms3=true";
        tracing::warn!(target: "whatsapp_rust::download", "Failed to stream-download from URL {url}");
        tracing::error!(target: "whatsapp_rust::download", "Failed again {url}");
        tracing::error!(target: "usync", phone = 4_917_012_345_678_u64, "no device of 4917012345678@s.whatsapp.net");
        tracing::info!(target: "usync", "4917012345678@s.whatsapp.net");
        tracing::info!(target: "whatsapp_rust::client::lifecycle", "Client run loop has shut down.");
        tracing::info!(target: "whatsapp::transfer", size_bytes = 123_456_789, "a file came");
        let span =
            tracing::error_span!(target: "whatsapp_rust::send", "send", to = "4917012345678");
        let _entered = span.enter();
        tracing::error!(target: "whatsapp::inbound", "one of ours inside one of theirs");
    }

    #[test]
    fn the_library_is_silent_unless_something_is_wrong() {
        let log = written("info", false, everybody);
        assert!(!log.contains("stream-download") && !log.contains("INFO usync"), "{log}");
        assert!(!log.contains("run loop"), "{log}");
        assert!(log.contains("Failed again") && log.contains("a file came"), "{log}");
        let log = written("debug", false, everybody);
        assert!(log.contains("stream-download") && log.contains("INFO usync"), "{log}");
        assert!(log.contains("Client run loop has shut down"), "{log}");
    }

    #[test]
    fn no_token_and_no_number_is_in_a_librarys_line() {
        for (level, as_json) in [("info", false), ("debug", false), ("trace", true), ("info", true)]
        {
            let log = written(level, as_json, everybody);
            for secret in ["AbC", "xyz", "Z9", "4917012345678"] {
                assert!(!log.contains(secret), "{level}: {log}");
            }
            assert!(log.contains("auth=0&token=0&mms3=true"), "{log}");
            // Ours says what it says.
            assert!(log.contains("123456789"), "{log}");
            for line in log.lines().filter(|_| as_json) {
                serde_json::from_str::<serde_json::Value>(line).expect(line);
            }
        }
    }

    #[test]
    fn a_line_is_cleaned_and_otherwise_kept() {
        for (line, clean) in [
            ("12345678", "0"),
            ("1234567", "1234567"),
            ("2026-11-26T01:02:03.123456Z ok", "2026-11-26T01:02:03.123456Z ok"),
            ("to 4917012345678@lid, 4917012345678:3@lid", "to 0@lid, 0:3@lid"),
            ("token=", "token=0"),
            ("auth=a b", "auth=0 b"),
            ("\"u\":\"https://x?auth=a&token=b\"", "\"u\":\"https://x?auth=0&token=0\""),
            ("grün 👍 123456789", "grün 👍 0"),
        ] {
            assert_eq!(cleaned(line), clean);
        }
    }
}
