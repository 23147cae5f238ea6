//! Webhook filters: `{conditions: [{field, operator, value, caseSensitive?}]}`, all of which must match.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    address::ChatId,
    event::{EventType, Subscription},
};

/// Most conditions of one filter.
pub const CONDITIONS_MAX: usize = 20;
/// Most values of one condition.
pub const VALUES_MAX: usize = 100;
/// Longest value, in characters.
pub const VALUE_CHARS_MAX: usize = 1000;

/// A message field that can be tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the words are the contract's own")]
pub enum Field {
    Sender,
    Recipient,
    ChatId,
    Body,
    Type,
    IsGroup,
    Kind,
    FromMe,
    HasMedia,
    Mentions,
}

impl Field {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::ChatId => "chatId",
            Self::Body => "body",
            Self::Type => "type",
            Self::IsGroup => "isGroup",
            Self::Kind => "kind",
            Self::FromMe => "fromMe",
            Self::HasMedia => "hasMedia",
            Self::Mentions => "mentions",
        }
    }

    /// Whether the data of an event has this field. Every message event has the full addressing, so that a filter on it
    /// can never swallow one by accident; what a message says is only in those that carry the message itself.
    pub const fn is_in(self, kind: EventType) -> bool {
        use EventType::{
            LabelChatAdded, LabelChatDeleted, MessageAck, MessageEdited, MessageFailed,
            MessageReaction, MessageReceipt, MessageReceived, MessageRevoked, MessageSent,
            PollVote,
        };
        match kind {
            MessageReceived | MessageSent | MessageEdited => true,
            MessageAck | MessageFailed | MessageReaction | MessageRevoked | MessageReceipt
            | PollVote => {
                !matches!(self, Self::Body | Self::Type | Self::HasMedia | Self::Mentions)
            }
            LabelChatAdded | LabelChatDeleted => matches!(self, Self::ChatId),
            _ => false,
        }
    }
}

/// How a field is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FilterOperator {
    /// One of the values.
    Is,
    /// None of the values.
    IsNot,
    /// The text contains one of the values.
    Contains,
    /// The text is one of the values.
    Equals,
}

/// What a field is tested against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Operand {
    /// A flag is compared with `true` or `false`.
    Flag(bool),
    /// A text is compared with this one.
    One(String),
    /// Any of several texts.
    Many(Vec<String>),
}

/// One test of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterCondition {
    /// The field that is tested.
    pub field: Field,
    /// How the field is compared.
    pub operator: FilterOperator,
    /// What the field is compared with.
    pub value: Operand,
    /// Whether capitals matter, for texts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub case_sensitive: bool,
}

/// All conditions of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// The tests, all of which must pass.
    pub conditions: Vec<FilterCondition>,
}

/// Why a filter was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// More conditions than [`CONDITIONS_MAX`].
    #[error("filters.conditions must have at most {CONDITIONS_MAX} entries")]
    TooManyConditions,
    /// No value, or over [`VALUES_MAX`].
    #[error(
        "filters.conditions[{0}].value must have 1 to {VALUES_MAX} values of 1 to {VALUE_CHARS_MAX} characters"
    )]
    Values(usize),
    /// The field does not take this operator.
    #[error("filters.conditions[{0}].operator is not allowed for this field")]
    Operator(usize),
    /// A flag needs `true` or `false`, a text needs text.
    #[error("filters.conditions[{0}].value has the wrong type for this field")]
    ValueType(usize),
    /// An event that is subscribed to by name never has the field: the condition could not apply to it.
    #[error(
        "filters.conditions[{index}].field {} cannot be tested on {}, which events names: that event does not carry it",
        field.as_str(), event.as_str()
    )]
    NotCarried {
        /// The index of the condition in the list.
        index: usize,
        /// The field that the condition tests.
        field: Field,
        /// The event that does not carry it.
        event: EventType,
    },
}

impl Filters {
    /// Checks sizes, and that each field is tested by an operator and a value it can have.
    ///
    /// # Errors
    /// [`InvalidFilter`] names the condition by its index.
    pub fn validate(&self) -> Result<(), InvalidFilter> {
        if self.conditions.len() > CONDITIONS_MAX {
            return Err(InvalidFilter::TooManyConditions);
        }
        self.conditions
            .iter()
            .enumerate()
            .try_for_each(|(index, condition)| condition.validate(index))
    }

    /// Refuses conditions that could not apply to a message event that is subscribed to by name. With `*` such a
    /// condition does not apply to that event; events of other families are not filtered at all.
    ///
    /// # Errors
    /// [`InvalidFilter::NotCarried`].
    pub fn check_events(&self, events: &[Subscription]) -> Result<(), InvalidFilter> {
        for (index, condition) in self.conditions.iter().enumerate() {
            for subscription in events {
                let Subscription::One(event) = *subscription else { continue };
                let field = condition.field;
                if event.is_message() && !field.is_in(event) {
                    return Err(InvalidFilter::NotCarried { index, field, event });
                }
            }
        }
        Ok(())
    }

