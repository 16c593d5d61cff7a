/** `outrigger explain METHOD URL`: what would become of such a request, and why. It starts nothing. */
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { nearest } from '../config/nearest.ts';
import { Explainer, UnknownClientError } from '../explanation/explanation.ts';
import { explanationText } from '../explanation/explanation-text.ts';
import { DONE, INVALID } from './exit-code.ts';
import { type Output, reportInvalid } from './invalid-configuration.ts';

export interface ExplainOptions extends LoadOptions {
  readonly method: string;
  readonly url: string;
  readonly client: string | null;
  readonly json: boolean;
}

/** @returns the exit code, 0 (also for what is refused) or 2 */
export function explain(options: ExplainOptions, out: Output, err: Output): number {
  const { method, url, client, json } = options;
  try {
    const explanation = new Explainer(loadConfig(options)).explain(method, url, client);
    out.write(json ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation));
    return DONE;
  } catch (error) {
    if (error instanceof UnknownClientError) {
      const near = nearest(client ?? '', error.known);
      const advice =
        near !== null
          ? `; did you mean ${near}?`
          : error.known.length === 0
            ? '; the configuration has none'
            : `; the clients are ${error.known.join(', ')}`;
      err.write(`outrigger: ${error.message}${advice}\n`);
      return INVALID;
    }
    return reportInvalid(error, err);
  }
}
