/** How many callers there may be, who has to go when there are more, and how long a head may take. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { RawCaller } from '../support/caller.ts';
import { type Cast, stage } from '../support/cast.ts';
import { messagesOf } from '../support/messages.ts';
import { answer } from '../support/origin.ts';
import { until } from '../support/until.ts';

const get = (url: string): string => `GET ${url}/ HTTP/1.1\r\nHost: x\r\n\r\n`;

/** With one exchange behind it. */
async function idleCaller(cast: Cast, url: string): Promise<RawCaller> {
  const caller = await cast.raw();
  caller.write(get(url));
  await caller.until((text) => text.includes('ok'));
  return caller;
}

const gone = (caller: RawCaller): boolean => caller.closed || caller.ended;

async function shedCounts(cast: Cast): Promise<Record<string, number>> {
  const page = await (await fetch(`${cast.sidecar.adminUrl}/metrics`)).text();
  const counts: Record<string, number> = {};
  for (const [, reason = '', count] of page.matchAll(
    /^outrigger_caller_connections_shed_total\{reason="([^"]+)"\} (\d+)$/gm,
  ))
    if (count !== '0') counts[reason] = Number(count);
  return counts;
}

test('beyond listen.connections, those go that never asked for anything, the oldest first, then those idle longest', () =>
  stage('listen: { connections: 4 }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const idle = [await idleCaller(cast, origin.url), await idleCaller(cast, origin.url)];
    const silent = [await cast.raw(0), await cast.raw(0)];
    await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 4, 'four callers');
    const goes = [silent[0], silent[1], idle[0], idle[1]];
    const kept: RawCaller[] = [];
    for (const [i, victim] of goes.entries()) {
      kept.push(await idleCaller(cast, origin.url));
      await until(() => gone(victim as RawCaller), `caller ${i} to be closed`);
      for (const other of goes.slice(i + 1)) assert.equal(gone(other as RawCaller), false);
    }
    for (const caller of kept) assert.equal(gone(caller), false);
    assert.deepEqual(await shedCounts(cast), { 'no request': 2, idle: 2 });
  }));

test('where all are busy the next one is told so with a 503, and nobody who is busy is disturbed', () =>
  stage('listen: { connections: 2 }', async (cast) => {
    const held: ServerResponse[] = [];
    const origin = await cast.origin((_request, response) => void held.push(response));
    const busy = [await cast.raw(), await cast.raw()];
    for (const caller of busy) caller.write(get(origin.url));
    await until(() => held.length === 2, 'both requests');
    const late = await cast.raw();
    const [got] = messagesOf(await late.untilEnd());
    assert.equal(got?.status, 503);
    assert.equal(got?.whole, true);
    assert.equal(JSON.parse(got?.body ?? '').type, 'urn:outrigger:error:caller_limit');
    assert.match(got?.values('proxy-status')[0] ?? '', /error=connection_limit_reached/);
    assert.equal((await cast.sidecar.line()).status, 503);
    for (const response of held) response.end('ok');
    for (const caller of busy) await caller.until((text) => text.includes('ok'));
    // There is place again.
    const next = await cast.raw();
    next.write(get(origin.url));
    await until(() => held.length === 3, 'the next request');
    held[2]?.end('ok');
    await next.until((text) => text.includes('ok'));
    assert.deepEqual(await shedCounts(cast), { refused: 1, idle: 1 });
  }));

test('beyond listen.connectionsPerClient a client loses connections of its own, and nobody else does', () =>
  stage('listen: { connectionsPerClient: 2 }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const other = connect({ host: '127.0.0.1', port: cast.sidecar.port, localAddress: '127.0.0.2' });
    cast.atEnd(() => void other.destroy());
    let otherEnded = false;
    other.on('close', () => {
      otherEnded = true;
    });
    await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 1, 'the other client');
    const first = await idleCaller(cast, origin.url);
    const second = await idleCaller(cast, origin.url);
    const third = await idleCaller(cast, origin.url);
    await until(() => gone(first), 'the first to be closed');
    assert.equal(gone(second), false);
    assert.equal(gone(third), false);
    assert.equal(otherEnded, false);
    other.destroy();
  }));

test('a tunnel is busy as long as it is open; plain HTTP that is idle inside one can be spared', async () =>
  stage('listen: { connections: 1 }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const inside = await cast.raw(2);
    inside.write('CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n');
    await inside.until((text) => text.includes('\r\n\r\n'));
    const refused = await cast.raw();
    assert.equal(messagesOf(await refused.untilEnd())[0]?.status, 503);
    inside.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    await cast.sidecar.line(3);
    const next = await idleCaller(cast, origin.url);
    await until(() => gone(inside), 'the idle one inside to be closed');
    assert.equal(gone(next), false);
  }));

