//! The catalogue of a business account and the products in it.

use serde::{Deserialize, Serialize};

/// Most products of one answer of WhatsApp.
pub const CATALOGUE_PAGE: u32 = 50;
/// Most products that are looked through, to count them or to find one.
pub const CATALOGUE_PRODUCTS_MAX: usize = 2_000;

/// The business behind an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessProfile {
    /// What the business says about itself.
    pub description: Option<String>,
}

/// A product as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// WhatsApp's id of the product.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What the business says about it.
    pub description: Option<String>,
    /// What it costs, in thousandths of the currency's unit.
    pub price_thousandths: Option<i64>,
    /// The currency of the price, ISO 4217.
    pub currency: Option<String>,
    /// Where its first picture can be fetched.
    pub image_url: Option<String>,
    /// The business's own page about it.
    pub url: Option<String>,
    /// The business's own number of it.
    pub retailer_id: Option<String>,
    /// Whether it can be ordered now.
    pub is_available: bool,
    /// Whether customers do not see it.
    pub is_hidden: bool,
}

/// A part of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductPage {
    /// The products, in the catalogue's order.
    pub products: Vec<Product>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<String>,
}

/// A price as people read it: the amount with two digits behind the point, or as many as it has, and the currency.
pub fn price_text(thousandths: i64, currency: &str) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let (whole, rest) = (thousandths.unsigned_abs() / 1000, thousandths.unsigned_abs() % 1000);
    if rest.is_multiple_of(10) {
        format!("{currency} {sign}{whole}.{:02}", rest / 10)
    } else {
        format!("{currency} {sign}{whole}.{rest:03}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_by_people() {
        assert_eq!(price_text(12_500, "EUR"), "EUR 12.50");
        assert_eq!(price_text(7, "KWD"), "KWD 0.007");
        assert_eq!(price_text(-1_000, "EUR"), "EUR -1.00");
        assert_eq!(price_text(0, "JPY"), "JPY 0.00");
    }
}
