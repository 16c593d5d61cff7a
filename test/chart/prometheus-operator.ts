/**
 * What the chart uses of the Prometheus operator's own kinds, `monitoring.coreos.com/v1`, so that the compiler knows
 * a misspelt key in them. Kubernetes' own types do not have them.
 */
import type { LabelSelector, ObjectMeta } from 'kubernetes-types/meta/v1.js';

export interface PodMonitor {
  readonly apiVersion: 'monitoring.coreos.com/v1';
  readonly kind: 'PodMonitor';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly selector: LabelSelector;
    readonly podMetricsEndpoints: readonly {
      readonly port: string;
      readonly path: string;
      readonly interval: string;
    }[];
  };
}

export interface PrometheusRule {
  readonly apiVersion: 'monitoring.coreos.com/v1';
  readonly kind: 'PrometheusRule';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly groups: readonly {
      readonly name: string;
      readonly rules: readonly {
        readonly alert: string;
        readonly expr: string;
        readonly for?: string;
        readonly labels: Readonly<Record<string, string>>;
        readonly annotations: { readonly summary: string; readonly description: string };
      }[];
    }[];
  };
}
