// JSON read strictly and written in one way only: what is signed must mean the same to every reader. Knows nothing of plugins.
//
// Strict: a key twice, a number that is no whole number, a lone surrogate, anything after the end, too deep or too much is refused.
// Canonical: keys in the order of their UTF-16 units, two spaces of indent, `": "` after a key, a line feed at the end.

import { PluginError } from 'plugwire'
import { MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH, MAX_DOCUMENT_VALUES } from '../limits.ts'

/** What a document may hold. Numbers are safe integers. Objects have no prototype, so a key called `__proto__` is a key like any other. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

export interface JsonLimits {
  readonly maxBytes?: number
}

/** A place in a text that cannot be read. Callers make the coded error of their document from it. */
export class JsonFault extends Error {
  /** Byte of the text. */
  readonly offset: number
  constructor(reason: string, offset: number) {
    super(reason)
    this.offset = offset
  }
}

/**
 * Reads a document, in any layout.
 * @throws JsonFault
 */
export function readJson(bytes: Uint8Array, limits: JsonLimits = {}): Json {
  const max = limits.maxBytes ?? MAX_DOCUMENT_BYTES
  if (bytes.byteLength > max) throw new JsonFault(`it has ${bytes.byteLength} bytes, at most ${max} are allowed`, max)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new JsonFault('it is not UTF-8', 0)
  }
  return new Reader(text).document()
}

/**
 * Reads a document that has to be in canonical form.
 * @throws PluginError `ERR_MANIFEST_MALFORMED`, with the byte where it begins to differ.
 */
export function readCanonical(bytes: Uint8Array, what: string): JsonObject {
  const remedy = 'Take the file as its publisher made it, unchanged; docs/manifest.md describes the form.'
  let value: Json
  try {
    value = readJson(bytes)
  } catch (cause) {
    if (!(cause instanceof JsonFault)) throw cause
    throw new PluginError('ERR_MANIFEST_MALFORMED', {
      reason: `${what} is malformed at byte ${cause.offset}: ${cause.message}`,
      remedy,
      offset: cause.offset,
    })
  }
  if (!isObject(value)) {
    throw new PluginError('ERR_MANIFEST_MALFORMED', { reason: `${what} is no JSON object`, remedy, offset: 0 })
  }
  const canonical = writeCanonical(value)
  const offset = firstDifference(bytes, canonical)
  if (offset !== undefined) {
    throw new PluginError('ERR_MANIFEST_MALFORMED', {
      reason: `${what} is not in canonical form: it differs at byte ${offset}`,
      remedy,
      offset,
    })
  }
  return value
}

function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  if (Buffer.compare(a, b) === 0) return undefined
  const length = Math.min(a.byteLength, b.byteLength)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i
  return length
}

/**
 * Writes a document in canonical form.
 * @throws TypeError for what cannot be written: other numbers than safe integers, lone surrogates, other types.
 */
export function writeCanonical(value: Json): Uint8Array {
  return new Uint8Array(Buffer.from(`${write(value, '')}\n`, 'utf8'))
}

function write(value: Json, indent: string): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw new TypeError(`${value} is not a whole number that can be written`)
    return String(value)
  }
  if (typeof value === 'string') return quote(value)
  if (typeof value !== 'object') throw new TypeError(`a ${typeof value} cannot be written`)
  const deeper = `${indent}  `
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    return `[\n${value.map(item => deeper + write(item, deeper)).join(',\n')}\n${indent}]`
  }
  const object = value as JsonObject
  const keys = Object.keys(object).sort(byUnits)
  if (keys.length === 0) return '{}'
  return `{\n${keys.map(key => `${deeper}${quote(key)}: ${write(object[key] as Json, deeper)}`).join(',\n')}\n${indent}}`
}

function quote(text: string): string {
  if (!isWellFormed(text)) throw new TypeError('a text with half of a surrogate pair cannot be written')
  return JSON.stringify(text)
}

const byUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

// String.prototype.isWellFormed is not in the library of ES2023; every supported runtime has it.
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

