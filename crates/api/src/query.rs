//! The query of a URL.

use std::{convert::Infallible, ops::RangeInclusive};

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::port::Page;

use crate::error::{self, ApiError};

/// Most rows of a list, and how many there are without `limit`.
pub const LIMIT_MAX: u32 = 1000;

/// The parameters of a query, in their order. Unknown ones are ignored.
pub struct Query(Vec<(String, String)>);

/// A parameter that stands for one value was given several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// A parameter's only value.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values =
            self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (value, None) => Ok(value),
        }
    }

    /// Refuses parameters of other names.
    ///
    /// # Errors
    /// 400 that names the first of them.
    pub fn only(&self, names: &[&str]) -> Result<(), ApiError> {
        let unknown = self.0.iter().find(|(name, _)| !names.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some((name, _)) => {
                Err(ApiError::problem(format!("property {} should not exist", error::echo(name))))
            }
        }
    }

    /// A parameter that is a number between two others.
    ///
    /// # Errors
    /// 400 when it is something else, or there several times.
    pub fn within(&self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, ApiError> {
        let (least, most) = (range.start(), range.end());
        let bad = || ApiError::problem(format!("{name} must be a number from {least} to {most}"));
        let Some(text) = self.one(name).map_err(|_| bad())? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(bad)
    }

    /// A parameter that is a number; `None` when it is none.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.one(name).ok().flatten().and_then(|text| text.trim().parse().ok())
    }

    /// A parameter that is a flag.
    ///
    /// # Errors
    /// 400 when it is something else, or there several times.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let given = self.one(name);
        let text = given.map_err(|_| ApiError::problem(format!("{name} must be given once")))?;
        let Some(text) = text else { return Ok(None) };
        let flag = text.parse::<bool>();
        flag.map(Some).map_err(|_| ApiError::problem(format!("{name} must be a boolean value")))
    }

    /// `limit` and `offset` of a list. Values that make no sense fall back, as OpenWA's do.
    pub fn page(&self) -> Page {
        let limit = self.number("limit").filter(|limit| (1..=LIMIT_MAX).contains(limit));
        Page { limit: limit.unwrap_or(LIMIT_MAX), offset: self.number("offset").unwrap_or(0) }
    }
}

/// A page of a list that is in memory already.
pub fn slice<T>(rows: Vec<T>, page: Page) -> Vec<T> {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    rows.into_iter().skip(count(page.offset)).take(count(page.limit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junk_falls_back() {
        let page = |text: &str| Query::parse(text).page();
        assert_eq!(page(""), Page { limit: 1000, offset: 0 });
        assert_eq!(page("limit=7&offset=3"), Page { limit: 7, offset: 3 });
        for junk in ["limit=0", "limit=1001", "limit=-1", "limit=x&offset=-2", "limit=1&limit=2"] {
            assert_eq!(page(junk), Page { limit: 1000, offset: 0 }, "{junk}");
        }
    }

    #[test]
    fn repeated_parameters_are_seen() {
        let query = Query::parse("name=a%2Bb&x=1&x=2");
        assert_eq!(query.one("name"), Ok(Some("a+b")));
        assert_eq!(query.one("x"), Err(Repeated));
        assert_eq!(query.one("y"), Ok(None));
    }
}
