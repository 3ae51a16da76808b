//! Extractors whose refusals are `{"detail": …}` like every other error.

use axum::{
    Form,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use preloop_api_types::Page;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::ApiError;

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        parse(&body(request, state).await?).map(Json)
    }
}

/// A body that is a form or JSON, as its content type says.
pub(crate) struct FormOrJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for FormOrJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return parse(&body(request, state).await?).map(Self);
        }
        match Form::from_request(request, state).await {
            Ok(Form(form)) => Ok(Self(form)),
            Err(error) => Err(ApiError::field("body", "", error.body_text(), "value_error")),
        }
    }
}

/// A JSON body that may be left out.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = body(request, state).await?;
        if body.trim_ascii().is_empty() { Ok(Self(T::default())) } else { parse(&body).map(Self) }
    }
}

/// The body, whole; its size is limited by a layer.
pub(crate) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|error| ApiError::new(error.status(), error.body_text()))
}

/// Reads JSON; says where it is wrong.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let kind = match error.inner().classify() {
            serde_json::error::Category::Data => "value_error",
            _ => "json_invalid",
        };
        ApiError::field("body", path.trim_matches('.'), error.inner().to_string(), kind)
    })?;
    json.end().map_err(|error| ApiError::field("body", "", error.to_string(), "json_invalid"))?;
    Ok(value)
}

/// Ids in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(id)| Id(id))
            .map_err(|_| ApiError::field("path", "id", "is not an id (expected a UUID)", "uuid_parsing"))
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(query)| Query(query))
            .map_err(|error| ApiError::field("query", "", error.body_text(), "value_error"))
    }
}

/// One page of a list, with its whole length in `X-Total-Count`.
pub(crate) struct Listed<T> {
    items: Vec<T>,
    total: usize,
}

impl<T> Listed<T> {
    /// The page of `all` that was asked for.
    pub(crate) fn page(all: Vec<T>, page: &Page) -> Result<Self, ApiError> {
        let limit = limit(page.limit, 1_000, 1_000)?;
        let total = all.len();
        let items = all.into_iter().skip(page.skip.unwrap_or(0) as usize).take(limit as usize).collect();
        Ok(Self { items, total })
    }

    /// The same list of other things.
    pub(crate) fn map<U>(self, shape: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(shape).collect(), total: self.total }
    }

    /// What is on the page.
    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }
}

/// One page of a list whose answer says how long it is.
pub(crate) struct Slice<T> {
    pub(crate) items: Vec<T>,
    pub(crate) total: u64,
    pub(crate) skip: u64,
    pub(crate) limit: u64,
}

impl<T> Slice<T> {
    /// The page of `all` that was asked for: of a hundred, when it does not say.
    pub(crate) fn of(all: Vec<T>, page: &Page) -> Result<Self, ApiError> {
        let limit = limit(page.limit, 100, 1_000)?;
        let (total, skip) = (all.len() as u64, page.skip.unwrap_or(0));
        let items = all.into_iter().skip(skip as usize).take(limit as usize).collect();
        Ok(Self { items, total, skip: skip.into(), limit: limit.into() })
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let total = HeaderValue::from(self.total);
        ([("x-total-count", total)], axum::Json(self.items)).into_response()
    }
}

/// How many items to answer: `default` when not said, 1 to `max`.
pub(crate) fn limit(asked: Option<u32>, default: u32, max: u32) -> Result<u32, ApiError> {
    match asked.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        limit => Err(ApiError::field("query", "limit", format!("`{limit}` is not between 1 and {max}"), "value_error")),
    }
}

/// A thing that was made: 201.
pub(crate) fn created<T: Serialize>(thing: T) -> (StatusCode, axum::Json<T>) {
    (StatusCode::CREATED, axum::Json(thing))
}
