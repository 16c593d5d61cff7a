/** Reads Prometheus' text format as strictly as its documentation, for the tests of the metrics. */
import assert from 'node:assert/strict';

export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Exposition {
  /** Type by name. */
  readonly families: ReadonlyMap<string, string>;
  readonly samples: readonly ReadSample[];
  readonly series: (name: string) => ReadSample[];
  /** Undefined: there is no such series. */
  readonly value: (name: string, labels: Readonly<Record<string, string>>) => number | undefined;
}

const SAMPLE =
  /^([a-z_]\w*)(?:\{((?:[a-z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[\d.e+-]+|[+-]Inf|NaN|Nan)$/i;
const LABEL = /([a-z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"/gi;

const unescaped = (value: string): string =>
  value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
/** Labels mean the same in every order. */
const key = (name: string, labels: Readonly<Record<string, string>>): string =>
  JSON.stringify([
    name,
    Object.keys(labels)
      .toSorted((a, b) => a.localeCompare(b))
      .map((k) => [k, labels[k]]),
  ]);

export function expositionOf(text: string): Exposition {
  assert.ok(text.endsWith('\n'));
  const families = new Map<string, string>();
  const samples: ReadSample[] = [];
  const byKey = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    if (line.startsWith('# TYPE ')) {
      const [, , name = '', type = ''] = line.split(' ');
      assert.ok(!families.has(name), `${name} is there twice`);
      families.set(name, type);
      continue;
    }
    const [, name = '', labelText = '', value = ''] =
      SAMPLE.exec(line) ?? assert.fail(`not a sample: ${line}`);
    const labels = Object.fromEntries(
      [...labelText.matchAll(LABEL)].map(([, k, v]) => [k, unescaped(v as string)]),
    );
    assert.ok(
      families.has(name) || families.has(name.replace(/_(bucket|sum|count)$/, '')),
      `${name} has no type`,
    );
    assert.ok(!byKey.has(key(name, labels)), `the same series twice: ${line}`);
    byKey.set(key(name, labels), Number(value));
    samples.push({ name, labels, value: Number(value) });
  }
  checkHistograms(families, samples);
  return {
    families,
    samples,
    series: (name) => samples.filter((sample) => sample.name === name),
    value: (name, labels) => byKey.get(key(name, labels)),
  };
}

/** Buckets are cumulative, and the last of them is the count. */
function checkHistograms(families: ReadonlyMap<string, string>, samples: readonly ReadSample[]): void {
  for (const [name, type] of families) {
    if (type !== 'histogram') continue;
    let last = 0;
    for (const { name: part, labels, value } of samples) {
      if (part === `${name}_bucket`) {
        assert.ok(value >= last, `${part} falls`);
        last = labels['le'] === '+Inf' ? value : Math.max(last, value);
      } else if (part === `${name}_count`) {
        assert.equal(value, last, `${part} is the last bucket`);
        last = 0;
      }
    }
  }
}
