/**
 * `npm run bench:intercept`: what interception adds to a connection, beside a tunnel in one run: time from
 * the CONNECT to the first response on hosts never seen before, then on hosts whose certificate is known,
 * then for requests on a connection that is open already. Caller, sidecar and origin share this process, so
 * every handshake on the way counts in full.
 *
 * Option: --hosts N (200).
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { createAuthority } from '../../src/certificates/authority.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Sidecar } from '../../src/sidecar.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { readOptions } from '../support/options.ts';
import { median } from '../support/quantiles.ts';

const values = readOptions('npm run bench:intercept -- [--hosts 200]', {
  hosts: { type: 'string', default: '200' },
});
const count = Number(values.hosts);

const DAY_MS = 86_400_000;
const KINDS = ['tunnel', 'intercept'] as const;
type Kind = (typeof KINDS)[number];

const nameOf = (kind: Kind, i: number): string => `h${i}.${kind}.test`;

/** An origin with a certificate for every host, all of one authority. */
async function startOrigin(): Promise<{ port: number; ca: string; close(): void }> {
  const authority = await createAuthority({ permittedHosts: null });
  const contexts = new Map<string, SecureContext>();
  const [notBefore, notAfter] = [new Date(Date.now() - DAY_MS), new Date(Date.now() + DAY_MS)];
  for (let i = 0; i < count; i++) {
    for (const host of KINDS.map((kind) => nameOf(kind, i))) {
      const cert = await authority.issue({ host, notBefore, notAfter });
      contexts.set(host, createSecureContext({ cert, key: authority.leafKey, ca: [] }));
    }
  }
  const server = createServer(
    { SNICallback: (name, done) => done(null, contexts.get(name)), keepAliveTimeout: 60_000 },
    (_request, response) => response.end('ok'),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { port: (server.address() as AddressInfo).port, ca: authority.certificate, close };
}

const origin = await startOrigin();
const folder = mkdtempSync(join(tmpdir(), 'outrigger-bench-'));
const bundle = join(folder, 'bundle.pem');
const file = join(folder, 'bench.yaml');
writeFileSync(
  file,
  `
listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0" }
access: { addresses: { allow: [127.0.0.0/8] }, tunnelPorts: [${origin.port}] }
intercept: { bundle: "${bundle}" }
routes: [{ name: intercepted, https: intercept, match: { hosts: ["*.intercept.test"] } }]
`,
);
const { config } = loadConfig({ files: [file], env: {} });
const sink = createLog({ level: 'info', format: 'json', destination: { write() {} } });
const sidecar = new Sidecar(config, 'bench', sink, {
  lookup: (_host, callback) => callback(null, ['127.0.0.1']),
  roots: [origin.ca],
});
const { proxy } = await sidecar.start();
// Made once, as a client does: reading the roots costs more than a handshake.
const trusted: Readonly<Record<Kind, SecureContext>> = {
  tunnel: createSecureContext({ ca: origin.ca }),
  intercept: createSecureContext({ ca: readFileSync(bundle) }),
};

async function open(host: string, kind: Kind): Promise<TLSSocket> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true });
  socket.write(`CONNECT ${host}:${origin.port} HTTP/1.1\r\nHost: ${host}:${origin.port}\r\n\r\n`);
  await once(socket, 'data');
  const tls = connectTls({ socket, servername: host, secureContext: trusted[kind] });
  await once(tls, 'secureConnect');
  return tls;
}

async function get(tls: TLSSocket, host: string): Promise<void> {
  tls.write(`GET / HTTP/1.1\r\nHost: ${host}:${origin.port}\r\n\r\n`);
  let text = '';
  while (!text.endsWith('ok')) text += String((await once(tls, 'data'))[0]);
  if (!text.startsWith('HTTP/1.1 200')) throw new Error(text);
}

interface Times {
  readonly first: number[];
  readonly again: number[];
  readonly reused: number[];
}

const times: Record<Kind, Times> = {
  tunnel: { first: [], again: [], reused: [] },
  intercept: { first: [], again: [], reused: [] },
};

async function measure(kind: Kind, host: string, warm: boolean): Promise<void> {
  for (const stage of ['first', 'again'] as const) {
    const began = performance.now();
    const tls = await open(host, kind);
    await get(tls, host);
    if (!warm) times[kind][stage].push(performance.now() - began);
    for (let i = 0; i < 5; i++) {
      const sent = performance.now();
      await get(tls, host);
      if (!warm) times[kind].reused.push(performance.now() - sent);
    }
    tls.destroy();
    await once(tls, 'close');
  }
}

try {
  for (let i = 0; i < count; i++)
    for (const kind of KINDS) await measure(kind, nameOf(kind, i), i < count / 10);
  const p99 = (list: readonly number[]): number =>
    list.toSorted((a, b) => a - b)[Math.floor(list.length * 0.99)] ?? Number.NaN;
  const rows = [
    ['first connection to a host', 'first'],
    ['another connection to it', 'again'],
    ['request on an open connection', 'reused'],
  ] as const;
  for (const [what, stage] of rows) {
    const [tunnel, intercept] = [times.tunnel[stage], times.intercept[stage]];
    console.log(
      `${what.padEnd(32)} tunnel ${median(tunnel).toFixed(2)} ms (p99 ${p99(tunnel).toFixed(2)}), ` +
        `intercept ${median(intercept).toFixed(2)} ms (p99 ${p99(intercept).toFixed(2)}): ` +
        `adds ${(median(intercept) - median(tunnel)).toFixed(2)} ms`,
    );
  }
} finally {
  origin.close();
  await sidecar.stop();
  rmSync(folder, { recursive: true });
}
