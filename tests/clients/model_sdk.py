"""Uses a model API with an official Python SDK; prints what the SDK made of the answers.

The plan is a JSON object on standard input:

    {"sdk": "chat" | "responses" | "messages" | "gemini", "base_url": "...", "key": "...",
     "steps": [{"do": "<a method of Steps>", "model": "...", ...}, ...]}

and the answer a list with one object a step. Ids, times and model names are left out, and counts of tokens
are brought to one meaning, so that the same plan must print the same directly and through Preloop, whatever
API serves the model behind it. Streams go through the SDK's own accumulator where it has one.
"""

import json
import sys

import anthropic
import openai
from google import genai
from google.genai import errors as gemini_errors
from google.genai import types as gemini

QUESTION = "How warm is it in Zürich?"
TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["name", "n"],
    "additionalProperties": False,
}
RESULT = "21 °C, “sunny”"


def said(text="", calls=(), stop=None, thought="", usage=None) -> dict:
    return {"text": text, "calls": list(calls), "stop": stop, "thought": thought, "usage": usage}


def used(input_, output, cached) -> dict:
    return {"input": input_, "output": output, "cached": cached or 0}


class Chat:
    """OpenAI's chat completions."""

    def __init__(self, base_url, key):
        self.client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30)

    def begin(self):
        return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]

    def ask(self, history, model, stream=False, tools=False, schema=None, think=False, **more):
        more |= {"model": model, "messages": history}
        if think:
            more["reasoning_effort"] = "low"
        if tools:
            more["tools"] = [{"type": "function", "function": TOOL}]
        if schema:
            named = {"name": "answer", "schema": schema, "strict": True}
            more["response_format"] = {"type": "json_schema", "json_schema": named}
        if stream:
            with self.client.chat.completions.stream(stream_options={"include_usage": True}, **more) as events:
                answer = events.get_final_completion()
        else:
            answer = self.client.chat.completions.create(**more)
        choice = answer.choices[0]
        calls = choice.message.tool_calls or []
        made = [{"name": call.function.name, "arguments": json.loads(call.function.arguments)} for call in calls]
        u = answer.usage
        usage = u and used(u.prompt_tokens, u.completion_tokens, u.prompt_tokens_details.cached_tokens)
        # This SDK drops what it does not know from a streamed message, and with it the reasoning.
        turn = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
        for call in turn.get("tool_calls", []):
            call["function"].pop("parsed_arguments", None)
        return said(choice.message.content or "", made, choice.finish_reason, usage=usage), (turn, calls)

    def reply(self, history, turn):
        message, calls = turn
        return [*history, message, *({"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in calls)]

    def models(self):
        return sorted(model.id for model in self.client.models.list())

    def model(self, name):
        return self.client.models.retrieve(name).id

    def embed(self, model):
        answer = self.client.embeddings.create(model=model, input=["one", "two"])
        return {"vectors": [[round(x, 4) for x in each.embedding] for each in answer.data],
                "input": answer.usage.prompt_tokens}


class Responses:
    """OpenAI's Responses."""

    def __init__(self, base_url, key):
        self.client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30)

    def begin(self):
        return [{"role": "user", "content": QUESTION}]

    def ask(self, history, model, stream=False, tools=False, schema=None, think=False, **more):
        more |= {"model": model, "input": history, "instructions": "Be brief.", "store": False,
                 "include": ["reasoning.encrypted_content"]}
        if think:
            more["reasoning"] = {"effort": "low", "summary": "auto"}
        if tools:
            more["tools"] = [{"type": "function", "strict": True, **TOOL}]
        if schema:
            more["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
        if stream:
            with self.client.responses.stream(**more) as events:
                answer = events.get_final_response()
        else:
            answer = self.client.responses.create(**more)
        calls = [item for item in answer.output if item.type == "function_call"]
        made = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]
        thought = "".join(part.text for item in answer.output if item.type == "reasoning" for part in item.summary)
        u = answer.usage
        usage = u and used(u.input_tokens, u.output_tokens, u.input_tokens_details.cached_tokens)
        details = answer.incomplete_details and answer.incomplete_details.reason
        return said(answer.output_text, made, [answer.status, details], thought, usage), (answer.output, calls)

    def reply(self, history, turn):
        output, calls = turn
        items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in output]
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": RESULT} for call in calls]
        return [*history, *items, *results]

    models, model, embed = Chat.models, Chat.model, Chat.embed


class Messages:
    """Anthropic's Messages."""

    def __init__(self, base_url, key):
        self.client = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=30)

    def begin(self):
        return [{"role": "user", "content": QUESTION}]

    def ask(self, history, model, stream=False, tools=False, schema=None, think=False, **more):
        more |= {"model": model, "messages": history, "system": "Be brief.", "max_tokens": 4096}
        if tools:
            tool = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}
            more["tools"] = [tool]
        if schema:
            more["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if think:
            more["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        if stream:
            with self.client.messages.stream(**more) as events:
                answer = events.get_final_message()
        else:
            answer = self.client.messages.create(**more)
        text = "".join(block.text for block in answer.content if block.type == "text")
        thought = "".join(block.thinking for block in answer.content if block.type == "thinking")
        calls = [block for block in answer.content if block.type == "tool_use"]
        made = [{"name": call.name, "arguments": call.input} for call in calls]
        u = answer.usage
        cached = u.cache_read_input_tokens or 0
        written = u.cache_creation_input_tokens or 0
        usage = used(u.input_tokens + cached + written, u.output_tokens, cached)
        return said(text, made, answer.stop_reason, thought, usage), (answer.content, calls)

    def reply(self, history, turn):
        content, calls = turn
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT} for call in calls]
        # What a stream was parsed into on the way is not part of the message.
        blocks = [block.model_dump(exclude_none=True, exclude={"parsed_output", "caller"}) for block in content]
        return [*history, {"role": "assistant", "content": blocks}, {"role": "user", "content": results}]

    def models(self):
        return sorted(model.id for model in self.client.models.list())

    def model(self, name):
        return self.client.models.retrieve(name).id

    def count(self, model):
        return self.client.messages.count_tokens(model=model, messages=self.begin()).input_tokens


