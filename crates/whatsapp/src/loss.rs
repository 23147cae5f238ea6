//! Why a link ended, in the domain's words. The texts are shown to people.

use domain::session::LossCause;
use whatsapp_rust::{
    transport::DisconnectReason,
    types::events::{ConnectFailure, ConnectFailureReason, LoggedOut, TemporaryBan},
};

/// The server ended the login for good. It uses one stanza for three different things.
pub(crate) fn logged_out(logout: &LoggedOut) -> LossCause {
    match logout.reason {
        ConnectFailureReason::AccountLocked => {
            LossCause::Banned("the account is locked (code 403)".into())
        }
        ConnectFailureReason::UnknownLogout => {
            LossCause::Banned("the account may no longer use WhatsApp (code 406)".into())
        }
        _ => LossCause::LoggedOut,
    }
}

/// A ban that ends by itself.
pub(crate) fn banned(ban: &TemporaryBan) -> LossCause {
    let minutes = ban.expire.num_minutes();
    LossCause::Banned(format!("{}; it ends in {} h {} min", ban.code, minutes / 60, minutes % 60))
}

/// Any other refusal of a login.
pub(crate) fn login_failed(failure: &ConnectFailure) -> LossCause {
    let code = failure.reason.code();
    match failure.reason {
        ConnectFailureReason::TempBanned => {
            LossCause::Banned("the account is banned for some time (code 402)".into())
        }
        ConnectFailureReason::ServiceUnavailable | ConnectFailureReason::InternalServerError => {
            LossCause::Link(format!("WhatsApp is out of order at the moment (code {code})"))
        }
        _ => LossCause::Link(format!("WhatsApp refused the login (code {code})")),
    }
}

/// The link itself went down.
pub(crate) fn disconnected(reason: &DisconnectReason) -> LossCause {
    LossCause::Link(
        match reason {
            DisconnectReason::ServerClose { .. } | DisconnectReason::StreamEnded => {
                "WhatsApp closed the connection"
            }
            DisconnectReason::ReadError(_) => "the connection broke",
            DisconnectReason::Unknown => "the connection was lost",
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logout(reason: ConnectFailureReason) -> LossCause {
        logged_out(&LoggedOut::builder().on_connect(true).reason(reason).build())
    }

    fn failure(code: i32) -> LossCause {
        let reason = ConnectFailureReason::from(code);
        login_failed(&ConnectFailure::builder().reason(reason).build())
    }

    #[test]
    fn a_removed_device_is_not_a_ban() {
        assert_eq!(logout(ConnectFailureReason::LoggedOut), LossCause::LoggedOut);
        assert!(matches!(logout(ConnectFailureReason::AccountLocked), LossCause::Banned(_)));
        assert!(matches!(logout(ConnectFailureReason::UnknownLogout), LossCause::Banned(_)));
    }

    #[test]
    fn refusals_are_links_unless_they_are_bans() {
        assert!(matches!(failure(402), LossCause::Banned(_)));
        for code in [400, 409, 413, 500, 503, 999] {
            assert!(matches!(failure(code), LossCause::Link(_)), "{code}");
        }
    }
}
