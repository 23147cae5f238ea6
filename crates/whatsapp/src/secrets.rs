//! The secrets of polls. A vote is encrypted with its poll's secret, so the secret is written down before the poll is
//! sent or acknowledged; the library keeps those of other messages by itself, a little later.
//!
//! A chat and a person have two addresses, and a vote may name others than its poll did: all are tried.

use std::sync::Arc;

use domain::{port::EngineError, port::StoreResult};
use whatsapp_rust::{
    Client, Jid, MsgSecretRetention,
    traits::{MsgSecretEntry, MsgSecretStore as _},
    wacore::{poll, reporting_token::generate_message_secret},
};

use crate::{
    keys::{LedgerBackend, ledger_error},
    people,
};

/// The key that encrypts the votes of one poll.
pub(crate) type PollSecret = [u8; 32];

/// Writes a poll's secret down. `timestamp` is the poll's, epoch seconds.
pub(crate) async fn keep(
    backend: &LedgerBackend,
    chat: &Jid,
    author: &Jid,
    id: &str,
    secret: PollSecret,
    timestamp: i64,
) -> StoreResult<()> {
    let kept = MsgSecretRetention::default().poll_event.as_secs();
    let expires_at = timestamp.saturating_add(i64::try_from(kept).unwrap_or(i64::MAX));
    let entry = MsgSecretEntry::new(chat, author, id, secret, expires_at, timestamp);
    backend.put_msg_secrets(vec![entry]).await.map(drop).map_err(ledger_error)
}

/// The secret of a poll of ours: the one it has, or a new one that is written down first.
pub(crate) async fn of_own(
    backend: &Arc<LedgerBackend>,
    chat: &Jid,
    own: &Jid,
    id: &str,
    now: i64,
) -> Result<PollSecret, EngineError> {
    if let Some(known) = stored(backend, chat, own, id).await.map_err(EngineError::Store)? {
        return Ok(known);
    }
    let secret = generate_message_secret();
    keep(backend, chat, own, id, secret, now).await.map_err(EngineError::Store)?;
    Ok(secret)
}

/// The secret of anybody's poll.
pub(crate) async fn find(
    client: &Client,
    backend: &LedgerBackend,
    chat: &Jid,
    author: &Jid,
    id: &str,
) -> Result<Option<PollSecret>, EngineError> {
    let authors = people::addresses(client, author).await;
    for chat in people::addresses(client, chat).await {
        for author in &authors {
            let found = stored(backend, &chat, author, id).await.map_err(EngineError::Store)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

async fn stored(
    backend: &LedgerBackend,
    chat: &Jid,
    author: &Jid,
    id: &str,
) -> StoreResult<Option<PollSecret>> {
    let (chat, author) = (chat.to_non_ad_string(), author.to_non_ad_string());
    let found = backend.get_msg_secret(&chat, &author, id).await.map_err(ledger_error)?;
    Ok(found.and_then(|secret| secret.try_into().ok()))
}

/// The options behind a vote; `None` when no combination of addresses opens it.
pub(crate) async fn open_vote(
    client: &Client,
    secret: &PollSecret,
    poll_id: &str,
    creator: &Jid,
    voter: &Jid,
    (payload, iv): (&[u8], &[u8]),
) -> Option<Vec<Vec<u8>>> {
    let voters = people::addresses(client, voter).await;
    for creator in people::addresses(client, creator).await {
        for voter in &voters {
            let ciphertext = poll::PollVoteCiphertext { enc_payload: payload, enc_iv: iv };
            let opened = poll::decrypt_poll_vote_with_secret(
                ciphertext,
                secret,
                poll_id,
                &creator.to_non_ad_string(),
                &voter.to_non_ad_string(),
            );
            if let Ok(hashes) = opened {
                return Some(hashes);
            }
        }
    }
    None
}
