import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { endWith, environment, folder } from '../support/process.ts';
import { program, run, runWell } from '../support/program.ts';
import { ClientStage } from './stage.ts';
import { PROMISE, paths, WAYS, type Way, WaysStage } from './ways.ts';

const WHO = {
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b.example',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b.example',
};
/** Git looks at no configuration but its own defaults. */
const PLAIN = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  ...WHO,
};

/** `git http-backend`, by RFC 3875 as far as git needs it. */
function cgi(t: TestContext, git: string, root: string) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const { pathname, search } = new URL(request.url ?? '', 'http://origin.example');
    const backend = spawn(git, ['http-backend'], {
      env: environment({
        ...PLAIN,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        REQUEST_METHOD: request.method ?? '',
        PATH_INFO: pathname,
        QUERY_STRING: search.slice(1),
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        CONTENT_LENGTH: request.headers['content-length'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      }),
    });
    endWith(t, backend);
    request.pipe(backend.stdin);
    backend.stdin.on('error', () => {});
    let head = Buffer.alloc(0);
    const onHead = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      backend.stdout.off('data', onHead);
      for (const line of head.subarray(0, end).toString().split('\r\n')) {
        const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
        if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
        else response.setHeader(name, value);
      }
      response.write(head.subarray(end + 4));
      backend.stdout.pipe(response);
    };
    backend.stdout.on('data', onHead);
  };
}

test('git: clone and push over HTTP, with a file of 5 MB, both ways whole', async (t) => {
  const git = program(t, 'git', 'git');
  if (git === null) return;
  const root = folder(t);
  const stage = await ClientStage.start(t, cgi(t, git, root));
  const env = { ...PLAIN, ...stage.env };
  const inside = (path: string, ...args: string[]) => runWell(t, git, ['-C', path, ...args], { env });

  const bare = join(root, 'project.git');
  await runWell(t, git, ['init', '-q', '--bare', '-b', 'main', bare], { env });
  await inside(bare, 'config', 'http.receivepack', 'true');

  const first = join(folder(t), 'first');
  const second = join(folder(t), 'second');
  const content = randomBytes(5_000_000);
  await runWell(t, git, ['clone', '-q', `${stage.url}/project.git`, first], { env });
  writeFileSync(join(first, 'large'), content);
  await inside(first, 'add', 'large');
  await inside(first, 'commit', '-q', '-m', 'a large file');
  await inside(first, 'push', '-q', 'origin', 'HEAD:main');
  await runWell(t, git, ['clone', '-q', `${stage.url}/project.git`, second], { env });
  assert.ok(readFileSync(join(second, 'large')).equals(content));

  const lines = await stage.proveLogged();
  const push = lines.find(
    ({ path, requestBytes }) => path?.endsWith('/git-receive-pack') && requestBytes > 5_000_000,
  );
  assert.ok(push, 'a POST of more than 5 MB');
  const clone = lines.find(
    ({ path, responseBytes }) => path?.endsWith('/git-upload-pack') && responseBytes > 5_000_000,
  );
  assert.ok(clone, 'a response of more than 5 MB');
});

test(`git clone by every way: ${PROMISE}`, async (t) => {
  const git = program(t, 'git', 'git');
  if (git === null) return;
  const root = folder(t);
  const serve = cgi(t, git, root);
  const stage = await WaysStage.start(t, (request, response) => {
    request.url = request.url?.replace(/^\/ok\/(?:flaky\/)?\w+/, '') ?? '';
    serve(request, response);
  });
  if (stage === null) return;
  const source = join(root, 'project.git');
  await runWell(t, git, ['init', '-q', '-b', 'main', source], { env: PLAIN });
  await runWell(t, git, ['-C', source, 'commit', '-q', '--allow-empty', '-m', 'first'], { env: PLAIN });

  const clone = (way: Way, path: string) => {
    const url = `${stage.url(way)}${path}/project.git`;
    const env = { ...PLAIN, ...stage.env(way), GIT_TRACE_CURL: '1' };
    return run(t, git, ['clone', '-q', url, join(folder(t), 'clone')], { env });
  };
  // The advertisement of what there is, then the objects.
  const proveWay = async (way: Way): Promise<void> => {
    for (const [i, path] of paths(way).slice(0, 2).entries()) {
      const cloned = await clone(way, path);
      assert.equal(cloned.code, 0, cloned.stderr);
      const lines = await stage.lines(path, 3);
      for (const line of lines) {
        assert.deepEqual([line.via, line.outcome, line.status], [way, 'completed', 200]);
        const header = new RegExp(`<= Recv header: x-request-id: ${line.requestId}\\s`, 'i');
        assert.match(cloned.stderr, header);
        const ids = stage.seen(path).map(({ headers }) => headers['x-request-id']);
        assert.ok(ids.includes(line.requestId), 'the ID that the origin saw');
      }
      assert.equal(lines[0]?.attempts.length, i + 1, `${path}: attempts`);
    }
    const [, , path = ''] = paths(way);
    const failed = await clone(way, path);
    assert.equal(failed.code, 128);
    assert.match(failed.stderr, /The requested URL returned error: 504/);
    const [line] = await stage.lines(path);
    assert.deepEqual([line?.via, line?.status, line?.error], [way, 504, 'http_response_timeout']);
  };
  const proveTunnel = async (): Promise<void> => {
    const cloned = await clone('tunnel', '/ok/tunnel');
    assert.equal(cloned.code, 0, cloned.stderr);
    await stage.proveTunnel();
  };
  await Promise.all([...WAYS.map(proveWay), proveTunnel()]);
});
