import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseArguments } from '../../../src/cli/arguments.ts';

test('run is what happens without a command', () => {
  assert.deepEqual(parseArguments([]), { command: 'run', files: [], set: [] });
  assert.deepEqual(parseArguments(['--config', 'a.yaml']), {
    command: 'run',
    files: ['a.yaml'],
    set: [],
  });
  assert.deepEqual(parseArguments(['run']), { command: 'run', files: [], set: [] });
});

test('files are kept in order, before and after the command', () => {
  const argv = ['--config', 'a.yaml', 'check', '--config=b.yaml', '--config', '-'];
  assert.deepEqual(parseArguments(argv), {
    command: 'check',
    files: ['a.yaml', 'b.yaml', '-'],
    set: [],
  });
});

test('help and version win over everything that is right', () => {
  for (const argv of [
    ['--help'],
    ['-h'],
    ['help'],
    ['check', '--help'],
    ['help', 'check'],
    ['--config', 'a', '-h'],
  ]) {
    assert.deepEqual(parseArguments(argv), { command: 'help' }, argv.join(' '));
  }
  assert.deepEqual(parseArguments(['--version']), { command: 'version' });
});

test('wrong usage is one line with what was probably meant and a hint to --help', () => {
  const cases: [string[], RegExp][] = [
    [['chekc'], /unknown command "chekc"; did you mean check\?/],
    [
      ['frobnicate'],
      /unknown command "frobnicate"; the commands are run, check, explain, diff, schema, env, exec, wait, help/,
    ],
    [['--confg', 'a'], /unknown option --confg; did you mean --config\?/],
    [['-x'], /unknown option -x/],
    [['--config'], /--config needs the name of a file/],
    [['--config='], /--config needs the name of a file/],
    [['--config', '--help'], /--config needs the name of a file/],
    [['--help=yes'], /--help takes no value/],
    [['check', 'a.yaml'], /check takes no "a.yaml"; files are given with --config FILE/],
    [['run', '--', 'x'], /run takes no "x"/],
    [['exec'], /exec needs its command after --/],
    [['exec', '--'], /exec needs its command after --/],
    [['exec', '--', ''], /exec needs its command after --/],
    [['exec', 'true'], /exec needs its command after --/],
    [['exec', 'true', '--', 'x'], /exec needs its command after --/],
    [['wait', '--timeout'], /--timeout needs a duration/],
    [['wait', '--timeout', 'soon'], /--timeout needs a duration/],
    [['run', '--timeout', '1s'], /run takes no --timeout/],
    [['wait', 'x'], /wait takes no "x"/],
    [['explain'], /explain needs a method and a URL/],
    [['explain', 'GET'], /explain needs a method and a URL/],
    [['explain', 'GET', 'http://a', 'b'], /explain takes no "b"/],
    [['diff', 'a.yaml'], /diff needs the old and the new file/],
    [['diff', 'a', 'b', '--config', 'c'], /diff takes no --config/],
    [['diff', 'a', 'b', '--log', 'c', '--log', 'd'], /--log can be given once/],
    [['check', '--json'], /check takes no --json/],
    [['schema', 'x'], /schema takes no "x"/],
    [['schema', '--config', 'x'], /schema takes no --config/],
    [['run', '--set', 'policy'], /--set needs PATH=VALUE/],
    [['run', '--set', '=1'], /--set needs PATH=VALUE/],
    [['explain', 'GET', 'http://a', '--json=yes'], /--json takes no value/],
  ];
  for (const [argv, pattern] of cases) {
    const result = parseArguments(argv);
    assert.ok(result.command === 'wrong', argv.join(' '));
    assert.match(result.message, pattern);
    assert.match(result.message, /^outrigger: [^\n]* \(see outrigger --help\)$/);
  }
});

test('explain and diff take what they are about, and schema nothing', () => {
  assert.deepEqual(
    parseArguments(['explain', 'GET', 'http://a/', '--client', 'pay', '--json', '--set', 'log.level=warn']),
    {
      command: 'explain',
      method: 'GET',
      url: 'http://a/',
      client: 'pay',
      json: true,
      files: [],
      set: ['log.level=warn'],
    },
  );
  assert.deepEqual(parseArguments(['diff', 'a.yaml:b.yaml', 'c.yaml', '--log=-']), {
    command: 'diff',
    before: 'a.yaml:b.yaml',
    after: 'c.yaml',
    log: '-',
    set: [],
    json: false,
  });
  assert.deepEqual(parseArguments(['schema']), { command: 'schema' });
});

test('exec takes everything after -- as it is', () => {
  const argv = ['exec', '--config', 'a.yaml', '--', 'curl', '--help', '-x', '--config', '--', 'b'];
  assert.deepEqual(parseArguments(argv), {
    command: 'exec',
    files: ['a.yaml'],
    set: [],
    argv: ['curl', '--help', '-x', '--config', '--', 'b'],
  });
  assert.deepEqual(parseArguments(['exec', '--help', '--', 'x']), { command: 'help' });
});

test('wait has ten seconds, or what is said', () => {
  assert.deepEqual(parseArguments(['wait']), { command: 'wait', files: [], set: [], timeoutMs: 10_000 });
  assert.deepEqual(parseArguments(['--timeout=500ms', 'wait']), {
    command: 'wait',
    files: [],
    set: [],
    timeoutMs: 500,
  });
});

test('no command line makes it throw', () => {
  const argument = fc.oneof(
    fc.string(),
    fc.constantFrom('--', '-', '--config', '--config=', '-h', '-hx', '--no-help', 'run', '--__proto__'),
  );
  fc.assert(fc.property(fc.array(argument), (argv) => typeof parseArguments(argv).command === 'string'));
});
