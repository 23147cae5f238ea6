//! Text and bytes: UTF-8 and base64.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use rquickjs::{Ctx, Function, Object, Result, TypedArray};

use super::{array, copy};

/// Takes what Node takes: with or without padding, bits to spare.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn add<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    let function = |name: &str, function: Result<Function<'js>>| native.set(name, function?);
    function("utf8", Function::new(ctx.clone(), utf8))?;
    function(
        "text",
        Function::new(ctx.clone(), |bytes: TypedArray<'_, u8>| {
            String::from_utf8_lossy(&copy(&bytes)).into_owned()
        }),
    )?;
    function(
        "base64",
        Function::new(ctx.clone(), |bytes: TypedArray<'_, u8>, url: bool| {
            let engine =
                if url { general_purpose::URL_SAFE_NO_PAD } else { general_purpose::STANDARD };
            engine.encode(copy(&bytes))
        }),
    )?;
    function("fromBase64", Function::new(ctx.clone(), from_base64))
}

fn utf8<'js>(ctx: Ctx<'js>, text: String) -> Result<TypedArray<'js, u8>> {
    array(&ctx, text.into_bytes())
}

/// As Node does it: both alphabets, what belongs to neither is skipped, `=` ends it.
fn from_base64<'js>(ctx: Ctx<'js>, text: String) -> Result<TypedArray<'js, u8>> {
    let mut kept: String = text
        .chars()
        .take_while(|c| *c != '=')
        .filter_map(|c| match c {
            '-' => Some('+'),
            '_' => Some('/'),
            c if c.is_ascii_alphanumeric() || c == '+' || c == '/' => Some(c),
            _ => None,
        })
        .collect();
    if kept.len() % 4 == 1 {
        kept.pop();
    }
    array(&ctx, LENIENT.decode(kept).unwrap_or_default())
}
