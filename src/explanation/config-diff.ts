/**
 * What two configurations do differently, key by key, with both values and where each came from. Routes and
 * clients are the same if their names are; a key that a route only inherits is told of where it was written.
 *
 * Rules: of a secret it is said that it changed, and nothing else. Pure.
 */
import type { LoadedConfig } from '../config/assembly.ts';
import { type EffectiveValue, effectiveValues, type Plain, plainText } from '../config/effective-values.ts';
import { locate } from '../config/tree.ts';

interface Side {
  /** A secret is masked. */
  readonly value: Plain;
  readonly from: string;
}

interface KeyChange {
  /** `routes[fraud].policy.timeouts.head`: items of lists by their names. */
  readonly key: string;
  /** Null: the key is new. */
  readonly before: Side | null;
  /** Null: the key is gone. */
  readonly after: Side | null;
  readonly secret: boolean;
  /** Routes that inherit it, and so change with it. */
  readonly routes: readonly string[];
}

/** What became of a route or a client; places count from 0. */
interface ItemChange {
  readonly kind: 'route' | 'client';
  readonly name: string;
  readonly change: 'added' | 'removed' | 'moved';
  readonly before: { readonly index: number; readonly from: string } | null;
  readonly after: { readonly index: number; readonly from: string } | null;
}

export interface ConfigDiff {
  readonly items: readonly ItemChange[];
  readonly keys: readonly KeyChange[];
}

type Loaded = Pick<LoadedConfig, 'config' | 'provenance' | 'written'>;

export function diffConfigs(before: Loaded, after: Loaded): ConfigDiff {
  const items = [
    ...itemChanges('route', before, after),
    // A client has no place in an order, but for those told apart by address.
    ...itemChanges('client', before, after),
  ];
  const [old, now] = [named(before), named(after)];
  const keys: KeyChange[] = [];
  for (const key of new Set([...old.keys(), ...now.keys()])) {
    const [one, other] = [old.get(key), now.get(key)];
    if (one !== undefined && other !== undefined && one.value.is(other.value)) continue;
    if (isOfChangedItem(key, items)) continue;
    // Told of at the default policy, whose key it is.
    if (one?.inherits !== false && other?.inherits !== false && key.startsWith('routes[')) continue;
    keys.push({
      key,
      before: sideOf(one?.value),
      after: sideOf(other?.value),
      secret: one?.value.secret === true || other?.value.secret === true,
      routes: key.startsWith('policy.') ? inheriting(key, old, now) : [],
    });
  }
  return { items, keys };
}

export const isSame = ({ items, keys }: ConfigDiff): boolean => items.length === 0 && keys.length === 0;

interface Named {
  readonly value: EffectiveValue;
  /** It belongs to a route that did not write it. */
  readonly inherits: boolean;
}

/** Every value, by its key with names in the place of numbers. */
function named(loaded: Loaded): Map<string, Named> {
  const { config, written } = loaded;
  const found = new Map<string, Named>();
  for (const value of effectiveValues(loaded).values.values()) {
    const [list, index, third] = value.path;
    // No routes, or no clients: those of the other side are told of by name.
    if ((list === 'routes' || list === 'clients') && index === undefined) continue;
    const isItem = (list === 'routes' || list === 'clients') && typeof index === 'number';
    const name = isItem ? config[list][index]?.name : undefined;
    const key = name === undefined ? value.key : value.key.replace(/^(\w+)\[\d+\]/, `$1[${name}]`);
    // Names are what items are told apart by.
    if (isItem && third === 'name') continue;
    const inherits = list === 'routes' && third === 'policy' && !locate(written, value.path).exact;
    found.set(key, { value, inherits });
  }
  return found;
}

const sideOf = (value: EffectiveValue | undefined): Side | null =>
  value === undefined ? null : { value: value.shown, from: value.from };

