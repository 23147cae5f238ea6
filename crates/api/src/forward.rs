//! Requests about a session that another process runs.
//!
//! Any process can be asked about any session. What the ledger answers, any process answers; what needs the session's
//! connection, or changes what its process works with, is handed to that process, at most once: [`forward`]. There
//! [`receive`] takes it as if the caller had come by itself. The caller's key is checked in both.

use std::{net::IpAddr, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use domain::{SessionId, hop, port::Holder};
use gateway::peers::{HOP, HandOverError, NotTaken, Owner, Peers};

use crate::{
    AppState,
    access::{authenticate, presented_key, presented_login},
    address::{Via, client_ip},
    body::limit,
    error::ApiError,
    incoming::collect,
};

/// Every route of a session begins so.
const SESSION: &str = "/api/sessions/{sessionId}";
/// What is changed only in the ledger, by any process: what follows [`SESSION`] begins with one of these.
const ANYWHERE: [&str; 4] = ["/webhooks", "/templates", "/automation-rules", "/media/convert"];
/// Reads that need the connection, or what its process has in memory.
const ASKED: [&str; 22] = [
    "/qr",
    "/passkey",
    "/status/{id}/media",
    "/channels",
    "/channels/{channelId}",
    "/channels/{channelId}/messages",
    "/catalog",
    "/catalog/products",
    "/catalog/products/{productId}",
    "/contacts/check/{number}",
    "/contacts/blocked",
    "/contacts/profile-pictures",
    "/contacts/{contactId}/profile-picture",
    "/contacts/{contactId}/lid",
    "/presence/{chatId}",
    "/groups",
    "/groups/join-info",
    "/groups/{groupId}",
    "/groups/{groupId}/invite-code",
    "/groups/{groupId}/membership-requests",
    "/groups/{groupId}/picture",
    "/groups/{groupId}/settings",
];

/// An answer that another process gave, or did not give: it is audited there.
#[derive(Clone, Copy)]
pub struct Forwarded;

/// Whether a route is for the process that runs the session. Reads are answered anywhere unless they are named here,
/// changes are not: a new one goes to the process that runs the session.
pub fn needs_owner(method: &Method, route: &str) -> bool {
    let Some(rest) = route.strip_prefix(SESSION) else { return false };
    if method == Method::GET || method == Method::HEAD {
        return ASKED.contains(&rest);
    }
    !ANYWHERE.iter().any(|part| rest.starts_with(part))
}

/// Takes a request that another process hands over: from here on it comes from the caller's own address. One that
/// only says so is refused.
pub async fn receive(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let Some(seal) = request.headers_mut().remove(HOP) else { return next.run(request).await };
    let taken = match &state.gateway.peers {
        Some(peers) => {
            let about = hop::Request {
                method: request.method().as_str(),
                target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
                credential: credential(request.headers()),
            };
            peers.take(&about, seal.to_str().unwrap_or(""))
        }
        None => Err(NotTaken::NotForUs),
    };
    match taken {
        Ok(client) => {
            request.extensions_mut().insert(Via { client });
            next.run(request).await
        }
        Err(NotTaken::NotForUs) => elsewhere(),
        Err(why) => {
            tracing::warn!(reason = %why, "a forwarded request was refused");
            let refused = ApiError::new(StatusCode::FORBIDDEN, "Forwarded request refused");
            with_header(Peers::refused(), refused)
        }
    }
}

/// Hands a request to the process that runs its session, if that is another one.
pub async fn forward(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let Some(peers) = state.gateway.peers.clone() else { return next.run(request).await };
    let Some(session) = concerned(&request) else { return next.run(request).await };
    let holder = match (peers.owner(session).await, request.extensions().get::<Via>()) {
        (Ok(Owner::Here), _) | (Ok(Owner::Nobody), None) => return next.run(request).await,
        // Never handed on: the first process looks again.
        (Ok(_), Some(_)) => return elsewhere(),
        (Ok(Owner::Elsewhere(holder)), None) => holder,
        (Err(error), _) => return ApiError::store(error).into_response(),
    };
    let (parts, body) = request.into_parts();
    let body = match check(&parts, session, &state).await {
        Ok(()) => {
            let limit = limit(&parts.extensions, &state.options);
            collect(&parts.extensions, body, limit, &state.bodies).await
        }
        Err(refused) => Err(refused),
    };
    let body = match body {
        Ok(body) => Bytes::from(body),
        Err(refused) => return refused.into_response(),
    };
    let client = client_ip(&parts, &state.options.trusted_proxies);
    let call = Call { peers, session, credential: credential(&parts.headers).to_vec(), client };
    let mut request = http::Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.headers_mut() = parts.headers.clone();
    match call.hand_over(holder, &request).await {
        Ok(Some(answer)) => marked(answer),
        // Its process let go of it meanwhile: this one may begin.
        Ok(None) => next.run(Request::from_parts(parts, Body::from(request.into_body()))).await,
        Err(error) => marked(refusal(&error, call.peers.answer_limit()).into_response()),
    }
}

/// One request on its way.
struct Call {
    peers: Peers,
    session: SessionId,
    credential: Vec<u8>,
    client: Option<IpAddr>,
}

impl Call {
    /// The answer; none when the session is this process's, or nobody's, by now. A process that does not run the
    /// session did nothing, so that the next one may be asked: once.
    async fn hand_over(
        &self,
        first: Holder,
        request: &http::Request<Bytes>,
    ) -> Result<Option<Response>, HandOverError> {
        match self.ask(&first, request).await {
            Err(HandOverError::NotThere) => {}
            answered => return answered.map(Some),
        }
        match self.peers.owner(self.session).await {
            Ok(Owner::Here | Owner::Nobody) => Ok(None),
            Ok(Owner::Elsewhere(next)) if next != first => self.ask(&next, request).await.map(Some),
            // Its lease has not run out yet, or it cannot be known.
            Ok(Owner::Elsewhere(_)) | Err(_) => Err(HandOverError::NotThere),
        }
    }

    async fn ask(
        &self,
        holder: &Holder,
        request: &http::Request<Bytes>,
    ) -> Result<Response, HandOverError> {
        let answer = self.peers.hand_over(holder, request, &self.credential, self.client).await;
        let answer = answer.inspect_err(|error| {
            tracing::warn!(session.id = %self.session, node = holder.owner,
                error = error as &dyn std::error::Error, "a request was not answered by its process");
        })?;
        let (mut parts, body) = answer.into_parts();
        let cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let own: Vec<HeaderName> = parts.headers.keys().filter(cors).cloned().collect();
        // This process speaks with the browser.
        for name in own.into_iter().chain([header::VARY]) {
            parts.headers.remove(name);
        }
        Ok(Response::from_parts(parts, Body::from_stream(body)))
    }
}

/// The session of a request that only its process can answer.
fn concerned(request: &Request) -> Option<SessionId> {
    let route = request.extensions().get::<MatchedPath>()?;
    if !needs_owner(request.method(), route.as_str()) {
        return None;
    }
    // A text that is no id names no session: the 404 is the same everywhere.
    request.uri().path().strip_prefix("/api/sessions/")?.split('/').next()?.parse().ok()
}

/// What can be checked here of the caller; the session's process checks everything.
async fn check(parts: &Parts, session: SessionId, state: &AppState) -> Result<(), ApiError> {
    Ok(authenticate(parts, state).await?.check_session(session)?)
}

fn credential(headers: &HeaderMap) -> &[u8] {
    presented_key(headers).or_else(|| presented_login(headers)).unwrap_or("").as_bytes()
}

fn marked(mut response: Response) -> Response {
    response.extensions_mut().insert(Forwarded);
    response
}

/// An error with a word for the process that asked.
fn with_header((name, word): (HeaderName, HeaderValue), error: ApiError) -> Response {
    let mut response = error.into_response();
    response.headers_mut().insert(name, word);
    response
}

/// The answer to another process: nothing was done, and it may look again.
fn elsewhere() -> Response {
    let error = ApiError::new(StatusCode::CONFLICT, "Session is running in another process");
    with_header(Peers::elsewhere(), error.with_retry(1))
}

/// The answer to the caller when the session's process did not give one.
fn refusal(error: &HandOverError, limit: Duration) -> ApiError {
    const UNKNOWN: &str = "whether the request was carried out is not known";
    let unreachable = |sentence: &str| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
            .with_code("SESSION_NODE_UNREACHABLE")
    };
    match error {
        HandOverError::NoAddress => unreachable(
            "Session is running in another process, which does not say where it is asked (NODE_URL)",
        ),
        HandOverError::Refused => unreachable(
            "The process that runs this session refuses requests of this one: do their clocks agree?",
        ),
        HandOverError::Unreachable(_) | HandOverError::NotThere => {
            unreachable("The process that runs this session cannot be reached").with_retry(1)
        }
        HandOverError::Silent => {
            let limit = limit.as_millis();
            let sentence = format!(
                "The process that runs this session did not answer within {limit} ms; {UNKNOWN}"
            );
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, sentence).with_code("SESSION_NODE_TIMEOUT")
        }
        HandOverError::BrokenOff(_) => {
            let sentence = format!(
                "The connection to the process that runs this session broke off; {UNKNOWN}"
            );
            ApiError::new(StatusCode::BAD_GATEWAY, sentence).with_code("SESSION_NODE_LOST")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation about a session that is answered by whoever is asked.
    const EVERYWHERE: [&str; 41] = [
        "DELETE /automation-rules/{ruleId}",
        "DELETE /templates/{id}",
        "DELETE /webhooks/{id}",
        "GET ",
        "GET /automation-rules",
        "GET /automation-rules/{ruleId}",
        "GET /chats",
        "GET /config",
        "GET /contacts",
        "GET /contacts/{contactId}",
        "GET /contacts/{contactId}/phone",
        "GET /labels",
        "GET /labels/chat/{chatId}",
        "GET /labels/{labelId}",
        "GET /labels/{labelId}/chats",
        "GET /media/convert",
        "GET /messages",
        "GET /messages/batch/{batchId}",
        "GET /messages/batches",
        "GET /messages/{chatId}/history",
        "GET /messages/{chatId}/{messageId}/media",
        "GET /messages/{chatId}/{messageId}/reactions",
        "GET /messages/{chatId}/{messageId}/receipts",
        "GET /proxy",
        "GET /status",
        "GET /status/{id}",
        "GET /templates",
        "GET /templates/{id}",
        "GET /webhooks",
        "GET /webhooks/{id}",
        "POST /automation-rules",
        "POST /media/convert/video",
        "POST /media/convert/voice",
        "POST /templates",
        "POST /webhooks",
        "POST /webhooks/{id}/pause",
        "POST /webhooks/{id}/resume",
        "POST /webhooks/{id}/test",
        "PUT /automation-rules/{ruleId}",
        "PUT /templates/{id}",
        "PUT /webhooks/{id}",
    ];

    #[test]
    fn it_is_known_of_every_route_who_answers() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let mut everywhere = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let Ok(name) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                    continue;
                };
                if path.starts_with(SESSION) && !needs_owner(&name, path) {
                    everywhere.push(format!("{name} {}", path.trim_start_matches(SESSION)));
                }
            }
        }
        everywhere.sort();
        assert_eq!(everywhere, EVERYWHERE);
    }
}
