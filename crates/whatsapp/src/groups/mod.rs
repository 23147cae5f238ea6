//! Groups: what one asks of WhatsApp about them, changes of them, and what WhatsApp tells.
//!
//! Two things are read from the stanzas themselves, because the library does not: who may add members (it expects a
//! text where bytes arrive), and who brought a request for membership.

mod actions;
mod describe;
mod news;

pub(crate) use describe::all;
pub(crate) use news::{of_picture, of_update};

use domain::{
    ChatId,
    port::{EngineError, GroupActionError},
};
use whatsapp_rust::{GroupError, IqError, Jid};

use crate::{failure, people};

/// The address of a group.
fn address(group: &ChatId) -> Result<Jid, GroupActionError> {
    let jid = people::jid(group).filter(|_| group.is_group());
    jid.ok_or_else(|| EngineError::Refused("this is no group".into()).into())
}

/// Of a request about groups: what WhatsApp refused keeps its code.
fn of_request(error: IqError) -> GroupActionError {
    match error {
        IqError::ServerError { code, text, .. } => GroupActionError::Refused { code, text },
        other => failure::of_request(other).into(),
    }
}

fn of_group(error: GroupError) -> GroupActionError {
    match error {
        GroupError::Iq(error) => of_request(error),
        GroupError::DescriptionConflict => GroupActionError::Refused {
            code: 409,
            text: "the description changed meanwhile".into(),
        },
        GroupError::InvalidRequest(reason) => EngineError::Refused(reason).into(),
        GroupError::Internal(error) => failure::of_any(error).into(),
        other => EngineError::Refused(other.to_string()).into(),
    }
}
