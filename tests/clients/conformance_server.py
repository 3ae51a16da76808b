"""An MCP server with every tool, resource and prompt the official conformance suite asks for by name.

It stands behind Preloop while the suite talks to Preloop, so it speaks both protocol eras through the
official Python SDK: requests to the client in the middle of a call up to 2025-11-25, `input_required`
results from 2026-07-28. What each item must return is the suite's wording, not ours.

    python conformance_server.py    serves http://127.0.0.1:PORT/mcp and prints PORT=n
"""

import asyncio
import base64
import json
import socket
from itertools import count
from typing import Annotated

import mcp.types as t
import uvicorn
from mcp import MCPError
from mcp.server.caching import CacheHint
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp.server.streamable_http import EventMessage, EventStore
from pydantic import Field

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
SILENCE = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\0\0\0\0"
MISSING_CLIENT_CAPABILITY = -32021


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def text(words: str) -> t.TextContent:
    return t.TextContent(type="text", text=words)


def image() -> t.ImageContent:
    return t.ImageContent(type="image", data=b64(PIXEL), mime_type="image/png")


def embedded(uri: str, mime_type: str, body: str) -> t.EmbeddedResource:
    contents = t.TextResourceContents(uri=uri, mime_type=mime_type, text=body)
    return t.EmbeddedResource(type="resource", resource=contents)


def result(*content) -> t.CallToolResult:
    return t.CallToolResult(content=list(content))


# --- Schemas the suite looks at, letter by letter


def record(**properties) -> dict:
    return {"type": "object", "properties": properties, "required": list(properties)}


STRING = {"type": "string"}
CONTACT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": STRING, "city": STRING}}},
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
WITH_DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
CHOICES = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
WITH_ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": CHOICES},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": CHOICES}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
}


async def json_schema_2020_12_tool() -> str:
    """A tool whose input schema uses much of JSON Schema 2020-12."""
    return "called"


contact_tool = Tool.from_function(json_schema_2020_12_tool)
contact_tool.parameters = CONTACT

LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read")
server = MCPServer(
    "conformance",
    version="1.0.0",
    tools=[contact_tool],
    log_level="ERROR",
    cache_hints={method: CacheHint(ttl_ms=300_000, scope="public") for method in LISTS},
)

# --- Tools that only answer


@server.tool()
async def test_simple_text() -> t.CallToolResult:
    """Plain text."""
    return result(text("This is a simple text response for testing."))


@server.tool()
async def test_image_content() -> t.CallToolResult:
    """An image."""
    return result(image())


@server.tool()
async def test_audio_content() -> t.CallToolResult:
    """A sound."""
    return result(t.AudioContent(type="audio", data=b64(SILENCE), mime_type="audio/wav"))


@server.tool()
async def test_embedded_resource() -> t.CallToolResult:
    """A resource inside the result."""
    return result(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))


@server.tool()
async def test_multiple_content_types() -> t.CallToolResult:
    """Text, an image and a resource together."""
    mixed = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return result(text("Multiple content types test:"), image(), mixed)


@server.tool()
async def test_error_handling() -> t.CallToolResult:
    """Always an error."""
    return t.CallToolResult(content=[text("This tool intentionally returns an error for testing")], is_error=True)


