/**
 * Why bytes are no head, and what kind of answer that asks for.
 */

/**
 * Malformed: it breaks the grammar. The others are bounds: of the first line, of the whole head, of the number
 * of fields.
 */
type HeadFaultKind = 'malformed' | 'start line too long' | 'head too large' | 'too many fields';

export class HeadFault {
  readonly kind: HeadFaultKind;
  /** For people; holds nothing of the message. */
  readonly reason: string;

  constructor(kind: HeadFaultKind, reason: string) {
    this.kind = kind;
    this.reason = reason;
  }
}

/** Bounds of a head, in octets, and of its number of fields; all at least 1. */
export interface HeadBounds {
  readonly startLineBytes: number;
  /** From the first octet of the first line to the empty line. */
  readonly headBytes: number;
  readonly fields: number;
}

export const malformed = (reason: string): HeadFault => new HeadFault('malformed', reason);
