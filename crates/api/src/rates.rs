//! How much one client may ask: three windows for requests, as OpenWA has them, and a narrower one for wrong keys.
//!
//! A window is counted from its first request. A request that is refused is not counted, so that a client that waits
//! as it was told gets through. A wrong key costs a look into the ledger; after some in a minute a client is refused
//! without one, unless it shows a key that was right before: a neighbour at the same address must not lock it out.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use domain::{Timestamp, api_key::KeyHash, log::Severity};

use crate::{
    AppState,
    access::{presented_key, presented_login},
    address::{Via, client_ip},
    audit::About,
    error::ApiError,
};

/// A browser that is logged in may ask so many times what a client may: a page asks in many small requests.
const LOGIN_TIMES: u32 = 10;
/// Clients that are counted one by one; further ones share one count until others have run out.
const CLIENTS_MAX: usize = 20_000;
/// Keys that are remembered as right; when full all are forgotten.
const KNOWN_MAX: usize = 10_000;
/// The window of wrong keys.
const GUESSING: Duration = Duration::from_secs(60);
/// The windows' names, in headers and metrics.
const NAMES: [&str; 3] = ["short", "medium", "long"];

/// How many requests fit into a time.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// How long it is.
    pub length: Duration,
    /// Requests in it; 0 is no limit.
    pub limit: u32,
}

/// What one client may ask.
#[derive(Debug, Clone, Copy)]
pub struct RateOptions {
    /// The shortest window, against bursts.
    pub short: Window,
    /// The window of a minute.
    pub medium: Window,
    /// The window of an hour.
    pub long: Window,
    /// Wrong keys in a minute; 0 is no limit.
    pub wrong_keys: u32,
}

impl Default for RateOptions {
    fn default() -> Self {
        let window = |seconds, limit| Window { length: Duration::from_secs(seconds), limit };
        let (short, medium, long) = (window(1, 10), window(60, 100), window(3600, 1000));
        Self { short, medium, long, wrong_keys: 10 }
    }
}

impl RateOptions {
    /// No window limits anybody.
    pub fn off() -> Self {
        let window = Window { length: Duration::from_secs(1), limit: 0 };
        Self { short: window, medium: window, long: window, wrong_keys: 0 }
    }

    fn windows(&self) -> [Window; 3] {
        [self.short, self.medium, self.long]
    }
}

/// Requests since a moment.
#[derive(Clone, Copy, Default)]
struct Count {
    since: i64,
    requests: u32,
    /// Whether one was refused and logged.
    logged: bool,
}

impl Count {
    /// Begins anew when the window is over; also when the clock was set back.
    fn at(&mut self, now: i64, window: Duration) -> &mut Self {
        let length = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        if self.requests == 0 || !(0..length).contains(&now.saturating_sub(self.since)) {
            *self = Self { since: now, ..Self::default() };
        }
        self
    }

    /// Whole seconds until the window is over, at least one.
    fn left(&self, now: i64, window: Duration) -> u64 {
        let end = self.since.saturating_add(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
        u64::try_from(end.saturating_sub(now)).unwrap_or(0).div_ceil(1000).max(1)
    }
}

/// What a wrong try was one of. They are counted apart: a page whose login is over must not keep its owner from logging
/// in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guess {
    /// A key, or a login link.
    Key,
    /// The cookie of a browser.
    Login,
}

#[derive(Default)]
struct Counts {
    clients: HashMap<Option<IpAddr>, [Count; 3]>,
    /// Logins that were right before.
    logins: HashMap<KeyHash, [Count; 3]>,
    guesses: HashMap<(Option<IpAddr>, Guess), Count>,
    known: HashSet<KeyHash>,
    swept: i64,
}

/// The counts of all clients of this process.
pub struct Rates {
    options: RateOptions,
    counts: Mutex<Counts>,
    refused: [AtomicU64; 4],
}

/// What a client has left of a window.
struct Left {
    name: &'static str,
    limit: u32,
    remaining: u32,
    reset: u64,
}