@server.tool()
async def weather(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> t.CallToolResult:
    """Mirrors its argument in a header of the request (2026-07-28)."""
    return result(text(f"Sunny in {region}."))


# --- Tools that speak while they run


async def narrate(ctx: Context) -> t.CallToolResult:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(line)
        await asyncio.sleep(0.05)
    return result(text("Logged three lines."))


async def count_up(ctx: Context) -> t.CallToolResult:
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return result(text("Reported progress three times."))


@server.tool()
async def test_tool_with_logging(ctx: Context) -> t.CallToolResult:
    """Logs three lines."""
    return await narrate(ctx)


@server.tool()
async def test_logging_tool(ctx: Context) -> t.CallToolResult:
    """Logs three lines, if the request asks for logs."""
    return await narrate(ctx)


@server.tool()
async def test_tool_with_progress(ctx: Context) -> t.CallToolResult:
    """Reports progress three times."""
    return await count_up(ctx)


@server.tool()
async def test_streaming_elicitation(ctx: Context) -> t.CallToolResult:
    """Streams progress; must never put a request of its own on that stream."""
    return await count_up(ctx)


@server.tool()
async def test_reconnection(ctx: Context) -> t.CallToolResult:
    """Closes its stream and answers on the one the client reopens."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return result(text("Reconnection test completed"))


# --- Tools that ask the client in the middle of a call (up to 2025-11-25)


async def ask_user(ctx: Context, message: str, schema: dict) -> t.CallToolResult:
    answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return result(text(f"User response: action={answer.action}, content={json.dumps(answer.content or {})}"))


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> t.CallToolResult:
    """Asks the client's model."""
    question = t.SamplingMessage(role="user", content=text(prompt))
    answer = await ctx.session.create_message([question], max_tokens=100, related_request_id=ctx.request_id)
    return result(text(f"LLM response: {answer.content.text}"))


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> t.CallToolResult:
    """Asks the client's user."""
    return await ask_user(ctx, message, record(username=STRING, email=STRING))


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> t.CallToolResult:
    """Asks with defaults of every primitive type."""
    return await ask_user(ctx, "Please check these values", WITH_DEFAULTS)


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> t.CallToolResult:
    """Asks with every spelling of an enum."""
    return await ask_user(ctx, "Please choose", WITH_ENUMS)


@server.tool()
async def test_missing_capability(ctx: Context) -> t.CallToolResult:
    """Needs a client that offers sampling."""
    declared = ctx.client_capabilities
    if declared is None or declared.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_CLIENT_CAPABILITY, "this tool needs a client with sampling", needed)
    return result(text("The client offers sampling."))


# --- Tools that end a round with `input_required` (2026-07-28). The SDK seals `requestState`.


def form(message: str, **properties) -> t.ElicitRequest:
    params = t.ElicitRequestFormParams(mode="form", message=message, requested_schema=record(**properties))
    return t.ElicitRequest(method="elicitation/create", params=params)


def completion(prompt: str, max_tokens: int) -> t.CreateMessageRequest:
    messages = [t.SamplingMessage(role="user", content=text(prompt))]
    params = t.CreateMessageRequestParams(messages=messages, max_tokens=max_tokens)
    return t.CreateMessageRequest(method="sampling/createMessage", params=params)


def roots() -> t.ListRootsRequest:
    return t.ListRootsRequest(method="roots/list")


def need(state: str | None = None, **requests) -> t.InputRequiredResult:
    return t.InputRequiredResult(result_type="input_required", input_requests=requests, request_state=state)


def answers(ctx: Context) -> dict:
    return ctx.input_responses or {}


Round = t.CallToolResult | t.InputRequiredResult


@server.tool()
async def test_input_required_result_elicitation(ctx: Context) -> Round:
    """Needs the user's name."""
    if answer := answers(ctx).get("user_name"):
        return result(text(f"Hello, {answer.content['name']}!"))
    return need(user_name=form("What is your name?", name=STRING))


@server.tool()
async def test_input_required_result_sampling(ctx: Context) -> Round:
    """Needs the model."""
    if answer := answers(ctx).get("capital_question"):
        return result(text(f"The model says: {answer.content.text}"))
    return need(capital_question=completion("What is the capital of France?", 100))


@server.tool()
async def test_input_required_result_list_roots(ctx: Context) -> Round:
    """Needs the client's roots."""
    if answer := answers(ctx).get("client_roots"):
        return result(text("Roots: " + ", ".join(str(root.uri) for root in answer.roots)))
    return need(client_roots=roots())


async def confirmed(ctx: Context) -> Round:
    if "confirm" in answers(ctx) and ctx.request_state == "asked":
        return result(text("state-ok"))
    return need("asked", confirm=form("Please confirm", ok={"type": "boolean"}))


@server.tool()
async def test_input_required_result_request_state(ctx: Context) -> Round:
    """Needs its own state back."""
    return await confirmed(ctx)


@server.tool()
async def test_input_required_result_tampered_state(ctx: Context) -> Round:
    """Refuses a state it did not give."""
    return await confirmed(ctx)


