//! What the result of a send means for its item.

use domain::{
    Timestamp,
    batch::{CONTENT_BLANK, HoldReason, ItemError},
    message::{Message, MessageStatus},
    pacing::PacingRule,
    port::ItemOutcome,
};

use crate::{
    acks::COLD_RESTRICTED,
    media::MediaError,
    messages::{SendError, Sent},
};

/// Nobody there.
const UNREACHABLE: &str = "RECIPIENT_UNREACHABLE";
/// WhatsApp does not let this account write to strangers; told of somebody who is none.
const COLD: &str = "RECIPIENT_COLD_RESTRICTED";
/// WhatsApp said no.
const REFUSED: &str = "SEND_REFUSED";
/// Not allowed here: by a hook, or by the guard of outgoing requests.
const BLOCKED: &str = "SEND_BLOCKED";
/// Anything else.
const FAILED: &str = "SEND_FAILED";

/// It went out, and nothing was heard of it for too long.
const UNCONFIRMED: &str = "SEND_UNCONFIRMED";

/// The row of a send that was settled as too old.
const EXPIRED: &str = "expired";
/// The row of a send whose connection was gone before the first byte.
pub(super) const NOT_CONNECTED: &str = "the session was not connected";

/// What a send came to.
pub(super) enum Came {
    /// It is settled.
    To(ItemOutcome),
    /// Not known yet: its row will tell.
    Open,
    /// It never left, and waits for the session.
    Back,
    /// It never left: pacing allows none before some seconds. Without a reason it is a matter of moments.
    Paced(Option<HoldReason>, u64),
    /// WhatsApp does not let this account write to this stranger.
    Cold,
    /// The session is gone.
    Gone,
}

pub(super) fn of_send(result: Result<Sent, SendError>) -> Came {
    let error = match result {
        Ok(sent) if sent.status == MessageStatus::Pending => return Came::Open,
        Ok(sent) => return Came::To(ItemOutcome::Sent(Timestamp::from_seconds(sent.timestamp))),
        Err(error) => error,
    };
    match error {
        SendError::SessionNotFound => Came::Gone,
        SendError::NotStarted
        | SendError::NotReady(_)
        | SendError::Settling
        | SendError::Busy
        | SendError::Store(_) => Came::Back,
        SendError::Unanswered | SendError::Unstored(_) => Came::Open,
        SendError::Paced { rule, retry_after_seconds } => {
            let reason = match rule {
                PacingRule::DailyCap => Some(HoldReason::DailyCap),
                PacingRule::ColdDailyCap => Some(HoldReason::ColdDailyCap),
                PacingRule::BreakerOpen => Some(HoldReason::BreakerOpen),
                PacingRule::MinGap | PacingRule::PerMinute => None,
            };
            Came::Paced(reason, retry_after_seconds)
        }
        SendError::Refused { code: COLD_RESTRICTED } => Came::Cold,
        error => Came::To(ItemOutcome::Failed(failure(&error))),
    }
}

fn failure(error: &SendError) -> ItemError {
    match error {
        SendError::NotOnWhatsApp => ItemError::new(UNREACHABLE, "not on WhatsApp"),
        SendError::Refused { code } => {
            ItemError::new(REFUSED, format!("WhatsApp refused the message ({code})"))
        }
        SendError::Unshown(why) => ItemError::new(CONTENT_BLANK, why.to_string()),
        SendError::Blocked(why) => ItemError::new(BLOCKED, why.clone()),
        // What a web server said, or that it is inside, is nobody's business.
        SendError::Media(MediaError::Blocked(_) | MediaError::NotHttp) => {
            ItemError::new(BLOCKED, "the address of the file is not allowed")
        }
        SendError::Media(MediaError::TooBig) => ItemError::new(FAILED, "the file is too big"),
        SendError::Media(_) => ItemError::new(FAILED, "the file could not be had"),
        _ => ItemError::new(FAILED, "the message could not be sent"),
    }
}

/// Somebody who wrote to this account was refused as a stranger.
pub(super) fn cold_failure() -> ItemOutcome {
    let sentence = "WhatsApp does not let this account write first to this recipient now";
    ItemOutcome::Failed(ItemError::new(COLD, sentence))
}

/// The session's engine could not do it again and again.
pub(super) fn given_up() -> ItemOutcome {
    ItemOutcome::Failed(ItemError::new(FAILED, "the message could not be sent"))
}

/// Nothing was heard of it for too long.
pub(super) fn unconfirmed() -> ItemOutcome {
    let sentence = "WhatsApp did not confirm the message; it may have arrived";
    ItemOutcome::Failed(ItemError::new(UNCONFIRMED, sentence))
}

/// What a row says of its item.
pub(super) fn of_row(row: &Message) -> Came {
    match row.status {
        MessageStatus::Pending => Came::Open,
        MessageStatus::Failed => {
            let failure = &row.metadata["failure"];
            let reason = failure["reason"].as_str().unwrap_or_default();
            match failure["code"].as_u64() {
                Some(404) => {
                    Came::To(ItemOutcome::Failed(self::failure(&SendError::NotOnWhatsApp)))
                }
                Some(code) if code == u64::from(COLD_RESTRICTED) => Came::Cold,
                Some(code) => {
                    let code = u16::try_from(code).unwrap_or_default();
                    Came::To(ItemOutcome::Failed(self::failure(&SendError::Refused { code })))
                }
                None if reason == NOT_CONNECTED => Came::Back,
                None if reason == EXPIRED => Came::To(unconfirmed()),
                None => Came::To(given_up()),
            }
        }
        _ => {
            let at = row.timestamp.map_or(row.created_at, Timestamp::from_seconds);
            Came::To(ItemOutcome::Sent(at))
        }
    }
}
