//! The OpenAPI document and the pages that show it.
//!
//! The document is built from the same routes that serve requests. What holds for every operation (401, 403, 503, …) is
//! added here, once. The pages come out of the binary: no file that is served names another server.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa::{
    OpenApi,
    openapi::{
        Content, ContentBuilder, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    AppState, api_keys, approvals, audit, automation, bulk, calls, catalogue, channels, chats,
    contacts, conversion, deliveries, emergency,
    error::ErrorBody,
    events, forward, groups, health, infra, labels, logins, mcp, media, messages, metrics, people,
    plugins, presence, processes, profile, search, sessions, stats, status, templates, webhooks,
    words::{OrderByWord, SearchMatchWord},
};

/// Where the document is served.
const DOCUMENT_PATH: &str = "/api/docs-json";
/// What the pages may load: their own files, and pictures inside them.
const PAGES_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'",
);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Waypost",
        description = "A self-hosted WhatsApp gateway that speaks OpenWA's HTTP API.\n\nSend the key as `X-API-Key` or as `Authorization: Bearer`. The security of an operation names the least role (`viewer`, `operator` or `admin`); `unscoped` means that keys with `allowedSessions` are refused, `chat` that keys with `allowedChats` are let in for those chats. Unknown body fields are refused.",
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (name = "API keys", description = "Keys, their roles and limits"),
        (name = "Sessions", description = "WhatsApp accounts connected through this gateway"),
        (name = "Messages", description = "Sending and reading messages"),
        (name = "Templates", description = "Stored texts with placeholders"),
        (name = "Media", description = "Conversion of sounds and videos"),
        (name = "Automation", description = "Answers that a session gives by itself"),
        (name = "Chats", description = "The chats of an account"),
        (name = "Contacts", description = "The people of an account"),
        (name = "Status", description = "WhatsApp's 24-hour posts"),
        (name = "Channels", description = "Channels that an account follows or has"),
        (name = "Labels", description = "Labels of business accounts"),
        (name = "Catalog", description = "Catalogues of business accounts"),
        (name = "Profile", description = "What an account shows of itself"),
        (name = "Presence", description = "Who is online and who is writing"),
        (name = "Calls", description = "Links to calls, and refusing them"),
        (name = "Groups", description = "Groups, their members and settings"),
        (name = "Webhooks", description = "Webhook subscriptions"),
        (name = "Deliveries", description = "Delivery log, dead letters and redelivery"),
        (name = "Events", description = "Live events, as a stream"),
        (name = "Statistics", description = "Numbers of sessions and messages, and the settings"),
        (name = "Infrastructure", description = "The installation: its parts, its settings, its data on their way"),
        (name = "Agents", description = "The API as tools of the Model Context Protocol"),
        (name = "Approvals", description = "What agents want to send, until a person releases or refuses it"),
        (name = "Audit", description = "The log of who did what"),
        (name = "Health", description = "Liveness, readiness and metrics"),
    ),
    components(schemas(
        ErrorBody,
        OrderByWord,
        SearchMatchWord,
        bulk::AcceptedBody,
        bulk::ForecastBody,
        status::StatusResult,
        people::Acknowledged
    )),
)]
struct Document;

/// All routes with their documentation.
pub fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(api_keys::routes())
        .merge(logins::routes())
        .merge(emergency::routes())
        .merge(sessions::routes())
        .merge(messages::routes())
        .merge(bulk::routes())
        .merge(templates::routes())
        .merge(media::routes())
        .merge(chats::routes())
        .merge(contacts::routes())
        .merge(status::routes())
        .merge(channels::routes())
        .merge(labels::routes())
        .merge(catalogue::routes())
        .merge(profile::routes())
        .merge(presence::routes())
        .merge(calls::routes())
        .merge(groups::routes())
        .merge(webhooks::routes())
        .merge(plugins::routes())
        .merge(deliveries::routes())
        .merge(events::routes())
        .merge(mcp::routes())
        .merge(approvals::routes())
        .merge(audit::routes())
        .merge(automation::routes())
        .merge(conversion::routes())
        .merge(infra::routes())
        .merge(processes::routes())
        .merge(stats::routes())
        .merge(search::routes())
        .merge(of_workers())
}

/// The routes that every process has.
pub fn of_workers() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(metrics::routes()).merge(health::routes())
}

