/** gRPC, client and server of @grpc/grpc-js, through a real sidecar, by every way that HTTP/2 can take. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { file, folder, SidecarProcess } from '../support/process.ts';
import { program, runWell } from '../support/program.ts';
import { until } from '../support/until.ts';
import { METHODS, NAME } from './grpc-service.mjs';
import { NAMES, printedEnvironment } from './ways.ts';

const CLIENT = fileURLToPath(new URL('grpc-calls.mjs', import.meta.url));

function trailer(): Metadata {
  const metadata = new Metadata();
  metadata.set('x-trailer', 'the end');
  return metadata;
}

/** What was asked for, and which calls the server was told to give up. */
class Origin {
  readonly asked: Metadata[] = [];
  readonly cancelled: string[] = [];
  /** What was left of the only call that is never answered. */
  deadlineMs = 0;
  port = 0;
  readonly #server = new Server();

  static async start(t: TestContext, { good }: Certificates): Promise<Origin> {
    const origin = new Origin();
    const pair = { private_key: Buffer.from(good.key), cert_chain: Buffer.from(good.cert) };
    origin.#server.addService(METHODS, {
      Echo: origin.#echo,
      Fail: origin.#fail,
      Never: origin.#never,
      Slow: () => {},
      Count: origin.#count,
      Sum: origin.#sum,
      Talk: origin.#talk,
    });
    t.after(() => origin.#server.forceShutdown());
    origin.port = await new Promise((resolve, reject) => {
      origin.#server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(null, [pair]), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    return origin;
  }

  #echo = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
    this.asked.push(call.metadata);
    answer(null, call.request, trailer());
  };

  #fail = (_call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
    answer({ code: status.FAILED_PRECONDITION, details: 'not like this: 100 %', metadata: trailer() });
  };

  #never = (call: ServerUnaryCall<Buffer, Buffer>): void => {
    this.deadlineMs = Number(call.getDeadline()) - Date.now();
    call.on('cancelled', () => this.cancelled.push(call.request.toString()));
  };

  #count = (call: ServerWritableStream<Buffer, Buffer>): void => {
    const request = call.request.toString();
    const [count, , then] = request.split(' ');
    for (let i = 0; i < Number(count); i++) call.write(Buffer.from(String(i)));
    // What the server has ended itself is reported as cancelled, too.
    if (then === 'wait') call.on('cancelled', () => this.cancelled.push(request));
    else if (then === 'fail') {
      const failure = { code: status.DATA_LOSS, details: 'no more', metadata: trailer() };
      call.emit('error', failure);
    } else call.end(trailer());
  };

  #sum = (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
    let sum = 0;
    call.on('data', (message: Buffer) => (sum += Number(message)));
    call.on('end', () => answer(null, Buffer.from(String(sum))));
  };

  #talk = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    call.on('data', (message: Buffer) => call.write(Buffer.concat([Buffer.from('you said '), message])));
    call.on('end', () => call.end());
  };
}

interface Way {
  readonly name: 'intercept' | 'originate' | 'prefix' | 'tunnel';
  readonly promise: string;
  readonly security: 'tls' | 'plain';
}

const WAYS: readonly Way[] = [
  { name: 'intercept', promise: 'inside interception, by HTTP/2 on both sides', security: 'tls' },
  { name: 'originate', promise: 'in the clear inside a CONNECT, and TLS begins here', security: 'plain' },
  { name: 'prefix', promise: 'to the sidecar itself, with prior knowledge', security: 'plain' },
  { name: 'tunnel', promise: 'end to end', security: 'tls' },
];

