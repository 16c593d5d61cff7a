/**
 * Every way by which a client can reach an HTTPS origin through the sidecar, and the proof of what it must
 * have on each. The origin has an authority of its own, which only the sidecar trusts, and on a tunnel the
 * client. A client sees the environment that `outrigger env` prints, and nothing else.
 *
 * The origin: `/ok/…` is answered by the script of the test, `/ok/flaky/…` with 503 the first time, and
 * `/slow/…` never.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { javaTruststore } from '../../src/certificates/truststore.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { answer, HttpOrigin, type Script, type Seen } from '../support/origin.ts';
import { file, folder, outrigger, SidecarProcess } from '../support/process.ts';
import { program, runWell } from '../support/program.ts';
import type { LoggedExchange } from '../support/sidecar.ts';
import { until } from '../support/until.ts';

/** `absolute`: an https:// URL in absolute form, without CONNECT. */
export type Way = 'forward' | 'tunnel' | 'originate' | 'absolute' | 'prefix' | 'intercept';

/** The ways of every client on which each request has the whole policy. */
export const WAYS = ['forward', 'originate', 'prefix', 'intercept'] as const;

/** What a client got: status, body, request ID. */
export type Told = readonly [number, string, string | null];

/** Gets each URL in turn. */
export type Get = (
  urls: readonly string[],
  env: Readonly<Record<string, string>>,
) => Promise<readonly Told[]>;

/** For `node --import`: the names of the origins. */
export const NAMES = new URL('names.mjs', import.meta.url).href;

let certificates: Certificates | null = null;

interface Files {
  readonly ca: string;
  readonly caTruststore: string;
  readonly bundle: string;
  readonly bundleTruststore: string;
}

export class WaysStage {
  readonly sidecar: SidecarProcess;
  readonly secure: HttpOrigin;
  readonly plain: HttpOrigin;
  readonly #env: Readonly<Record<string, string>>;
  readonly #files: Files;

  private constructor(
    sidecar: SidecarProcess,
    [secure, plain]: readonly [HttpOrigin, HttpOrigin],
    env: Readonly<Record<string, string>>,
    files: Files,
  ) {
    this.sidecar = sidecar;
    this.secure = secure;
    this.plain = plain;
    this.#env = env;
    this.#files = files;
  }

  /** Null after the test was skipped. */
  static async start(t: TestContext, script: Script = answer(200, 'hello')): Promise<WaysStage | null> {
    if (program(t, 'openssl', 'openssl') === null) return null;
    certificates ??= makeCertificates() as Certificates;
    const serve = wayward(script);
    const origins = [
      await HttpOrigin.start(serve, 0, certificates.good),
      await HttpOrigin.start(serve),
    ] as const;
    t.after(() => Promise.all(origins.map((origin) => origin.close())));
    const files = writeFiles(folder(t), certificates.ca);
    const yaml = configuration(origins[0].port, origins[1].port, files);
    const sidecar = await SidecarProcess.start(t, yaml, { env: { NODE_OPTIONS: `--import ${NAMES}` } });
    const env = await printedEnvironment(t, file(t, yaml), sidecar.port);
    return new WaysStage(sidecar, origins, env, files);
  }

  /** Without a slash at its end. */
  url(way: Way): string {
    if (way === 'prefix') return `${this.sidecar.url}/vendor`;
    const scheme = way === 'forward' || way === 'originate' ? 'http' : 'https';
    return `${scheme}://${way}.vendor.test:${(way === 'forward' ? this.plain : this.secure).port}`;
  }

