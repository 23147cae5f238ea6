//! Showing that one types, as long as a person would.

use std::time::Duration;

use domain::{ChatId, Clock, Timer, chat::Typing, port::Connection};

/// Before the first character.
const BASE_MS: f64 = 500.0;
/// For each character.
const CHAR_MS: f64 = 45.0;
/// People differ: this much more or less.
const JITTER: f64 = 0.15;
/// How long WhatsApp may take to be told; a send never waits longer for it.
const TELL_LIMIT: Duration = Duration::from_secs(2);

/// How long a text takes; `fraction` is random in `0..1`.
pub(super) fn duration(characters: usize, fraction: f64, most: Duration) -> Duration {
    // Exact far beyond any text's length.
    let plain = BASE_MS + CHAR_MS * characters as f64;
    let seconds = plain * (1.0 - JITTER + 2.0 * JITTER * fraction) / 1000.0;
    Duration::from_secs_f64(seconds).min(most)
}

/// Shows it; failures change nothing.
pub(super) async fn show(
    clock: &dyn Clock,
    connection: &dyn Connection,
    chat: &ChatId,
    state: Typing,
) {
    let limit = clock.now().plus(TELL_LIMIT);
    tokio::select! {
        told = connection.typing(chat, state) => {
            if let Err(error) = told {
                tracing::debug!(%error, "typing was not shown");
            }
        }
        () = clock.sleep_until(Timer::TypingAnswer, limit) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_texts_take_longer_up_to_the_limit() {
        let most = Duration::from_secs(5);
        assert_eq!(duration(0, 0.5, most), Duration::from_millis(500));
        assert_eq!(duration(20, 0.5, most), Duration::from_millis(1400));
        assert_eq!(duration(20, 0.0, most), Duration::from_millis(1190));
        assert!(duration(20, 0.999, most) > Duration::from_millis(1600));
        assert_eq!(duration(4096, 0.0, most), most);
        assert_eq!(duration(20, 0.5, Duration::ZERO), Duration::ZERO);
    }
}