test('bytes that trickle do not give a head more time', () =>
  stage('listen: { headTimeout: 300ms }', async (cast) => {
    const caller = await cast.raw();
    const began = performance.now();
    const head = 'GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\nX: '.split('');
    const drip = setInterval(() => {
      if (!gone(caller)) caller.write(head.shift() ?? 'x');
    }, 20);
    const [got] = messagesOf(await caller.untilEnd());
    clearInterval(drip);
    const ms = performance.now() - began;
    assert.equal(got?.status, 408);
    assert.ok(ms > 250 && ms < 1_000, `${ms} ms`);
    assert.equal((await cast.sidecar.line()).status, 408);
  }));

test('a second head has its own time, from its first byte; before that the connection is only idle', () =>
  stage('listen: { headTimeout: 150ms, idleTimeout: 2s }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await cast.raw(2);
    caller.write(get(origin.url));
    await caller.until((text) => text.includes('ok'));
    const pause = performance.now();
    await until(() => performance.now() - pause > 300, 'longer than a head may take');
    assert.equal(gone(caller), false);
    const began = performance.now();
    caller.write('G');
    const got = messagesOf(await caller.untilEnd());
    assert.equal(got[1]?.status, 408);
    assert.ok(performance.now() - began < 600);
  }));

test('an idle connection is closed after listen.idleTimeout, without a word', () =>
  stage('listen: { idleTimeout: 1s }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await idleCaller(cast, origin.url);
    const began = performance.now();
    const before = caller.received;
    await until(() => gone(caller), 'the end');
    const ms = performance.now() - began;
    assert.ok(ms > 900 && ms < 2_000, `${ms} ms`);
    assert.equal(caller.received, before);
    assert.match(before, /Keep-Alive: timeout=1\r\n/);
  }));

test('what comes too early is kept up to a bound and answered in order, and the rest is read later', () =>
  stage('', async (cast) => {
    const held: ServerResponse[] = [];
    const origin = await cast.origin((_request, response) => void held.push(response));
    const count = 600;
    const request = `GET ${origin.url}/ HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(400)}\r\n\r\n`;
    const caller = await cast.raw(count);
    caller.write(request.repeat(count));
    await until(() => held.length === 1, 'the first request');
    origin.script = answer(200, 'ok');
    held[0]?.end('ok');
    await until(() => caller.received.split('HTTP/1.1 200').length === count + 1, 'all of them', 30_000);
  }));

test('the bounds of a head are the same in HTTP/2: 414 and 431, each of its stream alone', () =>
  stage('limits: { targetBytes: 2KiB, headerFields: 40 }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const session = connectHttp2(`http://127.0.0.1:${cast.sidecar.port}`);
    cast.atEnd(() => session.destroy());
    const ask = (path: string, fields: Record<string, string>): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        cast.expected++;
        const stream = session.request({
          ':authority': `127.0.0.1:${origin.port}`,
          ':path': path,
          ...fields,
        });
        stream.on('response', (head) => resolve(head[':status']));
        stream.on('error', reject);
        stream.resume();
      });
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`x-${i}`, 'a']));
    assert.equal(await ask(`/${'a'.repeat(2_048)}`, {}), 414);
    assert.equal(await ask('/', many), 431);
    assert.equal(await ask('/', {}), 200);
    session.close();
  }));

test('a caller of HTTP/2 that is idle can be spared, and one with a stream under way cannot', () =>
  stage('listen: { connections: 1 }', async (cast) => {
    const held: ServerResponse[] = [];
    const origin = await cast.origin((_request, response) => void held.push(response));
    const session = connectHttp2(`http://127.0.0.1:${cast.sidecar.port}`);
    session.on('error', () => {});
    cast.atEnd(() => session.destroy());
    cast.expected++;
    const stream = session.request({ ':authority': `127.0.0.1:${origin.port}`, ':path': '/' });
    const ended = new Promise((resolve) => stream.on('end', resolve));
    stream.resume();
    await until(() => held.length === 1, 'the stream');
    const refused = await cast.raw();
    assert.equal(messagesOf(await refused.untilEnd())[0]?.status, 503);
    held[0]?.end('ok');
    await ended;
    await cast.sidecar.line(2);
    origin.script = answer(200, 'ok');
    await idleCaller(cast, origin.url);
    await until(() => session.destroyed, 'the session to be gone');
  }));

test('a request that came while the process was held up is answered, though listen.headTimeout has passed', () =>
  stage('listen: { headTimeout: 200ms }', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    const caller = await cast.raw();
    await until(() => cast.sidecar.sidecar.snapshot().callerConnections === 1, 'the connection');
    caller.write(get(origin.url));
    // Nothing else runs meanwhile; then timers come before what has arrived.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    await caller.until((text) => text.includes('ok'));
    assert.equal(gone(caller), false);
  }));
