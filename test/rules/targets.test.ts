/** F: request line, target and Host (RFC 9112, section 3; RFC 9110, sections 4 and 7). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../support/cast.ts';
import { Http2Caller } from '../support/http2-caller.ts';
import { messagesOf } from '../support/messages.ts';
import { Recorder } from '../support/recorder.ts';
import { valuesOf } from '../support/reference-message.ts';
import { type Case, everyWay, passes, refusedOn, requestText, type Way } from './ways.ts';

const absolute = (ways: readonly Way[]): Way[] => ways.filter(({ name }) => name === 'absolute form');
const fixed = (what: string, text: string): Case => [what, () => text];

test('F01 the target of an absolute form decides: origin form and its Host go on, whatever Host came', () =>
  everyWay(async (ways) => {
    for (const way of absolute(ways))
      for (const host of ['evil.test', 'EVIL.test:80', way.authority]) {
        const { seen, line } = await passes(
          way,
          requestText(way, { path: '/a?b', host: `Host: ${host}\r\n` }),
        );
        assert.deepEqual(seen.start, ['GET', '/a?b', 'HTTP/1.1']);
        assert.deepEqual(valuesOf(seen.fields, 'host'), [way.authority]);
        assert.deepEqual([line.host, line.port], ['127.0.0.1', way.recorder.port]);
      }
  }));

test('F01 on every other way Host is what the way says, and one that disagrees inside a tunnel reaches nobody', () =>
  everyWay(async (ways) => {
    for (const way of ways) {
      const { seen } = await passes(way, requestText(way));
      assert.deepEqual(valuesOf(seen.fields, 'host'), [way.authority], way.name);
    }
    const inside = ways.filter(({ name }) => name === 'inside a tunnel' || name === 'interception');
    const other: Case[] = [
      ['a Host of somewhere else', (way) => requestText(way, { host: 'Host: evil.test\r\n' })],
      ['a target of somewhere else', (way) => requestText(way, { target: 'http://evil.test/' })],
    ];
    await refusedOn(inside, other, { status: 421 });
  }));

test('F02 an empty path goes on as the root, and an OPTIONS without one asks about the whole server', () =>
  everyWay(async (ways) => {
    for (const way of absolute(ways)) {
      const url = `http://${way.authority}`;
      assert.equal((await passes(way, requestText(way, { target: url }))).seen.start[1], '/');
      assert.equal((await passes(way, requestText(way, { target: `${url}?q` }))).seen.start[1], '/?q');
      const options = { method: 'OPTIONS', target: url };
      assert.equal((await passes(way, requestText(way, options))).seen.start[1], '*');
      assert.equal(
        (await passes(way, requestText(way, { ...options, target: `${url}/` }))).seen.start[1],
        '/',
      );
      assert.equal(
        (await passes(way, requestText(way, { ...options, target: `${url}?` }))).seen.start[1],
        '/?',
      );
    }
  }));

// biome-ignore format: a list
const PATHS = ['/', '/a/../b', '/a/./b', '//x', '/a//b/', '/%2e%2e/', '/%2F%2f', '/;p=1;q', '/a|b^c', '/[x]', '/?', '/x?', '/x?a=[1]&b={2}', '/%00', '/~a!b$c&d\'e(f)g*h+i,j;k=l:m@n', '/"<>`', `/${'a'.repeat(8_000)}`];

test('F03 path and query go on byte for byte', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const path of PATHS) {
        const { seen } = await passes(way, requestText(way, { path }));
        assert.equal(seen.start[1], path, way.name);
      }
  }));

test('F03 raw UTF-8 in a target is refused', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      ['in the path', (way) => requestText(way, { path: '/\xc3\xa9' })],
      ['in the query', (way) => requestText(way, { path: '/?\xc3\xa9' })],
      ['in Latin-1', (way) => requestText(way, { path: '/\xe9' })],
    ]),
  ));

test('F04 a path at the forward port is no request to anywhere, and the sidecar never asks itself', () =>
  stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    for (const target of ['/', '/livez', '/x']) {
      const caller = await cast.raw();
      caller.write(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${cast.sidecar.port}\r\n\r\n`);
      const answer = messagesOf(await caller.until((text) => text.includes('}')))[0];
      // Documented: a path belongs to a prefix, and the answer names those that there are.
      assert.equal(answer?.status, 404);
      assert.equal((await cast.sidecar.line(cast.expected)).attempts.length, 0);
    }
    for (const host of ['127.0.0.1', 'localhost', '127.1', '[::ffff:127.0.0.1]', '0.0.0.0']) {
      const { status } = await cast.call(`http://${host}:${cast.sidecar.port}/`);
      assert.ok(status === 403 || status === 404, `${host}: ${status}`);
    }
  }));

test('F05 TRACE and a server-wide OPTIONS end here, and Max-Forwards counts for TRACE and OPTIONS alone', () =>
  everyWay(async (ways) => {
    const ends: Case[] = [
      ['TRACE', (way) => requestText(way, { method: 'TRACE' })],
      ['TRACE with hops left', (way) => requestText(way, { method: 'TRACE', lines: 'Max-Forwards: 3\r\n' })],
      ['OPTIONS *', (way) => requestText(way, { method: 'OPTIONS', target: '*' })],
      [
        'OPTIONS, no hop left',
        (way) => requestText(way, { method: 'OPTIONS', lines: 'Max-Forwards: 0\r\n' }),
      ],
    ];
    await refusedOn(ways, ends, { status: 405 });
    for (const way of ways) {
      const left = async (method: string, lines: string): Promise<string[]> =>
        valuesOf((await passes(way, requestText(way, { method, lines }))).seen.fields, 'max-forwards');
      assert.deepEqual(await left('OPTIONS', 'Max-Forwards: 7\r\n'), ['6'], way.name);
      assert.deepEqual(await left('GET', 'Max-Forwards: 0\r\n'), ['0'], way.name);
      assert.deepEqual(await left('OPTIONS', ''), [], way.name);
    }
  }));

// biome-ignore format: a list
const BAD_HOSTS = ['', 'a b', 'a,b', 'u@h', 'u:p@h', 'a/b', 'a?b', 'a#b', 'a\\b', 'http://a', '[::1', '::1]', 'a:b', 'a:80:80', ':80', '\xc3\xa9', 'a"b', '<a>'];

test('F06 no Host, two Hosts and a Host that is no authority are refused on every way', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      ['none', (way) => requestText(way, { host: '' })],
      ['two', (way) => requestText(way, { lines: 'Host: evil.test\r\n' })],
      ['two alike', (way) => requestText(way, { lines: `host: ${way.authority}\r\n` })],
      ...BAD_HOSTS.map(
        (host): Case => [JSON.stringify(host), (way) => requestText(way, { host: `Host: ${host}\r\n` })],
      ),
    ]),
  ));

test('F06 HTTP/1.0 needs no Host in absolute form', () =>
  everyWay(async (ways) => {
    for (const way of absolute(ways)) {
      const { seen } = await passes(way, requestText(way, { version: 'HTTP/1.0', host: '' }));
      assert.deepEqual(valuesOf(seen.fields, 'host'), [way.authority]);
    }
  }));

test('F07 userinfo, fragment and backslash in a target are refused before anything is dialled, and never logged', () =>
  everyWay(async (ways, cast) => {
    const forAll: Case[] = [
      ['a fragment', (way) => requestText(way, { path: '/a#b' })],
      ['a fragment in the query', (way) => requestText(way, { path: '/a?b#c' })],
      ['a backslash in the path', (way) => requestText(way, { path: '/a\\b' })],
    ];
    await refusedOn(ways, forAll);
    const authorities: Case[] = ['u:canary@', 'u@', '@', ':canary@', 'u:p@w:canary@'].map((info) => [
      `userinfo ${info}`,
      (way) => requestText(way, { target: `http://${info}${way.authority}/` }),
    ]);
    const other: Case[] = [
      [
        'an authority behind a backslash',
        (way) => requestText(way, { target: `http://${way.authority}\\@evil.test/` }),
      ],
      [
        'a fragment behind the authority',
        (way) => requestText(way, { target: `http://${way.authority}#@evil.test/` }),
      ],
      [
        'an authority that begins with a backslash',
        (way) => requestText(way, { target: `http:\\\\${way.authority}/` }),
      ],
    ];
    await refusedOn(absolute(ways), [...authorities, ...other]);
    assert.equal(cast.sidecar.lines.join('').includes('canary'), false);
  }));

test('F07 the authority of HTTP/2 is as strict', () =>
  everyWay(async (ways, cast) => {
    const [way] = absolute(ways) as [Way];
    const caller = await Http2Caller.connect(cast.sidecar.port);
    for (const fields of [
      { ':authority': `u:p@${way.authority}` },
      { ':authority': `${way.authority}/x` },
      { ':authority': `${way.authority},evil.test` },
      { ':path': '/a#b' },
      { ':path': '/a\\b' },
      { ':path': 'x' },
      { host: 'evil.test' },
    ]) {
      const { status, code } = await caller.call(`http://${way.authority}/`, fields);
      assert.ok(
        status === 400 || (status === undefined && code !== 0),
        `${JSON.stringify(fields)}: ${status}`,
      );
    }
    cast.expected = cast.sidecar.exchanges.length;
    assert.equal(way.recorder.connections, 0);
    caller.leave();
  }));

test('F08 a scheme other than http and https is refused; https is spoken to its origin over TLS', () =>
  everyWay(async (ways) => {
    const schemes = ['ftp', 'file', 'gopher', 'ws', 'http+unix', 'unix', 'javascript', 'httpx', 'h', ''];
    await refusedOn(
      absolute(ways),
      schemes.map(
        (scheme): Case => [scheme, (way) => requestText(way, { target: `${scheme}://${way.authority}/` })],
      ),
    );
    const [way] = absolute(ways) as [Way];
    const secure = ways.find(({ name }) => name === 'interception') as Way;
    const peer = await way.open();
    peer.write(requestText(way, { target: `https://${secure.authority}/over-tls` }));
    assert.equal((await peer.answered()).status, 200);
    assert.equal(secure.recorder.requests.at(-1)?.start[1], '/over-tls');
  }));

test('F09 HTTP/1.0 and HTTP/1.1 are spoken, no other version is, and HTTP/1.1 goes on', () =>
  everyWay(async (ways) => {
    // Another minor version could be read as 1.1; nobody sends one, and who does is not understood.
    const versions = [
      'HTTP/1.2',
      'HTTP/0.9',
      'HTTP/2.0',
      'HTTP/3.0',
      'http/1.1',
      'HTTP/1',
      'HTTP/1.10',
      'HTTP/01.1',
      'HTTPS/1.1',
      'HTTP/1.1x',
    ];
    await refusedOn(
      ways,
      versions.map((version): Case => [version, (way) => requestText(way, { version })]),
    );
    await refusedOn(ways, [
      ['HTTP/0.9', (way) => `GET ${way.target('/x')}\r\n\r\n`],
      fixed('another preface than that of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nTM\r\n\r\n'),
    ]);
    for (const way of ways) {
      const { seen } = await passes(way, requestText(way, { version: 'HTTP/1.0' }));
      assert.equal(seen.start[2], 'HTTP/1.1', way.name);
    }
  }));

test('F10 any token is a method and keeps its case; what is no token, or longer than 64, is refused', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const method of ['PURGE', 'PROPFIND', 'get', 'Post', 'QUERY', 'X-MADE.UP!', 'A'.repeat(64)]) {
        const { seen, line } = await passes(way, requestText(way, { method }));
        // The log holds as much of a name as somebody reads.
        assert.deepEqual([seen.start[0], line.method], [method, method.slice(0, 32)], way.name);
      }
    await refusedOn(
      ways,
      ['G@T', 'GE(T', 'G\x00T', 'G\xe9T', 'GET/', '"GET"', 'A'.repeat(65)].map(
        (method): Case => [JSON.stringify(method), (way) => requestText(way, { method })],
      ),
    );
  }));

test('F11 a line that is too long is a 414, a head or a number of fields that is too large a 431, and the connection ends', () =>
  everyWay(async (ways) => {
    const long = `/${'a'.repeat(17_000)}`;
    await refusedOn(ways, [['a target', (way) => requestText(way, { path: long })]], { status: 414 });
    const large: Case[] = [
      ['a value', (way) => requestText(way, { lines: `X: ${'a'.repeat(33_000)}\r\n` })],
      ['a name', (way) => requestText(way, { lines: `${'a'.repeat(33_000)}: x\r\n` })],
      ['many values', (way) => requestText(way, { lines: `X: ${'a'.repeat(900)}\r\n`.repeat(40) })],
      ['many fields', (way) => requestText(way, { lines: 'X: 1\r\n'.repeat(201) })],
    ];
    await refusedOn(ways, large, { status: 431 });
  }));

test('F12 some empty lines before a request are no matter, many are refused', () =>
  everyWay(async (ways) => {
    for (const way of ways)
      for (const count of [1, 4]) await passes(way, '\r\n'.repeat(count) + requestText(way));
    await refusedOn(ways, [['many', (way) => '\r\n'.repeat(20) + requestText(way)]]);
  }));

test('F13 white space where none belongs is refused: before the line, in it, behind it, before the first field', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      ['before the line', (way) => ` ${requestText(way)}`],
      ['a tab before the line', (way) => `\t${requestText(way)}`],
      ['before the first field', (way) => requestText(way, { host: ` Host: ${way.authority}\r\n` })],
      [
        'a blank line that is not empty',
        (way) => requestText(way, { host: ` \r\nHost: ${way.authority}\r\n` }),
      ],
      ['two spaces', (way) => requestText(way).replace('GET ', 'GET  ')],
      ['two spaces before the version', (way) => requestText(way).replace(' HTTP/1.1', '  HTTP/1.1')],
      ['tabs', (way) => requestText(way).replace('GET ', 'GET\t')],
      ['a form feed', (way) => requestText(way).replace(' HTTP/1.1', '\x0cHTTP/1.1')],
      ['behind the version', (way) => requestText(way).replace('HTTP/1.1', 'HTTP/1.1 ')],
      ['in the target', (way) => requestText(way, { path: '/a b' })],
      ['two versions', (way) => requestText(way, { version: 'HTTP/1.1 HTTP/1.0' })],
    ]),
  ));

test('F14 a line ends with CR LF and nothing else; control bytes and folded lines are refused', () =>
  everyWay((ways) =>
    refusedOn(ways, [
      ['LF alone', (way) => requestText(way).replaceAll('\r\n', '\n')],
      ['LF behind the request line', (way) => requestText(way).replace('HTTP/1.1\r\n', 'HTTP/1.1\n')],
      ['LF behind a field', (way) => requestText(way, { lines: 'X: a\nY: b\r\n' })],
      ['LF at the end of the head', (way) => requestText(way).replace(/\r\n\r\n$/, '\r\n\n')],
      ['CR in a value', (way) => requestText(way, { lines: 'X: a\rb\r\n' })],
      ['CR behind the request line', (way) => requestText(way).replace('HTTP/1.1\r\n', 'HTTP/1.1\r')],
      ['CR CR LF', (way) => requestText(way, { lines: 'X: a\r\r\n' })],
      ['NUL in a value', (way) => requestText(way, { lines: 'X: a\0b\r\n' })],
      ['NUL in a name', (way) => requestText(way, { lines: 'X\0Y: b\r\n' })],
      ['NUL in the target', (way) => requestText(way, { path: '/\0' })],
      ['BEL in a value', (way) => requestText(way, { lines: 'X: a\x07b\r\n' })],
      ['ESC in a value', (way) => requestText(way, { lines: 'X: \x1b[31m\r\n' })],
      ['DEL in a value', (way) => requestText(way, { lines: 'X: a\x7fb\r\n' })],
      ['DEL in the target', (way) => requestText(way, { path: '/\x7f' })],
      ['a folded value', (way) => requestText(way, { lines: 'X: a\r\n b\r\n' })],
      ['a value folded with a tab', (way) => requestText(way, { lines: 'X: a\r\n\tb\r\n' })],
      ['a folded Host', (way) => requestText(way, { host: `Host:\r\n ${way.authority}\r\n` })],
    ]),
  ));

test('F15 a name is a token up to its colon; one with an underscore goes on as it is', () =>
  everyWay(async (ways) => {
    await refusedOn(ways, [
      ['a space before the colon', (way) => requestText(way, { lines: 'X : a\r\n' })],
      ['a tab before the colon', (way) => requestText(way, { lines: 'X\t: a\r\n' })],
      ['an empty name', (way) => requestText(way, { lines: ': a\r\n' })],
      ['no colon', (way) => requestText(way, { lines: 'X a\r\n' })],
      ['a name that is no token', (way) => requestText(way, { lines: 'X@Y: a\r\n' })],
      ['a name in brackets', (way) => requestText(way, { lines: '[X]: a\r\n' })],
      ['a name outside ASCII', (way) => requestText(way, { lines: 'X\xe9: a\r\n' })],
    ]);
    for (const way of ways) {
      const { seen } = await passes(way, requestText(way, { lines: 'X_Under_Score: 1\r\n' }));
      assert.ok(
        seen.fields.some(([name, value]) => name === 'X_Under_Score' && value === '1'),
        way.name,
      );
    }
  }));

test('F08 F09 F10 over HTTP/2 there are the same schemes and methods, and HTTP/1.1 goes on', async () => {
  const recorder = await Recorder.start();
  await stage('policy: { retry: { attempts: 1 } }', async (cast) => {
    cast.atEnd(() => recorder.close());
    const caller = await Http2Caller.connect(cast.sidecar.port);
    const url = `http://127.0.0.1:${recorder.port}/`;
    for (const method of ['PURGE', 'get', 'QUERY']) {
      assert.equal((await caller.call(url, { ':method': method })).status, 200, method);
      assert.deepEqual(recorder.requests.at(-1)?.start, [method, '/', 'HTTP/1.1']);
    }
    const seen = recorder.requests.length;
    for (const fields of [
      { ':scheme': 'ftp' },
      { ':scheme': 'file' },
      { ':method': 'TRACE' },
      { ':method': 'G@T' },
    ]) {
      const { status } = await caller.call(url, fields);
      assert.ok(
        status === undefined || (status >= 400 && status < 500),
        `${JSON.stringify(fields)}: ${status}`,
      );
    }
    assert.equal(recorder.requests.length, seen);
    cast.expected = cast.sidecar.exchanges.length;
    caller.leave();
  });
});
