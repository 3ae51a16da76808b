// Uses a model API with an official TypeScript SDK; plan and answer as in model_sdk.py, and both must print
// the same.

import { readFileSync } from "node:fs";

// The packages lie where the tests were told, not beside this file.
const folder = `file://${process.env.PRELOOP_TEST_NODE_MODULES}/`;
const from = async (name) => {
  const entry = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, folder), "utf8"));
  const pick = (exported) => (typeof exported === "string" ? exported : pick(exported.import ?? exported.node ?? exported.default));
  const file = entry.exports ? pick(entry.exports["."]) : (entry.module ?? entry.main);
  return import(new URL(`node_modules/${name}/${file}`, folder));
};

const QUESTION = "How warm is it in Zürich?";
const TOOL = {
  name: "get_weather",
  description: "The weather in a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" } },
    required: ["city", "days"],
    additionalProperties: false,
  },
};
const SCHEMA = {
  type: "object",
  properties: { name: { type: "string" }, n: { type: "integer" } },
  required: ["name", "n"],
  additionalProperties: false,
};
const RESULT = "21 °C, “sunny”";

const said = ({ text = "", calls = [], stop = null, thought = "", usage = null }) => ({ text, calls, stop, thought, usage });
const used = (input, output, cached) => ({ input, output, cached: cached ?? 0 });
const collect = async (pages) => {
  const all = [];
  for await (const each of pages) all.push(each);
  return all;
};
const vectors = (list) => list.map((vector) => Array.from(vector, (x) => Math.round(x * 1e4) / 1e4));

/** What both of OpenAI's APIs share. */
class OpenAi {
  constructor(sdk, baseURL, apiKey) {
    this.client = new sdk.default({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
  }
  async models() {
    return (await collect(this.client.models.list())).map((model) => model.id).sort();
  }
  async model(name) {
    return (await this.client.models.retrieve(name)).id;
  }
  async embed(model) {
    const answer = await this.client.embeddings.create({ model, input: ["one", "two"] });
    return { vectors: vectors(answer.data.map((each) => each.embedding)), input: answer.usage.prompt_tokens };
  }
}

class Chat extends OpenAi {
  begin() {
    return [{ role: "system", content: "Be brief." }, { role: "user", content: QUESTION }];
  }
  async ask(messages, { model, stream, tools, schema, think, ...more }) {
    const body = { ...more, model, messages };
    if (think) body.reasoning_effort = "low";
    if (tools) body.tools = [{ type: "function", function: TOOL }];
    if (schema) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
    const answer = stream
      ? await this.client.chat.completions.stream({ ...body, stream_options: { include_usage: true } }).finalChatCompletion()
      : await this.client.chat.completions.create(body);
    const { message, finish_reason: stop } = answer.choices[0];
    const made = message.tool_calls ?? [];
    const calls = made.map((call) => ({ name: call.function.name, arguments: JSON.parse(call.function.arguments) }));
    const u = answer.usage;
    const usage = u && used(u.prompt_tokens, u.completion_tokens, u.prompt_tokens_details.cached_tokens);
    const sent = made.map(({ id, type, function: { name, arguments: args } }) => ({ id, type, function: { name, arguments: args } }));
    const turn = { role: "assistant", content: message.content, ...(made.length && { tool_calls: sent }) };
    return [said({ text: message.content ?? "", calls, stop, usage }), { turn, made }];
  }
  reply(history, { turn, made }) {
    return [...history, turn, ...made.map((call) => ({ role: "tool", tool_call_id: call.id, content: RESULT }))];
  }
}

class Responses extends OpenAi {
  begin() {
    return [{ role: "user", content: QUESTION }];
  }
  async ask(input, { model, stream, tools, schema, think, ...more }) {
    const include = ["reasoning.encrypted_content"];
    const body = { ...more, model, input, instructions: "Be brief.", store: false, include };
    if (think) body.reasoning = { effort: "low", summary: "auto" };
    if (tools) body.tools = [{ type: "function", strict: true, ...TOOL }];
    if (schema) body.text = { format: { type: "json_schema", name: "answer", schema, strict: true } };
    const answer = stream
      ? await this.client.responses.stream(body).finalResponse()
      : await this.client.responses.create(body);
    const made = answer.output.filter((item) => item.type === "function_call");
    const calls = made.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) }));
    const reasoning = answer.output.filter((item) => item.type === "reasoning");
    const thought = reasoning.flatMap((item) => item.summary.map((part) => part.text)).join("");
    const u = answer.usage;
    const usage = u && used(u.input_tokens, u.output_tokens, u.input_tokens_details.cached_tokens);
    const parts = answer.output.filter((item) => item.type === "message").flatMap((item) => item.content);
    const text = parts.map((part) => part.text ?? "").join("");
    const stop = [answer.status, answer.incomplete_details?.reason ?? null];
    return [said({ text, calls, stop, thought, usage }), { output: answer.output, made }];
  }
  reply(history, { output, made }) {
    const items = output.map(({ parsed_arguments: _, ...item }) => item);
    const results = made.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: RESULT }));
    return [...history, ...items, ...results];
  }
}

