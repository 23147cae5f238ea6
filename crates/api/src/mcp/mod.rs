//! `POST /mcp`: the routes of this API as tools for agents, by the Model Context Protocol over streamable HTTP.
//!
//! Nothing is kept between two requests. A tool is a route ([`tools`]): its arguments come out of the OpenAPI document
//! ([`input`]), and a call is a request to it with the caller's key ([`call`]).

mod call;
mod input;
mod tools;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Extension, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::{ApiKeyId, api_key::ApiKey};
use rmcp::{
    RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, ErrorData, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use tower::ServiceExt as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::tools::{ServedTool, served};
use crate::{
    ApiOptions, AppState,
    access::{Caller, InChat, Viewer, presented_key},
    allowance::Allowance,
    error::ApiError,
    incoming::collect,
    rates::{Window, network},
};

/// Where agents ask.
pub const PATH: &str = "/mcp";
/// What an agent is told first.
const INSTRUCTIONS: &str = "WhatsApp accounts of a self-hosted gateway. An account is a session: SessionFindAll lists \
them with their ids. Chats are named by id: <digits>@c.us is a person, <id>@g.us a group. An error is the answer of the \
HTTP API: its `message` says what is wrong.";

/// How agents are served. Plain data.
#[derive(Debug, Clone, Copy)]
pub struct McpOptions {
    /// Whether `/mcp` exists at all.
    pub enabled: bool,
    /// Whether only tools exist that change nothing.
    pub read_only: bool,
    /// Requests with one key.
    pub per_key: Window,
    /// Requests from one address.
    pub per_address: Window,
    /// Bytes of a result; longer ones are cut. 0 cuts nothing.
    pub result_bytes_max: usize,
}

impl Default for McpOptions {
    fn default() -> Self {
        let minute = |limit| Window { length: Duration::from_secs(60), limit };
        Self {
            enabled: false,
            read_only: true,
            per_key: minute(60),
            per_address: minute(120),
            result_bytes_max: 100_000,
        }
    }
}

/// Requests of agents, counted.
pub struct AgentRates {
    keys: Allowance<ApiKeyId>,
    addresses: Allowance<Option<IpAddr>>,
}

impl AgentRates {
    pub fn new(options: &McpOptions) -> Self {
        Self {
            keys: Allowance::new(options.per_key),
            addresses: Allowance::new(options.per_address),
        }
    }
}

pub fn routes() -> OpenApiRouter<AppState> {
    let more = get(no_stream).delete(no_stream);
    OpenApiRouter::new().routes(routes!(ask)).route(PATH, more)
}

/// What serves agents.
#[derive(Clone)]
pub struct McpDesk(StreamableHttpService<Agents, NeverSessionManager>);

impl McpDesk {
    /// Over routes that take requests as from outside.
    pub fn new(options: &ApiOptions, routes: Router) -> Self {
        let document = serde_json::to_value(crate::openapi()).unwrap_or_default();
        let agents = Agents {
            tools: served(&document, options.mcp.read_only).into(),
            routes,
            version: options.version,
            result_bytes_max: options.mcp.result_bytes_max,
        };
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_sse_retry(None)
            // Who has a key may ask, under whatever name the gateway is reached.
            .disable_allowed_hosts()
            .with_max_request_body_bytes(options.body_limit_bytes);
        let factory = move || Ok(agents.clone());
        Self(StreamableHttpService::new(factory, Arc::default(), config))
    }
}

/// One JSON-RPC message of the Model Context Protocol: `initialize`, `tools/list`, `tools/call`, `ping`.
///
/// Each tool is a route of this API and does what the caller's key may do there.
#[utoipa::path(
    post, path = "/mcp", operation_id = "askMcp", tag = "Agents",
    request_body(content = Object, description = "A JSON-RPC 2.0 message"),
    responses(
        (status = 200, description = "The answer, as one event", body = String, content_type = "text/event-stream"),
        (status = 202, description = "A notification was taken"),
        (status = 404, description = "Agents are not served here (`MCP_ENABLED`)", body = crate::error::ErrorBody),
        (status = 406, description = "`Accept` has to name `application/json` and `text/event-stream`"),
        (status = 422, description = "The message is no JSON-RPC"),
        (status = 429, description = "The key, or the client, asked too much", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["viewer", "chat"])),
)]
async fn ask(
    State(state): State<AppState>,
    caller: Caller<InChat<Viewer>>,
    desk: Option<Extension<McpDesk>>,
    request: Request,
) -> Result<Response, ApiError> {
    let Some(Extension(McpDesk(desk))) = desk else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "Cannot POST /mcp"));
    };
    // The calls of tools carry the key; a browser that is logged in has none.
    if presented_key(request.headers()).is_none() {
        return Err(ApiError::key_missing());
    }
    let (address, now) = (network(caller.who().address), state.gateway.live.now());
    let allowed = state.agents.addresses.take(address, now);
    let allowed = allowed.and_then(|()| state.agents.keys.take(caller.key().id, now));
    allowed.map_err(ApiError::too_many)?;
    let (mut parts, body) = request.into_parts();
    let limit = state.options.body_limit_bytes;
    let bytes = collect(&parts.extensions, body, limit, &state.bodies).await?;
    // The library wants one, whatever it says.
    parts.headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
    parts.extensions.insert(Asking(caller.key().clone()));
    let answered = desk.oneshot(Request::from_parts(parts, Body::from(bytes))).await;
    let response = answered.unwrap_or_else(|never| match never {});
    Ok(response.map(Body::new))
}

/// 405: there is no stream to open and none to end.
async fn no_stream() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response()
}

/// Whose request it is.
#[derive(Clone)]
struct Asking(ApiKey);

/// Answers agents, each with the rights of its key.
#[derive(Clone)]
struct Agents {
    tools: Arc<[ServedTool]>,
    routes: Router,
    version: &'static str,
    result_bytes_max: usize,
}

impl ServerHandler for Agents {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("waypost", self.version))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let (_, key) = asker(&context)?;
        let tools = self.tools.iter().filter(|tool| tool.is_for(key));
        Ok(ListToolsResult::with_all_items(tools.map(|tool| tool.tool.clone()).collect()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (parts, _) = asker(&context)?;
        let tool = self.tools.iter().find(|tool| tool.tool.name == call.name);
        let unknown = || ErrorData::invalid_params(format!("there is no tool {}", call.name), None);
        let tool = tool.ok_or_else(unknown)?;
        let arguments = call.arguments.unwrap_or_default();
        let result = match call::request_of(tool, arguments, parts) {
            Ok(request) => {
                let answered = self.routes.clone().oneshot(request).await;
                let response = answered.unwrap_or_else(|never| match never {});
                call::result_of(response, self.result_bytes_max).await
            }
            Err(wrong) => call::result(wrong, true, self.result_bytes_max),
        };
        Ok(result.into())
    }
}

/// The request that brought a message, and its key.
fn asker(context: &RequestContext<RoleServer>) -> Result<(&Parts, &ApiKey), ErrorData> {
    let parts = context.extensions.get::<Parts>();
    let found = parts.and_then(|parts| Some((parts, &parts.extensions.get::<Asking>()?.0)));
    found.ok_or_else(|| ErrorData::internal_error("the request is not known", None))
}
