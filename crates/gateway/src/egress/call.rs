//! One request of a plugin, and the whole answer as text.

use std::{collections::BTreeMap, time::Duration};

use domain::delivery::AttemptErrorKind;
use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::{Egress, EgressError, describe, is_plain_http};

/// One request of a plugin to the web, with its limits.
#[derive(Debug, Clone)]
pub(crate) struct HttpCall {
    pub(crate) method: String,
    pub(crate) url: Url,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// For name, connection, head and body together.
    pub(crate) limit: Duration,
    pub(crate) answer_bytes_max: usize,
}

/// What came back from the web, whatever the status.
#[derive(Debug, Clone)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

fn refused(text: &str) -> EgressError {
    EgressError::new(AttemptErrorKind::Protocol, text)
}

impl Egress {
    /// Makes a request. A redirect is an answer; nothing is followed.
    ///
    /// # Errors
    /// [`EgressError`]: it could not be made, or its answer is too large.
    pub(crate) async fn call(&self, call: HttpCall) -> Result<HttpAnswer, EgressError> {
        let limit = call.limit;
        match tokio::time::timeout(limit, self.call_now(call)).await {
            Ok(done) => done,
            Err(_) => {
                let text = format!("no answer within {} ms", limit.as_millis());
                Err(EgressError::new(AttemptErrorKind::Timeout, &text))
            }
        }
    }

    async fn call_now(&self, call: HttpCall) -> Result<HttpAnswer, EgressError> {
        if !is_plain_http(&call.url) {
            return Err(refused("only http and https URLs without a name and password are called"));
        }
        self.check_name(&call.url).await?;
        let method = Method::from_bytes(call.method.to_ascii_uppercase().as_bytes());
        let method = method.map_err(|_| refused("the method is none of HTTP's"))?;
        let mut request = self.client.request(method, call.url.clone());
        for (name, value) in &call.headers {
            let name = HeaderName::try_from(name)
                .map_err(|_| refused("a header has a name that HTTP does not take"))?;
            let value = HeaderValue::try_from(value)
                .map_err(|_| refused("a header has a value that HTTP does not take"))?;
            if matches!(
                name.as_str(),
                "host" | "content-length" | "transfer-encoding" | "connection" | "upgrade"
            ) {
                continue;
            }
            request = request.header(name, value);
        }
        if !call.body.is_empty() {
            request = request.body(call.body);
        }
        let mut answer = request.send().await.map_err(|error| describe(&error, &call.url))?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| describe(&error, &call.url))? {
            if body.len() + piece.len() > call.answer_bytes_max {
                return Err(refused("the answer is larger than 10 MiB"));
            }
            body.extend_from_slice(&piece);
        }
        let headers = answer.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(HttpAnswer {
            status: answer.status().as_u16(),
            reason: answer.status().canonical_reason().unwrap_or_default(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}