class Messages {
  constructor(sdk, baseURL, apiKey) {
    this.client = new sdk.default({ baseURL, apiKey, authToken: null, maxRetries: 0, timeout: 30_000 });
  }
  begin() {
    return [{ role: "user", content: QUESTION }];
  }
  async ask(messages, { model, stream, tools, schema, think, ...more }) {
    const body = { ...more, model, messages, system: "Be brief.", max_tokens: 4096 };
    if (tools) body.tools = [{ name: TOOL.name, description: TOOL.description, input_schema: TOOL.parameters }];
    if (schema) body.output_config = { format: { type: "json_schema", schema } };
    if (think) body.thinking = { type: "enabled", budget_tokens: 1024 };
    const answer = stream
      ? await this.client.messages.stream(body).finalMessage()
      : await this.client.messages.create(body);
    const of = (type, member) => answer.content.filter((block) => block.type === type).map((block) => block[member]);
    const made = answer.content.filter((block) => block.type === "tool_use");
    const calls = made.map((call) => ({ name: call.name, arguments: call.input }));
    const u = answer.usage;
    const cached = u.cache_read_input_tokens ?? 0;
    const usage = used(u.input_tokens + cached + (u.cache_creation_input_tokens ?? 0), u.output_tokens, cached);
    const text = of("text", "text").join("");
    const thought = of("thinking", "thinking").join("");
    return [said({ text, calls, stop: answer.stop_reason, thought, usage }), { content: answer.content, made }];
  }
  reply(history, { content, made }) {
    const results = made.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: RESULT }));
    return [...history, { role: "assistant", content }, { role: "user", content: results }];
  }
  async models() {
    return (await collect(this.client.models.list())).map((model) => model.id).sort();
  }
  async model(name) {
    return (await this.client.models.retrieve(name)).id;
  }
  async count(model) {
    return (await this.client.messages.countTokens({ model, messages: this.begin() })).input_tokens;
  }
}

