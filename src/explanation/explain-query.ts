/**
 * `/explain?method=GET&url=...&client=...` of the admin listener: the query as a question, and the explanation as what
 * to answer. It knows no HTTP beyond that, and changes nothing.
 */
import { type Explainer, type Explanation, UnknownClientError } from './explanation.ts';

export type Explained =
  | { readonly status: 200; readonly value: Explanation }
  /** What is wrong with the question, in words. */
  | { readonly status: 400; readonly problem: string };

const KNOWN = ['method', 'url', 'client'];

/** Longer ones are not read. */
const URL_MAX = 16_384;

/** `query`: what follows the `?`. */
export function explainQuery(explainer: Explainer, query: string): Explained {
  const asked = new URLSearchParams(query);
  const no = (problem: string): Explained => ({ status: 400, problem });
  for (const name of asked.keys()) {
    if (!KNOWN.includes(name))
      return no(`unknown parameter ${JSON.stringify(name.slice(0, 60))}; there are method, url, client`);
    if (asked.getAll(name).length > 1) return no(`${name} is given twice`);
  }
  const url = asked.get('url') ?? '';
  if (url === '') return no('url is missing: /explain?method=GET&url=https%3A%2F%2Fapi.example.com%2Fv1');
  if (url.length > URL_MAX) return no('the url is too long');
  const client = asked.get('client');
  try {
    return {
      status: 200,
      value: explainer.explain(asked.get('method') || 'GET', url, client === '' ? null : client),
    };
  } catch (error) {
    if (error instanceof UnknownClientError) return no(error.message);
    throw error;
  }
}
