/** The vendors do what they are told to, as seen on the wire, and count what is done to them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { makeCertificates } from '../support/certificates.ts';
import { endWith } from '../support/process.ts';
import { until } from '../support/until.ts';
import { BEHAVIOUR_NAMES, readBehaviour } from './behaviour.ts';
import { Vendor, type VendorOptions } from './vendor.ts';
import { Vendors } from './vendors.ts';

async function start(t: TestContext, behaviour: string, more: Partial<VendorOptions> = {}): Promise<Vendor> {
  const vendor = await Vendor.start({ name: 'device', behaviour, ...more });
  t.after(() => vendor.close());
  return vendor;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

interface Question {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly agent?: Agent | false;
}

async function ask(url: string, question: Question = {}): Promise<Answer> {
  const { method = 'GET', headers = {}, body, agent = false } = question;
  const outgoing = request(url, { method, headers, agent });
  // The response tells what comes after its head.
  outgoing.on('error', () => {});
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, body: text };
}

/** The error of a call that fails. */
async function failure(url: string): Promise<string> {
  const error = await ask(url).then(
    ({ body }) => assert.fail(`answered: ${body}`),
    (thrown: NodeJS.ErrnoException) => thrown,
  );
  return error.code ?? error.message;
}

const post = (key: Readonly<Record<string, string>>): Question => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json', ...key },
  body: '{"amount":12}',
});

test('a healthy vendor answers each question in JSON, always alike, after its latency', async (t) => {
  const vendor = await start(t, 'healthy,latencyMs=40,spreadMs=5');
  const before = performance.now();
  const first = await ask(`${vendor.url}/v1/score`, post({}));
  // Timers count whole milliseconds.
  assert.ok(performance.now() - before >= 34);
  assert.equal(first.headers['content-type'], 'application/json');
  const { score, decision, signals } = JSON.parse(first.body);
  assert.ok(score >= 0 && score <= 1);
  assert.match(decision, /^(?:approve|review|decline)$/);
  assert.equal(signals.length, 3);
  assert.equal((await ask(`${vendor.url}/v1/score`, post({}))).body, first.body);
});

test('connections are kept alive, and counted as accepted, open and most ever', async (t) => {
  const vendor = await start(t, 'healthy');
  const agent = new Agent({ keepAlive: true });
  for (let i = 0; i < 3; i++) await ask(vendor.url, { agent });
  assert.deepEqual(vendor.snapshot().connections, { accepted: 1, open: 1, openMost: 1 });
  await Promise.all([ask(vendor.url), ask(vendor.url), ask(vendor.url, { agent })]);
  assert.equal(vendor.snapshot().connections.openMost, 3);
  agent.destroy();
  await until(() => vendor.snapshot().connections.open === 0, 'all connections to be gone');
  assert.equal(vendor.snapshot().connections.accepted, 3);
  assert.ok(vendor.snapshot().bytes.out > 6 * 100);
});

test('what hangs is answered when the vendor returns', async (t) => {
  const vendor = await start(t, 'hanging');
  const answer = ask(vendor.url);
  await until(() => vendor.snapshot().requests.inFlight === 1, 'the request to hang');
  await vendor.behave('healthy');
  assert.equal((await answer).status, 200);
  await until(() => vendor.snapshot().requests.inFlight === 0, 'nothing to hang');
});

test('what hangs is reset when the vendor returns, where it is told so', async (t) => {
  const vendor = await start(t, 'hanging,release=reset');
  const ended = failure(vendor.url);
  await until(() => vendor.snapshot().requests.inFlight === 1, 'the request to hang');
  await vendor.behave('healthy');
  assert.equal(await ended, 'ECONNRESET');
});

test('a flaky vendor fails its share, the same ones with the same seed', async (t) => {
  const run = async (seed: number): Promise<string> => {
    const vendor = await start(t, 'flaky,share=0.3,latencyMs=0,spreadMs=0', { seed });
    const agent = new Agent({ keepAlive: true });
    const statuses: number[] = [];
    for (let i = 0; i < 200; i++) statuses.push((await ask(vendor.url, { agent })).status);
    agent.destroy();
    const failed = statuses.filter((status) => status !== 200).length;
    assert.ok(failed > 40 && failed < 80, `${failed} of 200`);
    assert.deepEqual(new Set(statuses), new Set([200, 500, 503]));
    assert.equal(vendor.snapshot().requests.faulty, failed);
    return statuses.join();
  };
  assert.equal(await run(5), await run(5));
  assert.notEqual(await run(5), await run(6));
});

