// Base64 read strictly: Buffer skips what it does not know, and then two texts are the same signature.

/** The bytes; undefined when the text is not exactly what encoding them gives. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text && text !== '' ? bytes : undefined
}
