/**
 * Which exchanges of a log would be treated otherwise by another configuration: with another route, by another
 * way, with another policy, or refused where they passed and the other way round.
 *
 * Rules: both configurations are asked about the same request, which is put together again from its line; what
 * a log does not tell (headers, the moment) is no part of the comparison. What is kept is bounded, however long the
 * log. It reads no file.
 */
import type { Route } from '../policy/policy.ts';
import { SecretText } from '../policy/secret-text.ts';
import type { Decider, Decision } from './decider.ts';

/** The fields of a log line that say what was asked for. */
export interface LoggedLine {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly via: string;
  readonly route: string;
  readonly clientName: string | null;
  readonly attempts: readonly { readonly address?: unknown }[];
}

/** What is different about a group of exchanges. */
export interface Effect {
  readonly what: 'route' | 'way' | 'policy' | 'refused now' | 'allowed now';
  readonly before: string;
  readonly after: string;
  readonly count: number;
  /** A few of them. */
  readonly examples: readonly string[];
}

export interface ReplayReport {
  /** Exchanges that were compared. */
  readonly exchanges: number;
  /** Lines that are no exchange, or say too little. */
  readonly skipped: number;
  /** Exchanges that are treated otherwise. */
  readonly changed: number;
  /** Exchanges of which the log names another route than the old configuration does. */
  readonly strangers: number;
  /** The most frequent first. */
  readonly effects: readonly Effect[];
}

/** So many groups are told apart, and so many exchanges of each are named. */
const EFFECTS_MAX = 100;
const EXAMPLES_MAX = 5;

interface Group {
  readonly what: Effect['what'];
  readonly before: string;
  readonly after: string;
  count: number;
  readonly examples: Set<string>;
}

export class LogReplay {
  readonly #before: Decider;
  readonly #after: Decider;
  readonly #groups = new Map<string, Group>();
  readonly #policies = new Map<string, boolean>();
  #exchanges = 0;
  #skipped = 0;
  #changed = 0;
  #strangers = 0;

  constructor(before: Decider, after: Decider) {
    this.#before = before;
    this.#after = after;
  }

  /** One line of the log, without its newline. */
  take(text: string): void {
    const line = readLine(text);
    const asked = line && this.#askedBy(line);
    if (line === null || asked === null) {
      if (text.trim() !== '') this.#skipped++;
      return;
    }
    this.#exchanges++;
    const before = outcomeOf(this.#before, line, asked);
    const after = outcomeOf(this.#after, line, asked);
    if (before.route.name !== line.route) this.#strangers++;
    const found = this.#compare(before, after);
    if (found === null) return;
    this.#changed++;
    const [what, one, other] = found;
    const key = JSON.stringify(found);
    let group = this.#groups.get(key);
    if (group === undefined) {
      if (this.#groups.size >= EFFECTS_MAX) return;
      group = { what, before: one, after: other, count: 0, examples: new Set() };
      this.#groups.set(key, group);
    }
    group.count++;
    if (group.examples.size < EXAMPLES_MAX) group.examples.add(`${line.method} ${asked}`);
  }

  report(): ReplayReport {
    const effects = [...this.#groups.values()]
      .sort((a, b) => b.count - a.count)
      .map(({ examples, ...group }) => ({ ...group, examples: [...examples] }));
    return {
      exchanges: this.#exchanges,
      skipped: this.#skipped,
      changed: this.#changed,
      strangers: this.#strangers,
      effects,
    };
  }

  /** What the caller wrote; null: it cannot be told. */
  #askedBy({ method, scheme, host, port, path, via, route }: LoggedLine): string | null {
    const name = host.includes(':') ? `[${host}]` : host;
    if (method === 'CONNECT') return `${name}:${port}`;
    if (via === 'prefix') {
      const { prefix, origin } = this.#before.routes.find((it) => it.name === route) ?? {};
      // Another route has taken what came by the prefix of one that is not named here.
      if (!prefix || !origin || !path.startsWith(origin.basePath)) return null;
      return `${prefix === '/' ? '' : prefix}${path.slice(origin.basePath.length)}`;
    }
    if (via === 'intercept') return path;
    if (via === 'originate') return `http://${name}${port === 443 ? '' : `:${port}`}${path}`;
    return via === 'forward' ? `${scheme}://${name}:${port}${path}` : null;
  }

  #compare(before: Outcome, after: Outcome): [Effect['what'], string, string] | null {
    if (before.refusal !== after.refusal) {
      if (after.refusal !== null && before.refusal === null)
        return [
          'refused now',
          `route ${before.route.name}`,
          `${after.refusal}, by route ${after.route.name}`,
        ];
      if (after.refusal === null && before.refusal !== null)
        return [
          'allowed now',
          `${before.refusal}, by route ${before.route.name}`,
          `route ${after.route.name}`,
        ];
    }
    if (before.route.name !== after.route.name) return ['route', before.route.name, after.route.name];
    if (before.way !== after.way) return ['way', before.way, after.way];
    if (!this.#samePolicy(before.route, after.route))
      return ['policy', `route ${before.route.name}`, `route ${after.route.name}`];
    return null;
  }

  /** By what it does, not by where it stands. */
  #samePolicy(before: Route, after: Route): boolean {
    let same = this.#policies.get(before.name);
    if (same === undefined) {
      same = identity(policyOf(before)) === identity(policyOf(after));
      this.#policies.set(before.name, same);
    }
    return same;
  }
}

const policyOf = ({ policy, tls, http2, credentials, addresses }: Route): object => ({
  policy,
  tls,
  http2,
  credentials,
  // Its key is a name.
  addresses: addresses && [addresses.allow, addresses.deny],
});

/** Secrets are compared by what they are, for the numbers of two configurations have nothing in common. */
function identity(value: object): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, plain: unknown) {
    const written = this[key];
    return written instanceof SecretText ? [written.files, written.value] : plain;
  });
}

