//! Query parameters by name: given once, several times, or comma-separated.

use std::{convert::Infallible, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};

use crate::world::Refusal;

/// The parameters of a request, in their order. Where a parameter has several names, the first one given counts.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // A query that is none has no parameters.
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        Ok(Self(query.map(|Query(pairs)| pairs).unwrap_or_default()))
    }
}

impl Params {
    /// One parameter.
    pub(super) fn only(name: &str, value: &str) -> Self {
        Self(vec![(name.to_owned(), value.to_owned())])
    }

    /// The text of a parameter that is given and not empty.
    pub(super) fn text(&self, names: &[&str]) -> Option<&str> {
        let given = |name: &&str| {
            let mut pairs = self.0.iter();
            pairs.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
        };
        names.iter().find_map(given)
    }

    /// Every text of a parameter, commas taken apart; `None` when it is not given.
    pub(super) fn list(&self, names: &[&str]) -> Option<Vec<&str>> {
        let texts: Vec<&str> = self
            .0
            .iter()
            .filter(|(key, _)| names.contains(&key.as_str()))
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .collect();
        (!texts.is_empty()).then_some(texts)
    }

    /// A parameter, read.
    ///
    /// # Errors
    /// Status 400 naming the parameter.
    pub(super) fn parse<T: FromStr>(&self, names: &[&str]) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(names) else { return Ok(None) };
        let name = names.first().copied().unwrap_or_default();
        text.parse().map(Some).map_err(|_| Refusal::bad(format!("invalid query param '{name}': {text}")))
    }

    /// Every text of a parameter, read.
    ///
    /// # Errors
    /// Status 400 naming the parameter.
    pub(super) fn parse_list<T: FromStr>(&self, names: &[&str]) -> Result<Option<Vec<T>>, Refusal> {
        let Some(texts) = self.list(names) else { return Ok(None) };
        let name = names.first().copied().unwrap_or_default();
        let bad = |text: &str| Refusal::bad(format!("invalid query param '{name}': {text}"));
        texts.into_iter().map(|text| text.parse().map_err(|_| bad(text))).collect::<Result<_, _>>().map(Some)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// Status 400 naming the parameter.
    pub(super) fn required<T: FromStr>(&self, name: &str) -> Result<T, Refusal> {
        let missing = || Refusal::bad(format!("required query param '{name}' not provided"));
        self.parse(&[name])?.ok_or_else(missing)
    }

    /// Whether a parameter says yes.
    ///
    /// # Errors
    /// Status 400 naming the parameter.
    pub(super) fn flag(&self, names: &[&str]) -> Result<Option<bool>, Refusal> {
        match self.text(names).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(Refusal::bad(format!("invalid query param: {other} is not a boolean"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_comes_once_often_or_with_commas() {
        let pairs = [("a", "1,2"), ("a", "3"), ("b", ""), ("c", "x"), ("d", "TRUE")];
        let params = Params(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec());
        assert_eq!(params.parse_list::<u8>(&["a"]), Ok(Some(vec![1, 2, 3])));
        assert_eq!(params.parse::<u8>(&["b"]), Ok(None));
        assert_eq!(params.parse::<u8>(&["c"]).unwrap_err().error, "invalid query param 'c': x");
        assert_eq!(params.flag(&["z", "d"]), Ok(Some(true)));
        assert_eq!(params.required::<u8>("z").unwrap_err().status, 400);
    }
}
