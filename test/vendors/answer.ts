/**
 * What a vendor says when it works: JSON as risk vendors send it, the same for the same question.
 *
 * - `/v1/records?page=1&size=50` is a list in pages, with `next` in the body and in Link, null on the last;
 * - `/v1/features/ID` is a row of numbers for a model, `/v1/features?rows=ID,ID` are several;
 * - `/v1/export` is 40 objects, one per line, of equal length: half of it is valid, too;
 * - everything else is an assessment: a score, a decision and the signals it rests on.
 */
const SIGNALS = [
  ['ip_proxy', 'The address belongs to an anonymising network'],
  ['new_device', 'The device was first seen today'],
  ['velocity', 'Many attempts within an hour'],
  ['geo_mismatch', 'Address of the card and of the network lie far apart'],
  ['email_age', 'The mailbox is older than a year'],
  ['name_match', 'Name and document agree'],
  ['breach_hit', 'The credentials were seen in a leak'],
] as const;

export interface VendorAnswer {
  readonly body: string;
  readonly link: string | null;
}

/** FNV-1a: the same question has the same answer. */
function hashOf(text: string): number {
  let hash = 0x81_1c_9d_c5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01_00_01_93);
  return hash >>> 0;
}

const share = (text: string): number => Math.round((hashOf(text) / 0xffff_ffff) * 10_000) / 10_000;

function records(vendor: string, url: URL, count: number): VendorAnswer {
  const whole = (name: string, usual: number): number =>
    Math.max(1, Math.trunc(Number(url.searchParams.get(name) ?? usual)) || usual);
  const page = whole('page', 1);
  const size = Math.min(whole('size', 50), 500);
  const first = (page - 1) * size;
  const items = Array.from({ length: Math.max(0, Math.min(size, count - first)) }, (_, i) => ({
    id: `${vendor}-${first + i + 1}`,
    amount: hashOf(`${vendor}/${first + i}`) % 100_000,
    flagged: share(`${first + i}/${vendor}`) > 0.9,
  }));
  const next = first + size < count ? `${url.pathname}?page=${page + 1}&size=${size}` : null;
  return {
    body: JSON.stringify({ vendor, page, size, total: count, items, next }),
    link: next === null ? null : `<${next}>; rel="next"`,
  };
}

const EXPORTED = 40;

function exported(vendor: string): VendorAnswer {
  const line = (row: number): string => {
    const id = `${vendor}-${String(row).padStart(2, '0')}`;
    return `${JSON.stringify({ id, amount: 10_000 + (hashOf(`${vendor}/${row}`) % 90_000) })}\n`;
  };
  return { body: Array.from({ length: EXPORTED }, (_, row) => line(row)).join(''), link: null };
}

function features(vendor: string, row: string): object {
  const values = Array.from({ length: 8 }, (_, i) => [`${vendor}_${i}`, share(`${vendor}/${row}/${i}`)]);
  return { vendor, row, features: Object.fromEntries(values) };
}

function assessment(vendor: string, question: string): VendorAnswer {
  const score = share(`${vendor}/${question}`);
  const first = hashOf(question) % SIGNALS.length;
  const signals = [0, 2, 3].map((step) => {
    const [code, description] = SIGNALS[(first + step) % SIGNALS.length] as (typeof SIGNALS)[number];
    return { code, weight: share(`${code}/${question}`), description };
  });
  const body = JSON.stringify({
    id: `asm_${hashOf(`${question}/${vendor}`).toString(16).padStart(8, '0')}`,
    object: 'assessment',
    vendor,
    score,
    decision: score > 0.9 ? 'decline' : score > 0.7 ? 'review' : 'approve',
    signals,
    model: 'risk-2026-03',
    livemode: false,
  });
  return { body, link: null };
}

export function answerTo(vendor: string, target: string, question: string, count: number): VendorAnswer {
  const url = new URL(target, 'http://vendor.invalid');
  if (url.pathname === '/v1/records') return records(vendor, url, count);
  if (url.pathname === '/v1/export') return exported(vendor);
  const rows = url.pathname === '/v1/features' ? url.searchParams.get('rows') : null;
  if (rows !== null) {
    const each = rows.split(',').map((row) => features(vendor, row));
    return { body: JSON.stringify({ vendor, rows: each }), link: null };
  }
  const [, row] = /^\/v1\/features\/([^/]+)$/.exec(url.pathname) ?? [];
  if (row === undefined) return assessment(vendor, `${target} ${question}`);
  return { body: JSON.stringify(features(vendor, row)), link: null };
}
