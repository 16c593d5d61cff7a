import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { answer } from '../support/origin.ts';

test('a GET in absolute form reaches the origin in origin form, with its Host, and comes back whole', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'hello', ['X-Origin', 'yes']));
    const got = await cast.call(`${origin.url}/a/b?c=d%20e&f=`);
    assert.equal(got.status, 200);
    assert.equal(got.text, 'hello');
    assert.equal(got.headers['x-origin'], 'yes');
    assert.equal(origin.seen[0]?.url, '/a/b?c=d%20e&f=');
    assert.equal(origin.seen[0]?.headers.host, `127.0.0.1:${origin.port}`);
    assert.equal(got.headers['proxy-status'], 'outrigger; attempts=1; received-status=200');
    const line = await cast.sidecar.line();
    assert.equal(line.outcome, 'completed');
    assert.equal(line.path, '/a/b');
    assert.equal(line.responseBytes, 5);
    assert.equal(got.headers['x-request-id'], line.requestId);
    assert.equal(origin.seen[0]?.headers['x-request-id'], line.requestId);
  }));

test('a POST of 8 KiB reaches the origin whole, with its length', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(201, 'made'));
    const body = Buffer.alloc(8_192, 'x');
    const got = await cast.call(`${origin.url}/`, { method: 'POST', body });
    assert.equal(got.status, 201);
    assert.deepEqual(origin.seen[0]?.body, body);
    assert.equal(origin.seen[0]?.headers['content-length'], '8192');
    assert.equal((await cast.sidecar.line()).requestBytes, 8_192);
  }));

test('a chunked POST stays chunked and a second one uses the same connection', () =>
  stage('', async (cast) => {
    const origin = await cast.origin(answer(200, 'ok'));
    for (let i = 1; i <= 2; i++) {
      const caller = await cast.raw();
      caller.write(
        `POST ${origin.url}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n`,
      );
      assert.match(await caller.until((text) => text.includes('\r\nok\r\n')), /^HTTP\/1.1 200 OK\r\n/);
      await cast.sidecar.line(i);
    }
    assert.equal(origin.seen[0]?.body.toString(), 'abcdefg');
    assert.equal(origin.connections.total, 1);
  }));
