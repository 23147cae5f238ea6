//! Businesses: their profile and their catalogue.

use anyhow::Result;
use whatsapp_rust::wacore_binary::{Node, NodeRef};

use crate::{
    hub::Hub,
    wire::{Build, child, child_bytes, need_jid, refusal, result},
};

/// Products of one answer when nobody says.
const PAGE: usize = 10;

/// A business account.
#[derive(Debug, Clone, Default)]
pub struct Business {
    /// What it says about itself.
    pub description: String,
    /// What it sells; `None` for one without a catalogue.
    pub products: Option<Vec<CatalogueProduct>>,
}

/// A product in a catalogue.
#[derive(Debug, Clone, Default)]
pub struct CatalogueProduct {
    /// The id in the catalogue.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What is said about it.
    pub description: String,
    /// What it costs, in thousandths of the currency's unit.
    pub price: i64,
    /// The currency, ISO 4217.
    pub currency: String,
    /// Where its picture is.
    pub image_url: Option<String>,
    /// The business's own number of it.
    pub retailer_id: String,
    /// Whether customers do not see it.
    pub hidden: bool,
}

/// The profile of an account; without content for one that is no business.
pub(super) fn profile(hub: &Hub, id: &str, request: &NodeRef<'_>) -> Result<Node> {
    let asked = child(child(request, "business_profile")?, "profile")?;
    let jid = need_jid(asked, "jid")?;
    let state = hub.state();
    let business = state.phone_of(&jid).and_then(|phone| state.businesses.get(&phone));
    let profiles = business.map(|business| {
        let description =
            Build::new("description").bytes(business.description.clone().into_bytes()).build();
        Build::new("profile").attr("jid", &jid).children([description]).build()
    });
    let profiles = Build::new("business_profile").attr("v", "244").children(profiles);
    Ok(result(id).children([profiles.build()]).build())
}

/// A part of a catalogue.
pub(super) fn catalogue(hub: &Hub, id: &str, request: &NodeRef<'_>) -> Result<Node> {
    let asked = child(request, "product_catalog")?;
    let jid = need_jid(asked, "jid")?;
    let text =
        |tag: &str| child_bytes(asked, tag).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let state = hub.state();
    let business = state.phone_of(&jid).and_then(|phone| state.businesses.get(&phone));
    let Some(products) = business.and_then(|business| business.products.as_ref()) else {
        return Ok(refusal(id, 404, "item-not-found"));
    };
    let limit = text("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE);
    let start = text("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    let mut content: Vec<Node> = products.iter().skip(start).take(limit).map(product).collect();
    if start + limit < products.len() {
        let after = leaf("after", &(start + limit).to_string());
        content.push(Build::new("paging").children([after]).build());
    }
    let catalogue = Build::new("product_catalog").attr("jid", &jid).children(content).build();
    Ok(result(id).children([catalogue]).build())
}

fn leaf(tag: &'static str, text: &str) -> Node {
    Build::new(tag).bytes(text.as_bytes().to_vec()).build()
}

fn product(product: &CatalogueProduct) -> Node {
    let mut content = vec![
        leaf("id", &product.id),
        leaf("name", &product.name),
        leaf("description", &product.description),
        leaf("price", &product.price.to_string()),
        leaf("currency", &product.currency),
        leaf("retailer_id", &product.retailer_id),
    ];
    if let Some(url) = &product.image_url {
        let image = Build::new("image").children([leaf("original_image_url", url)]).build();
        content.push(Build::new("media").children([image]).build());
    }
    let hidden = if product.hidden { "true" } else { "false" };
    Build::new("product").attr("is_hidden", hidden).children(content).build()
}
