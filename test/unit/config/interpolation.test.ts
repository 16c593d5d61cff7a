import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { interpolate } from '../../../src/config/interpolation.ts';
import { SecretText } from '../../../src/policy/secret-text.ts';
import { inDirectory } from './sources.ts';

const piece = fc.oneof(
  fc
    .string()
    .map((text) => ({ written: text.replaceAll('$', ''), means: text.replaceAll('$', ''), file: false })),
  fc.constant({ written: '$${', means: '${', file: false }),
  fc.constant({ written: '$', means: '$', file: false }),
  fc.constant({ written: '${NAME}', means: 'of the ${environment}', file: false }),
  fc.constant({ written: '${NOT_SET:-else}', means: 'else', file: false }),
  fc.constant({ written: '${file:one}', means: 'first $${ secret', file: true }),
  fc.constant({ written: '${file:two}', means: 'second', file: true }),
);

/** A dollar in front of a brace is a reference, which no two pieces shall make together, also with nothing between. */
const apart = (pieces: readonly { readonly written: string }[]): boolean => {
  const said = pieces.map(({ written }) => written).filter((written) => written !== '');
  return said.every((written, i) => !written.endsWith('$') || !/^[${]/.test(said[i + 1] ?? ''));
};

test('a text means its pieces; those with files can be made again from what the files hold then', () =>
  inDirectory((directory) => {
    writeFileSync(join(directory, 'one'), 'first $${ secret\n');
    writeFileSync(join(directory, 'two'), 'second');
    const surroundings = { env: { NAME: 'of the ${environment}' }, file: join(directory, 'a.yaml') };
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }).filter(apart), (pieces) => {
        const result = interpolate(pieces.map(({ written }) => written).join(''), surroundings);
        assert.ok('text' in result);
        assert.equal(result.text, pieces.map(({ means }) => means).join(''));
        assert.equal(
          result.parts !== null,
          pieces.some(({ file }) => file),
        );
        if (result.parts === null) return;
        const secret = new SecretText(1, result.parts, result.text, () => true);
        const now = secret.render((file) => ({
          text: file.endsWith('one') ? 'first $${ secret\n' : 'second',
        }));
        assert.deepEqual(now, { text: result.text });
        const later = secret.render(() => ({ text: 'later' }));
        const expected = pieces.map(({ means, file }) => (file ? 'later' : means)).join('');
        assert.deepEqual(later, { text: expected });
      }),
    );
  }));

test('of what is wrong the first is told', () => {
  const surroundings = { env: {}, file: null };
  for (const [text, problem] of [
    ['${A} ${B', /^needs the environment variable A, which is not set$/],
    ['${ ${A}', /is not a whole/],
    ['${file:/no/such/file} ${A}', /^needs the file \/no\/such\/file, which cannot be read/],
  ] as const) {
    const result = interpolate(text, surroundings);
    assert.ok('problem' in result && problem.test(result.problem), text);
  }
});
