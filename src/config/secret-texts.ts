/**
 * The texts of a configuration that are read again when their files change: found by their place in the tree,
 * equal ones the same object. Everywhere else `${file:PATH}` is read once.
 *
 * It reads nothing; what a text holds at first is what the whole configuration was checked with.
 */
import { type SecretPart, SecretText } from '../policy/secret-text.ts';
import { isFieldValue } from './header-field.ts';
import { locate, type MappingNode, type Path } from './tree.ts';

export class SecretTexts {
  readonly #tree: MappingNode;
  readonly #known = new Map<string, SecretText>();

  /** @param tree merged, with what routes inherit */
  constructor(tree: MappingNode) {
    this.#tree = tree;
  }

  get all(): readonly SecretText[] {
    return [...this.#known.values()];
  }

  /** The value at that place: a holder, where files are part of it. */
  at(path: Path, value: string): string | SecretText {
    const { exact, node } = locate(this.#tree, path);
    if (!exact || node.kind !== 'scalar' || node.parts === undefined) return value;
    return this.#holder(node.parts, value);
  }

  /** Whether the value came from the environment or a file, and so is taken for a secret. */
  isSecret(path: Path): boolean {
    const { exact, node } = locate(this.#tree, path);
    return exact && node.kind === 'scalar' && node.origin === 'resolved';
  }

  #holder(parts: readonly SecretPart[], value: string): SecretText {
    const key = JSON.stringify(parts);
    let text = this.#known.get(key);
    if (text === undefined) {
      text = new SecretText(this.#known.size + 1, parts, value, isFieldValue);
      this.#known.set(key, text);
    }
    return text;
  }
}
