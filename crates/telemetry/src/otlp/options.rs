use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use uuid::Uuid;

/// Where spans go, and as whose.
#[derive(Debug, Clone)]
pub struct OtlpOptions {
    /// The whole URL of the collector's endpoint for traces.
    pub endpoint: Uri,
    /// Sent with every request: credentials of the collector.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What the instance is called: `service.name` and others.
    pub resource: Vec<(String, String)>,
    /// The share of calls that are traced, from 0 to 1.
    pub ratio: f64,
}

/// Why spans cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// A variable holds what it cannot.
    #[error("`{name}` {why}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No HTTP client.
    #[error("no connection to a collector can be made: {0}")]
    Client(String),
}

// Variables that say the same, the more particular before the more general.
const ENDPOINT: &[&str] = &["OTEL_EXPORTER_OTLP_ENDPOINT", "OTLP_ENDPOINT"];
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &[&str] = &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS", "OTLP_HEADERS"];
const PROTOCOL: &[&str] = &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTLP_PROTOCOL"];
const NAME: &[&str] = &["OTEL_SERVICE_NAME", "OTLP_SERVICE_NAME"];
const RATIO: &[&str] = &["OTEL_TRACES_SAMPLER_ARG", "OTLP_SAMPLER_RATIO"];
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";

impl OtlpOptions {
    /// As the environment says, if it says anything: `OTLP_ENABLED=true`, or an endpoint. `OTLP_ENABLED=false`
    /// and `OTEL_SDK_DISABLED=true` switch it off whatever else is set.
    pub fn from_env(read: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, OtlpError> {
        let read = |name: &str| read(name).filter(|value| !value.trim().is_empty());
        let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, read(name)?)));
        let switch = |name: &'static str| match read(name).as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(wrong(name, format!("is `{other}`, and not `true` or `false`"))),
        };
        let named = read(TRACES_ENDPOINT).is_some() || first(ENDPOINT).is_some();
        let enabled = switch("OTLP_ENABLED")?.unwrap_or(named);
        if !enabled || switch("OTEL_SDK_DISABLED")? == Some(true) {
            return Ok(None);
        }
        if let Some((name, protocol)) = first(PROTOCOL)
            && !matches!(protocol.as_str(), "http/json" | "http/protobuf")
        {
            let why =
                format!("is `{protocol}`; spans are sent as `http/json`, which collectors take at their HTTP port");
            return Err(wrong(name, why));
        }
        let (name, url) = if let Some(url) = read(TRACES_ENDPOINT) {
            (TRACES_ENDPOINT, url)
        } else {
            let (name, base) = first(ENDPOINT).unwrap_or((ENDPOINT[0], DEFAULT_ENDPOINT.to_owned()));
            (name, format!("{}/v1/traces", base.trim_end_matches('/')))
        };
        let endpoint: Uri = url.parse().map_err(|error| wrong(name, format!("is no URL: {error}")))?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) {
            return Err(wrong(name, "is not an `http` or `https` URL".to_owned()));
        }
        let headers = match first(HEADERS) {
            Some((name, list)) => {
                pairs(&list).map(|(key, value)| header(name, &key, &value)).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        let ratio = match first(RATIO) {
            Some((name, text)) => {
                let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| wrong(name, format!("is `{text}`, and not a number from 0 to 1")))?
            }
            None => 1.0,
        };
        let mut resource: Vec<_> = read("OTEL_RESOURCE_ATTRIBUTES").iter().flat_map(|list| pairs(list)).collect();
        let mut say = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                resource.retain(|(known, _)| known != key);
                resource.push((key.to_owned(), value));
            }
        };
        say("service.namespace", read("OTLP_SERVICE_NAMESPACE"));
        say("deployment.environment.name", read("OTLP_DEPLOYMENT_ENVIRONMENT"));
        say("service.version", Some(env!("CARGO_PKG_VERSION").to_owned()));
        say("service.name", first(NAME).map(|(_, name)| name));
        if !resource.iter().any(|(key, _)| key == "service.name") {
            resource.push(("service.name".to_owned(), "preloop".to_owned()));
        }
        Ok(Some(Self { endpoint, headers, resource, ratio }))
    }

    /// Whether the call of this id is traced: the same on every node, and for everything of one call.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub(super) fn samples(&self, id: Uuid) -> bool {
        let random = id.as_u64_pair().1 << 2;
        self.ratio >= 1.0 || (random as f64) < self.ratio * 2f64.powi(64)
    }

    pub(super) fn resource(&self) -> Vec<Value> {
        self.resource.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
    }
}

fn wrong(name: &'static str, why: String) -> OtlpError {
    OtlpError::Variable { name, why }
}

/// `a=1,b=2`, percent-encoded, as the specification writes lists.
fn pairs(list: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    list.split(',').filter_map(|pair| pair.split_once('=')).map(move |(key, value)| (decoded(key), decoded(value)))
}

fn header(variable: &'static str, name: &str, value: &str) -> Result<(HeaderName, HeaderValue), OtlpError> {
    let bad = || wrong(variable, format!("names a header `{name}` that cannot be sent"));
    let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok((HeaderName::try_from(name).map_err(|_| bad())?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<OtlpOptions>, String> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        OtlpOptions::from_env(find).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_the_environment_says_so() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("OTEL_SERVICE_NAME", "x")]).unwrap().is_none());
        assert!(read(&[("OTLP_ENABLED", "false"), ("OTLP_ENDPOINT", "http://c")]).unwrap().is_none());
        assert!(read(&[("OTEL_SDK_DISABLED", "true"), ("OTLP_ENABLED", "true")]).unwrap().is_none());
        assert_eq!(read(&[("OTLP_ENABLED", "true")]).unwrap().unwrap().endpoint, "http://localhost:4318/v1/traces");
    }

    #[test]
    fn the_variables_of_the_specification_are_understood() {
        let options = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c.example:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x,x-team=a"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a,service.name=ignored"),
            ("OTEL_SERVICE_NAME", "gate"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.endpoint, "https://c.example:4318/v1/traces");
        assert_eq!(options.headers[0].1, "Bearer x");
        assert!(!format!("{options:?}").contains("Bearer"), "headers do not show in logs");
        assert!(options.resource.contains(&("service.name".into(), "gate".into())));
        assert_eq!(options.resource.iter().filter(|(key, _)| key == "service.name").count(), 1);

        let exact = read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/own")]).unwrap().unwrap();
        assert_eq!(exact.endpoint, "http://c/own");
    }

    #[test]
    fn what_cannot_be_done_is_said_at_the_start() {
        for (name, value, needle) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json"),
            ("OTLP_ENDPOINT", "collector:4317", "`OTLP_ENDPOINT`"),
            ("OTLP_SAMPLER_RATIO", "2", "from 0 to 1"),
            ("OTLP_HEADERS", "a b=c", "cannot be sent"),
        ] {
            let error = read(&[("OTLP_ENABLED", "true"), (name, value)]).unwrap_err();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn a_share_of_calls_is_traced() {
        let mut options = read(&[("OTLP_ENABLED", "true"), ("OTLP_SAMPLER_RATIO", "0.25")]).unwrap().unwrap();
        let traced = (0..4000u128).filter(|n| options.samples(Uuid::from_u128(n * 0x9e37_79b9_7f4a_7c15_f39c)));
        let traced = traced.count();
        assert!((800..1200).contains(&traced), "{traced}");
        options.ratio = 0.0;
        assert!(!options.samples(Uuid::from_u128(0)));
    }
}
