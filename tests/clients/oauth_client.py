"""Connects to an MCP server with nothing but its URL, by the official Python SDK's own OAuth client.

The first line of standard input is the URL. When the SDK wants the person's browser, a line
{"open": url} is printed and the next line read: the URL the browser was sent back to. At the end
{"tools": [...], "again": [...], "registered": {...}, "tokens": [...]} is printed: the tools seen, those
seen after the SDK renewed its token, and every set of tokens it was given.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

REDIRECT = "http://127.0.0.1:51000/callback"


class Storage:
    def __init__(self):
        self.given, self.client = [], None

    async def get_tokens(self):
        return self.given[-1] if self.given else None

    async def set_tokens(self, tokens):
        self.given.append(tokens)

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def show(url):
    print(json.dumps({"open": url}), flush=True)


async def came_back():
    line = await asyncio.to_thread(sys.stdin.readline)
    query = parse_qs(urlsplit(line.strip()).query)
    first = lambda name: query.get(name, [None])[0]
    return AuthorizationCodeResult(code=first("code"), state=first("state"), iss=first("iss"))


async def tools(url, provider):
    http = httpx2.AsyncClient(auth=provider, timeout=60, trust_env=False)
    async with Client(streamable_http_client(url, http_client=http), mode="legacy") as client:
        return sorted(tool.name for tool in (await client.list_tools()).tools)


async def run():
    url, storage = sys.stdin.readline().strip(), Storage()
    metadata = OAuthClientMetadata(client_name="Python SDK", redirect_uris=[REDIRECT])
    provider = OAuthClientProvider(url, metadata, storage, show, came_back)
    seen = await tools(url, provider)
    provider.context.token_expiry_time = 1
    again = await tools(url, provider)
    plain = lambda model: model.model_dump(mode="json", exclude_none=True)
    print(
        json.dumps(
            {
                "tools": seen,
                "again": again,
                "registered": plain(storage.client),
                "tokens": [plain(tokens) for tokens in storage.given],
            }
        ),
        flush=True,
    )


asyncio.run(run())
