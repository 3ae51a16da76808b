"""Lists tools and calls some with the official Python SDK; prints what the SDK made of the answers.

The plan is a JSON object on standard input:

    {"target": {"url": "...", "headers": {...}} or {"command": "...", "args": [...], "cwd": "..."},
     "mode": "legacy" or a modern protocol version or "auto",
     "calls": [{"name": "...", "arguments": {...}}, ...]}

and so is the answer: {"protocolVersion": ..., "tools": [...], "results": [...]}. The same plan run directly
and through Preloop must print the same.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


def transport(target: dict):
    if "command" in target:
        return StdioServerParameters(command=target["command"], args=target["args"], cwd=target.get("cwd"))
    http = httpx2.AsyncClient(headers=target.get("headers"), timeout=60, trust_env=False)
    return streamable_http_client(target["url"], http_client=http)


def plain(model) -> dict:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def call(client: Client, name: str, arguments: dict) -> dict:
    try:
        return {"result": plain(await client.call_tool(name, arguments))}
    except MCPError as error:
        return {"error": {"code": error.error.code, "message": error.error.message}}


async def run(plan: dict) -> dict:
    async with Client(transport(plan["target"]), mode=plan["mode"]) as client:
        tools, cursor = [], None
        while True:
            page = await client.list_tools(cursor=cursor)
            tools += [plain(tool) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                break
        results = [await call(client, each["name"], each["arguments"]) for each in plan["calls"]]
        return {"protocolVersion": client.protocol_version, "tools": tools, "results": results}


print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
