/** An explanation for people: lines of text, the values in a table. Pure. */
import { type EffectiveValue, plainText } from '../config/effective-values.ts';
import type { Explanation, Step } from './explanation.ts';

/** So many routes that did not match are named; those about another host are only counted. */
const EARLIER_MAX = 20;

/** Longer values are cut here. */
const VALUE_MAX = 60;

export function explanationText({ method, url, client, steps, alternatives }: Explanation): string {
  const lines = [`${method} ${url}${client === null ? '' : `, asked by ${client}`}`];
  for (const [i, step] of steps.entries()) {
    // One step is what was asked for, as a rule.
    if (steps.length > 1 || step.asked !== `${method} ${url}`)
      lines.push('', `${steps.length > 1 ? `${i + 1}. ` : ''}${step.asked}`);
    lines.push(...stepLines(step));
  }
  for (const step of alternatives)
    lines.push('', `Otherwise, ${step.asked}: route ${named(step)}, ${step.reached}; ${accessText(step)}`);
  return `${lines.join('\n')}\n`;
}

const named = ({ route }: Step): string =>
  route.index === null ? 'default' : `${route.name} (${route.from})`;

function stepLines(step: Step): string[] {
  const { because, met, earlier, reached, values, arithmetic, notes } = step;
  const lines = [`   route    ${named(step)}: ${because}`];
  for (const { condition, written, from } of met)
    lines.push(`            match.${condition} ${cut(written)} (${from})`);
  const near = earlier.filter(({ unmet }) => !unmet.some(({ condition }) => condition === 'hosts'));
  for (const { route, unmet } of near.slice(0, EARLIER_MAX)) {
    const why = unmet.map(({ condition, written }) => `match.${condition} is ${cut(written)}`).join(', ');
    lines.push(`            not ${route.name} (${route.from}): ${why === '' ? 'it gives way' : why}`);
  }
  const others = earlier.length - Math.min(near.length, EARLIER_MAX);
  if (others > 0)
    lines.push(`            and ${others} earlier ${others === 1 ? 'route' : 'routes'} about other hosts`);
  lines.push(`   way      ${reached}`, `   access   ${accessText(step)}`);
  for (const note of notes) lines.push(`   note     ${note}`);
  if (arithmetic !== null) for (const line of arithmetic.lines) lines.push(`   time     ${line}`);
  if (values.length > 0) lines.push('   values', ...valueLines(values));
  return lines;
}

function accessText({ access }: Step): string {
  const { passes, error, status, detail, hint, key, from, inside, wouldRefuse } = access;
  const by = key === null ? '' : `, by ${key} (${from})`;
  if (passes)
    return wouldRefuse === null ? `passes${by}` : `passes, for it is only reported: would be ${wouldRefuse}`;
  const what = detail === null ? error : `${error}: ${detail}`;
  const how = inside ? 'the CONNECT is let in, and what is inside is cut' : `refused with ${status}`;
  return `${how}, ${what}${by}${hint === null ? '' : `. ${hint}`}`;
}

function valueLines(values: readonly EffectiveValue[]): string[] {
  const rows = values.map(({ key, shown, from }) => [
    key.replace(/^routes\[\d+\]\./, ''),
    cut(plainText(shown)),
    from,
  ]);
  const width = (column: number): number => Math.max(...rows.map((row) => (row[column] ?? '').length));
  const [first, second] = [width(0), width(1)];
  return rows.map(([key = '', value = '', from = '']) =>
    `     ${key.padEnd(first)}  ${value.padEnd(second)}  ${from}`.trimEnd(),
  );
}

const cut = (text: string): string => (text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}…` : text);
