//! The account's business: its profile by the library, its catalogue by queries of our own.

use async_trait::async_trait;
use domain::{
    catalogue::{BusinessProfile, CATALOGUE_PAGE, Product, ProductPage},
    port::{CatalogueActions, EngineError},
};
use whatsapp_rust::{
    Client, Jid, NodeBuilder, Server,
    wacore::request::InfoQuery,
    wacore_binary::{Node, NodeContent, NodeContentRef, NodeRef},
};

use crate::{connection::ConnectionHandle, failure};

/// Pixels of the pictures that WhatsApp is asked for.
const PICTURE_PIXELS: &str = "640";

#[async_trait]
impl CatalogueActions for ConnectionHandle {
    async fn business(&self) -> Result<Option<BusinessProfile>, EngineError> {
        let client = self.client.clone();
        self.request(Box::pin(async move {
            match client.get_business_profile(&own(&client)?).await {
                Ok(found) => Ok(found.map(|found| BusinessProfile {
                    description: Some(found.description).filter(|text| !text.is_empty()),
                })),
                Err(error) if failure::code_of(&error) == Some(404) => Ok(None),
                Err(error) => Err(failure::of_request(error)),
            }
        }))
        .await
    }

    async fn products(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Option<ProductPage>, EngineError> {
        let (client, after) = (self.client.clone(), after.map(str::to_owned));
        self.request(Box::pin(async move {
            match client.send_iq(query(&own(&client)?, after, limit)).await {
                Ok(answer) => Ok(page(answer.get())),
                Err(error) if failure::code_of(&error) == Some(404) => Ok(None),
                Err(error) => Err(failure::of_request(error)),
            }
        }))
        .await
    }
}

fn own(client: &Client) -> Result<Jid, EngineError> {
    client.pn().map(|jid| jid.to_non_ad()).ok_or(EngineError::NotConnected)
}

fn query(own: &Jid, after: Option<String>, limit: u32) -> InfoQuery<'static> {
    let text =
        |tag: &'static str, value: String| NodeBuilder::new(tag).bytes(value.into_bytes()).build();
    let mut asked: Vec<Node> = vec![
        text("limit", limit.min(CATALOGUE_PAGE).to_string()),
        text("width", PICTURE_PIXELS.to_owned()),
        text("height", PICTURE_PIXELS.to_owned()),
    ];
    asked.extend(after.map(|after| text("after", after)));
    let catalogue = NodeBuilder::new("product_catalog")
        .attr("jid", own)
        .attr("allow_shop_source", "true")
        .children(asked)
        .build();
    let content = Some(NodeContent::Nodes(vec![catalogue]));
    InfoQuery::get("w:biz:catalog", Jid::new("", Server::Pn), content)
}

fn page(answer: &NodeRef<'_>) -> Option<ProductPage> {
    let catalogue = answer.get_optional_child("product_catalog")?;
    let next = catalogue
        .get_optional_child("paging")
        .and_then(|paging| text(paging, "after"))
        .filter(|after| !after.is_empty());
    let products = catalogue.get_children_by_tag("product").filter_map(product).collect();
    Some(ProductPage { products, next })
}

/// A product without an id is none.
fn product(node: &NodeRef<'_>) -> Option<Product> {
    let filled = |tag: &str| text(node, tag).filter(|text| !text.is_empty());
    let flag = |name: &str| node.get_attr(name).is_some_and(|value| value.as_str() == "true");
    let picture = node.get_optional_child("media").and_then(|media| {
        let image = media.get_optional_child("image")?;
        text(image, "original_image_url").or_else(|| text(image, "request_image_url"))
    });
    let availability = filled("availability")
        .or_else(|| node.get_attr("availability").map(|value| value.as_str().into_owned()));
    Some(Product {
        id: filled("id")?,
        name: filled("name").unwrap_or_default(),
        description: filled("description"),
        price_thousandths: filled("price").and_then(|price| price.parse().ok()),
        currency: filled("currency"),
        image_url: picture.filter(|url| !url.is_empty()),
        url: filled("url"),
        retailer_id: filled("retailer_id"),
        is_available: availability.is_none_or(|word| word.replace('_', " ") == "in stock"),
        is_hidden: flag("is_hidden"),
    })
}

fn text(node: &NodeRef<'_>, tag: &str) -> Option<String> {
    match node.get_optional_child(tag)?.content.as_ref()? {
        NodeContentRef::String(text) => Some(text.to_string()),
        NodeContentRef::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
        NodeContentRef::Nodes(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(tag: &'static str, value: &str) -> Node {
        NodeBuilder::new(tag).bytes(value.as_bytes().to_vec()).build()
    }

    #[test]
    fn products_are_read_and_those_without_an_id_are_left_out() {
        let cake = NodeBuilder::new("product")
            .attr("is_hidden", "true")
            .children([
                leaf("id", "77"),
                leaf("name", "Plum cake"),
                leaf("price", "12500"),
                leaf("currency", "EUR"),
                leaf("availability", "out_of_stock"),
            ])
            .build();
        let nothing = NodeBuilder::new("product").children([leaf("name", "?")]).build();
        let paging = NodeBuilder::new("paging").children([leaf("after", "next")]).build();
        let catalogue =
            NodeBuilder::new("product_catalog").children([cake, nothing, paging]).build();
        let answer = NodeBuilder::new("iq").children([catalogue]).build();
        let page = page(&answer.as_node_ref()).unwrap();
        assert_eq!((page.products.len(), page.next.as_deref()), (1, Some("next")));
        let cake = &page.products[0];
        assert_eq!((cake.name.as_str(), cake.price_thousandths), ("Plum cake", Some(12_500)));
        assert_eq!((cake.is_available, cake.is_hidden), (false, true));
        assert_eq!(super::page(&NodeBuilder::new("iq").build().as_node_ref()), None);
    }
}
