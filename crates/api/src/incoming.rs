//! Request bodies on their way in: what they may cost, and what becomes of one that nobody reads.
//!
//! A connection is kept when the body of a request was read to its end. Where the request was refused before that,
//! the rest is read and thrown away, within limits, so that the next request of the connection is not lost; beyond
//! the limits the answer says that the connection closes.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body as HttpBody, Bytes, HttpBody as _},
    extract::{Request, State},
    http::{Extensions, HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

use crate::{AppState, error::ApiError};

/// How much of a refused body is read and thrown away. A client that is cut off while it writes sees a broken
/// connection instead of the answer.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long that may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long nothing may come meanwhile: the client may be waiting for the answer itself.
const DRAIN_SILENCE_MAX: Duration = Duration::from_secs(1);
/// The least pace of a body that is read, bytes a second, and how long it may be slower at first.
const LEAST_PACE: u64 = 1024;
const GRACE: Duration = Duration::from_secs(10);
/// What every body may have without a share of the budget: a flood of large ones keeps no small one out.
const FREE_BYTES: usize = 64 * 1024;
/// The budget is counted in such pieces.
const PIECE: usize = 1024;

/// Detail by whoever serves connections: set while the rest of a request is only thrown away, so that a connection is
/// not kept for that when there is want of places.
#[derive(Clone)]
pub struct Draining(pub Arc<AtomicBool>);

/// A client that sends too slowly.
#[derive(Debug)]
pub struct TooSlow;

impl std::fmt::Display for TooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request body came too slowly")
    }
}

impl std::error::Error for TooSlow {}

/// Bytes of bodies that may be in memory.
#[derive(Clone)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PIECE).clamp(1, Semaphore::MAX_PERMITS))))
    }
}

/// What the body of a request holds of the budget, until it is answered.
#[derive(Clone, Default)]
pub struct Hold(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    pieces: usize,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Hold {
    /// Takes what a body of so many bytes needs.
    ///
    /// # Errors
    /// 503: others hold it.
    pub fn grow(&self, budget: &Budget, bytes: usize) -> Result<(), ApiError> {
        let needed = bytes.saturating_sub(FREE_BYTES).div_ceil(PIECE);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let more = needed.saturating_sub(held.pieces);
        if more == 0 {
            return Ok(());
        }
        let permit = u32::try_from(more).ok();
        let permit = permit.and_then(|more| budget.0.clone().try_acquire_many_owned(more).ok());
        held.permits.push(permit.ok_or_else(ApiError::bodies_full)?);
        held.pieces = needed;
        Ok(())
    }

    /// Gives all of it back.
    pub fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Held::default();
    }
}

/// Reads the rest of bodies that were not read, or says that the connection closes.
pub async fn keep(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let draining = request.extensions().get::<Draining>().cloned();
    let waits = waits_for_word(request.headers());
    let (slot, hold) = (Slot::default(), Hold::default());
    let mut request = request.map(|inner| {
        let pace = Pace::new(state.options.request_timeout);
        HttpBody::new(Incoming { inner: Some(inner), slot: slot.clone(), pace })
    });
    request.extensions_mut().insert(hold.clone());
    let mut response = next.run(request).await;
    hold.release();
    let Some(rest) = slot.take() else { return response };
    if let Some(Draining(flag)) = &draining {
        flag.store(true, Ordering::Relaxed);
    }
    // Who waits for a word before it sends the body has sent nothing that would have to be read.
    if (waits && !rest.begun) || !drain(rest.body).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn waits_for_word(headers: &HeaderMap) -> bool {
    let expect = headers.get(header::EXPECT);
    expect.is_some_and(|word| word.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads and forgets, within limits; whether it came to the end.
async fn drain(mut body: HttpBody) -> bool {
    let read = async {
        let mut left = DRAIN_BYTES_MAX;
        loop {
            let next = tokio::time::timeout(DRAIN_SILENCE_MAX, body.frame()).await;
            match next {
                Ok(None) => return true,
                Ok(Some(Ok(frame))) => {
                    let size = frame.data_ref().map_or(0, Bytes::len);
                    let Some(rest) = left.checked_sub(size) else { return false };
                    left = rest;
                }
                Ok(Some(Err(_))) | Err(_) => return false,
            }
        }
    };
    tokio::time::timeout(DRAIN_LIMIT, read).await.unwrap_or(false)
}

/// A whole body, within the limit.
///
/// # Errors
/// 400 when it ends early, 408 when it is too slow, 413 when it is longer, 503 when others hold the budget.
pub async fn collect(
    extensions: &Extensions,
    mut body: HttpBody,
    limit: usize,
    budget: &Budget,
) -> Result<Vec<u8>, ApiError> {
    let hold = extensions.get::<Hold>().cloned().unwrap_or_default();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(ended_early)?;
        let Some(data) = frame.data_ref() else { continue };
        let refused = match bytes.len() + data.len() {
            size if size > limit => Err(ApiError::too_large()),
            size => hold.grow(budget, size),
        };
        if let Err(refused) = refused {
            hold.release();
            return Err(refused);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// Why a body has no end.
pub fn ended_early(error: axum::Error) -> ApiError {
    if is_slow(&error) {
        return ApiError::too_slow();
    }
    ApiError::bad_request("The request body ended early")
}

fn is_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<TooSlow>() || error.source().is_some_and(is_slow)
}

/// Where a body is left by whoever stops reading it.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Rest>>>);

struct Rest {
    body: HttpBody,
    /// Whether anybody asked for it.
    begun: bool,
}

impl Slot {
    fn take(&self) -> Option<Rest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, rest: Rest) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
    }
}

/// A body that is watched.
struct Incoming {
    /// None when it came to its end.
    inner: Option<HttpBody>,
    slot: Slot,
    pace: Pace,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(body) = self.inner.take().filter(|inner| !inner.is_end_stream()) {
            self.slot.put(Rest { body, begun: self.pace.began.is_some() });
        }
    }
}

impl axum::body::HttpBody for Incoming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        this.pace.began.get_or_insert_with(Instant::now);
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                match &frame {
                    Some(Ok(frame)) => this.pace.came(frame.data_ref().map_or(0, Bytes::len)),
                    Some(Err(_)) | None => this.inner = None,
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                ready!(this.pace.poll(cx));
                Poll::Ready(Some(Err(axum::Error::new(TooSlow))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(Default::default, HttpBody::size_hint)
    }
}

/// How fast a body comes, and how fast it must. Only time that is spent waiting for the client counts.
struct Pace {
    whole: Duration,
    began: Option<Instant>,
    bytes: u64,
    waited: Duration,
    waits_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(whole: Duration) -> Self {
        let (began, waits_since, alarm) = (None, None, None);
        Self { whole, began, bytes: 0, waited: Duration::ZERO, waits_since, alarm }
    }

    fn came(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Ready when the client has had its time.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.waits_since.is_none() {
            let allowed = GRACE + Duration::from_millis(self.bytes * 1000 / LEAST_PACE);
            let whole = self.began.unwrap_or(now) + self.whole;
            let until = whole.min(now + allowed.saturating_sub(self.waited));
            self.waits_since = Some(now);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(until),
                None => self.alarm = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
