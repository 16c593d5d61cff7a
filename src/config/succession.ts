/**
 * A configuration in the place of another, in one process: what both have in common is the same object, so that
 * state which is kept by identity (circuits, tokens, connections of a route) lives on; what is new has names
 * of its own, so that no state is taken for another's.
 *
 * Rules: values are compared whole, from their leaves up; a holder of a secret stays, and what its files hold now is
 * put into it with the change and not before; the exceptions of a route to the address guard are part of the key
 * of connections, so a name that meant other lists before is not used again. Nothing changes before `settle`.
 */
import type { Route, RouteAddresses } from '../policy/policy.ts';
import { SecretText } from '../policy/secret-text.ts';
import type { Config } from './config.ts';

export interface Succession {
  readonly config: Config;
  /** The change has happened: secrets hold what was read with it. */
  settle(): void;
}

/** The first of all: what is equal within it is the same object, as in those that come after it. */
export function unite(config: Config): Config {
  return new Parts(new Holders([], config.secrets)).joined(config) as Config;
}

/**
 * @param before came of `unite`, or of this
 * @param generation tells this configuration from all before it; part of names that would mean two things
 */
export function succeed(before: Config, after: Config, generation: number): Succession {
  const named = { ...after, routes: nameAddresses(before.routes, after.routes, generation) };
  const holders = new Holders(before.secrets, after.secrets);
  const parts = new Parts(holders);
  parts.note(before);
  return { config: parts.joined(named) as Config, settle: () => holders.settle() };
}

/** Texts of the same files are the same holder. */
class Holders {
  readonly #of = new Map<SecretText, SecretText>();
  readonly #kept: (readonly [SecretText, string])[] = [];

  constructor(before: readonly SecretText[], after: readonly SecretText[]) {
    const known = new Map(before.map((text) => [text.source, text]));
    for (const text of after) {
      const kept = known.get(text.source);
      this.#of.set(text, kept ?? text);
      if (kept !== undefined) this.#kept.push([kept, text.value]);
    }
  }

  of(text: SecretText): SecretText {
    return this.#of.get(text) ?? text;
  }

  settle(): void {
    for (const [holder, value] of this.#kept) if (holder.value !== value) holder.renew(value);
  }
}

/** The parts of a configuration, each value once. */
class Parts {
  readonly #holders: Holders;
  readonly #known = new Map<string, object>();
  readonly #numbers = new Map<object, number>();

  constructor(holders: Holders) {
    this.#holders = holders;
  }

  /** What it consists of stays as it is, and is what equal values become. */
  note(value: unknown): void {
    if (typeof value !== 'object' || value === null || this.#numbers.has(value)) return;
    if (value instanceof SecretText) {
      this.#number(value);
      return;
    }
    for (const part of Object.values(value)) this.note(part);
    const key = this.#keyOf(value);
    const same = this.#known.get(key);
    if (same !== undefined) {
      this.#numbers.set(value, this.#numbers.get(same) as number);
      return;
    }
    this.#known.set(key, value);
    this.#number(value);
  }

  /** The value, made of parts that are known as far as there are any. */
  joined(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof SecretText) {
      const holder = this.#holders.of(value);
      this.#number(holder);
      return holder;
    }
    const whole = Array.isArray(value)
      ? value.map((part) => this.joined(part))
      : Object.fromEntries(Object.entries(value).map(([name, part]) => [name, this.joined(part)]));
    const key = this.#keyOf(whole);
    const same = this.#known.get(key);
    if (same !== undefined) return same;
    this.#known.set(key, Object.freeze(whole));
    this.#number(whole);
    return whole;
  }

  #number(value: object): void {
    if (!this.#numbers.has(value)) this.#numbers.set(value, this.#numbers.size);
  }

  /** Its parts have numbers. */
  #keyOf(value: object): string {
    const part = (it: unknown): string =>
      typeof it === 'object' && it !== null ? `#${this.#numbers.get(it)}` : JSON.stringify(it);
    return Array.isArray(value)
      ? `[${value.map(part).join()}]`
      : `{${Object.entries(value)
          .map(([name, it]) => `${JSON.stringify(name)}:${part(it)}`)
          .join()}}`;
  }
}

const listsOf = ({ allow, deny }: RouteAddresses): string => JSON.stringify([allow, deny]);

/** Equal lists keep their key, whatever route they have now; other lists get one that was never there. */
function nameAddresses(before: readonly Route[], after: readonly Route[], generation: number): Route[] {
  const known = new Map<string, RouteAddresses>();
  for (const { addresses } of before) if (addresses !== null) known.set(listsOf(addresses), addresses);
  return after.map((route) => {
    const { addresses } = route;
    if (addresses === null) return route;
    const lists = listsOf(addresses);
    let named = known.get(lists);
    if (named === undefined) {
      const key = `${addresses.key}~${generation}`;
      const { denials } = addresses;
      named = { ...addresses, key, denials: denials && { ...denials, key: `${key}!` } };
      known.set(lists, named);
    }
    return { ...route, addresses: named };
  });
}