@server.tool()
async def test_input_required_result_multiple_inputs(ctx: Context) -> Round:
    """Needs three things at once."""
    if {"user_name", "greeting", "client_roots"} <= answers(ctx).keys() and ctx.request_state == "asked":
        return result(text("Thank you for all three."))
    return need(
        "asked",
        user_name=form("What is your name?", name=STRING),
        greeting=completion("Generate a greeting", 50),
        client_roots=roots(),
    )


@server.tool()
async def test_input_required_result_multi_round(ctx: Context) -> Round:
    """Asks twice; the second question's state remembers the first answer."""
    step = json.loads(ctx.request_state or "{}")
    if step.get("at") == 2 and (answer := answers(ctx).get("step2")):
        return result(text(f"{step['name']} likes {answer.content['color']}."))
    if step.get("at") == 1 and (answer := answers(ctx).get("step1")):
        state = json.dumps({"at": 2, "name": answer.content["name"]})
        return need(state, step2=form("Step 2: What is your favorite color?", color=STRING))
    return need(json.dumps({"at": 1}), step1=form("Step 1: What is your name?", name=STRING))


@server.tool()
async def test_input_required_result_capabilities(ctx: Context) -> Round:
    """Asks only for what the client declared."""
    declared = ctx.client_capabilities
    wanted = {}
    if declared and declared.elicitation is not None:
        wanted["user_input"] = form("Anything to add?", value=STRING)
    if declared and declared.sampling is not None:
        wanted["model_input"] = completion("Say something", 50)
    if answers(ctx) or not wanted:
        return result(text("Nothing more is needed."))
    return need("asked", **wanted)


# --- Resources


@server.resource("test://static-text", mime_type="text/plain", description="A text.")
async def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png", description="An image.")
async def static_binary() -> bytes:
    return PIXEL


@server.resource("test://watched-resource", mime_type="text/plain", description="A text one can subscribe to.")
async def watched() -> str:
    return "Watched."


@server.resource("test://template/{id}/data", mime_type="application/json", description="A text by id.")
async def templated(id: str) -> str:
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


# --- Prompts


def said(*content) -> list[UserMessage]:
    return [UserMessage(block) for block in content]


@server.prompt()
async def test_simple_prompt() -> str:
    """One sentence."""
    return "This is a simple prompt for testing."


@server.prompt()
async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A sentence with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


async def messages_with_resource(resourceUri: str) -> list:
    """A resource and a request about it."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return said(resource, text("Please process the embedded resource above."))


server.prompt("test_prompt_with_embedded_resource")(messages_with_resource)


@server.prompt()
async def test_prompt_with_image() -> list:
    """An image and a request about it."""
    return said(image(), text("Please analyze the image above."))


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> list | t.InputRequiredResult:
    """Needs the user before it can be written."""
    if answer := answers(ctx).get("user_context"):
        return said(text(f"Use this context: {answer.content['context']}"))
    return need(user_context=form("What context should the prompt use?", context=STRING))


@server.completion()
async def complete(ref, argument, context) -> t.Completion:
    return t.Completion(values=[city for city in ("paris", "park", "party") if city.startswith(argument.value)])


# --- Legacy methods the high-level server leaves to us


async def acknowledge(ctx, params) -> t.EmptyResult:
    return t.EmptyResult()


low_level = server._lowlevel_server
low_level.add_request_handler("resources/subscribe", t.SubscribeRequestParams, acknowledge)
low_level.add_request_handler("resources/unsubscribe", t.UnsubscribeRequestParams, acknowledge)
low_level.add_request_handler("logging/setLevel", t.SetLevelRequestParams, acknowledge)


class Memory(EventStore):
    """Events of every stream in order, so that a client that lost its stream can go on."""

    def __init__(self):
        self.ids = count(1)
        self.events = []

    async def store_event(self, stream_id, message):
        event_id = str(next(self.ids))
        self.events.append((event_id, stream_id, message))
        return event_id

    async def replay_events_after(self, last_event_id, send_callback):
        stream = next((stream for event_id, stream, _ in self.events if event_id == last_event_id), None)
        for event_id, of, message in self.events:
            if of == stream and int(event_id) > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, event_id))
        return stream


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"PORT={listener.getsockname()[1]}", flush=True)
    app = server.streamable_http_app(streamable_http_path="/mcp", event_store=Memory(), retry_interval=100)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    main()
