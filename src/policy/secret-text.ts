/**
 * A text of the configuration with secrets from files in it, as a holder of what it is now: whoever uses it
 * reads a plain string, and whoever watches the files puts another one there, whole or not at all.
 *
 * Rules: what it held stays until something good comes; what the configuration demanded of the text holds for
 * every later one. Nothing of it appears where it is printed or made JSON. It reads no file.
 */

/** A piece of the text as it is, or the file whose content stands there; an absolute path. */
export type SecretPart = string | { readonly file: string };

/** The secret in a file: its content without the end of its last line. */
export const secretOf = (content: string): string => content.replace(/\r?\n$/, '');

export class SecretText {
  readonly #id: number;
  readonly #parts: readonly SecretPart[];
  readonly #accepts: (value: string) => boolean;
  #value: string;
  #problem: string | null = null;

  /** @param id equal for those whose parts are equal, and for no others */
  constructor(id: number, parts: readonly SecretPart[], value: string, accepts: (value: string) => boolean) {
    this.#id = id;
    this.#parts = parts;
    this.#value = value;
    this.#accepts = accepts;
  }

  get value(): string {
    return this.#value;
  }

  /** Equal for those whose parts are equal, of whichever configuration. */
  get source(): string {
    return JSON.stringify(this.#parts);
  }

  get files(): string[] {
    return this.#parts.flatMap((part) => (typeof part === 'string' ? [] : [part.file]));
  }

  /** What the files have now and cannot be used; null: all is well. */
  get problem(): string | null {
    return this.#problem;
  }

  /** What it would be with these contents, or what is wrong with them; the files are named, their contents never. */
  render(contentOf: (file: string) => SecretContent): SecretContent {
    let text = '';
    for (const part of this.#parts) {
      if (typeof part === 'string') {
        text += part;
        continue;
      }
      const content = contentOf(part.file);
      if ('problem' in content) return { problem: `${part.file} ${content.problem}` };
      const secret = secretOf(content.text);
      if (secret === '') return { problem: `${part.file} is empty` };
      if (!this.#accepts(secret))
        return {
          problem: `${part.file} holds what a header field cannot: more than one line, a control character, or no Latin-1`,
        };
      text += secret;
    }
    return this.#accepts(text)
      ? { text }
      : { problem: `${this.files.join(' and ')} makes the whole too long for a header field` };
  }

  renew(value: string): void {
    this.#value = value;
    this.#problem = null;
  }

  doubt(problem: string): void {
    this.#problem = problem;
  }

  /** Its identity, and nothing of what it holds. */
  toJSON(): object {
    return { secret: this.#id };
  }
}

/** The problem completes a sentence that begins with the file's name. */
export type SecretContent = { readonly text: string } | { readonly problem: string };
