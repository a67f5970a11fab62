// Writes DER: each function returns one complete element. Only what a certificate needs. Source: ITU-T X.690; pure.

const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

export const sequence = (...items: Uint8Array[]): Uint8Array => element(Tag.sequence, ...items)
export const set = (...items: Uint8Array[]): Uint8Array => element(Tag.set, ...items)
export const octetString = (...items: Uint8Array[]): Uint8Array => element(Tag.octetString, ...items)
export const boolean = (value: boolean): Uint8Array => element(Tag.boolean, Uint8Array.of(value ? 0xff : 0))
/** Characters of X.680 `PrintableString` only: letters, digits, space and `'()+,-./:=?`. */
export const printableString = (text: string): Uint8Array => element(Tag.printableString, ascii(text))
/** `[number]` around a whole element. */
export const explicit = (number: number, item: Uint8Array): Uint8Array => element(0xa0 | number, item)
/** `[number]` in the place of a primitive element's own tag. */
export const implicit = (number: number, content: Uint8Array): Uint8Array => element(0x80 | number, content)

/** An integer that is not negative. @param bytes Big-endian magnitude; leading zeros are dropped. */
export function integer(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex(byte => byte !== 0)
  const magnitude = start === -1 ? Uint8Array.of(0) : bytes.subarray(start)
  // A first bit of 1 would make it negative.
  return (magnitude[0] as number) > 0x7f ? element(Tag.integer, Uint8Array.of(0), magnitude) : element(Tag.integer, magnitude)
}

/** @param unusedBits How many of the last byte's low bits do not count. */
export const bitString = (bytes: Uint8Array, unusedBits: number = 0): Uint8Array => element(Tag.bitString, Uint8Array.of(unusedBits), bytes)

/** @param dotted E.g. `2.5.29.15`. */
export function objectId(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return element(Tag.objectId, Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)))
}

/** UTCTime until 2049, GeneralizedTime from 2050 on, in whole seconds. Source: RFC 5280 §4.1.2.5. */
export function time(date: Date): Uint8Array {
  const digits = `${date
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replace(/\D/g, '')}Z`
  return date.getUTCFullYear() < 2050 ? element(Tag.utcTime, ascii(digits.slice(2))) : element(Tag.generalizedTime, ascii(digits))
}

export const ascii = (text: string): Uint8Array => Uint8Array.from(text, character => character.charCodeAt(0))

function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, content) => sum + content.length, 0)
  const head = [tag, ...lengthBytes(length)]
  const bytes = new Uint8Array(head.length + length)
  bytes.set(head)
  let offset = head.length
  for (const content of contents) {
    bytes.set(content, offset)
    offset += content.length
  }
  return bytes
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length]
  const digits: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return [0x80 | digits.length, ...digits]
}

function base128(number: number): number[] {
  const digits = [number % 128]
  for (let rest = Math.floor(number / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(0x80 | (rest % 128))
  return digits
}
