//! WhatsApp's stored GraphQL queries. The library asks them too, but hides the code of a refusal in a sentence; here it
//! tells what is not there from what is not allowed.

use domain::port::EngineError;
use serde::Serialize;
use serde_json::Value;
use whatsapp_rust::{
    Client, Jid, NodeBuilder, Server, anyhow,
    wacore::{iq::spec::IqSpec, request::InfoQuery},
    wacore_binary::{NodeContent, NodeContentRef, NodeRef},
};

use crate::failure;

/// The server's code for something that it does not have.
const NOT_FOUND: i64 = 404;

/// One query: its number at WhatsApp, and the request as JSON.
struct StoredQuery {
    id: &'static str,
    payload: Vec<u8>,
}

/// What an answer says.
#[derive(Debug, PartialEq)]
enum MexAnswer {
    Data(Value),
    Refused { code: i64, message: String },
}

impl IqSpec for StoredQuery {
    type Response = MexAnswer;

    fn build_iq(&self) -> InfoQuery<'static> {
        let query =
            NodeBuilder::new("query").attr("query_id", self.id).bytes(self.payload.clone()).build();
        InfoQuery::get("w:mex", Jid::new("", Server::Pn), Some(NodeContent::Nodes(vec![query])))
    }

    fn parse_response(&self, response: &NodeRef<'_>) -> Result<MexAnswer, anyhow::Error> {
        let result = response.get_optional_child("result");
        let answer: Value = match result.and_then(|result| result.content.as_ref()) {
            Some(NodeContentRef::Bytes(bytes)) => serde_json::from_slice(bytes)?,
            Some(NodeContentRef::String(text)) => serde_json::from_str(text)?,
            _ => anyhow::bail!("the answer to a query says nothing"),
        };
        Ok(read(answer))
    }
}

/// An answer with errors is a refusal, whatever data it has: the summary among them counts, else the first.
fn read(mut answer: Value) -> MexAnswer {
    let errors = answer["errors"].as_array();
    let summary = |error: &&Value| error["extensions"]["is_summary"].as_bool().unwrap_or_default();
    let first = errors.and_then(|errors| errors.iter().find(summary).or_else(|| errors.first()));
    match first {
        Some(error) => MexAnswer::Refused {
            code: error["extensions"]["error_code"].as_i64().unwrap_or(500),
            message: error["message"].as_str().unwrap_or("no reason given").to_owned(),
        },
        None => MexAnswer::Data(answer["data"].take()),
    }
}

/// Asks a query; `None` when WhatsApp does not have what it is about.
pub(crate) async fn ask<V: Serialize>(
    client: &Client,
    id: &'static str,
    variables: V,
) -> Result<Option<Value>, EngineError> {
    let payload = serde_json::to_vec(&serde_json::json!({ "variables": variables }));
    let payload = payload.map_err(|error| EngineError::Refused(error.to_string()))?;
    match client.execute(StoredQuery { id, payload }).await {
        Ok(MexAnswer::Data(data)) => Ok(Some(data)),
        Ok(MexAnswer::Refused { code: NOT_FOUND, .. }) => Ok(None),
        Ok(MexAnswer::Refused { code, message }) => {
            Err(EngineError::Refused(format!("{message} (code {code})")))
        }
        Err(error) => Err(failure::of_request(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_counts_whatever_else_is_there() {
        assert_eq!(
            read(json!({ "data": { "a": 1 }, "errors": [] })),
            MexAnswer::Data(json!({ "a": 1 }))
        );
        let first = json!({ "message": "no", "extensions": { "error_code": 403 } });
        let summary =
            json!({ "message": "gone", "extensions": { "error_code": 404, "is_summary": true } });
        assert_eq!(
            read(json!({ "data": { "a": 1 }, "errors": [first, summary] })),
            MexAnswer::Refused { code: 404, message: "gone".into() }
        );
        assert_eq!(
            read(json!({ "errors": [{}] })),
            MexAnswer::Refused { code: 500, message: "no reason given".into() }
        );
    }
}
