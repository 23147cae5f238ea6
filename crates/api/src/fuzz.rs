//! What strangers write into bodies, as targets of a fuzzer: see the crate `fuzz`.

use crate::{
    bulk::fuzz::{ndjson, table},
    webhooks::fuzz::settings,
};

/// A name, what is done with the bytes, inputs to begin with.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    (
        "csv",
        table,
        &[
            b"phone,name\n+49 170 1234567,Ann\n+49 170 1234568,\"Bob \"\"B\"\" Baker\"\n",
            b"\xef\xbb\xbfsep=;\r\nchatId;First Name;text\r\n4917012345678@c.us;\"two\nlines\";Hi\r\n;;\r\n",
            b"phone\tname\r+4917012345678\tAnn\r",
            b"\xff\xfep\0h\0o\0n\0e\0\n\0+\x004\x009\x001\x007\x000\x001\x002\x003\x004\x005\x006\x007\x00",
            b"phone,name\n+4917012345678,M\xfcller\n",
        ],
    ),
    (
        "ndjson",
        ndjson,
        &[
            br#"{"chatId":"4917012345678@c.us","type":"text","content":{"text":"Hi {{name}}"},"variables":{"name":"Ann"}}
{"chatId":"4917012345678@c.us","type":"image","content":{"image":{"url":"https://example.com/a.png"},"caption":"c"}}"#,
            br#"{"chatId":"x","content":{"text":"\ud83d"}}"#,
        ],
    ),
    (
        "webhook-settings",
        settings,
        &[
            br#"{"url":"https://example.com/hook","events":["message.received","*"],"secret":"0123456789abcdef","headers":{"X-A":"b"},"retryCount":3,"filters":{"conditions":[{"field":"body","operator":"contains","value":"a"}]}}"#,
            br#"{"url":"https://example.com","policy":{"maxAttempts":3,"timeoutMs":1000},"active":false,"order":"chat"}"#,
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs per target.
    const CASES: u32 = 4_000;

    #[test]
    fn what_strangers_write_is_read_or_refused() {
        for (_, target, seeds) in TARGETS {
            testkit::mutate(2, seeds, CASES, *target);
        }
    }
}