test('a rate-limiting vendor says 429 with Retry-After beyond its rate, and counts who does not wait', async (t) => {
  const vendor = await start(t, 'rate-limiting,rate=0.01,burst=3,latencyMs=0,spreadMs=0');
  const answers: Answer[] = [];
  for (let i = 0; i < 5; i++) answers.push(await ask(vendor.url));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 429, 429],
  );
  // A hundred seconds for a token, less what has passed.
  const retryAfterS = Number(answers[3]?.headers['retry-after']);
  assert.ok(retryAfterS > 60 && retryAfterS <= 100, `${retryAfterS}`);
  assert.equal(vendor.snapshot().requests.limited, 2);
  assert.equal(vendor.snapshot().requests.early, 1);
});

test('a resetting vendor resets, before the head and within the body', async (t) => {
  const vendor = await start(t, 'resetting,faults=reset,latencyMs=0');
  assert.equal(await failure(vendor.url), 'ECONNRESET');
  await vendor.behave('resetting,faults=reset-within,latencyMs=0');
  assert.equal(await failure(vendor.url), 'ECONNRESET');
  assert.equal(vendor.snapshot().requests.faulty, 2);
});

test('a truncating vendor closes before the end that it announced, of either framing', async (t) => {
  for (const fault of ['truncate', 'truncate-chunked']) {
    const vendor = await start(t, `truncating,faults=${fault},latencyMs=0`);
    assert.equal(await failure(vendor.url), 'ECONNRESET', fault);
  }
});

test('a vendor that is not JSON sends a page of HTML with 200', async (t) => {
  const vendor = await start(t, 'non-json');
  const { status, body, headers } = await ask(vendor.url);
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  assert.throws(() => JSON.parse(body));
});

test('a long tail is slow for its share', async (t) => {
  const vendor = await start(t, 'long-tail,tailShare=0.1,tailMs=1000,latencyMs=1,spreadMs=0');
  const took = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const before = performance.now();
      await ask(vendor.url);
      return performance.now() - before;
    }),
  );
  const slow = took.filter((ms) => ms >= 999).length;
  assert.ok(slow >= 1 && slow <= 18, `${slow} of 60`);
});

test('a vendor that is down refuses connections, and comes back at the same place', async (t) => {
  const vendor = await start(t, 'healthy');
  const { url } = vendor;
  await vendor.behave('down');
  assert.equal(await failure(url), 'ECONNREFUSED');
  await vendor.behave('healthy');
  assert.equal(vendor.url, url);
  assert.equal((await ask(url)).status, 200);
});

test('going down resets what is open', async (t) => {
  const vendor = await start(t, 'hanging');
  const ended = failure(vendor.url);
  await until(() => vendor.snapshot().requests.inFlight === 1, 'the request to hang');
  await vendor.behave('down');
  assert.equal(await ended, 'ECONNRESET');
  await until(() => vendor.snapshot().connections.open === 0, 'no connection to be open');
});

