/** What the process says when it ends. */
export const DONE = 0;
export const FAILED = 1;
/** Of `diff`, as of diff(1): it found what it was asked to look for. */
export const DIFFERENT = 1;
/** Wrong usage, or a configuration that is not valid. */
export const INVALID = 2;
/** The drain timeout was over before the application had gone. */
export const TIMEOUT = 3;
