// The official CEL conformance cases (google/cel-spec, as npm's @bufbuild/cel-spec carries them)
// through the engine that evaluates conditions.
//
//   cargo build -p preloop-policy --example cel_eval
//   NODE_DIR=<directory with @bufbuild/cel-spec installed> EVAL=target/debug/examples/cel_eval \
//     node crates/policy/tests/cel/conformance.mjs
//
// `cases` as an argument prints the cases instead, `check` reads the answers from standard input:
// so the test beside this file does it, without another program.
//
// "Core" cases need nothing that a policy over JSON arguments cannot meet: no protobuf messages or
// enums, no partial evaluation, no extension library. They must all pass, except those listed in
// misses.json with the reason; a listed case that passes must be taken off the list. VERBOSE=1
// prints every other failing case too.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.resolve(process.env.NODE_DIR ?? '.', 'package.json'));
const suite = pathToFileURL(require.resolve('@bufbuild/cel-spec/testdata/conformance.js'));
const { tests } = await import(suite);
const misses = JSON.parse(readFileSync(new URL('misses.json', import.meta.url), 'utf8'));

const BEYOND_JSON = /objectValue|enumValue|TestAllTypes|google\.protobuf|messageType/;
const OTHER_FILES = new Set([
  'proto2', 'proto3', 'proto2_ext', 'enums', 'dynamic', 'wrappers', 'type_deductions', 'unknowns', 'optionals',
  'macros2', 'string_ext', 'math_ext', 'encoders_ext', 'bindings_ext', 'block_ext', 'network_ext',
]);

function* cases(node, trail) {
  for (const test of node.tests ?? []) {
    const it = test.original;
    if (it.checkOnly || it.unknown || it.anyUnknowns) continue;
    const id = [...trail, it.name ?? it.expr].join('/');
    const core = !OTHER_FILES.has(trail[0]) && !BEYOND_JSON.test(JSON.stringify(it));
    yield { id, file: trail[0], core, it };
  }
  for (const part of node.suites ?? []) yield* cases(part, [...trail, part.name]);
}

/** One spelling for equal values. */
function spell(value) {
  const [kind, inner] = Object.entries(value ?? { nullValue: null })[0];
  switch (kind) {
    case 'listValue': return `[${(inner.values ?? []).map(spell).join(', ')}]`;
    case 'mapValue': return `{${(inner.entries ?? []).map((e) => `${spell(e.key)}: ${spell(e.value)}`).sort().join(', ')}}`;
    case 'doubleValue': return `double ${Number(inner)}`;
    case 'nullValue': return 'null';
    default: return `${kind} ${JSON.stringify(typeof inner === 'number' ? String(inner) : inner)}`;
  }
}

const all = [...cases(tests, [])];
const questions = all.map(({ it }) => JSON.stringify({ expr: it.expr, bindings: it.bindings }) + '\n').join('');
const mode = process.argv[2] ?? 'run';
if (mode === 'cases') process.stdout.write(questions);
else report();

function report() {
  const run = mode === 'check'
    ? { stdout: readFileSync(0), stderr: '' }
    : spawnSync(path.resolve(process.env.EVAL), [], { input: questions, maxBuffer: 1 << 28 });
  const answers = run.stdout.toString().trim().split('\n').map((line) => JSON.parse(line));
  if (answers.length !== all.length) {
    console.error(`the evaluator answered ${answers.length} of ${all.length} cases\n${run.stderr}`);
    process.exitCode = 1;
    return;
  }

  const passed = { core: 0, other: 0 }, total = { core: 0, other: 0 }, wrong = [];
  all.forEach(({ id, core, it }, at) => {
    const answer = answers[at];
    const wanted = it.value ?? it.typedResult?.result ?? { boolValue: true };
    const pass = it.evalError || it.anyEvalErrors ? 'error' in answer : 'value' in answer && spell(answer.value) === spell(wanted);
    const group = core ? 'core' : 'other';
    total[group] += 1;
    passed[group] += pass;
    if (core && pass && id in misses) wrong.push(`${id}: passes; take it off misses.json`);
    if (core && !pass && !(id in misses)) wrong.push(`${id}: ${it.expr}\n    wanted ${spell(wanted)}\n    got ${JSON.stringify(answer)}`);
    if (!core && !pass && process.env.VERBOSE) console.log(`other ${id}: ${JSON.stringify(answer)}`);
  });
  wrong.forEach((line) => console.log(line));
  console.log(`cel: core ${passed.core}/${total.core} (${Object.keys(misses).length} known misses), other ${passed.other}/${total.other}`);
  process.exitCode = wrong.length ? 1 : 0;
}
