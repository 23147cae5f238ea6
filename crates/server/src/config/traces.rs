//! `[traces]`: where spans go. The variables are OpenTelemetry's.

use std::{path::PathBuf, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use gateway::egress::Authorities;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, Settings, settings::range};
use crate::traces::{Sampler, TraceOptions};

/// The one form of OTLP that is spoken.
const PROTOCOL: &str = "http/protobuf";
/// What is put behind the URL of a collector.
const PATH: &str = "/v1/traces";
/// What spans are said to be of, where no other name is given.
const SERVICE: &str = "waypost";
const SERVICE_NAME: &str = "service.name";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    disabled: bool,
    endpoint: String,
    traces_endpoint: String,
    protocol: String,
    timeout_ms: u64,
    tls_ca: PathBuf,
    service_name: String,
    resource_attributes: String,
    sampler: String,
    sampler_arg: String,
}

impl Settings {
    /// Where spans go and which; `None` while traces are off.
    ///
    /// # Errors
    /// One line that names what to change. What is set is not looked at while traces are off.
    pub fn traces(&self) -> Result<Option<TraceOptions>, ConfigError> {
        let traces = &self.traces;
        let endpoint = match (&*traces.traces_endpoint, &*traces.endpoint) {
            ("", "") => return Ok(None),
            _ if traces.disabled => return Ok(None),
            ("", base) => under(base)?,
            (whole, _) => as_it_is(whole)?,
        };
        if traces.protocol != PROTOCOL {
            return Err(ConfigError(format!(
                "traces.protocol (OTEL_EXPORTER_OTLP_PROTOCOL): only {PROTOCOL} is spoken, not {:?}",
                traces.protocol
            )));
        }
        range("traces.timeout_ms", traces.timeout_ms, 1, 600_000)?;
        let (sampler, argument) = (&traces.sampler, &traces.sampler_arg);
        let sampler = Sampler::parse(sampler, argument).ok_or_else(|| {
            ConfigError(format!(
                "traces.sampler_arg (OTEL_TRACES_SAMPLER_ARG): must be from 0 to 1, for one of the samplers {}, \
                 not {argument:?} for {sampler:?}",
                Sampler::NAMES.join(", ")
            ))
        })?;
        Ok(Some(TraceOptions {
            endpoint,
            headers: headers(self.secrets.trace_headers.as_deref().unwrap_or_default())?,
            timeout: Duration::from_millis(traces.timeout_ms),
            authorities: self.trace_authorities()?,
            resource: self.resource()?,
            sampler,
        }))
    }

    /// Authorities that the collector's certificate may be of, in addition to the usual ones.
    fn trace_authorities(&self) -> Result<Option<Authorities>, ConfigError> {
        let path = &self.traces.tls_ca;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let wrong = |why: String| {
            ConfigError(format!("traces.tls_ca (OTEL_EXPORTER_OTLP_CERTIFICATE): {why}"))
        };
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(format!("cannot read {shown}: {error}")))?;
        Authorities::read(&text).map(Some).map_err(|error| wrong(format!("{shown} {error}")))
    }

    /// What is said of this process: the name of the service first.
    fn resource(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let given = pairs(&self.traces.resource_attributes).ok_or_else(|| {
            ConfigError(
                "traces.resource_attributes (OTEL_RESOURCE_ATTRIBUTES): must be like name=value,name=value"
                    .into(),
            )
        })?;
        let named = given.iter().find(|(name, _)| name == SERVICE_NAME).map(|(_, value)| value);
        let service = match self.traces.service_name.as_str() {
            "" => named.map_or(SERVICE, String::as_str).to_owned(),
            name => name.to_owned(),
        };
        let mut resource = vec![
            (SERVICE_NAME.to_owned(), service),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id".to_owned(), self.node_id().to_owned()),
        ];
        for (name, value) in given {
            match resource.iter_mut().find(|(known, _)| *known == name) {
                Some(_) if name == SERVICE_NAME => {}
                Some(known) => known.1 = value,
                None => resource.push((name, value)),
            }
        }
        Ok(resource)
    }
}

/// The place of traces under the URL of a collector.
fn under(base: &str) -> Result<Url, ConfigError> {
    const NAME: &str = "traces.endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)";
    let url = plain(NAME, base)?;
    if url.query().is_some() {
        return Err(ConfigError(format!("{NAME}: must have no query")));
    }
    plain(NAME, &format!("{}{PATH}", base.trim_end_matches('/')))
}