/** Routes in both whose own key follows the default policy's. */
function inheriting(key: string, old: ReadonlyMap<string, Named>, now: ReadonlyMap<string, Named>): string[] {
  const end = `].${key}`;
  return [...now].flatMap(([other, { inherits }]) => {
    if (!inherits || !other.startsWith('routes[') || !other.endsWith(end)) return [];
    return old.get(other)?.inherits === true ? [other.slice('routes['.length, -end.length)] : [];
  });
}

function isOfChangedItem(key: string, items: readonly ItemChange[]): boolean {
  return items.some(({ kind, name, change }) => change !== 'moved' && key.startsWith(`${kind}s[${name}].`));
}

function itemChanges(kind: ItemChange['kind'], before: Loaded, after: Loaded): ItemChange[] {
  const list = `${kind}s` as const;
  const places = ({ config, provenance }: Loaded) =>
    new Map(
      config[list].map(({ name }, index) => [
        name,
        { index, from: provenance.get(`${list}[${index}].name`) ?? 'default' },
      ]),
    );
  const [old, now] = [places(before), places(after)];
  const changes: ItemChange[] = [];
  for (const [name, place] of old)
    if (!now.has(name)) changes.push({ kind, name, change: 'removed', before: place, after: null });
  for (const [name, place] of now)
    if (!old.has(name)) changes.push({ kind, name, change: 'added', before: null, after: place });
  const stayed = [...old.keys()].filter((name) => now.has(name));
  const order = [...now.keys()].filter((name) => old.has(name));
  const kept = longestInOrder(order.map((name) => stayed.indexOf(name)));
  for (const [i, name] of order.entries()) {
    if (kept.has(i)) continue;
    changes.push({
      kind,
      name,
      change: 'moved',
      before: old.get(name) ?? null,
      after: now.get(name) ?? null,
    });
  }
  return changes;
}

/** Which of the numbers stay, so that as few as possible have moved: a longest ascending part. */
function longestInOrder(numbers: readonly number[]): Set<number> {
  const best: { length: number; last: number }[] = [];
  for (const [i, number] of numbers.entries()) {
    let found = { length: 1, last: -1 };
    for (let j = 0; j < i; j++) {
      const length = (best[j]?.length ?? 0) + 1;
      if ((numbers[j] as number) < number && length > found.length) found = { length, last: j };
    }
    best.push(found);
  }
  const kept = new Set<number>();
  const longest = Math.max(0, ...best.map(({ length }) => length));
  for (let at = best.findIndex(({ length }) => length === longest); at >= 0; at = best[at]?.last ?? -1)
    kept.add(at);
  return kept;
}

/** One change per line, for people. */
export function diffText({ items, keys }: ConfigDiff): string {
  const lines = items.map(({ kind, name, change, before, after }) => {
    if (change === 'added') return `+ ${kind} ${name} (${after?.from})`;
    if (change === 'removed') return `- ${kind} ${name} (${before?.from})`;
    return `~ ${kind} ${name} moved from place ${(before?.index ?? 0) + 1} (${before?.from}) to ${(after?.index ?? 0) + 1} (${after?.from})`;
  });
  for (const { key, before, after, secret, routes } of keys) {
    const side = (it: Side | null): string =>
      it === null ? 'nothing' : `${plainText(it.value)} (${it.from})`;
    const what = secret
      ? `a secret, changed (${before?.from ?? 'nothing'} -> ${after?.from ?? 'nothing'})`
      : `${side(before)} -> ${side(after)}`;
    const also = routes.length === 0 ? '' : `; inherited by ${someOf(routes)}`;
    lines.push(`~ ${key}: ${what}${also}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** So many are named. */
const NAMED_MAX = 10;

const someOf = (names: readonly string[]): string =>
  names.length <= NAMED_MAX
    ? names.join(', ')
    : `${names.slice(0, NAMED_MAX).join(', ')} and ${names.length - NAMED_MAX} more`;
