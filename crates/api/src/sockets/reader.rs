//! One socket, from its handshake to its end.
//!
//! It reads the log at its own place. What does not fit into the connection's buffer waits here, a page at most, and
//! meanwhile nothing more is read. A key that was changed or revoked ends it.

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc, time::Duration};

use axum::http::StatusCode;
use domain::{
    Timestamp,
    api_key::{ApiKey, Role},
    log::{AuditEntry, LoggedEvent, Severity},
    port::StoreError,
};
use gateway::live::{LiveError, LiveFilter, News, Reader, Who};
use serde::Serialize;
use serde_json::Value;
use socketioxide::{SocketIo, extract::SocketRef};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use super::{
    ClientInbox,
    emit::{Emitted, emit, emit_last},
    frames::{ClientAsk, ClientFrame, ErrorCode, ServerFrame, SocketRefusal, session_word},
    rooms::{Beginning, Rooms},
};
use crate::{
    AppState,
    access::{Pass, Shown, check_shown},
    address::client_ip,
    events::MissedBody,
    rates::network,
};

/// Events that are read at once, and so wait at most.
const PAGE: usize = 16;
/// Answers that may wait; meanwhile frames of the client are not read.
const ANSWERS_MAX: usize = 32;
/// Between two looks at the socket's key; a change in this process is looked at at once.
const KEY_CHECK: Duration = Duration::from_secs(10);
/// Between two looks at a buffer that is full.
const ROOM_CHECK: Duration = Duration::from_millis(10);
/// After the ledger failed.
const LEDGER_REST: Duration = Duration::from_secs(1);
/// How long connections have to close when the gateway stops.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What a socket is sent next.
enum WaitingFrame {
    Event(Arc<LoggedEvent>),
    Frame(ServerFrame<'static>),
}

impl Serialize for WaitingFrame {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Event(event) => ServerFrame::from(&**event).serialize(serializer),
            Self::Frame(frame) => frame.serialize(serializer),
        }
    }
}

/// Serves a socket until it closes.
pub async fn serve(state: AppState, io: SocketIo, socket: SocketRef, auth: Value) {
    let Some(inbox) = socket.extensions.get::<ClientInbox>() else { return };
    let Some(frames) = inbox.take() else { return };
    match SocketReader::begin(&state, &socket, &auth).await {
        Ok(mut reader) => {
            let ended = reader.run(frames, &inbox.closed).await;
            reader.finish(ended, &io).await;
        }
        Err(refusal) => shut_out(&state, &socket, refusal),
    }
}

fn log_wait(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "a socket has to wait for the event log");
}

/// Says why, and ends it.
fn shut_out(state: &AppState, socket: &SocketRef, refusal: SocketRefusal) {
    tracing::debug!(code = ?refusal.code, "a socket was shut out");
    let frame = error_frame(state.gateway.live.now(), refusal);
    let _ = emit_last(socket, &frame);
    // Where even the kept places are taken, the missing sign of life closes the connection.
    let _ = socket.clone().disconnect();
}

fn error_frame(now: Timestamp, refusal: SocketRefusal) -> ServerFrame<'static> {
    let SocketRefusal { code, message, request_id } = refusal;
    ServerFrame::Error { code, message, request_id, timestamp: now.iso() }
}

/// Why a socket is served no longer.
enum SocketEnd {
    /// The client went.
    Closed,
    /// The gateway stops: the client comes back to another process.
    Stopping,
    /// It is shut out.
    Refused(SocketRefusal),
}

/// What serves one socket.
pub struct SocketReader {
    state: AppState,
    socket: SocketRef,
    pass: Pass,
    reader: Reader,
    rooms: Rooms,
    /// Where the client says that it was.
    cursor: Option<u64>,
    waiting: VecDeque<WaitingFrame>,
    /// Since when nothing has left.
    full_since: Option<Instant>,
    changes: watch::Receiver<()>,
    check_at: Timestamp,
    /// When the client was last told that it says too much.
    told_limit_at: Option<Timestamp>,
}

impl SocketReader {
    async fn begin(
        state: &AppState,
        socket: &SocketRef,
        auth: &Value,
    ) -> Result<Self, SocketRefusal> {
        let live = &state.gateway.live;
        let address = client_ip(socket.req_parts(), &state.options.trusted_proxies);
        if let Err(seconds) = state.sockets.handshakes.take(network(address), live.now()) {
            let message = format!("Too many connections; try again in {seconds} s");
            return Err(SocketRefusal::new(ErrorCode::RateLimited, message));
        }
        // Before the checks could be out of date.
        let changes = state.gateway.api_keys.changes();
        let key = authenticate(state, socket, auth).await?;
        let cursor = read_cursor(&auth["cursor"])?;
        let filter = LiveFilter { sessions: key.allowed_sessions.clone(), ..LiveFilter::default() };
        let who = Who { key: key.id, address };
        // From now on: a room that begins at the cursor goes back to it.
        let reader = live.reader(who, filter, None).await.map_err(refusal_of)?;
        if cursor.is_some_and(|cursor| cursor > reader.cursor()) {
            return Err(refusal_of(LiveError::Cursor));
        }
        let check_at = live.now().plus(KEY_CHECK);
        Ok(Self {
            state: state.clone(),
            socket: socket.clone(),
            pass: Pass::new(key, None),
            reader,
            rooms: Rooms::default(),
            cursor,
            waiting: VecDeque::new(),
            full_since: None,
            changes,
            check_at,
            told_limit_at: None,
        })
    }

