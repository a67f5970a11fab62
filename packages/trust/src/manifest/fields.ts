// Takes fields of a checked form out of a document, or says which one is not. Knows no document in particular.

import { PluginError } from 'plugwire'
import { isObject, type Json, type JsonObject } from './json.ts'

/** `ERR_MANIFEST_FIELD` for a path such as `platforms.linux-x64.entry`. */
export function fieldFault(path: string, what: string): PluginError<'ERR_MANIFEST_FIELD'> {
  return new PluginError('ERR_MANIFEST_FIELD', { path, reason: `${path} ${what}`, remedy: 'docs/manifest.md describes every field.' })
}

export class Fields {
  readonly value: JsonObject
  readonly #path: string

  /** @param path Of the object, with a full stop at its end; empty for the document. */
  constructor(value: JsonObject, path: string) {
    this.value = value
    this.#path = path
  }

  at(key: string): string {
    return `${this.#path}${key}`
  }

  #get(key: string): Json | undefined {
    return Object.hasOwn(this.value, key) ? this.value[key] : undefined
  }

  has(key: string): boolean {
    return Object.hasOwn(this.value, key)
  }

  /** Refuses fields that are not listed. Inside of objects nothing is open: extensions stand at the top, where `critical` can name them. */
  only(keys: readonly string[]): void {
    for (const key of Object.keys(this.value))
      if (!keys.includes(key)) throw fieldFault(this.at(key.slice(0, 100)), 'is not a field that is known there')
  }

  text(key: string): string {
    const value = this.#get(key)
    if (typeof value !== 'string') throw fieldFault(this.at(key), value === undefined ? 'is missing' : 'is no text')
    return value
  }

  optionalText(key: string): string | undefined {
    return this.has(key) ? this.text(key) : undefined
  }

  /** A whole number that is not negative. */
  count(key: string): number {
    const value = this.#get(key)
    if (typeof value !== 'number' || value < 0)
      throw fieldFault(this.at(key), value === undefined ? 'is missing' : 'is no whole number from 0')
    return value
  }

  optionalBoolean(key: string): boolean | undefined {
    const value = this.#get(key)
    if (value !== undefined && typeof value !== 'boolean') throw fieldFault(this.at(key), 'is neither true nor false')
    return value
  }

  object(key: string): Fields {
    const value = this.#get(key)
    if (!isObject(value)) throw fieldFault(this.at(key), value === undefined ? 'is missing' : 'is no object')
    return new Fields(value, `${this.at(key)}.`)
  }

  list(key: string): readonly Json[] {
    const value = this.#get(key)
    if (!Array.isArray(value)) throw fieldFault(this.at(key), value === undefined ? 'is missing' : 'is no list')
    return value
  }

  texts(key: string): readonly string[] {
    return this.list(key).map(item => {
      if (typeof item !== 'string') throw fieldFault(this.at(key), 'is a list of texts')
      return item
    })
  }

  optionalTexts(key: string): readonly string[] | undefined {
    return this.has(key) ? this.texts(key) : undefined
  }

  /** `sha512` as documents write it. */
  sha512(key: string): string {
    const value = this.text(key)
    if (!/^[0-9a-f]{128}$/.test(value)) throw fieldFault(this.at(key), 'is no SHA-512: 128 lower-case hexadecimal digits')
    return value
  }
}
