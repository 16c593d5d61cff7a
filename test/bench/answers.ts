/** What the origins of the benchmarks answer. */
export const SMALL = `{"data":"${'x'.repeat(700 - 11)}"}`;
export const LARGE = 'x'.repeat(65_536);
export const RECEIPT = '{"received":true}';