/// What follows from the counts.
struct Judgement {
    left: Vec<Left>,
    /// The window that is full and seconds until it is not, and whether that was logged already.
    full: Option<(&'static str, u64, bool)>,
}

impl Rates {
    pub fn new(options: RateOptions) -> Self {
        Self { options, counts: Mutex::default(), refused: Default::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, client: Option<IpAddr>, login: Option<KeyHash>, now: Timestamp) -> Judgement {
        let (now, mut windows) = (now.millis(), self.options.windows());
        let mut counts = self.lock();
        let mine = match login.filter(|login| counts.known.contains(login)) {
            Some(login) => {
                for window in &mut windows {
                    window.limit = window.limit.saturating_mul(LOGIN_TIMES);
                }
                counts.logins.entry(login).or_default()
            }
            None => {
                let client = counts.place(client, now, self.options.long.length);
                counts.clients.entry(client).or_default()
            }
        };
        let mut judgement = Judgement { left: vec![], full: None };
        for (at, (count, window)) in mine.iter_mut().zip(windows).enumerate() {
            let count = count.at(now, window.length);
            if window.limit > 0 && count.requests >= window.limit {
                self.refused[at].fetch_add(1, Ordering::Relaxed);
                let logged = std::mem::replace(&mut count.logged, true);
                judgement.full = Some((NAMES[at], count.left(now, window.length), logged));
            }
        }
        for (at, (count, window)) in mine.iter_mut().zip(windows).enumerate() {
            if judgement.full.is_none() {
                count.requests = count.requests.saturating_add(1);
            }
            if window.limit > 0 {
                let (name, limit) = (NAMES[at], window.limit);
                let remaining = limit.saturating_sub(count.requests);
                let reset = count.left(now, window.length);
                judgement.left.push(Left { name, limit, remaining, reset });
            }
        }
        judgement
    }

    /// Whether a key may be looked up for a client; otherwise seconds to wait.
    pub fn may_try(
        &self,
        (client, guess): (Option<IpAddr>, Guess),
        key: KeyHash,
        now: Timestamp,
    ) -> Result<(), u64> {
        let most = self.options.wrong_keys;
        if most == 0 {
            return Ok(());
        }
        let (mut counts, now) = (self.lock(), now.millis());
        if counts.known.contains(&key) {
            return Ok(());
        }
        let Some(count) = counts.guesses.get_mut(&(network(client), guess)) else { return Ok(()) };
        let count = count.at(now, GUESSING);
        if count.requests < most {
            return Ok(());
        }
        self.refused[3].fetch_add(1, Ordering::Relaxed);
        Err(count.left(now, GUESSING))
    }

    /// A client showed a key that opens nothing.
    pub fn was_wrong(
        &self,
        (client, guess): (Option<IpAddr>, Guess),
        key: KeyHash,
        now: Timestamp,
    ) {
        let (mut counts, now) = (self.lock(), now.millis());
        counts.known.remove(&key);
        counts.logins.remove(&key);
        let client = (network(client), guess);
        if counts.guesses.len() >= CLIENTS_MAX && !counts.guesses.contains_key(&client) {
            counts.guesses.clear();
        }
        let count = counts.guesses.entry(client).or_default().at(now, GUESSING);
        count.requests = count.requests.saturating_add(1);
    }

    /// A key was right.
    pub fn was_right(&self, key: KeyHash) {
        let mut counts = self.lock();
        if counts.known.len() >= KNOWN_MAX && !counts.known.contains(&key) {
            counts.known.clear();
            counts.logins.clear();
        }
        counts.known.insert(key);
    }

    /// A login was opened: it is right from its first request on.
    pub fn opened(&self, login: &str) {
        self.was_right(KeyHash::of(login));
    }

    /// Refused requests since the start, by window, for the metrics.
    pub fn metrics(&self) -> String {
        const NAME: &str = "waypost_rate_limited_total";
        let mut text = format!("# HELP {NAME} Requests refused because a client asked too much.\n");
        text.push_str(&format!("# TYPE {NAME} counter\n"));
        for (name, count) in NAMES.iter().chain(&["wrong_key"]).zip(&self.refused) {
            let count = count.load(Ordering::Relaxed);
            text.push_str(&format!("{NAME}{{window=\"{name}\"}} {count}\n"));
        }
        text
    }
}

impl Counts {
    /// Under which name a client is counted.
    fn place(&mut self, client: Option<IpAddr>, now: i64, longest: Duration) -> Option<IpAddr> {
        let client = network(client);
        if self.clients.len() < CLIENTS_MAX || self.clients.contains_key(&client) {
            return client;
        }
        // Looking through all of them takes a moment: once a second is enough.
        if (now - self.swept).abs() >= 1000 {
            self.swept = now;
            let longest = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX);
            self.clients.retain(|_, counts| now.saturating_sub(counts[2].since) < longest);
        }
        if self.clients.len() < CLIENTS_MAX { client } else { None }
    }
}

/// Of IPv6 the network: whoever has one address of it usually has all.
pub fn network(client: Option<IpAddr>) -> Option<IpAddr> {
    client.map(|ip| match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip => ip,
    })
}

/// Whether requests of a route are counted: who asks whether the process lives must hear it, and the pages of the
/// documentation are files.
fn counts(route: &str) -> bool {
    !route.starts_with("/api/health")
        && route != "/"
        && !route.starts_with("/assets/")
        && route != "/api/infra/health"
        && !route.starts_with("/api/docs")
        // Sockets have limits of their own: a client that polls asks all the time. So have agents.
        && route != crate::sockets::PATH
        && route != crate::mcp::PATH
}

