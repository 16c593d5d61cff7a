import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LookupCallback, lookupBySystem, Resolver } from '../../../src/upstream/resolver.ts';

/** A resolver whose look-ups the test answers. */
function resolver(): { it: Resolver; asked: { host: string; answer: LookupCallback }[] } {
  const asked: { host: string; answer: LookupCallback }[] = [];
  return { it: new Resolver((host, answer) => asked.push({ host, answer })), asked };
}

test('callers that ask for one name at the same time share one look-up, and each is told once', () => {
  const { it, asked } = resolver();
  const told: string[] = [];
  for (const who of ['a', 'b', 'c'])
    it.resolve('x.test', (_error, [address]) => told.push(`${who} ${address}`));
  it.resolve('y.test', () => told.push('y'));
  assert.deepEqual(
    asked.map((one) => one.host),
    ['x.test', 'y.test'],
  );
  asked[0]?.answer(null, ['192.0.2.1']);
  assert.deepEqual(told, ['a 192.0.2.1', 'b 192.0.2.1', 'c 192.0.2.1']);
});

test('nothing is kept: who asks after the answer causes a new look-up, from within it too', () => {
  const { it, asked } = resolver();
  let told = 0;
  it.resolve('x.test', () => it.resolve('x.test', () => told++));
  asked[0]?.answer(null, ['192.0.2.1']);
  assert.equal(asked.length, 2);
  assert.equal(told, 0);
  asked[1]?.answer(null, ['192.0.2.2']);
  assert.equal(told, 1);
});

test('who has left is not told, and the others are', () => {
  const { it, asked } = resolver();
  const told: string[] = [];
  const leaving: LookupCallback = () => told.push('left');
  it.resolve('x.test', leaving);
  it.resolve('x.test', () => told.push('stayed'));
  it.forget('x.test', leaving);
  it.forget('unknown.test', leaving);
  asked[0]?.answer(null, []);
  assert.deepEqual(told, ['stayed']);
});

test('an error reaches everyone, and the next one asks again', () => {
  const { it, asked } = resolver();
  const told: (string | undefined)[] = [];
  it.resolve('x.test', (error) => told.push(error?.code));
  it.resolve('x.test', (error) => told.push(error?.code));
  asked[0]?.answer(Object.assign(new Error(), { code: 'ENOTFOUND' }), []);
  assert.deepEqual(told, ['ENOTFOUND', 'ENOTFOUND']);
  it.resolve('x.test', () => {});
  assert.equal(asked.length, 2);
});

test('the system resolves localhost to loopback', async () => {
  const addresses = await new Promise<readonly string[]>((resolve, reject) => {
    lookupBySystem('localhost', (error, found) => (error ? reject(error) : resolve(found)));
  });
  assert.ok(addresses.length > 0 && addresses.every((one) => one === '::1' || one.startsWith('127.')));
});

test('a look-up that throws is an error, told once and later, and the name can be asked for again', async () => {
  let throws = true;
  const it = new Resolver((_host, answer) => {
    if (throws) throw Object.assign(new Error('no'), { code: 'ERR_X' });
    answer(null, ['192.0.2.1']);
  });
  const told: unknown[] = [];
  it.resolve('x.test', (error, addresses) => told.push(error?.code ?? addresses));
  assert.equal(told.length, 0);
  await new Promise((resolve) => setImmediate(resolve));
  throws = false;
  it.resolve('x.test', (error, addresses) => told.push(error?.code ?? addresses));
  assert.deepEqual(told, ['ERR_X', ['192.0.2.1']]);
});

test('a look-up that answers twice is heard once, and not by the next one', () => {
  const { it, asked } = resolver();
  const told: unknown[] = [];
  it.resolve('x.test', (_error, addresses) => told.push(addresses));
  asked[0]?.answer(null, ['192.0.2.1']);
  it.resolve('x.test', (_error, addresses) => told.push(addresses));
  asked[0]?.answer(null, ['192.0.2.6']);
  asked[1]?.answer(null, ['192.0.2.2']);
  assert.deepEqual(told, [['192.0.2.1'], ['192.0.2.2']]);
});