fn as_it_is(whole: &str) -> Result<Url, ConfigError> {
    plain("traces.traces_endpoint (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)", whole)
}

/// A URL that can be called. It is not said what it was: it may hold a password.
fn plain(name: &str, text: &str) -> Result<Url, ConfigError> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(fits).ok_or_else(|| {
        ConfigError(format!(
            "{name}: must be like http://localhost:4318, without a user and a fragment; what opens the collector \
             comes from OTEL_EXPORTER_OTLP_HEADERS"
        ))
    })
}

/// `name=value,name=value`, the values percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let pair = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((name.trim().to_owned(), value.into_owned()))
    };
    entries.map(pair).collect()
}

fn headers(text: &str) -> Result<HeaderMap, ConfigError> {
    let read = || {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(text)? {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name).ok()?, value);
        }
        Some(headers)
    };
    // Not what it says: it is a secret.
    let wrong = "OTEL_EXPORTER_OTLP_HEADERS: must be like name=value,name=value";
    read().ok_or_else(|| ConfigError(wrong.into()))
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with;

    const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn traces_are_off_until_a_collector_is_named() {
        assert!(with(&[]).unwrap().traces().unwrap().is_none());
        let on = with(&[COLLECTOR]).unwrap().traces().unwrap().unwrap();
        assert_eq!(on.endpoint.as_str(), "http://collector:4318/v1/traces");
        assert_eq!(on.timeout.as_secs(), 10);
        assert_eq!(on.resource[0], ("service.name".to_owned(), "waypost".to_owned()));
        let off = with(&[COLLECTOR, ("OTEL_SDK_DISABLED", "true")]).unwrap();
        assert!(off.traces().unwrap().is_none());
        // What would be a mistake is none then.
        assert!(with(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_ok());
    }

    #[test]
    fn a_url_of_traces_alone_is_taken_as_it_is() {
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example/in?tenant=a");
        let on = with(&[COLLECTOR, whole]).unwrap().traces().unwrap().unwrap();
        assert_eq!(on.endpoint.as_str(), whole.1);
    }

    #[test]
    fn a_service_has_the_name_that_it_is_given() {
        let given =
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=post,deployment.environment.name=a%2Cb");
        let named = |vars: &[(&'static str, &'static str)]| {
            let on =
                with(&[&[COLLECTOR, given], vars].concat()).unwrap().traces().unwrap().unwrap();
            let of = |name: &str| on.resource.iter().find(|(known, _)| known == name).cloned();
            (of("service.name").unwrap().1, of("deployment.environment.name").unwrap().1)
        };
        assert_eq!(named(&[]), ("post".to_owned(), "a,b".to_owned()));
        assert_eq!(named(&[("OTEL_SERVICE_NAME", "mine")]).0, "mine");
    }

    #[test]
    fn headers_are_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headers");
        std::fs::write(&path, "Authorization=Basic%20aGk6eW91,x-tenant = a\n").unwrap();
        let file = ("OTEL_EXPORTER_OTLP_HEADERS_FILE", path.to_str().unwrap());
        let on = with(&[COLLECTOR, file]).unwrap().traces().unwrap().unwrap();
        assert_eq!(on.headers["authorization"], "Basic aGk6eW91");
        assert_eq!(on.headers["x-tenant"], "a");
        let broken = [COLLECTOR, ("OTEL_EXPORTER_OTLP_HEADERS", "a secret")];
        let error = with(&broken).unwrap_err().to_string();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_HEADERS: "), "{error}");
        assert!(!error.contains("a secret"), "{error}");
    }

    #[test]
    fn a_mistake_is_one_line_that_names_the_setting() {
        for (name, value, word) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "only http/protobuf is spoken"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "traces.endpoint"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hush@collector:4318", "OTLP_HEADERS"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318?a=b", "no query"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "file:///tmp/x", "traces.traces_endpoint"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "traces.timeout_ms"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such", "traces.tls_ca"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "OTEL_TRACES_SAMPLER: must be always_on or"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5", "traces.sampler_arg"),
            ("OTEL_RESOURCE_ATTRIBUTES", "nonsense", "traces.resource_attributes"),
            ("OTEL_SDK_DISABLED", "perhaps", "OTEL_SDK_DISABLED"),
        ] {
            let error = with(&[(name, value), COLLECTOR]).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{name}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
