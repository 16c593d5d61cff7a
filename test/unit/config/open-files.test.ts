import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/load.ts';
import { openFiles } from '../../../src/config/open-files.ts';
import { formatWarning } from '../../../src/config/problem.ts';
import { inDirectory } from './sources.ts';

const KEYS = 'policy:\n  headers:\n    request:\n      set:\n';

test('a secret that everybody may read is warned of at its place, and one of the owner and the group is not', () =>
  inDirectory((directory) => {
    const modes = { closed: 0o600, group: 0o640, open: 0o644, odd: 0o604 };
    for (const [name, mode] of Object.entries(modes)) {
      writeFileSync(join(directory, name), 'c4n4ry');
      chmodSync(join(directory, name), mode);
    }
    const lines = Object.keys(modes).map(
      (name) => `        X-${name}: "a \${file:${name}} \${file:${name}}"\n`,
    );
    const file = join(directory, 'a.yaml');
    writeFileSync(file, KEYS + lines.join(''));
    const { written } = loadConfig({ files: [file], env: {} });
    const warnings = openFiles(written).map((one) => formatWarning(one).replaceAll(`${directory}/`, ''));
    assert.equal(warnings.length, 2, warnings.join('\n'));
    const [open = '', odd = ''] = warnings;
    assert.match(
      open,
      /^a\.yaml:7:17: warning: policy\.headers\.request\.set\.X-open names the file open, .*0644;/,
    );
    assert.match(odd, /^a\.yaml:8:16: .* its mode is 0604;/);
    assert.doesNotMatch(warnings.join(), /c4n4ry/);
  }));
