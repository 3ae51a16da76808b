use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{API_KEY, Compatible},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    max_tokens_field: "max_tokens".to_owned(),
    developer_role: false,
    openai_additions: false,
    reasoning_effort: false,
    json_schema: false,
    reasoning_field: Some("reasoning_content".to_owned()),
    ..Quirks::default()
});

/// Alibaba Cloud's Model Studio (Qwen). The default is its international site.
pub(super) static ALIBABA: Compatible = Compatible {
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "alibaba",
            title: "Alibaba Cloud",
            telemetry: "alibaba_cloud",
            base_url: Some("https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
            secrets: &[API_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