class Gemini {
  constructor(sdk, baseUrl, apiKey) {
    this.client = new sdk.GoogleGenAI({ apiKey, httpOptions: { baseUrl, timeout: 30_000 } });
  }
  begin() {
    return [{ role: "user", parts: [{ text: QUESTION }] }];
  }
  async ask(contents, { model, stream, tools, schema, think, ...more }) {
    const config = { ...more, systemInstruction: "Be brief." };
    if (tools) {
      const declared = { name: TOOL.name, description: TOOL.description, parametersJsonSchema: TOOL.parameters };
      config.tools = [{ functionDeclarations: [declared] }];
    }
    if (schema) Object.assign(config, { responseMimeType: "application/json", responseJsonSchema: schema });
    if (think) config.thinkingConfig = { includeThoughts: true };
    const asked = { model, contents, config };
    const chunks = stream
      ? await collect(await this.client.models.generateContentStream(asked))
      : [await this.client.models.generateContent(asked)];
    const candidates = chunks.flatMap((chunk) => chunk.candidates?.slice(0, 1) ?? []);
    const parts = candidates.flatMap((candidate) => candidate.content?.parts ?? []);
    const texts = (thought) => parts.filter((part) => part.text && !!part.thought === thought).map((part) => part.text).join("");
    const made = parts.filter((part) => part.functionCall).map((part) => part.functionCall);
    const calls = made.map((call) => ({ name: call.name, arguments: call.args }));
    const u = chunks.at(-1).usageMetadata;
    const output = u && (u.candidatesTokenCount ?? 0) + (u.thoughtsTokenCount ?? 0);
    const usage = u && used(u.promptTokenCount, output, u.cachedContentTokenCount);
    const stop = candidates.at(-1)?.finishReason ?? null;
    return [said({ text: texts(false), calls, stop, thought: texts(true), usage }), { parts, made }];
  }
  reply(history, { parts, made }) {
    const kept = parts.filter((part) => part.functionCall || part.thoughtSignature || part.text);
    const results = made.map(({ id, name }) => ({ functionResponse: { id, name, response: { result: RESULT } } }));
    return [...history, { role: "model", parts: kept }, { role: "user", parts: results }];
  }
  async models() {
    return (await collect(await this.client.models.list())).map((model) => model.name.replace("models/", "")).sort();
  }
  async model(name) {
    return (await this.client.models.get({ model: name })).name.replace("models/", "");
  }
  async count(model) {
    return (await this.client.models.countTokens({ model, contents: QUESTION })).totalTokens;
  }
  async embed(model) {
    const answer = await this.client.models.embedContent({ model, contents: "one" });
    return { vectors: vectors(answer.embeddings.map((each) => each.values)), input: null };
  }
}

const SDKS = {
  chat: [Chat, "openai"],
  responses: [Responses, "openai"],
  messages: [Messages, "@anthropic-ai/sdk"],
  gemini: [Gemini, "@google/genai"],
};

const plan = JSON.parse(readFileSync(0, "utf8"));
const [Api, name] = SDKS[plan.sdk];
const sdk = await from(name);
const connect = (key) => new Api(sdk, plan.base_url, key);
const api = connect(plan.key);

/** What a step of a plan may be. */
const steps = {
  ask: async (how) => (await api.ask(api.begin(), how))[0],
  structured: async (how) => {
    const [answer] = await api.ask(api.begin(), { schema: SCHEMA, ...how });
    return { ...answer, text: "", parsed: JSON.parse(answer.text) };
  },
  /** Two turns: the model calls, the tool answers, the model speaks. */
  tools: async (how) => {
    const history = api.begin();
    const [first, turn] = await api.ask(history, { tools: true, ...how });
    const [second] = await api.ask(api.reply(history, turn), { tools: true, ...how });
    return [first, second];
  },
  models: () => api.models(),
  model: ({ model }) => api.model(model),
  count: ({ model }) => api.count(model),
  embed: ({ model }) => api.embed(model),
  /** The typed error that a call ends in. */
  fails: async ({ key, ...how }) => {
    try {
      const other = key === undefined ? api : connect(key);
      return { answer: (await other.ask(other.begin(), how))[0] };
    } catch (error) {
      if (!error.status) return { error: "broken", status: null, kind: null, message: !!String(error) };
      let body = error.error;
      // Google's SDK has the body in its message.
      if (plan.sdk === "gemini") body = JSON.parse(error.message.slice(error.message.indexOf("{")));
      const inner = body?.error ?? body ?? {};
      const googles = error.status < 500 ? "ClientError" : "ServerError";
      return {
        error: plan.sdk === "gemini" ? googles : error.constructor.name,
        status: error.status,
        kind: inner.status ?? inner.type ?? null,
        message: !!inner.message,
      };
    }
  },
};

const answers = [];
for (const { do: step, ...how } of plan.steps) {
  try {
    answers.push(await steps[step](how));
  } catch (error) {
    answers.push({ failed: `${step} ${JSON.stringify(how)}: ${error.constructor.name}: ${error.message}` });
  }
}
console.log(JSON.stringify(answers));
process.exit(0);