    fn now(&self) -> Timestamp {
        self.state.gateway.live.now()
    }

    async fn run(&mut self, mut frames: mpsc::Receiver<Value>, closed: &Notify) -> SocketEnd {
        loop {
            if let ControlFlow::Break(ended) = self.flush() {
                return ended;
            }
            let (full, busy) = (!self.waiting.is_empty(), self.waiting.len() >= ANSWERS_MAX);
            if self.now() >= self.check_at {
                if !self.pass.holds(&self.state).await {
                    let message = "API key was changed or revoked";
                    return SocketEnd::Refused(SocketRefusal::new(
                        ErrorCode::Unauthorized,
                        message,
                    ));
                }
                self.check_at = self.now().plus(KEY_CHECK);
            }
            let check_at = self.check_at;
            tokio::select! {
                biased;
                () = closed.notified() => return SocketEnd::Closed,
                // The sender lives as long as the gateway.
                _ = self.changes.changed() => self.check_at = self.state.gateway.live.now(),
                frame = frames.recv(), if !busy => match frame {
                    Some(frame) => if let Err(refusal) = self.answer(frame).await {
                        return SocketEnd::Refused(refusal);
                    },
                    None => return SocketEnd::Closed,
                },
                () = tokio::time::sleep(ROOM_CHECK), if full => {}
                news = self.reader.next(PAGE, check_at), if !full => match news {
                    Ok(News::Events(events)) => self.take(events),
                    Ok(News::Quiet) => {}
                    Ok(News::Ended) => return SocketEnd::Stopping,
                    Err(error) => {
                        log_wait(&error);
                        tokio::time::sleep(LEDGER_REST).await;
                    }
                },
            }
        }
    }

    fn take(&mut self, events: Vec<Arc<LoggedEvent>>) {
        let wanted = events.into_iter().filter(|event| self.rooms.wants(event));
        self.waiting.extend(wanted.map(WaitingFrame::Event));
    }

