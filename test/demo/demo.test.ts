/**
 * The demo as a newcomer runs it, shorter. Its figures are asserted with room for a busy machine; what it promises on
 * a quiet one it says itself, by its exit code.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { folder, OutriggerProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

const DEMO = fileURLToPath(new URL('demo.ts', import.meta.url));
/** Every process of the demo has it in its environment. */
const MARK = 'DEMO_MARK';

class Demo extends OutriggerProcess {
  readonly mark: string;

  constructor(t: TestContext, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const mark = randomUUID();
    super(t, args, { env: { ...env, [MARK]: mark }, program: [process.execPath, DEMO] });
    this.mark = mark;
  }

  /** Its processes, itself included. */
  get processes(): string[] {
    return readdirSync('/proc').filter((id) => {
      if (!/^\d+$/.test(id)) return false;
      try {
        return readFileSync(`/proc/${id}/environ`, 'latin1').includes(`${MARK}=${this.mark}`);
      } catch {
        // Gone meanwhile, or somebody else's.
        return false;
      }
    });
  }

  async says(words: string): Promise<void> {
    await until(
      () => this.stdout.includes(words) || !this.running,
      `"${words}"; so far: ${this.stdout}${this.stderr}`,
      60_000,
    );
    assert.ok(this.stdout.includes(words), `${this.stdout}${this.stderr}`);
  }
}

test('while a vendor hangs the pool of the service is its end, and with the sidecar it is not', async (t) => {
  const out = folder(t);
  const demo = new Demo(t, ['--seconds', '10', '--out', out]);
  const { code } = await demo.end(90_000);
  assert.ok(code === 0 || code === 1, `${code}: ${demo.stdout}${demo.stderr}`);
  const { direct, sidecar } = JSON.parse(readFileSync(join(out, 'figures.json'), 'utf8'));
  assert.ok(direct.figures.before.answeredShare > 0.95, 'direct, all is well before');
  assert.equal(direct.run.hungConnections, 20, 'all of the pool is with the vendor that hangs');
  // In 3.4 s the pool needs about 0.7 s to run dry.
  assert.ok(direct.figures.hanging.answeredShare < 0.5, demo.stdout);
  assert.ok(sidecar.figures.hanging.answeredShare > 0.95, demo.stdout);
  assert.ok(sidecar.figures.hanging.healthyShare > 0.98, demo.stdout);
  // 8 are configured; a vendor that is held up may accept another before it is told that one was reset.
  assert.ok(sidecar.run.hungConnections <= 8 + 2, demo.stdout);
  assert.equal(sidecar.run.duplicates, 0);
  assert.notEqual(sidecar.figures.recoveryMs, null, demo.stdout);
  assert.match(demo.stdout, /^device hangs: scores answered +[\d.]+ % +[\d.]+ %$/m);
  assert.match(readFileSync(join(out, 'latency.svg'), 'utf8'), /<svg /);
  assert.deepEqual(demo.processes, []);
});

test('with --keep all of it stays, to be tried as the demo says, until it is ended', async (t) => {
  const demo = new Demo(t, ['--seconds', '3', '--keep', '--out', folder(t)]);
  await demo.says('until Ctrl-C');
  const [, control = ''] = / -d hanging (\S+)/.exec(demo.stdout) ?? [];
  const [, admin = ''] = /(http\S+)\/origins/.exec(demo.stdout) ?? [];
  const [, service = ''] = /X-Score-Id: 1' (\S+)/.exec(demo.stdout) ?? [];
  const [, proxy = '', vendor = ''] = /curl -i -x (\S+) (\S+)/.exec(demo.stdout) ?? [];
  assert.equal((await fetch(service, { method: 'POST', headers: { 'X-Score-Id': '1' } })).status, 200);
  assert.equal((await fetch(control, { method: 'POST', body: 'hanging' })).status, 200);
  const circuit = async (): Promise<string> => {
    const { origins } = (await (await fetch(`${admin}/origins`)).json()) as {
      origins: { origin: string; circuit: string }[];
    };
    return origins.find(({ origin }) => vendor.startsWith(origin))?.circuit ?? 'none';
  };
  const endMs = performance.now() + 10_000;
  while ((await circuit()) !== 'open') assert.ok(performance.now() < endMs, 'the circuit opens');
  assert.match(proxy, /^http:\/\/127\.0\.0\.1:\d+$/);
  demo.signal('SIGINT');
  assert.equal((await demo.end()).code, 130);
  assert.deepEqual(demo.processes, []);
});

test('ended in the middle of a run it leaves nothing behind', async (t) => {
  const demo = new Demo(t, ['--out', folder(t)]);
  await demo.says('warming up');
  assert.ok(demo.processes.length >= 3, 'itself, the vendors and the service');
  demo.signal('SIGTERM');
  assert.equal((await demo.end()).code, 143);
  assert.deepEqual(demo.processes, []);
});

test('a folder of which nobody has been told goes with it', async (t) => {
  const temporary = folder(t);
  const demo = new Demo(t, [], { TMPDIR: temporary });
  await demo.says('warming up');
  assert.equal(readdirSync(temporary).length, 1);
  demo.signal('SIGINT');
  assert.equal((await demo.end()).code, 130);
  assert.deepEqual(readdirSync(temporary), []);
});

test('killed it takes its processes with it', async (t) => {
  const demo = new Demo(t, ['--out', folder(t)]);
  await demo.says('warming up');
  demo.signal('SIGKILL');
  await demo.end();
  await until(() => demo.processes.length === 0, 'all of its processes to end');
});

test('a wrong argument ends it with exit code 2, before anything is started', async (t) => {
  const out = join(folder(t), 'none');
  for (const args of [
    ['--second', '3'],
    ['--seconds', 'x', '--out', out],
  ]) {
    const demo = new Demo(t, args);
    assert.equal((await demo.end()).code, 2);
    assert.match(demo.stderr, /second/);
  }
  assert.ok(!existsSync(out));
});