function configuration({ port }: Origin, ca: string, bundle: string): string {
  const slow = 'policy: { timeouts: { head: 150ms } }';
  const route = (name: string, rest: string): string =>
    `  - { name: ${name}, ${rest}, http2: true, tls: { ca: ${ca} } }\n`;
  const by = (name: string, https: string | null, more = ''): string =>
    `match: { hosts: [${name}.vendor.test]${more} }, https: ${https}`;
  const pair = (name: string, https: string | null, rest: string): string =>
    route(`${name}-slow`, `${by(name, https, ', paths: [/outrigger.test.Slow/*]')}, ${slow}`) +
    route(name, rest);
  return `
access: { tunnelPorts: [${port}] }
intercept: { bundle: ${bundle} }
routes:
${pair('intercept', 'intercept', by('intercept', 'intercept'))}\
${pair('originate', 'originate', by('originate', 'originate'))}\
${pair('prefix', null, `prefix: /, origin: "https://prefix.vendor.test:${port}", match: { paths: [/${NAME}/*] }`)}`;
}

for (const { name, promise, security } of WAYS) {
  test(`gRPC ${promise}: unary and streaming, status trailers, deadlines, cancellation and 4 MB messages`, async (t) => {
    if (program(t, 'openssl', 'openssl') === null) return;
    const certificates = makeCertificates() as Certificates;
    const origin = await Origin.start(t, certificates);
    const path = folder(t);
    const ca = join(path, 'origin.pem');
    writeFileSync(ca, certificates.ca);
    const yaml = configuration(origin, ca, join(path, 'bundle.pem'));
    const sidecar = await SidecarProcess.start(t, yaml, { env: { NODE_OPTIONS: `--import ${NAMES}` } });
    const env = await printedEnvironment(t, file(t, yaml), sidecar.port);
    const target = name === 'prefix' ? `127.0.0.1:${sidecar.port}` : `${name}.vendor.test:${origin.port}`;
    const trusting = name === 'tunnel' ? { ...env, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: ca } : env;
    const ran = await runWell(t, process.execPath, [CLIENT, target, security], { env: trusting });
    const { simple, ...told } = JSON.parse(ran.stdout.toString());

    const { id, ...answer } = simple;
    assert.deepEqual(answer, { code: status.OK, details: 'OK', trailer: ['the end'], value: 'hello' });
    assert.deepEqual(told, {
      large: { code: status.OK, same: true },
      serverStreaming: { code: status.OK, trailer: ['the end'], count: 1_000, ordered: true },
      clientStreaming: { code: status.OK, sum: '499500' },
      bothStreaming: { code: status.OK, values: 100, last: 'you said 99' },
      failing: {
        code: status.FAILED_PRECONDITION,
        details: 'not like this: 100 %',
        trailer: ['the end'],
        value: null,
      },
      failingLate: { code: status.DATA_LOSS, details: 'no more', trailer: ['the end'], count: 3 },
      late: { code: status.DEADLINE_EXCEEDED },
      slow:
        name === 'tunnel'
          ? { code: status.DEADLINE_EXCEEDED, hinted: false }
          : { code: status.UNAVAILABLE, hinted: true },
      cancelled: { code: status.CANCELLED, count: 3 },
      many: 50,
    });
    const [asked] = origin.asked;
    assert.deepEqual(asked?.get('x-asked'), ['this']);
    assert.deepEqual(asked?.get('x-asked-bin'), [Buffer.from([0, 255, 10, 13])]);
    await until(
      () => origin.cancelled.length === 2,
      `the origin to be told of both that gave up, not ${origin.cancelled.join()}`,
    );
    assert.deepEqual(origin.cancelled.toSorted(), ['3 then wait', 'deadline']);
    assert.ok(origin.deadlineMs > 0 && origin.deadlineMs <= 300, `a deadline of ${origin.deadlineMs} ms`);
    if (name === 'tunnel') {
      const [line] = await sidecar.exchangeLines(1);
      assert.deepEqual([line?.method, line?.via, line?.error], ['CONNECT', 'tunnel', null]);
      return;
    }
    assert.equal(asked?.get('x-request-id')[0], id);
    await proveLogged(sidecar, name, id);
  });
}

/** Each call is an exchange of its own. */
async function proveLogged(sidecar: SidecarProcess, via: string, id: string): Promise<void> {
  const posts = () => sidecar.exchanges.filter(({ method }) => method === 'POST');
  await until(() => posts().length >= 60, `60 lines; so far: ${sidecar.stdout}`);
  const calls = posts();
  assert.equal(calls.length, 60);
  assert.ok(calls.every((line) => line.via === via && line.attempts.length === 1));
  assert.deepEqual([calls[0]?.requestId, calls[0]?.path], [id, `/${NAME}/Echo`]);
  const unfinished = calls
    .filter(({ outcome }) => outcome !== 'completed')
    .map(({ path, outcome }) => `${outcome} ${path?.split('/').at(-1)}`)
    // At the deadline both sides give up, and the one that is first has its way.
    .filter((each) => each !== 'aborted Never');
  assert.deepEqual(unfinished, ['failed Never', 'aborted Count']);
  assert.equal(calls.find(({ outcome }) => outcome === 'failed')?.error, 'http_response_timeout');
}
