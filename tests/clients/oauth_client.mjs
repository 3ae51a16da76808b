// Connects to an MCP server with nothing but its URL, by the official TypeScript SDKs' own OAuth client.
//
// Input and output as in oauth_client.py. The argument is "sdk-1" for the 1.x line, "sdk-2" for the 2.x line.

import { createInterface } from "node:readline";

// The packages lie where the tests were told, not beside this file.
const from = (module) => import(new URL(`node_modules/${module}`, `file://${process.env.PRELOOP_TEST_NODE_MODULES}/`));

const old = process.argv[2] === "sdk-1";
const one = "@modelcontextprotocol/sdk/dist/esm/client";
const two = "@modelcontextprotocol/client/dist/index.mjs";
const { Client } = await from(old ? `${one}/index.js` : two);
const { StreamableHTTPClientTransport } = await from(old ? `${one}/streamableHttp.js` : two);
const { UnauthorizedError } = await from(old ? `${one}/auth.js` : two);

const redirect = "http://127.0.0.1:51000/callback";
const given = [];
const kept = {};
const provider = {
  redirectUrl: redirect,
  clientMetadata: {
    client_name: "TypeScript SDK",
    redirect_uris: [redirect],
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (given.push(tokens), (kept.tokens = tokens)),
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  saveDiscoveryState: (state) => void (kept.discovery = state),
  discoveryState: () => kept.discovery,
  redirectToAuthorization: (url) => console.log(JSON.stringify({ open: url.href })),
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const url = new URL((await lines.next()).value);
const transport = () => new StreamableHTTPClientTransport(url, { authProvider: provider });

async function tools() {
  const client = new Client({ name: "oauth-client", version: "1.0.0" });
  await client.connect(transport());
  const { tools } = await client.listTools();
  await client.close();
  return tools.map((tool) => tool.name).sort();
}

try {
  await tools();
  throw new Error("the server let somebody in without a token");
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
}
const back = new URL((await lines.next()).value).searchParams;
await transport().finishAuth(old ? back.get("code") : back);
const seen = await tools();
kept.tokens = { ...kept.tokens, access_token: "over" };
const again = await tools();
console.log(JSON.stringify({ tools: seen, again, registered: kept.client, tokens: given }));
process.exit(0);