const numberPattern = /-?(?:0|[1-9]\d*)(?![\d.eE])/y
const spacePattern = /[ \t\r\n]*/y
// What may stand in a text as it is: everything but the quote, the backslash and control characters.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const plainPattern = /[^"\\\u0000-\u001f]*/y
const escapes: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

class Reader {
  readonly #text: string
  #at = 0
  #values = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): Json {
    const value = this.#value(1)
    this.#skip()
    if (this.#at < this.#text.length) this.#fail('something follows the end')
    return value
  }

  #fail(reason: string): never {
    throw new JsonFault(reason, Buffer.byteLength(this.#text.slice(0, this.#at), 'utf8'))
  }

  #skip(): void {
    spacePattern.lastIndex = this.#at
    spacePattern.test(this.#text)
    this.#at = spacePattern.lastIndex
  }

  #take(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false
    this.#at += word.length
    return true
  }

  #value(depth: number): Json {
    this.#skip()
    // Counted before it is built: the text may be all brackets.
    if (++this.#values > MAX_DOCUMENT_VALUES) this.#fail(`more than ${MAX_DOCUMENT_VALUES} values`)
    if (depth > MAX_DOCUMENT_DEPTH) this.#fail(`nested deeper than ${MAX_DOCUMENT_DEPTH} levels`)
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#list(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#take('true') || this.#fail('true was expected')
      case 'f':
        return !this.#take('false') && this.#fail('false was expected')
      case 'n':
        return this.#take('null') ? null : this.#fail('null was expected')
      case undefined:
        return this.#fail('it ends too early')
      default:
        return this.#number()
    }
  }

  #object(depth: number): JsonObject {
    const object: Record<string, Json> = Object.create(null)
    this.#at++
    this.#skip()
    if (this.#take('}')) return object
    do {
      this.#skip()
      if (this.#text[this.#at] !== '"') this.#fail('a key was expected')
      const start = this.#at
      const key = this.#string()
      if (key in object) {
        this.#at = start
        this.#fail(`the key ${JSON.stringify(key)} stands there twice`)
      }
      this.#skip()
      if (!this.#take(':')) this.#fail('a colon was expected')
      object[key] = this.#value(depth + 1)
      this.#skip()
    } while (this.#take(','))
    if (!this.#take('}')) this.#fail('a comma or } was expected')
    return object
  }

  #list(depth: number): readonly Json[] {
    const list: Json[] = []
    this.#at++
    this.#skip()
    if (this.#take(']')) return list
    do {
      list.push(this.#value(depth + 1))
      this.#skip()
    } while (this.#take(','))
    if (!this.#take(']')) this.#fail('a comma or ] was expected')
    return list
  }

  #string(): string {
    const start = this.#at++
    let text = ''
    for (;;) {
      plainPattern.lastIndex = this.#at
      plainPattern.test(this.#text)
      text += this.#text.slice(this.#at, plainPattern.lastIndex)
      this.#at = plainPattern.lastIndex
      if (this.#take('"')) break
      if (!this.#take('\\')) this.#fail(this.#at < this.#text.length ? 'a control character in a text' : 'it ends within a text')
      text += this.#escape()
    }
    if (isWellFormed(text)) return text
    this.#at = start
    return this.#fail('a text with half of a surrogate pair')
  }

  #escape(): string {
    const letter = this.#text[this.#at] ?? ''
    const plain = escapes.get(letter)
    if (plain !== undefined) {
      this.#at++
      return plain
    }
    const hex = this.#text.slice(this.#at + 1, this.#at + 5)
    if (letter !== 'u' || !/^[\dA-Fa-f]{4}$/.test(hex)) this.#fail('an unknown escape in a text')
    this.#at += 5
    return String.fromCharCode(Number.parseInt(hex, 16))
  }

  #number(): number {
    numberPattern.lastIndex = this.#at
    const found = numberPattern.exec(this.#text)?.[0]
    if (found === undefined) return this.#fail('a value was expected; numbers are whole')
    const number = Number(found)
    if (!Number.isSafeInteger(number) || Object.is(number, -0)) this.#fail(`the number ${found.slice(0, 24)} cannot be kept exactly`)
    this.#at += found.length
    return number
  }
}
