/** What flows, flows at once and as long as it likes, on every way on which a request can be seen. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createSecureContext } from 'node:tls';
import { type Cast, stage } from '../support/cast.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { FakeClock } from '../support/clock.ts';
import { bufferBytes } from '../support/memory.ts';
import { HttpOrigin, type Script } from '../support/origin.ts';
import { until, untilStill } from '../support/until.ts';

const made = makeCertificates();
const certificates = made as Certificates;

const WAYS = ['forward', 'prefix', 'originate', 'intercept'] as const;
type WayName = (typeof WAYS)[number];

const skipped = (way: WayName): string | false =>
  made === null && (way === 'originate' || way === 'intercept') ? 'it needs openssl' : false;

interface Play {
  readonly cast: Cast;
  readonly origin: HttpOrigin;
  /** A request by this way; `send` writes its body, if it has one. */
  readonly ask: (
    path: string,
    method?: string,
    send?: (sent: ClientRequest) => void,
  ) => Promise<IncomingMessage>;
  /** The last line is the one of the request: that of a CONNECT may come before it. */
  readonly lines: number;
}

async function staged(
  way: WayName,
  script: Script,
  play: (play: Play) => Promise<void>,
  policy = 'policy: { retry: { attempts: 1 } }',
): Promise<void> {
  const secure = way === 'originate' || way === 'intercept';
  const origin = await HttpOrigin.start(script, 0, secure ? certificates.good : null);
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-'));
  const bundle = join(folder, 'bundle.pem');
  const place = `localhost:${origin.port}`;
  const how = {
    forward: '',
    prefix: `, prefix: /vendor, origin: "http://${place}"`,
    originate: ', https: originate',
    intercept: ', https: intercept',
  }[way];
  try {
    await stage(
      `access: { tunnelPorts: [${origin.port}] }
intercept: { bundle: ${bundle} }
routes: [{ name: vendor, match: { hosts: [localhost] }${how} }]
${policy}`,
      async (cast) => {
        const lines = way === 'intercept' ? 2 : 1;
        const ask: Play['ask'] = async (path, method = 'GET', send = (sent) => sent.end()) => {
          cast.expected += lines;
          const url = {
            forward: `http://${place}${path}`,
            prefix: `/vendor${path}`,
            originate: `http://${place}${path}`,
            intercept: path,
          }[way];
          const secured =
            way === 'intercept' ? await tlsThrough(cast, place, readFileSync(bundle, 'utf8')) : null;
          const sent = request({
            host: '127.0.0.1',
            port: cast.sidecar.port,
            path: url,
            method,
            headers: { Host: place },
            ...(secured ? { createConnection: () => secured } : { agent: new Agent() }),
          });
          const answered = once(sent, 'response');
          send(sent);
          const [response] = (await answered) as [IncomingMessage];
          sent.on('error', ignore);
          response.on('error', ignore);
          return response;
        };
        await play({ cast, origin, ask, lines });
      },
      {
        ...(secure ? { secureContext: createSecureContext({ ca: certificates.ca }) } : {}),
        lookup: (_host, callback) => setImmediate(callback, null, ['127.0.0.1']),
      },
    );
  } finally {
    await origin.close();
    rmSync(folder, { recursive: true });
  }
}

function ignore(): void {
  // A response that breaks off is seen by its close.
}

async function tlsThrough(cast: Cast, place: string, ca: string): Promise<ReturnType<typeof connectTls>> {
  const opening = request({
    host: '127.0.0.1',
    port: cast.sidecar.port,
    method: 'CONNECT',
    path: place,
    headers: { Host: place },
  });
  opening.end();
  const [, socket] = await once(opening, 'connect');
  const tls = connectTls({ socket, servername: 'localhost', ca });
  tls.on('error', ignore);
  cast.atEnd(() => void tls.destroy());
  await once(tls, 'secureConnect');
  return tls;
}

