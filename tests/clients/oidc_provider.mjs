// An OpenID provider that the project did not write: one client, people with groups, and its own pages for
// signing in and consent. Reads a plan on standard input, prints its issuer, and runs until it is killed.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.PRELOOP_TEST_NODE_MODULES}/`);
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);
const { port, client, people } = JSON.parse(readFileSync(0, "utf8"));

const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [{ ...client, grant_types: ["authorization_code"], response_types: ["code"] }],
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  features: { devInteractions: { enabled: true } },
  pkce: { required: () => true },
  cookies: { keys: ["of a test"] },
});
provider.listen(port, "127.0.0.1", () => console.log(issuer));
