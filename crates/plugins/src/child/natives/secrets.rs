//! Randomness, digests and signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    digest, hmac,
    rand::{SecureRandom as _, SystemRandom},
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rquickjs::{Ctx, Function, Object, Result, TypedArray};

use super::{array, copy, throw};

/// Random bytes that are made at once.
const RANDOM_BYTES_MAX: usize = 1 << 20;

pub(super) fn add<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    let function = |name: &str, function: Result<Function<'js>>| native.set(name, function?);
    function("random", Function::new(ctx.clone(), random))?;
    function("hash", Function::new(ctx.clone(), hash))?;
    function("hmac", Function::new(ctx.clone(), mac))?;
    function("rs256", Function::new(ctx.clone(), sign))
}

fn random<'js>(ctx: Ctx<'js>, size: usize) -> Result<TypedArray<'js, u8>> {
    if size > RANDOM_BYTES_MAX {
        return throw(&ctx, "randomBytes: at most 1 MiB at once");
    }
    let mut bytes = vec![0; size];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => array(&ctx, bytes),
        Err(_) => throw(&ctx, "the system has no randomness"),
    }
}

fn bare(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "")
}

fn hash<'js>(
    ctx: Ctx<'js>,
    name: String,
    data: TypedArray<'js, u8>,
) -> Result<TypedArray<'js, u8>> {
    let algorithm = match bare(&name).as_str() {
        "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        _ => {
            return throw(
                &ctx,
                &format!("createHash: sha1, sha256, sha384 and sha512 are here, not {name}"),
            );
        }
    };
    array(&ctx, digest::digest(algorithm, &copy(&data)).as_ref().to_vec())
}

fn mac<'js>(
    ctx: Ctx<'js>,
    name: String,
    key: TypedArray<'js, u8>,
    data: TypedArray<'js, u8>,
) -> Result<TypedArray<'js, u8>> {
    let algorithm = match bare(&name).as_str() {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hmac::HMAC_SHA256,
        "sha384" => hmac::HMAC_SHA384,
        "sha512" => hmac::HMAC_SHA512,
        _ => {
            return throw(
                &ctx,
                &format!("createHmac: sha1, sha256, sha384 and sha512 are here, not {name}"),
            );
        }
    };
    let key = hmac::Key::new(algorithm, &copy(&key));
    array(&ctx, hmac::sign(&key, &copy(&data)).as_ref().to_vec())
}

/// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017), with a key as PEM: PKCS #8 or PKCS #1.
fn sign<'js>(ctx: Ctx<'js>, pem: String, data: TypedArray<'js, u8>) -> Result<TypedArray<'js, u8>> {
    let inner: String =
        pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let Ok(der) = STANDARD.decode(inner) else {
        return throw(&ctx, "sign: the key is no PEM text");
    };
    let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der));
    let Ok(pair) = pair else {
        return throw(&ctx, "sign: the key is no RSA private key of 2048 to 4096 bits");
    };
    let mut signature = vec![0; pair.public().modulus_len()];
    match pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &copy(&data), &mut signature) {
        Ok(()) => array(&ctx, signature),
        Err(_) => throw(&ctx, "sign: it failed"),
    }
}