/** Looks at every turn of the event loop, whatever has become of timers. */
async function turns(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** An origin of server-sent events: each is sent when the test says so. */
class Events {
  response: ServerResponse | null = null;
  closed = false;

  readonly script: Script = (_request, response) => {
    response.on('close', () => {
      this.closed = true;
    });
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
    this.response = response;
  };

  send(event: string): void {
    this.response?.write(`data: ${event}\n\n`);
  }
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;

for (const way of WAYS) {
  test(`${way}: the head of a response is here before its body is, and each of 300 events within 5 ms`, {
    skip: skipped(way),
  }, (t: TestContext) => {
    const events = new Events();
    return staged(way, events.script, async ({ ask }) => {
      // Nothing of the body has been sent yet.
      const response = await ask('/events');
      assert.equal(response.headers['content-type'], 'text/event-stream');
      let got = '';
      let arrivedAt = 0;
      response.on('data', (chunk: Buffer) => {
        got += chunk.toString();
        arrivedAt = performance.now();
      });
      const times: number[] = [];
      for (let i = 0; i < 300; i++) {
        got = '';
        const sentAt = performance.now();
        events.send(String(i));
        await turns(() => got.endsWith('\n\n'), `event ${i}`);
        assert.equal(got, `data: ${i}\n\n`);
        times.push(arrivedAt - sentAt);
      }
      times.sort((a, b) => a - b);
      const [median, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
      t.diagnostic(`${way}: median ${median.toFixed(3)} ms, p99 ${p99.toFixed(3)} ms`);
      assert.ok(median < 5, `${median} ms`);
      events.response?.end();
      await once(response, 'close');
      assert.ok(response.complete);
    });
  });

  test(`${way}: a stream of ten minutes lives by its events, and ends after policy.timeouts.idle of silence`, {
    skip: skipped(way),
  }, () => {
    const events = new Events();
    return staged(way, events.script, async ({ cast, ask, lines }) => {
      const clock = new FakeClock();
      try {
        const response = await ask('/events');
        let got = '';
        let over = false;
        response.on('data', (chunk: Buffer) => {
          got += chunk.toString();
        });
        response.on('close', () => {
          over = true;
        });
        for (let i = 0; i < 20; i++) {
          clock.advance(30_000);
          events.send(String(i));
          await turns(() => got.endsWith(`data: ${i}\n\n`), `event ${i}`);
        }
        assert.equal(got.split('\n\n').length, 21);
        clock.advance(59_000);
        for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
        assert.ok(!over && !events.closed);
        clock.advance(2_000);
        await turns(() => over && events.closed, 'the end on both sides');
        assert.ok(!response.complete, 'it does not look whole');
      } finally {
        clock.restore();
      }
      const line = await cast.sidecar.line(lines);
      assert.deepEqual([line.via, line.outcome, line.error], [way, 'truncated', 'connection_read_timeout']);
    });
  });

  test(`${way}: a long poll that is answered after 25 s is a 200, and one after 31 s a 504`, {
    skip: skipped(way),
  }, () => {
    let response: ServerResponse | null = null;
    let left = false;
    return staged(
      way,
      (_request, it) => {
        response = it;
        it.on('close', () => {
          left = !it.writableEnded;
        });
      },
      async ({ ask }) => {
        for (const [heldMs, status] of [
          [25_000, 200],
          [31_000, 504],
        ] as const) {
          response = null;
          const clock = new FakeClock();
          try {
            const asked = ask('/poll');
            await turns(() => response !== null, 'the request at the origin');
            clock.advance(heldMs);
            if (status === 200) (response as ServerResponse | null)?.end('news');
            const got = await asked;
            let text = '';
            got.on('data', (chunk: Buffer) => {
              text += chunk.toString();
            });
            await once(got, 'end');
            assert.equal(got.statusCode, status);
            if (status === 200) assert.equal(text, 'news');
            else await turns(() => left, 'the origin to get to know');
          } finally {
            clock.restore();
          }
        }
      },
    );
  });

  test(`${way}: an upload without a length flows at once, and the answer may come before its end`, {
    skip: skipped(way),
  }, () => {
    let seen = '';
    let ended = false;
    return staged(
      way,
      (message, response) => {
        response.writeHead(200);
        response.flushHeaders();
        message.on('data', (chunk: Buffer) => {
          seen += chunk.toString();
          response.write(`got ${chunk.toString()}`);
        });
        message.on('end', () => {
          ended = true;
          response.end();
        });
      },
      async ({ ask }) => {
        let sending: ClientRequest | null = null;
        const response = await ask('/upload', 'POST', (sent) => {
          sending = sent;
          sent.write('0 ');
        });
        let got = '';
        response.on('data', (chunk: Buffer) => {
          got += chunk.toString();
        });
        for (let i = 1; i < 20; i++) {
          (sending as ClientRequest | null)?.write(`${i} `);
          await turns(() => seen.endsWith(`${i} `) && got.endsWith(`got ${i} `), `piece ${i} there and back`);
        }
        assert.ok(!ended);
        (sending as ClientRequest | null)?.end();
        await once(response, 'close');
        assert.ok(ended && response.complete);
      },
    );
  });

  test(`${way}: a reader that stands still pauses the origin, and little is held for it`, {
    skip: skipped(way),
  }, () => {
    const piece = Buffer.alloc(65_536, 'x');
    let written = 0;
    return staged(
      way,
      (_request, response) => {
        response.writeHead(200);
        const push = (): void => {
          for (;;) {
            if (response.destroyed || written >= 512 * 1_048_576) return;
            written += piece.length;
            if (!response.write(piece)) return;
          }
        };
        response.on('drain', push);
        push();
      },
      async ({ ask, origin }) => {
        const before = bufferBytes();
        const response = await ask('/flood');
        response.pause();
        await untilStill(() => written);
        assert.ok(written < 64 * 1_048_576, `${written} bytes went out`);
        await until(() => bufferBytes() - before < 8 * 1_048_576, 'little to be held');
        // It goes on when it is read.
        const at = written;
        response.resume();
        await until(() => written > at + 16 * 1_048_576, 'the flow to go on');
        response.destroy();
        await until(() => origin.connections.open.size === 0, 'the origin to be let go');
      },
    );
  });
}
