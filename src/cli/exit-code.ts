/** What the process says when it ends. */
export const DONE = 0;
export const FAILED = 1;
/** Wrong usage, or a configuration that is not valid. */
export const INVALID = 2;
