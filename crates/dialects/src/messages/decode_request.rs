use serde_json::Value;

use crate::{
    Dialect,
    ir::{
        CacheMark, Effort, Media, OutputFormat, Part, Reasoning, Request, Role, Signature, Thought, Tool, ToolCall,
        ToolChoice, Turn,
    },
    translate::{BadRequest, Carrier, Unpacked, fields::Object, media_of_url, settle_history, unpack},
};

pub(super) fn decode(body: &[u8], carrier: &dyn Carrier) -> Result<Request, BadRequest> {
    let mut body = Object::parse(body)?;
    let mut reader = Reader { carrier, extra: Vec::new() };
    let (tool_choice, parallel_tool_calls) = reader.tool_choice(&mut body)?;
    let mut request = Request {
        model: body.text("model")?.unwrap_or_default(),
        system: reader.content(&mut body, "system")?,
        tool_choice,
        parallel_tool_calls,
        max_output: body.count("max_tokens")?,
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.count("top_k")?,
        stop: body.texts("stop_sequences")?,
        service_tier: body.text("service_tier")?,
        stream: body.flag("stream")?.unwrap_or_default(),
        ..Request::default()
    };
    for message in body.objects("messages")? {
        request.turns.push(reader.turn(message)?);
    }
    for tool in body.objects("tools")? {
        request.tools.push(reader.tool(tool)?);
    }
    if let Some(mut metadata) = body.object("metadata")? {
        request.user = metadata.text("user_id")?;
        reader.extra.extend(metadata.rest());
    }
    reader.output(&mut body, &mut request)?;
    settle_history(&mut request.turns)?;
    reader.extra.extend(body.rest());
    request.extra = (!reader.extra.is_empty()).then_some((Dialect::Messages, reader.extra));
    Ok(request)
}

struct Reader<'c> {
    carrier: &'c dyn Carrier,
    /// What no other dialect can say.
    extra: Vec<(String, Value)>,
}