    /// Whether an event passes; `data` is what it says, asked for when a condition applies at all. A condition on a
    /// field that the event never carries does not apply to it.
    pub fn matches<'a>(&self, kind: EventType, data: impl FnOnce() -> &'a Value) -> bool {
        let mut applying =
            self.conditions.iter().filter(|condition| condition.field.is_in(kind)).peekable();
        if applying.peek().is_none() {
            return true;
        }
        let data = data();
        applying.all(|condition| condition.matches(data))
    }
}

impl FilterCondition {
    fn validate(&self, index: usize) -> Result<(), InvalidFilter> {
        use FilterOperator::{Contains, Equals, Is, IsNot};
        let flag = matches!(self.field, Field::IsGroup | Field::FromMe | Field::HasMedia);
        let fits = match self.field {
            Field::IsGroup | Field::FromMe | Field::HasMedia => self.operator == Is,
            Field::Body => matches!(self.operator, Contains | Equals),
            _ => matches!(self.operator, Is | IsNot),
        };
        if !fits {
            return Err(InvalidFilter::Operator(index));
        }
        if flag != matches!(self.value, Operand::Flag(_)) {
            return Err(InvalidFilter::ValueType(index));
        }
        let values = self.values();
        let sized = values.iter().all(|v| (1..=VALUE_CHARS_MAX).contains(&v.chars().count()));
        if !flag && (values.is_empty() || values.len() > VALUES_MAX || !sized) {
            return Err(InvalidFilter::Values(index));
        }
        Ok(())
    }

    fn values(&self) -> &[String] {
        match &self.value {
            Operand::Flag(_) => &[],
            Operand::One(one) => std::slice::from_ref(one),
            Operand::Many(many) => many,
        }
    }

    fn matches(&self, data: &Value) -> bool {
        let found = self.found(data);
        match self.operator {
            FilterOperator::IsNot => !found,
            _ => found,
        }
    }

    /// Whether any of the values is there, whatever the operator makes of it.
    fn found(&self, data: &Value) -> bool {
        let text = |key: &str| data.get(key).and_then(Value::as_str);
        match self.field {
            Field::IsGroup => self.flag_is(data.get("isGroup")),
            Field::FromMe => self.flag_is(data.get("fromMe")),
            Field::HasMedia => {
                let has =
                    data.get("media").is_some() || data.get("hasMedia") == Some(&Value::Bool(true));
                self.value == Operand::Flag(has)
            }
            Field::Body => text("body").is_some_and(|body| self.text_found(body)),
            Field::Type => text("type").is_some_and(|kind| self.values().iter().any(|v| v == kind)),
            Field::Kind => text("kind").is_some_and(|kind| self.values().iter().any(|v| v == kind)),
            Field::Sender => {
                let ids = [
                    text("author").or_else(|| text("senderId")).or_else(|| text("from")),
                    text("senderPhone"),
                ];
                ids.into_iter().flatten().any(|id| self.id_found(id))
            }
            Field::Recipient => text("to").is_some_and(|id| self.id_found(id)),
            Field::ChatId => text("chatId").is_some_and(|id| self.id_found(id)),
            Field::Mentions => {
                let ids = data.get("mentionedIds").and_then(Value::as_array);
                ids.is_some_and(|ids| {
                    ids.iter().filter_map(Value::as_str).any(|id| self.id_found(id))
                })
            }
        }
    }

    fn flag_is(&self, flag: Option<&Value>) -> bool {
        matches!((&self.value, flag), (Operand::Flag(want), Some(Value::Bool(is))) if want == is)
    }

    fn text_found(&self, body: &str) -> bool {
        let fold = |text: &str| {
            if self.case_sensitive { text.to_owned() } else { text.to_lowercase() }
        };
        let body = fold(body);
        self.values().iter().any(|value| match self.operator {
            FilterOperator::Contains => body.contains(&fold(value)),
            _ => body == fold(value),
        })
    }

