//! HTTP: OpenWA's routes and shapes over [`gateway`]. The only crate that names status codes.
//!
//! # The cast
//! - A handler does four things: parse, authorize, call, present. Handlers live in one file per resource.
//! - [`access::Caller`] is the only door to a protected handler: its type names the least role and the fences, and
//!   having one means that all checks passed. [`access::OnSession`] also holds the session of the path,
//!   [`access::ExistingSession`] one that exists, [`access::ChatBody`] a body whose chats the key may see.
//! - [`body::Body`] is a checked request body. It is checked against the very schema that the OpenAPI document shows
//!   ([`schema`]), all problems at once.
//! - [`logins`] lets browsers in by a cookie; [`dashboard`] serves the page that they see.
//! - [`forward`] hands a request to the process that runs its session.
//! - [`error::ApiError`] is the only error answer; [`observe`] writes it, with the request's id and span.
//!
//! # What is refused before a handler runs
//! In this order: what says falsely that another process hands it over (403), a NUL in the URL (400), a compressed
//! body (415), a body that says it is too large (413), a missing or bad key (401), the wrong address or session
//! (403), a role that is too low (403), a key that is fenced off (403), and then the body itself (400, 413, 415).

mod access;
mod activity;
mod address;
mod allowance;
mod api_keys;
mod approvals;
mod audit;
mod automation;
mod body;
mod bulk;
mod calls;
mod catalogue;
mod channels;
mod chats;
mod contacts;
mod conversion;
mod dashboard;
mod deliveries;
mod docs;
mod emergency;
mod error;
mod events;
mod forward;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod groups;
mod health;
mod home;
mod incoming;
mod infra;
mod labels;
mod logins;
mod mcp;
mod media;
mod messages;
mod metrics;
mod observe;
mod people;
mod plugins;
mod presence;
mod processes;
mod profile;
mod query;
mod rates;
mod schema;
mod search;
mod sessions;
mod slash;
mod sockets;
mod stats;
mod status;
mod templates;
mod webhooks;
mod words;

use std::{sync::Arc, time::Duration};

pub use allowance::FramePace;
use axum::{
    Extension, Router,
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{from_fn, from_fn_with_state},
};
use gateway::Gateway;
pub use incoming::Draining;
pub use infra::{ConfigRefused, Installation, InstallationFacts, SavedConfig, ShownConfig};
use ipnet::IpNet;
pub use mcp::McpOptions;
pub use rates::{RateOptions, Window};
pub use sockets::SocketOptions;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

/// How long a browser may remember the answer to a preflight request, seconds.
const CORS_MAX_AGE_SECONDS: u64 = 86_400;

/// How the API behaves. Plain data.
#[derive(Clone)]
pub struct ApiOptions {
    /// Longest request body, in bytes.
    pub body_limit_bytes: usize,
    /// How long a request body may take to come in.
    pub request_timeout: Duration,
    /// Bytes of request bodies that may be in memory at the same time.
    pub body_budget_bytes: usize,
    /// How much one client may ask.
    pub rates: RateOptions,
    /// How live events are served over Socket.IO.
    pub sockets: SocketOptions,
    /// How agents are served.
    pub mcp: McpOptions,
    /// Whether `/api/docs` and `/api/docs-json` are served.
    pub docs: bool,
    /// Whether the dashboard is served.
    pub dashboard: bool,
    /// The path under which browsers see the gateway, like `/waypost`; empty for none.
    pub base_path: String,
    /// Whether an answer to a wrong body says what is wrong with it.
    pub validation_detail: bool,
    /// Web pages that may call the API; `*` means any.
    pub cors_origins: Vec<String>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The version that `/api/health` shows to callers with a key.
    pub version: &'static str,
    /// Where this API is reached from outside.
    pub base_url: String,
    /// Whether the log holds debug lines.
    pub debug: bool,
    /// The program around this API, which knows its settings and can start again.
    pub installation: Option<Arc<dyn Installation>>,
    /// The bearer token of `/api/metrics`; without it the route does not exist.
    pub metrics_token: Option<String>,
    /// Reads how much memory this process holds, in bytes.
    pub resident_bytes: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            body_limit_bytes: 25 * 1024 * 1024,
            request_timeout: Duration::from_secs(300),
            body_budget_bytes: 100 * 1024 * 1024,
            rates: RateOptions::default(),
            sockets: SocketOptions::default(),
            mcp: McpOptions::default(),
            docs: true,
            dashboard: true,
            base_path: String::new(),
            validation_detail: true,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            version: env!("CARGO_PKG_VERSION"),
            base_url: "http://localhost:2785".to_owned(),
            debug: false,
            installation: None,
            metrics_token: None,
            resident_bytes: Arc::new(|| 0),
        }
    }
}

