/**
 * What is wrong with a configuration, and where. A ConfigError holds every problem at once, so that an
 * operator corrects a file in one go.
 */

/** Where something was written. Without a line: an environment variable, or a file as a whole. */
export interface Place {
  /** A file, or the name of an environment variable. */
  readonly file: string;
  readonly line: number | null;
  readonly column: number | null;
}

export interface Problem extends Place {
  readonly message: string;
}

export const at = ({ file, line, column }: Place, message: string): Problem => ({
  file,
  line,
  column,
  message,
});

/** The only error of this room. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** `file:line:column`, or `VARIABLE`. */
export function formatPlace({ file, line, column }: Place): string {
  return line === null ? file : `${file}:${line}:${column ?? 1}`;
}

/** `file:line:column: message`, or `VARIABLE: message`. */
export function formatProblem(problem: Problem): string {
  return `${formatPlace(problem)}: ${problem.message}`;
}

/** The same for what is valid and still worth a word. */
export function formatWarning(problem: Problem): string {
  return formatProblem({ ...problem, message: `warning: ${problem.message}` });
}

/** On one line, of bounded length, with nothing that a terminal would obey. */
function printable(message: string): string {
  const short = message.length > 500 ? `${message.slice(0, 500)}…` : message;
  return short.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '?');
}

/** A list is cut here; nobody reads further, and a broken file of a megabyte has a great many. */
const MOST = 200;

/** In reading order, each once. `order`: the files and variables in the order in which they were read. */
export function sortProblems(problems: readonly Problem[], order: readonly string[]): Problem[] {
  const rank = new Map(order.map((file, index) => [file, index]));
  const clean = problems.map((problem) => ({ ...problem, message: printable(problem.message) }));
  const unique = [...new Map(clean.map((problem) => [formatProblem(problem), problem])).values()];
  unique.sort(
    (a, b) =>
      (rank.get(a.file) ?? order.length) - (rank.get(b.file) ?? order.length) ||
      (a.line ?? 0) - (b.line ?? 0) ||
      (a.column ?? 0) - (b.column ?? 0),
  );
  const rest = unique.length - MOST;
  const last = unique[MOST];
  if (rest <= 0 || last === undefined) return unique;
  return [...unique.slice(0, MOST), { ...last, message: `and ${rest} more problems from here on` }];
}
