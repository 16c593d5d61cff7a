/**
 * A service that scores the risk of a payment: it asks all vendors at once, and makes a score of what they say.
 *
 * It is written as many are, and has the one fault that the incident was made of: all calls share a pool of 20, as
 * aiohttp's `TCPConnector(limit=20)`, and no call has a timeout. For the rest it means well: it gives its vendors a
 * second, scores with what it has, and is content with three signals of five. It knows nothing of a sidecar but what
 * Node's own agent takes from HTTP_PROXY.
 *
 * `POST /score` with X-Score-Id. Standard output tells of every call that ended, for the figures of the demo, and of
 * the pool. It ends with its standard input.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const POOL = 20;
const VENDORS_HAVE_MS = 1_000;
const SIGNALS_NEEDED = 3;
const REPORT_EVERY_MS = 250;

/** Lookups are GET; what a vendor is told for good, and may bill, is POST. */
const OPERATIONS = new Set(['device', 'velocity']);

const vendors = Object.entries(JSON.parse(process.env['VENDORS'] ?? '{}') as Record<string, string>);
const { HTTP_PROXY } = process.env;
// NO_PROXY is left out: it spares this machine, and the vendors of the demo are on it.
const agent = new Agent({
  keepAlive: true,
  ...(HTTP_PROXY === undefined ? {} : { proxyEnv: { HTTP_PROXY } }),
});

/** So many calls at once, to whomever; the others wait in line. */
const pool = {
  used: 0,
  waiting: [] as (() => void)[],
  async take(): Promise<void> {
    if (this.used < POOL) this.used++;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
  },
  give(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.used--;
    else next();
  },
};

const tell = (what: Readonly<Record<string, unknown>>): boolean =>
  process.stdout.write(`${JSON.stringify(what)}\n`);

async function ask(vendor: string, url: string, payment: string): Promise<number> {
  const method = OPERATIONS.has(vendor) ? 'POST' : 'GET';
  const headers = { 'Content-Type': 'application/json', 'X-Request-Id': randomUUID() };
  const outgoing = request(`${url}/v1/score?payment=${payment}`, { method, headers, agent });
  outgoing.end(method === 'POST' ? JSON.stringify({ payment }) : undefined);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  return Number(JSON.parse(text).score);
}

/** One call, from the wish to the last byte, told when it is over. */
async function signal(vendor: string, url: string, id: string): Promise<number> {
  const before = performance.now();
  let ok = false;
  await pool.take();
  try {
    const score = await ask(vendor, url, id);
    ok = true;
    return score;
  } finally {
    pool.give();
    tell({ vendor, score: Number(id), ms: Math.round(performance.now() - before), ok });
  }
}

async function score(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  incoming.resume();
  const id = String(incoming.headers['x-score-id']);
  const signals: number[] = [];
  const calls = vendors.map(async ([vendor, url]) => signals.push(await signal(vendor, url, id)));
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, VENDORS_HAVE_MS);
  await Promise.race([Promise.allSettled(calls), late]);
  clearTimeout(timer);
  const enough = signals.length >= SIGNALS_NEEDED;
  const mean = signals.reduce((sum, one) => sum + one, 0) / signals.length;
  response.writeHead(enough ? 200 : 503, { 'Content-Type': 'application/json' });
  response.end(
    JSON.stringify(enough ? { score: mean, signals: signals.length } : { error: 'too few signals' }),
  );
}

const server = createServer((incoming, response) => void score(incoming, response));
server.listen(0, '127.0.0.1', () => tell({ port: (server.address() as AddressInfo).port }));
setInterval(() => tell({ used: pool.used, waiting: pool.waiting.length }), REPORT_EVERY_MS);

const end = (): void => process.exit(0);
process.once('SIGTERM', end);
process.stdin.resume().once('end', end);