/// What every handler can reach. One pointer: each layer around a handler keeps a copy, and each request makes new ones.
#[derive(Clone)]
struct AppState(Arc<AppParts>);

struct AppParts {
    gateway: Gateway,
    options: Arc<ApiOptions>,
    bodies: incoming::Budget,
    rates: Arc<rates::Rates>,
    sockets: Arc<sockets::Sockets>,
    agents: Arc<mcp::AgentRates>,
}

impl AppState {
    fn new(options: ApiOptions, gateway: Gateway) -> Self {
        Self(Arc::new(AppParts {
            gateway,
            bodies: incoming::Budget::new(options.body_budget_bytes),
            rates: Arc::new(rates::Rates::new(options.rates)),
            sockets: Arc::new(sockets::Sockets::new(options.sockets)),
            agents: Arc::new(mcp::AgentRates::new(&options.mcp)),
            options: Arc::new(options),
        }))
    }
}

impl std::ops::Deref for AppState {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// The whole API. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: without the peer's address, keys
/// that are limited to addresses are refused.
pub fn router(options: ApiOptions, gateway: Gateway) -> Router {
    let mut routes = docs::documented().split_for_parts().0;
    if options.docs {
        routes = routes.merge(docs::pages());
    }
    let state = AppState::new(options, gateway);
    let own = inside(routes.clone(), state.clone());
    approvals::perform(&state, own.clone());
    if state.options.mcp.enabled {
        let desk = mcp::McpDesk::new(&state.options, own);
        routes = routes.layer(Extension(desk));
    }
    if state.options.dashboard {
        routes = routes.merge(dashboard::routes());
    }
    let routes = routes.route(sockets::PATH, sockets::route(&state));
    serve(routes, state)
}

/// What a process in the role of a worker answers: health and metrics, in the same shapes; nothing else exists there.
pub fn worker_router(options: ApiOptions, gateway: Gateway) -> Router {
    serve(docs::of_workers().split_for_parts().0, AppState::new(options, gateway))
}

/// Routes for requests that this process makes of itself for a caller: with every check that is about the request, and
/// without what was done when the caller's own came in.
fn inside(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_route)
        .layer(from_fn_with_state(state.clone(), forward::forward))
        .layer(from_fn_with_state(state.clone(), body::guard))
        .layer(from_fn_with_state(state.clone(), audit::watch))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}

/// Routes with what goes around all of them.
fn serve(routes: Router<AppState>, state: AppState) -> Router {
    let cors = cors(&state.options.cors_origins);
    let base_path = state.options.base_path.clone();
    let routes = routes
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_route)
        .layer(from_fn_with_state(state.clone(), forward::forward))
        .layer(from_fn_with_state(state.clone(), body::guard))
        .layer(from_fn_with_state(state.clone(), audit::watch))
        .layer(from_fn_with_state(state.clone(), rates::limit))
        .layer(from_fn_with_state(state.clone(), forward::receive))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(state.clone(), observe::observe))
        .layer(from_fn(observe::harden))
        .layer(cors)
        .layer(from_fn_with_state(state.clone(), incoming::keep))
        .with_state(state);
    slash::forgiving(routes, base_path)
}

/// The OpenAPI document of [`router`], built from the same routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    docs::openapi()
}

/// [`openapi`] as text: indented, in a stable order, with a newline at the end. This is the file `openapi.json`.
pub fn openapi_json() -> String {
    docs::openapi_json()
}

fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        // No origin is allowed: the layer then adds nothing that a browser would accept.
        return CorsLayer::new();
    }
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let mut exposed = vec![header::RETRY_AFTER, HeaderName::from_static("x-request-id")];
    exposed.extend(rates::exposed());
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
            Method::OPTIONS,
        ])
        .allow_headers([
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
            header::AUTHORIZATION,
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers(exposed)
        .max_age(Duration::from_secs(CORS_MAX_AGE_SECONDS))
}
