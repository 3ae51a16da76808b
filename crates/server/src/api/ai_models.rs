//! `/api/v1/ai-models`

use std::collections::BTreeMap;

use http::StatusCode;
use preloop_api_types::{
    JsonObject, Page,
    ai_models::{
        AiModel, CreateAiModel, Credential, KnownModel, ModelPricing, ModelProvider, ProviderKnob, UpdateAiModel,
    },
};
use preloop_gateway::{
    models::limits,
    prices::{self, catalogue},
    providers::{self, Knob, Profile},
};
use preloop_govern::config::ModelChange;
use preloop_store::SecretOwner;
use preloop_types::{AccountId, Model, ModelId, PriceOverride, PriceSource, Rates};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, CreateAiModels, DeleteAiModels, EditAiModels, ViewAiModels},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Listed, Query, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(list_providers))
        .routes(guarded!(known_models))
        .routes(guarded!(pricing))
        .routes(guarded!(get))
        .routes(guarded!(update))
        .routes(guarded!(delete))
}

/// The account's models, by alias; disabled ones too.
#[utoipa::path(get, path = "/api/v1/ai-models", tag = "ai-models", params(Page),
    responses((status = 200, body = Vec<AiModel>)))]
async fn list(caller: Caller<ViewAiModels>, Query(page): Query<Page>) -> Result<Listed<AiModel>, ApiError> {
    let account = caller.who().account;
    let models = Listed::page(caller.store().account(account).models().await?, &page)?;
    let mut all = BTreeMap::new();
    for model in models.items() {
        all.insert(model.id, secrets(&caller, account, model.id).await?);
    }
    Ok(models.map(|model| {
        let secrets = all.remove(&model.id).unwrap_or_default();
        shown(account, model, &secrets)
    }))
}

/// Adds a model.
#[utoipa::path(post, path = "/api/v1/ai-models", tag = "ai-models", responses((status = 201, body = AiModel)))]
async fn create(
    caller: Caller<CreateAiModels>,
    Json(body): Json<CreateAiModel>,
) -> Result<(StatusCode, axum::Json<AiModel>), ApiError> {
    let change = ModelChange {
        alias: body.alias,
        provider: Some(body.provider),
        identifier: Some(body.identifier),
        description: Some(body.description),
        endpoint: Some(body.endpoint),
        enabled: body.enabled,
        is_default: body.is_default,
        tags: Some(body.tags),
        settings: body.settings,
        pricing: Some(body.pricing),
        credentials: with_api_key(body.credentials, body.api_key),
    };
    let model = caller.config().create_model(caller.who(), change).await?;
    let secrets = secrets(&caller, caller.who().account, model.id).await?;
    Ok(created(shown(caller.who().account, model, &secrets)))
}

/// Who serves models, and what each of them needs to know.
#[utoipa::path(get, path = "/api/v1/ai-models/providers", tag = "ai-models",
    responses((status = 200, body = Vec<ModelProvider>)))]
async fn list_providers(_: Caller<ViewAiModels>) -> ApiResult<Vec<ModelProvider>> {
    Ok(axum::Json(providers::all().map(|provider| provider_shown(provider.profile())).collect()))
}

/// The models of a provider that the catalogue knows. It serves others too.
#[utoipa::path(get, path = "/api/v1/ai-models/providers/{provider}/available-models", tag = "ai-models",
    params(("provider" = String, Path)), responses((status = 200, body = Vec<KnownModel>)))]
async fn known_models(
    _: Caller<ViewAiModels>,
    axum::extract::Path(provider): axum::extract::Path<String>,
) -> ApiResult<Vec<KnownModel>> {
    providers::provider(&provider).ok_or_else(|| ApiError::not_found("provider"))?;
    let known = catalogue().models_of(&provider).into_iter().map(|(identifier, entry)| KnownModel {
        identifier: identifier.to_owned(),
        context_window: entry.context_window,
        max_output: entry.max_output,
        rates: entry.rates.clone(),
    });
    Ok(axum::Json(known.collect()))
}

/// What a model costs now, and who says so.
#[utoipa::path(get, path = "/api/v1/ai-models/{id}/pricing", tag = "ai-models",
    responses((status = 200, body = ModelPricing)))]
async fn pricing(caller: Caller<ViewAiModels>, Id(id): Id<ModelId>) -> ApiResult<ModelPricing> {
    let account = caller.who().account;
    let model = find(&caller, account, id).await?;
    let overrides = caller.store().account(account).price_overrides().await?;
    let now = caller.store().now();
    let (known, limits) = (prices::find(&model), limits(&model));
    let price = Rates::of(&model, &overrides, known.map(|entry| &entry.rates), now);
    let source = price.as_ref().map(|(_, source)| *source);
    let by_override = PriceOverride::for_model(&overrides, &model, now);
    Ok(axum::Json(ModelPricing {
        ai_model_id: id.0,
        alias: model.alias.clone(),
        cost_source: source.map_or("unpriced", PriceSource::as_str).to_owned(),
        rates: price.map(|(rates, _)| rates.into_owned()),
        price_override_id: by_override.filter(|_| source == Some(PriceSource::Override)).map(|price| price.id.0),
        catalog: known.map(|entry| entry.rates.clone()),
        catalog_as_of: known.map(|_| catalogue().as_of.clone()),
        context_window: limits.context_window,
        max_output: limits.max_output,
    }))
}