    /// Sends what fits.
    fn flush(&mut self) -> ControlFlow<SocketEnd> {
        while let Some(next) = self.waiting.front() {
            match emit(&self.socket, next) {
                Emitted::Taken => {
                    self.waiting.pop_front();
                    self.full_since = None;
                }
                Emitted::Gone => return ControlFlow::Break(SocketEnd::Closed),
                Emitted::Full => {
                    let since = *self.full_since.get_or_insert_with(Instant::now);
                    let limit = self.state.sockets.options.stall_limit;
                    if since.elapsed() < limit {
                        return ControlFlow::Continue(());
                    }
                    let message = format!("Nothing was read for {} s", limit.as_secs());
                    let refusal = SocketRefusal::new(ErrorCode::SlowReader, message);
                    return ControlFlow::Break(SocketEnd::Refused(refusal));
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Answers one frame.
    ///
    /// # Errors
    /// The socket cannot go on.
    async fn answer(&mut self, frame: Value) -> Result<(), SocketRefusal> {
        let now = self.now();
        if !self.state.sockets.frames.take(self.pass.key().id, now) {
            // Dropped; a word about it once a second is enough.
            if self.told_limit_at.is_none_or(|at| at.plus(Duration::from_secs(1)) <= now) {
                self.told_limit_at = Some(now);
                self.refuse(SocketRefusal::new(ErrorCode::RateLimited, "Too many messages"));
            }
            return Ok(());
        }
        let frame = match ClientFrame::read(&frame, self.pass.key()) {
            Ok(frame) => frame,
            Err(refusal) => {
                self.refuse(refusal);
                return Ok(());
            }
        };
        let (request_id, timestamp) = (frame.request_id, now.iso());
        let answer = match frame.ask {
            ClientAsk::Ping => ServerFrame::Pong { request_id, timestamp },
            ClientAsk::Unsubscribe { session } => {
                self.rooms.leave(session);
                self.refilter();
                ServerFrame::Unsubscribed {
                    session_id: session_word(session),
                    request_id,
                    timestamp,
                }
            }
            ClientAsk::Subscribe { session, names } => {
                if !self.pass.holds(&self.state).await {
                    let message = "API key was changed or revoked";
                    return Err(SocketRefusal::new(ErrorCode::Unauthorized, message));
                }
                let end = self.state.gateway.live.end().await;
                let now = end.map_err(|error| refusal_of(LiveError::Store(error)))?;
                let beginning = Beginning { now, cursor: self.cursor };
                // What the rooms of before wanted was read up to here.
                self.rooms.told(self.reader.cursor());
                let Ok(first) = self.rooms.enter(session, &names, beginning) else {
                    let code = ErrorCode::TooManySubscriptions;
                    let refusal = SocketRefusal::new(code, "Too many subscriptions");
                    self.refuse(SocketRefusal { request_id, ..refusal });
                    return Ok(());
                };
                let events = names.into_iter().map(String::from).collect();
                self.waiting.push_back(WaitingFrame::Frame(ServerFrame::Subscribed {
                    session_id: session_word(session),
                    events,
                    cursor: first.to_string(),
                    request_id,
                    timestamp,
                }));
                return self.begin_at(first).await;
            }
        };
        self.waiting.push_back(WaitingFrame::Frame(answer));
        Ok(())
    }

    /// Sees to it that what a new room wants is read.
    async fn begin_at(&mut self, first: u64) -> Result<(), SocketRefusal> {
        self.refilter();
        if first >= self.reader.cursor() {
            return Ok(());
        }
        let missed = self.reader.seek(first).await.map_err(refusal_of)?;
        if let Some(missed) = missed {
            let frame = ServerFrame::Pruned {
                timestamp: self.now().iso(),
                missed: MissedBody::from(missed),
            };
            self.waiting.push_back(WaitingFrame::Frame(frame));
        }
        Ok(())
    }

    fn refilter(&mut self) {
        let key = self.pass.key();
        self.reader.refilter(LiveFilter {
            session: self.rooms.only_session(),
            sessions: key.allowed_sessions.clone(),
            chats: key.allowed_chats.clone(),
            kinds: self.rooms.kinds(),
            qr: key.role >= Role::Operator,
        });
    }

    fn refuse(&mut self, refusal: SocketRefusal) {
        let frame = error_frame(self.now(), refusal);
        self.waiting.push_back(WaitingFrame::Frame(frame));
    }

    async fn finish(self, ended: SocketEnd, io: &SocketIo) {
        match ended {
            SocketEnd::Closed => {}
            SocketEnd::Refused(refusal) => shut_out(&self.state, &self.socket, refusal),
            SocketEnd::Stopping => {
                // Connections that close make clients come back; one that takes nothing must not hold us up.
                let _ = tokio::time::timeout(CLOSE_LIMIT, io.close()).await;
            }
        }
    }
}

/// The key of a handshake: in its data, or in the header. Never in the URL: URLs end up in logs. The login of a browser
/// is not taken: a handshake is a read, which any page may begin.
async fn authenticate(
    state: &AppState,
    socket: &SocketRef,
    auth: &Value,
) -> Result<ApiKey, SocketRefusal> {
    let parts = socket.req_parts();
    let header = parts.headers.get("x-api-key").and_then(|key| key.to_str().ok());
    let text = auth["apiKey"].as_str().or(header).map(str::trim).filter(|key| !key.is_empty());
    let unauthorized = |message: &str| SocketRefusal::new(ErrorCode::Unauthorized, message);
    let Some(text) = text else { return Err(unauthorized("API key is required")) };
    let address = client_ip(parts, &state.options.trusted_proxies);
    let found = std::sync::OnceLock::new();
    let note = |key: &ApiKey| {
        let _ = found.set((key.id, key.name.clone()));
    };
    match check_shown(Shown::Key(text), address, &note, state).await {
        Ok(key) => Ok(key),
        Err(error) => {
            let Some(why) = error.refused_key() else {
                let code = match error.status() {
                    StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
                    _ => ErrorCode::Unavailable,
                };
                return Err(SocketRefusal::new(code, "The API key could not be checked"));
            };
            let audit = &state.gateway.audit;
            let (id, name) = found.into_inner().unzip();
            audit.note_refusal(AuditEntry {
                api_key: id,
                api_key_name: name,
                ip: address.map(|ip| ip.to_string()),
                path: Some(super::PATH.to_owned()),
                error_message: Some(why.clone()),
                ..audit.entry("api_key_auth_failed", Severity::Warn)
            });
            Err(unauthorized(&why))
        }
    }
}

/// A cursor: a text, as all of ours are, or a number.
fn read_cursor(value: &Value) -> Result<Option<u64>, SocketRefusal> {
    let cursor = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let wrong = || SocketRefusal::new(ErrorCode::InvalidCursor, "auth.cursor is not one of ours");
    cursor.map(Some).ok_or_else(wrong)
}

fn refusal_of(error: LiveError) -> SocketRefusal {
    let code = match &error {
        LiveError::Full(_) | LiveError::KeyFull(_) | LiveError::AddressFull(_) => {
            ErrorCode::RateLimited
        }
        LiveError::Cursor => ErrorCode::InvalidCursor,
        LiveError::Store(error) => {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "a socket cannot read the event log");
            ErrorCode::Unavailable
        }
    };
    SocketRefusal::new(code, error.to_string())
}
