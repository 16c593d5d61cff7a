/**
 * What interception needs of certificates before the first caller comes: an authority, from files or made
 * now, the leaves that it signs, and the bundle that applications trust.
 */
import { createAuthority, loadAuthority } from './authority.ts';
import { type Bundle, writeBundle } from './bundle.ts';
import { Leaves } from './leaves.ts';

export interface InterceptionSettings {
  /** Files; null: an authority is made in memory. */
  readonly ca: { readonly cert: string; readonly key: string } | null;
  /** Leaves kept. */
  readonly leaves: number;
}

/** Opened once, at the start. */
export interface Interception {
  readonly leaves: Leaves;
  /** Written once nothing else can stop the start: another sidecar's may be there. */
  writeBundle(path: string): Bundle;
}

/**
 * `hosts`: names and `*.` patterns that are intercepted, to which an authority that is made is constrained;
 * null: they are not known. Rejects with the path and the reason.
 */
export async function openInterception(
  { ca, leaves }: InterceptionSettings,
  hosts: readonly string[] | null,
): Promise<Interception> {
  const authority =
    ca === null
      ? await createAuthority({ permittedHosts: hosts })
      : await loadAuthority({ certificateFile: ca.cert, keyFile: ca.key });
  return {
    leaves: new Leaves({ authority, capacity: leaves }),
    writeBundle: (path) => writeBundle({ path, certificate: authority.certificate }),
  };
}
