/**
 * The vendors as a program:
 *
 *   node test/vendors/main.ts --vendor device=healthy --vendor identity=flaky,share=0.3 [--seed 7] [--with-stdin]
 *
 * Prints one JSON line, `{"control":URL,"vendors":{"device":URL,...}}`, once all of them listen. Ends on SIGTERM and
 * SIGINT, and with `--with-stdin` when its standard input ends, so that it never outlives who started it.
 */
import { parseArgs } from 'node:util';
import { BEHAVIOUR_NAMES } from './behaviour.ts';
import { Vendors } from './vendors.ts';

const { values } = parseArgs({
  options: {
    vendor: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string', default: '1' },
    'with-stdin': { type: 'boolean', default: false },
  },
});
if (values.vendor.length === 0) {
  console.error(`usage: --vendor NAME=BEHAVIOUR[,SETTING=VALUE]... of ${BEHAVIOUR_NAMES.join(', ')}`);
  process.exit(2);
}
const options = values.vendor.map((text) => {
  const [name = '', ...behaviour] = text.split('=');
  return { name, behaviour: behaviour.join('=') || 'healthy' };
});
const vendors = await Vendors.start(options, Number(values.seed));
console.log(JSON.stringify({ control: vendors.controlUrl, vendors: vendors.urls }));

const end = (): void => process.exit(0);
process.once('SIGTERM', end).once('SIGINT', end);
if (values['with-stdin']) process.stdin.resume().once('end', end);
