import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { basicCredentials, Clients } from '../../../src/downstream/clients.ts';
import type { Client } from '../../../src/policy/policy.ts';

const basic = (text: string, scheme = 'Basic'): string => `${scheme} ${Buffer.from(text).toString('base64')}`;

const client = (name: string, more: Partial<Client>): Client => ({
  name,
  addresses: [],
  credentials: null,
  exchanges: null,
  ...more,
});

const from = (address: string): Socket => ({ remoteAddress: address }) as Socket;

const CLIENTS = new Clients([
  client('payments', { credentials: { username: 'payments', password: 'p:ä€' } }),
  client('batch', { addresses: ['10.1.0.0/16', 'fd00::/8'] }),
  client('both', { credentials: { username: 'both', password: 'x' }, addresses: ['10.2.0.1'] }),
  client('late', { addresses: ['10.0.0.0/8'] }),
]);

/** A name, `wrong`, or null. */
function who(address: string, ...values: string[]): string | null {
  const raw = values.flatMap((value) => ['Proxy-Authorization', value]);
  const { client: found, wrong } = CLIENTS.identify(['Host', 'x', ...raw], from(address));
  return wrong ? 'wrong' : (found?.name ?? null);
}

test('a client is known by its credentials, wherever it calls from', () => {
  assert.equal(who('127.0.0.1', basic('payments:p:ä€')), 'payments');
  assert.equal(who('10.1.0.1', basic('payments:p:ä€', 'bAsIc')), 'payments');
  assert.equal(who('10.2.0.1', basic('both:x')), 'both');
});

test('without credentials it is known by its source address, the first client whose addresses hold it', () => {
  assert.equal(who('10.1.2.3'), 'batch');
  assert.equal(who('::ffff:10.1.2.3'), 'batch');
  assert.equal(who('fd00::1'), 'batch');
  assert.equal(who('10.9.0.1'), 'late');
  assert.equal(who('10.2.0.1'), 'late', 'an address alone is not enough for a client with credentials');
  assert.equal(who('127.0.0.1'), null);
  assert.equal(who(''), null);
});

test('who shows credentials that are not right is nobody, whatever its address', () => {
  for (const value of [
    basic('payments:'),
    basic('payments:p:ä'),
    basic('payments:P:ä€'),
    basic('Payments:p:ä€'),
    basic('nobody:p:ä€'),
    basic(':'),
    basic('payments'),
    basic('both:x'),
    basic('payments:p:ä€\0'),
    basic('payments:p:ä€', 'Bearer'),
    'Basic',
    'Basic ',
    'Basic !!!!',
    'Basic cGF5bWVudHM6cA',
    `Basic ${Buffer.from('payments:p:ä€').toString('base64').replace('=', '')}A`,
    `${basic('payments:p:ä€')}, ${basic('payments:p:ä€')}`,
    '',
  ])
    assert.equal(who('10.1.2.3', value), 'wrong', value);
  assert.equal(who('10.1.2.3', basic('payments:p:ä€'), basic('payments:p:ä€')), 'wrong', 'twice');
});

test('where no client has credentials, nobody is asked what is in Proxy-Authorization', () => {
  const clients = new Clients([client('batch', { addresses: ['10.1.0.0/16'] })]);
  const { client: found, wrong } = clients.identify(['Proxy-Authorization', basic('a:b')], from('10.1.0.1'));
  assert.deepEqual([found?.name, wrong, clients.hasCredentials], ['batch', false, false]);
});

test('what a connection has shown holds as long as it shows the same, and no longer', () => {
  const socket = from('127.0.0.1');
  const right = ['Proxy-Authorization', basic('payments:p:ä€')];
  const first = CLIENTS.identify(right, socket);
  assert.equal(CLIENTS.identify([...right], socket), first);
  assert.equal(CLIENTS.identify(['Proxy-Authorization', basic('payments:q')], socket).wrong, true);
  assert.equal(CLIENTS.identify([], socket).client, null);
  assert.equal(CLIENTS.identify(right, socket).client?.name, 'payments');
});

test('a client has so many exchanges at once and no more', () => {
  const clients = new Clients([client('few', { addresses: ['::1'], exchanges: 2 })]);
  const few = clients.identify([], from('::1')).client;
  assert.deepEqual([few?.tryAcquire(), few?.tryAcquire(), few?.tryAcquire()], [true, true, false]);
  few?.release();
  assert.equal(few?.tryAcquire(), true);
  assert.equal(clients.named('few').client, few);
  assert.equal(clients.named(null).client, null);
});

test('a client that knows Latin-1 only is read, too', () => {
  const value = `Basic ${Buffer.from('payments:wörd', 'latin1').toString('base64')}`;
  assert.deepEqual(basicCredentials(value), { username: 'payments', password: 'wörd' });
});

test('Basic credentials are read as RFC 7617 writes them, and nothing else is', () => {
  assert.deepEqual(basicCredentials('Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='), {
    username: 'Aladdin',
    password: 'open sesame',
  });
  assert.deepEqual(basicCredentials('Basic dGVzdDoxMjPCow=='), { username: 'test', password: '123£' });
  const text = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(text, text, (username, password) => {
      const read = basicCredentials(basic(`${username}:${password}`));
      if (/\p{Cc}/u.test(username + password)) assert.equal(read, null);
      else {
        const whole = `${username}:${password}`;
        assert.equal(`${read?.username}:${read?.password}`, whole);
        assert.equal(read?.username.includes(':'), false);
      }
    }),
  );
  fc.assert(
    fc.property(fc.string(), (value) => {
      const read = basicCredentials(value);
      assert.ok(read === null || /^basic /i.test(value.trim()));
    }),
  );
});
