// The state as JSON, where numbers have as many digits as they like: `JSON.parse` would round them, so texts and numbers are scanned here.
// Source: zclconf/go-cty, cty/json.

import { type CtyNumber, numberOf, textOf } from './number.ts'
import { CtyError, type CtyPath, type CtyType, parseType } from './type.ts'
import { type CtyValue, Dynamic, isRecord, record } from './value.ts'

/** What JSON says, with every digit. Objects have no prototype. */
export type Json = null | boolean | string | CtyNumber | readonly Json[] | { readonly [name: string]: Json }

const MAX_DEPTH = 256

/** @throws CtyError when it is no JSON. */
export function parseJson(text: string): Json {
  const scanner = new Scanner(text)
  const value = scanner.value(0)
  scanner.end()
  return value
}

/**
 * The value of a type that JSON says. Attributes that are not there are null, and what the type does not know is left out: a state may be older.
 *
 * @throws CtyError when it does not fit.
 */
export function valueOfJson(json: Json, type: CtyType, path: CtyPath = []): CtyValue {
  if (json === null) return null
  if (type === 'dynamic') {
    if (!isRecord(json) || json.type === undefined) throw new CtyError('a dynamic value has members type and value', path)
    const own = parseType(JSON.stringify(json.type))
    return new Dynamic(own, valueOfJson((json.value as Json) ?? null, own, path))
  }
  if (type === 'string' && typeof json === 'string') return json
  if (type === 'bool' && typeof json === 'boolean') return json
  if (type === 'number' && typeof json === 'string') return numberOf(json)
  if (type === 'number' && typeof json !== 'boolean' && !Array.isArray(json) && !isRecord(json)) return json as CtyNumber
  if (typeof type !== 'string') {
    const [kind, inner] = type
    if (kind === 'object' && isRecord(json)) {
      return record(
        Object.entries(inner).map(([name, of]) => [name, valueOfJson((json[name] as Json) ?? null, of, [...path, name])] as const),
      )
    }
    if (kind === 'map' && isRecord(json)) {
      return record(Object.entries(json).map(([name, value]) => [name, valueOfJson(value as Json, inner, [...path, name])] as const))
    }
    if (Array.isArray(json) && kind === 'tuple' && json.length === inner.length) {
      return (json as readonly Json[]).map((element, i) => valueOfJson(element, inner[i]!, [...path, i]))
    }
    if (Array.isArray(json) && (kind === 'list' || kind === 'set')) {
      return (json as readonly Json[]).map((element, i) => valueOfJson(element, inner, [...path, i]))
    }
  }
  throw new CtyError(`JSON does not fit ${JSON.stringify(type)}`, path)
}

/** A value of the type that JSON suggests: its arrays are tuples, its objects are objects. */
export function dynamicOfJson(json: Json): Dynamic | null {
  return json === null ? null : new Dynamic(impliedType(json), json)
}

function impliedType(json: Json): CtyType {
  if (json === null) return 'dynamic'
  if (typeof json === 'string') return 'string'
  if (typeof json === 'boolean') return 'bool'
  if (Array.isArray(json)) return ['tuple', (json as readonly Json[]).map(impliedType)]
  if (isRecord(json)) return ['object', record(Object.entries(json).map(([name, value]) => [name, impliedType(value as Json)] as const))]
  return 'number'
}

/** JSON with every digit. */
export function printJson(json: Json, indent = ''): string {
  if (json === null || typeof json === 'string' || typeof json === 'boolean') return JSON.stringify(json)
  const deeper = `${indent}  `
  const lines = (parts: readonly string[]) => (parts.length === 0 ? '' : `\n${parts.map(part => deeper + part).join(',\n')}\n${indent}`)
  if (Array.isArray(json)) return `[${lines((json as readonly Json[]).map(element => printJson(element, deeper)))}]`
  if (!isRecord(json)) return textOf(json as CtyNumber)
  return `{${lines(Object.entries(json).map(([name, value]) => `${JSON.stringify(name)}: ${printJson(value as Json, deeper)}`))}}`
}

/** Goes through the text once. Texts are found by their end and given to `JSON.parse` only when something in them is escaped. */
class Scanner {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(depth: number): Json {
    if (depth > MAX_DEPTH) this.#fail(`deeper than ${MAX_DEPTH}`)
    switch (this.#next()) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  end(): void {
    if (this.#next() !== '') this.#fail('something follows the value')
  }

  #object(depth: number): Json {
    const members = record<Json>()
    this.#at++
    if (this.#next() === '}') this.#at++
    else
      do {
        if (this.#next() !== '"') this.#fail('a name expected')
        const name = this.#string()
        if (this.#next() !== ':') this.#fail('a colon expected')
        this.#at++
        members[name] = this.value(depth + 1)
      } while (this.#more('}'))
    return members
  }

  #array(depth: number): Json {
    const elements: Json[] = []
    this.#at++
    if (this.#next() === ']') this.#at++
    else
      do elements.push(this.value(depth + 1))
      while (this.#more(']'))
    return elements
  }

  /** After a member: takes the comma or the end. */
  #more(end: string): boolean {
    const found = this.#next()
    if (found !== ',' && found !== end) this.#fail(`a comma or ${end} expected`)
    this.#at++
    return found === ','
  }

  #string(): string {
    const from = this.#at
    let at = from + 1
    let escaped = false
    // A text may have megabytes: looked for by indexOf, and an escape only where one is.
    for (;;) {
      const quote = this.#text.indexOf('"', at)
      if (quote < 0) this.#fail('a text without end')
      let slashes = 0
      while (this.#text.charCodeAt(quote - 1 - slashes) === 0x5c && quote - 1 - slashes > from) slashes++
      at = quote + 1
      escaped ||= slashes > 0
      if (slashes % 2 === 0) break
    }
    this.#at = at
    const raw = this.#text.slice(from, at)
    if (!escaped && !raw.includes('\\')) return raw.slice(1, -1)
    try {
      return JSON.parse(raw) as string
    } catch (cause) {
      throw new CtyError(`JSON: a text that is none (character ${from})`, [], { cause })
    }
  }

  #number(): CtyNumber {
    const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
    number.lastIndex = this.#at
    const text = number.exec(this.#text)?.[0]
    if (text === undefined) this.#fail('a value expected')
    this.#at += text.length
    return numberOf(text)
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('a value expected')
    this.#at += word.length
    return value
  }

  /** The next character that is no space; empty at the end. */
  #next(): string {
    for (;;) {
      const found = this.#text.charAt(this.#at)
      if (found !== ' ' && found !== '\n' && found !== '\t' && found !== '\r') return found
      this.#at++
    }
  }

  #fail(problem: string): never {
    throw new CtyError(`JSON: ${problem} (character ${this.#at})`)
  }
}
