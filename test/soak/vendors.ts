/** The vendors of a soak: each has an address of its own on loopback, so that nobody else can take its port while it restarts. */
import type { Certificates } from '../support/certificates.ts';
import { Http1Vendor } from './http1-vendor.ts';
import { Http2Vendor } from './http2-vendor.ts';
import type { Ledger } from './ledger.ts';
import type { Tally } from './tally.ts';

const NAMES = [
  'orders',
  'scores',
  'files',
  'events',
  'chat',
  'quotes',
  'claims',
  'vault',
  'grid',
  'desk',
] as const;
export type VendorName = (typeof NAMES)[number];

/** Those that speak TLS. */
const SECURE: readonly VendorName[] = ['quotes', 'claims', 'vault', 'grid'];

export type Vendor = Http1Vendor | Http2Vendor;

export interface Vendors {
  readonly byName: Readonly<Record<VendorName, Vendor>>;
  readonly all: readonly Vendor[];
  close(): Promise<void>;
}

export async function openVendors(
  certificates: Certificates,
  ledger: Ledger,
  faults: Tally,
): Promise<Vendors> {
  const vendors: Partial<Record<VendorName, Vendor>> = {};
  for (const [index, name] of NAMES.entries()) {
    const options = {
      name,
      host: `${name}.vendor.test`,
      address: `127.0.7.${index + 1}`,
      certificates: SECURE.includes(name) ? certificates : null,
      ledger,
      faults,
      ways: name === 'desk' ? 2 : 1,
    };
    vendors[name] = name === 'grid' ? new Http2Vendor(options) : new Http1Vendor(options);
    await vendors[name].open();
  }
  const all = NAMES.map((name) => vendors[name] as Vendor);
  return {
    byName: vendors as Record<VendorName, Vendor>,
    all,
    close: async () => {
      await Promise.all(all.map((vendor) => vendor.close()));
    },
  };
}