    /// Ids compare by person or group, not by spelling.
    fn id_found(&self, id: &str) -> bool {
        let canonical = |text: &str| {
            let squeezed: String = text.chars().filter(|c| !matches!(c, ' ' | '(' | ')')).collect();
            let bare =
                if squeezed.contains('@') { squeezed } else { squeezed.replace(['-', '.'], "") };
            bare.parse::<ChatId>().ok()
        };
        let Some(id) = canonical(id) else {
            return false;
        };
        self.values().iter().filter_map(|value| canonical(value)).any(|value| value == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filters(conditions: Value) -> Filters {
        let filters: Filters = serde_json::from_value(json!({ "conditions": conditions })).unwrap();
        filters.validate().unwrap();
        filters
    }

    fn passes(conditions: Value) -> bool {
        let data = json!({
            "from": "120363041@g.us", "author": "49170111@c.us", "to": "49155500@c.us", "chatId": "120363041@g.us",
            "body": "Order 7 please", "type": "text", "isGroup": true, "fromMe": false, "kind": "group",
            "mentionedIds": ["49155500@c.us"],
        });
        filters(conditions).matches(EventType::MessageReceived, || &data)
    }

    #[test]
    fn conditions_are_anded() {
        assert!(passes(json!([])));
        assert!(passes(json!([
            {"field": "isGroup", "operator": "is", "value": true},
            {"field": "body", "operator": "contains", "value": ["ORDER", "invoice"]},
        ])));
        assert!(!passes(json!([
            {"field": "isGroup", "operator": "is", "value": true},
            {"field": "fromMe", "operator": "is", "value": true},
        ])));
    }

    #[test]
    fn ids_match_in_every_spelling() {
        for id in [
            "49170111@c.us",
            "49170111@s.whatsapp.net",
            "49170111",
            "+49 170-111",
            "49170111:3@s.whatsapp.net",
        ] {
            assert!(passes(json!([{"field": "sender", "operator": "is", "value": id}])), "{id}");
            assert!(
                !passes(json!([{"field": "sender", "operator": "isNot", "value": id}])),
                "{id}"
            );
        }
        assert!(passes(json!([{"field": "mentions", "operator": "is", "value": "49155500"}])));
        assert!(passes(json!([{"field": "sender", "operator": "isNot", "value": "49999999"}])));
    }

    #[test]
    fn capitals_matter_only_on_request() {
        assert!(!passes(
            json!([{"field": "body", "operator": "contains", "value": "order", "caseSensitive": true}])
        ));
        assert!(passes(
            json!([{"field": "body", "operator": "equals", "value": "order 7 PLEASE"}])
        ));
    }

    #[test]
    fn other_event_families_are_not_filtered() {
        let only_groups = filters(json!([{"field": "isGroup", "operator": "is", "value": true}]));
        let read = || panic!("nothing applies, so nothing is read");
        assert!(only_groups.matches(EventType::SessionStatus, read));
    }

    #[test]
    fn a_condition_that_cannot_apply_is_refused_with_its_field_and_event() {
        let body = filters(json!([
            {"field": "sender", "operator": "is", "value": "49170111"},
            {"field": "body", "operator": "contains", "value": "order"},
        ]));
        let by_name = |kind| body.check_events(&[Subscription::One(kind)]);
        assert_eq!(by_name(EventType::MessageReceived), Ok(()));
        assert_eq!(by_name(EventType::SessionStatus), Ok(()), "another family");
        assert_eq!(body.check_events(&[Subscription::All]), Ok(()));
        let refused = by_name(EventType::MessageAck).unwrap_err().to_string();
        assert!(refused.contains("conditions[1]") && refused.contains("body"), "{refused}");
        assert!(refused.contains("message.ack"), "{refused}");
        // With `*` it does not apply to acks, and what can be tested still is.
        let ack = |from: &str| json!({ "from": from, "chatId": from, "status": "read" });
        for (from, passes) in [("49170111@c.us", true), ("49170222@c.us", false)] {
            let ack = ack(from);
            assert_eq!(body.matches(EventType::MessageAck, || &ack), passes);
        }
    }

    #[test]
    fn wrong_filters_are_refused() {
        let refused = |condition: Value| {
            let parsed = serde_json::from_value::<Filters>(json!({ "conditions": [condition] }));
            parsed.is_err() || parsed.is_ok_and(|filters| filters.validate().is_err())
        };
        assert!(refused(json!({"field": "colour", "operator": "is", "value": "red"})));
        assert!(refused(json!({"field": "body", "operator": "regex", "value": ".*"})));
        assert!(refused(json!({"field": "body", "operator": "is", "value": "x"})));
        assert!(refused(json!({"field": "isGroup", "operator": "is", "value": "yes"})));
        assert!(refused(json!({"field": "sender", "operator": "is", "value": []})));
        assert!(refused(json!({"field": "sender", "operator": "is", "value": "1", "extra": 1})));
        let many = filters(json!([]));
        let condition = FilterCondition {
            field: Field::FromMe,
            operator: FilterOperator::Is,
            value: Operand::Flag(true),
            case_sensitive: false,
        };
        assert_eq!(many.validate(), Ok(()));
        assert_eq!(
            Filters { conditions: vec![condition; 21] }.validate(),
            Err(InvalidFilter::TooManyConditions)
        );
    }
}
