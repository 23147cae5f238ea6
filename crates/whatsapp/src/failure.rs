//! The library's failures, sorted by what is known about the request. Only what certainly never left is called that.

use domain::port::EngineError;
use whatsapp_rust::{
    AppStateError, BlockingError, CallError, ChatStateError, ClientError, ContactError,
    ErrorChainExt as _, IqError, ProfileError, SendError, anyhow, socket::error::SocketError,
};

use crate::http::ForbiddenUrl;

/// What a failed send means for the caller.
pub(crate) fn of_send(error: SendError) -> EngineError {
    match error {
        SendError::NotLoggedIn => EngineError::NotConnected,
        SendError::Client(error) => of_client(error),
        SendError::Iq(error) => of_request(error),
        SendError::InvalidRequest(reason) => EngineError::Refused(reason),
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

/// The code with which WhatsApp's server refused a request.
pub(crate) fn code_of(error: &IqError) -> Option<u16> {
    match error {
        IqError::ServerError { code, .. } => Some(*code),
        _ => None,
    }
}

/// Of a request to WhatsApp.
pub(crate) fn of_request(error: IqError) -> EngineError {
    match error {
        IqError::NotConnected => EngineError::NotConnected,
        IqError::ServerError { code, text, .. } => {
            EngineError::Refused(format!("{text} (code {code})"))
        }
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

/// Of a stanza that nobody answers.
pub(crate) fn of_client(error: ClientError) -> EngineError {
    match error {
        ClientError::NotConnected
        | ClientError::NotLoggedIn
        | ClientError::Socket(SocketError::SocketClosed) => EngineError::NotConnected,
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

/// Of a chat state.
pub(crate) fn of_chat_state(error: ChatStateError) -> EngineError {
    match error {
        ChatStateError::Client(error) => of_client(error),
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

/// Of a change of the own profile.
pub(crate) fn of_profile(error: ProfileError) -> EngineError {
    match error {
        ProfileError::Iq(error) => of_request(error),
        ProfileError::Client(error) => of_client(error),
        ProfileError::InvalidArgument(reason) => EngineError::Refused(reason),
        ProfileError::Internal(error) => of_any(error),
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

/// Of the block list.
pub(crate) fn of_blocking(error: BlockingError) -> EngineError {
    match error {
        BlockingError::Iq(error) => of_request(error),
        BlockingError::InvalidJid(_) => {
            EngineError::Refused("WhatsApp does not tell both ids of this person".into())
        }
        BlockingError::Internal(error) => of_any(error),
        other => EngineError::Unanswered(Some(Box::new(other))),
    }
}

/// Of the signalling of a call, which nobody answers.
pub(crate) fn of_call(error: CallError) -> EngineError {
    match error {
        CallError::Send(error) => of_client(error),
        other => EngineError::Refused(other.to_string()),
    }
}

/// Of a question about people.
pub(crate) fn of_contact(error: ContactError) -> EngineError {
    match error {
        ContactError::Iq(error) => of_request(error),
        other => EngineError::Refused(other.to_string()),
    }
}

/// Of a change of the state that the account's devices share.
pub(crate) fn of_app_state(error: AppStateError) -> EngineError {
    match error {
        AppStateError::InvalidRequest(reason) => EngineError::Refused(reason),
        AppStateError::Internal(error) => of_any(error),
        other => EngineError::Refused(other.to_string()),
    }
}

/// Of something that the library reports without a type.
pub(crate) fn of_any(error: anyhow::Error) -> EngineError {
    let known = {
        let cause: &(dyn std::error::Error + 'static) = error.as_ref();
        match cause.server_rejection() {
            Some(refusal) => {
                Some(EngineError::Refused(format!("{} (code {})", refusal.text, refusal.code)))
            }
            None if cause.is_transport_unavailable() => Some(EngineError::NotConnected),
            None => None,
        }
    };
    known.unwrap_or_else(|| EngineError::Unanswered(Some(error.into())))
}

/// Of a file on its way. What a media host refuses by its status it would refuse again. A file that does not fit its
/// key may have been cut short on the way: that is worth another try. What the guard forbids stays forbidden.
pub(crate) fn of_media(error: anyhow::Error) -> EngineError {
    if error.chain().any(|cause| cause.is::<ForbiddenUrl>()) {
        return EngineError::Refused("the address of the file is none of its own".into());
    }
    let status = {
        let cause: &(dyn std::error::Error + 'static) = error.as_ref();
        cause.http_status()
    };
    match status {
        Some(401 | 403 | 404 | 410) => {
            EngineError::Refused("WhatsApp no longer has this file".into())
        }
        Some(status @ 400..=499) if status != 429 && status != 408 => {
            EngineError::Refused(format!("the media host refused the file (status {status})"))
        }
        _ => of_any(error),
    }
}
