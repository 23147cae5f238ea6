//! The catalogue of a business account: WhatsApp is asked each time, nothing of it is kept.

use domain::{
    SessionId,
    catalogue::{CATALOGUE_PAGE, CATALOGUE_PRODUCTS_MAX, Product},
};

use crate::{
    Ports, Sessions,
    sessions::{AskError, ReadySession},
};

/// A catalogue as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueOverview {
    /// The account's number, digits only.
    pub phone: String,
    /// What the account calls itself.
    pub name: Option<String>,
    /// What the business says about itself.
    pub description: Option<String>,
    /// How many products it has.
    pub products: usize,
}

/// Some products of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductList {
    /// The products of the page that was asked for.
    pub products: Vec<Product>,
    /// How many there are in all.
    pub total: usize,
    /// The account's number, digits only.
    pub phone: String,
}

/// A handle to the catalogues. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    ports: Ports,
    sessions: Sessions,
}

impl Catalogue {
    pub(crate) fn build(ports: &Ports, sessions: &Sessions) -> Self {
        Self { ports: ports.clone(), sessions: sessions.clone() }
    }

    /// What the account sells, in short; `None` when it is no business or has no catalogue.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn overview(
        &self,
        session: SessionId,
    ) -> Result<Option<CatalogueOverview>, AskError> {
        let link = self.sessions.link(session).await?;
        let Some(business) = link.connection.business().await? else { return Ok(None) };
        let Some(products) = all(&link).await? else { return Ok(None) };
        let record = self.ports.store.session(session).await.map_err(AskError::Store)?;
        Ok(Some(CatalogueOverview {
            phone: phone(&link),
            name: record.and_then(|record| record.push_name),
            description: business.description,
            products: products.len(),
        }))
    }

    /// A page of products, counted from 1; `None` when the account has no catalogue.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn products(
        &self,
        session: SessionId,
        page: u32,
        limit: u32,
    ) -> Result<Option<ProductList>, AskError> {
        let link = self.sessions.link(session).await?;
        let Some(products) = all(&link).await? else { return Ok(None) };
        let total = products.len();
        let (page, limit) = (page.max(1) as usize - 1, limit.max(1) as usize);
        let products = products.into_iter().skip(page.saturating_mul(limit)).take(limit).collect();
        Ok(Some(ProductList { products, total, phone: phone(&link) }))
    }

    /// One product, with the account's number; `None` when the account's catalogue has none of this id.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn product(
        &self,
        session: SessionId,
        id: &str,
    ) -> Result<Option<(Product, String)>, AskError> {
        let link = self.sessions.link(session).await?;
        let products = all(&link).await?.unwrap_or_default();
        let found = products.into_iter().find(|product| product.id == id);
        Ok(found.map(|product| (product, phone(&link))))
    }
}

/// The account's number, digits only.
fn phone(link: &ReadySession) -> String {
    link.from.trim_end_matches("@c.us").to_owned()
}

/// Every product that customers see, up to a number; `None` when there is no catalogue. WhatsApp gives them part by
/// part and does not count them.
async fn all(link: &ReadySession) -> Result<Option<Vec<Product>>, AskError> {
    let (mut products, mut after, mut parts) = (Vec::new(), None::<String>, 0);
    let parts_max = CATALOGUE_PRODUCTS_MAX / CATALOGUE_PAGE as usize;
    loop {
        let part = link.connection.products(after.as_deref(), CATALOGUE_PAGE).await?;
        let Some(part) = part else { return Ok((parts > 0).then_some(products)) };
        parts += 1;
        products.extend(part.products.into_iter().filter(|product| !product.is_hidden));
        match part.next {
            Some(next) if parts < parts_max && after.as_ref() != Some(&next) => after = Some(next),
            _ => return Ok(Some(products)),
        }
    }
}