/// One model.
#[utoipa::path(get, path = "/api/v1/ai-models/{id}", tag = "ai-models",
    responses((status = 200, body = AiModel)))]
async fn get(caller: Caller<ViewAiModels>, Id(id): Id<ModelId>) -> ApiResult<AiModel> {
    let account = caller.who().account;
    let model = find(&caller, account, id).await?;
    Ok(axum::Json(shown(account, model, &secrets(&caller, account, id).await?)))
}

/// Changes a model.
#[utoipa::path(put, path = "/api/v1/ai-models/{id}", tag = "ai-models",
    responses((status = 200, body = AiModel)))]
async fn update(
    caller: Caller<EditAiModels>,
    Id(id): Id<ModelId>,
    Json(body): Json<UpdateAiModel>,
) -> ApiResult<AiModel> {
    let change = ModelChange {
        alias: body.alias,
        provider: body.provider,
        identifier: body.identifier,
        description: body.description.patch(),
        endpoint: body.endpoint.patch(),
        enabled: body.enabled,
        is_default: body.is_default,
        tags: body.tags,
        settings: body.settings,
        pricing: body.pricing.patch(),
        credentials: with_api_key(body.credentials, body.api_key),
    };
    let model = caller.config().update_model(caller.who(), id, change).await?;
    let secrets = secrets(&caller, caller.who().account, id).await?;
    Ok(axum::Json(shown(caller.who().account, model, &secrets)))
}

/// Removes a model with its secrets.
#[utoipa::path(delete, path = "/api/v1/ai-models/{id}", tag = "ai-models", responses((status = 204)))]
async fn delete(caller: Caller<DeleteAiModels>, Id(id): Id<ModelId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_model(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn find(app: &App, account: AccountId, id: ModelId) -> Result<Model, ApiError> {
    app.store().account(account).model(id).await?.ok_or_else(|| ApiError::not_found("model"))
}

fn with_api_key(mut credentials: BTreeMap<String, Value>, api_key: Option<String>) -> BTreeMap<String, Value> {
    if let Some(api_key) = api_key {
        credentials.insert("api_key".to_owned(), Value::String(api_key));
    }
    credentials
}

type Secrets = BTreeMap<String, SecretString>;

async fn secrets(app: &App, account: AccountId, id: ModelId) -> Result<Secrets, ApiError> {
    Ok(app.store().account(account).secrets(SecretOwner::Model(id)).await?)
}

fn shown(account: AccountId, model: Model, secrets: &Secrets) -> AiModel {
    let needed = providers::provider(&model.provider).map_or(&[][..], |provider| provider.profile().secrets);
    let missing = needed.iter().filter(|knob| knob.required && !secrets.contains_key(knob.name));
    let settings = match serde_json::to_value(&model.settings) {
        Ok(Value::Object(members)) => members,
        _ => JsonObject::new(),
    };
    AiModel {
        id: model.id.0,
        account_id: account.0,
        missing_credentials: missing.map(|knob| knob.name.to_owned()).collect(),
        credentials: secrets.iter().map(|(name, secret)| (name.clone(), redacted(secret))).collect(),
        alias: model.alias,
        provider: model.provider,
        identifier: model.identifier,
        description: model.description,
        endpoint: model.endpoint,
        enabled: model.enabled,
        is_default: model.is_default,
        tags: model.tags,
        settings,
        pricing: model.pricing,
        created_at: shape::at(model.created_at),
        updated_at: shape::at(model.updated_at),
    }
}

/// Of a secret this long the last four characters tell next to nothing.
const TELLING_LENGTH: usize = 16;

fn redacted(secret: &SecretString) -> Credential {
    let text = secret.expose_secret();
    let plain = text.is_ascii() && text.len() >= TELLING_LENGTH && !text.starts_with('{');
    Credential { redacted: true, last4: plain.then(|| text[text.len() - 4..].to_owned()) }
}

fn provider_shown(profile: &Profile) -> ModelProvider {
    let knobs = |knobs: &[Knob]| {
        let knob = |knob: &Knob| ProviderKnob {
            name: knob.name.to_owned(),
            required: knob.required,
            description: knob.about.to_owned(),
        };
        knobs.iter().map(knob).collect()
    };
    ModelProvider {
        name: profile.name.to_owned(),
        title: profile.title.to_owned(),
        base_url: profile.base_url.map(str::to_owned),
        credentials: knobs(profile.secrets),
        settings: knobs(profile.settings),
    }
}
