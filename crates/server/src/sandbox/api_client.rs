//! The sandbox uses its gateway as any client would: over HTTP, with a key.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// Longest wait for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A client of the gateway's HTTP API.
#[derive(Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl ApiClient {
    /// `base` ends in `/api`.
    pub fn new(base: String, key: String) -> anyhow::Result<Self> {
        // Plain HTTP on loopback only, and never through a proxy of the environment.
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(Self { http, base, key })
    }

    /// Sends a request and expects a status; other answers become errors with the gateway's own words.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        expect: u16,
    ) -> anyhow::Result<Value> {
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.answer(request, &format!("{method} {path}"), expect).await
    }

    /// Uploads a plugin's package, which is not installed yet.
    pub async fn install(&self, package: Vec<u8>) -> anyhow::Result<Value> {
        let path = "/plugins/install";
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header("Content-Type", "application/zip").body(package);
        self.answer(request, &format!("POST {path}"), 201).await
    }

    async fn answer(
        &self,
        request: RequestBuilder,
        what: &str,
        expect: u16,
    ) -> anyhow::Result<Value> {
        let answer = request.header("X-API-Key", &self.key).send().await;
        let answer = answer.with_context(|| format!("{what} got no answer"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        if status != expect {
            bail!("{what} answered {status} instead of {expect}: {text}");
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{what} did not answer JSON"))
    }

    /// `GET` with status 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None, 200).await
    }
}
