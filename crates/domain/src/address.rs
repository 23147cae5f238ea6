//! Who and where: phone numbers, chat ids and their spellings. Conversions happen here and nowhere else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::phone;

/// Longest chat id we take, in characters. WhatsApp's longest (legacy group ids) are under 50.
pub const CHAT_ID_CHARS_MAX: usize = 128;

/// An international phone number without a plus sign: 5 to 20 digits.
///
/// `Display` shows all of it, for the wire; logs use [`PhoneNumber::masked`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Reads digits, with an optional plus sign before them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let plausible = (5..=20).contains(&digits.len());
        (plausible && digits.bytes().all(|b| b.is_ascii_digit())).then(|| Self(digits.to_owned()))
    }

    /// Only the digits, country code first, without a plus sign.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// For logs: the last three digits only, `…042`.
    pub fn masked(&self) -> String {
        format!("…{}", &self.0[self.0.len().saturating_sub(3)..])
    }

    /// The chat with this person.
    pub fn chat(&self) -> ChatId {
        ChatId(format!("{}@c.us", self.0))
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of chat that an id names, as the API's `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatKind {
    /// A conversation with one person.
    Individual,
    /// A conversation of several people, `…@g.us`.
    Group,
    /// A channel, which WhatsApp calls a newsletter.
    Channel,
    /// The 24-hour posts of the account's contacts.
    Status,
    /// A list that sends the same text to several people.
    Broadcast,
    /// Anything WhatsApp may invent.
    Unknown,
}

impl ChatKind {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Individual => "individual",
            Self::Group => "group",
            Self::Channel => "channel",
            Self::Status => "status",
            Self::Broadcast => "broadcast",
            Self::Unknown => "unknown",
        }
    }
}

/// A chat in the API's spelling: `<digits>@c.us`, `<id>@g.us`, `<digits>@lid`, `<id>@newsletter`, `<id>@broadcast`.
///
/// Never carries a device suffix and never `@s.whatsapp.net`, which is folded into `@c.us`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChatId(String);

/// The text is not a chat id; says what one looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chatId must look like <phone>@c.us, <id>@g.us or <id>@lid")]
pub struct InvalidChatId;

impl ChatId {
    /// Stands where something is about all groups; no group has it.
    pub fn any_group() -> Self {
        Self("0@g.us".into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn user(&self) -> &str {
        self.0.split_once('@').map_or(self.0.as_str(), |(user, _)| user)
    }

    /// What stands after the `@`.
    pub fn server(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, server)| server)
    }

    /// The kind of chat that the id names.
    pub fn kind(&self) -> ChatKind {
        match (self.user(), self.server()) {
            (_, "c.us" | "lid") => ChatKind::Individual,
            (_, "g.us") => ChatKind::Group,
            (_, "newsletter") => ChatKind::Channel,
            ("status", "broadcast") => ChatKind::Status,
            (_, "broadcast") => ChatKind::Broadcast,
            _ => ChatKind::Unknown,
        }
    }

    /// Whether this is a group.
    pub fn is_group(&self) -> bool {
        self.kind() == ChatKind::Group
    }

    /// Whether the person is known by privacy id only.
    pub fn is_lid(&self) -> bool {
        self.server() == "lid"
    }

    /// The phone number, when the id holds one.
    pub fn phone(&self) -> Option<PhoneNumber> {
        (self.server() == "c.us").then(|| PhoneNumber::parse(self.user())).flatten()
    }

    /// WhatsApp's own spelling, `<digits>@s.whatsapp.net` for people known by phone.
    pub fn to_jid(&self) -> String {
        match self.server() {
            "c.us" => format!("{}@s.whatsapp.net", self.user()),
            _ => self.0.clone(),
        }
    }

    /// For logs: the server and the last three characters of the user.
    pub fn masked(&self) -> String {
        let tail: String =
            self.user().chars().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect();
        format!("…{tail}@{}", self.server())
    }
}

impl FromStr for ChatId {
    type Err = InvalidChatId;

    /// Reads any spelling met on the wire: WhatsApp's, OpenWA's, with a device suffix, or a phone number as people
    /// write it ([`phone::read`]).
    fn from_str(text: &str) -> Result<Self, InvalidChatId> {
        if text.len() > CHAT_ID_CHARS_MAX {
            return Err(InvalidChatId);
        }
        let Some((user, server)) = text.split_once('@') else {
            return phone::read(text).map(|phone| phone.chat()).map_err(|_| InvalidChatId);
        };
        let user = match server {
            "c.us" | "s.whatsapp.net" | "lid" | "hosted" | "hosted.lid" => {
                // `<user>.<agent>:<device>`: neither part names another chat.
                let end = user.find([':', '.']).unwrap_or(user.len());
                let user = &user[..end];
                if user.is_empty() || !user.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(InvalidChatId);
                }
                user
            }
            _ => user,
        };
        let server = match server {
            "s.whatsapp.net" | "hosted" => "c.us",
            "hosted.lid" => "lid",
            known @ ("c.us" | "lid" | "g.us" | "broadcast" | "newsletter" | "call" | "bot") => {
                known
            }
            _ => return Err(InvalidChatId),
        };
        let clean = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if user.is_empty() || !user.chars().all(clean) {
            return Err(InvalidChatId);
        }
        Ok(Self(format!("{user}@{server}")))
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ChatId> for String {
    fn from(id: ChatId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ChatId {
    type Error = InvalidChatId;

    fn try_from(text: String) -> Result<Self, InvalidChatId> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &str) -> Option<String> {
        text.parse::<ChatId>().ok().map(String::from)
    }

    #[test]
    fn every_spelling_of_a_person_is_one_chat() {
        for text in [
            "49170111@c.us",
            "49170111@s.whatsapp.net",
            "49170111:7@s.whatsapp.net",
            "49170111.0:7@s.whatsapp.net",
            "49170111",
            "+49170111",
        ] {
            assert_eq!(chat(text).as_deref(), Some("49170111@c.us"), "{text}");
        }
        assert_eq!(chat("123456789012345:3@lid").as_deref(), Some("123456789012345@lid"));
        assert_eq!(chat("1234567890-123@g.us").as_deref(), Some("1234567890-123@g.us"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "@c.us",
            "x@c.us",
            "49@",
            "49170111@evil.example",
            "a b@g.us",
            "49\u{0}1@g.us",
            "@g.us",
            "12",
        ] {
            assert_eq!(chat(text), None, "{text:?}");
        }
        assert_eq!(chat(&format!("{}@g.us", "1".repeat(200))), None);
    }

    #[test]
    fn kinds() {
        let kind = |text: &str| text.parse::<ChatId>().unwrap().kind();
        assert_eq!(kind("49170111@c.us"), ChatKind::Individual);
        assert_eq!(kind("120363041@g.us"), ChatKind::Group);
        assert_eq!(kind("status@broadcast"), ChatKind::Status);
        assert_eq!(kind("17@broadcast"), ChatKind::Broadcast);
        assert_eq!(kind("17@newsletter"), ChatKind::Channel);
    }

    #[test]
    fn logs_never_hold_a_full_number() {
        let phone = PhoneNumber::parse("+5511990000042").unwrap();
        assert_eq!(phone.masked(), "…042");
        assert_eq!(phone.chat().masked(), "…042@c.us");
        assert_eq!(phone.chat().to_jid(), "5511990000042@s.whatsapp.net");
    }
}