/// The finished document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = documented().into_openapi();
    document.info.contact = None;
    if let Some(components) = document.components.as_mut() {
        let scheme = ApiKeyValue::with_description(
            "X-API-Key",
            "A key, `owa_k1_…`. `Authorization: Bearer` works too; this header wins.",
        );
        components.add_security_scheme("X-API-Key", SecurityScheme::ApiKey(ApiKey::Header(scheme)));
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("metrics-bearer", bearer);
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            if emergency::is_send(&method, path) {
                add_answers(operation, &[PAUSED]);
            }
            add_usual_answers(operation, path.contains('{'));
            if method == Method::POST && approvals::can_wait(path) {
                add_waiting(operation);
            }
            if forward::needs_owner(&method, path) {
                add_answers(operation, &OF_OTHER_PROCESSES);
            }
        }
    }
    document
}

/// The document as text; see [`crate::openapi_json`].
pub fn openapi_json() -> String {
    // Through a value: its maps are sorted, so the text does not depend on the order of registration.
    let value = serde_json::to_value(openapi()).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Where a request may be handed to the process that runs its session.
const OF_OTHER_PROCESSES: [(&str, &str); 2] = [
    ("502", "The connection to the gateway that runs the session broke off"),
    ("504", "The gateway that runs the session did not answer in time"),
];

/// Where a message would go out.
const PAUSED: (&str, &str) = (
    "503",
    "All sends are paused (`SENDS_PAUSED`), or the ledger does not answer, or too much is under way",
);

/// Answers that need no word of their own at each operation.
fn add_usual_answers(operation: &mut Operation, names_something: bool) {
    let open = operation.security.as_ref().is_some_and(|requirements| {
        requirements.iter().all(|requirement| *requirement == Default::default())
    });
    // Everywhere: a NUL in the URL, framing that can be read in two ways, a query that means nothing.
    let wrong = [("400", "A wrong path, query or framing")];
    if open {
        return add_answers(operation, &wrong);
    }
    let has_body = operation.request_body.is_some();
    let mut answers = vec![
        ("401", "The key is missing, unknown, revoked or expired"),
        ("403", "The key's role, sessions, chats or addresses do not allow it"),
        ("429", "The client asked too much; see `Retry-After`"),
        ("503", "The ledger does not answer, or too many large requests are under way"),
    ];
    if has_body {
        answers.push(("400", "A wrong body; `message` lists everything that is wrong with it"));
        answers.push(("408", "The body came too slowly"));
        answers.push(("413", "The body is too large"));
        answers.push(("415", "The body is compressed"));
    }
    if names_something {
        answers.push(("404", "Not found"));
    }
    answers.extend(wrong);
    add_answers(operation, &answers);
}

/// The answer to a key whose sends wait for a person.
fn add_waiting(operation: &mut Operation) {
    let schema = RefOr::Ref(Ref::from_schema_name("Approval"));
    let content: Content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description("It waits for a person: the key has an `approval` rule")
        .content("application/json", content)
        .build();
    operation.responses.responses.insert("202".to_owned(), response.into());
}

/// Adds answers, unless the operation describes them itself.
fn add_answers(operation: &mut Operation, answers: &[(&str, &str)]) {
    for (status, description) in answers {
        operation
            .responses
            .responses
            .entry((*status).to_owned())
            .or_insert_with(|| error(description));
    }
}

fn error(description: &str) -> RefOr<utoipa::openapi::Response> {
    let schema = RefOr::Ref(Ref::from_schema_name("Error"));
    let content: Content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build()
        .into()
}

/// `/api/docs` and `/api/docs-json`.
pub fn pages() -> Router<AppState> {
    // The validator's badge would be fetched from its makers' server. A key that is typed in is gone with the page:
    // kept in the browser's storage, whoever comes to the browser next could read it.
    let config = Config::from(DOCUMENT_PATH).validator_url("none").persist_authorization(false);
    let ui: Router<AppState> = SwaggerUi::new("/api/docs").config(config).into();
    ui.layer(from_fn(restrict)).route(DOCUMENT_PATH, get(document))
}

async fn document() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(openapi_json);
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], TEXT.as_str())
}

/// Even a page that names another server could not reach it.
async fn restrict(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, PAGES_POLICY);
    response
}
