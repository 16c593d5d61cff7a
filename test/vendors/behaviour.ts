/**
 * What a vendor does, as values: a named behaviour with its settings, from a text such as
 * `flaky,share=0.3,status=500`, so that a shell, a Python program and a test say it in the same way.
 *
 * Rules: every setting has a value in every behaviour, so that they combine (`rate-limiting,latencyMs=80,
 * tailShare=0.01`); a text with an unknown name or setting is an error; units are in names. Knows no sockets.
 */

/** What can befall a request after the vendor has read it. */
export const FAULTS = [
  'hang',
  'error',
  'reset',
  'reset-within',
  'truncate',
  'truncate-chunked',
  'html',
  'half-close',
  'close-after',
  'slow-bytes',
] as const;
export type Fault = (typeof FAULTS)[number];

/** What becomes of requests that hang when the vendor changes: they are answered, reset, or hang on. */
const RELEASES = ['answer', 'reset', 'keep'] as const;

export interface Behaviour {
  readonly name: string;
  /** Closed: connections are refused, and those that were open are reset. */
  readonly listening: boolean;
  /** From the request read to the answer: uniform in latencyMs ± spreadMs, and for tailShare of them tailMs. */
  readonly latencyMs: number;
  readonly spreadMs: number;
  readonly tailShare: number;
  readonly tailMs: number;
  /** Requests per second that are answered, `burst` of them at once; the rest are told 429. 0: no limit. */
  readonly rate: number;
  readonly burst: number;
  /** Said in Retry-After; 0: the seconds until there is a token, at least 1. */
  readonly retryAfterS: number;
  /** The share of requests that meet one of `faults`. */
  readonly share: number;
  readonly faults: readonly Fault[];
  /** Of `error`; several are taken by lot. */
  readonly status: readonly number[];
  /** Between two bytes of `slow-bytes`. */
  readonly stepMs: number;
  readonly release: (typeof RELEASES)[number];
}

const HEALTHY: Behaviour = {
  name: 'healthy',
  listening: true,
  latencyMs: 20,
  spreadMs: 5,
  tailShare: 0,
  tailMs: 1_000,
  rate: 0,
  burst: 10,
  retryAfterS: 0,
  share: 0,
  faults: [],
  status: [503, 500],
  stepMs: 50,
  release: 'answer',
};

const BEHAVIOURS: Readonly<Record<string, Partial<Behaviour>>> = {
  healthy: {},
  slow: { latencyMs: 3_000, spreadMs: 500 },
  hanging: { share: 1, faults: ['hang'] },
  flaky: { share: 0.3, faults: ['error'] },
  'rate-limiting': { rate: 20 },
  resetting: { share: 1, faults: ['reset', 'reset-within'] },
  truncating: { share: 1, faults: ['truncate', 'truncate-chunked'] },
  'non-json': { share: 1, faults: ['html'] },
  'long-tail': { tailShare: 0.01 },
  down: { listening: false },
  'half-closed': { share: 1, faults: ['half-close'] },
  'slow-bytes': { share: 1, faults: ['slow-bytes'] },
};
export const BEHAVIOUR_NAMES = Object.keys(BEHAVIOURS);

function numberOf(key: string, value: string): number {
  const number = Number(value);
  if (value === '' || !Number.isFinite(number) || number < 0) throw new Error(`${key}=${value} is no number`);
  return number;
}

function oneOf<T extends string>(key: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new Error(`${key}=${value}: it is one of ${known.join(', ')}`);
  return found;
}

function settingOf(key: string, value: string): Partial<Behaviour> {
  if (key === 'faults') return { faults: value.split('+').map((one) => oneOf(key, one, FAULTS)) };
  if (key === 'status') return { status: value.split('+').map((one) => numberOf(key, one)) };
  if (key === 'release') return { release: oneOf(key, value, RELEASES) };
  if (key in HEALTHY && typeof HEALTHY[key as keyof Behaviour] === 'number')
    return { [key]: numberOf(key, value) };
  throw new Error(`${key} is no setting of a behaviour`);
}

/** `NAME` or `NAME,SETTING=VALUE,...`; several faults or statuses are joined by `+`. */
export function readBehaviour(text: string): Behaviour {
  const [name = '', ...settings] = text.trim().split(',');
  const named = BEHAVIOURS[name];
  if (named === undefined)
    throw new Error(`"${name}" is no behaviour: it is one of ${BEHAVIOUR_NAMES.join(', ')}`);
  const said = settings.map((one) => {
    const [key = '', value = ''] = one.split('=');
    return settingOf(key, value);
  });
  return Object.assign({}, HEALTHY, named, ...said, { name: text.trim() }) as Behaviour;
}