impl Reader<'_> {
    fn turn(&mut self, mut message: Object) -> Result<Turn, BadRequest> {
        let role = match message.need_text("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(message.bad("role", "is not `user`, `assistant` or `system`")),
        };
        let mut parts = self.content(&mut message, "content")?;
        give_calls_their_signatures(&mut parts);
        self.extra.extend(message.rest());
        Ok(Turn { role, parts })
    }

    /// A text, or a list of blocks.
    fn content(&mut self, at: &mut Object, name: &str) -> Result<Vec<Part>, BadRequest> {
        match at.take(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![Part::Text { text, cache: None }]),
            Some(Value::Array(blocks)) => {
                let mut parts = Vec::with_capacity(blocks.len());
                for (index, block) in blocks.into_iter().enumerate() {
                    let block = Object::of(block, format!("{}[{index}]", at.path(name)))?;
                    parts.extend(self.block(block)?);
                }
                Ok(parts)
            }
            Some(_) => Err(at.bad(name, "is not a string or a list of blocks")),
        }
    }

    fn block(&mut self, mut block: Object) -> Result<Option<Part>, BadRequest> {
        let kind = block.need_text("type")?;
        let cache = cache_mark(&mut block)?;
        let part = match kind.as_str() {
            "text" => {
                // Where an earlier answer came from; the text itself is sent.
                block.take("citations");
                Part::Text { text: block.need_text("text")?, cache }
            }
            "image" => match self.source(&mut block)? {
                Some(source) => Part::Image { source, detail: None, cache },
                None => return Ok(None),
            },
            "document" => {
                let citations = block.object("citations")?;
                if let Some(mut citations) = citations
                    && citations.flag("enabled")? == Some(true)
                {
                    self.extra.push((citations.path("enabled"), true.into()));
                }
                let name = block.text("title")?;
                match self.source(&mut block)? {
                    Some(source) => Part::Document { source, name, cache },
                    None => return Ok(None),
                }
            }
            "thinking" => {
                let text = block.text("thinking")?.unwrap_or_default();
                let signature = block.text("signature")?.filter(|signature| !signature.is_empty());
                Part::Reasoning(self.thought(text, signature, false)?)
            }
            "redacted_thinking" => {
                let data = block.need_text("data")?;
                Part::Reasoning(self.thought(String::new(), Some(data), true)?)
            }
            "tool_use" => Part::ToolCall(ToolCall {
                id: block.need_text("id")?,
                name: block.need_text("name")?,
                arguments: block.take("input").map_or_else(|| "{}".to_owned(), |input| input.to_string()),
                signature: None,
                cache,
            }),
            "tool_result" => Part::ToolResult {
                call_id: block.need_text("tool_use_id")?,
                name: None,
                parts: self.content(&mut block, "content")?,
                is_error: block.flag("is_error")?,
                cache,
            },
            // All tools are given from the start, so that a search has nothing to load.
            "tool_reference" => {
                Part::Text { text: format!("The tool `{}` is available.", block.need_text("tool_name")?), cache }
            }
            _ => {
                let path = block.here().to_owned();
                let mut whole = block.into_map();
                whole.insert("type".to_owned(), kind.into());
                self.extra.push((path, whole.into()));
                return Ok(None);
            }
        };
        self.extra.extend(block.rest());
        Ok(Some(part))
    }

    /// `None` for a source no other dialect knows, which is noted.
    fn source(&mut self, block: &mut Object) -> Result<Option<Media>, BadRequest> {
        let mut source = block.object("source")?.ok_or_else(|| block.bad("source", "is missing"))?;
        let media = match source.need_text("type")?.as_str() {
            "base64" => Media::Inline { mime: source.need_text("media_type")?, base64: source.need_text("data")? },
            "url" => {
                let url = source.need_text("url")?;
                media_of_url(url).ok_or_else(|| source.bad("url", "is not a URL that can be read"))?
            }
            "file" => Media::File { dialect: Dialect::Messages, id: source.need_text("file_id")? },
            "text" => {
                source.take("media_type");
                Media::Text(source.need_text("data")?)
            }
            kind => {
                self.extra.push((source.path("type"), kind.into()));
                return Ok(None);
            }
        };
        self.extra.extend(source.rest());
        Ok(Some(media))
    }

    /// A thought whose signature is Anthropic's own, or one that was packed into its place.
    fn thought(&self, text: String, signature: Option<String>, redacted: bool) -> Result<Thought, BadRequest> {
        let Some(signature) = signature else { return Ok(Thought { text, signature: None, redacted }) };
        Ok(match self.carrier.open(&signature)?.map(unpack) {
            None => {
                let own = Signature { dialect: Dialect::Messages, item_id: None, value: signature };
                Thought { text, signature: Some(own), redacted }
            }
            Some(Unpacked::Thought { signature, redacted }) => Thought { text, signature: Some(signature), redacted },
            // Given to its call once the whole turn is read.
            Some(Unpacked::Call { id, signature }) => {
                let signature = Signature { item_id: Some(format!("{FOR_CALL}{id}")), ..signature };
                Thought { text, signature: Some(signature), redacted: false }
            }
        })
    }

    fn tool(&mut self, mut tool: Object) -> Result<Tool, BadRequest> {
        let kind = tool.text("type")?;
        if let Some(kind) = kind.filter(|kind| kind != "custom") {
            let mut definition = tool.into_map();
            definition.insert("type".to_owned(), kind.clone().into());
            return Ok(Tool::Hosted { dialect: Dialect::Messages, kind, definition: definition.into() });
        }
        let function = Tool::Function {
            name: tool.need_text("name")?,
            description: tool.text("description")?,
            parameters: tool.take("input_schema"),
            strict: tool.flag("strict")?,
            cache: cache_mark(&mut tool)?,
        };
        self.extra.extend(tool.rest());
        Ok(function)
    }

    fn tool_choice(&mut self, body: &mut Object) -> Result<(Option<ToolChoice>, Option<bool>), BadRequest> {
        let Some(mut choice) = body.object("tool_choice")? else { return Ok((None, None)) };
        let picked = match choice.need_text("type")?.as_str() {
            "auto" => ToolChoice::Auto,
            "any" => ToolChoice::Required,
            "none" => ToolChoice::None,
            "tool" => ToolChoice::Tool(choice.need_text("name")?),
            _ => return Err(choice.bad("type", "is not `auto`, `any`, `tool` or `none`")),
        };
        let parallel = choice.flag("disable_parallel_tool_use")?.map(|disable| !disable);
        self.extra.extend(choice.rest());
        Ok((Some(picked), parallel))
    }

    /// The form of the answer and how much to think: both are spread over several fields.
    fn output(&mut self, body: &mut Object, request: &mut Request) -> Result<(), BadRequest> {
        let mut effort = None;
        let mut format = body.object("output_format")?;
        if let Some(mut config) = body.object("output_config")? {
            if let Some(word) = config.text("effort")? {
                effort = Effort::parse(&word);
                if effort.is_none() {
                    self.extra.push((config.path("effort"), word.into()));
                }
            }
            format = config.object("format")?.or(format);
            self.extra.extend(config.rest());
        }
        if let Some(mut format) = format {
            if format.need_text("type")? != "json_schema" {
                return Err(format.bad("type", "is not `json_schema`"));
            }
            let schema = format.take("schema").ok_or_else(|| format.bad("schema", "is missing"))?;
            request.output = OutputFormat::Schema { name: None, description: None, schema, strict: Some(true) };
            self.extra.extend(format.rest());
        }
        let mut reasoning = effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() });
        if let Some(mut thinking) = body.object("thinking")? {
            let wanted = reasoning.get_or_insert_default();
            match thinking.need_text("type")?.as_str() {
                "enabled" => wanted.budget = thinking.count("budget_tokens")?,
                "adaptive" => wanted.dynamic = true,
                "disabled" => wanted.budget = Some(0),
                _ => return Err(thinking.bad("type", "is not `enabled`, `adaptive` or `disabled`")),
            }
            let shown = thinking.text("display")?.is_none_or(|display| display != "omitted");
            wanted.summary = (shown && wanted.budget != Some(0)).then(|| "auto".to_owned());
            self.extra.extend(thinking.rest());
        }
        request.reasoning = reasoning;
        Ok(())
    }
}

/// Marks a thought that only holds the signature of a call.
const FOR_CALL: &str = "call:";

fn give_calls_their_signatures(parts: &mut Vec<Part>) {
    let mut found = Vec::new();
    parts.retain_mut(|part| {
        let Part::Reasoning(thought) = part else { return true };
        let call =
            thought.signature.as_ref().and_then(|signature| signature.item_id.as_deref()?.strip_prefix(FOR_CALL));
        let Some(call) = call.map(str::to_owned) else { return true };
        found.extend(thought.signature.take().map(|signature| (call, Signature { item_id: None, ..signature })));
        !thought.text.is_empty()
    });
    for part in parts {
        if let Part::ToolCall(call) = part
            && let Some(at) = found.iter().position(|(id, _)| *id == call.id)
        {
            call.signature = Some(found.swap_remove(at).1);
        }
    }
}

fn cache_mark(at: &mut Object) -> Result<Option<CacheMark>, BadRequest> {
    let Some(mut control) = at.object("cache_control")? else { return Ok(None) };
    let hour = control.text("ttl")?.is_some_and(|ttl| ttl == "1h");
    Ok(Some(if hour { CacheMark::Hour } else { CacheMark::Default }))
}
