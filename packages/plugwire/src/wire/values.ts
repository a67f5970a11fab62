// The value codec: JavaScript values to bytes and back, as docs/protocol-values.md says. What it consists of, for the layers above.

export { ValueDecoder } from './value-decoder.ts'
export { TOO_LONG, ValueEncoder } from './value-encoder.ts'
export type { ErrorValue, ReferenceReader, ReferenceTarget, ReferenceWriter, ValueLimits } from './value-references.ts'
