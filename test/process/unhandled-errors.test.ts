import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { call, RawCaller } from '../support/caller.ts';
import { HttpOrigin } from '../support/origin.ts';
import { outrigger, SidecarProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

const CANARY = 'c4n4ry';
/** Look-ups of names below fault.test go wrong; see there. */
const FAULTS = { NODE_OPTIONS: `--import=${new URL('../support/faults.mjs', import.meta.url).href}` };
const QUICK = 'policy: { timeouts: { dns: 300ms }, retry: { attempts: 1 } }\nshutdown: { quiet: 50ms }';

/** An origin that answers when it is told to. */
async function holding(
  t: TestContext,
): Promise<{ origin: HttpOrigin; answer: () => void; held: ServerResponse[] }> {
  const held: ServerResponse[] = [];
  const origin = await HttpOrigin.start((_request, response) => void held.push(response));
  t.after(() => origin.close());
  return { origin, held, answer: () => held.splice(0).forEach((response) => response.end('whole')) };
}

test('what is thrown on the way of one exchange ends that exchange, and none beside it', async (t) => {
  const { origin, held, answer } = await holding(t);
  const sidecar = await SidecarProcess.start(t, QUICK, { env: FAULTS });
  const beside = Array.from({ length: 60 }, (_, n) => call(sidecar.port, `${origin.url}/${n}`));
  await until(() => held.length === 60, 'the exchanges at the origin');

  const faults: [string, number, string][] = [
    ['throws', 502, 'dns_error'],
    ['later', 504, 'dns_timeout'],
    ['rejects', 504, 'dns_timeout'],
    ['nothing', 504, 'dns_timeout'],
    ['garbage', 504, 'dns_timeout'],
  ];
  for (const [name, status, error] of faults) {
    const response = await call(sidecar.port, `http://${name}.fault.test:${origin.port}/`);
    assert.equal(response.status, status, name);
    assert.match(String(response.headers['proxy-status']), new RegExp(`error=${error}`), name);
    assert.doesNotMatch(response.body.toString(), new RegExp(CANARY));
  }
  const twice = call(sidecar.port, `http://twice.fault.test:${origin.port}/`);
  await until(() => held.length === 61, 'the exchange whose name was answered twice');

  assert.equal(sidecar.running, true);
  answer();
  for (const { status, body } of await Promise.all([...beside, twice]))
    assert.deepEqual([status, body.toString()], [200, 'whole']);
  const { body: metrics } = await sidecar.ask('/metrics');
  assert.match(metrics, /^outrigger_unhandled_errors_total 4$/m);
  assert.match(metrics, /^outrigger_exchanges_in_flight 0$/m);

  sidecar.signal('SIGTERM');
  assert.deepEqual(await sidecar.end(), { code: 0, signal: null });
  const told = sidecar.log.filter(({ msg }) => msg === 'unhandled error');
  assert.deepEqual(
    told.map(({ level, origin: where, cause }) => [level, where, String(cause).split('\n')[0]]),
    [
      ['fatal', 'uncaughtException', 'RangeError [ERR_FAULT]'],
      ['fatal', 'unhandledRejection', 'Error'],
      ['fatal', 'uncaughtException', 'string'],
      ['fatal', 'uncaughtException', 'TypeError'],
    ],
  );
  assert.match(String(told[0]?.['cause']), /\n {4}at .*faults\.mjs/);
  assert.equal(sidecar.exchanges.length, 66);
  assert.doesNotMatch(sidecar.stdout + sidecar.stderr, new RegExp(CANARY));
});

test('a process in which that happens again and again drains and ends with exit code 1', async (t) => {
  const { origin, held, answer } = await holding(t);
  const sidecar = await SidecarProcess.start(t, QUICK, { env: FAULTS });
  const caller = await RawCaller.connect(sidecar.port);
  t.after(() => caller.leave());
  caller.write(`GET ${origin.url}/kept HTTP/1.1\r\nHost: x\r\n\r\n`);
  await until(() => held.length === 1, 'the request at the origin');
  await Promise.all(
    Array.from({ length: 12 }, (_, n) => call(sidecar.port, `http://later.${n}.fault.test:${origin.port}/`)),
  );
  assert.equal((await sidecar.line('draining'))['reason'], 'unhandled errors');
  assert.equal((await sidecar.ask('/readyz')).status, 503);
  answer();
  assert.match(await caller.until((text) => text.includes('whole')), /^HTTP\/1\.1 200 /);
  caller.leave();
  assert.deepEqual(await sidecar.end(), { code: 1, signal: null });
  const told = sidecar.log.filter(({ msg }) => msg === 'unhandled error');
  assert.deepEqual(
    told.map((line) => line['ending']),
    [...Array.from({ length: 9 }, () => false), true],
  );
});

test('a start that stumbles over a bug ends with exit code 1, and its last words have no message', async (t) => {
  const { code, stdout, stderr } = await outrigger(t, ['run'], { env: { ...FAULTS, FAULT_AT_START: '1' } });
  assert.equal(code, 1);
  assert.match(stderr, /^outrigger: .*TypeError \[ERR_FAULT\]\n {4}at /);
  assert.doesNotMatch(stdout + stderr, new RegExp(CANARY));
});
