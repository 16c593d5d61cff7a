/**
 * The rules of the house that a program can check. ARCHITECTURE.md says why they are there.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Import {
  /** From the root of the repository: `src/errors.ts`. */
  readonly from: string;
  /** A path from the root, or the name of a package, or `node:net`. */
  readonly to: string;
  /** Only types are taken: nothing of it is there at run time. */
  readonly typeOnly: boolean;
}

/** `import … from '…'` and `export … from '…'`, which biome keeps at the beginning of a line. */
const STATEMENT = /^(?:import|export)\s+(?:(type)\s+)?(?:([^;'"]*?)\s+from\s+)?'([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;

function importsOf(from: string, text: string): Import[] {
  const resolve = (name: string): string =>
    name.startsWith('.') ? normalize(join(dirname(from), name)) : name;
  const statements = [...text.matchAll(STATEMENT)].map(([, type, clause = '', name = '']) => {
    const named = /^\{([^}]*)\}$/.exec(clause.trim())?.[1]?.split(',');
    const types = named?.map((one) => one.trim()).filter((one) => one !== '');
    const typeOnly = type !== undefined || (types?.every((one) => one.startsWith('type ')) ?? false);
    return { from, to: resolve(name), typeOnly };
  });
  const dynamic = [...text.matchAll(DYNAMIC)].map(([, name = '']) => ({
    from,
    to: resolve(name),
    typeOnly: false,
  }));
  return [...statements, ...dynamic];
}

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const files = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).toSorted();

const SOURCES = files('src/**/*.ts');
const TESTS = files('test/**/*.ts');
const IMPORTS = SOURCES.flatMap((path) => importsOf(path, read(path)));

/** `src/upstream/pool.ts` is in `upstream`; `src/errors.ts` stands by itself, as `errors.ts`. */
const roomOf = (path: string): string => path.split('/')[1] ?? '';

/** The composition root. */
const ROOT_FILES = ['sidecar.ts', 'generation.ts'];

const shown = ({ from, to, typeOnly }: Import): string => `${from} -> ${to}${typeOnly ? ' (type)' : ''}`;

const none = (found: readonly Import[], message: string): void =>
  assert.deepEqual(found.map(shown), [], message);

test('imports are read as they are written', () => {
  const text = [
    "import type { A } from './a.ts';",
    "import { type B, type C } from '../b.ts';",
    "import {\n  type D,\n  e,\n} from 'node:net';",
    "import f, { type G } from 'yaml';",
    "import * as v from 'valibot';",
    "import './side-effect.ts';",
    "export { h } from './h.ts';",
    "export const text = 'no import';",
    "const late = await import('./late.ts');",
  ].join('\n');
  const found = importsOf('src/room/file.ts', text);
  assert.deepEqual(
    found.map(({ to, typeOnly }) => `${to}${typeOnly ? ' (type)' : ''}`),
    [
      'src/room/a.ts (type)',
      'src/b.ts (type)',
      'node:net',
      'yaml',
      'valibot',
      'src/room/side-effect.ts',
      'src/room/h.ts',
      'src/room/late.ts',
    ],
  );
  assert.ok(IMPORTS.length > SOURCES.length, 'imports are found in the sources');
});

test('every library has one door', () => {
  const doors: Readonly<Record<string, readonly string[]>> = {
    opossum: ['src/upstream/circuit.ts'],
    'http-proxy': ['src/downstream/upgrade.ts'],
    'ipaddr.js': ['src/upstream/address-guard.ts'],
    'prom-client': ['src/telemetry/metrics.ts'],
    pino: ['src/telemetry/log.ts'],
    yaml: ['src/config/load.ts'],
    '@peculiar/x509': ['src/certificates/authority.ts'],
    valibot: SOURCES.filter((path) => roomOf(path) === 'config'),
  };
  const dependencies = Object.keys(JSON.parse(read('package.json')).dependencies);
  assert.deepEqual(Object.keys(doors).toSorted(), dependencies.toSorted(), 'every dependency is here');
  const packages = IMPORTS.filter(({ to }) => !to.startsWith('src/') && !to.startsWith('node:'));
  const library = (to: string): string =>
    to
      .split('/')
      .slice(0, to.startsWith('@') ? 2 : 1)
      .join('/');
  none(
    packages.filter(({ from, to }) => !(doors[library(to)] ?? []).includes(from)),
    'imported elsewhere than by its door',
  );
});

test('a room imports only the rooms that it may know; only sidecar.ts and generation.ts know them all', () => {
  /** `name`: as it likes; `name (type)`: types only. Each also knows itself. */
  const known: Readonly<Record<string, readonly string[]>> = {
    'main.ts': ['cli'],
    cli: ['certificates', 'config', 'explanation', 'node-http.ts', 'telemetry', 'sidecar.ts'],
    'errors.ts': [],
    'node-http.ts': [],
    'spent-buffers.ts': [],
    'socket-reset.ts': [],
    'turn-end.ts': [],
    'exchange.ts': ['errors.ts (type)', 'policy (type)', 'upstream (type)'],
    'live-exchanges.ts': ['exchange.ts (type)'],
    'response.ts': ['errors.ts (type)'],
    config: ['policy'],
    explanation: ['config', 'downstream', 'errors.ts', 'exchange.ts (type)', 'policy', 'upstream'],
    credentials: ['errors.ts', 'exchange.ts', 'live-exchanges.ts (type)', 'policy', 'response.ts (type)'],
    headers: ['policy (type)'],
    http1: [],
    policy: ['errors.ts (type)', 'exchange.ts (type)'],
    downstream: [
      'config (type)',
      'errors.ts',
      'exchange.ts',
      'headers',
      'http1',
      'live-exchanges.ts (type)',
      'node-http.ts',
      'policy (type)',
      'response.ts (type)',
      'spent-buffers.ts',
      'socket-reset.ts',
      'turn-end.ts',
    ],
    layers: ['credentials (type)', 'errors.ts', 'exchange.ts (type)', 'headers', 'policy', 'upstream'],
    upstream: [
      'certificates',
      'config (type)',
      'errors.ts',
      'exchange.ts (type)',
      'headers',
      'http1',
      'node-http.ts',
      'policy',
      'response.ts (type)',
      'spent-buffers.ts',
      'socket-reset.ts',
      'turn-end.ts',
      'telemetry (type)',
    ],
    telemetry: ['exchange.ts (type)'],
    admin: ['config (type)', 'node-http.ts', 'telemetry (type)'],
    certificates: ['spent-buffers.ts'],
  };
  const rooms = new Set(SOURCES.map(roomOf));
  assert.deepEqual([...rooms].toSorted(), [...Object.keys(known), ...ROOT_FILES].toSorted());
  none(
    IMPORTS.filter(({ from, to, typeOnly }) => {
      if (!to.startsWith('src/') || roomOf(from) === roomOf(to) || ROOT_FILES.includes(roomOf(from)))
        return false;
      const may = known[roomOf(from)] ?? [];
      return !may.includes(roomOf(to)) && !(typeOnly && may.includes(`${roomOf(to)} (type)`));
    }),
    'a room that it does not know',
  );
});

test('downstream never imports upstream, not even its types, nor upstream downstream', () => {
  none(
    IMPORTS.filter(
      ({ from, to }) =>
        (roomOf(from) === 'downstream' && to.startsWith('src/upstream/')) ||
        (roomOf(from) === 'upstream' && to.startsWith('src/downstream/')),
    ),
    'the two sides know each other',
  );
});

test('only one file opens connections to origins, and it asks the address guard', () => {
  const dialling =
    /import (?!type)[^;]*\b(?:connect|createConnection|request|get|Agent|fetch)\b[^;]* from '(?:node:(?:net|tls|https?|http2|dgram)|[./]+node-http\.ts)'|\bhttp2\(\)\.connect\(/;
  const dials = SOURCES.filter(
    (path) =>
      dialling.test(read(path)) ||
      /(?:^|[=(\s])(?:await )?(?:globalThis\.)?fetch\(/.test(withoutComments(read(path))),
  );
  // These speak over a socket that they are handed.
  const handed = ['src/downstream/upgrade.ts', 'src/upstream/http2-session.ts'];
  for (const path of handed) assert.match(read(path), /createConnection: |addRequest/, path);
  // A process of its own, which asks a listener of ours.
  const asking = 'src/cli/wait.ts';
  assert.deepEqual(
    dials.filter((path) => !handed.includes(path) && path !== asking),
    ['src/upstream/dial.ts'],
  );
  assert.match(read('src/upstream/dial.ts'), /guard\.refusal\(/);
});

test('what is imported of node:http and node:http2 is types, and their door hands out the values', () => {
  const door = 'src/node-http.ts';
  none(
    IMPORTS.filter(({ to, typeOnly }) => /^node:(?:https?|http2)$/.test(to) && !typeOnly),
    'a value of node:http, whose import loads far more',
  );
  for (const path of SOURCES) {
    const gotten = [...withoutComments(read(path)).matchAll(/\bgetBuiltinModule\b(?:\([^)]*\))?/g)].map(
      String,
    );
    const known = ["getBuiltinModule('node:http')", "getBuiltinModule('node:http2')"];
    assert.deepEqual(gotten, path === door ? known : [], path);
  }
});

test('upstream knows no HTTP server', () => {
  for (const path of SOURCES.filter((one) => roomOf(one) === 'upstream')) {
    assert.doesNotMatch(read(path), /\b(?:createServer|Server|ServerResponse|IncomingMessage)\b/, path);
  }
});

test('policy and headers decide without I/O, timers or clock', () => {
  const pure = SOURCES.filter((path) => ['policy', 'headers'].includes(roomOf(path)));
  none(
    IMPORTS.filter(({ from, to }) => pure.includes(from) && to.startsWith('node:')),
    'a module of Node',
  );
  const impure =
    /\b(?:set(?:Timeout|Interval|Immediate)|queueMicrotask|process|Date\.now|new Date\(\)|performance|fetch|console)\b/;
  for (const path of pure) assert.doesNotMatch(withoutComments(read(path)), impure, path);
});

test('no source makes code of strings, nor loads what is named by a variable, nor opens a debugger', () => {
  /** A constant, for which Node has no other door. */
  const door = 'src/spent-buffers.ts';
  const code = [
    /\beval\b/,
    /\bFunction\s*\(/,
    /\brequire\b\s*\(/,
    /\bcreateRequire\b/,
    /\bimport\s*\(\s*(?!'[^']+'\s*\))/,
    /\bimport\.meta\.resolve\b/,
    /\bset(?:Timeout|Interval|Immediate)\s*\(\s*['"`]/,
    /\bWebAssembly\b/,
    /\bprocess\.(?:binding|dlopen|_debugProcess)\b/,
  ];
  const modules =
    /^node:(?:vm|module|inspector|inspector\/promises|repl|worker_threads|cluster|wasi|sea|ffi)$/;
  for (const path of SOURCES) {
    const text = withoutComments(read(path));
    // What users are told to write for their own shell.
    const said = text.replaceAll('eval "$(outrigger env)"', '');
    for (const pattern of code) assert.doesNotMatch(said, pattern, path);
    const contexts = [...text.matchAll(/\brunIn\w+Context\([^)]*\)/g)].map(([call]) => call);
    const allowed = path === door ? ["runInNewContext('gc')"] : [];
    assert.deepEqual(contexts, allowed, path);
  }
  const strangers = IMPORTS.filter(({ to, from }) => modules.test(to) && (from !== door || to !== 'node:vm'));
  none(strangers, 'a module that runs or inspects other code');
});

test('nothing imports in a circle at run time', () => {
  assert.deepEqual(circles(IMPORTS.filter(({ typeOnly }) => !typeOnly)), []);
});

test('types go in a circle only round the exchange, which names what the layers hang on it', () => {
  for (const circle of circles(IMPORTS)) assert.ok(circle.includes('src/exchange.ts'), circle.join(' '));
  const without = IMPORTS.filter(
    ({ from, to, typeOnly }) => !(from === 'src/exchange.ts' && roomOf(to) === 'upstream' && typeOnly),
  );
  assert.deepEqual(circles(without), []);
});

test('only the composition root, the command line and what explains see the whole configuration', () => {
  none(
    IMPORTS.filter(({ from, to }) => {
      if (
        ['config', 'cli', 'explanation', ...ROOT_FILES].includes(roomOf(from)) ||
        to !== 'src/config/config.ts'
      )
        return false;
      return !/import type \{ ListenAddress \} from '[^']*config\/config\.ts'/.test(read(from));
    }),
    'more than an address of it',
  );
});

test('a file is named after what it is, in kebab-case; none is a drawer', () => {
  const drawers = /(?:^|-)(?:utils?|helpers?|common|manager|types|misc|index)$/;
  for (const path of [...SOURCES, ...TESTS]) {
    const [name = ''] = basename(path).split('.');
    assert.match(name, /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/, path);
    assert.doesNotMatch(name, drawers, path);
  }
});

test('there is no default export', () => {
  for (const path of [...SOURCES, ...TESTS]) {
    assert.doesNotMatch(read(path), /^export default\b|^export \{[^}]*\bas default\b/m, path);
  }
});

test('every source file opens with what it is', () => {
  for (const path of SOURCES) {
    const text = read(path).replace(/^#!.*\n/, '');
    assert.match(text, /^\/\*\*(?: |\n \* )[A-Z`][\s\S]*?\.?\s*\*\//, path);
  }
});

test('every fuzzer opens with its invariant', () => {
  for (const path of files('test/fuzz/*.test.ts')) {
    assert.match(read(path), /^(?:\/\*\*\s+(?:\* )?|\/\/ )Invariant: /, path);
  }
});

test('test/unit mirrors src', () => {
  /** What they test is no source file. */
  const others = ['test/unit/config/examples.test.ts'];
  const tested = (path: string): string => path.replace('test/unit', 'src').replace(/\.test\.ts$/, '.ts');
  const strangers = files('test/unit/**/*.test.ts').filter((path) => !SOURCES.includes(tested(path)));
  assert.deepEqual(strangers, others);
});

test('the top level is a closed list, and dotfiles', () => {
  const closed = [
    'ARCHITECTURE.md',
    'CHANGELOG.md',
    'Dockerfile',
    'LICENSE',
    'README.md',
    'config',
    'helm',
    'package-lock.json',
    'package.json',
    'src',
    'test',
    'tsconfig.json',
  ];
  const entries = repository().filter((name) => !/^(?:\.|$)/.test(name) && name !== 'node_modules');
  assert.deepEqual(
    entries.filter((name) => !closed.includes(name)),
    [],
  );
});

test('one thing has one word', () => {
  const synonyms = /\b(?:back-?ends?|upstream (?:server|host)s?|target server)\b/i;
  for (const path of [...SOURCES, ...files('config/*.yaml')]) {
    assert.doesNotMatch(read(path), synonyms, path);
  }
});

/** The names at the top level: those of git where there is one, so that what is ignored does not count. */
function repository(): string[] {
  try {
    const listed = execFileSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
    return [...new Set(listed.split('\0').map((path) => path.split('/')[0] ?? ''))];
  } catch {
    return readdirSync(ROOT);
  }
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
}

/** Every set of files that reach each other, after Tarjan. */
function circles(imports: readonly Import[]): string[][] {
  const next = new Map<string, string[]>(SOURCES.map((path) => [path, []]));
  for (const { from, to } of imports) if (next.has(to)) next.get(from)?.push(to);
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const path: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): void => {
    const own = index.size;
    index.set(file, own);
    low.set(file, own);
    path.push(file);
    for (const to of next.get(file) ?? []) {
      if (!index.has(to)) visit(to);
      if (path.includes(to)) low.set(file, Math.min(low.get(file) as number, low.get(to) as number));
    }
    if (low.get(file) !== own) return;
    const circle = path.splice(path.indexOf(file));
    if (circle.length > 1) found.push(circle.toSorted());
  };
  for (const file of SOURCES) if (!index.has(file)) visit(file);
  return found;
}
