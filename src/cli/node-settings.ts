/**
 * What the environment and the command line of Node itself would do to a sidecar: each setting that weakens
 * it is refused, or has no effect here and is said to have none, or is said to be in force.
 *
 * Rules: refused is what lets others in or copies secrets out (a debugger, keys of TLS, snapshots of memory,
 * reports with the environment, traces of exchanges) and what makes parsers lenient; a finding names the
 * setting and never its value. It reads NODE_OPTIONS as Node does, and knows nothing of the configuration.
 */
type Environment = Readonly<Record<string, string | undefined>>;

export interface NodeFindings {
  /** Complete sentences; with one of these nothing starts. */
  readonly refused: readonly string[];
  readonly warnings: readonly string[];
}

interface Setting {
  /** Of the option, without a value; dashes only. */
  readonly option: RegExp;
  readonly why: string;
}

const REFUSED: readonly Setting[] = [
  {
    option: /^--(?:inspect(?:-brk|-brk-node|-wait|-port)?|debug-port|experimental-network-inspection)$/,
    why: 'opens a debugger, by which whoever reaches it has every secret and runs any code',
  },
  { option: /^--insecure-http-parser$/, why: 'makes parsers of HTTP lenient' },
  { option: /^--tls-keylog$/, why: 'writes the keys of TLS connections to a file' },
  {
    option: /^--heapsnapshot-(?:signal|near-heap-limit)$/,
    why: 'writes memory, secrets included, to a file',
  },
  {
    option: /^--report-(?:on-fatalerror|on-signal|uncaught-exception)$/,
    why: 'writes the environment, secrets included, to a file',
  },
  { option: /^--trace-tls$/, why: 'writes what TLS connections carry to standard error' },
  {
    option: /^--experimental-(?:default-)?config-file$/,
    why: 'takes settings from a file, where none of these would be seen',
  },
  { option: /^--tls-cipher-list$/, why: 'changes which ciphers and keys TLS accepts' },
  { option: /^--security-revert$/, why: 'opens a hole in Node that has been closed' },
];

const WITHOUT_EFFECT: readonly Setting[] = [
  { option: /^--tls-min-v1\.[0-2]$/, why: 'has no effect: tls.minVersion of a route decides' },
  { option: /^--use-env-proxy$/, why: 'has no effect: the sidecar dials by itself' },
];

/** Modules of Node whose debug output holds targets, header fields or pieces of bodies. */
const TELLING = /^(?:\*|http2?|https|net|tls|stream)$/i;

/** Of NODE_OPTIONS: separated by spaces, with double quotes round what holds one. */
function split(text: string): string[] {
  return (text.match(/(?:"(?:\\.|[^"\\])*"|[^\s"])+/g) ?? []).map((word) =>
    word.replace(/"((?:\\.|[^"\\])*)"/g, '$1').replace(/\\(.)/g, '$1'),
  );
}

/** Node takes `_` for `-`. */
const nameOf = (word: string): string => (word.split('=', 1)[0] ?? '').replaceAll('_', '-');

/** `execArgv`: the options that Node was started with. */
export function inspectNodeSettings(env: Environment, execArgv: readonly string[]): NodeFindings {
  const refused: string[] = [];
  const warnings: string[] = [];
  const sources = [
    ['NODE_OPTIONS', split(env['NODE_OPTIONS'] ?? '')],
    ['the command line of node', execArgv],
  ] as const;
  for (const [source, words] of sources) {
    for (const name of new Set(words.map(nameOf))) {
      const bad = REFUSED.find(({ option }) => option.test(name));
      if (bad) refused.push(`${name} of ${source} ${bad.why}; remove it`);
      const vain = WITHOUT_EFFECT.find(({ option }) => option.test(name));
      if (vain) warnings.push(`${name} of ${source} ${vain.why}`);
    }
  }
  const telling = (env['NODE_DEBUG'] ?? '').split(',').some((name) => TELLING.test(name.trim()));
  if (telling) refused.push('NODE_DEBUG writes what exchanges carry to standard error; remove it');
  const set = (name: string): boolean => (env[name] ?? '') !== '';
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0')
    warnings.push('NODE_TLS_REJECT_UNAUTHORIZED has no effect: only tls.insecure of a route does that');
  if (set('SSLKEYLOGFILE')) warnings.push('SSLKEYLOGFILE has no effect: keys of TLS are not written');
  if (set('NODE_EXTRA_CA_CERTS'))
    warnings.push('NODE_EXTRA_CA_CERTS is in force: origins are verified by its certificates, too');
  return { refused, warnings };
}