/// Counts a request, or refuses it.
pub async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    // What another process hands over was counted there.
    let is_counted = counts(route.map_or("", MatchedPath::as_str))
        && request.extensions().get::<Via>().is_none();
    if !is_counted {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let client = client_ip(&parts, &state.options.trusted_proxies);
    let login = presented_login(&parts.headers).filter(|_| presented_key(&parts.headers).is_none());
    let login = login.map(KeyHash::of);
    let judgement = state.rates.count(client, login, state.gateway.live.now());
    let request = Request::from_parts(parts, body);
    let mut response = match judgement.full {
        None => next.run(request).await,
        Some((window, seconds, logged)) => {
            if !logged {
                note(&state, &request, window);
            }
            let refused = ApiError::too_many(seconds);
            let name = HeaderName::try_from(format!("retry-after-{window}"));
            let mut response = refused.into_response();
            if let Ok(name) = name {
                response.headers_mut().insert(name, HeaderValue::from(seconds));
            }
            response
        }
    };
    for left in judgement.left {
        let values = [
            ("limit", u64::from(left.limit)),
            ("remaining", u64::from(left.remaining)),
            ("reset", left.reset),
        ];
        for (word, value) in values {
            if let Ok(name) = HeaderName::try_from(format!("x-ratelimit-{word}-{}", left.name)) {
                response.headers_mut().insert(name, HeaderValue::from(value));
            }
        }
    }
    response
}

/// One entry for each window of a client that is full.
fn note(state: &AppState, request: &Request, window: &str) {
    let entry = state.gateway.audit.entry("rate_limit_exceeded", Severity::Warn);
    let about = About::of(request, state);
    let mut entry = about.fill(entry, StatusCode::TOO_MANY_REQUESTS);
    entry.metadata = serde_json::json!({ "window": window });
    state.gateway.audit.note_refusal(entry);
}

/// Headers that browsers may read.
pub fn exposed() -> Vec<HeaderName> {
    let words = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"];
    let all = words.iter().flat_map(|word| NAMES.iter().map(move |name| format!("{word}-{name}")));
    all.filter_map(|name| HeaderName::try_from(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn each_window_is_counted_from_its_first_request_and_for_each_client() {
        let rates = Rates::new(RateOptions::default());
        for _ in 0..10 {
            assert!(rates.count(ip("192.0.2.1"), None, at(500)).full.is_none());
        }
        let full = |client: &str, millis| rates.count(ip(client), None, at(millis)).full;
        assert_eq!(full("192.0.2.1", 1499), Some(("short", 1, false)));
        assert_eq!(full("192.0.2.1", 1499), Some(("short", 1, true)), "logged once");
        assert_eq!(full("192.0.2.2", 1499), None);
        assert_eq!(full("192.0.2.1", 1500), None);
        for step in 0..89 {
            let at = at(3000 + step / 10 * 1500);
            assert!(rates.count(ip("192.0.2.1"), None, at).full.is_none());
        }
        assert_eq!(full("192.0.2.1", 17_000), Some(("medium", 44, false)));
        assert_eq!(full("192.0.2.1", 60_500), None);
    }

    #[test]
    fn wrong_keys_stop_at_their_limit_and_right_ones_go_on() {
        let rates = Rates::new(RateOptions::default());
        let (right, wrong) = (KeyHash::of("right"), KeyHash::of("wrong"));
        rates.was_right(right);
        for _ in 0..10 {
            assert_eq!(rates.may_try((ip("192.0.2.1"), Guess::Key), wrong, at(0)), Ok(()));
            rates.was_wrong((ip("192.0.2.1"), Guess::Key), wrong, at(0));
        }
        assert_eq!(rates.may_try((ip("192.0.2.1"), Guess::Key), wrong, at(1000)), Err(59));
        assert_eq!(rates.may_try((ip("192.0.2.1"), Guess::Key), right, at(1000)), Ok(()));
        assert_eq!(rates.may_try((ip("192.0.2.2"), Guess::Key), wrong, at(1000)), Ok(()));
        assert_eq!(rates.may_try((ip("192.0.2.1"), Guess::Key), wrong, at(60_000)), Ok(()));
        rates.was_wrong((ip("192.0.2.9"), Guess::Key), right, at(0));
        assert!(!rates.lock().known.contains(&right), "a revoked key is no longer right");
    }

    #[test]
    fn a_login_has_more_room_of_its_own_while_it_is_right() {
        let rates = Rates::new(RateOptions::default());
        let (login, client) = (KeyHash::of("login"), ip("192.0.2.1"));
        rates.was_right(login);
        let passed =
            |login| (0..200).filter(|_| rates.count(client, login, at(5)).full.is_none()).count();
        assert_eq!(passed(Some(login)), 100);
        assert_eq!(passed(Some(KeyHash::of("made up"))), 10, "counted as the client");
        for _ in 0..10 {
            rates.was_wrong((client, Guess::Login), KeyHash::of("over"), at(5));
        }
        assert!(rates.may_try((client, Guess::Login), KeyHash::of("over"), at(5)).is_err());
        assert_eq!(rates.may_try((client, Guess::Key), KeyHash::of("key"), at(5)), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rates = Rates::new(RateOptions::default());
        for number in 0..CLIENTS_MAX as u32 + 100 {
            let client = Some(IpAddr::from(number.to_be_bytes()));
            rates.count(client, None, at(5));
            rates.was_wrong((client, Guess::Key), KeyHash::of("x"), at(5));
        }
        let counts = rates.lock();
        assert!(counts.clients.len() <= CLIENTS_MAX + 1 && counts.guesses.len() <= CLIENTS_MAX);
    }
}