test('a half-closed vendor sends its FIN in the place of an answer, and goes on reading', async (t) => {
  const vendor = await start(t, 'half-closed,latencyMs=0');
  const { hostname, port } = new URL(vendor.url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  socket.write('GET / HTTP/1.1\r\nHost: vendor\r\n\r\n');
  let received = '';
  socket.on('data', (data: Buffer) => (received += data));
  await once(socket, 'end');
  assert.equal(received, '');
  assert.equal(vendor.snapshot().connections.open, 1);
  socket.destroy();
  await until(() => vendor.snapshot().connections.open === 0, 'the connection to be gone');
});

test('slow bytes come one at a time, and are whole in the end', async (t) => {
  const vendor = await start(t, 'slow-bytes,stepMs=1,latencyMs=0');
  let pieces = 0;
  const outgoing = request(vendor.url, { agent: false });
  outgoing.end();
  const [response] = await once(outgoing, 'response');
  let body = '';
  for await (const chunk of response) {
    pieces++;
    body += chunk;
  }
  assert.ok(pieces > 50, `${pieces} pieces`);
  assert.equal(JSON.parse(body).vendor, 'device');
});

test('records come in pages with a next link until the last', async (t) => {
  const vendor = await start(t, 'healthy,latencyMs=0', { records: 120 });
  const seen = new Set<string>();
  let pages = 0;
  let path: string | null = '/v1/records?page=1&size=50';
  while (path !== null) {
    const { body, headers } = await ask(`${vendor.url}${path}`);
    const page = JSON.parse(body);
    pages++;
    for (const { id } of page.items) seen.add(id);
    assert.equal(headers['link'], page.next === null ? undefined : `<${page.next}>; rel="next"`);
    path = page.next;
  }
  assert.equal(pages, 3);
  assert.equal(seen.size, 120);
});

test('an operation with an Idempotency-Key is carried out once; one without that comes again is a duplicate', async (t) => {
  const vendor = await start(t, 'healthy,latencyMs=0');
  for (let i = 0; i < 3; i++) await ask(vendor.url, post({ 'Idempotency-Key': 'a' }));
  const once = { keys: 1, effects: 1, repeats: 2, duplicates: 0, doubled: 0, unkeyed: 0 };
  assert.deepEqual(vendor.snapshot().operations, once);
  for (let i = 0; i < 2; i++) await ask(vendor.url, post({ 'X-Request-Id': 'b' }));
  await ask(vendor.url, post({}));
  const { keys, effects, duplicates, doubled, unkeyed } = vendor.snapshot().operations;
  assert.deepEqual([keys, effects, duplicates, doubled, unkeyed], [2, 2, 1, 1, 1]);
});

test('what a vendor refuses has no effect, and what it does without an answer has one', async (t) => {
  const vendor = await start(t, 'flaky,share=1,latencyMs=0');
  await ask(vendor.url, post({ 'Idempotency-Key': 'a' }));
  assert.equal(vendor.snapshot().operations.effects, 0);
  await vendor.behave('resetting,faults=reset,latencyMs=0');
  await assert.rejects(ask(vendor.url, post({ 'Idempotency-Key': 'a' })));
  assert.equal(vendor.snapshot().operations.effects, 1);
});

test('with a certificate a vendor speaks TLS, and another one can take its place', async (t) => {
  const certificates = makeCertificates();
  if (certificates === null) {
    t.skip('needs openssl (Debian: openssl)');
    return;
  }
  const vendor = await start(t, 'healthy', { tls: certificates.wrongHost });
  const secure = async (): Promise<number> => {
    const outgoing = secureRequest(vendor.url, { ca: certificates.ca, agent: false });
    outgoing.end();
    const [response] = await once(outgoing, 'response');
    response.resume();
    return response.statusCode;
  };
  await assert.rejects(secure(), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  vendor.present(certificates.good);
  assert.equal(await secure(), 200);
});

test('a behaviour that is misspelt is refused by name', () => {
  for (const name of BEHAVIOUR_NAMES) assert.equal(readBehaviour(name).name, name);
  assert.throws(() => readBehaviour('hangin'), /"hangin" is no behaviour/);
  assert.throws(() => readBehaviour('slow,latency=2'), /latency is no setting/);
  assert.throws(() => readBehaviour('slow,latencyMs=soon'), /is no number/);
  assert.throws(() => readBehaviour('flaky,faults=hang+explode'), /it is one of/);
});

test('over the control port a vendor is changed, read and made to forget', async (t) => {
  const vendors = await Vendors.start([{ name: 'device' }, { name: 'identity' }]);
  t.after(() => vendors.close());
  const control = vendors.controlUrl;
  await ask(`${vendors.urls['device']}/v1/score`, post({ 'X-Request-Id': 'a' }));
  const told = await ask(`${control}/vendors/identity`, { method: 'POST', body: 'down' });
  assert.equal(JSON.parse(told.body).behaviour, 'down');
  const all = JSON.parse((await ask(control)).body);
  assert.equal(all.device.requests.methods.POST, 1);
  assert.equal(all.identity.behaviour, 'down');
  const operations = JSON.parse((await ask(`${control}/vendors/device/operations`)).body);
  assert.deepEqual(operations, { a: { seen: 1, effects: 1, idempotent: false } });
  await ask(`${control}/forget`, { method: 'POST' });
  assert.equal(JSON.parse((await ask(`${control}/vendors/device`)).body).requests.all, 0);
  const refused = await ask(`${control}/vendors/device`, { method: 'POST', body: 'hangin' });
  assert.equal(refused.status, 400);
  assert.match(refused.body, /"hangin" is no behaviour/);
});

test('the program prints where its vendors are, and ends with its standard input', async (t) => {
  const main = new URL('main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, '--vendor', 'device', '--vendor', 'ip=slow', '--with-stdin']);
  endWith(t, child);
  const [line] = await once(child.stdout, 'data');
  const { control, vendors } = JSON.parse(String(line));
  assert.equal((await ask(vendors.device)).status, 200);
  assert.equal(JSON.parse((await ask(`${control}/vendors/ip`)).body).behaviour, 'slow');
  child.stdin.end();
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});
