//! The names that mean something in an answer, of all dialects.

macro_rules! keys {
    ($($key:ident = $name:literal)*) => {
        /// A step from an answer's root to one of its values.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Key {
            /// An element of an array.
            At,
            /// A member nobody asks for.
            Other,
            $($key,)*
        }

        impl Key {
            pub(super) fn of(name: &[u8]) -> Self {
                match name {
                    $($name => Key::$key,)*
                    _ => Key::Other,
                }
            }
        }
    };
}

keys! {
    Args = b"args"
    Arguments = b"arguments"
    AudioTokens = b"audio_tokens"
    BlockReason = b"blockReason"
    CacheCreation = b"cache_creation"
    CacheCreationInputTokens = b"cache_creation_input_tokens"
    CacheCreationTokens = b"cache_creation_tokens"
    CacheDetailsC = b"cacheDetails"
    CachedContentTokenCount = b"cachedContentTokenCount"
    CachedTokens = b"cached_tokens"
    CacheReadInputTokens = b"cache_read_input_tokens"
    CacheReadInputTokensC = b"cacheReadInputTokens"
    CacheWriteInputTokensC = b"cacheWriteInputTokens"
    CacheWriteTokens = b"cache_write_tokens"
    Candidates = b"candidates"
    CandidatesTokenCount = b"candidatesTokenCount"
    CandidatesTokensDetails = b"candidatesTokensDetails"
    Choices = b"choices"
    Code = b"code"
    CompletionTokens = b"completion_tokens"
    CompletionTokensDetails = b"completion_tokens_details"
    Content = b"content"
    ContentBlock = b"content_block"
    ContentBlockDeltaC = b"contentBlockDelta"
    ContentBlockStartC = b"contentBlockStart"
    Cost = b"cost"
    CostDetails = b"cost_details"
    CostInUsdTicks = b"cost_in_usd_ticks"
    Custom = b"custom"
    Delta = b"delta"
    Ephemeral1h = b"ephemeral_1h_input_tokens"
    Ephemeral5m = b"ephemeral_5m_input_tokens"
    Error = b"error"
    EstimatedCost = b"estimated_cost"
    FinishReason = b"finish_reason"
    FinishReasonC = b"finishReason"
    Function = b"function"
    FunctionCall = b"function_call"
    FunctionCallC = b"functionCall"
    Id = b"id"
    ImageTokens = b"image_tokens"
    IncompleteDetails = b"incomplete_details"
    Input = b"input"
    InputTokens = b"input_tokens"
    InputTokensC = b"inputTokens"
    InputTokensDetails = b"input_tokens_details"
    IsByok = b"is_byok"
    Item = b"item"
    Message = b"message"
    MessageStopC = b"messageStop"
    Metadata = b"metadata"
    Modality = b"modality"
    Model = b"model"
    ModelVersion = b"modelVersion"
    Name = b"name"
    NumCachedTokens = b"num_cached_tokens"
    NumSearchQueries = b"num_search_queries"
    Object = b"object"
    Output = b"output"
    OutputTokens = b"output_tokens"
    OutputTokensC = b"outputTokens"
    OutputTokensDetails = b"output_tokens_details"
    PartialJson = b"partial_json"
    Parts = b"parts"
    PromptCacheHitTokens = b"prompt_cache_hit_tokens"
    PromptCacheMissTokens = b"prompt_cache_miss_tokens"
    PromptFeedback = b"promptFeedback"
    PromptTokenCount = b"promptTokenCount"
    PromptTokens = b"prompt_tokens"
    PromptTokensDetails = b"prompt_tokens_details"
    PromptTokensDetailsC = b"promptTokensDetails"
    Reason = b"reason"
    Reasoning = b"reasoning"
    ReasoningContent = b"reasoning_content"
    ReasoningContentC = b"reasoningContent"
    ReasoningTextC = b"reasoningText"
    ReasoningTokens = b"reasoning_tokens"
    Refusal = b"refusal"
    Response = b"response"
    ResponseIdC = b"responseId"
    ServerToolUse = b"server_tool_use"
    Start = b"start"
    Status = b"status"
    StopReason = b"stop_reason"
    StopReasonC = b"stopReason"
    Summary = b"summary"
    Text = b"text"
    Thinking = b"thinking"
    ThinkingTokens = b"thinking_tokens"
    ThoughtsTokenCount = b"thoughtsTokenCount"
    TokenCount = b"tokenCount"
    ToolCalls = b"tool_calls"
    ToolUseC = b"toolUse"
    ToolUsePromptTokenCount = b"toolUsePromptTokenCount"
    TotalCost = b"total_cost"
    TotalTokenCount = b"totalTokenCount"
    TotalTokens = b"total_tokens"
    TotalTokensC = b"totalTokens"
    Ttl = b"ttl"
    Type = b"type"
    UpstreamInferenceCost = b"upstream_inference_cost"
    Usage = b"usage"
    UsageMetadata = b"usageMetadata"
    WebSearchRequests = b"web_search_requests"
    XGroq = b"x_groq"
}
