//! What an attempt came to: the one place where the delivery policy decides.

use std::time::Duration;

use domain::{
    Timestamp,
    delivery::{
        AfterFailure, Attempt, AttemptError, AttemptErrorKind, AttemptProgress, Delivery, Hint,
        Policy,
    },
    port::Verdict,
};

use crate::egress::{Answer, EgressError};

/// Of the answer to a call that failed the whole excerpt is kept (16 KiB at most, what is read of it); of one that
/// went well no more than this, in bytes: it is a line in a log then, and there are many of them.
const THANKS_BYTES_MAX: usize = 256;

/// Status of a receiver that is gone for good.
const GONE: u16 = 410;

/// What follows an attempt that began at `at` and ended at `now`.
pub(super) fn decide(
    outcome: &Result<Answer, EgressError>,
    policy: &Policy,
    delivery: &Delivery,
    at: Timestamp,
    now: Timestamp,
    fraction: f64,
) -> Verdict {
    let status = outcome.as_ref().ok().map(|answer| answer.status);
    match status {
        Some(200..300) => return Verdict::Delivered,
        Some(GONE) => return Verdict::Disabled,
        _ => {}
    }
    let error = outcome.as_ref().err().map(|error| error.kind);
    match error {
        Some(AttemptErrorKind::Cancelled) => return Verdict::Dropped,
        // It would fail here again, and its lane would wait for it.
        Some(AttemptErrorKind::Unsendable) => return Verdict::Exhausted,
        _ => {}
    }
    let asked = outcome.as_ref().ok().and_then(|answer| answer.retry_after.as_deref());
    let asked = asked.and_then(|text| retry_after(text, now));
    let hint = Hint::of(status, error, asked);
    let progress = AttemptProgress {
        attempts: delivery.attempts + 1,
        first_at: delivery.first_tried_at.unwrap_or(at),
        now,
    };
    match policy.after_failure(progress, hint, fraction) {
        AfterFailure::Retry(at) => Verdict::RetryAt(at),
        AfterFailure::Exhaust => Verdict::Exhausted,
    }
}

/// Reads a `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = Timestamp::parse_http_date(text)?;
    Some(date.since(now))
}

/// The attempt as it is recorded.
pub(super) fn describe(
    outcome: Result<Answer, EgressError>,
    at: Timestamp,
    duration: Duration,
) -> Attempt {
    match outcome {
        Ok(answer) => {
            let failed = !(200..300).contains(&answer.status);
            let error = failed.then(|| AttemptError {
                kind: AttemptErrorKind::Status,
                text: not_followed(&answer)
                    .unwrap_or_else(|| format!("the receiver answered {}", answer.status)),
            });
            let kept = if failed { usize::MAX } else { THANKS_BYTES_MAX };
            let excerpt = String::from_utf8_lossy(beginning(&answer.body, kept)).into_owned();
            let excerpt = Some(excerpt).filter(|text| !text.is_empty());
            Attempt { at, duration, status: Some(answer.status), error, excerpt }
        }
        Err(EgressError { kind, text }) => Attempt {
            at,
            duration,
            status: None,
            error: Some(AttemptError { kind, text }),
            excerpt: None,
        },
    }
}

/// What is said of a redirect.
pub(super) fn not_followed(answer: &Answer) -> Option<String> {
    let to = answer.redirect.as_ref()?;
    Some(format!("redirects are not followed: {} to {to}", answer.status))
}

/// Up to so many bytes, without half a character at the end.
fn beginning(bytes: &[u8], most: usize) -> &[u8] {
    let bytes = &bytes[..most.min(bytes.len())];
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_kept_of_an_answer_to_a_call_that_went_well() {
        let told = |status| {
            let body = vec![b'x'; 16 * 1024];
            let answer = Answer {
                status,
                headers: http::HeaderMap::new(),
                retry_after: None,
                redirect: None,
                body,
            };
            let at = Timestamp::from_millis(0);
            describe(Ok(answer), at, Duration::ZERO).excerpt.map_or(0, |text| text.len())
        };
        assert_eq!((told(200), told(500)), (THANKS_BYTES_MAX, 16 * 1024));
        assert_eq!(beginning("aé".as_bytes(), 2), b"a");
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_a_date() {
        let now = Timestamp::parse_iso("2026-10-01T08:00:00Z").unwrap();
        let read = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 7 "), Some(7));
        assert_eq!(read("Thu, 01 Oct 2026 08:02:00 GMT"), Some(120));
        assert_eq!(read("Thu, 01 Oct 2026 07:00:00 GMT"), Some(0));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }
}