  /** As printed; on a tunnel with the authority of the origin in the place of the bundle. */
  env(way: Way): Record<string, string> {
    if (way !== 'tunnel') return { ...this.#env };
    const { ca, caTruststore, bundle, bundleTruststore } = this.#files;
    const instead = (value: string): string =>
      value.replaceAll(bundle, ca).replaceAll(bundleTruststore, caTruststore);
    return Object.fromEntries(Object.entries(this.#env).map(([name, value]) => [name, instead(value)]));
  }

  /** The log lines of requests for a path and below, once there are so many. */
  async lines(path: string, count = 1): Promise<readonly LoggedExchange[]> {
    const found = (): LoggedExchange[] =>
      this.sidecar.exchanges.filter((line) => line.path !== null && isBelow(line.path, path));
    await until(
      () => found().length >= count,
      `${count} lines of ${path}; so far: ${this.sidecar.stdout}${this.sidecar.stderr}`,
    );
    return found();
  }

  /** What the origin saw of a path and below. */
  seen(path: string): readonly Seen[] {
    return [...this.secure.seen, ...this.plain.seen].filter(({ url }) => isBelow(url, path));
  }

  /** Hello with one ID everywhere, a retry after a 503 that the client does not see, and a 504 of ours. */
  async prove(way: Way, told: readonly Told[]): Promise<void> {
    const [hello, flaky, slow] = await Promise.all(
      paths(way).map(async (path) => {
        const lines = await this.lines(path);
        assert.equal(lines.length, 1, `one line of ${path}`);
        return lines[0] as LoggedExchange;
      }),
    );
    assert.equal(told.length, 3);
    assert.deepEqual(told.slice(0, 2), [
      [200, 'hello', hello?.requestId],
      [200, 'hello', flaky?.requestId],
    ]);
    for (const line of [hello, flaky, slow]) {
      assert.equal(line?.via, way === 'absolute' ? 'forward' : way);
      const ids = this.seen(line?.path ?? '').map(({ headers }) => headers['x-request-id']);
      assert.deepEqual(
        ids,
        line?.attempts.map(() => line.requestId),
        `${way}: the ID of each attempt`,
      );
    }
    const statuses = (line?: LoggedExchange) => line?.attempts.map(({ status }) => status);
    assert.deepEqual([hello?.outcome, statuses(hello)], ['completed', [200]], way);
    assert.deepEqual([flaky?.outcome, statuses(flaky)], ['completed', [503, 200]], way);
    assert.deepEqual([slow?.status, slow?.error], [504, 'http_response_timeout'], way);
    const [status, body, id] = told[2] as Told;
    assert.equal(status, 504, way);
    const problem = JSON.parse(body) as Record<string, unknown>;
    assert.deepEqual([problem['error'], problem['requestId']], ['http_response_timeout', slow?.requestId]);
    assert.equal(id, slow?.requestId);
  }

  /** Opaque, and yet on record. */
  async proveTunnel(): Promise<void> {
    const ours = (): LoggedExchange[] =>
      this.sidecar.exchanges.filter(({ host }) => host === 'tunnel.vendor.test');
    await until(() => ours().length > 0, 'the line of the tunnel');
    const [line] = ours();
    assert.deepEqual(
      [line?.method, line?.via, line?.serverName, line?.status, line?.error],
      ['CONNECT', 'tunnel', 'tunnel.vendor.test', 200, null],
    );
    // aiohttp is done with a connection before it has read all of TLS, which the kernel tells us as a reset.
    assert.match(String(line?.outcome), /^(completed|aborted)$/);
    const inside = this.seen('/ok/tunnel');
    assert.notEqual(inside.length, 0);
    for (const { headers } of inside) assert.equal(headers['x-request-id'], undefined, 'nothing was added');
  }

  /** The version of HTTP that the caller spoke, as the origin read it in Via. */
  spoken(way: Way): string {
    const [seen] = this.seen(`/ok/${way}`);
    return String(seen?.headers.via).split(' ')[0] as string;
  }
}

function isBelow(url: string, path: string): boolean {
  return url === path || url.startsWith(`${path}/`);
}

/** Of hello, of what fails once, of what is never answered. */
export function paths(way: Way): readonly string[] {
  return [`/ok/${way}`, `/ok/flaky/${way}`, `/slow/${way}`];
}

/** A client program that is given URLs and prints what it got, as JSON. */
export function printing(t: TestContext, path: string, ...args: readonly string[]): Get {
  return async (urls, env) => {
    const { stdout } = await runWell(t, path, [...args, ...urls], { env });
    return JSON.parse(stdout.toString()) as Told[];
  };
}

/** What `proveWays` promises. */
export const PROMISE =
  'tunnel, plain, originate, prefix and intercept have the request ID, the retry after a 503 and the head timeout';

/** One client by every way that each client can take; `version`: of the HTTP that it speaks inside TLS. */
export async function proveWays(t: TestContext, get: Get, version: '1.1' | '2.0'): Promise<WaysStage | null> {
  const stage = await WaysStage.start(t);
  if (stage === null) return null;
  const urls = WAYS.flatMap((way) => paths(way).map((path) => `${stage.url(way)}${path}`));
  const [told, tunnelled] = await Promise.all([
    get(urls, stage.env('intercept')),
    get([`${stage.url('tunnel')}/ok/tunnel`], stage.env('tunnel')),
  ]);
  assert.equal(told.length, urls.length);
  for (const [i, way] of WAYS.entries()) await stage.prove(way, told.slice(3 * i, 3 * i + 3));
  assert.deepEqual(tunnelled, [[200, 'hello', null]]);
  await stage.proveTunnel();
  const spoken = WAYS.map((way) => stage.spoken(way));
  assert.deepEqual(spoken, ['1.1', '1.1', '1.1', version], 'the versions of HTTP that the caller spoke');
  return stage;
}

function wayward(script: Script): Script {
  const failed = new Set<string>();
  return (request, response, seen) => {
    const [, first, second, third = ''] = seen.url.split('/');
    if (first === 'slow') return;
    if (second === 'flaky' && !failed.has(third)) {
      failed.add(third);
      answer(503, 'not now')(request, response, seen);
    } else script(request, response, seen);
  };
}

function writeFiles(path: string, ca: string): Files {
  const files: Files = {
    ca: join(path, 'origin.pem'),
    caTruststore: join(path, 'origin.jks'),
    bundle: join(path, 'bundle.pem'),
    bundleTruststore: join(path, 'bundle.jks'),
  };
  writeFileSync(files.ca, ca);
  writeFileSync(files.caTruststore, javaTruststore([new X509Certificate(ca).raw], Date.now()));
  return files;
}

function configuration(securePort: number, plainPort: number, { ca, bundle }: Files): string {
  const slow = 'policy: { timeouts: { head: 150ms }, retry: { attempts: 1 } }';
  const route = (name: string, rest: string): string =>
    `  - { name: ${name}, ${rest}, tls: { ca: ${ca} } }\n`;
  const host = (way: Way, rest = ''): string => `match: { hosts: [${way}.vendor.test]${rest} }`;
  const pair = (way: Way, https: string | null): string =>
    route(`${way}-slow`, `${host(way, ', paths: ["/slow/*"]')}, https: ${https}, ${slow}`) +
    route(way, `${host(way)}, https: ${https}`);
  return `
access: { tunnelPorts: [${securePort}, ${plainPort}] }
intercept: { bundle: ${bundle} }
policy: { retry: { backoff: { initial: 1ms } } }
routes:
${pair('forward', null)}${pair('originate', 'originate')}${pair('absolute', null)}${pair('intercept', 'intercept')}\
${route('prefix-slow', `${host('prefix', ', paths: ["/slow/*"]')}, ${slow}`)}\
${route('prefix', `prefix: /vendor, origin: "https://prefix.vendor.test:${securePort}", match: { paths: ["/ok/*"] }`)}`;
}

/** What `outrigger env` prints for a sidecar on that port. */
export async function printedEnvironment(
  t: TestContext,
  config: string,
  port: number,
): Promise<Record<string, string>> {
  const ran = await outrigger(t, ['env', '--config', config], {
    env: { OUTRIGGER__LISTEN__PROXY: `127.0.0.1:${port}` },
  });
  assert.equal(ran.code, 0, ran.stderr);
  const variables = ran.stdout.matchAll(/^export (\w+)='(.*)'$/gm);
  return Object.fromEntries(Array.from(variables, ([, name = '', value = '']) => [name, value]));
}