class Gemini:
    """Google's Gemini."""

    def __init__(self, base_url, key):
        options = gemini.HttpOptions(base_url=base_url, timeout=30_000)
        self.client = genai.Client(api_key=key, http_options=options)

    def begin(self):
        return [gemini.Content(role="user", parts=[gemini.Part(text=QUESTION)])]

    def ask(self, history, model, stream=False, tools=False, schema=None, think=False, **more):
        config = gemini.GenerateContentConfig(system_instruction="Be brief.", **more)
        if tools:
            declared = gemini.FunctionDeclaration(
                name=TOOL["name"], description=TOOL["description"], parameters_json_schema=TOOL["parameters"]
            )
            config.tools = [gemini.Tool(function_declarations=[declared])]
        if schema:
            config.response_mime_type, config.response_json_schema = "application/json", schema
        if think:
            config.thinking_config = gemini.ThinkingConfig(include_thoughts=True)
        asked = {"model": model, "contents": history, "config": config}
        if stream:
            chunks = list(self.client.models.generate_content_stream(**asked))
        else:
            chunks = [self.client.models.generate_content(**asked)]
        candidates = [chunk.candidates[0] for chunk in chunks if chunk.candidates]
        parts = [part for each in candidates if each.content for part in each.content.parts or []]
        text = "".join(part.text for part in parts if part.text and not part.thought)
        thought = "".join(part.text for part in parts if part.text and part.thought)
        calls = [part.function_call for part in parts if part.function_call]
        made = [{"name": call.name, "arguments": call.args} for call in calls]
        stop = candidates[-1].finish_reason.name if candidates and candidates[-1].finish_reason else None
        u = chunks[-1].usage_metadata
        output = u and (u.candidates_token_count or 0) + (u.thoughts_token_count or 0)
        usage = u and used(u.prompt_token_count, output, u.cached_content_token_count)
        return said(text, made, stop, thought, usage), (parts, calls)

    def reply(self, history, turn):
        parts, calls = turn
        kept = [part for part in parts if part.function_call or part.thought_signature or part.text]
        results = [
            gemini.FunctionResponse(id=call.id, name=call.name, response={"result": RESULT}) for call in calls
        ]
        answers = [gemini.Part(function_response=each) for each in results]
        return [*history, gemini.Content(role="model", parts=kept), gemini.Content(role="user", parts=answers)]

    def models(self):
        return sorted(model.name.removeprefix("models/") for model in self.client.models.list())

    def model(self, name):
        return self.client.models.get(model=name).name.removeprefix("models/")

    def count(self, model):
        return self.client.models.count_tokens(model=model, contents=QUESTION).total_tokens

    def embed(self, model):
        answer = self.client.models.embed_content(model=model, contents="one")
        return {"vectors": [[round(x, 4) for x in each.values] for each in answer.embeddings], "input": None}


class Steps:
    """What a step of a plan may be."""

    def __init__(self, api, base_url):
        self.api, self.base_url = api, base_url

    def ask(self, **how):
        return self.api.ask(self.api.begin(), **how)[0]

    def structured(self, **how):
        answer = self.api.ask(self.api.begin(), schema=SCHEMA, **how)[0]
        return answer | {"text": "", "parsed": json.loads(answer["text"])}

    def tools(self, **how):
        """Two turns: the model calls, the tool answers, the model speaks."""
        history = self.api.begin()
        first, turn = self.api.ask(history, tools=True, **how)
        second, _ = self.api.ask(self.api.reply(history, turn), tools=True, **how)
        return [first, second]

    def models(self):
        return self.api.models()

    def model(self, model):
        return self.api.model(model)

    def count(self, model):
        return self.api.count(model)

    def embed(self, model):
        return self.api.embed(model)

    def fails(self, key=None, **how):
        """The typed error that a call ends in."""
        api = self.api if key is None else type(self.api)(self.base_url, key)
        try:
            answer = api.ask(api.begin(), **how)[0]
        except gemini_errors.APIError as error:
            return {"error": type(error).__name__, "status": error.code, "kind": error.status,
                    "message": bool(error.message)}
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            body = error.body if isinstance(error.body, dict) else {}
            inner = body.get("error", body)
            return {"error": type(error).__name__, "status": error.status_code, "kind": inner.get("type"),
                    "message": bool(inner.get("message"))}
        except Exception as error:  # whatever a broken stream becomes in this SDK
            return {"error": "broken", "status": None, "kind": None, "message": bool(str(error) or repr(error))}
        return {"answer": answer}


SDKS = {"chat": Chat, "responses": Responses, "messages": Messages, "gemini": Gemini}


def main():
    plan = json.load(sys.stdin)
    steps = Steps(SDKS[plan["sdk"]](plan["base_url"], plan["key"]), plan["base_url"])
    answers = []
    for step in plan["steps"]:
        do = step.pop("do")
        try:
            answers.append(getattr(steps, do)(**step))
        except Exception as error:
            answers.append({"failed": f"{do} {step}: {type(error).__name__}: {error}"})
    print(json.dumps(answers))


main()
