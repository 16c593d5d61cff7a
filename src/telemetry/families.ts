/**
 * Metric families as the rest of telemetry sees them: what they are called, and series that cost an
 * exchange an addition.
 *
 * Rules: a series is asked for once and kept by whoever counts on it; looking one up by its labels costs a
 * metrics library more than everything else that is done for an exchange here. It knows no such library:
 * metrics.ts hands the sums over when somebody scrapes.
 */

/** Name without the prefix, help, names of the labels. */
export type FamilyText = readonly [name: string, help: string, ...labels: string[]];

/** From a local answer to the longest wait anybody allows; seconds. */
const BUCKETS: readonly number[] = Object.freeze([
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
]);

/** What has been counted since the last scrape. */
export class Tally {
  #n = 0;

  inc(): void {
    this.#n++;
  }

  add(n: number): void {
    this.#n += n;
  }

  take(): number {
    const n = this.#n;
    this.#n = 0;
    return n;
  }
}

/** One line of the text format. */
export interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** One series of a histogram. */
export class Distribution {
  /** Not cumulative; the last is what is above all buckets. */
  readonly #counts: number[] = Array.from({ length: BUCKETS.length + 1 }, () => 0);
  #sum = 0;

  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < BUCKETS.length && seconds > (BUCKETS[bucket] as number)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#sum += seconds;
  }

  /** The samples of the text format, with cumulative buckets. */
  samples(name: string, labels: Readonly<Record<string, string>>): Sample[] {
    let count = 0;
    const buckets = this.#counts.map((n, i) => {
      count += n;
      return { metricName: `${name}_bucket`, labels: { ...labels, le: BUCKETS[i] ?? '+Inf' }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

/** Makes the series of these label values, in the order of the family's labels. To be asked once for each. */
export type CountFamily = (...values: string[]) => Tally;
export type DistributionFamily = (...values: string[]) => Distribution;

/** A family that is read off at every scrape: emptied, then set. */
export interface LevelFamily {
  reset(): void;
  set(value: number, ...values: string[]): void;
}
