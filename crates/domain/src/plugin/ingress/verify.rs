//! Whether a call comes from the provider that it names.

use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{
    Headers, STANDARD_ID, STANDARD_SIGNATURE, STANDARD_TIMESTAMP, filled, header, id_of,
    timestamp_of,
};
use crate::{
    plugin::{IngressRoute, Signature},
    time::Timestamp,
    webhook::Secret,
};

/// Providers leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a signature said of a call that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// The provider sent exactly this.
    Signed,
    /// Anybody may have sent it: the route is not signed, or the signature covers an empty body while what matters is
    /// elsewhere, in the query.
    Unsigned,
}

impl Verified {
    /// What the plugin's handler sees as `verified`.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::Signed)
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header is not there.
    #[error("the call is not signed: the header of its signature is missing")]
    NoSignature,
    /// It is signed by somebody else, or was changed on its way.
    #[error(
        "the signature does not fit: check the secret at the provider, and that nothing on the way changes the body"
    )]
    BadSignature,
    /// Its time is missing or is no number.
    #[error("the call does not say when it was signed")]
    NoTimestamp,
    /// What is signed contains the id, and there is none.
    #[error("the call does not name its id, which is a part of what is signed")]
    NoId,
    /// It was signed too long ago, or its clock runs ahead of ours.
    #[error(
        "the call was signed too long ago, or the clocks differ: it may be a repetition by somebody else"
    )]
    Stale,
    /// The instance's secret cannot be used.
    #[error(
        "the instance's secret cannot check this kind of signature: set the one that the provider shows"
    )]
    BadSecret,
    /// A challenge lacks one of its parameters.
    #[error("the challenge lacks one of its parameters")]
    BadChallenge,
    /// The instance has none.
    #[error("the instance has no verify token: set the one that the provider sends")]
    NoVerifyToken,
    /// A challenge names another token.
    #[error("the verify token does not fit")]
    WrongToken,
}

/// Compares without telling by its time how much is right.
pub(super) fn same(given: &[u8], wanted: &[u8]) -> bool {
    let (given, wanted) = (Sha256::digest(given), Sha256::digest(wanted));
    given.iter().zip(&wanted).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Checks the signature of a call.
///
/// # Errors
/// Why it is not taken.
pub fn verify(
    route: &IngressRoute,
    secret: &Secret,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let covered = if body.is_empty() { Verified::Unsigned } else { Verified::Signed };
    let call = Call { route, secret, headers, body, now };
    match &route.signature {
        Signature::Unsigned => Ok(Verified::Unsigned),
        _ if secret.expose().is_empty() => Err(Refusal::BadSecret),
        Signature::SharedSecret { header: name } => {
            let given = header(headers, name).ok_or(Refusal::NoSignature)?;
            match same(given.as_bytes(), secret.expose().trim().as_bytes()) {
                true => Ok(Verified::Signed),
                false => Err(Refusal::BadSignature),
            }
        }
        Signature::Hmac { .. } => call.hmac().map(|()| covered),
        Signature::Standard => call.standard().map(|()| covered),
    }
}

struct Call<'a> {
    route: &'a IngressRoute,
    secret: &'a Secret,
    headers: &'a Headers,
    body: &'a [u8],
    now: Timestamp,
}

impl Call<'_> {
    fn hmac(&self) -> Result<(), Refusal> {
        let Signature::Hmac { header: name, template, base64, prefix, timestamp_header } =
            &self.route.signature
        else {
            return Err(Refusal::BadSignature);
        };
        let given = header(self.headers, name).ok_or(Refusal::NoSignature)?;
        let given = given.strip_prefix(prefix.trim()).ok_or(Refusal::BadSignature)?.trim();
        let given = match base64 {
            true => BASE64.decode(given).ok(),
            false => hex::decode(given).ok(),
        };
        if timestamp_header.is_some() {
            self.fresh()?;
        }
        if template.contains("{id}") && id_of(self.route, self.headers).is_none() {
            return Err(Refusal::NoId);
        }
        let signed = filled(template, self.route, self.headers, self.body);
        let given = given.ok_or(Refusal::BadSignature)?;
        match fits(self.secret.expose().as_bytes(), &signed, &given) {
            true => Ok(()),
            false => Err(Refusal::BadSignature),
        }
    }

    fn standard(&self) -> Result<(), Refusal> {
        let given = header(self.headers, STANDARD_SIGNATURE).ok_or(Refusal::NoSignature)?;
        let id = header(self.headers, STANDARD_ID).ok_or(Refusal::NoId)?;
        self.fresh()?;
        let timestamp = header(self.headers, STANDARD_TIMESTAMP).ok_or(Refusal::NoTimestamp)?;
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", self.body].concat();
        let keys = standard_keys(self.secret)?;
        // While a secret is exchanged a call has a signature by each.
        let signatures = given.split_whitespace().filter_map(|entry| entry.strip_prefix("v1,"));
        let signatures = signatures.filter_map(|text| BASE64.decode(text).ok()).take(16);
        let mut pairs =
            signatures.flat_map(|given| keys.iter().map(move |key| (key, given.clone())));
        match pairs.any(|(key, given)| fits(key, &signed, &given)) {
            true => Ok(()),
            false => Err(Refusal::BadSignature),
        }
    }

    fn fresh(&self) -> Result<(), Refusal> {
        let text = timestamp_of(self.route, self.headers).ok_or(Refusal::NoTimestamp)?;
        let number: i64 = text.parse().map_err(|_| Refusal::NoTimestamp)?;
        // Some providers count milliseconds; as seconds such a number is thousands of years away.
        let at = match number < 100_000_000_000 {
            true => Timestamp::from_seconds(number),
            false => Timestamp::from_millis(number),
        };
        let (age, ahead) = (self.now.since(at), at.since(self.now));
        if age > self.route.tolerance || ahead > self.route.tolerance {
            return Err(Refusal::Stale);
        }
        Ok(())
    }
}

fn fits(key: &[u8], signed: &[u8], given: &[u8]) -> bool {
    let mac = Hmac::<Sha256>::new_from_slice(key);
    mac.is_ok_and(|mac| mac.chain_update(signed).verify_slice(given).is_ok())
}

/// The keys that a secret may stand for: `whsec_` is base64 for sure (some consoles show `v1,whsec_`), other texts may
/// be.
fn standard_keys(secret: &Secret) -> Result<Vec<Vec<u8>>, Refusal> {
    let text = secret.expose().trim();
    let text = text.strip_prefix("v1,").unwrap_or(text);
    let decode = |text: &str| BASE64.decode(text).ok().filter(|key| !key.is_empty());
    match text.strip_prefix("whsec_") {
        Some(text) => decode(text).map(|key| vec![key]).ok_or(Refusal::BadSecret),
        None => Ok(decode(text).into_iter().chain([text.as_bytes().to_vec()]).collect()),
    }
}
