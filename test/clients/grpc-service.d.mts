import type { ServiceDefinition } from '@grpc/grpc-js';
export const NAME: string;
export const METHODS: ServiceDefinition;
