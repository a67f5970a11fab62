// How long to wait between dials that fail. Source: grpc/grpc doc/connection-backoff.md, grpc-go backoff.DefaultConfig.

const BASE_MS = 1_000
const FACTOR = 1.6
const MAX_MS = 120_000
const JITTER = 0.2

/** @param failures Dials that failed one after the other, at least 1. */
export function backoffMs(failures: number): number {
  const plain = Math.min(MAX_MS, BASE_MS * FACTOR ** (failures - 1))
  return plain * (1 + JITTER * (Math.random() * 2 - 1))
}
