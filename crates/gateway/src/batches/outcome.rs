//! What the result of a send means for its item.

use domain::{
    Timestamp,
    batch::{CONTENT_BLANK, HoldReason, ItemError, ItemOutcome},
    failure::{COLD_RESTRICTED, SendFailure},
    message::{Message, MessageStatus},
    pacing::PacingRule,
};

use crate::{
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

/// What a send of an item means for the item.
pub(super) enum ItemSendResult {
    /// Its outcome is known.
    Finished(ItemOutcome),
    /// Not known yet: its row will tell.
    Unresolved,
    /// It never left, and waits for the session.
    Requeue,
    /// It never left, and waits for the end of the pause of all sends.
    Braked,
    /// It never left: pacing allows none before so many seconds. Without a reason it is a matter of moments.
    RateLimited(Option<HoldReason>, u64),
    /// WhatsApp does not let this account write to this stranger.
    RecipientCold,
    /// The session is gone.
    SessionGone,
}

pub(super) fn of_send(result: Result<Sent, SendError>) -> ItemSendResult {
    let error = match result {
        Ok(sent) if sent.status == MessageStatus::Pending => return ItemSendResult::Unresolved,
        Ok(sent) => {
            return ItemSendResult::Finished(ItemOutcome::Sent(Timestamp::from_seconds(
                sent.timestamp,
            )));
        }
        Err(error) => error,
    };
    match error {
        SendError::SessionNotFound(_) => ItemSendResult::SessionGone,
        SendError::NotStarted
        | SendError::NotReady(_)
        | SendError::Reconciling
        | SendError::Busy
        | SendError::Store(_) => ItemSendResult::Requeue,
        SendError::SendsPaused => ItemSendResult::Braked,
        SendError::Unanswered | SendError::Unstored(_) => ItemSendResult::Unresolved,
        SendError::Paced { rule, retry_after_seconds } => {
            let reason = match rule {
                PacingRule::DailyCap => Some(HoldReason::DailyCap),
                PacingRule::ColdDailyCap => Some(HoldReason::ColdDailyCap),
                PacingRule::BreakerOpen => Some(HoldReason::BreakerOpen),
                PacingRule::MinGap | PacingRule::PerMinute => None,
            };
            ItemSendResult::RateLimited(reason, retry_after_seconds)
        }
        SendError::Refused { code: COLD_RESTRICTED } => ItemSendResult::RecipientCold,
        error => ItemSendResult::Finished(ItemOutcome::Failed(failure(&error))),
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
pub(super) fn of_row(row: &Message) -> ItemSendResult {
    match row.status {
        MessageStatus::Pending => ItemSendResult::Unresolved,
        MessageStatus::Failed => match SendFailure::of_metadata(&row.metadata) {
            Some(SendFailure::Refused(404)) => {
                ItemSendResult::Finished(ItemOutcome::Failed(failure(&SendError::NotOnWhatsApp)))
            }
            Some(SendFailure::Refused(COLD_RESTRICTED)) => ItemSendResult::RecipientCold,
            Some(SendFailure::Refused(code)) => {
                ItemSendResult::Finished(ItemOutcome::Failed(failure(&SendError::Refused { code })))
            }
            Some(SendFailure::NotConnected) => ItemSendResult::Requeue,
            Some(SendFailure::Expired) => ItemSendResult::Finished(unconfirmed()),
            Some(SendFailure::EngineRefused) | None => ItemSendResult::Finished(given_up()),
        },
        _ => {
            let at = row.timestamp.map_or(row.created_at, Timestamp::from_seconds);
            ItemSendResult::Finished(ItemOutcome::Sent(at))
        }
    }
}
