import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { OutriggerError } from '../../../src/errors.ts';
import type { Phase } from '../../../src/exchange.ts';
import type { TimeoutPolicy } from '../../../src/policy/policy.ts';
import { AddressGuard } from '../../../src/upstream/address-guard.ts';
import { Dial, type DialObserver } from '../../../src/upstream/dial.ts';
import { type Lookup, Resolver } from '../../../src/upstream/resolver.ts';
import { rootsOf, TlsProfile } from '../../../src/upstream/tls-profile.ts';
import { until } from '../../support/until.ts';

const timeouts: TimeoutPolicy = {
  dnsMs: 500,
  connectMs: 500,
  tlsMs: 500,
  headMs: 500,
  idleMs: 500,
  totalMs: null,
};

class Ear implements DialObserver {
  readonly phases: Phase[] = [];
  onPhase: (phase: Phase) => void = () => {};
  dial: Dial | null = null;
  error: OutriggerError | null = null;

  get told(): boolean {
    return this.dial !== null || this.error !== null;
  }

  phase(phase: Phase): void {
    this.phases.push(phase);
    this.onPhase(phase);
  }

  dialled(dial: Dial): void {
    assert.equal(this.told, false, 'told once');
    this.dial = dial;
  }

  failed(error: OutriggerError): void {
    assert.equal(this.told, false, 'told once');
    this.error = error;
  }
}

function begin(
  port: number,
  lookup: Lookup,
  tls: TlsProfile | null = null,
  allow = ['127.0.0.0/8'],
): { dial: Dial; ear: Ear } {
  const ear = new Ear();
  const dial = new Dial(
    { host: 'x.test', port, tls, addresses: null, http1: false, halfOpen: false },
    {
      resolver: new Resolver(lookup),
      guard: new AddressGuard({ deny: [], allow }),
    },
    timeouts,
    ear,
  );
  dial.start();
  return { dial, ear };
}

const answers =
  (...addresses: string[]): Lookup =>
  (_host, callback) =>
    setImmediate(() => callback(null, addresses));

/** A server that counts its connections. */
async function server(t: TestContext): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const it = createServer((socket) => {
    connections++;
    socket.on('error', () => {});
    socket.resume();
  });
  await new Promise<void>((resolve) => it.listen(0, '127.0.0.1', resolve));
  t.after(() => it.close());
  return { port: (it.address() as AddressInfo).port, connections: () => connections };
}

test('a dial resolves, connects and says how long each took', async (t) => {
  const { port } = await server(t);
  const { dial, ear } = begin(port, answers('127.0.0.1'));
  await until(() => ear.told, 'the dial');
  assert.equal(ear.dial, dial);
  assert.deepEqual(ear.phases, ['resolving', 'connecting']);
  assert.ok(dial.dnsMs !== null && dial.connectMs !== null && dial.tlsMs === null);
  assert.equal(dial.address, '127.0.0.1');
  dial.tcp?.destroy();
});

test('an address that refuses is followed by the next, and the one that answered is named', async (t) => {
  const { port } = await server(t);
  const { dial, ear } = begin(port, answers('127.0.0.8', '127.0.0.9', '127.0.0.1'));
  await until(() => ear.told, 'the dial');
  assert.equal(ear.dial?.address, '127.0.0.1');
  dial.tcp?.destroy();
});

test('families are tried in turn', async () => {
  const { ear } = begin(9, answers('127.0.0.1', '127.0.0.2', '::1'), null, ['127.0.0.0/8', '::1/128']);
  await until(() => ear.told, 'the failure');
  assert.deepEqual(ear.phases.filter((one) => one === 'connecting').length, 3);
});

test('the last of several failures is told', async (t) => {
  const { port } = await server(t);
  const { ear } = begin(port, answers('127.0.0.8', '127.0.0.9'));
  await until(() => ear.told, 'the failure');
  assert.equal(ear.error?.name, 'connection_refused');
  assert.match(ear.error?.detail ?? '', /127\.0\.0\.9/);
});

test('a name without an address, or with refused ones only, is never dialled', async (t) => {
  const { port, connections } = await server(t);
  const none = begin(port, answers());
  const refused = begin(port, answers('127.0.0.1', '10.0.0.1'), null, []);
  await until(() => none.ear.told && refused.ear.told, 'both');
  assert.equal(none.ear.error?.name, 'dns_error');
  assert.equal(refused.ear.error?.name, 'address_denied');
  assert.equal(refused.dial.tcp, null);
  assert.equal(connections(), 0);
});

test('who cancels hears nothing more, in whatever phase, and the socket closes', async (t) => {
  const { port } = await server(t);
  for (const phase of ['resolving', 'connecting', 'handshaking'] as const) {
    const { dial, ear } = begin(port, answers('127.0.0.1'), new TlsProfile('', null, false, rootsOf(null)));
    await new Promise<void>((resolve) => {
      ear.onPhase = (now) => {
        if (now === phase) setImmediate(resolve);
      };
      if (phase === 'resolving') resolve();
    });
    dial.cancel();
    await until(() => dial.tcp === null || dial.tcp.closed, 'the socket to close');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(ear.told, false);
  }
});

test('an answer of the resolver after the dial was cancelled dials nothing', async (t) => {
  const { port, connections } = await server(t);
  let answer = (): void => {};
  const { dial, ear } = begin(port, (_host, callback) => {
    answer = () => callback(null, ['127.0.0.1']);
  });
  dial.cancel();
  answer();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(connections(), 0);
  assert.equal(ear.told, false);
});
