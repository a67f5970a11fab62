// What the other side of every call-only peer offers.

export interface Call {
  id: number
  method: keyof typeof handlers
  argument: unknown
}

export const handlers = {
  echo: (value: unknown): unknown => value,
  /** Bytes as base64 text. A handler would want the bytes, so it decodes and encodes, as the caller does. */
  echo64: (text: string): string => Buffer.from(text, 'base64').toString('base64'),
}

export function answer({ id, method, argument }: Call): { id: number; result: unknown } {
  return { id, result: handlers[method](argument as never) }
}