interface Outcome {
  readonly route: Route;
  readonly way: string;
  /** The row of the error table; null: it passes. */
  readonly refusal: string | null;
}

function outcomeOf(decider: Decider, line: LoggedLine, asked: string): Outcome {
  const decision = decide(decider, line, asked);
  const { route, via, target, refusal } = decision;
  const inside = line.method === 'CONNECT' && refusal === null ? decider.tlsInside(decision).refusal : null;
  const error = refusal ?? inside;
  let name: string | null = error?.name ?? null;
  if (name === null && target !== null) {
    // The addresses that were dialled then.
    const denied = line.attempts.some(
      ({ address }) =>
        typeof address === 'string' && decider.addressRefusal(bare(address), target.port, route) !== null,
    );
    if (denied) name = 'address_denied';
  }
  const base = via === 'prefix' ? (route.origin?.basePath ?? '') : '';
  return { route, way: `${via} to ${target?.origin ?? 'nowhere'}${base}`, refusal: name };
}

function decide(
  decider: Decider,
  { method, host, port, via, clientName }: LoggedLine,
  asked: string,
): Decision {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (method === 'CONNECT') return decider.connect(asked, clientName);
  if (via !== 'intercept') return decider.request(method, asked, clientName);
  const connect = decider.connect(authority, clientName);
  // Where there is no interception any more, the request is one with its tunnel.
  const seen = connect.refusal === null && connect.via === 'intercept';
  return seen ? decider.inside(method, asked, connect) : connect;
}

const bare = (address: string): string => address.replace(/^\[|\]$/g, '');

function readLine(text: string): LoggedLine | null {
  let line: Partial<Record<keyof LoggedLine | 'msg', unknown>>;
  try {
    line = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof line !== 'object' || line === null || line.msg !== 'exchange') return null;
  const { method, scheme, host, port, path, via, route, clientName = null, attempts = [] } = line;
  if (scheme !== 'http' && scheme !== 'https') return null;
  if (typeof method !== 'string' || typeof host !== 'string' || typeof port !== 'number') return null;
  if (typeof path !== 'string' || typeof via !== 'string' || typeof route !== 'string') return null;
  if (clientName !== null && typeof clientName !== 'string') return null;
  if (!Array.isArray(attempts)) return null;
  const known = attempts.filter((it) => typeof it === 'object' && it !== null);
  return { method, scheme, host, port, path, via, route, clientName, attempts: known };
}

/** For people. */
export function replayText({ exchanges, skipped, changed, strangers, effects }: ReplayReport): string {
  const lines = [`${changed} of ${exchanges} exchanges of the log would be treated otherwise`];
  if (strangers > 0)
    lines.push(`${strangers} of them have another route in the log than the old configuration gives them`);
  if (skipped > 0) lines.push(`${skipped} lines are no exchange, or say too little`);
  for (const { what, before, after, count, examples } of effects) {
    lines.push(`${String(count).padStart(7)}  ${what}: ${before}${before === after ? '' : ` -> ${after}`}`);
    for (const example of examples) lines.push(`           ${example.slice(0, 200)}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}
