/**
 * The files of secrets, looked at again and again, by content, for a file can be exchanged in too many ways to
 * be told of each (a volume of Kubernetes swaps a symlink).
 *
 * Rules: a text changes whole or not at all; what is there while a file is being written is not taken, for
 * a change counts once a second look, a moment later, has found the same; what cannot be used leaves what was good in
 * place, and is told once. It knows no header field, no log and no metrics: who owns it is told.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SecretContent, SecretText } from '../policy/secret-text.ts';

/** Larger than any header field. */
const LIMIT = 65_536;

/** Between the look that finds a change and the one that confirms it, milliseconds. */
const SETTLE_MS = 100;

/** Is told what becomes of the files; never what is in them. */
export interface SecretObserver {
  secretsRenewed(files: readonly string[]): void;
  /** What they held before stays. */
  secretUnusable(problem: string): void;
}

/** How an operator sees them: what is wrong with the files that have changed and cannot be used. */
export interface SecretSnapshot {
  readonly stale: readonly string[];
}

export class SecretFiles {
  #texts: readonly SecretText[] = [];
  #files: readonly string[] = [];
  readonly #settle: () => Promise<unknown>;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  #resume: (() => void) | null = null;

  /** @param settle waits between the look that finds a change and the one that confirms it */
  constructor(
    texts: readonly SecretText[],
    settle: () => Promise<unknown> = () => sleep(SETTLE_MS, undefined, { ref: false }),
  ) {
    this.#settle = settle;
    this.hold(texts);
  }

  /** These from now on. */
  hold(texts: readonly SecretText[]): void {
    this.#texts = texts;
    this.#files = [...new Set(texts.flatMap(({ files }) => files))];
    this.#resume?.();
  }

  snapshot(): SecretSnapshot {
    return { stale: this.#problems() };
  }

  /** Looks at the files every so often, until `close`. Nothing waits for it. */
  watch(intervalMs: number, observer: SecretObserver): void {
    let looking = false;
    const later = (): void => {
      this.#timer = null;
      if (this.#closed || this.#files.length === 0) return;
      this.#timer = setTimeout(() => void look(), intervalMs).unref();
    };
    const look = async (): Promise<void> => {
      looking = true;
      try {
        await this.look(observer);
      } finally {
        looking = false;
        later();
      }
    };
    this.#resume = () => {
      if (this.#timer === null && !looking) later();
    };
    later();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  /** Once, now. */
  async look(observer: SecretObserver): Promise<void> {
    const texts = this.#texts;
    const first = await this.#read();
    if (texts !== this.#texts || !texts.some((text) => differs(text, renderOf(text, first)))) return;
    await this.#settle();
    const second = await this.#read();
    // Others have been read meanwhile: the next look is about those.
    if (this.#closed || texts !== this.#texts) return;
    const renewed = new Set<string>();
    const before = new Set(this.#problems());
    for (const text of texts) {
      const now = renderOf(text, second);
      // Still being written: the next look will tell.
      if (!isSame(renderOf(text, first), now) || !differs(text, now)) continue;
      if ('problem' in now) text.doubt(now.problem);
      else {
        text.renew(now.text);
        for (const file of text.files) renewed.add(file);
      }
    }
    if (renewed.size > 0) observer.secretsRenewed([...renewed]);
    for (const problem of this.#problems()) if (!before.has(problem)) observer.secretUnusable(problem);
  }

  #problems(): string[] {
    return [...new Set(this.#texts.flatMap(({ problem }) => (problem === null ? [] : [problem])))];
  }

  async #read(): Promise<Contents> {
    const contents = new Map<string, SecretContent>();
    for (const file of this.#files) contents.set(file, await readSecret(file));
    return contents;
  }
}

type Contents = ReadonlyMap<string, SecretContent>;

const renderOf = (text: SecretText, contents: Contents): SecretContent =>
  text.render((file) => contents.get(file) as SecretContent);

function differs({ value, problem }: SecretText, now: SecretContent): boolean {
  return 'problem' in now ? problem !== now.problem : problem !== null || value !== now.text;
}

const isSame = (a: SecretContent, b: SecretContent): boolean =>
  'problem' in a ? 'problem' in b && a.problem === b.problem : 'text' in b && a.text === b.text;

async function readSecret(path: string): Promise<SecretContent> {
  let file: FileHandle | null = null;
  try {
    // A pipe without a writer would keep a thread of the pool for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) return { problem: 'is no file' };
    const bytes = Buffer.alloc(LIMIT + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < bytes.length; length += read) {
      read = (await file.read(bytes, length, bytes.length - length)).bytesRead;
    }
    if (length > LIMIT) return { problem: 'is larger than 64 KiB' };
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length)) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return { problem: 'is not UTF-8 text' };
    return { problem: `cannot be read: ${code ?? 'its name is not valid'}` };
  } finally {
    await file?.close().catch(() => {});
  }
}
