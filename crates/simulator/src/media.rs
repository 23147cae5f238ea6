//! The media host: encrypted blobs that clients upload and download over HTTP.
//!
//! The same store is reached in two ways: over a real port (see [`crate::Network::media_url`]), and in process through
//! [`MediaHttp`], the engine's own HTTP client trait. Clients address it as [`MEDIA_HOST`], which the network names in
//! its answers.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use async_trait::async_trait;
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{Method, StatusCode, Uri, header::LOCATION},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::net::TcpListener;
use whatsapp_rust::{
    http::{HttpClient, HttpRequest, HttpResponse},
    wacore::net::{StreamingHttpResponse, UploadBody},
};

use crate::hub::Hub;

/// Host name in every media address. It does not resolve: clients map it to [`crate::Network::media_url`].
pub const MEDIA_HOST: &str = "media.sim.invalid";
/// Largest upload, in bytes: twice what a client sends as an ordinary video.
const UPLOAD_BYTES_MAX: usize = 128 << 20;
/// Bytes kept in all. When full the oldest blobs go: their download answers 404, as an expired one does.
const STORE_BYTES_MAX: usize = 512 << 20;
/// Requests that are remembered; when full the oldest are forgotten.
const ASKED_MAX: usize = 1_000;
/// The folder under which uploaded files can be downloaded.
pub(crate) const DOWNLOAD_FOLDER: &str = "/v/t62.7118-24";

/// Uploaded blobs by path.
pub(crate) struct MediaStore {
    /// The name that clients are given.
    host: String,
    blobs: Mutex<StoredBlobs>,
    asked: Mutex<VecDeque<String>>,
}

#[derive(Default)]
struct StoredBlobs {
    by_path: HashMap<String, Bytes>,
    order: VecDeque<String>,
    bytes: usize,
}

impl MediaStore {
    pub(crate) fn new(host: String) -> Self {
        Self { host, blobs: Mutex::default(), asked: Mutex::default() }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Where clients find a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host)
    }

    pub(crate) fn put(&self, path: &str, blob: Bytes) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.bytes += blob.len();
        match blobs.by_path.insert(path.to_owned(), blob) {
            Some(before) => blobs.bytes -= before.len(),
            None => blobs.order.push_back(path.to_owned()),
        }
        while blobs.bytes > STORE_BYTES_MAX
            && let Some(oldest) = blobs.order.pop_front()
            && let Some(gone) = blobs.by_path.remove(&oldest)
        {
            blobs.bytes -= gone.len();
        }
    }

    pub(crate) fn forget(&self) {
        *self.blobs.lock().unwrap_or_else(PoisonError::into_inner) = StoredBlobs::default();
    }

    pub(crate) fn get(&self, path: &str) -> Option<Bytes> {
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.by_path.get(path).cloned()
    }

    /// Paths and queries of all requests, oldest first.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn note(&self, uri: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= ASKED_MAX {
            asked.pop_front();
        }
        asked.push_back(uri.to_owned());
    }

    fn respond(&self, post: bool, uri: &str, body: Bytes) -> (u16, Bytes) {
        self.note(uri);
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        if !post {
            return match self.get(path) {
                Some(blob) => (200, blob),
                None => (404, Bytes::new()),
            };
        }
        let token = path.rsplit('/').next().unwrap_or_default();
        let stored = format!("{DOWNLOAD_FOLDER}/{token}");
        if query.split('&').any(|pair| pair == "resume=1") {
            return match self.get(&stored) {
                Some(_) => (200, self.upload_answer(&stored, true)),
                None => (404, Bytes::new()),
            };
        }
        self.put(&stored, body);
        (200, self.upload_answer(&stored, false))
    }

    /// Where an upload can be downloaded.
    fn upload_answer(&self, path: &str, resumed: bool) -> Bytes {
        let mut answer = serde_json::json!({ "url": self.url(path), "direct_path": path });
        if resumed {
            answer["resume"] = "complete".into();
        }
        answer.to_string().into()
    }
}

/// The store as an HTTP service.
pub(crate) fn service(hub: &Arc<Hub>) -> Router {
    Router::new()
        .fallback(handle)
        .layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX))
        .with_state(hub.clone())
}

/// Serves the store over HTTP until the network stops.
pub(crate) fn serve(hub: &Arc<Hub>, listener: TcpListener) {
    let app = service(hub);
    let stop = hub.stop.clone();
    hub.tasks.spawn(async move {
        let _ = stop.run_until_cancelled(async move { axum::serve(listener, app).await }).await;
    });
}

async fn handle(State(hub): State<Arc<Hub>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let post = method == Method::POST;
    let delay = hub.faults.media_delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(elsewhere) = hub.faults.media_redirect().filter(|_| !post) {
        hub.media.note(&uri.to_string());
        return (StatusCode::FOUND, [(LOCATION, elsewhere)]).into_response();
    }
    let (status, body) = hub.media.respond(post, &uri.to_string(), body);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, body).into_response()
}

/// The media host without a network in between, for tests that run in one process with it.
#[derive(Clone)]
pub struct MediaHttp {
    store: Arc<MediaStore>,
}

impl MediaHttp {
    pub(crate) fn new(store: &Arc<MediaStore>) -> Self {
        Self { store: store.clone() }
    }

    fn respond(&self, request: &HttpRequest, body: Bytes) -> HttpResponse {
        let uri = request
            .url
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|slash| &rest[slash..]))
            .unwrap_or("/");
        let (status_code, body) = self.store.respond(request.method != "GET", uri, body);
        HttpResponse { status_code, body: body.to_vec() }
    }
}

#[async_trait]
impl HttpClient for MediaHttp {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        let body = request.body.clone().map(|body| Bytes::from(body.to_vec()));
        Ok(self.respond(&request, body.unwrap_or_default()))
    }

    fn supports_streaming(&self) -> bool {
        true
    }

    fn execute_streaming(&self, request: HttpRequest) -> Result<StreamingHttpResponse> {
        let response = self.respond(&request, Bytes::new());
        Ok(StreamingHttpResponse {
            status_code: response.status_code,
            body: Box::new(std::io::Cursor::new(response.body)),
        })
    }

    fn supports_upload_streaming(&self) -> bool {
        true
    }

    fn execute_upload(
        &self,
        request: HttpRequest,
        mut body: UploadBody,
        content_length: u64,
    ) -> Result<HttpResponse> {
        let length = usize::try_from(content_length)?.min(UPLOAD_BYTES_MAX);
        let mut bytes = Vec::with_capacity(length);
        std::io::Read::read_to_end(&mut body, &mut bytes)?;
        Ok(self.respond(&request, bytes.into()))
    }
}
