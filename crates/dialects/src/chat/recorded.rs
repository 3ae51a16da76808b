//! Streams as servers send them, each with a habit of its own.

/// A stream and what it means: part by part, the reason it ended, and the counters.
pub(super) type Recorded = (&'static str, &'static str, &'static str);

pub(super) const STREAMS: &[Recorded] = &[
    (
        "openai, with padding and usage behind the end",
        r#"
data: {"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null,"obfuscation":"x1"}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"Hé"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}

data: [DONE]

"#,
        "text Héllo | End | in 9 out 2",
    ),
    (
        "openai, two calls interleaved",
        r#"
data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"look","arguments":""}}]}}]}

data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"list","arguments":""}}]}}]}

data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}}]}

data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}},{"index":0,"function":{"arguments":"1}"}}]}}]}

data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]

"#,
        "call a look {\"x\":1} | call b list {} | ToolCalls",
    ),
    (
        "azure, whose first chunk has filter results and no choices",
        r#"
data: {"id":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}

data: {"id":"z","model":"gpt","choices":[{"index":0,"delta":{"content":"a"},"content_filter_results":{}}]}

data: {"id":"z","choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}

data: [DONE]

"#,
        "text a | Filtered",
    ),
    (
        "openrouter, with comments, and details of its thinking",
        r#"
: OPENROUTER PROCESSING

: OPENROUTER PROCESSING

data: {"id":"g","choices":[{"index":0,"delta":{"content":"","reasoning":"h","reasoning_details":[{"type":"reasoning.text","text":"h","index":0}]}}]}

data: {"id":"g","choices":[{"index":0,"delta":{"content":"","reasoning":"m","reasoning_details":[{"type":"reasoning.text","text":"m","signature":"S","index":0}]}}]}

data: {"id":"g","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"cost":0.1}}

data: [DONE]

"#,
        r#"thought hm [{"type":"reasoning.text","text":"hm","index":0,"signature":"S"}] | text a | End | in 1 out 1"#,
    ),
    (
        "llama.cpp and friends: no index, no id, arguments at once, no [DONE]",
        r#"
data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"look","arguments":"{\"x\":1}"}},{"function":{"name":"list","arguments":"{}"}}]},"finish_reason":""}]}

data: {"choices":[{"delta":{},"finish_reason":"stop"}]}

"#,
        "call ? look {\"x\":1} | call ? list {} | ToolCalls",
    ),
    (
        "ids and names repeated, or emptied, in every fragment",
        r#"
data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"look","arguments":"{\"x\""}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"look","arguments":":1"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"}"}}]},"finish_reason":"tool_calls"}]}

data: [DONE]

"#,
        "call a look {\"x\":1} | ToolCalls",
    ),
    (
        "every call numbered 0, told apart by its id",
        r#"
data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"look","arguments":"{}"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"look","arguments":"{}"}}]},"finish_reason":"stop"}]}

"#,
        "call a look {} | call b look {} | ToolCalls",
    ),
    (
        "a call without arguments",
        r#"
data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"list","arguments":""}}]},"finish_reason":"tool_calls"}]}

data: [DONE]

"#,
        "call a list {} | ToolCalls",
    ),
    (
        "usage in every chunk, reasoning counted late",
        r#"
data: {"choices":[{"delta":{"reasoning_content":"h"}}],"usage":{"prompt_tokens":5,"completion_tokens":10,"total_tokens":15}}

data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":30,"total_tokens":35,"completion_tokens_details":{"reasoning_tokens":25}}}

data: {"choices":[{"delta":{"content":""},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":30,"total_tokens":35,"completion_tokens_details":{"reasoning_tokens":25}}}

data: [DONE]

"#,
        "thought h | text a | Length | in 5 out 5",
    ),
    (
        "old groq",
        r#"
data: {"choices":[{"delta":{"content":"a"}}]}

data: {"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}}

data: [DONE]

"#,
        "text a | End | in 3 out 4",
    ),
    (
        "moonshot, whose usage is in the choice",
        r#"
data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop","usage":{"prompt_tokens":3,"completion_tokens":4}}]}

data: [DONE]

"#,
        "text a | End | in 3 out 4",
    ),
    (
        "mistral, whose content is a list",
        r#"
data: {"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}

data: {"choices":[{"delta":{"content":[{"type":"text","text":"a"}]},"finish_reason":"stop"}]}

data: [DONE]

"#,
        "thought hm | text a | End",
    ),
    (
        "a refusal",
        r#"
data: {"choices":[{"delta":{"role":"assistant","content":null,"refusal":"I "}}]}

data: {"choices":[{"delta":{"refusal":"won't"},"finish_reason":"stop"}]}

data: [DONE]

"#,
        "refusal I won't | Filtered",
    ),
    (
        "[DONE] without a reason",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}]}\r\n\r\ndata: [DONE]\r\n\r\n",
        "text a | End",
    ),
    (
        "an error in the middle",
        r#"
data: {"choices":[{"delta":{"content":"a"}}]}

data: {"error":{"code":502,"message":"gone"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}

"#,
        "error 502: gone",
    ),
    (
        "broken off",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choi",
        "error upstream_truncated: the provider closed the stream before the end of its answer",
    ),
];
