import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspectNodeSettings } from '../../../src/cli/node-settings.ts';

const NOTHING = { refused: [], warnings: [] };

test('an ordinary environment is not spoken of', () => {
  const env = {
    PATH: '/bin',
    NODE_OPTIONS: '--max-old-space-size=64 --import=./x.mjs --title="--inspect"',
    NODE_DEBUG: 'module,timer',
    NODE_TLS_REJECT_UNAUTHORIZED: '1',
    SSLKEYLOGFILE: '',
    HTTP_PROXY: 'http://127.0.0.1:1',
  };
  assert.deepEqual(inspectNodeSettings(env, ['--disable-sigusr1', '--enable-source-maps']), NOTHING);
});

test('what lets others in, copies secrets out or makes parsers lenient is refused, in every spelling', () => {
  const options = [
    '--inspect',
    '--inspect=0.0.0.0:9229',
    '--inspect-brk',
    '--inspect-brk-node',
    '--inspect_brk=1',
    '--inspect-wait',
    '--inspect-port=0',
    '--insecure-http-parser',
    '--insecure_http_parser',
    '--tls-keylog=/tmp/keys',
    '--heapsnapshot-signal=SIGUSR2',
    '--heapsnapshot-near-heap-limit=1',
    '--report-on-signal',
    '--report-uncaught-exception',
    '--report-on-fatalerror',
    '--trace-tls',
    '--experimental-config-file=/tmp/node.config.json',
    '--experimental-default-config-file',
    '--tls-cipher-list=ALL:@SECLEVEL=0',
    '--security-revert=CVE-2023-46809',
  ];
  for (const option of options) {
    for (const NODE_OPTIONS of [
      option,
      `--no-warnings  ${option} --x`,
      `"${option}"`,
      option.replace('=', '="') + (option.includes('=') ? '"' : ''),
    ]) {
      const { refused, warnings } = inspectNodeSettings({ NODE_OPTIONS }, []);
      assert.deepEqual([refused.length, warnings], [1, []], NODE_OPTIONS);
      assert.doesNotMatch(refused[0] ?? '', /tmp|9229/);
    }
    assert.equal(inspectNodeSettings({}, [option]).refused.length, 1, option);
  }
  for (const NODE_DEBUG of ['http', 'module, HTTP2', '*', 'tls,net']) {
    assert.equal(inspectNodeSettings({ NODE_DEBUG }, []).refused.length, 1, NODE_DEBUG);
  }
});

test('what has no effect, and what has one that is easily overlooked, is one warning each, without its value', () => {
  const env = {
    NODE_OPTIONS: '--tls-min-v1.0 --use-env-proxy',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    SSLKEYLOGFILE: '/c4n4ry',
    NODE_EXTRA_CA_CERTS: '/c4n4ry',
  };
  const { refused, warnings } = inspectNodeSettings(env, []);
  assert.deepEqual(refused, []);
  assert.equal(warnings.length, 5);
  assert.doesNotMatch(warnings.join(), /c4n4ry/);
});
