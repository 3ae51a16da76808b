// Lists tools and calls some with the official TypeScript SDK; prints what the SDK made of the answers.
//
// Plan and answer as in sdk_client.py, on standard input and output. `mode` is "sdk-1" for the 1.x line
// (@modelcontextprotocol/sdk), "legacy" or a modern protocol version for the 2.x line
// (@modelcontextprotocol/client).

import { readFileSync } from "node:fs";

// The packages lie where the tests were told, not beside this file.
const from = (module) => import(new URL(`node_modules/${module}`, `file://${process.env.PRELOOP_TEST_NODE_MODULES}/`));

async function connect({ target, mode }) {
  const info = { name: "sdk-client", version: "1.0.0" };
  const old = mode === "sdk-1";
  const { Client } = await from(
    old ? "@modelcontextprotocol/sdk/dist/esm/client/index.js" : "@modelcontextprotocol/client/dist/index.mjs",
  );
  const negotiation = { mode: mode === "legacy" ? "legacy" : { pin: mode } };
  const client = new Client(info, old ? {} : { versionNegotiation: negotiation });
  if (target.command) {
    const { StdioClientTransport } = await from(
      old ? "@modelcontextprotocol/sdk/dist/esm/client/stdio.js" : "@modelcontextprotocol/client/dist/stdio.mjs",
    );
    const { command, args, cwd } = target;
    await client.connect(new StdioClientTransport({ command, args, cwd, stderr: "ignore" }));
  } else {
    const { StreamableHTTPClientTransport } = await from(
      old ? "@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.js" : "@modelcontextprotocol/client/dist/index.mjs",
    );
    const requestInit = { headers: target.headers ?? {} };
    await client.connect(new StreamableHTTPClientTransport(new URL(target.url), { requestInit }));
  }
  return client;
}

async function call(client, { name, arguments: args }) {
  try {
    return { result: await client.callTool({ name, arguments: args }) };
  } catch (error) {
    return { error: { code: error.code, message: error.message } };
  }
}

const plan = JSON.parse(readFileSync(0, "utf8"));
const client = await connect(plan);
const tools = [];
let cursor;
do {
  const page = await client.listTools(cursor ? { cursor } : undefined);
  tools.push(...page.tools);
  cursor = page.nextCursor;
} while (cursor);
const results = [];
for (const each of plan.calls) results.push(await call(client, each));
await client.close();
console.log(JSON.stringify({ tools, results }));
process.exit(0);
